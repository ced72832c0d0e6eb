//! The events that a download reports while it runs.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use super::{outcome::Ending, stream_format::FormatChange, tracks::NewTrack};
use crate::{
    core::{
        amf::Object,
        flv::FrameInfo,
        rtmp::{client::facts::SessionFacts, message::Timestamp},
    },
    output::{Drops, Gap, SegmentFacts},
    transport::{DialFacts, Endpoint, Route, TunnelFacts},
};

/// A receiver of progress events. Each method does nothing unless it is implemented.
pub trait Report {
    /// A connection to this server is being made.
    fn connecting(&mut self, _endpoint: &Endpoint) {}
    /// Dialing along `_route` has ended, perhaps with a failure or because the user stopped it.
    fn dialed(&mut self, _route: &Route, _facts: &DialFacts) {}
    /// The RTMPT session of a connection has ended. Called before [`Report::session`].
    fn tunnel(&mut self, _facts: &TunnelFacts) {}
    /// A session has ended. Called once for each session, also if another one follows.
    fn session(&mut self, _facts: &SessionFacts) {}
    /// The server accepted `connect`.
    fn connected(&mut self) {}
    /// The stream's `onMetaData` arrived.
    fn metadata(&mut self, _metadata: &Object) {}
    /// The stream started. `_is_live` is whether the user requested a live stream.
    fn started(&mut self, _is_live: bool) {}
    /// The stream started and must continue an existing recording of this size. Called instead of
    /// [`Report::started`].
    fn resuming(&mut self, _progress: &Progress) {
        self.started(false);
    }
    /// Stream time is missing before the next frame.
    fn gap(&mut self, _gap: &Gap) {}
    /// A track of the stream arrived for the first time.
    fn track(&mut self, _track: &NewTrack) {}
    /// The codec, resolution or sample rate changes in mid-stream.
    fn format_changed(&mut self, _change: &FormatChange) {}
    /// The server requested a new connection, or a requested one was made or failed.
    fn reconnect(&mut self, _reconnect: &Reconnect) {}
    /// The attempt has failed, and one with the next source of the stream follows at once.
    fn source_lost(&mut self) {}
    /// Another source of the stream has taken over: its first frame is being written.
    fn source(&mut self, _switch: &SourceSwitch) {}
    /// Another attempt follows after a wait that starts now.
    fn retry(&mut self, _retry: &Retry) {}
    /// More data was processed. Called once per read from the network.
    fn progress(&mut self, _progress: &Progress) {}
    /// A file of the recording was opened, and the following frames are written to it.
    fn file_opened(&mut self, _path: &Path) {}
    /// A file of the recording is complete.
    fn segment(&mut self, _facts: &SegmentFacts) {}
    /// Whether [`Report::message`] must be called, and [`Report::session`] with the answers of the server. Read
    /// once, when the download starts.
    fn wants_messages(&self) -> bool {
        false
    }
    /// An audio, video or script message arrived on the playing connection, including those that are not
    /// recorded. Called in the order of arrival, before the message gets an output time.
    fn message(&mut self, _message: &ReceivedMessage<'_>) {}
    /// Whether the report needs no more of the stream. The download then ends with [`Ending::Limit`].
    /// Called about once per read from the network.
    fn is_satisfied(&self) -> bool {
        false
    }
}

/// An audio, video or script message as it arrived.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedMessage<'a> {
    /// Start of the turn in which the message was processed.
    pub now: Instant,
    /// Timestamp of the server.
    pub timestamp: Timestamp,
    /// Facts of the message; its track tells audio, video and script data apart.
    pub info: FrameInfo,
    /// Payload: the body of an FLV tag. `onMetaData` starts with its name.
    pub body: &'a [u8],
}

/// Progress of a download.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Number of received audio and video messages.
    pub frames: u64,
    /// Number of video messages among `frames`.
    pub video_frames: u64,
    /// Size of all received audio, video and script messages, with tracks that are not recorded.
    pub received_bytes: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Position of the output clock, in milliseconds.
    pub position_ms: u64,
    /// Duration that the server announced, in milliseconds.
    pub duration_ms: Option<u64>,
    /// Whether the stream is live as far as is known, so that the announced duration is that of the file
    /// which the publisher plays.
    pub is_live: bool,
    /// Frames that the pipe lacks because its reader was too slow.
    pub drops: Drops,
}

/// An attempt that is about to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Its number, from 1. The count restarts after media has arrived.
    pub attempt: u32,
    /// Largest number of attempts; `None` means no limit.
    pub limit: Option<u32>,
    /// Time until the attempt.
    pub wait: Duration,
    /// Ending of the previous attempt.
    pub ending: Ending,
    /// Cause of the previous ending, in the server's own words if it gave any. Not escaped.
    pub reason: String,
}

/// A step of a requested reconnect, which replaces a connection while it plays.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reconnect {
    /// How far the reconnect got.
    pub state: ReconnectState,
    /// Server of the new connection.
    pub endpoint: Endpoint,
    /// Reason of the request in the server's own words, or of the failure. Not escaped.
    pub reason: String,
}

/// How far a requested reconnect got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReconnectState {
    /// The new connection is being made, and the old one still plays.
    Started,
    /// The recording continues with the new connection.
    Moved,
    /// The recording continues with the old connection.
    Failed,
}

/// A switch to another source of the same stream (`--fallback`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceSwitch {
    /// Number of the source, from 1 for the first one.
    pub number: usize,
    /// Its server.
    pub endpoint: Endpoint,
    /// Why the source takes over. Not escaped.
    pub reason: String,
    /// Length of the gap before its first frame, in milliseconds; `None` if the recording has none.
    pub gap_ms: Option<u64>,
}
