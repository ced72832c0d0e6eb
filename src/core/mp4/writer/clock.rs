//! Decoding times of one track, in ticks of its timescale.

/// Converts the output times of one track, in milliseconds, to ticks that strictly ascend.
///
/// Every time is rounded on its own, so that errors do not add up. If frames have a known length and the next
/// multiple of it agrees with the output time within the rounding of milliseconds, the tick is exact:
/// otherwise players would hear the rounding of audio as jitter, and editors would see video with a variable
/// frame rate.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    timescale: u32,
    latest: Option<Latest>,
    /// Error of the first presentation time, in ticks. The movie may start with it, which moves all others.
    first_error: Option<i128>,
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    ticks: u64,
    /// Number of ticks that the latest frame lasts, if its codec or the frame rate defines it.
    length: Option<u32>,
}

impl Clock {
    pub(super) fn new(timescale: u32) -> Self {
        Self {
            timescale: timescale.max(1),
            latest: None,
            first_error: None,
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

    /// Returns the decoding time of the next frame, which lasts `length` ticks if that is known.
    pub(super) fn next(&mut self, time_ms: u64, length: Option<u32>) -> u64 {
        self.next_at(time_ms, 0, length)
    }

    /// Returns the decoding time of the next frame, `nano_ns` nanoseconds after a time in milliseconds.
    pub(super) fn next_at(&mut self, time_ms: u64, nano_ns: u32, length: Option<u32>) -> u64 {
        // A time with nanoseconds is more exact than the length of the frames.
        let exact = self.exact(time_ms).filter(|_| nano_ns == 0);
        let ticks = exact.unwrap_or_else(|| {
            // A step back, or an output time that occurs twice.
            let after_latest = self.latest.map(|latest| latest.ticks.saturating_add(1));
            self.nearest(time_ms, nano_ns)
                .max(after_latest.unwrap_or(0))
        });
        self.latest = Some(Latest { ticks, length });
        ticks
    }

    /// Returns the multiple of the latest frame's length that agrees with an output time. A multiple above
    /// one means that frames are missing.
    fn exact(&self, time_ms: u64) -> Option<u64> {
        let Latest { ticks, length } = self.latest?;
        let length = u64::from(length?);
        let since_latest = self.ticks(time_ms).saturating_sub(ticks);
        let half = length.wrapping_shr(1);
        let count = since_latest.saturating_add(half).checked_div(length)?;
        let exact = ticks.checked_add(length.checked_mul(count.max(1))?)?;
        self.agrees(exact, time_ms).then_some(exact)
    }

    /// Whether the next frame has an exact time, if it is at this output time. The first frame always has.
    pub(super) fn is_exact(&self, time_ms: u64) -> bool {
        self.latest.is_none() || self.exact(time_ms).is_some()
    }

    /// Changes the length of the latest frame.
    pub(super) fn set_length(&mut self, length: Option<u32>) {
        if let Some(latest) = &mut self.latest {
            latest.length = length;
        }
    }

    /// Returns the presentation time relative to the decoding time `ticks`, in ticks. It is a multiple of
    /// `length` if that agrees with the absolute presentation time.
    pub(super) fn composition(&mut self, ticks: u64, shown_ms: i64, length: Option<u32>) -> i32 {
        let product = i128::from(shown_ms).saturating_mul(self.timescale.into());
        let nearest = product.saturating_add(500).div_euclid(1000);
        let nearest = nearest.saturating_sub(ticks.into());
        let multiple = length.and_then(|length| {
            let length = i128::from(length);
            let rounded = nearest.saturating_add(length.wrapping_shr(1));
            rounded.checked_div_euclid(length)?.checked_mul(length)
        });
        let first_error = self.first_error.unwrap_or(0);
        let is_small = |error: i128| {
            let error = error.saturating_mul(1000);
            error.unsigned_abs() <= self.timescale.into()
        };
        let agrees = |multiple: &i128| {
            let error = multiple.saturating_sub(nearest);
            is_small(error) && is_small(error.saturating_sub(first_error))
        };
        let offset = multiple.filter(agrees).unwrap_or(nearest);
        self.first_error
            .get_or_insert_with(|| offset.saturating_sub(nearest));
        i32::try_from(offset).unwrap_or(if offset < 0 { i32::MIN } else { i32::MAX })
    }

    /// Whether a tick is at most one millisecond from a time: a server may round down or up.
    fn agrees(&self, ticks: u64, time_ms: u64) -> bool {
        let ticks = u128::from(ticks).saturating_mul(1000);
        let time = u128::from(time_ms).saturating_mul(self.timescale.into());
        ticks.abs_diff(time) <= self.timescale.into()
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
    fn missing_frames_are_multiples_of_the_length() {
        let mut clock = Clock::new(44_100);
        // Frame 2 is missing, and all frames of 23 hours.
        let day_ms = 3_600_000_u64 * 1024 * 1000 / 44_100;
        let ticks = [0, 23, 69, day_ms, day_ms + 23].map(|time_ms| clock.next(time_ms, Some(1024)));
        assert_eq!(
            ticks,
            [0, 1024, 3 * 1024, 3_600_000 * 1024, 3_600_001 * 1024]
        );
    }

    #[test]
    fn composition_is_a_multiple_of_the_frame_length() {
        let mut clock = Clock::new(30_000);
        // Frame 2 of 30000/1001 is decoded at 66.73 ms and shown at 133.47 ms.
        assert_eq!(clock.composition(2002, 133, Some(1001)), 2002);
        assert_eq!(clock.composition(2002, 134, Some(1001)), 2002);
        assert_eq!(clock.composition(2002, 67, Some(1001)), 0);
        assert_eq!(clock.composition(2002, -33, Some(1001)), -3003);
        assert_eq!(clock.composition(2002, 140, Some(1001)), 4200 - 2002);
        assert_eq!(clock.composition(2002, 140, None), 4200 - 2002);
        assert_eq!(clock.composition(0, i64::MAX, Some(1001)), i32::MAX);
        assert_eq!(clock.composition(u64::MAX, i64::MIN, Some(0)), i32::MIN);
    }

    #[test]
    fn composition_stays_within_a_millisecond_of_the_first() {
        let mut clock = Clock::new(25_000);
        assert_eq!(clock.composition(1000, 41, Some(1000)), 0);
        assert_eq!(clock.composition(1000, 40, Some(1000)), 0);
        assert_eq!(clock.composition(1000, 39, Some(1000)), -25);
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

    #[test]
    fn thirty_hours_stay_within_a_millisecond() {
        // An encoder whose sample clock differs from the server's clock by 50 ppm, and 30000/1001 frames.
        for (timescale, length, interval_us) in [
            (48_000, 1024, 21_334.4),
            (30_000, 1001, 33_366.7),
            (30_000, 1000, 33_366.7),
        ] {
            let mut clock = Clock::new(timescale);
            let frames = (108_000_000_000.0 / interval_us) as u64;
            for frame in 0..frames {
                let time_ms = (frame as f64 * interval_us / 1000.0) as u64;
                let ticks = clock.next(time_ms, Some(length));
                assert!(clock.agrees(ticks, time_ms), "{ticks} at {time_ms} ms");
            }
        }
    }

    proptest! {
        #[test]
        fn ascending_times_stay_within_a_millisecond(
            rate in 7_000_u32..200_000,
            length in proptest::option::of(1_u32..6_000),
            steps in proptest::collection::vec(1_u64..5_000, 1..200),
        ) {
            let mut clock = Clock::new(rate);
            // 30 hours.
            let mut time_ms = 108_000_000;
            let mut last = None;
            for step in steps {
                time_ms += step;
                let ticks = clock.next(time_ms, length);
                prop_assert!(Some(ticks) > last);
                last = Some(ticks);
                prop_assert!(clock.agrees(ticks, time_ms));
            }
        }
    }
}
