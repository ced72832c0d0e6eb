//! Command messages: the calls that the client sends and the answers and calls of servers (RTMP
//! 7.2).

use std::fmt;

use bytes::Bytes;

use super::{challenge::is_login_required, message::Kind, server_text::excerpt};
use crate::core::amf::{Object, Text, Value, amf0};

/// A command message: name, transaction id and arguments (RTMP 7.1.1). The first argument is the
/// command object.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    /// The name of the call; `_result` and `_error` for answers.
    pub name: Text,
    /// The id that matches an answer to its call; 0 if no answer is expected.
    pub transaction: f64,
    /// The command object, usually null, and the values after it.
    pub arguments: Vec<Value>,
}

impl Command {
    /// Reads the body of a message of type 20 or 17. Values after an undecodable one are dropped.
    /// Returns `None` if the name is not readable.
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
        // Some servers omit the transaction id in their own calls.
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

    /// Returns the transaction id if it can be an id of the client: at least 1 and at most
    /// `u32::MAX`.
    pub fn transaction_id(&self) -> Option<u32> {
        let rounded = self.transaction.round();
        (rounded >= 1.0 && rounded <= f64::from(u32::MAX)).then_some(rounded as u32)
    }

    /// Returns `connect` (RTMP 7.2.1.1). If `enhanced`, it has the members of Enhanced RTMP (E-RTMP
    /// "Enhancing NetConnection connect Command"); otherwise it has exactly the members that
    /// rtmpdump sends.
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

    /// Returns `createStream` (RTMP 7.2.1.3).
    pub fn create_stream(transaction: u32) -> Self {
        Self::new("createStream", transaction, vec![Value::Null])
    }

    /// Returns `FCSubscribe`, which CDNs based on Flash Media Server require before live playback.
    pub fn fc_subscribe(transaction: u32, name: &str) -> Self {
        Self::new("FCSubscribe", transaction, vec![Value::Null, name.into()])
    }

    /// Returns `play` (RTMP 7.2.2.1) with start and duration in milliseconds. The duration is
    /// omitted if all of the stream is requested, because servers disagree on its unit.
    pub fn play(transaction: u32, playpath: &str, start: Start, length_ms: Option<u32>) -> Self {
        let mut arguments = vec![Value::Null, playpath.into(), start.wire_ms().into()];
        arguments.extend(length_ms.map(|ms| f64::from(ms).into()));
        Self::new("play", transaction, arguments)
    }

    /// Returns `set_playlist` for a playlist with one stream.
    pub fn set_playlist(playpath: &str) -> Self {
        let mut playlist = Object::new();
        playlist.push("0", playpath);
        Self::new(
            "set_playlist",
            0,
            vec![Value::Null, Value::EcmaArray(playlist)],
        )
    }

    /// Returns `NetStream.Authenticate.UsherToken`, which servers of justin.tv require.
    pub fn usher_token(transaction: u32, token: &str) -> Self {
        let name = "NetStream.Authenticate.UsherToken";
        Self::new(name, transaction, vec![Value::Null, token.into()])
    }

    /// Returns `secureTokenResponse`, which Wowza requires before any other command.
    pub fn secure_token_response(answer: Vec<u8>) -> Self {
        let answer = Value::String(Bytes::from(answer).into());
        Self::new("secureTokenResponse", 0, vec![Value::Null, answer])
    }

    /// Returns `pause` (RTMP 7.2.2.8) at a stream position: a pause if `is_pause`, otherwise its
    /// end.
    pub fn pause(transaction: u32, is_pause: bool, at_ms: u32) -> Self {
        let arguments = vec![Value::Null, is_pause.into(), f64::from(at_ms).into()];
        Self::new("pause", transaction, arguments)
    }

    /// Returns `deleteStream` (RTMP 7.2.2.3). It must be sent on message stream 0, although the
    /// section lists it among the commands of a NetStream.
    pub fn delete_stream(stream: u32) -> Self {
        Self::new(
            "deleteStream",
            0,
            vec![Value::Null, f64::from(stream).into()],
        )
    }

    /// Returns `_checkbw`, which Flash Media Server expects after its `onBWDone`.
    pub fn check_bandwidth(transaction: u32) -> Self {
        Self::new("_checkbw", transaction, vec![Value::Null])
    }

    /// Returns the answer to a call of the server.
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

/// The command object of `connect` (RTMP 7.2.1.1) and the values after it. `Debug` omits values
/// that may be secret.
#[derive(Clone)]
pub struct Connect {
    /// The name of the app.
    pub app: String,
    /// The `tcUrl`: the URL of the app.
    pub tc_url: String,
    /// The `flashVer` to claim; omitted if empty.
    pub flash_ver: String,
    /// The URL of the player, if given.
    pub swf_url: Option<String>,
    /// The URL of the page around the player, if given.
    pub page_url: Option<String>,
    /// Values sent after the command object, for example tokens and passwords.
    pub arguments: Vec<Value>,
}

impl Connect {
    /// Returns the command object with these members only.
    pub fn new(app: impl Into<String>, tc_url: impl Into<String>) -> Self {
        Self {
            app: app.into(),
            tc_url: tc_url.into(),
            flash_ver: String::new(),
            swf_url: None,
            page_url: None,
            arguments: Vec::new(),
        }
    }
}

impl fmt::Debug for Connect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let app = self.app.split('?').next();
        f.debug_struct("Connect")
            .field("app", &app.unwrap_or_default())
            .finish_non_exhaustive()
    }
}

