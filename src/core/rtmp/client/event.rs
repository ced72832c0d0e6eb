//! Events that a session reports.

use super::Timeout;
use crate::core::{
    amf::Object,
    flv::FrameInfo,
    payload::Payload,
    rtmp::{
        command::{Connect, ReconnectRequest, Redirect},
        message::{Message, Timestamp},
    },
};

/// An event of the session.
#[derive(Debug)]
pub enum Event {
    /// The server has accepted `connect`.
    Connected,
    /// The server has announced media (`NetStream.Play.Start`).
    Started,
    /// The server has announced a publisher (`NetStream.Play.PublishNotify`): the stream is live.
    Published,
    /// The server has announced a recorded stream (Stream Is Recorded).
    Recorded,
    /// The `onMetaData` of the stream.
    Metadata {
        /// The members of the metadata.
        members: Object,
        /// The timestamp of the message.
        timestamp: Timestamp,
        /// The complete script data in the format of an FLV tag body. Return it with
        /// [`Client::recycle`](super::Client::recycle).
        payload: Payload,
    },
    /// The stream had ended and starts again with a new clock.
    Restarted,
    /// An audio, video or data message. Its payload is the body of an FLV tag (RTMP 7.1).
    Media {
        /// The message. Return its payload with [`Client::recycle`](super::Client::recycle).
        message: Message,
        /// The facts of the payload.
        info: FrameInfo,
    },
    /// The server requests a new connection. The session continues.
    ReconnectRequested(ReconnectRequest),
    /// The server redirects the client. The session is over.
    Redirected(Redirect),
    /// The server requires a login, which needs a new connection. The session is over.
    LoginRequired {
        /// The `connect` of the new connection.
        connect: Box<Connect>,
    },
    /// The session is over.
    Ended(End),
}

/// How a session ended: by a message from the server or by a timeout. The texts are the server's
/// own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// The server reports that it has sent the stream up to its end.
    Complete(String),
    /// The server reports that the publisher has left.
    Unpublished(String),
    /// The server announces that it closes the session.
    Closed(String),
    /// The stream does not exist.
    NotFound(String),
    /// The server refuses to play the stream.
    Refused(String),
    /// The server reported an error after media had arrived.
    Failed(String),
    /// The server did not send the required message in time.
    TimedOut(Timeout),
}
