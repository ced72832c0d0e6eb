//! Members of `onMetaData` next to the actual values.

use std::fmt;

use crate::core::flv::TrackId;

/// A member of `onMetaData` next to the value on the wire.
#[derive(Debug, Clone, PartialEq)]
pub struct Comparison {
    /// Name of the member.
    pub member: &'static str,
    /// Track that the member describes; `None` if it describes the stream.
    pub track: Option<TrackId>,
    /// Value of the member.
    pub stated: Quantity,
    /// Value on the wire, if the analysis measures it.
    pub actual: Option<Quantity>,
    /// Whether the values agree.
    pub verdict: Verdict,
}

/// A value of a member, or a measured one.
#[derive(Debug, Clone, PartialEq)]
pub enum Quantity {
    /// A number; finite unless the stream contains another one.
    Number(f64),
    /// A flag.
    Flag(bool),
    /// A text from the stream, shortened, or the name of a codec. Escape it before printing.
    Text(String),
}

impl fmt::Display for Quantity {
    /// Formats numbers with at most three decimals.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Number(number) => {
                let text = format!("{number:.3}");
                let text = match text.contains('.') {
                    true => text.trim_end_matches('0').trim_end_matches('.'),
                    false => &text,
                };
                f.write_str(text)
            }
            Self::Flag(flag) => flag.fmt(f),
            Self::Text(text) => f.write_str(text),
        }
    }
}

/// Whether a stated value agrees with the actual one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// The values agree within the tolerance of the member.
    Agrees,
    /// The values differ.
    Contradicts,
    /// The actual value is not known.
    Unknown,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Agrees => "agrees",
            Self::Contradicts => "contradicts",
            Self::Unknown => "unknown",
        })
    }
}