/// The `start` argument of `play` (RTMP 7.2.2.1). The specification uses seconds; servers and
/// clients use milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Start {
    /// The live stream of that name, or the recorded one if it does not exist: −2000.
    LiveElseRecorded,
    /// The live stream only: −1000.
    Live,
    /// The recorded stream, starting at a position.
    At {
        /// The position in milliseconds.
        ms: u32,
    },
}

impl Start {
    /// Returns the value on the wire, in milliseconds.
    pub fn wire_ms(self) -> f64 {
        match self {
            Self::LiveElseRecorded => -2000.0,
            Self::Live => -1000.0,
            Self::At { ms } => f64::from(ms),
        }
    }
}

/// Returns the number of bytes before the AMF0 values of a command or data message. RTMP 7.1.1,
/// 7.1.2: the AMF3 types start with a format selector of 0. Some servers omit it and start with a
/// string. Returns `None` for any other selector.
pub fn selector_len(kind: Kind, body: &[u8]) -> Option<usize> {
    if kind != Kind::COMMAND_AMF3 && kind != Kind::DATA_AMF3 {
        return Some(0);
    }
    match body.first() {
        Some(&AMF0_STRING) => Some(0),
        Some(0) => Some(1),
        Some(selector) => {
            tracing::debug!("message with unknown format selector {selector} skipped");
            None
        }
        None => {
            tracing::debug!("empty message skipped");
            None
        }
    }
}

/// The status of a server, a connection or a stream: the object with a `code` in `onStatus`,
/// `onPlayStatus`, `_result` and `_error`. Long texts are shortened.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Status {
    /// The level: `status`, `warning` or `error`.
    pub level: String,
    /// The code, for example `NetStream.Play.Start`.
    pub code: String,
    /// The server's description.
    pub description: String,
    /// The redirect, if the status contains one. An error contains the start of an address that is too
    /// long.
    pub redirect: Option<Result<Redirect, String>>,
    /// The complete description, if it requests a login.
    pub login_request: Option<String>,
    /// The tcUrl of a request to reconnect, if the status names one. An error contains the start of a
    /// tcUrl that is too long.
    pub reconnect_to: Option<Result<String, String>>,
}

impl Status {
    /// Finds a status among the arguments. Its position differs between servers.
    pub fn find(arguments: &[Value]) -> Option<Self> {
        let objects = || arguments.iter().filter_map(Value::as_object);
        let info = objects()
            .find(|object| object.get("code").is_some())
            .or_else(|| objects().find(|object| object.get("level").is_some()))?;
        let text = |name| info.get(name).map_or_else(String::new, plain_text);
        let description = info.get("description").and_then(Value::as_text);
        let login_request = description
            .filter(|text| text.len() <= MAX_ADDRESS_LEN)
            .map(Text::to_string)
            .filter(|text| is_login_required(text));
        Some(Self {
            level: text("level"),
            code: text("code"),
            description: text("description"),
            redirect: redirect(info),
            login_request,
            reconnect_to: reconnect_to(info),
        })
    }

    /// Returns true if the level is `error`.
    pub fn is_error(&self) -> bool {
        self.level == "error"
    }

    /// Returns true if the status is that of a stream and not of the connection.
    pub fn is_of_stream(&self) -> bool {
        self.code.starts_with("NetStream.")
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

/// The target of a redirect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Redirect {
    /// A new tcUrl; the playpath stays the same.
    Application(String),
    /// A URL that also names the stream.
    Stream(String),
}

/// A server's request to continue on a new connection (E-RTMP "Reconnect Request").
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ReconnectRequest {
    /// The tcUrl of the new connection, absolute or relative to the current one. `None` means the
    /// current one.
    pub tc_url: Option<String>,
    /// The server's reason, shortened.
    pub description: String,
}

/// The meaning of a status code for a playing client. The codes are those of the Flash Media Server
/// family (RTMP 7.2.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// The status requires no action.
    Information,
    /// The code is unknown.
    Unknown,
    /// Media starts or starts again.
    Started,
    /// A publisher has started, so media will start or start again.
    Published,
    /// The server has executed `pause`.
    Paused,
    /// The server has sent the stream up to its end.
    Complete,
    /// The publisher has left.
    Unpublished,
    /// The server closes the connection.
    Closed,
    /// The server requests a new connection (E-RTMP "Reconnect Request").
    ReconnectRequest,
    /// The stream does not exist.
    NotFound,
    /// The server refuses to play the stream.
    Refused,
}

