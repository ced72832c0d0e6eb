//! Status of all streams of the process, for the metrics, the status page and the display of many streams.
//!
//! Each stream has a [`StatusListener`], which updates its [`StreamStatus`]. Readers visit the streams one
//! after the other. A reader holds the lock of one stream only while it copies some numbers, so it never delays
//! a download noticeably. An update of the progress allocates nothing.

mod liveness;
mod rate;
mod stream;
#[cfg(test)]
pub(in crate::cli) mod tests;
mod totals;

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use jiff::Timestamp;

pub use self::{
    liveness::{Liveness, LoopAge, MainLoop},
    rate::{RATE_SECONDS, RateHistory},
    stream::{End, LastGap, State, StreamStatus},
    totals::Totals,
};
use super::listeners::Listener;
use crate::{
    cli::{
        exit_code::{Exit, NotStarted},
        terminal::screen::Screen,
    },
    download::{Outcome, Progress, Report, Retry},
    output::{Gap, SegmentFacts},
    transport::Endpoint,
};

/// All streams of the process, by name.
#[derive(Debug)]
pub struct Registry {
    /// Removes secrets from texts.
    screen: Arc<Screen>,
    /// Start of second 0 of all [`RateHistory`]s.
    started: Instant,
    started_at: Timestamp,
    streams: Mutex<BTreeMap<String, Arc<Mutex<StreamStatus>>>>,
    /// Whether all streams of the start of the process are added.
    is_complete: AtomicBool,
    liveness: Liveness,
}

impl Registry {
    /// Creates a registry without streams. Secrets known to `screen` are masked in all texts.
    pub fn new(screen: Arc<Screen>) -> Arc<Self> {
        Arc::new(Self {
            screen,
            started: Instant::now(),
            started_at: Timestamp::now(),
            streams: Mutex::default(),
            is_complete: AtomicBool::new(false),
            liveness: Liveness::default(),
        })
    }

    /// Returns the listener for a download of the stream `name`, and adds the stream if it is new.
    ///
    /// If an earlier download had the same name, its counters continue: a scraper must not see them fall.
    pub fn open(self: &Arc<Self>, name: &str) -> StatusListener {
        let name = self.screen.redacted(name);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        let stream = streams.entry(name).or_insert_with_key(|name| {
            let status = StreamStatus::new(name.clone(), Instant::now());
            Arc::new(Mutex::new(status))
        });
        let listener = StatusListener {
            registry: Arc::clone(self),
            stream: Arc::clone(stream),
        };
        listener.update(|status, now| status.reopen(now));
        listener
    }

    /// Removes a stream that the user removed from the list. Does nothing if it is unknown.
    pub fn remove(&self, name: &str) {
        let name = self.screen.redacted(name);
        let mut streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
        streams.remove(&name);
    }

    /// Calls `visit` with each stream, sorted by name. `visit` must not block.
    pub fn for_each(&self, mut visit: impl FnMut(&StreamStatus)) {
        let streams: Vec<_> = {
            let streams = self.streams.lock().unwrap_or_else(PoisonError::into_inner);
            streams.values().cloned().collect()
        };
        for stream in streams {
            visit(&stream.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Notes that all streams are added that the process records from its start.
    pub fn complete(&self) {
        self.is_complete.store(true, Ordering::Relaxed);
    }

    /// Whether all streams are added, and each has made its first attempt or has ended.
    pub fn is_ready(&self) -> bool {
        let mut is_ready = self.is_complete.load(Ordering::Relaxed);
        self.for_each(|stream| is_ready &= stream.attempts > 0 || stream.state.is_over());
        is_ready
    }

    /// The main loops of the process, and whether they turn.
    pub fn liveness(&self) -> &Liveness {
        &self.liveness
    }

    /// Returns the number of the second that `now` lies in, for [`RateHistory`].
    pub fn second(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs()
    }

    /// Time at which the registry was created.
    pub fn started_at(&self) -> Timestamp {
        self.started_at
    }
}

/// Updates the status of one stream from the events of its download.
#[derive(Debug)]
pub struct StatusListener {
    registry: Arc<Registry>,
    stream: Arc<Mutex<StreamStatus>>,
}

impl StatusListener {
    /// Notes that the download could not be started.
    pub fn not_started(&self, word: NotStarted, reason: &str) {
        let end = End {
            word: word.to_string(),
            reason: self.registry.screen.redacted(reason),
            exit: Exit::Failure,
        };
        self.update(|status, now| status.finish(end, now));
    }

    fn update(&self, change: impl FnOnce(&mut StreamStatus, Instant)) {
        let now = Instant::now();
        let mut status = self.stream.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut status, now);
    }
}

impl Listener for StatusListener {
    fn finished(&mut self, outcome: &Outcome) {
        let end = End {
            word: outcome.ending.to_string(),
            reason: self.registry.screen.redacted(&outcome.reason),
            exit: Exit::from(outcome),
        };
        self.update(|status, now| status.finish(end, now));
    }
}

impl Report for StatusListener {
    fn connecting(&mut self, _: &Endpoint) {
        self.update(StreamStatus::connect);
    }

    fn started(&mut self, _: bool) {
        self.update(|status, _| status.start(None));
    }

    fn resuming(&mut self, progress: &Progress) {
        self.update(|status, _| status.start(Some(progress)));
    }

    fn gap(&mut self, gap: &Gap) {
        let gap = LastGap {
            at_ms: gap.at_ms,
            began: gap.began,
            length_ms: gap.length_ms,
            reason: self.registry.screen.redacted(&gap.reason),
        };
        self.update(|status, _| status.add_gap(gap));
    }

    fn source_lost(&mut self) {
        self.update(|status, now| status.fail_attempt(now));
    }

    fn retry(&mut self, _: &Retry) {
        self.update(|status, now| status.fail_attempt(now));
    }

    fn progress(&mut self, progress: &Progress) {
        let registry = &self.registry;
        self.update(|status, now| status.advance(progress, now, registry.second(now)));
    }

    fn file_opened(&mut self, path: &Path) {
        let file = self.registry.screen.redacted(&path.to_string_lossy());
        self.update(|status, _| status.current_file = Some(file));
    }

    fn segment(&mut self, _: &SegmentFacts) {
        self.update(|status, _| status.segments = status.segments.saturating_add(1));
    }
}
