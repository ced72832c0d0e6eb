//! Drift between two clocks, robust against jitter and single bad samples.

use super::facts::{Drift, MS_PER_HOUR};

/// Differences of two clocks over time: the smallest difference in each of a bounded number of intervals.
///
/// Jitter only delays, so the smallest difference in an interval is the one without jitter.
#[derive(Debug)]
pub(super) struct DriftMeter {
    start_ms: Option<i64>,
    /// Length of an interval.
    width_ms: i64,
    /// Time and smallest difference of each interval.
    lowest: [Option<Point>; INTERVALS],
    latest: usize,
}

#[derive(Debug, Clone, Copy)]
struct Point {
    time_ms: i64,
    difference_us: i64,
}

impl DriftMeter {
    pub(super) fn new() -> Self {
        Self {
            start_ms: None,
            width_ms: FIRST_WIDTH_MS,
            lowest: [None; INTERVALS],
            latest: 0,
        }
    }

    /// Adds a difference at this time. A time before that of the latest interval is ignored.
    pub(super) fn add(&mut self, time_ms: i64, difference_us: i64) {
        let start_ms = *self.start_ms.get_or_insert(time_ms);
        let since_start = time_ms.saturating_sub(start_ms);
        // Each round doubles the interval, so there are at most as many rounds as bits in the time.
        while self.interval(since_start) >= INTERVALS as i64 {
            self.halve();
        }
        let at = usize::try_from(self.interval(since_start)).unwrap_or(0);
        if since_start < 0 || at < self.latest {
            return;
        }
        self.latest = at;
        if let Some(lowest) = self.lowest.get_mut(at)
            && lowest.is_none_or(|old| difference_us < old.difference_us)
        {
            *lowest = Some(Point {
                time_ms,
                difference_us,
            });
        }
    }

    fn interval(&self, since_start_ms: i64) -> i64 {
        since_start_ms.checked_div(self.width_ms).unwrap_or(0)
    }

    /// Halves the number of intervals by joining each two.
    fn halve(&mut self) {
        self.width_ms = self.width_ms.saturating_mul(2);
        self.latest = self.latest.wrapping_div(2);
        let mut halved = [None; INTERVALS];
        for (new, pair) in halved.iter_mut().zip(self.lowest.chunks(2)) {
            let points = pair.iter().flatten();
            *new = points.min_by_key(|point| point.difference_us).copied();
        }
        self.lowest = halved;
    }

    /// Returns the median slope between distant intervals; `None` if they span less than [`MIN_SPAN_MS`].
    pub(super) fn drift(&self) -> Option<Drift> {
        let points: Vec<Point> = self.lowest.iter().flatten().copied().collect();
        let span_ms = points
            .last()?
            .time_ms
            .saturating_sub(points.first()?.time_ms);
        if span_ms < MIN_SPAN_MS {
            return None;
        }
        let mut slopes = Vec::with_capacity(INTERVALS * INTERVALS / 2);
        for (at, later) in points.iter().enumerate() {
            let earlier = points.iter().take(at);
            slopes.extend(earlier.filter_map(|earlier| slope(earlier, later, span_ms)));
        }
        let middle = slopes.len().wrapping_div(2);
        slopes.sort_by(f64::total_cmp);
        Some(Drift {
            ms_per_hour: slopes.get(middle)? * MS_PER_HOUR,
            span_ms: span_ms.unsigned_abs(),
        })
    }
}

/// Returns the slope between two points that are at least half of the span apart. Between closer points, the
/// rounding of the times would dominate.
fn slope(earlier: &Point, later: &Point, span_ms: i64) -> Option<f64> {
    let time_ms = later.time_ms.saturating_sub(earlier.time_ms);
    let is_distant = time_ms > 0 && time_ms >= span_ms.wrapping_div(2);
    let rise_us = later.difference_us.saturating_sub(earlier.difference_us);
    is_distant.then(|| rise_us as f64 / 1000.0 / time_ms as f64)
}

/// Number of intervals. All pairs of them are compared.
const INTERVALS: usize = 64;

/// Length of an interval at the start: several frames of any track.
const FIRST_WIDTH_MS: i64 = 250;

/// Shortest span of a drift. In 10 s, rounding to milliseconds amounts to 360 ms per hour.
const MIN_SPAN_MS: i64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn drift(points: impl IntoIterator<Item = (i64, i64)>) -> Option<f64> {
        let mut meter = DriftMeter::new();
        for (time_ms, difference_us) in points {
            meter.add(time_ms, difference_us);
        }
        meter.drift().map(|drift| drift.ms_per_hour.round())
    }

    #[test]
    fn constant_slope_is_found_over_any_span() {
        for seconds in [11, 60, 3600, 360_000] {
            let points = (0..seconds * 10).map(|at| (at * 100, at * 100));
            assert_eq!(drift(points), Some(3600.0), "{seconds} s");
        }
    }

    #[test]
    fn jitter_and_bad_samples_do_not_matter() {
        let points = (0..3000_i64).map(|at| {
            let jitter_us = at * 7919 % 10 * 10_000;
            let bad_us = if at == 1500 { -900_000_000 } else { 0 };
            (at * 40, at * 40 + jitter_us + bad_us)
        });
        assert_eq!(drift(points), Some(3600.0));
    }

    #[test]
    fn short_and_absurd_times_have_no_drift() {
        assert_eq!(drift([]), None);
        assert_eq!(drift((0..90).map(|at| (at * 100, at))), None);
        assert_eq!(drift([(0, 0), (i64::MIN, i64::MAX), (5000, 1)]), None);
        let ends = drift([(i64::MIN, i64::MIN), (i64::MAX, i64::MAX)]);
        assert!(ends.is_some_and(f64::is_finite));
    }
}
