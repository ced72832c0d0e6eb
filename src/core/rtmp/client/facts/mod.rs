//! Facts of a session: what the server sent, and when.
//!
//! | module | contents |
//! | --- | --- |
//! | `connect_answer` | the answer to `connect` and its members |
//! | `counts` | numbers of messages and of user control events |
//! | `mask` | replacement of secrets in texts of the server |

mod connect_answer;
mod counts;
mod mask;

use std::time::{Duration, Instant};

use self::mask::Mask;
pub use self::{
    connect_answer::{ConnectAnswer, Member, MemberValue},
    counts::{ControlFacts, MessageCounts},
    mask::MASK,
};
use crate::core::{
    amf::{Object, Text, Value},
    rtmp::{
        command::{Command, Status},
        handshake::{PLAIN, ServerSignature, Summary, digest::Scheme, encryption::SignatureCipher},
        message::{Kind, Message, UserControl},
        server_text::excerpt,
    },
};

/// Facts of one session, filled as messages arrive. All lists are bounded.
///
/// They contain no `tcUrl`, token or login. Names of the stream in texts of the server are replaced by
/// [`MASK`]. Texts of the server are shortened and not escaped.
#[derive(Debug, Clone, PartialEq)]
pub struct SessionFacts {
    /// First byte of the server: the version in S0, unless the server does not speak RTMP.
    pub first_byte: Option<u8>,
    /// The handshake; `None` if it did not complete.
    pub handshake: Option<HandshakeFacts>,
    /// Times of the steps.
    pub steps: StepTimes,
    /// Times that the server took to answer.
    pub round_trips: RoundTripTimes,
    /// The answer to `connect`, also if it is a refusal; `None` if `connect` was not answered. Kept on request
    /// only, as are all lists: see [`Client::keep_answers`](super::Client::keep_answers).
    pub connect_answer: Option<ConnectAnswer>,
    /// Statuses in the order of their arrival, without repeats: those of `onStatus`, `onPlayStatus` and
    /// `_error`. At most [`MAX_STATUSES`].
    pub statuses: Vec<StatusFacts>,
    /// Names of the server's calls, without `onStatus`, in the order of their first arrival. At most
    /// [`MAX_CALLS`].
    pub calls: Vec<String>,
    /// The first messages of the server, at most [`MAX_FIRST_MESSAGES`].
    pub first_messages: Vec<MessageHead>,
    /// Number of messages by type, with those inside of aggregates.
    pub messages: MessageCounts,
    /// Number of messages that were skipped because they are malformed, and of metadata that was cut short.
    pub malformed: u64,
    /// User control events.
    pub control: ControlFacts,
    /// Latest window acknowledgement size of the server, in bytes.
    pub window: Option<u32>,
    /// Latest Set Peer Bandwidth: the window in bytes and the limit type, which some servers omit.
    pub peer_bandwidth: Option<(u32, Option<u8>)>,
    /// Latest chunk size that the server announced, in bytes. The default is 128.
    pub chunk_size: Option<u32>,
    /// Message stream id that `createStream` returned.
    pub created_stream: Option<u32>,
    /// Message stream id of the first audio or video message.
    pub media_stream: Option<u32>,
    /// Duration that `onMetaData` announced, in seconds.
    pub announced_duration_s: Option<f64>,
    /// Bytes received after the handshake.
    pub received_bytes: u64,
    /// Scheme of the login that the server requires (`authmod`).
    pub login_scheme: Option<String>,
    /// Whether the server requires a secure token.
    pub needs_secure_token: bool,
    /// Whether the server redirected the client or requested a new connection.
    pub is_redirected: bool,
    start: Instant,
    /// `None` if the answers of the server are not kept.
    mask: Option<Mask>,
}

/// Facts of the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HandshakeFacts {
    /// S0: 3, or 6, 8 or 9 for an encrypted session.
    pub version: u8,
    /// Time field of S1.
    pub server_time: u32,
    /// Version field of S1.
    pub server_version: [u8; 4],
    /// Position of the digest in S1; `None` if S1 has none or none was offered.
    pub digest: Option<Scheme>,
    /// Check of S2.
    pub s2: S2Check,
    /// Cipher of the signatures in an encrypted session; `None` for a plain session.
    pub encryption: Option<SignatureCipher>,
}

/// Check of S2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum S2Check {
    /// S2 signs the digest of C1.
    Signed,
    /// S1 has a digest, but S2 does not sign that of C1.
    WronglySigned,
    /// S2 is the echo of C1 that RTMP 5.2.4 requires.
    Echo,
    /// S1 has no digest, and S2 is not an echo of C1.
    OtherBytes,
}

