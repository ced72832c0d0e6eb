//! The server's 32-bit clock, which wraps, restarts and jumps → one 64-bit output clock.

use crate::rtmp::message::Timestamp;

/// Places each message on the output clock. Audio and video share it, so that lip sync survives.
#[derive(Debug)]
pub(super) struct Timeline {
    keeps_timestamps: bool,
    clock: Option<Clock>,
}

/// The clock once the first frame has come.
#[derive(Debug)]
struct Clock {
    /// The latest frame's timestamp, as the server gave it.
    timestamp: Timestamp,
    /// The latest frame's place.
    output_ms: i64,
    /// The highest place so far.
    high_ms: i64,
    /// The latest step forward: what a restart continues with.
    step_ms: i64,
}

impl Timeline {
    /// A clock that begins at 0, or at the server's first timestamp.
    pub(super) fn new(keeps_timestamps: bool) -> Self {
        Self {
            keeps_timestamps,
            clock: None,
        }
    }

    /// The place of a frame in milliseconds. Frames drive the clock.
    pub(super) fn frame(&mut self, timestamp: Timestamp) -> u64 {
        let start_ms = if self.keeps_timestamps {
            i64::from(timestamp.0)
        } else {
            0
        };
        let clock = self.clock.get_or_insert(Clock {
            timestamp,
            output_ms: start_ms,
            high_ms: start_ms,
            step_ms: 0,
        });
        clock.advance(timestamp);
        clock.output_ms.max(0).unsigned_abs()
    }

    /// The place of configuration, an empty message or script data, which servers send with any
    /// timestamp, 0 in mid-stream too: that of the frame before.
    pub(super) fn companion(&self) -> u64 {
        self.clock
            .as_ref()
            .map_or(0, |clock| clock.output_ms.max(0).unsigned_abs())
    }

    /// How far the clock has come, in milliseconds.
    pub(super) fn position_ms(&self) -> u64 {
        self.clock
            .as_ref()
            .map_or(0, |clock| clock.high_ms.max(0).unsigned_abs())
    }
}

impl Clock {
    fn advance(&mut self, timestamp: Timestamp) {
        // Serial arithmetic: 2^32 ms are 49.7 days, and half of it lies ahead, half behind (ERR).
        let step_ms = i64::from(timestamp.since(self.timestamp));
        self.timestamp = timestamp;
        let place_ms = self.output_ms + step_ms;
        let is_restart = place_ms < self.high_ms - MAX_STEP_BACK_MS || step_ms > MAX_STEP_MS;
        if is_restart {
            self.output_ms = self.high_ms + self.step_ms;
            tracing::info!(
                "the server's clock jumps by {step_ms} ms at {} ms: taken for a restart",
                self.high_ms
            );
        } else {
            self.output_ms = place_ms;
            if step_ms > 0 {
                self.step_ms = step_ms.min(MAX_RESTART_STEP_MS);
            }
        }
        self.high_ms = self.high_ms.max(self.output_ms);
    }
}

/// How far back an interleaved frame may lie behind the others; what is further back is a restart.
const MAX_STEP_BACK_MS: i64 = 1_000;

/// The longest pause between two frames, an hour; what is longer is a jump of the clock: 24 days where
/// a server counts in 31 bits.
const MAX_STEP_MS: i64 = 3_600_000;

/// The longest step from the last frame before a restart to the first one behind it.
const MAX_RESTART_STEP_MS: i64 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    /// The places of frames with these timestamps.
    fn places(timestamps: &[u32]) -> Vec<u64> {
        let mut timeline = Timeline::new(false);
        timestamps
            .iter()
            .map(|&timestamp| timeline.frame(Timestamp(timestamp)))
            .collect()
    }

    #[test]
    fn the_file_starts_at_0_whatever_the_server_counts_from() {
        assert_eq!(places(&[16_772_000, 16_772_040, 16_772_080]), [0, 40, 80]);
    }

    #[test]
    fn the_servers_timestamps_are_kept_on_demand() {
        let mut timeline = Timeline::new(true);
        assert_eq!(timeline.frame(Timestamp(4_000_000_000)), 4_000_000_000);
        assert_eq!(timeline.frame(Timestamp(4_000_000_040)), 4_000_000_040);
    }

    #[test]
    fn the_clock_goes_on_over_every_border_of_its_bits() {
        for border in [1 << 24, 1 << 31, 0_u32] {
            let before = border.wrapping_sub(20);
            assert_eq!(
                places(&[before, border, border.wrapping_add(20)]),
                [0, 20, 40],
                "border {border:#x}"
            );
        }
    }

    #[test]
    fn a_server_that_counts_in_31_bits_does_not_jump_24_days() {
        let last = 0x7FFF_FFF0;
        assert_eq!(places(&[last - 40, last, 24, 64]), [0, 40, 80, 120]);
    }

    #[test]
    fn interleaved_frames_may_step_back_by_up_to_a_second() {
        assert_eq!(
            places(&[0, 1_000, 2_000, 1_000, 2_040]),
            [0, 1_000, 2_000, 1_000, 2_040]
        );
    }

    #[test]
    fn a_larger_step_back_is_a_restart_that_continues_the_clock() {
        assert_eq!(
            places(&[10_000, 10_040, 10_080, 0, 40, 20]),
            [0, 40, 80, 120, 160, 140]
        );
    }

    #[test]
    fn small_steps_back_do_not_add_up_unseen() {
        let mut timestamps = vec![10_000, 20_000];
        timestamps.extend((1..=5).map(|step| 20_000 - step * 400));
        let places = places(&timestamps);
        assert!(
            places.iter().skip(1).all(|&place| place >= 9_000),
            "{places:?}"
        );
    }

    #[test]
    fn a_jump_of_days_is_no_pause() {
        assert_eq!(places(&[0, 40, 500_000_000, 500_000_040]), [0, 40, 80, 120]);
        assert_eq!(places(&[0, 40, 600_040]), [0, 40, 600_040]);
    }

    #[test]
    fn what_is_no_frame_takes_the_place_of_the_frame_before() {
        let mut timeline = Timeline::new(false);
        assert_eq!(timeline.companion(), 0);
        timeline.frame(Timestamp(5_000));
        timeline.frame(Timestamp(5_040));
        assert_eq!(timeline.companion(), 40);
        assert_eq!(timeline.position_ms(), 40);
    }

    #[test]
    fn an_early_frame_before_the_first_is_not_before_0() {
        assert_eq!(places(&[500, 300, 540]), [0, 0, 40]);
    }
}
