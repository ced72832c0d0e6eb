//! Answers in text: the greeting of another protocol, such as SSH or SMTP, or an error of a web server.

use super::Error;

/// The start of an answer, as far as it is text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum TextAnswer {
    /// All bytes are printable, and the line may continue.
    Unfinished,
    /// A line of text, or enough of it for a message.
    Line(Error),
    /// Binary data whose first bytes are printable by chance.
    Binary,
}

impl TextAnswer {
    /// Classifies an answer whose first byte is printable.
    pub(super) fn classify(inbox: &[u8]) -> Self {
        match printable_prefix(inbox) {
            prefix if prefix.len() == inbox.len() && prefix.len() <= MAX_SHOWN => Self::Unfinished,
            prefix if prefix.len() < MIN_LINE => Self::Binary,
            prefix => Self::Line(Error::Text(shorten(prefix))),
        }
    }
}

/// Returns the error for an answer in text that ended before its line did, because the peer closed the
/// connection or fell silent. Returns `None` for other answers.
pub fn unfinished_text_answer(inbox: &[u8]) -> Option<Error> {
    let prefix = printable_prefix(inbox);
    let is_text = prefix.len() >= MIN_LINE && prefix.len() == inbox.len();
    is_text.then(|| Error::Text(shorten(prefix)))
}

pub(super) fn is_printable(byte: u8) -> bool {
    matches!(byte, b' '..=b'~')
}

fn printable_prefix(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| !is_printable(byte));
    bytes.get(..end.unwrap_or(bytes.len())).unwrap_or_default()
}

/// Returns at most [`MAX_SHOWN`] characters, and marks a cut.
fn shorten(printable: &[u8]) -> String {
    let shown = printable.get(..MAX_SHOWN).unwrap_or(printable);
    let mark = if shown.len() < printable.len() {
        "…"
    } else {
        ""
    };
    format!("{}{mark}", String::from_utf8_lossy(shown))
}

/// Number of printable bytes that random data rarely starts with: 1 in 50 replies with a printable S0.
const MIN_LINE: usize = 4;

/// Number of characters of the answer in a message.
const MAX_SHOWN: usize = 60;
