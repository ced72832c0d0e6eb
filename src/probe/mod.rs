//! Probes: facts of a stream or a file, without a recording.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod file;
pub mod stream;

pub use self::stream::StreamProbe;
use crate::core::analysis::StreamFacts;

/// The result of a probe.
#[derive(Debug)]
pub struct ProbeReport {
    /// Where the media came from, and how it arrived.
    pub source: Source,
    /// The media.
    pub media: StreamFacts,
}

/// Source of the media of a probe.
#[derive(Debug)]
pub enum Source {
    /// A stream on a server.
    Stream(Box<StreamProbe>),
}
