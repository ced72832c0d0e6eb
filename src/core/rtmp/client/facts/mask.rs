//! Replacement of secrets in texts of the server.

use std::fmt;

/// Replaces texts that may be secret. `Debug` omits them.
#[derive(Clone, PartialEq)]
pub(super) struct Mask(Vec<String>);

impl Mask {
    pub(super) fn new<'a>(secrets: impl IntoIterator<Item = &'a str>) -> Self {
        let mut secrets: Vec<String> = secrets.into_iter().flat_map(parts).collect();
        // A longer text may contain a shorter one.
        secrets.sort_by_key(|text| std::cmp::Reverse(text.len()));
        secrets.dedup();
        Self(secrets)
    }

    pub(super) fn apply(&self, text: String) -> String {
        let Self(secrets) = self;
        secrets.iter().fold(text, |text, secret| {
            if text.contains(secret) {
                text.replace(secret, MASK)
            } else {
                text
            }
        })
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Mask(redacted)")
    }
}

/// Returns the texts to mask for a name or a URL: itself, and its query. Short texts occur by chance.
fn parts(secret: &str) -> impl Iterator<Item = String> {
    let query = secret.split_once('?').map(|(_, query)| query);
    let parts = [Some(secret), query].into_iter().flatten();
    let long = parts.filter(|part| part.len() >= MIN_MASKED);
    long.map(str::to_owned)
}

/// Replacement for names of the stream and for secrets in texts of the server.
pub const MASK: &str = "…";

/// Length of the shortest text that is masked.
const MIN_MASKED: usize = 6;
