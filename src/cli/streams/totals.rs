//! Totals of all streams, which the heartbeat and the service manager receive.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use crate::{
    cli::report::Listener,
    download::{Outcome, Progress, Report},
};

/// Sums over all downloads of the process.
#[derive(Debug, Default)]
pub(super) struct Totals {
    frames: AtomicU64,
    bytes: AtomicU64,
    /// Largest position, in milliseconds.
    position_ms: AtomicU64,
}

impl Totals {
    /// Returns the sums, and the largest position.
    pub(super) fn progress(&self) -> Progress {
        Progress {
            frames: self.frames.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            position_ms: self.position_ms.load(Ordering::Relaxed),
            is_live: true,
            ..Progress::default()
        }
    }
}

/// Adds the progress of one download to the totals.
#[derive(Debug)]
pub(super) struct TotalsListener {
    totals: Arc<Totals>,
    /// Progress that the totals contain.
    counted: Progress,
}

impl TotalsListener {
    pub(super) fn new(totals: Arc<Totals>) -> Self {
        Self {
            totals,
            counted: Progress::default(),
        }
    }

    fn count(&mut self, progress: Progress) {
        let counted = &self.counted;
        let frames = progress.frames.saturating_sub(counted.frames);
        let bytes = progress.bytes.saturating_sub(counted.bytes);
        self.totals.frames.fetch_add(frames, Ordering::Relaxed);
        self.totals.bytes.fetch_add(bytes, Ordering::Relaxed);
        let position_ms = progress.position_ms;
        self.totals
            .position_ms
            .fetch_max(position_ms, Ordering::Relaxed);
        self.counted = progress;
    }
}

impl Report for TotalsListener {
    fn progress(&mut self, progress: &Progress) {
        self.count(*progress);
    }
}

impl Listener for TotalsListener {
    fn finished(&mut self, outcome: &Outcome) {
        self.count(Progress {
            bytes: outcome.bytes,
            position_ms: outcome.position_ms,
            ..self.counted
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_of_all_streams_is_summed_up() {
        let totals = Arc::new(Totals::default());
        let mut streams = [(); 2].map(|()| TotalsListener::new(Arc::clone(&totals)));
        let progress = |frames| Progress {
            frames,
            bytes: 10 * frames,
            position_ms: 100 * frames,
            ..Progress::default()
        };
        streams[0].progress(&progress(3));
        streams[1].progress(&progress(5));
        streams[0].progress(&progress(4));
        let sum = totals.progress();
        assert_eq!((sum.frames, sum.bytes, sum.position_ms), (9, 90, 500));
    }
}
