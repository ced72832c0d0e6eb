//! The configuration of a session, complete before the session starts.

use std::{fmt, time::Duration};

pub use crate::core::rtmp::{
    challenge::{Login, SwfProof},
    command::{Connect, Start},
    handshake::encryption::Encryption,
};
use crate::core::{amf::Value, rtmp::handshake};

/// All that [`Client`](super::Client) needs to play one stream. `Debug` omits values that may be
/// secret.
#[derive(Clone)]
pub struct Config {
    /// The content of `connect`.
    pub connect: Connect,
    /// The playpath: the stream name as sent in `play`.
    pub playpath: String,
    /// The start position.
    pub start: Start,
    /// The requested length in milliseconds; `None` requests all of the stream. Many servers ignore
    /// it.
    pub length_ms: Option<u32>,
    /// Whether a playlist with this one stream is set before `play`.
    pub playlist: bool,
    /// The name to send with `FCSubscribe`, which CDNs require before live playback.
    pub subscribe: Option<String>,
    /// The key for Wowza's secure token.
    pub secure_token: Option<String>,
    /// The token to send with `NetStream.Authenticate.UsherToken`.
    pub usher_token: Option<String>,
    /// User name and password, for servers that request a login (`authmod=adobe`, `authmod=llnw`).
    pub login: Option<Login>,
    /// Hash and size of the player, for servers that request SWF verification.
    pub swf_proof: Option<SwfProof>,
    /// How the buffer length is chosen.
    pub buffer: BufferLength,
    /// Whether pause/unpause is used on a recorded stream if the server has filled the buffer and
    /// stops sending.
    pub pause_unpause: bool,
    /// Whether `connect` announces Enhanced RTMP.
    pub enhanced: bool,
    /// The handshake to offer.
    pub handshake: handshake::Mode,
    /// Whether the session is encrypted.
    pub encryption: Encryption,
    /// Whether `createStream` and `play` are sent together with `connect`, without waiting for
    /// answers.
    pub pipelining: bool,
    /// How long the client waits for another publisher after one has left; 0 means not at all.
    pub republish_wait: Duration,
    /// The limits on waiting for the server.
    pub timeouts: Timeouts,
}

impl Config {
    /// Returns the configuration that plays a live or recorded stream without any option: no login, no encryption,
    /// no pause/unpause and the usual timeouts.
    pub fn new(connect: Connect, playpath: impl Into<String>) -> Self {
        Self {
            connect,
            playpath: playpath.into(),
            start: Start::LiveElseRecorded,
            length_ms: None,
            playlist: false,
            subscribe: None,
            secure_token: None,
            usher_token: None,
            login: None,
            swf_proof: None,
            buffer: BufferLength::Growing,
            pause_unpause: false,
            enhanced: true,
            handshake: handshake::Mode::Auto,
            encryption: Encryption::None,
            pipelining: true,
            republish_wait: Duration::ZERO,
            timeouts: Timeouts::default(),
        }
    }

    /// Returns true if `createStream` and `play` are sent together with `connect`: pipelining is
    /// enabled, and nothing must be sent between them.
    pub fn pipelines(&self) -> bool {
        let must_wait = self.playlist
            || self.secure_token.is_some()
            || self.usher_token.is_some()
            || self.login.is_some();
        self.pipelining && !must_wait
    }

    /// Returns the names of the stream, which may contain secrets and which servers may repeat.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let Connect { app, tc_url, .. } = &self.connect;
        let names = [&self.playpath, app, tc_url];
        names.into_iter().chain(&self.subscribe).map(String::as_str)
    }

    /// Returns texts that are secret and that servers may repeat.
    pub(super) fn credentials(&self) -> impl Iterator<Item = &str> {
        let arguments = self.connect.arguments.iter().filter_map(Value::as_text);
        let tokens = [&self.secure_token, &self.usher_token];
        let logins = self.login.iter();
        let logins = logins.flat_map(|login| [login.user.as_str(), &login.password]);
        let tokens = tokens.into_iter().flatten().map(String::as_str);
        tokens
            .chain(logins)
            .chain(arguments.filter_map(|text| str::from_utf8(text.as_bytes()).ok()))
    }
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

/// How the buffer length is chosen (RTMP 7.1.7, Set Buffer Length).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BufferLength {
    /// A few seconds more than has been received, repeated as media arrives.
    Growing,
    /// One fixed value.
    Fixed {
        /// The buffer length in milliseconds.
        ms: u32,
    },
}

/// Limits on waiting for the server. `None` waits forever.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// For S0, S1 and S2 to arrive.
    pub handshake: Option<Duration>,
    /// For the answer to each command.
    pub command: Option<Duration>,
    /// From `play` to the first media message.
    pub first_media: Option<Duration>,
    /// The same once the server has reported the start of playback. A client that waits for a
    /// publisher waits longer on such a connection.
    pub first_media_after_start: Option<Duration>,
    /// From one media message to the next.
    pub silence: Option<Duration>,
}

impl Timeouts {
    /// Returns the same limit for every wait.
    pub fn all(limit: Option<Duration>) -> Self {
        Self {
            handshake: limit,
            command: limit,
            first_media: limit,
            first_media_after_start: limit,
            silence: limit,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Some(Duration::from_secs(10)),
            command: Some(Duration::from_secs(10)),
            first_media: Some(Duration::from_secs(30)),
            first_media_after_start: Some(Duration::from_secs(30)),
            silence: Some(Duration::from_secs(30)),
        }
    }
}
