//! What a session is to do, decided before it begins.

use std::{fmt, time::Duration};

use crate::core::rtmp::handshake;
pub use crate::core::rtmp::{
    challenge::{Login, SwfProof},
    command::{Connect, Start},
    handshake::encryption::Encryption,
};

/// Everything that [`Client`](super::Client) needs to know to play one stream. Its `Debug` leaves out
/// whatever may be secret.
#[derive(Clone)]
pub struct Config {
    /// What `connect` says.
    pub connect: Connect,
    /// The stream's name, as `play` sends it.
    pub playpath: String,
    /// Where playing starts.
    pub start: Start,
    /// How much of the stream is asked for, in milliseconds; all of it where nothing is said. Many
    /// servers do not care.
    pub length_ms: Option<u32>,
    /// Whether the stream is announced as a playlist of one before it is played.
    pub playlist: bool,
    /// The name to announce with `FCSubscribe`, which CDNs want before live playing.
    pub subscribe: Option<String>,
    /// The key to the token that Wowza wants deciphered.
    pub secure_token: Option<String>,
    /// The token to send with `NetStream.Authenticate.UsherToken`.
    pub usher_token: Option<String>,
    /// Who we are, for servers that ask (`authmod=adobe`, `authmod=llnw`).
    pub login: Option<Login>,
    /// The player's hash and size, for servers that ask for proof of the player.
    pub swf_proof: Option<SwfProof>,
    /// The buffer that is announced to the server.
    pub buffer: BufferLength,
    /// Whether a server that has filled the buffer of a recorded stream is made to go on at once, by
    /// a pause and its end.
    pub pause_unpause: bool,
    /// Whether `connect` says that we understand Enhanced RTMP.
    pub enhanced: bool,
    /// Which handshake is offered.
    pub handshake: handshake::Mode,
    /// Whether the session is encrypted.
    pub encryption: Encryption,
    /// Whether `createStream` and `play` follow `connect` without waiting for answers.
    pub pipelining: bool,
    /// How long another publisher is waited for when one has left; not at all where it is 0.
    pub republish_wait: Duration,
    /// How long each answer is waited for.
    pub timeouts: Timeouts,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("connect", &self.connect)
            .field("start", &self.start)
            .field("handshake", &self.handshake)
            .field("encryption", &self.encryption)
            .field("timeouts", &self.timeouts)
            .finish_non_exhaustive()
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
