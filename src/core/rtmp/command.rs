//! Command messages: what we call, and what servers answer (RTMP 7.2, ERR).

use std::fmt;

use bytes::Bytes;

use super::message::Kind;
use crate::core::amf::{Object, Text, Value, amf0};

/// A command: its name, its transaction id, and its arguments, of which the first is the command
/// object.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// What is called, `_result` and `_error` for answers.
    pub name: Text,
    /// Matches an answer to its call; 0 where none is expected.
    pub transaction: f64,
    /// The command object, most often null, and what follows it.
    pub arguments: Vec<Value>,
}

impl Command {
    /// Reads the body of a message of type 20 or 17. What stands behind something unreadable is
    /// left out.
    pub fn read(kind: Kind, body: &[u8]) -> Option<Self> {
        let body = body.get(selector_len(kind, body)?..)?;
        let (values, error) = amf0::decode_all(Bytes::copy_from_slice(body));
        if let Some(error) = error {
            tracing::debug!("command message cut short: {error}");
        }
        let mut values = values.into_iter();
        let Some(Value::String(name)) = values.next() else {
            return None;
        };
        // One server family leaves the transaction id out of what it calls itself.
        let mut arguments: Vec<Value> = values.collect();
        let transaction = match arguments.first().and_then(Value::as_number) {
            Some(transaction) => {
                arguments.remove(0);
                transaction
            }
            None => 0.0,
        };
        Some(Self {
            name,
            transaction,
            arguments,
        })
    }

    /// Appends the body of a message of type 20.
    pub fn write(&self, body: &mut Vec<u8>) {
        amf0::encode(&Value::String(self.name.clone()), body);
        amf0::encode(&Value::Number(self.transaction), body);
        for argument in &self.arguments {
            amf0::encode(argument, body);
        }
    }

    /// The transaction id where it is one of those that we give: whole and above 0.
    pub fn transaction_id(&self) -> Option<u32> {
        let rounded = self.transaction.round();
        (rounded >= 1.0 && rounded <= f64::from(u32::MAX)).then_some(rounded as u32)
    }

    /// `connect` (RTMP 7.2.1.1), with the members of Enhanced RTMP where `enhanced` (E-RTMP "Enhancing
    /// NetConnection connect Command"). Without them it is, member by member, what rtmpdump sends.
    pub fn connect(transaction: u32, connect: &Connect, enhanced: bool) -> Self {
        let mut object = Object::new();
        object.push("app", Value::from(connect.app.as_str()));
        if !connect.flash_ver.is_empty() {
            object.push("flashVer", Value::from(connect.flash_ver.as_str()));
        }
        if let Some(swf_url) = &connect.swf_url {
            object.push("swfUrl", Value::from(swf_url.as_str()));
        }
        object.push("tcUrl", Value::from(connect.tc_url.as_str()));
        object.push("fpad", Value::Boolean(false));
        object.push("capabilities", Value::Number(15.0));
        object.push("audioCodecs", Value::Number(AUDIO_CODECS));
        object.push("videoCodecs", Value::Number(VIDEO_CODECS));
        let video_function = if enhanced {
            VIDEO_FUNCTION
        } else {
            CLIENT_SEEK
        };
        object.push("videoFunction", Value::Number(video_function));
        if let Some(page_url) = &connect.page_url {
            object.push("pageUrl", Value::from(page_url.as_str()));
        }
        if enhanced {
            push_enhanced(&mut object);
        }
        let mut arguments = vec![Value::Object(object)];
        arguments.extend(connect.arguments.iter().cloned());
        Self::new("connect", transaction, arguments)
    }

    /// `createStream` (RTMP 7.2.1.3).
    pub fn create_stream(transaction: u32) -> Self {
        Self::new("createStream", transaction, vec![Value::Null])
    }

    /// `FCSubscribe`, which Flash Media Server's CDNs want before live playing.
    pub fn fc_subscribe(transaction: u32, name: &str) -> Self {
        Self::new("FCSubscribe", transaction, vec![Value::Null, name.into()])
    }

    /// `play` (RTMP 7.2.2.1), in milliseconds, without duration where all is wanted: servers differ on
    /// its unit.
    pub fn play(transaction: u32, playpath: &str, start: Start, length_ms: Option<u32>) -> Self {
        let mut arguments = vec![Value::Null, playpath.into(), start.wire_ms().into()];
        arguments.extend(length_ms.map(|ms| f64::from(ms).into()));
        Self::new("play", transaction, arguments)
    }

    /// `set_playlist`, with one stream to play.
    pub fn set_playlist(playpath: &str) -> Self {
        let mut playlist = Object::new();
        playlist.push("0", playpath);
        Self::new(
            "set_playlist",
            0,
            vec![Value::Null, Value::EcmaArray(playlist)],
        )
    }

