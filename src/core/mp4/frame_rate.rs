//! Frame rates of video, and the search for the rate that explains rounded times.

/// A constant frame rate: a frame lasts `ticks` of a `timescale`.
///
/// A timescale is a multiple of 1000, so that times in milliseconds are exact in it as well: a stream whose
/// rate changes keeps its timescale.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameRate {
    pub(crate) timescale: u32,
    pub(crate) ticks: u32,
}

impl FrameRate {
    /// Returns the usual rate that an encoder announces as a decimal number, such as 29.97.
    pub(crate) fn announced(frames_per_second: f64) -> Option<Self> {
        let mut rates = Self::usual().chain((1..=MAX_RATE).map(Self::whole));
        rates.find(|rate| {
            let usual = f64::from(rate.timescale) / f64::from(rate.ticks);
            (usual - frames_per_second).abs() <= usual * ANNOUNCED_TOLERANCE
        })
    }

    /// Returns the duration of a frame in ticks of another timescale; `None` if it is not a whole number.
    pub(super) fn ticks_in(self, timescale: u32) -> Option<u32> {
        let ticks = u64::from(self.ticks).checked_mul(timescale.into())?;
        let own = u64::from(self.timescale);
        let is_whole = ticks.checked_rem(own)? == 0;
        let ticks = u32::try_from(ticks.checked_div(own)?).ok()?;
        is_whole.then_some(ticks)
    }

    /// Returns the rate that explains all of these times, in milliseconds: the announced one, or else the
    /// usual one with the smallest rounding errors. `timescale` is that of the track if it cannot change.
    pub(crate) fn find(
        times_ms: impl Iterator<Item = u64> + Clone,
        announced: Option<Self>,
        timescale: Option<u32>,
    ) -> Option<Self> {
        let fit = |rate: Self| {
            let timescale = timescale.unwrap_or(rate.timescale);
            let ticks = rate.ticks_in(timescale)?;
            let rate = Self { timescale, ticks };
            Some((rate.spread(times_ms.clone())?, rate))
        };
        let announced = announced.and_then(fit);
        // A spread in ticks depends on the timescale.
        let spread_us = |(spread, rate): &(u64, Self)| {
            let spread = spread.saturating_mul(1_000_000);
            spread.checked_div(rate.timescale.into())
        };
        let found = || Self::usual().filter_map(fit).min_by_key(spread_us);
        announced.or_else(found).map(|(_, rate)| rate)
    }

    /// Returns the difference of the largest and the smallest rounding error, in ticks, if each of these times
    /// is a multiple of the rate that was rounded to milliseconds. A server rounds down, up or to the nearest
    /// millisecond, but always in the same way, so the errors differ by less than a millisecond.
    fn spread(self, mut times_ms: impl Iterator<Item = u64>) -> Option<u64> {
        let tick = i128::from(self.ticks);
        let per_ms = i128::from(self.timescale.checked_div(MILLISECONDS)?);
        let first_ms = times_ms.next()?;
        let (mut grid, mut least, mut most) = (0_i128, 0_i128, 0_i128);
        let (mut steps, mut single) = (0_u32, 0_u32);
        for time_ms in times_ms {
            let since_first = i128::from(time_ms.checked_sub(first_ms)?).saturating_mul(per_ms);
            let step = since_first.saturating_sub(grid);
            let count = step
                .saturating_add(tick.wrapping_shr(1))
                .checked_div(tick)?;
            if count < 1 {
                return None;
            }
            grid = grid.saturating_add(count.saturating_mul(tick));
            let error = since_first.saturating_sub(grid);
            (least, most) = (least.min(error), most.max(error));
            if most.saturating_sub(least) > per_ms {
                return None;
            }
            steps = steps.saturating_add(1);
            single = single.saturating_add(u32::from(count == 1));
        }
        // A multiple of the true rate explains the times as well.
        let is_own_rate = steps >= MIN_STEPS && single >= steps.wrapping_shr(1);
        let spread = most.saturating_sub(least);
        is_own_rate.then(|| u64::try_from(spread).unwrap_or(u64::MAX))
    }

    fn usual() -> impl Iterator<Item = Self> {
        let ntsc = NTSC.map(|rate| Self {
            timescale: rate.saturating_mul(MILLISECONDS),
            ticks: 1001,
        });
        let halves = HALVES.map(|twice| Self {
            timescale: twice.saturating_mul(MILLISECONDS),
            ticks: 2000,
        });
        let whole = WHOLE.map(Self::whole);
        whole.into_iter().chain(ntsc).chain(halves)
    }

