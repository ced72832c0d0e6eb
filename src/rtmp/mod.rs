//! The protocol, without I/O: knows no socket, no clock, no random generator.

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

pub mod challenge;
pub mod chunk;
pub mod client;
pub mod command;
pub mod error;
pub mod handshake;
pub mod message;
pub mod properties;
pub mod target;
