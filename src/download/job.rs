//! What a download is asked to do.

use jiff::Timestamp;
use tokio::sync::watch;

use super::{retry::RetryPolicy, swf_player::Player};
use crate::{
    core::rtmp::client::config::Config,
    output::{Destination, FileOptions, GapPolicy, SegmentOptions},
    transport::{Dialer, Route},
};

/// One download, with nothing left to decide.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where to connect, and what to travel in.
    pub route: Route,
    /// What to say there.
    pub session: Config,
    /// The player that the session proves to be, where it is not known yet.
    pub player: Option<Player>,
    /// How connections are made.
    pub dialer: Dialer,
    /// Where the recording goes.
    pub output: Destination,
    /// What gets the stream too, beside a recording in files: standard output, a FIFO or a device.
    pub pipe: Option<Destination>,
    /// How much of a live stream waits for the reader of a pipe before frames are left out.
    pub backlog_bytes: usize,
    /// How it is written there if that is a file.
    pub file: FileOptions,
    /// What is tried again.
    pub retry: RetryPolicy,
    /// What becomes of the time that is missing from a live stream.
    pub gap: GapPolicy,
    /// Whether the server's timestamps are written as they are.
    pub keep_timestamps: bool,
    /// What else app and playpath may be, to be tried in turn where the server knows them not.
    pub candidates: Vec<Candidate>,
    /// Where on the output's clock the recording ends, in milliseconds.
    pub stop_ms: Option<u64>,
    /// Where else the recording ends.
    pub limits: Limits,
    /// How the output is cut, and who hears of it.
    pub parts: SegmentOptions,
    /// How the recording that is in the output is gone on with; `None` writes it anew. What is no
    /// regular file has none.
    pub resume: Option<Resume>,
}

impl Job {
    /// How long the recording may become on the output's clock, in milliseconds.
    pub fn length_ms(&self) -> Option<u64> {
        let lengths = self.stop_ms.into_iter().chain(self.limits.duration_ms);
        lengths.min()
    }
}

/// What ends a recording that the server would go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// How long it may become on the output's clock, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How many bytes the output may have, all parts together.
    pub bytes: Option<u64>,
    /// When it ends.
    pub until: Option<Timestamp>,
    /// How many bytes are to stay free on the output's disk. Fewer are a failure.
    pub min_free: Option<u64>,
}

/// One place on a server that may have the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The application.
    pub app: String,
    /// The stream's name in it.
    pub playpath: String,
    /// The address of the application.
    pub tc_url: String,
}

/// How an earlier recording is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resume {
    /// How many keyframes before the last one the old recording and the new one are joined.
    pub skip_keyframes: u32,
}

/// The user's wish to end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A wish, and the handle that says it by sending `true`.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether the user wishes to end.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the user wishes to end; for ever where nobody can wish it any more.
    pub(crate) async fn requested(&mut self) {
        if self.0.wait_for(|is_requested| *is_requested).await.is_err() {
            std::future::pending().await
        }
    }
}
