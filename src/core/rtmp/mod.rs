//! The protocol, without I/O: knows no socket, no clock, no random generator.

pub mod challenge;
pub mod chunk;
pub mod client;
pub mod command;
pub mod error;
pub mod handshake;
pub mod message;
pub mod properties;
pub mod target;
