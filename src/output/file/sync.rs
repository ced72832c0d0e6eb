//! Bringing a file to the disk, beside the writing of it.

use std::{
    fmt, io,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Brings what a file has to its disk, every now and then and on request: by a thread, since a slow disk
/// takes seconds for it, and never by two at once.
pub(super) struct Disk {
    sync: Arc<dyn Fn() -> io::Result<()> + Send + Sync>,
    interval: Duration,
    /// When the last sync began, or the file.
    since: Instant,
    /// Whether the file has what the last sync did not find in it.
    is_dirty: bool,
    has_synced: bool,
    running: Option<JoinHandle<io::Result<()>>>,
    /// When the thread was looked at last.
    looked_at: Instant,
}

/// What the thread is at.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum State {
    Idle,
    Running,
    /// Just done: all that was written when it began is on the disk.
    Done,
}

impl Disk {
    /// Has `sync` called every `interval`, from `now` on.
    pub(super) fn new(
        sync: Arc<dyn Fn() -> io::Result<()> + Send + Sync>,
        interval: Duration,
        now: Instant,
    ) -> Self {
        Self {
            sync,
            interval,
            since: now,
            is_dirty: true,
            has_synced: false,
            running: None,
            looked_at: now,
        }
    }

    pub(super) fn interval(&self) -> Duration {
        self.interval
    }

    /// Notes that something was written.
    pub(super) fn note_write(&mut self) {
        self.is_dirty = true;
    }

    pub(super) fn is_due(&self, now: Instant) -> bool {
        self.is_dirty && now.saturating_duration_since(self.since) >= self.interval
    }

    /// Whether the thread has not ended yet.
    #[cfg(test)]
    pub(super) fn is_at_work(&self) -> bool {
        let running = self.running.as_ref();
        running.is_some_and(|thread| !thread.is_finished())
    }

    /// When [`Disk::look`] or a sync is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        match self.running {
            Some(_) => Some(self.looked_at + LOOK_INTERVAL),
            None if self.is_dirty => self.since.checked_add(self.interval),
            None => None,
        }
    }

    /// Begins to bring to the disk all that is written by now.
    pub(super) fn start(&mut self, now: Instant) {
        self.since = now;
        self.looked_at = now;
        let sync = Arc::clone(&self.sync);
        let thread = thread::Builder::new().name("sync".to_owned());
        match thread.spawn(move || sync()) {
            Ok(thread) => {
                self.running = Some(thread);
                self.is_dirty = false;
                self.has_synced = true;
            }
            Err(error) => tracing::warn!("cannot bring the file to the disk now: {error}"),
        }
    }

    /// Looks at what the thread is at. An error is told once.
    pub(super) fn look(&mut self, now: Instant) -> io::Result<State> {
        self.looked_at = now;
        match self.running.take() {
            None => Ok(State::Idle),
            Some(thread) if !thread.is_finished() => {
                self.running = Some(thread);
                Ok(State::Running)
            }
            Some(thread) => match thread.join() {
                Ok(synced) => synced.map(|()| State::Done),
                Err(_) => Err(io::Error::other("bringing the file to the disk failed")),
            },
        }
    }

    /// Brings all that is written to the disk, until `deadline`. A file that is younger than the first
    /// sync is left to the system.
    pub(super) async fn finish(&mut self, deadline: Option<Instant>) -> io::Result<()> {
        loop {
            let now = Instant::now();
            if self.look(now)? == State::Running {
                if deadline.is_some_and(|deadline| deadline <= now) {
                    tracing::debug!("the disk is not waited for any longer");
                    return Ok(());
                }
                tokio::time::sleep(LOOK_INTERVAL).await;
            } else if self.is_dirty && self.has_synced {
                self.start(now);
                self.is_dirty = false;
            } else {
                return Ok(());
            }
        }
    }
}

impl Drop for Disk {
    /// A part that is over may be given up while its end is still on the way to the disk.
    fn drop(&mut self) {
        if self.is_dirty && self.has_synced {
            self.start(self.since);
        }
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").finish_non_exhaustive()
    }
}

/// How often a thread that is at work is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
