//! Secrets of a request, which a server may repeat in its texts.

use std::{fmt, ops::Range};

/// A secret of a request. `Debug` omits it.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A text that is secret wherever it occurs.
    Text(String),
    /// The value of a parameter. It may be as short as `1`, so it is secret only after its name.
    Parameter {
        /// Name of the parameter.
        name: String,
        /// Value of the parameter.
        value: String,
    },
}

impl Secret {
    /// Returns the positions of the value of a parameter in `text`; none of a [`Secret::Text`].
    ///
    /// The value follows its name in any case, and one to `MAX_SEPARATORS` separators: `token=1`, `Token: 1`,
    /// `"token":"1"`. Both are separate words.
    pub fn parameter_positions(&self, text: &str) -> Vec<Range<usize>> {
        match self {
            Self::Parameter { name, value } if !name.is_empty() && !value.is_empty() => {
                positions(text, name, value)
            }
            _ => Vec::new(),
        }
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self::Text(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(redacted)")
    }
}

/// Returns the parameters in the query of a URL or a stream name.
pub fn query_parameters(text: &str) -> impl Iterator<Item = Secret> {
    let query = text.split_once('?').map_or("", |(_, query)| query);
    let pairs = query.split(['&', ';', '?', '#']);
    let pairs = pairs.filter_map(|pair| pair.split_once('='));
    pairs.map(|(name, value)| Secret::Parameter {
        name: name.to_owned(),
        value: value.to_owned(),
    })
}

fn positions(text: &str, name: &str, value: &str) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices(value) {
        let end = at.saturating_add(value.len());
        let (before, after) = (text.get(..at), text.get(end..));
        let (Some(before), Some(after)) = (before, after) else {
            continue;
        };
        let is_bound = !after.starts_with(char::is_alphanumeric);
        if is_bound && ends_with_name(before, name) {
            found.push(at..end);
        }
    }
    found
}

/// Whether `text` ends with a name as a separate word, and separators.
fn ends_with_name(text: &str, name: &str) -> bool {
    let named = text.trim_end_matches(SEPARATORS);
    let separators = text.len().saturating_sub(named.len());
    let Some(at) = named.len().checked_sub(name.len()) else {
        return false;
    };
    let (Some(before), Some(found)) = (named.get(..at), named.get(at..)) else {
        return false;
    };
    (1..=MAX_SEPARATORS).contains(&separators)
        && found.eq_ignore_ascii_case(name)
        && !before.ends_with(char::is_alphanumeric)
}

/// Characters between a name and a value.
const SEPARATORS: [char; 6] = ['=', ':', ' ', '"', '\'', '\\'];

/// Largest number of characters between a name and a value.
const MAX_SEPARATORS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn masked(text: &str, name: &str, value: &str) -> String {
        let secret = Secret::Parameter {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let mut text = text.to_owned();
        for range in secret.parameter_positions(&text).into_iter().rev() {
            text.replace_range(range, "*");
        }
        text
    }

    #[test]
    fn values_are_found_after_their_names_only() {
        for (text, expected) in [
            ("cam?token=1&x=1", "cam?token=*&x=1"),
            (
                "1 of 1: bad Token 1, token: '1'",
                "1 of 1: bad Token *, token: '*'",
            ),
            (r#"{"token":"1","n":1}"#, r#"{"token":"*","n":1}"#),
            ("token=12 mytoken=1 token1", "token=12 mytoken=1 token1"),
            ("token         1", "token         1"),
            ("1", "1"),
        ] {
            assert_eq!(masked(text, "token", "1"), expected);
        }
        assert_eq!(masked("é=é ñé=é", "é", "é"), "é=* ñé=é");
        assert_eq!(masked("token= x", "token", ""), "token= x");
        assert_eq!(masked("=1", "", "1"), "=1");
    }

    #[test]
    fn parameters_of_a_query_have_names() {
        let found: Vec<Secret> = query_parameters("rtmp://h/a?b=1&c&d=e=f;g=").collect();
        let parameter = |name: &str, value: &str| Secret::Parameter {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let expected = [
            parameter("b", "1"),
            parameter("d", "e=f"),
            parameter("g", ""),
        ];
        assert!(found == expected);
    }
}
