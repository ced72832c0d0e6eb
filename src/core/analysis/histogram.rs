//! Histogram of times, in bounded memory.

/// Numbers of times by length: one bin per millisecond, and wider bins for long times.
#[derive(Debug)]
pub(super) struct Histogram {
    scale: Scale,
    bins: Box<[u32]>,
    count: u64,
    largest_ms: u64,
}

/// Bins of a histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Scale {
    /// Shorter times have a bin per millisecond.
    pub(super) fine_ms: u64,
    /// Length of the other bins.
    pub(super) coarse_ms: u64,
    /// Number of the other bins. The last one also contains all longer times.
    pub(super) coarse_bins: u64,
}

/// Times of one bin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bin {
    /// Shortest time.
    pub(super) start_ms: u64,
    /// Length of the bin in milliseconds.
    pub(super) width_ms: u64,
    /// Number of times.
    pub(super) count: u64,
}

impl Histogram {
    pub(super) fn new(scale: Scale) -> Self {
        let bins = scale.fine_ms.saturating_add(scale.coarse_bins);
        Self {
            scale,
            bins: (0..bins).map(|_| 0).collect(),
            count: 0,
            largest_ms: 0,
        }
    }

    /// Adds a time.
    pub(super) fn add(&mut self, ms: u64) {
        let bin = self.scale.bin_of(ms);
        if let Some(count) = self.bins.get_mut(bin) {
            *count = count.saturating_add(1);
        }
        self.count = self.count.saturating_add(1);
        self.largest_ms = self.largest_ms.max(ms);
    }

    /// Adds the times of a histogram with the same scale.
    pub(super) fn merge(&mut self, other: &Self) {
        for (own, other) in self.bins.iter_mut().zip(&other.bins) {
            *own = own.saturating_add(*other);
        }
        self.count = self.count.saturating_add(other.count);
        self.largest_ms = self.largest_ms.max(other.largest_ms);
    }

    /// Returns the number of times.
    pub(super) fn count(&self) -> u64 {
        self.count
    }

    /// Returns the longest time, or 0.
    pub(super) fn largest_ms(&self) -> u64 {
        self.largest_ms
    }

    /// Returns the start of the first bin up to whose end this percentage of the times lies. `None` without times.
    pub(super) fn percentile_ms(&self, percent: u64) -> Option<u64> {
        let rank = self.count.saturating_mul(percent).div_ceil(100);
        let mut seen = 0_u64;
        let bin = self.bins().find(|bin| {
            seen = seen.saturating_add(bin.count);
            seen >= rank
        });
        bin.filter(|_| self.count > 0).map(|bin| bin.start_ms)
    }

    /// Returns the bins in the order of their times.
    pub(super) fn bins(&self) -> impl Iterator<Item = Bin> {
        let scale = self.scale;
        (0..).zip(&self.bins).map(move |(bin, count)| Bin {
            start_ms: scale.start_ms(bin),
            width_ms: match bin < scale.fine_ms {
                true => 1,
                false => scale.coarse_ms,
            },
            count: (*count).into(),
        })
    }
}

impl Scale {
    fn bin_of(self, ms: u64) -> usize {
        let bin = match ms.checked_sub(self.fine_ms) {
            None => ms,
            Some(above) => {
                let coarse = above.checked_div(self.coarse_ms).unwrap_or(0);
                let last = self.coarse_bins.saturating_sub(1);
                self.fine_ms.saturating_add(coarse.min(last))
            }
        };
        usize::try_from(bin).unwrap_or(usize::MAX)
    }

    fn start_ms(self, bin: u64) -> u64 {
        match bin.checked_sub(self.fine_ms) {
            None => bin,
            Some(above) => {
                let coarse_ms = above.saturating_mul(self.coarse_ms);
                self.fine_ms.saturating_add(coarse_ms)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCALE: Scale = Scale {
        fine_ms: 4,
        coarse_ms: 10,
        coarse_bins: 2,
    };

    fn histogram(times: &[u64]) -> Histogram {
        let mut histogram = Histogram::new(SCALE);
        times.iter().for_each(|ms| histogram.add(*ms));
        histogram
    }

    #[test]
    fn every_time_has_a_bin() {
        let filled = |ms| {
            let histogram = histogram(&[ms]);
            let mut bins = histogram.bins().filter(|bin| bin.count > 0);
            bins.next().map(|bin| (bin.start_ms, bin.width_ms))
        };
        assert_eq!(filled(0), Some((0, 1)));
        assert_eq!(filled(3), Some((3, 1)));
        assert_eq!([filled(4), filled(13)], [Some((4, 10)); 2]);
        assert_eq!([filled(14), filled(u64::MAX)], [Some((14, 10)); 2]);
    }

    #[test]
    fn percentile_is_that_of_the_sorted_times() {
        let histogram = histogram(&[3, 0, 1, 2]);
        let percentiles = [1, 25, 26, 50, 75, 100].map(|percent| histogram.percentile_ms(percent));
        assert_eq!(percentiles, [0, 0, 1, 1, 2, 3].map(Some));
        assert_eq!(Histogram::new(SCALE).percentile_ms(50), None);
    }

    #[test]
    fn merged_histogram_has_all_times() {
        let mut merged = histogram(&[1, 1, 7]);
        merged.merge(&histogram(&[0, 20]));
        let both = histogram(&[1, 1, 7, 0, 20]);
        assert!(merged.bins().eq(both.bins()));
        assert_eq!((merged.count(), merged.largest_ms()), (5, 20));
    }
}
