//! Syncing a file to the disk while it is written.

use std::{
    fmt, io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Syncs a file at an interval, in a thread: a slow disk takes seconds for it. At most one sync runs at a
/// time.
pub(super) struct Syncer {
    sync: Arc<dyn Fn() -> io::Result<()> + Send + Sync>,
    interval: Duration,
    /// Start of the last sync, or of the file.
    started_at: Instant,
    /// Whether the file has changed since the start of the last sync.
    is_dirty: bool,
    has_synced: bool,
    running: Option<JoinHandle<io::Result<()>>>,
    polled_at: Instant,
    /// How long the latest sync took.
    took: Option<Duration>,
}

/// State of the sync.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum SyncState {
    Idle,
    Running,
    /// A sync has just finished: all data that was written before its start is on the disk.
    Done,
}

impl Syncer {
    /// Calls `sync` every `interval`, starting at `now`.
    pub(super) fn new(
        sync: Arc<dyn Fn() -> io::Result<()> + Send + Sync>,
        interval: Duration,
        now: Instant,
    ) -> Self {
        Self {
            sync,
            interval,
            started_at: now,
            is_dirty: true,
            has_synced: false,
            running: None,
            polled_at: now,
            took: None,
        }
    }

    /// Returns how long the latest sync took, once.
    pub(super) fn take_time(&mut self) -> Option<Duration> {
        self.took.take()
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Records that the file has changed.
    pub(super) fn mark_dirty(&mut self) {
        self.is_dirty = true;
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_dirty && now.saturating_duration_since(self.started_at) >= self.interval
    }

    #[cfg(test)]
    pub(super) fn is_running(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|thread| !thread.is_finished())
    }

    /// Time at which [`Syncer::poll`] must be called or a sync is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.running {
            Some(_) => self.polled_at.checked_add(POLL_INTERVAL),
            None if self.is_dirty => self.started_at.checked_add(self.interval),
            None => None,
        }
    }

    /// Starts a sync of all data that is written by now.
    pub(super) fn start(&mut self, now: Instant) {
        self.started_at = now;
        self.polled_at = now;
        let sync = Arc::clone(&self.sync);
        let thread = thread::Builder::new().name("sync".to_owned());
        match thread.spawn(move || sync()) {
            Ok(thread) => {
                self.running = Some(thread);
                self.is_dirty = false;
                self.has_synced = true;
            }
            Err(error) => tracing::warn!("cannot start a thread to sync the file: {error}"),
        }
    }

    /// Returns the state of the sync, or its error, which is returned once.
    pub(super) fn poll(&mut self, now: Instant) -> io::Result<SyncState> {
        self.polled_at = now;
        match self.running.take() {
            None => Ok(SyncState::Idle),
            Some(thread) if !thread.is_finished() => {
                self.running = Some(thread);
                Ok(SyncState::Running)
            }
            Some(thread) => match thread.join() {
                Ok(synced) if synced.is_ok() => {
                    self.took = Some(now.saturating_duration_since(self.started_at));
                    Ok(SyncState::Done)
                }
                Ok(synced) => synced.map(|()| SyncState::Done),
                Err(_) => Err(io::Error::other("the thread that syncs the file panicked")),
            },
        }
    }

    /// Syncs all written data, until `deadline`.
    ///
    /// A file that ends before its first sync is left to the system, so that short downloads do not wait
    /// for the disk.
    pub(super) async fn finish(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let now = Instant::now();
            if self.poll(now)? == SyncState::Running {
                if deadline.is_some_and(|deadline| deadline <= now) {
                    tracing::debug!("the last sync takes too long: finishing without it");
                    return Ok(());
                }
                tokio::time::sleep(POLL_INTERVAL).await;
            } else if self.is_dirty && self.has_synced {
                self.start(now);
                self.is_dirty = false;
            } else {
                return Ok(());
            }
        }
    }
}

impl Drop for Syncer {
    /// A segment is dropped when the next one starts, and its last units are not synced yet.
    fn drop(&mut self) {
        if self.is_dirty && self.has_synced {
            self.start(self.started_at);
        }
    }
}

impl fmt::Debug for Syncer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Syncer").finish_non_exhaustive()
    }
}

/// Time between two polls of a running sync.
const POLL_INTERVAL: Duration = Duration::from_millis(50);
