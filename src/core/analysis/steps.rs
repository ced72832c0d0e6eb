//! Steps between the timestamps of a track, and the frame rate that they show.

use std::collections::VecDeque;

use super::{
    facts::{FrameRateFacts, Rational},
    histogram::{Bin, Histogram, Scale},
};
use crate::core::mp4::frame_rate::FrameRate;

/// Steps between the frames of one track. The memory is bounded: a histogram, and the times of two runs.
#[derive(Debug)]
pub(super) struct Steps {
    lengths: Histogram,
    /// Median of the steps when it was last calculated.
    usual_ms: Option<u64>,
    /// Times of the latest frames without an odd step.
    run: VecDeque<i64>,
    /// Longest run before it.
    longest_run: VecDeque<i64>,
}

impl Steps {
    pub(super) fn new() -> Self {
        Self {
            lengths: Histogram::new(LENGTHS),
            usual_ms: None,
            run: VecDeque::new(),
            longest_run: VecDeque::new(),
        }
    }

    /// Records a step to a frame at this time.
    pub(super) fn record(&mut self, step_ms: u64, time_ms: i64) {
        self.lengths.add(step_ms);
        let count = self.lengths.count();
        if count.is_power_of_two() || count.is_multiple_of(MEDIAN_EVERY) {
            self.usual_ms = self.median_ms();
        }
        let usual_ms = self.usual_ms.unwrap_or(step_ms);
        if step_ms == 0 || step_ms.abs_diff(usual_ms) > ROUNDING_MS {
            self.start_run(time_ms);
            return;
        }
        if self.run.len() >= MAX_RUN {
            self.run.pop_front();
        }
        self.run.push_back(time_ms);
    }

    /// Starts a run of frames at this time.
    pub(super) fn start_run(&mut self, time_ms: i64) {
        if self.run.len() > self.longest_run.len() {
            std::mem::swap(&mut self.run, &mut self.longest_run);
        }
        self.run.clear();
        self.run.push_back(time_ms);
    }

    /// Returns the number of steps.
    pub(super) fn count(&self) -> u64 {
        self.lengths.count()
    }

    /// Returns the step above which frames are missing, by the steps so far.
    pub(super) fn gap_limit_ms(&self) -> u64 {
        gap_limit_ms(self.usual_ms)
    }

    /// Returns number and length of the steps that are gaps.
    pub(super) fn gaps(&self) -> (u64, u64) {
        let (_, up_to_limit) = self.without_gaps();
        let gaps = self.lengths.count().saturating_sub(up_to_limit);
        let longest_ms = self.lengths.largest_ms();
        (gaps, if gaps > 0 { longest_ms } else { 0 })
    }

    /// Returns the sum of all steps that are not gaps, in milliseconds, and their number.
    pub(super) fn without_gaps(&self) -> (u64, u64) {
        let limit_ms = gap_limit_ms(self.median_ms());
        let bins = self
            .lengths
            .bins()
            .take_while(|bin| bin.start_ms <= limit_ms);
        bins.fold((0, 0), |(sum, count), bin| {
            let length = bin.start_ms.saturating_mul(bin.count);
            (length.saturating_add(sum), bin.count.saturating_add(count))
        })
    }

    /// Returns the frame rate; `irregular` steps are not in the histogram. `None` without a step that lasts.
    pub(super) fn frame_rate(
        &self,
        irregular: u64,
        announced: Option<f64>,
    ) -> Option<FrameRateFacts> {
        let (sum_ms, regular) = self.without_gaps();
        if sum_ms == 0 {
            return None;
        }
        let median_step_ms = self.median_ms()?;
        let nominal = self.nominal(announced);
        let interval_ms = nominal.map_or(median_step_ms as f64, |rate| 1000.0 / rate.to_f64());
        let (count, usual) = (self.lengths.count(), self.near(interval_ms));
        Some(FrameRateFacts {
            mean: regular as f64 * 1000.0 / sum_ms as f64,
            nominal,
            median_step_ms,
            steps: count.saturating_add(irregular),
            odd_steps: count.saturating_sub(usual).saturating_add(irregular),
        })
    }

    /// Returns the number of steps that differ from an interval by at most the rounding.
    fn near(&self, interval_ms: f64) -> u64 {
        let is_near = |bin: &Bin| (bin.start_ms as f64 - interval_ms).abs() <= bin.width_ms as f64;
        let near = self
            .lengths
            .bins()
            .filter(|bin| bin.start_ms > 0 && is_near(bin));
        near.map(|bin| bin.count).sum()
    }

    fn nominal(&self, announced: Option<f64>) -> Option<Rational> {
        let run = if self.run.len() >= self.longest_run.len() {
            &self.run
        } else {
            &self.longest_run
        };
        let first = *run.front()?;
        let times = run
            .iter()
            .map(|time| u64::try_from(time.saturating_sub(first)).unwrap_or(0));
        let announced = announced.and_then(FrameRate::announced);
        // Few rounded times agree with several usual rates.
        let expected = announced.filter(|_| run.len() < LONG_RUN);
        let found = FrameRate::find(times.clone(), expected, None);
        let rate = found.or_else(|| FrameRate::find(times, announced, None))?;
        Rational::new(rate.timescale, rate.ticks)
    }

    fn median_ms(&self) -> Option<u64> {
        self.lengths.percentile_ms(50)
    }
}

/// Returns the step above which frames are missing, if `usual_ms` is the usual one.
fn gap_limit_ms(usual_ms: Option<u64>) -> u64 {
    let intervals = usual_ms.unwrap_or(0).saturating_mul(GAP_INTERVALS);
    intervals.max(MIN_GAP_MS)
}

/// Bins of the steps: up to one minute. Video with longer steps than the fine ones is a slide show, whose rate
/// need not be exact.
const LENGTHS: Scale = Scale {
    fine_ms: 1024,
    coarse_ms: 256,
    coarse_bins: 60_000 / 256,
};

/// Number of steps after which the usual step is calculated again.
const MEDIAN_EVERY: u64 = 256;

/// Largest difference of two steps of the same length that are rounded to milliseconds.
const ROUNDING_MS: u64 = 1;

/// Largest number of times in a run: 8 s at 30 frames per second, in which 30 and 30000/1001 differ by 8 ms.
const MAX_RUN: usize = 256;

/// Number of times in a run that distinguish usual rates without an announced one: one second.
const LONG_RUN: usize = 25;

/// Smallest gap. Shorter pauses are jitter of the encoder.
const MIN_GAP_MS: u64 = 1000;

/// Number of frame intervals that a gap exceeds, so that a slide show has no gaps.
const GAP_INTERVALS: u64 = 5;
