//! Behavior and faults of the test server.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rtmpull::core::rtmp::{challenge::SwfProof, handshake::digest::Scheme};

use super::{
    broadcast::Broadcast,
    clip::Clip,
    live_replay::LiveReplay,
    login::{Login, LoginScheme},
    replay::Replay,
};

/// Server configuration. The default server behaves correctly and has no streams.
#[derive(Debug, Clone)]
pub struct Config {
    pub streams: BTreeMap<String, Stream>,
    pub handshake: Handshake,
    /// Whether the server sends S2 only after C2.
    pub s2_after_c2: bool,
    pub connect: OnConnect,
    /// Required login; `None` accepts every client.
    pub login: Option<Login>,
    pub secure_token: Option<SecureToken>,
    /// SWF player that clients must prove before the server plays.
    pub required_player: Option<SwfProof>,
    /// Whether `play` fails unless the client has set a playlist with the stream.
    pub requires_playlist: bool,
    pub pipelining: Pipelining,
    pub missing: OnMissing,
    /// Message stream id in the answer to `createStream`.
    pub stream_id: u32,
    /// Message stream id of media and data messages; [`Config::stream_id`] by default.
    pub media_stream_id: Option<u32>,
    /// Chunk stream id of audio; video and data use the next ids. From 64 on, basic headers have
    /// two bytes, from 320 on, three.
    pub media_chunk_stream: u32,
    pub chunk_size: u32,
    /// Announced acknowledgement window size.
    pub window: u32,
    /// Whether the server stops sending while a complete window is unacknowledged.
    pub enforces_window: bool,
    /// Ping interval. A client that has not answered a ping by the next one is disconnected.
    pub ping_every: Option<Duration>,
    /// Whether commands use message type 17 and data messages type 15.
    pub sends_amf3: bool,
    /// Whether the `@setDataFrame` of the publisher stays in front of `onMetaData`.
    pub keeps_set_data_frame: bool,
    /// Number of tags in an aggregate message; 0 and 1 disable aggregates.
    pub tags_per_aggregate: usize,
    /// Number of tags sent before Play.Start.
    pub tags_before_start: usize,
    /// Requests to continue on a new connection, in the order of their connections and tags.
    pub reconnects: Vec<Reconnect>,
    pub fault: Option<Fault>,
    /// Number of connections with the fault; later connections have none.
    pub faulty_connections: usize,
}

/// Stream and the way it is played.
#[derive(Debug, Clone)]
pub struct Stream {
    pub source: Source,
    pub pace: Pace,
    /// Signals sent after the last tag, in order. The connection is silent afterwards.
    pub end: Vec<EndSignal>,
    /// Handling of the start that a player requests.
    pub seeking: Seeking,
}

/// Handling of a requested start in a recorded stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeking {
    pub to: SeekTo,
    /// Whether the timestamps restart at 0 at the selected keyframe.
    pub restarts_clock: bool,
    /// Whether the sequence headers are sent first.
    pub sends_sequence_headers: bool,
}

/// Keyframe at which playback starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekTo {
    /// The keyframe at or before the requested start, moved by this number of keyframes. After the
    /// last keyframe, only the end is sent.
    Keyframe(i32),
    /// The first keyframe, for every requested start.
    Beginning,
}

impl Default for Seeking {
    fn default() -> Self {
        Self {
            to: SeekTo::Keyframe(0),
            restarts_clock: false,
            sends_sequence_headers: true,
        }
    }
}

/// Source of a stream's media.
#[derive(Debug, Clone)]
pub enum Source {
    /// File, played from the start or from the keyframe selected by [`Stream::seeking`].
    Recorded(Arc<Clip>),
    /// Publisher whose clock showed `clock_ms` at the start of the clip, joined `joined_ms` later.
    Live {
        clip: Arc<Clip>,
        clock_ms: u32,
        joined_ms: u32,
    },
    /// Publisher that continues independently of its players.
    Broadcast(Arc<Broadcast>),
    /// Prepared bytes, sent at full speed.
    Replay(Arc<Replay>),
    /// Prepared bytes, sent in real time.
    LiveReplay(Arc<LiveReplay>),
}

/// Sending speed of media.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as the client reads.
    Unbounded,
    /// The announced buffer length ahead of real time; one second if the client announced none.
    Buffered,
    /// This multiple of real time.
    Speed(f64),
    /// This many milliseconds at once, then Buffer Empty and a stop until the client pauses and
    /// unpauses.
    UntilEmpty { ms: u32 },
    /// This many milliseconds of media at once. At this interval, the server then reads the
    /// announced buffer length and sends the media up to that far ahead of real time.
    Refilled { first_ms: u32, every: Duration },
}

