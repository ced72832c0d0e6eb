//! Timestamps of audio compared with the number of its samples.

use super::{drift::DriftMeter, facts::Drift};

/// Clock that advances by the samples of the frames.
#[derive(Debug)]
pub(super) struct SampleClock {
    latest: Option<Latest>,
    /// Sum of the steps between frames without a jump.
    elapsed_ms: i64,
    /// Sum of the lengths of the frames, including those that are missing.
    samples_ns: i64,
    meter: DriftMeter,
}

#[derive(Debug, Clone, Copy)]
struct Latest {
    time_ms: i64,
    length_ns: i64,
    /// Number of steps in a row that agree with the length of the frames.
    regular: u32,
}

impl SampleClock {
    pub(super) fn new() -> Self {
        Self {
            latest: None,
            elapsed_ms: 0,
            samples_ns: 0,
            meter: DriftMeter::new(),
        }
    }

    /// Adds a frame. `follows` is whether its time can be compared with that of the frame before.
    pub(super) fn add(&mut self, time_ms: i64, samples: u32, rate_hz: u32, follows: bool) {
        let length_ns = i64::from(samples)
            .saturating_mul(1_000_000_000)
            .checked_div(rate_hz.into())
            .unwrap_or(0);
        let latest = Latest {
            time_ms,
            length_ns,
            regular: 0,
        };
        let Some(before) = self.latest.replace(latest) else {
            return;
        };
        if follows {
            self.step(before, time_ms);
        }
    }

    fn step(&mut self, before: Latest, time_ms: i64) {
        let step_ms = time_ms.saturating_sub(before.time_ms);
        let frames = frames_in(step_ms, before.length_ns);
        // A step of several frames after regular ones: the frames between are missing.
        let is_missing = frames > 1 && before.regular >= REGULAR_STEPS;
        let counted = if is_missing { frames } else { 1 };
        if let Some(latest) = &mut self.latest
            && (frames == 1 || is_missing)
        {
            latest.regular = before.regular.saturating_add(1);
        }
        self.elapsed_ms = self.elapsed_ms.saturating_add(step_ms);
        let length_ns = before.length_ns.saturating_mul(counted);
        self.samples_ns = self.samples_ns.saturating_add(length_ns);
        let elapsed_us = self.elapsed_ms.saturating_mul(1000);
        let difference_us = elapsed_us.saturating_sub(self.samples_ns.wrapping_div(1000));
        self.meter.add(self.elapsed_ms, difference_us);
    }

    /// Returns the drift of the timestamps.
    pub(super) fn drift(&self) -> Option<Drift> {
        self.meter.drift()
    }
}

/// Returns the number of frames whose length agrees with a step, or 0.
fn frames_in(step_ms: i64, length_ns: i64) -> i64 {
    let step_ns = step_ms.saturating_mul(1_000_000);
    let half = length_ns.wrapping_div(2);
    let count = step_ns.saturating_add(half).checked_div(length_ns);
    let count = count.unwrap_or(0);
    let error_ns = step_ns.saturating_sub(count.saturating_mul(length_ns));
    match error_ns.unsigned_abs() <= ROUNDING_NS {
        true => count,
        false => 0,
    }
}

/// Number of regular steps that distinguish a missing frame from a server that sends frames in groups with equal
/// timestamps.
const REGULAR_STEPS: u32 = 4;

/// Largest error of a step between two times that are rounded to milliseconds.
const ROUNDING_NS: u64 = 1_000_000;

#[cfg(test)]
mod tests {
    use super::*;

    /// Drift of two minutes of AAC at 48 kHz. Times are multiplied by `speed`; frames for which `keeps` returns
    /// false are lost.
    fn drift(speed: f64, keeps: impl Fn(u32) -> bool, group: u32) -> f64 {
        let mut clock = SampleClock::new();
        for frame in (0..5625).filter(|frame| keeps(*frame)) {
            let sent = frame / group * group;
            let time_ms = f64::from(sent) * 1024.0 / 48.0 * speed;
            clock.add(time_ms as i64, 1024, 48_000, true);
        }
        clock.drift().unwrap().ms_per_hour
    }

    #[test]
    fn faster_timestamps_drift() {
        assert!(drift(1.0, |_| true, 1).abs() < 50.0);
        let fast = drift(1.001, |_| true, 1);
        assert!((fast - 3600.0).abs() < 50.0, "{fast}");
        let slow = drift(0.9995, |_| true, 1);
        assert!((slow + 1800.0).abs() < 50.0, "{slow}");
    }

    #[test]
    fn lost_frames_and_groups_do_not_drift() {
        assert!(drift(1.0, |frame| frame % 500 != 400, 1).abs() < 50.0);
        let grouped = drift(1.0, |_| true, 4);
        assert!(grouped.abs() < 50.0, "{grouped}");
    }
}
