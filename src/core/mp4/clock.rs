//! Decoding times of one track, in ticks of its timescale.

/// Converts the output times of one track, in milliseconds, to ticks that strictly ascend.
///
/// Every time is rounded on its own, so that errors do not add up. If the codec has frames of a known length
/// and the next tick agrees with the output time within the rounding of milliseconds, the tick is exact:
/// otherwise players would hear the rounding of audio as jitter.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    timescale: u32,
    latest: Option<Latest>,
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    ticks: u64,
    /// Number of ticks that the latest frame lasts, if its codec defines it.
    length: Option<u32>,
}

impl Clock {
    pub(super) fn new(timescale: u32) -> Self {
        Self {
            timescale: timescale.max(1),
            latest: None,
        }
    }

    /// Continues after a frame that an earlier run wrote: its decoding time, and its length in ticks.
    pub(super) fn resume(&mut self, ticks: u64, length: Option<u32>) {
        self.latest = Some(Latest { ticks, length });
    }

    /// Returns the decoding time of the latest frame.
    pub(super) fn latest(&self) -> Option<u64> {
        self.latest.map(|latest| latest.ticks)
    }

    /// Returns the tick nearest to a time in milliseconds.
    pub(super) fn ticks(&self, time_ms: u64) -> u64 {
        self.nearest(time_ms, 0)
    }

    fn nearest(&self, time_ms: u64, nano_ns: u32) -> u64 {
        let time_ns = u128::from(time_ms).saturating_mul(1_000_000);
        let time_ns = time_ns.saturating_add(nano_ns.into());
        let product = time_ns.saturating_mul(self.timescale.into());
        let ticks = product
            .saturating_add(500_000_000)
            .wrapping_div(1_000_000_000);
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }

    /// Returns the decoding time of the next frame, which lasts `length` ticks if its codec defines that.
    #[cfg(test)]
    pub(super) fn next(&mut self, time_ms: u64, length: Option<u32>) -> u64 {
        self.next_at(time_ms, 0, length)
    }

    /// Returns the decoding time of the next frame, `nano_ns` nanoseconds after a time in milliseconds.
    pub(super) fn next_at(&mut self, time_ms: u64, nano_ns: u32, length: Option<u32>) -> u64 {
        let nearest = self.nearest(time_ms, nano_ns);
        let ticks = match self.latest {
            None => nearest,
            Some(Latest { ticks, length }) => {
                let exact = length.map(|length| ticks.saturating_add(length.into()));
                exact
                    .filter(|exact| exact.abs_diff(nearest) <= self.tolerance())
                    .unwrap_or(nearest)
                    // A step back, or an output time that occurs twice.
                    .max(ticks.saturating_add(1))
            }
        };
        self.latest = Some(Latest { ticks, length });
        ticks
    }

    /// One millisecond: a server may round up or down.
    fn tolerance(&self) -> u64 {
        u64::from(self.timescale.div_ceil(1000))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn agreeing_audio_is_exact() {
        let mut clock = Clock::new(44_100);
        for frame in 0..100_000_u64 {
            let time_ms = frame * 1024 * 1000 / 44_100;
            assert_eq!(clock.next(time_ms, Some(1024)), frame * 1024);
        }
    }

    #[test]
    fn disagreeing_times_are_rounded() {
        let mut clock = Clock::new(48_000);
        let ticks = [0, 21, 143, 164].map(|time_ms| clock.next(time_ms, Some(1024)));
        assert_eq!(ticks, [0, 1024, 143 * 48, 143 * 48 + 1024]);
        let mut clock = Clock::new(44_100);
        let ticks = [0, 10, 20].map(|time_ms| clock.next(time_ms, None));
        assert_eq!(ticks, [0, 441, 882]);
    }

    #[test]
    fn repeated_times_and_steps_back_ascend() {
        let mut clock = Clock::new(1000);
        let ticks = [40, 40, 20, 60].map(|time_ms| clock.next(time_ms, None));
        assert_eq!(ticks, [40, 41, 42, 60]);
    }

    #[test]
    fn nanoseconds_refine_times() {
        let mut clock = Clock::new(48_000);
        // 0.5 ms are 24 ticks.
        assert_eq!(clock.next_at(10, 500_000, None), 504);
        assert_eq!(clock.next_at(20, 999_999, None), 1008);
        // Milliseconds cannot express them, except by rounding.
        let mut clock = Clock::new(1000);
        assert_eq!(clock.next_at(10, 400_000, None), 10);
    }

    proptest! {
        #[test]
        fn ascending_times_stay_within_a_millisecond(
            rate in 7_000_u32..200_000,
            length in proptest::option::of(1_u32..6_000),
            steps in proptest::collection::vec(1_u64..5_000, 1..200),
        ) {
            let mut clock = Clock::new(rate);
            let mut time_ms = 0;
            let mut last = None;
            for step in steps {
                time_ms += step;
                let ticks = clock.next(time_ms, length);
                prop_assert!(Some(ticks) > last);
                last = Some(ticks);
                prop_assert!(ticks.abs_diff(clock.ticks(time_ms)) <= clock.tolerance());
            }
        }
    }
}