impl From<&Summary> for HandshakeFacts {
    fn from(summary: &Summary) -> Self {
        Self {
            version: summary.encryption.map_or(PLAIN, SignatureCipher::version),
            server_time: summary.server_time,
            server_version: summary.server_version,
            digest: summary.digest.map(|digest| digest.scheme),
            s2: match summary.server_signature {
                ServerSignature::Verified => S2Check::Signed,
                ServerSignature::Wrong => S2Check::WronglySigned,
                ServerSignature::Absent if summary.is_echo => S2Check::Echo,
                ServerSignature::Absent => S2Check::OtherBytes,
            },
            encryption: summary.encryption,
        }
    }
}

/// Times from the start of the session to the first arrival of each step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct StepTimes {
    /// First byte of the server.
    pub first_byte: Option<Duration>,
    /// End of the handshake.
    pub handshake: Option<Duration>,
    /// Answer to `connect`.
    pub connect_answer: Option<Duration>,
    /// Answer to `createStream`.
    pub create_stream_answer: Option<Duration>,
    /// `NetStream.Play.Reset`.
    pub play_reset: Option<Duration>,
    /// `NetStream.Play.Start`.
    pub play_start: Option<Duration>,
    /// `onMetaData`.
    pub metadata: Option<Duration>,
    /// Audio or video message with a payload.
    pub media: Option<Duration>,
    /// Audio or video frame. Sequence headers are not frames.
    pub frame: Option<Duration>,
    /// Video keyframe.
    pub keyframe: Option<Duration>,
}

/// Times from a call or request of the client to its answer. Each contains one network round trip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct RoundTripTimes {
    /// From C0 and C1 to the first byte of the server.
    pub handshake: Option<Duration>,
    /// `connect`.
    pub connect: Option<Duration>,
    /// `createStream`.
    pub create_stream: Option<Duration>,
    /// `play`.
    pub play: Option<Duration>,
    /// From `play` to the first media.
    pub first_media: Option<Duration>,
}

impl RoundTripTimes {
    /// Returns the shortest time, which is the best estimate of the network's round trip.
    pub fn shortest(&self) -> Option<Duration> {
        let times = [self.handshake, self.connect, self.create_stream, self.play];
        times.into_iter().flatten().min()
    }
}

/// A status of the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusFacts {
    /// Level: `status`, `warning` or `error`.
    pub level: String,
    /// Code, for example `NetStream.Play.Start`.
    pub code: String,
    /// Description.
    pub description: String,
    /// Names of the members, in order. At most [`MAX_MEMBERS`].
    pub members: Vec<String>,
    /// Time from the start of the session to the first arrival.
    pub time: Duration,
    /// Message stream id on which it arrived first.
    pub message_stream: u32,
}

/// Type and streams of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageHead {
    /// Message type.
    pub kind: Kind,
    /// Chunk stream id.
    pub chunk_stream: u32,
    /// Message stream id.
    pub message_stream: u32,
}

impl SessionFacts {
    /// Starts without facts.
    pub fn new(start: Instant) -> Self {
        Self {
            first_byte: None,
            handshake: None,
            steps: StepTimes::default(),
            round_trips: RoundTripTimes::default(),
            connect_answer: None,
            statuses: Vec::new(),
            calls: Vec::new(),
            first_messages: Vec::new(),
            messages: MessageCounts::default(),
            malformed: 0,
            control: ControlFacts::default(),
            window: None,
            peer_bandwidth: None,
            chunk_size: None,
            created_stream: None,
            media_stream: None,
            announced_duration_s: None,
            received_bytes: 0,
            login_scheme: None,
            needs_secure_token: false,
            is_redirected: false,
            start,
            mask: None,
        }
    }

