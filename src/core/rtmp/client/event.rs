//! What a session tells.

use super::Timeout;
use crate::core::{
    amf::Object,
    flv::FrameInfo,
    payload::Payload,
    rtmp::{
        command::{Connect, Redirect},
        message::Message,
    },
};

/// What happened in the session.
#[derive(Debug)]
pub enum Event {
    /// The server accepted the connection.
    Connected,
    /// The server says that media is coming.
    Started,
    /// The server says that the stream is a recorded one.
    Recorded,
    /// The stream's `onMetaData`.
    Metadata {
        /// What it says.
        members: Object,
        /// The whole script data, as it belongs into an FLV tag. To be given back with
        /// [`Client::recycle`](super::Client::recycle).
        payload: Payload,
    },
    /// The stream was over and begins again, on a clock of its own.
    Restarted,
    /// An audio, video or data message. Its payload is the body of an FLV tag (RTMP 7.1).
    Media {
        /// The message. Give its payload back with [`Client::recycle`](super::Client::recycle).
        message: Message,
        /// The facts of the payload.
        info: FrameInfo,
    },
    /// The server sends us elsewhere. The session is over.
    Redirected(Redirect),
    /// The server wants a login, and takes it on a new connection only. The session is over.
    Reconnect {
        /// What that connection's `connect` has to say.
        connect: Box<Connect>,
    },
    /// The session is over.
    Ended(End),
}

/// How a session ended, by a word of the server or by its silence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The stream was sent to its end, says the server.
    Complete(String),
    /// The publisher has left, says the server.
    Unpublished(String),
    /// The server closes the session, and says so.
    Closed(String),
    /// There is no such stream.
    NotFound(String),
    /// The server will not let us play.
    Refused(String),
    /// An error of the server's while media was coming.
    Failed(String),
    /// Nothing came in time.
    TimedOut(Timeout),
}