/// Signal of a server at the end of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    StreamEof,
    PlayComplete,
    PlayStop,
    UnpublishNotify,
    /// The connection is closed with FIN.
    Fin,
    /// The connection is reset with RST.
    Rst,
}

/// Contents of S0, S1 and S2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// According to the specification: S2 echoes C1.
    Plain,
    /// S1 contains a digest and S2 a signature if C1 contains a digest; otherwise plain.
    Digest(Scheme),
    /// Like [`Handshake::Digest`], but the version field of S1 is zero.
    DigestUnderVersionZero,
    /// Closes the connection if C1 contains a digest; otherwise plain.
    ClosesOnDigest,
    /// Encrypted if C0 requests it; otherwise like [`Handshake::Digest`]. All other variants answer
    /// C0 = 6 with S0 = 3.
    Encrypted(Encryption),
}

/// Answer to a request for encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encryption {
    /// S0, the handshake type: 6, 8 or 9.
    pub version: u8,
    /// Positions of digest and public key in S1.
    pub scheme: Scheme,
    /// Flaw of the handshake on the first [`Config::faulty_connections`].
    pub flaw: Option<HandshakeFlaw>,
}

/// Flaw of an encrypted handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFlaw {
    /// S1 has no valid digest at either position.
    InvalidS1Digest,
    /// The signature in S2 does not match C1.
    InvalidS2Signature,
    /// S1 contains this public key.
    PublicKey([u8; 128]),
    /// No flaw of the server: the secret starts with a zero byte, which some clients drop.
    SecretWithLeadingZero,
    /// The secret starts with a zero byte, and the server moves it to the end.
    LeftAlignedSecret,
}

impl Handshake {
    /// Returns an encrypted handshake without a flaw.
    pub fn encrypted(version: u8, scheme: Scheme) -> Self {
        Self::Encrypted(Encryption {
            version,
            scheme,
            flaw: None,
        })
    }

    /// Returns an encrypted handshake with a flaw.
    pub fn flawed(flaw: HandshakeFlaw) -> Self {
        Self::Encrypted(Encryption {
            version: 8,
            scheme: Scheme::DigestFirst,
            flaw: Some(flaw),
        })
    }

    /// Returns the same handshake without its flaw.
    pub fn without_flaw(self) -> Self {
        match self {
            Self::Encrypted(Encryption {
                version, scheme, ..
            }) => Self::encrypted(version, scheme),
            other => other,
        }
    }
}

/// Answer to `connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OnConnect {
    Accept,
    /// `_error` with a code and a description, then FIN.
    Reject {
        code: &'static str,
        description: &'static str,
    },
    /// `_error` with `ex.code` 302 and `ex.redirect`.
    RedirectInError {
        redirect: String,
    },
    /// Like [`OnConnect::RedirectInError`], back to this server.
    RedirectToItself,
    /// `onStatus` with `ex.code` 302, `ex.redirect` (an app) and `ex.redirect2` (a stream).
    RedirectInStatus {
        redirect: String,
        redirect2: String,
    },
}

/// Secure token in the answer to `connect`, and the response required before `createStream`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureToken {
    pub token: &'static str,
    pub answer: &'static [u8],
}

/// Handling of commands that arrive before the previous command is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipelining {
    /// They are answered in order.
    Answered,
    /// Messages that arrive before `connect` is answered are discarded.
    Dropped,
    /// They are answered with `_error`.
    Rejected,
    /// The connection is closed.
    Refused,
    /// Bytes read together with C1 are discarded.
    DroppedAfterC1,
}

/// Answer to `play` for a missing stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    StreamNotFound,
    Silence,
    StartThenSilence,
    StartThenFin,
}

/// Request to continue on a new connection (E-RTMP "Reconnect Request").
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// Number of the connection that receives the request, starting at 0.
    pub connection: usize,
    /// Number of tags and aggregate messages sent before the request.
    pub after_tags: usize,
    /// tcUrl of the new connection, absolute or relative to the current one.
    pub tc_url: Option<String>,
}

/// Fault that occurs once per connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    pub at: FaultPoint,
    pub then: FaultAction,
}

/// Point at which a fault occurs. Bytes are counted from S0.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultPoint {
    /// After exactly this number of bytes.
    Byte(u64),
    /// At the first message boundary at or after this number of bytes.
    Boundary(u64),
    /// Instead of this answer.
    Step(Step),
}

/// Step of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Handshake,
    Connect,
    CreateStream,
    Play,
    /// `play` is answered, but no media follows.
    Media,
}