    fn whole(frames_per_second: u32) -> Self {
        Self {
            timescale: frames_per_second.saturating_mul(MILLISECONDS),
            ticks: MILLISECONDS,
        }
    }
}

/// Usual rates in frames per second.
const WHOLE: [u32; 17] = [
    30, 25, 60, 50, 24, 15, 20, 10, 12, 48, 120, 100, 90, 72, 144, 5, 8,
];

/// Nominal rates of which 1000/1001 is usual.
const NTSC: [u32; 5] = [30, 60, 24, 120, 15];

/// Twice the usual rates that end in a half.
const HALVES: [u32; 2] = [25, 15];

/// Largest rate that is accepted without being usual. With a larger timescale, a composition time of 24 bits
/// would not fit into a composition offset.
const MAX_RATE: u32 = 240;

/// Largest relative error of an announced rate: 23.98 is 24000/1001, and 24 is not.
const ANNOUNCED_TOLERANCE: f64 = 2e-4;

/// Number of steps that are evidence of a rate.
const MIN_STEPS: u32 = 4;

/// Timescale of movies, and of video without a constant frame rate.
pub(super) const MILLISECONDS: u32 = 1000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn rate(timescale: u32, ticks: u32) -> FrameRate {
        FrameRate { timescale, ticks }
    }

    /// Times of at least three quarters of a second, rounded to milliseconds after adding `rounding_ms`.
    fn times(rate: FrameRate, rounding_ms: f64) -> Vec<u64> {
        let interval_ms = f64::from(rate.ticks) * 1000.0 / f64::from(rate.timescale);
        let count = 2 + (750.0 / interval_ms) as u32;
        let time = |frame| (f64::from(frame) * interval_ms + rounding_ms) as u64;
        (0..count).map(time).collect()
    }

    fn find(times: &[u64], announced: Option<FrameRate>) -> Option<FrameRate> {
        FrameRate::find(times.iter().copied(), announced, None)
    }

    #[test]
    fn announced_numbers_name_usual_rates() {
        for (announced, expected) in [
            (29.97, Some(rate(30_000, 1001))),
            (30.0, Some(rate(30_000, 1000))),
            (23.98, Some(rate(24_000, 1001))),
            (23.976_023_976, Some(rate(24_000, 1001))),
            (59.94, Some(rate(60_000, 1001))),
            (12.5, Some(rate(25_000, 2000))),
            (18.0, Some(rate(18_000, 1000))),
            (29.5, None),
            (0.0, None),
            (-30.0, None),
            (1e300, None),
            (f64::NAN, None),
            (f64::INFINITY, None),
        ] {
            assert_eq!(FrameRate::announced(announced), expected, "{announced}");
        }
    }

    #[test]
    fn usual_rates_are_found_in_a_second_whatever_the_rounding() {
        for expected in FrameRate::usual() {
            for rounding_ms in [0.001, 0.25, 0.5, 0.75, 0.999] {
                let times = times(expected, rounding_ms);
                assert_eq!(find(&times, None), Some(expected), "{times:?}");
                let wrong = Some(rate(33_000, 1000));
                assert_eq!(find(&times, wrong), Some(expected), "{times:?}");
            }
        }
    }

    #[test]
    fn variable_rates_are_not_explained() {
        assert_eq!(find(&[0, 33, 70, 99, 133, 168], None), None);
        assert_eq!(find(&[0, 40, 80, 80, 120, 160], None), None);
        assert_eq!(find(&[0, 40, 80, 60, 120, 160], None), None);
        assert_eq!(find(&[0, 40, 80, u64::MAX], None), None);
        assert_eq!(find(&[], None), None);
        assert_eq!(find(&[0, 40, 80], None), None, "too few");
    }

    #[test]
    fn missing_frames_are_multiples() {
        let times = [0, 33, 67, 133, 167, 200, 300, 333, 367, 400];
        assert_eq!(find(&times, None), Some(rate(30_000, 1000)));
    }

    #[test]
    fn rate_must_be_whole_in_the_timescale_of_the_track() {
        let times: Vec<u64> = (0..25).map(|frame| frame * 40).collect();
        let found = FrameRate::find(times.iter().copied(), None, Some(30_000));
        assert_eq!(found, Some(rate(30_000, 1200)));
        let found = FrameRate::find(times.iter().copied(), None, Some(24_001));
        assert_eq!(found, None);
    }

    proptest! {
        #[test]
        fn any_times_are_searched(times in proptest::collection::vec(any::<u64>(), 0..20), fps in any::<f64>()) {
            let _any = find(&times, FrameRate::announced(fps));
        }
    }
}
