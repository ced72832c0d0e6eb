//! The RTMP protocol without I/O.
//!
//! Nothing here opens a socket, reads a clock or draws a random number: bytes, the time and the
//! generator are arguments. [`client`] drives a session and uses all other modules.

pub mod challenge;
pub mod chunk;
pub mod client;
pub mod command;
pub mod error;
pub mod handshake;
pub mod message;
pub mod properties;
pub mod redaction;
pub mod secret;
pub mod server_software;
pub(crate) mod server_text;
pub mod target;
