//! Timing of `idle` requests.

use std::time::Duration;

use tokio::time::Instant;

/// When and how many `idle` requests are sent.
///
/// After a response with data, the next request is due at once. After an empty response, it is due
/// after the interval that the server suggests, which doubles with each further empty response.
/// Successive responses with data enlarge the window, so that a connection with a long round trip is
/// used fully; empty responses shrink it.
#[derive(Debug)]
pub(super) struct Polling {
    /// Interval byte of the last response, in units of 10 ms.
    interval: u8,
    /// Number of successive waits without data in either direction.
    waits: u32,
    /// Whether the last response had data.
    is_flowing: bool,
    /// Largest number of requests in flight.
    window: usize,
    /// Earliest time of the next request.
    due: Instant,
}

impl Polling {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            interval: 1,
            waits: 0,
            is_flowing: false,
            window: 1,
            due: now,
        }
    }

    /// Handles a response after which `in_flight` requests are unanswered.
    pub(super) fn answered(&mut self, has_data: bool, in_flight: usize, now: Instant) {
        if has_data {
            if self.is_flowing {
                self.window = MAX_IN_FLIGHT.min(self.window.saturating_add(1));
            }
            self.waits = 0;
            self.due = now;
        } else {
            self.window = 1.max(self.window.saturating_sub(1));
            self.due = now.checked_add(self.wait()).unwrap_or(now);
            // Empty responses to requests that were in flight together count as one wait.
            if in_flight == 0 {
                self.waits = self.waits.saturating_add(1);
            }
        }
        self.is_flowing = has_data;
    }

    /// Sets the interval that the server suggests, in units of 10 ms.
    pub(super) fn suggested(&mut self, interval: u8) {
        self.interval = interval;
    }

    /// Restarts the waits after the client sent data, to which the server may respond.
    pub(super) fn data_sent(&mut self) {
        self.waits = 0;
    }

    /// Returns when the next request may be sent; `None` while the window is full.
    pub(super) fn due(&self, in_flight: usize) -> Option<Instant> {
        (in_flight < self.window).then_some(self.due)
    }

    fn wait(&self) -> Duration {
        // Doubling six times exceeds the longest wait even for the shortest interval.
        UNIT.saturating_mul(self.interval.max(1).into())
            .saturating_mul(1 << self.waits.min(6))
            .min(MAX_WAIT)
    }
}

/// Largest number of requests in flight: enough for 2 MB/s in 32 KiB responses at a round trip of 50 ms.
pub(super) const MAX_IN_FLIGHT: usize = 4;

/// Unit of the interval byte.
pub(super) const UNIT: Duration = Duration::from_millis(10);

/// Longest wait, and thus the longest delay of data after a silence.
const MAX_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_ms(polling: &Polling, now: Instant) -> u128 {
        let due = polling.due(0).unwrap();
        due.saturating_duration_since(now).as_millis()
    }

    #[test]
    fn waits_double_without_data() {
        let now = Instant::now();
        let mut polling = Polling::new(now);
        let waits = |polling: &mut Polling| {
            [(); 8].map(|()| {
                polling.answered(false, 0, now);
                wait_ms(polling, now)
            })
        };
        assert_eq!(waits(&mut polling), [10, 20, 40, 80, 160, 320, 500, 500]);
        polling.answered(true, 0, now);
        assert_eq!(wait_ms(&polling, now), 0);
        polling.suggested(9);
        assert_eq!(waits(&mut polling), [90, 180, 360, 500, 500, 500, 500, 500]);
        polling.data_sent();
        polling.suggested(255);
        assert_eq!(waits(&mut polling), [500; 8]);
    }

    #[test]
    fn data_enlarges_the_window_and_empty_responses_shrink_it() {
        let now = Instant::now();
        let mut polling = Polling::new(now);
        let window = |polling: &Polling| (0..9).take_while(|&n| polling.due(n).is_some()).count();
        let answers = [true, true, true, true, true, false, true, false, false];
        let windows = answers.map(|has_data| {
            polling.answered(has_data, 3, now);
            window(&polling)
        });
        assert_eq!(windows, [1, 2, 3, 4, 4, 3, 3, 2, 1]);
    }

    #[test]
    fn empty_responses_to_concurrent_requests_are_one_wait() {
        let now = Instant::now();
        let mut polling = Polling::new(now);
        for in_flight in [3, 2, 1, 0] {
            polling.answered(false, in_flight, now);
            assert_eq!(wait_ms(&polling, now), 10);
        }
        polling.answered(false, 0, now);
        assert_eq!(wait_ms(&polling, now), 20);
    }
}
