//! Whether a stream arrives at the speed at which it plays.

use std::time::{Duration, Instant};

/// Compares output times with arrival times, from one second after the first frame on.
///
/// A live stream cannot arrive faster than it plays, except for the cache that a server sends in a
/// burst at the start. A recorded stream arrives as fast as the network allows.
#[derive(Debug, Default)]
pub(super) struct ArrivalSpeed {
    first_at: Option<Instant>,
    /// The first frame after the initial burst: its arrival time and its output time.
    reference: Option<(Instant, u64)>,
    latest_at: Option<Instant>,
    is_faster: bool,
}

impl ArrivalSpeed {
    /// Adds a frame that arrived at `at` and has the output time `output_ms`.
    pub(super) fn frame(&mut self, at: Instant, output_ms: u64) {
        let first_at = *self.first_at.get_or_insert(at);
        self.latest_at = Some(at);
        if at.saturating_duration_since(first_at) < INITIAL_BURST {
            return;
        }
        let (reference_at, reference_ms) = *self.reference.get_or_insert((at, output_ms));
        let played = Duration::from_millis(output_ms.saturating_sub(reference_ms));
        let passed = at.saturating_duration_since(reference_at);
        self.is_faster |= played > passed.saturating_add(MAX_LEAD);
    }

    /// Whether the stream has arrived faster than it plays.
    pub(super) fn is_faster(&self) -> bool {
        self.is_faster
    }

    /// Whether the stream arrived at play speed long enough to tell.
    pub(super) fn is_real_time(&self) -> bool {
        let reference_at = self.reference.map(|(at, _)| at);
        let observed = reference_at.zip(self.latest_at);
        let is_long = observed
            .is_some_and(|(from, to)| to.saturating_duration_since(from) >= MIN_OBSERVATION);
        is_long && !self.is_faster
    }
}

/// Time in which a server may send its cache in a burst.
const INITIAL_BURST: Duration = Duration::from_secs(1);

/// Largest lead of a real-time stream: frames are delivered in small groups.
const MAX_LEAD: Duration = Duration::from_secs(1);

/// Time that must be observed before a stream counts as real time.
const MIN_OBSERVATION: Duration = Duration::from_secs(3);

#[cfg(test)]
mod tests {
    use super::*;

    /// Observes `seconds` of a stream that starts with a burst of `burst_ms` and then arrives at
    /// `percent` of its play speed.
    fn observe(seconds: u64, burst_ms: u64, percent: u64) -> bool {
        let start = Instant::now();
        let mut speed = ArrivalSpeed::default();
        for burst in (0..burst_ms).step_by(40) {
            speed.frame(start, burst);
        }
        for passed_ms in (0..seconds * 1_000).step_by(10) {
            let at = start + Duration::from_millis(passed_ms);
            speed.frame(at, burst_ms + passed_ms * percent / 100);
        }
        speed.is_real_time()
    }

    #[test]
    fn a_live_stream_arrives_in_real_time_after_its_burst() {
        assert!(observe(10, 0, 100));
        assert!(observe(10, 10_000, 100));
    }

    #[test]
    fn a_faster_stream_is_not_real_time() {
        assert!(!observe(10, 0, 150));
        assert!(!observe(10, 10_000, 1_000));
    }

    #[test]
    fn a_short_stream_is_not_judged() {
        assert!(!observe(3, 0, 100));
    }
}
