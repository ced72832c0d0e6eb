//! What a download reports while it runs.

use std::time::Duration;

use super::outcome::Ending;
use crate::{
    core::amf::Object,
    output::{Gap, SegmentFacts},
    transport::Endpoint,
};

/// Receives the events of a download. Each method does nothing unless it is implemented.
pub trait Report {
    /// A connection to this server is being made.
    fn connecting(&mut self, _endpoint: &Endpoint) {}
    /// The server accepted `connect`.
    fn connected(&mut self) {}
    /// The stream's `onMetaData`.
    fn metadata(&mut self, _metadata: &Object) {}
    /// The stream has begun to come; tells whether a live one was asked for.
    fn started(&mut self, _is_live: bool) {}
    /// The stream has begun to come, and is to go on with a file that holds so much. Called instead of
    /// [`Report::started`].
    fn resuming(&mut self, _progress: &Progress) {
        self.started(false);
    }
    /// Something is missing before what comes next.
    fn gap(&mut self, _gap: &Gap) {}
    /// Another attempt follows after a wait, which begins now.
    fn retry(&mut self, _retry: &Retry) {}
    /// More has come. Called for each read from the network.
    fn progress(&mut self, _progress: &Progress) {}
    /// A file is whole: a part of the recording, or all of it.
    fn segment(&mut self, _facts: &SegmentFacts) {}
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Messages of audio and video that have come.
    pub frames: u64,
    /// Bytes written.
    pub bytes: u64,
    /// How far the output's clock has come, in milliseconds.
    pub position_ms: u64,
    /// The duration that the server claims.
    pub duration_ms: Option<u64>,
}

/// Another attempt that is going to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Its number, from 1 on; counted anew once media has come.
    pub attempt: u32,
    /// How many there are at the most; `None` is no limit.
    pub limit: Option<u32>,
    /// The time until then.
    pub wait: Duration,
    /// What the attempt before ended with.
    pub ending: Ending,
    /// Why, in the server's own words where it had any. Not escaped.
    pub reason: String,
}