impl Meaning {
    /// Returns true if the stream cannot be played.
    pub fn is_refusal(self) -> bool {
        matches!(self, Self::NotFound | Self::Refused)
    }

    /// Classifies a status by its code.
    pub fn of(status: &Status) -> Self {
        match status.code.as_str() {
            "NetStream.Play.Start" => Self::Started,
            "NetStream.Play.PublishNotify" => Self::Published,
            "NetStream.Pause.Notify" => Self::Paused,
            "NetStream.Play.Complete" | "NetStream.Play.Stop" => Self::Complete,
            "NetStream.Play.UnpublishNotify" => Self::Unpublished,
            "NetConnection.Connect.Closed"
            | "NetConnection.Connect.AppShutdown"
            | "NetConnection.Connect.IdleTimeOut" => Self::Closed,
            "NetConnection.Connect.ReconnectRequest" => Self::ReconnectRequest,
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
            // The `_error` of the call itself is more specific.
            "NetConnection.Call.Failed" => Self::Information,
            _ => Self::Unknown,
        }
    }
}

/// Returns the redirect that a status contains, if any.
fn redirect(info: &Object) -> Option<Result<Redirect, String>> {
    let ex = info.get("ex").and_then(Value::as_object)?;
    if ex.get("code").and_then(Value::as_number) != Some(302.0) {
        return None;
    }
    let address = |name| {
        let text = ex.get(name).and_then(Value::as_text);
        text.filter(|text| !text.is_empty())
    };
    let (text, redirect): (_, fn(String) -> Redirect) =
        match (address("redirect2"), address("redirect")) {
            (Some(url), _) => (url, Redirect::Stream),
            (None, Some(tc_url)) => (tc_url, Redirect::Application),
            (None, None) => return None,
        };
    Some(match text.len() {
        0..=MAX_ADDRESS_LEN => Ok(redirect(text.to_string())),
        _ => Err(excerpt(text.as_bytes())),
    })
}

/// Returns the tcUrl of a request to reconnect, if any.
fn reconnect_to(info: &Object) -> Option<Result<String, String>> {
    let tc_url = info.get("tcUrl").and_then(Value::as_text)?;
    Some(match tc_url.len() {
        0 => return None,
        1..=MAX_ADDRESS_LEN => Ok(tc_url.to_string()),
        _ => Err(excerpt(tc_url.as_bytes())),
    })
}

/// Returns a member as text, shortened. Servers send most codes as strings and some as numbers.
fn plain_text(value: &Value) -> String {
    match (value.as_text(), value.as_number()) {
        (Some(text), _) => excerpt(text.as_bytes()),
        (None, Some(number)) => number.to_string(),
        (None, None) => String::new(),
    }
}

/// Adds the members of Enhanced RTMP to `connect` (E-RTMP "Enhancing NetConnection connect
/// Command").
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

/// Returns a map from FourCC to capability flags.
fn info_map(four_ccs: [&str; 6]) -> Value {
    let mut map = Object::new();
    map.push("*", Value::Number(CAN_FORWARD));
    for four_cc in four_ccs {
        map.push(four_cc, Value::Number(CAN_DECODE_AND_FORWARD));
    }
    Value::Object(map)
}

/// Largest length of a redirect or a login request, which cannot be shortened. Servers of the web accept
/// URLs up to this length.
const MAX_ADDRESS_LEN: usize = 8 * 1024;

/// Marker of a string (AMF0 2.4).
const AMF0_STRING: u8 = 2;

/// All legacy audio codecs (RTMP 7.2.1.1). Adobe's servers withhold tracks with other codecs.
const AUDIO_CODECS: f64 = 4071.0;

/// All legacy video codecs (RTMP 7.2.1.1).
const VIDEO_CODECS: f64 = 252.0;

/// Client seek (RTMP 7.2.1.1).
const CLIENT_SEEK: f64 = 1.0;

/// Client seek, HDR video and video metadata packets (E-RTMP "videoFunction").
const VIDEO_FUNCTION: f64 = 7.0;

/// Reconnect, and multitrack, ModEx and timestamp nano offset, which are written to the file
/// unchanged (E-RTMP "capsEx").
const CAPS_EX: f64 = 15.0;

/// E-RTMP "FourCcInfoMask": CanForward, for codecs that are not listed.
const CAN_FORWARD: f64 = 4.0;

/// CanDecode and CanForward. Some servers only play to clients that claim to decode.
const CAN_DECODE_AND_FORWARD: f64 = 5.0;

/// All video FourCCs of E-RTMP. MediaMTX compares literally and omits tracks whose FourCC is not
/// listed.
const VIDEO_FOUR_CCS: [&str; 6] = ["av01", "vp09", "vp08", "hvc1", "avc1", "vvc1"];

/// All audio FourCCs of E-RTMP.
const AUDIO_FOUR_CCS: [&str; 6] = ["ac-3", "ec-3", "Opus", ".mp3", "fLaC", "mp4a"];
