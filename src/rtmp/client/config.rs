//! What a session is to do, decided before it begins.

use std::time::Duration;

use crate::{amf::Value, rtmp::handshake};

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

/// The command object of `connect` (RTMP 7.2.1.1) and what follows it.
#[derive(Debug, Clone)]
pub struct Connect {
    /// The application's name.
    pub app: String,
    /// The address that was opened, up to the application.
    pub tc_url: String,
    /// The version of the player that we claim to be; left out where empty.
    pub flash_ver: String,
    /// The address of the player, where one is told.
    pub swf_url: Option<String>,
    /// The address of the page around the player, where one is told.
    pub page_url: Option<String>,
    /// What is sent behind the command object: tokens, passwords.
    pub arguments: Vec<Value>,
}

/// The `start` argument of `play` (RTMP 7.2.2.1). The specification counts seconds, servers and
/// clients count milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The live stream of that name, else the recorded one: −2000.
    LiveElseRecorded,
    /// The live stream only: −1000.
    Live,
    /// The recorded stream, from a position.
    At {
        /// The position in milliseconds.
        ms: u32,
    },
}

impl Start {
    /// The number on the wire, in milliseconds.
    pub fn wire_ms(self) -> f64 {
        match self {
            Self::LiveElseRecorded => -2000.0,
            Self::Live => -1000.0,
            Self::At { ms } => f64::from(ms),
        }
    }
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
