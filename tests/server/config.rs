//! What a server is like, and what goes wrong with it.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rtmpull::core::rtmp::{challenge::SwfProof, handshake::digest::Scheme};

use super::{broadcast::Broadcast, clip::Clip, login::Login, replay::Replay};

/// A server. The default one behaves well and has no streams.
#[derive(Debug, Clone)]
pub struct Config {
    pub streams: BTreeMap<String, Stream>,
    pub handshake: Handshake,
    pub connect: OnConnect,
    /// Whom it lets in; everybody where nobody is named.
    pub login: Option<Login>,
    pub secure_token: Option<SecureToken>,
    /// The player that clients have to prove that they are, before they are played to.
    pub required_player: Option<SwfProof>,
    /// Whether a stream is only there for those who have set a playlist with it.
    pub requires_playlist: bool,
    pub pipelining: Pipelining,
    pub missing: OnMissing,
    /// What `createStream` answers.
    pub stream_id: u32,
    /// The message stream that media and data come on; [`Config::stream_id`] where none is given.
    pub media_stream_id: Option<u32>,
    /// The chunk stream of audio; video and data follow it. 64 takes headers of two bytes, 320 of
    /// three.
    pub media_chunk_stream: u32,
    pub chunk_size: u32,
    /// The announced acknowledgement window.
    pub window: u32,
    /// Whether nothing is sent while a whole window is unacknowledged.
    pub enforces_window: bool,
    /// How often it pings; a client that leaves one unanswered until the next is dropped.
    pub ping_every: Option<Duration>,
    /// Whether commands come as type 17 and data as type 15.
    pub sends_amf3: bool,
    /// Whether a publisher's `@setDataFrame` is left in front of `onMetaData`.
    pub keeps_set_data_frame: bool,
    /// How many audio and video tags an aggregate message holds; below 2 there are none.
    pub tags_per_aggregate: usize,
    /// How many tags come before Play.Start.
    pub tags_before_start: usize,
    pub fault: Option<Fault>,
    /// How many connections meet the fault; those after them find a healthy server.
    pub faulty_connections: usize,
}

/// One stream and how it is played.
#[derive(Debug, Clone)]
pub struct Stream {
    pub source: Source,
    pub pace: Pace,
    /// What is said after the last tag, in order; then the connection is silent.
    pub end: Vec<EndSignal>,
    /// What becomes of the start that a player asks for.
    pub seeking: Seeking,
}

/// Where a recorded stream begins for a player who asks for a start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seeking {
    pub to: SeekTo,
    /// Whether the timestamps count from there.
    pub restarts_clock: bool,
    /// Whether codec configuration comes first.
    pub sends_sequence_headers: bool,
}

/// Which keyframe is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeekTo {
    /// So many behind the one at or before the start; before it where that is negative. Behind the
    /// last one there is only the end.
    Keyframe(i32),
    /// The first one, whatever is asked for.
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

/// Where a stream's media comes from.
#[derive(Debug, Clone)]
pub enum Source {
    /// A file from its beginning, or from where [`Stream::seeking`] has it.
    Recorded(Arc<Clip>),
    /// A publisher whose clock showed `clock_ms` at the clip's beginning, joined `joined_ms` later.
    Live {
        clip: Arc<Clip>,
        clock_ms: u32,
        joined_ms: u32,
    },
    /// A publisher who goes on whether anybody listens or not.
    Broadcast(Arc<Broadcast>),
    /// Prepared bytes, as fast as the socket takes them.
    Replay(Arc<Replay>),
}

/// How fast media is sent.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// As fast as the client takes it.
    Unbounded,
    /// The announced buffer length ahead (a second where none was), then as time goes by.
    Buffered,
    /// So many times as fast as time goes by.
    Speed(f64),
    /// So many milliseconds at once, then Buffer Empty, and no more before a pause and its end.
    UntilEmpty { ms: u32 },
}

/// One of the ways in which a server says that it is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum EndSignal {
    StreamEof,
    PlayComplete,
    PlayStop,
    UnpublishNotify,
    /// The connection is closed in order.
    Fin,
    /// The connection is reset.
    Rst,
}

/// How S0, S1 and S2 are made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// By the specification: S2 echoes C1.
    Plain,
    /// S1 carries a digest and S2 is signed, where C1 carries one; plain where not.
    Digest(Scheme),
    /// As [`Handshake::Digest`], with the version field of S1 left at zero.
    DigestUnderVersionZero,
    /// The connection is closed on a C1 with a digest; plain where it has none.
    ClosesOnDigest,
    /// Encrypted where C0 asks for it, else as [`Handshake::Digest`]. All others answer 3 to 6.
    Encrypted(Encryption),
}

/// How a request for encryption is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Encryption {
    /// S0: 6, 8 or 9.
    pub version: u8,
    /// Where S1 has its digest and its public key.
    pub scheme: Scheme,
    /// What is wrong with it on the first [`Config::faulty_connections`].
    pub flaw: Option<HandshakeFlaw>,
}

