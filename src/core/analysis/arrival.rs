//! Arrival of the frames of a track compared with their timestamps.

use std::time::{Duration, Instant};

use super::{
    LATE_MS,
    drift::DriftMeter,
    facts::{Burst, Drift, Jitter},
    histogram::{Histogram, Scale},
};

/// Delays of the frames of one track, relative to the first one.
#[derive(Debug)]
pub(super) struct ArrivalClock {
    first: Option<First>,
    latest_delay_us: i64,
    burst: BurstState,
    /// Smallest delay in each of the latest seconds.
    lowest_us: [Option<i64>; SECONDS],
    /// Number of the latest second.
    second: u64,
    pub(super) lateness: Lateness,
    drift: DriftMeter,
}

/// The frame to which delays are relative.
#[derive(Debug, Clone, Copy)]
struct First {
    arrived_at: Instant,
    time_ms: i64,
    /// Correction for jumps of the server's clock.
    offset_us: i64,
}

/// The burst at the start, which ends once the delay does not decrease for [`SETTLED_US`].
#[derive(Debug, Default, Clone, Copy)]
struct BurstState {
    lowest_us: i64,
    lowest_at_us: i64,
    has_ended: bool,
}

impl ArrivalClock {
    pub(super) fn new() -> Self {
        Self {
            first: None,
            latest_delay_us: 0,
            burst: BurstState::default(),
            lowest_us: [None; SECONDS],
            second: 0,
            lateness: Lateness::new(),
            drift: DriftMeter::new(),
        }
    }

    /// Adds a frame. `follows` is whether its time can be compared with that of the frame before.
    pub(super) fn add(&mut self, arrived_at: Instant, time_ms: i64, follows: bool) {
        let first = self.first.get_or_insert(First {
            arrived_at,
            time_ms,
            offset_us: 0,
        });
        let elapsed = arrived_at.saturating_duration_since(first.arrived_at);
        let elapsed_us = i64::try_from(elapsed.as_micros()).unwrap_or(i64::MAX);
        let media_us = time_ms.saturating_sub(first.time_ms).saturating_mul(1000);
        let delay_us = elapsed_us.saturating_sub(media_us);
        if !follows {
            first.offset_us = self.latest_delay_us.saturating_sub(delay_us);
        }
        let delay_us = delay_us.saturating_add(first.offset_us);
        self.latest_delay_us = delay_us;
        if self.burst.is_over(elapsed_us, delay_us) {
            let lowest_us = self.lowest(elapsed, delay_us);
            self.lateness.add(delay_us.saturating_sub(lowest_us));
            self.drift.add(elapsed_us.wrapping_div(1000), delay_us);
        }
    }

    /// Returns the smallest delay of the latest seconds, including this one.
    fn lowest(&mut self, elapsed: Duration, delay_us: i64) -> i64 {
        let passed = elapsed.as_secs().saturating_sub(self.second);
        self.second = self.second.max(elapsed.as_secs());
        for _ in 0..passed.min(SECONDS as u64) {
            self.lowest_us.rotate_left(1);
            if let Some(last) = self.lowest_us.last_mut() {
                *last = None;
            }
        }
        if let Some(last) = self.lowest_us.last_mut() {
            *last = Some(last.map_or(delay_us, |lowest| lowest.min(delay_us)));
        }
        self.lowest_us
            .iter()
            .flatten()
            .min()
            .copied()
            .unwrap_or(delay_us)
    }

    /// Returns the burst at the start.
    pub(super) fn burst(&self) -> Option<Burst> {
        self.first?;
        let milliseconds = |us: i64| u64::try_from(us.wrapping_div(1000)).unwrap_or(0);
        Some(Burst {
            media_ms: milliseconds(self.burst.lowest_us.saturating_neg()),
            took_ms: milliseconds(self.burst.lowest_at_us),
            has_ended: self.burst.has_ended,
        })
    }

    /// Returns the drift of the arrival against the timestamps.
    pub(super) fn drift(&self) -> Option<Drift> {
        self.drift.drift()
    }
}

impl BurstState {
    /// Adds a frame, and returns whether it arrived after the burst.
    fn is_over(&mut self, elapsed_us: i64, delay_us: i64) -> bool {
        if self.has_ended {
            return true;
        }
        let is_faster = delay_us < self.lowest_us.saturating_sub(JITTER_US);
        if is_faster {
            (self.lowest_us, self.lowest_at_us) = (delay_us, elapsed_us);
        }
        self.has_ended = elapsed_us.saturating_sub(self.lowest_at_us) >= SETTLED_US;
        self.has_ended
    }
}

/// Times by which frames are late.
#[derive(Debug)]
pub(super) struct Lateness {
    times: Histogram,
    late_frames: u64,
}

impl Lateness {
    pub(super) fn new() -> Self {
        Self {
            times: Histogram::new(LATENESS),
            late_frames: 0,
        }
    }

    fn add(&mut self, late_us: i64) {
        let late_ms = u64::try_from(late_us.wrapping_div(1000)).unwrap_or(0);
        self.times.add(late_ms);
        self.late_frames = self.late_frames.saturating_add((late_ms > LATE_MS).into());
    }

    /// Adds the frames of another track.
    pub(super) fn merge(&mut self, other: &Self) {
        self.times.merge(&other.times);
        self.late_frames = self.late_frames.saturating_add(other.late_frames);
    }

    /// Returns the jitter; `None` without frames.
    pub(super) fn jitter(&self) -> Option<Jitter> {
        let max_ms = self.times.largest_ms();
        Some(Jitter {
            p50_ms: self.times.percentile_ms(50)?.min(max_ms),
            p95_ms: self.times.percentile_ms(95)?.min(max_ms),
            max_ms,
            late_frames: self.late_frames,
            frames: self.times.count(),
        })
    }
}

/// Number of seconds over which the smallest delay is measured. A drift of the clocks is small in this time.
const SECONDS: usize = 16;

/// Decrease of the delay that jitter explains.
const JITTER_US: i64 = 20_000;

/// Time without a smaller delay after which the burst is over. Servers send a GOP cache without a pause.
const SETTLED_US: i64 = 500_000;

/// Bins of the lateness: up to ten seconds.
const LATENESS: Scale = Scale {
    fine_ms: 256,
    coarse_ms: 32,
    coarse_bins: 10_000 / 32,
};
