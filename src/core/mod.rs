//! Protocol and formats, without I/O.
//!
//! Nothing in this module depends on an async runtime, a socket or a file. The current time and the random
//! generator are arguments, so that complete sessions run as unit tests without sleeping.

// Input from the network must not cause a panic: every index and every calculation is checked.
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

pub mod amf;
pub mod analysis;
pub mod flv;
pub mod mp4;
pub(crate) mod output_clock;
pub mod payload;
pub(crate) mod rejoin;
pub mod rtmp;
pub mod swf;
pub mod wire;