    /// Keeps the answer to `connect` and all lists. `names` of the stream, and `credentials`, may be secret in texts
    /// of the server.
    pub fn keep_answers<'a>(
        &mut self,
        names: impl IntoIterator<Item = &'a str>,
        credentials: impl IntoIterator<Item = &'a str>,
    ) {
        self.mask = Some(Mask::new(names, credentials));
    }

    /// Returns the time since the start of the session.
    pub(super) fn elapsed(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.start)
    }

    pub(super) fn record_first_byte(&mut self, now: Instant, byte: u8) {
        if self.first_byte.is_none() {
            self.first_byte = Some(byte);
            self.steps.first_byte = Some(self.elapsed(now));
            self.round_trips.handshake = self.steps.first_byte;
        }
    }

    pub(super) fn record_handshake(&mut self, now: Instant, summary: &Summary) {
        self.handshake = Some(HandshakeFacts::from(summary));
        self.steps.handshake = Some(self.elapsed(now));
    }

    pub(super) fn record_message(&mut self, message: &Message) {
        self.messages.add(message.kind);
        if self.mask.is_some() && self.first_messages.len() < MAX_FIRST_MESSAGES {
            self.first_messages.push(MessageHead {
                kind: message.kind,
                chunk_stream: message.chunk_stream,
                message_stream: message.message_stream,
            });
        }
    }

    /// Records an audio or video message with a payload.
    pub(super) fn record_media(
        &mut self,
        now: Instant,
        message: &Message,
        is_frame: bool,
        is_key: bool,
    ) {
        // Every later message has nothing to add.
        if self.steps.keyframe.is_some() {
            return;
        }
        let elapsed = self.elapsed(now);
        self.media_stream.get_or_insert(message.message_stream);
        self.steps.media.get_or_insert(elapsed);
        if is_frame {
            self.steps.frame.get_or_insert(elapsed);
        }
        if is_frame && is_key && message.kind == Kind::VIDEO {
            self.steps.keyframe = Some(elapsed);
        }
    }

    pub(super) fn record_malformed(&mut self) {
        self.malformed = self.malformed.saturating_add(1);
    }

    pub(super) fn record_control(&mut self, event: UserControl) {
        self.control.add(event);
    }

    pub(super) fn record_call(&mut self, name: &Text) {
        if self.mask.is_some() && self.calls.len() < MAX_CALLS {
            let name = shorten(name, MAX_NAME);
            if !self.calls.contains(&name) {
                self.calls.push(name);
            }
        }
    }

    pub(super) fn record_connect_answer(
        &mut self,
        now: Instant,
        command: &Command,
        is_accepted: bool,
    ) {
        if self.steps.connect_answer.is_none() {
            self.steps.connect_answer = Some(self.elapsed(now));
            let read = |mask| ConnectAnswer::read(&command.arguments, is_accepted, mask);
            self.connect_answer = self.mask.as_ref().map(read);
        }
    }

    pub(super) fn record_created_stream(&mut self, now: Instant, stream: u32) {
        self.created_stream = Some(stream);
        let elapsed = self.elapsed(now);
        self.steps.create_stream_answer.get_or_insert(elapsed);
    }

    /// Records a status that arrived as the member of `arguments`.
    pub(super) fn record_status(
        &mut self,
        now: Instant,
        status: &Status,
        arguments: &[Value],
        message_stream: u32,
    ) {
        let elapsed = self.elapsed(now);
        let step = match status.code.as_str() {
            "NetStream.Play.Reset" => Some(&mut self.steps.play_reset),
            "NetStream.Play.Start" => Some(&mut self.steps.play_start),
            _ => None,
        };
        if let Some(step) = step {
            step.get_or_insert(elapsed);
        }
        self.is_redirected |= status.redirect.is_some() || status.reconnect_to.is_some();
        let Some(mask) = &self.mask else {
            return;
        };
        let is_known =
            |known: &StatusFacts| known.code == status.code && known.level == status.level;
        if self.statuses.len() >= MAX_STATUSES || self.statuses.iter().any(is_known) {
            return;
        }
        let description = match &status.login_request {
            // It contains the user and the challenge.
            Some(_) => MASK.to_owned(),
            None => mask.apply(status.description.clone()),
        };
        self.statuses.push(StatusFacts {
            level: mask.apply_to_code(status.level.clone()),
            code: mask.apply_to_code(status.code.clone()),
            description,
            members: member_names(arguments),
            time: elapsed,
            message_stream,
        });
    }

    pub(super) fn record_metadata(&mut self, now: Instant, members: &Object) {
        let elapsed = self.elapsed(now);
        self.steps.metadata.get_or_insert(elapsed);
        if let Some(duration) = members.get("duration").and_then(Value::as_number) {
            self.announced_duration_s = Some(duration);
        }
    }

    pub(super) fn record_login_request(&mut self, scheme: &str) {
        self.login_scheme = Some(excerpt(scheme.as_bytes()));
    }
}

/// Returns the names of the members of the object that contains a status.
fn member_names(arguments: &[Value]) -> Vec<String> {
    let mut objects = arguments.iter().filter_map(Value::as_object);
    let information = objects.find(|object| object.get("code").is_some());
    let members = information.into_iter().flat_map(Object::iter);
    let members = members.take(MAX_MEMBERS);
    members.map(|(name, _)| shorten(name, MAX_NAME)).collect()
}

/// Returns the start of a text. Bytes that are not UTF-8 become U+FFFD.
fn shorten(text: &Text, limit: usize) -> String {
    let bytes = text.as_bytes();
    String::from_utf8_lossy(bytes.get(..limit).unwrap_or(bytes)).into_owned()
}

/// Largest number of statuses.
pub const MAX_STATUSES: usize = 32;

/// Largest number of names of calls.
pub const MAX_CALLS: usize = 32;

/// Largest number of message heads. Servers send fewer than this before media.
pub const MAX_FIRST_MESSAGES: usize = 24;

/// Largest number of members of an object. Known servers send up to 12.
pub const MAX_MEMBERS: usize = 32;

/// Largest length of a name in bytes.
const MAX_NAME: usize = 64;