    /// `NetStream.Authenticate.UsherToken`, which justin.tv's servers want.
    pub fn usher_token(transaction: u32, token: &str) -> Self {
        let name = "NetStream.Authenticate.UsherToken";
        Self::new(name, transaction, vec![Value::Null, token.into()])
    }

    /// `secureTokenResponse`, which Wowza wants before anything else.
    pub fn secure_token_response(answer: Vec<u8>) -> Self {
        let answer = Value::String(Bytes::from(answer).into());
        Self::new("secureTokenResponse", 0, vec![Value::Null, answer])
    }

    /// `pause` (RTMP 7.2.2.8) where `is_pause`, else its end, at a position in the stream.
    pub fn pause(transaction: u32, is_pause: bool, at_ms: u32) -> Self {
        let arguments = vec![Value::Null, is_pause.into(), f64::from(at_ms).into()];
        Self::new("pause", transaction, arguments)
    }

    /// `deleteStream` (RTMP 7.2.2.3), to be sent on message stream 0 (ERR).
    pub fn delete_stream(stream: u32) -> Self {
        Self::new(
            "deleteStream",
            0,
            vec![Value::Null, f64::from(stream).into()],
        )
    }

    /// `_checkbw`: what Flash Media Server waits for after its `onBWDone`.
    pub fn check_bandwidth(transaction: u32) -> Self {
        Self::new("_checkbw", transaction, vec![Value::Null])
    }

    /// The answer to a call of the server's.
    pub fn answer(name: &str, transaction: f64, value: Value) -> Self {
        Self {
            name: name.into(),
            transaction,
            arguments: vec![Value::Null, value],
        }
    }

    fn new(name: &str, transaction: u32, arguments: Vec<Value>) -> Self {
        Self {
            name: name.into(),
            transaction: transaction.into(),
            arguments,
        }
    }
}

/// The command object of `connect` (RTMP 7.2.1.1) and what follows it. Its `Debug` leaves out whatever
/// may be secret.
#[derive(Clone)]
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

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = self.app.split('?').next();
        f.debug_struct("Connect")
            .field("app", &app.unwrap_or_default())
            .finish_non_exhaustive()
    }
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

/// How many bytes of a command or data message stand before its AMF0 values: the AMF3 types start
/// with a format selector of 0 (ERR). Some servers leave it out, and begin with a string; what
/// another selector would mean is unknown.
pub fn selector_len(kind: Kind, body: &[u8]) -> Option<usize> {
    if kind != Kind::COMMAND_AMF3 && kind != Kind::DATA_AMF3 {
        return Some(0);
    }
    match body.first() {
        Some(&AMF0_STRING) => Some(0),
        Some(0) => Some(1),
        selector => {
            tracing::debug!("message with the unknown format selector {selector:?} skipped");
            None
        }
    }
}

/// What a server says about itself, a connection or a stream: the object with a `code` in
/// `onStatus`, `onPlayStatus`, `_result` and `_error`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// `status`, `warning` or `error`.
    pub level: String,
    /// Such as `NetStream.Play.Start`.
    pub code: String,
    /// The server's own words.
    pub description: String,
    /// The whole object.
    pub info: Object,
}

impl Status {
    /// Looks for a status wherever it stands among the arguments: servers disagree on the place.
    pub fn find(arguments: &[Value]) -> Option<Self> {
        let objects = || arguments.iter().filter_map(Value::as_object);
        let info = objects()
            .find(|object| object.get("code").is_some())
            .or_else(|| objects().find(|object| object.get("level").is_some()))?;
        let text = |name| info.get(name).map_or_else(String::new, plain_text);
        Some(Self {
            level: text("level"),
            code: text("code"),
            description: text("description"),
            info: info.clone(),
        })
    }

    /// Whether the server calls it an error.
    pub fn is_error(&self) -> bool {
        self.level == "error"
    }

    /// Where the server sends us, if it does.
    pub fn redirect(&self) -> Option<Redirect> {
        let ex = self.info.get("ex").and_then(Value::as_object)?;
        if ex.get("code").and_then(Value::as_number) != Some(302.0) {
            return None;
        }
        let address = |name| ex.get(name).map(plain_text).filter(|text| !text.is_empty());
        match (address("redirect2"), address("redirect")) {
            (Some(url), _) => Some(Redirect::Stream(url)),
            (None, Some(tc_url)) => Some(Redirect::Application(tc_url)),
            (None, None) => None,
        }
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code.as_str(), self.description.as_str()) {
            ("", description) => f.write_str(description),
            (code, "") => f.write_str(code),
            (code, description) => write!(f, "{code}: {description}"),
        }
    }
}

/// Another place for the same stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// A new tcUrl; the playpath stays.
    Application(String),
    /// A URL that names the stream too.
    Stream(String),
}

