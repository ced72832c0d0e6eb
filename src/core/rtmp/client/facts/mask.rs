//! Replacement of secrets in texts of the server.

use std::fmt;

use crate::core::rtmp::secret::{Secret, query_parameters};

/// Replaces texts that may be secret. `Debug` omits them.
#[derive(Clone, PartialEq)]
pub(super) struct Mask {
    /// Names of the stream, and credentials, from the longest to the shortest: a longer text may contain a shorter
    /// one.
    texts: Vec<String>,
    /// Parameters in the names.
    parameters: Vec<Secret>,
}

impl Mask {
    pub(super) fn new<'a>(
        names: impl IntoIterator<Item = &'a str>,
        credentials: impl IntoIterator<Item = &'a str>,
    ) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        let queries = names.iter().filter_map(|name| name.split_once('?'));
        let queries = queries.map(|(_, query)| query);
        // Short names and queries occur by chance.
        let long = names.iter().copied().chain(queries);
        let long = long.filter(|text| text.len() >= MIN_NAME);
        let credentials = credentials.into_iter();
        let credentials = credentials.filter(|text| text.len() >= MIN_CREDENTIAL);
        let mut texts: Vec<&str> = long.chain(credentials).collect();
        texts.sort_by_key(|text| std::cmp::Reverse(text.len()));
        texts.dedup();
        let parameters = names.iter().flat_map(|name| query_parameters(name));
        Self {
            parameters: parameters.collect(),
            texts: texts.into_iter().map(str::to_owned).collect(),
        }
    }

    /// Replaces the secrets in a text.
    pub(super) fn apply(&self, text: String) -> String {
        let text = self.replace(text, MIN_CREDENTIAL);
        self.parameters.iter().fold(text, |mut text, parameter| {
            for range in parameter.parameter_positions(&text).into_iter().rev() {
                text.replace_range(range, MASK);
            }
            text
        })
    }

    /// Replaces the secrets in a code. A short one may be a word of the code by chance.
    pub(super) fn apply_to_code(&self, code: String) -> String {
        self.replace(code, MIN_NAME)
    }

    fn replace(&self, text: String, min_length: usize) -> String {
        let texts = self.texts.iter();
        let texts = texts.filter(|secret| secret.len() >= min_length);
        texts.fold(text, |text, secret| match text.contains(secret) {
            true => text.replace(secret, MASK),
            false => text,
        })
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(redacted)")
    }
}

/// Replacement for names of the stream and for secrets in texts of the server.
pub const MASK: &str = "…";

/// Length of the shortest name or query that is masked.
const MIN_NAME: usize = 6;

/// Length of the shortest credential that is masked wherever it occurs.
const MIN_CREDENTIAL: usize = 4;
