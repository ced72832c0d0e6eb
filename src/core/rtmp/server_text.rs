//! Text of servers that events and errors keep.
//!
//! A server may send 16 MiB of text in each message, and a recording may keep the reasons of a hundred
//! lost connections. Text is therefore shortened when it is read.

/// Returns the start of a text of the server: at most about [`MAX_LEN`] bytes, with an ellipsis if the
/// text is longer. Bytes that are not UTF-8 become U+FFFD.
///
/// A word at the end is kept complete or left out, because secrets are masked later and a part of a
/// secret is not recognized. Only a word of more than [`MAX_WORD`] bytes is cut.
pub(crate) fn excerpt(text: &[u8]) -> String {
    if text.len() <= MAX_LEN {
        return String::from_utf8_lossy(text).into_owned();
    }
    // The byte after the start decides whether the last word is complete.
    let (start, next) = (text.get(..MAX_LEN), text.get(MAX_LEN));
    let start = start.unwrap_or_default();
    let last_space = match next {
        Some(next) if next.is_ascii_whitespace() => Some(MAX_LEN),
        _ => start.iter().rposition(u8::is_ascii_whitespace),
    };
    let end = last_space
        .filter(|end| *end >= MAX_LEN.saturating_sub(MAX_WORD))
        .unwrap_or_else(|| char_boundary(text, MAX_LEN));
    let start = String::from_utf8_lossy(start.get(..end).unwrap_or(start));
    format!("{} …", start.trim_end())
}

/// Returns the last boundary between two characters that is not after `at`. In text that is not UTF-8,
/// every position is a boundary.
fn char_boundary(text: &[u8], at: usize) -> usize {
    let is_boundary = |at: &usize| {
        let byte = text.get(*at);
        byte.is_none_or(|byte| byte & 0b1100_0000 != 0b1000_0000)
    };
    let nearest = (at.saturating_sub(MAX_CHAR_LEN)..=at).rev();
    nearest.into_iter().find(is_boundary).unwrap_or(at)
}

/// Largest length of an excerpt in bytes, without the ellipsis. Known servers send up to 200.
const MAX_LEN: usize = 500;

/// Length of the longest word at the end that is left out if it is not complete.
const MAX_WORD: usize = 300;

/// Length of the longest UTF-8 sequence.
const MAX_CHAR_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_is_unchanged() {
        for text in ["", "no", &"x".repeat(MAX_LEN), &"é".repeat(MAX_LEN / 2)] {
            assert_eq!(excerpt(text.as_bytes()), text);
        }
        assert_eq!(excerpt(b"caf\xe9"), "caf\u{fffd}");
    }

    #[test]
    fn long_text_is_cut_between_characters() {
        for (character, count) in [("x", 500), ("é", 250), ("€", 166), ("😀", 125)] {
            let text = character.repeat(MAX_LEN + 1);
            let expected = format!("{} …", character.repeat(count));
            assert_eq!(excerpt(text.as_bytes()), expected);
        }
        let invalid = excerpt(&[0x80; 1_000_000]);
        assert_eq!(invalid.chars().count(), MAX_LEN + " …".chars().count());
    }

    #[test]
    fn incomplete_word_at_the_end_is_left_out() {
        let words = |length: usize, last: &str| format!("{} {last}", "x".repeat(length));
        for (text, expected) in [
            (words(490, "token=secret"), words(490, "…")),
            (words(493, "secret and more"), words(493, "secret …")),
            (words(495, "much later"), words(495, "much …")),
            // Nothing but a cut word would be left.
            (
                words(100, &"y".repeat(600)),
                words(100, &format!("{} …", "y".repeat(399))),
            ),
        ] {
            assert_eq!(excerpt(text.as_bytes()), expected);
        }
    }
}
