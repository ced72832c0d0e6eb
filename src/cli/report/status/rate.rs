//! Bytes per second of the last minute.

/// Number of seconds that a history covers.
pub const RATE_SECONDS: usize = 60;

/// Number of complete seconds that the current rate is the average of.
const CURRENT_SECONDS: u64 = 5;

/// Bytes of each of the last seconds. Seconds are numbered from the start of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RateHistory {
    /// Bytes of second `n` at index `n % RATE_SECONDS`.
    bytes: [u32; RATE_SECONDS],
    /// Second of the latest bytes.
    latest: u64,
    /// Second of the first bytes; `None` before them.
    first: Option<u64>,
}

impl Default for RateHistory {
    fn default() -> Self {
        Self {
            bytes: [0; RATE_SECONDS],
            latest: 0,
            first: None,
        }
    }
}

impl RateHistory {
    /// Adds bytes that arrived in this second.
    pub fn add(&mut self, second: u64, bytes: u64) {
        self.first.get_or_insert(second);
        self.advance(second);
        if let Some(sum) = self.bytes.get_mut(index(self.latest)) {
            *sum = sum.saturating_add(bytes.try_into().unwrap_or(u32::MAX));
        }
    }

    /// Returns the bytes of the complete seconds before `second`, the oldest first. Seconds without data are 0.
    pub fn samples(&self, second: u64) -> impl ExactSizeIterator<Item = u32> {
        let window = RATE_SECONDS as u32 - 1;
        (0..window).map(move |age| {
            let at = second.checked_sub(u64::from(window.saturating_sub(age)));
            at.map_or(0, |at| self.at(at))
        })
    }

    /// Returns the average of the last complete seconds before `second`, in bytes per second.
    pub fn current(&self, second: u64) -> u64 {
        let Some(first) = self.first else {
            return 0;
        };
        // The first second is incomplete, unless it is the only one.
        let start = second.saturating_sub(CURRENT_SECONDS).max(first);
        let seconds = second.saturating_sub(start);
        let sum: u64 = (start..second).map(|at| u64::from(self.at(at))).sum();
        sum.checked_div(seconds)
            .unwrap_or_else(|| u64::from(self.at(second)))
    }

    fn at(&self, second: u64) -> u32 {
        let age = self.latest.checked_sub(second);
        let is_kept = age.is_some_and(|age| age < RATE_SECONDS as u64);
        let bytes = self.bytes.get(index(second)).filter(|_| is_kept);
        bytes.copied().unwrap_or(0)
    }

    /// Clears the seconds between the latest bytes and `second`.
    fn advance(&mut self, second: u64) {
        let passed = second.saturating_sub(self.latest);
        for age in 0..passed.min(RATE_SECONDS as u64) {
            if let Some(sum) = self.bytes.get_mut(index(second.saturating_sub(age))) {
                *sum = 0;
            }
        }
        self.latest = self.latest.max(second);
    }
}

fn index(second: u64) -> usize {
    (second % RATE_SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn samples_are_complete_seconds_and_silence_is_zero() {
        let mut history = RateHistory::default();
        for (second, bytes) in [(100, 7), (100, 3), (102, 5), (103, 90)] {
            history.add(second, bytes);
        }
        let samples: Vec<_> = history.samples(103).collect();
        assert_eq!(samples.len(), RATE_SECONDS - 1);
        assert_eq!(samples[RATE_SECONDS - 5..], [0, 10, 0, 5]);
        let later: Vec<_> = history.samples(100 + 59).collect();
        assert_eq!(later[..4], [10, 0, 5, 90]);
        assert!(history.samples(103 + 60).all(|bytes| bytes == 0));
    }

    #[test]
    fn the_current_rate_is_an_average_that_silence_lowers() {
        let mut history = RateHistory::default();
        assert_eq!(history.current(50), 0);
        history.add(50, 400);
        assert_eq!(history.current(50), 400, "the only second counts");
        history.add(51, 200);
        assert_eq!(history.current(51), 400);
        assert_eq!(history.current(52), 300);
        assert_eq!(history.current(55), 120);
        assert_eq!(history.current(60), 0);
    }

    proptest! {
        #[test]
        fn a_history_equals_a_list_of_all_seconds(
            steps in prop::collection::vec((0..90_u64, 0..1_000_u64), 1..60),
        ) {
            let mut history = RateHistory::default();
            let mut all = vec![0; 90 * 60 + 1];
            let mut second = 0;
            for (pause, bytes) in steps {
                second += pause;
                history.add(second, bytes);
                all[second as usize] += bytes as u32;
                let window = RATE_SECONDS as u64 - 1;
                let expected: Vec<u32> = (0..window)
                    .map(|age| {
                        let at = second.checked_sub(window - age);
                        at.map_or(0, |at| all[at as usize])
                    })
                    .collect();
                prop_assert_eq!(history.samples(second).collect::<Vec<_>>(), expected);
            }
        }
    }
}
