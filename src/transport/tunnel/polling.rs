//! When the server is asked whether it has something.

use std::time::Duration;

use tokio::time::Instant;

/// How often and how many at a time.
///
/// An answer with data is followed by the next question at once; after an empty one there is a wait,
/// which the server suggests and which doubles while nothing comes. Answers with data one after
/// another make the questions more that are under way at a time, so that a long line is filled; empty
/// ones make them fewer.
#[derive(Debug)]
pub(super) struct Polling {
    /// What the server last said in the first byte of an answer.
    interval: u8,
    /// How many waits there were since something moved.
    waits: u32,
    /// Whether the last answer had data.
    is_flowing: bool,
    /// How many requests may be under way.
    window: usize,
    /// When the next question may be asked.
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

    /// An answer has come, and so many requests are still under way.
    pub(super) fn answered(&mut self, has_data: bool, in_flight: usize, now: Instant) {
        if has_data {
            if self.is_flowing {
                self.window = MAX_IN_FLIGHT.min(self.window + 1);
            }
            self.waits = 0;
            self.due = now;
        } else {
            self.window = 1.max(self.window - 1);
            self.due = now + self.wait();
            if in_flight == 0 {
                self.waits = self.waits.saturating_add(1);
            }
        }
        self.is_flowing = has_data;
    }

    /// The server suggests so many hundredths of a second.
    pub(super) fn suggested(&mut self, interval: u8) {
        self.interval = interval;
    }

    /// Something is said to the server, which may have something to say to it.
    pub(super) fn said(&mut self) {
        self.waits = 0;
    }

    /// When the next question may be asked; `None` while enough of them are under way.
    pub(super) fn due(&self, in_flight: usize) -> Option<Instant> {
        (in_flight < self.window).then_some(self.due)
    }

    fn wait(&self) -> Duration {
        let suggested = UNIT * u32::from(self.interval.max(1));
        suggested
            .saturating_mul(1 << self.waits.min(6))
            .min(MAX_WAIT)
    }
}

/// How many requests are under way at most: enough for 2 MB/s of 32 KiB answers over 50 ms.
pub(super) const MAX_IN_FLIGHT: usize = 4;

/// What servers count intervals in.
const UNIT: Duration = Duration::from_millis(10);

/// A stream that was silent may be so much late.
const MAX_WAIT: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests {
    use super::*;

    fn wait_ms(polling: &Polling, now: Instant) -> u128 {
        let due = polling.due(0).unwrap();
        due.saturating_duration_since(now).as_millis()
    }

    #[test]
    fn waits_double_while_nothing_comes() {
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
        polling.said();
        polling.suggested(255);
        assert_eq!(waits(&mut polling), [500; 8]);
    }

    #[test]
    fn data_in_a_row_fills_the_line_and_empty_answers_drain_it() {
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
    fn empty_answers_to_what_was_asked_at_once_are_one_wait() {
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
