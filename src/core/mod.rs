//! The protocol and the formats, without I/O.
//!
//! Nothing here depends on an async runtime, a socket or a file. The current time and random bytes are arguments,
//! so that complete sessions run as unit tests without sleeping.

// Input from the network must not panic: every index and every calculation is checked.
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
pub mod flv;
pub mod payload;
pub mod rtmp;
pub mod swf;
pub mod wire;