/// Action of a fault.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultAction {
    Fin,
    Rst,
    Silence,
    /// No more media, but a ping at this interval. Not useful after [`FaultPoint::Byte`], because
    /// the ping would be read as the rest of a message.
    PingsOnly(Duration),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            streams: BTreeMap::new(),
            handshake: Handshake::Digest(Scheme::DigestFirst),
            s2_after_c2: false,
            connect: OnConnect::Accept,
            login: None,
            secure_token: None,
            required_player: None,
            requires_playlist: false,
            pipelining: Pipelining::Answered,
            missing: OnMissing::StreamNotFound,
            stream_id: 1,
            media_stream_id: None,
            media_chunk_stream: 6,
            chunk_size: 4096,
            window: 2_500_000,
            enforces_window: false,
            ping_every: None,
            sends_amf3: false,
            keeps_set_data_frame: false,
            tags_per_aggregate: 0,
            tags_before_start: 0,
            reconnects: Vec::new(),
            fault: None,
            faulty_connections: usize::MAX,
        }
    }
}

impl Config {
    /// Returns a correct server with one stream called `clip`.
    pub fn serving(stream: Stream) -> Self {
        Self {
            streams: BTreeMap::from([("clip".to_owned(), stream)]),
            ..Self::default()
        }
    }

    /// Returns a server that replays prepared bytes as stream `clip`.
    pub fn replaying(replay: Arc<Replay>) -> Self {
        Self {
            chunk_size: replay.chunk_size(),
            ..Self::serving(Stream::replay(replay))
        }
    }

    /// Returns the same server, which requests the login of user `joe` with the password `s3cret`.
    pub fn with_login(mut self, scheme: LoginScheme) -> Self {
        self.login = Some(Login {
            scheme,
            user: "joe",
            password: "s3cret",
        });
        self
    }

    /// Returns the same server with a fault.
    pub fn with_fault(mut self, at: FaultPoint, then: FaultAction) -> Self {
        self.fault = Some(Fault { at, then });
        self
    }
}

impl Stream {
    /// Returns a recorded stream paced by the client's buffer length, with the end signals of Flash
    /// Media Server.
    pub fn recorded(clip: Clip) -> Self {
        Self {
            source: Source::Recorded(Arc::new(clip)),
            pace: Pace::Buffered,
            end: vec![
                EndSignal::StreamEof,
                EndSignal::PlayComplete,
                EndSignal::PlayStop,
            ],
            seeking: Seeking::default(),
        }
    }

    /// Returns the sample clip as a recorded stream, sent as fast as the client reads.
    pub fn recorded_sample() -> Self {
        Self::recorded(Clip::sample()).paced(Pace::Unbounded)
    }

    /// Returns the sample clip as a live stream, sent as fast as the client reads.
    pub fn live_sample() -> Self {
        Self::live(Clip::sample()).paced(Pace::Unbounded)
    }

    /// Returns a live stream that the client joins at its start and that is unpublished at the end
    /// of the clip.
    pub fn live(clip: Clip) -> Self {
        Self::live_joined(clip, 0, 0)
    }

    /// Returns a live stream whose clock showed `clock_ms` at the start of the clip, joined
    /// `joined_ms` later.
    pub fn live_joined(clip: Clip, clock_ms: u32, joined_ms: u32) -> Self {
        Self {
            source: Source::Live {
                clip: Arc::new(clip),
                clock_ms,
                joined_ms,
            },
            pace: Pace::Speed(1.0),
            end: vec![
                EndSignal::UnpublishNotify,
                EndSignal::StreamEof,
                EndSignal::Fin,
            ],
            seeking: Seeking::default(),
        }
    }

    /// Returns a live stream with one publisher for all players.
    pub fn broadcast(broadcast: impl Into<Arc<Broadcast>>) -> Self {
        let broadcast = broadcast.into();
        Self {
            pace: Pace::Speed(broadcast.speed),
            seeking: Seeking::default(),
            source: Source::Broadcast(broadcast),
            end: vec![
                EndSignal::UnpublishNotify,
                EndSignal::StreamEof,
                EndSignal::Fin,
            ],
        }
    }

    /// Returns a stream of prepared bytes.
    pub fn replay(replay: Arc<Replay>) -> Self {
        Self {
            source: Source::Replay(replay),
            pace: Pace::Unbounded,
            end: vec![
                EndSignal::StreamEof,
                EndSignal::PlayComplete,
                EndSignal::PlayStop,
            ],
            seeking: Seeking::default(),
        }
    }

    /// Returns a live stream of prepared bytes that each player receives from its beginning.
    pub fn live_replay(live: Arc<LiveReplay>) -> Self {
        Self {
            source: Source::LiveReplay(live),
            ..Self::live(Clip::default())
        }
    }

    /// Returns the same stream at another pace.
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// Returns the same stream with another handling of requested starts.
    pub fn seeking(mut self, seeking: Seeking) -> Self {
        self.seeking = seeking;
        self
    }

    /// Returns the same stream with other end signals.
    pub fn ending(mut self, end: &[EndSignal]) -> Self {
        self.end = end.to_vec();
        self
    }
}
