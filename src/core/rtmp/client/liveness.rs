//! Activity of the server that extends the timeouts while media is expected.
//!
//! Each frame restarts the silence timeout. Nothing else may extend it without a limit, because a
//! server could then hold the connection open without sending media:
//!
//! - The notifications that a stream has ended and starts again each start a wait. Between two frames
//!   the first such pair restarts the silence timeout. After later pairs, each wait resumes where it
//!   was interrupted.
//! - An unfinished message extends the timeouts while it grows, up to [`MAX_EXTENSIONS`] times the
//!   timeout between two frames.

use std::time::{Duration, Instant};

/// The time from which the silence timeout counts, and how often it was restarted without a frame.
#[derive(Debug)]
pub(super) struct Liveness {
    alive_at: Instant,
    /// The stream has restarted since the last frame.
    has_restarted: bool,
    /// Time since the last frame in which the stream was reported to have ended.
    waited: Duration,
    /// Time since the last frame by which unfinished messages extended the timeouts.
    extended_by: Duration,
    /// Size of the unfinished messages when they last extended the timeouts.
    unfinished_bytes: usize,
}

impl Liveness {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            alive_at: now,
            has_restarted: false,
            waited: Duration::ZERO,
            extended_by: Duration::ZERO,
            unfinished_bytes: 0,
        }
    }

    /// Returns the time from which the silence timeout counts.
    pub(super) fn alive_at(&self) -> Instant {
        self.alive_at
    }

    /// Records a frame, which restarts the silence timeout and all limits on its extension.
    pub(super) fn record_frame(&mut self, now: Instant) {
        *self = Self::new(now);
    }

    /// Restarts the silence timeout because the silence is not the server's fault, or because the
    /// stream starts.
    pub(super) fn restart(&mut self, now: Instant) {
        self.alive_at = now;
        self.extended_by = Duration::ZERO;
    }

    /// Begins the wait for the confirmation of an end or for another publisher. Returns its start,
    /// which lies in the past if the wait was interrupted without a frame.
    pub(super) fn begin_wait(&self, now: Instant) -> Instant {
        now.checked_sub(self.waited).unwrap_or(now)
    }

    /// Ends a wait that started at `since`: the stream starts again. Restarts the silence timeout if
    /// this is the first time since the last frame. Otherwise the wait does not count as silence.
    pub(super) fn end_wait(&mut self, now: Instant, since: Instant) {
        let waited = now.saturating_duration_since(since);
        let this_wait = waited.saturating_sub(self.waited);
        self.waited = waited;
        self.alive_at = if self.has_restarted {
            self.alive_at.checked_add(this_wait).unwrap_or(now)
        } else {
            now
        };
        self.has_restarted = true;
    }

    /// Records the size of the unfinished messages. Returns true and restarts the silence timeout if
    /// they have grown enough. `since` is the start of the timeout `limit` that applies now.
    pub(super) fn record_progress(
        &mut self,
        now: Instant,
        unfinished_bytes: usize,
        since: Instant,
        limit: Option<Duration>,
    ) -> bool {
        self.unfinished_bytes = self.unfinished_bytes.min(unfinished_bytes);
        if unfinished_bytes.saturating_sub(self.unfinished_bytes) < PROGRESS_BYTES {
            return false;
        }
        let extension = now.saturating_duration_since(since);
        let extended_by = self.extended_by.saturating_add(extension);
        let limit = limit.unwrap_or(Duration::MAX);
        if extended_by > limit.saturating_mul(MAX_EXTENSIONS) {
            return false;
        }
        self.unfinished_bytes = unfinished_bytes;
        self.extended_by = extended_by;
        self.alive_at = now;
        true
    }
}

/// Growth of an unfinished message that counts as activity. A peer that sends single bytes must not
/// keep a dead stream alive.
const PROGRESS_BYTES: usize = 4096;

/// Largest total extension of a timeout by unfinished messages, as a multiple of the timeout. With the
/// default timeout of 30 s, a keyframe may take 5 minutes to arrive.
const MAX_EXTENSIONS: u32 = 10;