/// What is wrong with an encrypted handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandshakeFlaw {
    /// S1 has no valid digest at either place.
    InvalidS1Digest,
    /// S2 is not signed in answer to C1.
    InvalidS2Signature,
    /// S1 has this for a public key.
    PublicKey([u8; 128]),
    /// None: the secret begins with a zero byte, which some leave out.
    SecretWithLeadingZero,
    /// The secret begins with a zero byte, which stands at its end instead.
    LeftAlignedSecret,
}

impl Handshake {
    /// Encrypted, and nothing wrong with it.
    pub fn encrypted(version: u8, scheme: Scheme) -> Self {
        Self::Encrypted(Encryption {
            version,
            scheme,
            flaw: None,
        })
    }

    /// Encrypted, and something wrong with it.
    pub fn flawed(flaw: HandshakeFlaw) -> Self {
        Self::Encrypted(Encryption {
            version: 8,
            scheme: Scheme::DigestFirst,
            flaw: Some(flaw),
        })
    }

    /// The same without its flaw.
    pub fn without_flaw(self) -> Self {
        match self {
            Self::Encrypted(Encryption {
                version, scheme, ..
            }) => Self::encrypted(version, scheme),
            other => other,
        }
    }
}

/// The answer to `connect`.
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
    /// As [`OnConnect::RedirectInError`], to this server again.
    RedirectToItself,
    /// `onStatus` with `ex.code` 302, `ex.redirect` (an application) and `ex.redirect2` (a stream).
    RedirectInStatus {
        redirect: String,
        redirect2: String,
    },
}

/// A token in connect's answer, and the only answer to it after which a stream is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SecureToken {
    pub token: &'static str,
    pub answer: &'static [u8],
}

/// What becomes of commands that come before the answer to the one before them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pipelining {
    /// They are answered in their turn.
    Answered,
    /// Whatever comes before `connect` is answered is thrown away.
    Dropped,
    /// The connection is closed.
    Refused,
    /// Whatever follows C1 in the same read is thrown away, as one server does.
    DroppedAfterC1,
}

/// The answer to `play` for a stream that is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnMissing {
    StreamNotFound,
    Silence,
    StartThenSilence,
    StartThenFin,
}

/// Something goes wrong, once per connection.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Fault {
    pub at: FaultPoint,
    pub then: FaultAction,
}

/// Where it goes wrong. Bytes are counted from S0 on.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultPoint {
    /// After exactly so many bytes.
    Byte(u64),
    /// At the first message boundary at or after so many bytes.
    Boundary(u64),
    /// Where this would have been answered.
    Step(Step),
}

/// What the server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    Handshake,
    Connect,
    CreateStream,
    Play,
    /// Play is answered, and no media comes.
    Media,
}

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum FaultAction {
    Fin,
    Rst,
    Silence,
    /// No more media, but a ping so often: not after [`FaultPoint::Byte`], where it would be taken for the
    /// rest of a message.
    PingsOnly(Duration),
}

impl Default for Config {
    fn default() -> Self {
        Self {
            streams: BTreeMap::new(),
            handshake: Handshake::Digest(Scheme::DigestFirst),
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
            fault: None,
            faulty_connections: usize::MAX,
        }
    }
}

impl Config {
    /// A well-behaved server whose one stream has the name `clip`.
    pub fn serving(stream: Stream) -> Self {
        Self {
            streams: BTreeMap::from([("clip".to_owned(), stream)]),
            ..Self::default()
        }
    }

    /// A server that replays prepared bytes as stream `clip`.
    pub fn replaying(replay: Arc<Replay>) -> Self {
        Self {
            chunk_size: replay.chunk_size(),
            ..Self::serving(Stream::replay(replay))
        }
    }

    /// The same server with a fault.
    pub fn with_fault(mut self, at: FaultPoint, then: FaultAction) -> Self {
        self.fault = Some(Fault { at, then });
        self
    }
}

impl Stream {
    /// A file, as far ahead as the client's buffer, ended as Flash Media Server does.
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

    /// A publisher whom the client joins right at the beginning, and who leaves at the clip's end.
    pub fn live(clip: Clip) -> Self {
        Self::live_joined(clip, 0, 0)
    }

    /// A publisher whose clock showed `clock_ms` at the clip's beginning, joined `joined_ms` later.
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

    /// One publisher for all players.
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

    /// Prepared bytes.
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

    /// The same stream at another pace.
    pub fn paced(mut self, pace: Pace) -> Self {
        self.pace = pace;
        self
    }

    /// The same stream, begun elsewhere where a start is asked for.
    pub fn seeking(mut self, seeking: Seeking) -> Self {
        self.seeking = seeking;
        self
    }

    /// The same stream with another end.
    pub fn ending(mut self, end: &[EndSignal]) -> Self {
        self.end = end.to_vec();
        self
    }
}