/// What a status code means for somebody who plays (protocol of the Flash Media Server family).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// Nothing that changes what we do.
    Information,
    /// Not known to us.
    Unknown,
    /// Media is coming, or is coming again.
    Started,
    /// The server has paused, as it was asked to.
    Paused,
    /// The stream was sent to its end.
    Complete,
    /// The publisher has left.
    Unpublished,
    /// The server ends the connection, and says so.
    Closed,
    /// There is no such stream.
    NotFound,
    /// The server will not let us play.
    Refused,
}

impl Meaning {
    /// Judges by the code alone.
    pub fn of(status: &Status) -> Self {
        match status.code.as_str() {
            "NetStream.Play.Start" | "NetStream.Play.PublishNotify" => Self::Started,
            "NetStream.Pause.Notify" => Self::Paused,
            "NetStream.Play.Complete" | "NetStream.Play.Stop" => Self::Complete,
            "NetStream.Play.UnpublishNotify" => Self::Unpublished,
            "NetConnection.Connect.Closed"
            | "NetConnection.Connect.AppShutdown"
            | "NetConnection.Connect.IdleTimeOut" => Self::Closed,
            "NetStream.Play.StreamNotFound" => Self::NotFound,
            "NetConnection.Connect.Rejected"
            | "NetConnection.Connect.Failed"
            | "NetConnection.Connect.InvalidApp"
            | "NetConnection.Connect.BadVersion"
            | "NetConnection.Call.BadVersion"
            | "NetConnection.Proxy.NotResponding"
            | "NetStream.Play.Failed"
            | "NetStream.Failed"
            | "NetStream.Play.FileStructureInvalid"
            | "NetStream.Play.NoSupportedTrackFound" => Self::Refused,
            code if code.starts_with("NetStream.Authenticate.") && status.is_error() => {
                Self::Refused
            }
            // The answer to the call itself says more.
            "NetConnection.Call.Failed" => Self::Information,
            _ => Self::Unknown,
        }
    }
}

/// A member as text: servers send codes as strings, and numbers where one would not think so.
fn plain_text(value: &Value) -> String {
    match (value.as_text(), value.as_number()) {
        (Some(text), _) => text.to_string(),
        (None, Some(number)) => number.to_string(),
        (None, None) => String::new(),
    }
}

/// What Enhanced RTMP adds to `connect` (E-RTMP "Enhancing NetConnection connect Command").
fn push_enhanced(object: &mut Object) {
    object.push("objectEncoding", Value::Number(0.0));
    let four_ccs = VIDEO_FOUR_CCS.into_iter().chain(AUDIO_FOUR_CCS);
    object.push(
        "fourCcList",
        Value::StrictArray(four_ccs.map(Value::from).collect()),
    );
    object.push("videoFourCcInfoMap", info_map(VIDEO_FOUR_CCS));
    object.push("audioFourCcInfoMap", info_map(AUDIO_FOUR_CCS));
    object.push("capsEx", Value::Number(CAPS_EX));
}

/// FourCC → what we do with it.
fn info_map(four_ccs: [&str; 6]) -> Value {
    let mut map = Object::new();
    map.push("*", Value::Number(CAN_FORWARD));
    for four_cc in four_ccs {
        map.push(four_cc, Value::Number(CAN_DECODE_AND_FORWARD));
    }
    Value::Object(map)
}

/// The marker of a string (AMF0 2.4).
const AMF0_STRING: u8 = 2;

/// Every legacy audio codec (RTMP 7.2.1.1). Adobe's servers filter media by it.
const AUDIO_CODECS: f64 = 4071.0;

/// Every legacy video codec (RTMP 7.2.1.1).
const VIDEO_CODECS: f64 = 252.0;

/// Client seek (RTMP 7.2.1.1).
const CLIENT_SEEK: f64 = 1.0;

/// Client seek, HDR video and video metadata packets (E-RTMP "videoFunction").
const VIDEO_FUNCTION: f64 = 7.0;

/// Multitrack, ModEx and timestamp nano offset (E-RTMP "capsEx"); we write the tags unchanged.
/// Reconnect is not offered.
const CAPS_EX: f64 = 14.0;

/// E-RTMP "FourCcInfoMask": CanForward, for any codec not named.
const CAN_FORWARD: f64 = 4.0;

/// Some servers let play only those who claim to decode.
const CAN_DECODE_AND_FORWARD: f64 = 5.0;

/// Every video FourCC of E-RTMP, spelled out: MediaMTX compares literally, and leaves out tracks
/// whose FourCC is not listed.
const VIDEO_FOUR_CCS: [&str; 6] = ["av01", "vp09", "vp08", "hvc1", "avc1", "vvc1"];

/// Every audio FourCC of E-RTMP.
const AUDIO_FOUR_CCS: [&str; 6] = ["ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a"];
