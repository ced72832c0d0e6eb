//! What a session is to do, decided before it begins.

use std::time::Duration;

pub use crate::rtmp::command::{Connect, Start};
use crate::rtmp::handshake;

/// Everything that [`Client`](super::Client) needs to know to play one stream.
#[derive(Debug, Clone)]
pub struct Config {
    /// What `connect` says.
    pub connect: Connect,
    /// The stream's name, as `play` sends it.
    pub playpath: String,
    /// Where playing starts.
    pub start: Start,
    /// The name to announce with `FCSubscribe`, which CDNs want before live playing.
    pub subscribe: Option<String>,
    /// The buffer that is announced to the server.
    pub buffer: BufferLength,
    /// Which handshake is offered.
    pub handshake: handshake::Mode,
    /// Whether `createStream` and `play` follow `connect` without waiting for answers.
    pub pipelining: bool,
    /// How long each answer is waited for.
    pub timeouts: Timeouts,
}

/// How the buffer that we announce is chosen (RTMP 7.1.7, Set Buffer Length).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferLength {
    /// A few seconds more than has arrived, announced anew as media comes in.
    Growing,
    /// One announcement.
    Fixed {
        /// The buffer in milliseconds.
        ms: u32,
    },
}

/// The longest that is waited for each answer. `None` waits for ever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For the three parts of the server's handshake.
    pub handshake: Option<Duration>,
    /// For the answer to each command.
    pub command: Option<Duration>,
    /// From `play` to the first media message.
    pub first_media: Option<Duration>,
    /// From one media message to the next.
    pub silence: Option<Duration>,
}

impl Timeouts {
    /// The same bound for every wait.
    pub fn all(bound: Option<Duration>) -> Self {
        Self {
            handshake: bound,
            command: bound,
            first_media: bound,
            silence: bound,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Some(Duration::from_secs(10)),
            command: Some(Duration::from_secs(10)),
            first_media: Some(Duration::from_secs(30)),
            silence: Some(Duration::from_secs(30)),
        }
    }
}
