//! Units that wait for a slow reader of a pipe while a live stream continues.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::{
    core::flv::TagKind,
    output::{latest_frames::LatestFrames, muxer::Unit},
};

/// Units in order, up to a limit.
///
/// When the limit is reached, complete GOPs are dropped (one second at a time if there is only audio), so
/// that the reader gets a keyframe after each gap. Sequence headers and script data are kept.
#[derive(Debug)]
pub(super) struct Backlog {
    units: VecDeque<Unit>,
    /// Memory of the units.
    bytes: usize,
    limit: usize,
    /// Index in `units` of the first unit of the latest GOP; `None` if that unit was already taken.
    gop: Option<usize>,
    gop_start_ms: u64,
    latest: LatestFrames,
    latest_ms: u64,
    gap: Option<DroppedFrames>,
    /// Whether units were taken since the current gap began.
    was_read_in_gap: bool,
    /// Wall-clock time.
    wall: Timestamp,
}

/// Frames that were dropped in one gap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::output) struct DroppedFrames {
    pub(in crate::output) frames: u64,
    pub(in crate::output) bytes: u64,
    /// Output time of the first dropped frame.
    pub(in crate::output) from_ms: u64,
    /// Output time of the first frame after the gap.
    pub(in crate::output) to_ms: u64,
    /// Arrival of the first dropped frame.
    pub(in crate::output) began: Timestamp,
}

/// Frames that a pipe lacks because its reader was too slow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Drops {
    /// Number of gaps.
    pub gaps: u64,
    /// Number of dropped frames.
    pub frames: u64,
    /// Size of the dropped frames in the container.
    pub bytes: u64,
    /// Length of all gaps in milliseconds.
    pub length_ms: u64,
}

impl Drops {
    /// Adds a gap.
    pub(super) fn add(&mut self, gap: &DroppedFrames) {
        self.gaps = self.gaps.saturating_add(1);
        self.frames = self.frames.saturating_add(gap.frames);
        self.bytes = self.bytes.saturating_add(gap.bytes);
        let length_ms = gap.to_ms.saturating_sub(gap.from_ms);
        self.length_ms = self.length_ms.saturating_add(length_ms);
    }
}

impl Backlog {
    /// Creates an empty backlog with a limit in bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            units: VecDeque::new(),
            bytes: 0,
            limit,
            gop: None,
            gop_start_ms: 0,
            latest: LatestFrames::default(),
            latest_ms: 0,
            gap: None,
            was_read_in_gap: false,
            wall: Timestamp::UNIX_EPOCH,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.units.is_empty()
    }

    /// Whether the next unit must wait as well.
    pub(super) fn is_needed(&self) -> bool {
        !self.units.is_empty() || self.gap.is_some()
    }

    /// Sets the wall-clock time of the following units.
    pub(super) fn set_wall_clock(&mut self, wall: Timestamp) {
        self.wall = wall;
    }

    /// Adds a unit or drops it. Dropped units are added to `dropped`. Returns the gap that this unit ends.
    pub(super) fn push(&mut self, unit: Unit, dropped: &mut Vec<Unit>) -> Option<DroppedFrames> {
        let starts_gop = self.starts_gop(&unit);
        let capacity = unit.bytes.capacity();
        let finished = if starts_gop {
            self.end_gap(unit.at_ms, capacity)
        } else {
            None
        };
        if starts_gop {
            self.gop_start_ms = unit.at_ms;
            self.gop = Some(self.units.len());
        }
        self.latest.note(unit.info, unit.at_ms);
        let bytes = self.bytes.saturating_add(capacity);
        if unit.info.carries_media {
            self.latest_ms = unit.at_ms;
            if self.gap.is_none() && bytes <= self.limit {
                self.append(unit);
            } else {
                self.begin_gap(unit.at_ms, dropped);
                self.drop_frame(unit, dropped);
            }
        } else if bytes <= self.limit.saturating_add(HEADER_RESERVE) {
            // A decoder needs the sequence headers to continue after the gap.
            self.append(unit);
        } else {
            dropped.push(unit);
        }
        finished
    }

    /// Moves the oldest units, about `bytes` of them, to `batch`.
    pub(super) fn take(&mut self, bytes: usize, batch: &mut Vec<Unit>) {
        self.was_read_in_gap = true;
        let mut taken = 0;
        while taken < bytes
            && let Some(unit) = self.units.pop_front()
        {
            taken = unit.as_bytes().len().saturating_add(taken);
            self.bytes = self.bytes.saturating_sub(unit.bytes.capacity());
            self.gop = self.gop.and_then(|index| index.checked_sub(1));
            batch.push(unit);
        }
    }

    /// Whether frames are being dropped.
    pub(super) fn has_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// Returns the gap that has not ended, up to the latest frame.
    pub(super) fn current_gap(&self) -> Option<DroppedFrames> {
        let gap = self.gap?;
        Some(DroppedFrames {
            to_ms: self.latest_ms.max(gap.from_ms),
            ..gap
        })
    }

    /// Ends the current gap without a following frame, at the end of the stream.
    pub(super) fn take_gap(&mut self) -> Option<DroppedFrames> {
        let gap = self.current_gap();
        self.gap = None;
        gap
    }

    /// Whether a gap may end at this unit. Audio without video counts as GOPs of one second.
    fn starts_gop(&self, unit: &Unit) -> bool {
        let is_apart = unit.at_ms.abs_diff(self.gop_start_ms) >= AUDIO_GOP_MS;
        self.latest.is_start(unit.info, unit.at_ms)
            && (unit.info.track == TagKind::VIDEO || is_apart)
    }

    /// Ends the gap before a GOP if the reader is reading again and half of the limit is free. With less free
    /// space, or while the reader still pauses, the GOP would not fit and would start the next gap at once. A
    /// fragment of MP4 contains a complete second, and only needs to fit into an empty backlog.
    fn end_gap(&mut self, at_ms: u64, capacity: usize) -> Option<DroppedFrames> {
        let is_read = self.was_read_in_gap || self.units.is_empty();
        let fits_alone = self.units.is_empty() && capacity <= self.limit;
        let is_small = self.bytes.saturating_add(capacity) <= self.limit / 2;
        if !is_read || !is_small && !fits_alone {
            return None;
        }
        let gap = self.gap.take()?;
        Some(DroppedFrames {
            to_ms: at_ms.max(gap.from_ms),
            ..gap
        })
    }

    /// Starts a gap at the beginning of the latest GOP, if that still waits: the frames of an incomplete
    /// GOP would show a picture that stops in the middle. If its beginning was already taken, the
    /// waiting frames stay, and only the following ones are dropped.
    fn begin_gap(&mut self, at_ms: u64, dropped: &mut Vec<Unit>) {
        if self.gap.is_some() {
            return;
        }
        self.was_read_in_gap = false;
        self.gap = Some(DroppedFrames {
            from_ms: at_ms,
            began: self.wall,
            ..DroppedFrames::default()
        });
        let Some(gop) = self.gop.take() else {
            return;
        };
        for unit in self.units.split_off(gop.min(self.units.len())) {
            self.bytes = self.bytes.saturating_sub(unit.bytes.capacity());
            if unit.info.carries_media {
                self.drop_frame(unit, dropped);
            } else {
                self.append(unit);
            }
        }
        if let Some(gap) = self.gap.as_mut().filter(|gap| gap.frames > 0) {
            let waited_ms = at_ms.saturating_sub(self.gop_start_ms);
            gap.from_ms = self.gop_start_ms;
            gap.began = earlier(gap.began, waited_ms);
        }
    }

    fn append(&mut self, unit: Unit) {
        self.bytes = self.bytes.saturating_add(unit.bytes.capacity());
        self.units.push_back(unit);
    }

    fn drop_frame(&mut self, unit: Unit, dropped: &mut Vec<Unit>) {
        if let Some(gap) = &mut self.gap {
            gap.frames = gap.frames.saturating_add(1);
            let bytes = unit.as_bytes().len() as u64;
            gap.bytes = gap.bytes.saturating_add(bytes);
        }
        dropped.push(unit);
    }
}

fn earlier(than: Timestamp, by_ms: u64) -> Timestamp {
    let by = SignedDuration::from_millis(i64::try_from(by_ms).unwrap_or(i64::MAX));
    than.checked_sub(by).unwrap_or(than)
}

/// Length of a GOP if there is only audio.
const AUDIO_GOP_MS: u64 = 1000;

/// Memory above the limit that is reserved for sequence headers and script data.
const HEADER_RESERVE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::{
        core::{
            flv::{FrameParser, Layout, Metadata},
            payload::Payload,
        },
        output::muxer::{Message, Muxer},
    };

    fn unit(kind: TagKind, at_ms: u64, body: &[u8]) -> Unit {
        let message = Message {
            info: FrameParser::new().parse(kind, body),
            at_ms: Some(at_ms),
            payload: Payload::from(body),
        };
        let mut muxer = Muxer::flv(Layout::Plain, &Metadata::default());
        let mut units = Vec::new();
        muxer.push(message, 0, &mut units, &mut Vec::new());
        let mut unit = units.remove(0);
        unit.bytes.shrink_to_fit();
        unit
    }

    fn keyframe(at_ms: u64) -> Unit {
        unit(TagKind::VIDEO, at_ms, &[&[0x17, 1][..], &[7; 83]].concat())
    }

    fn inter_frame(at_ms: u64) -> Unit {
        unit(TagKind::VIDEO, at_ms, &[&[0x27, 1][..], &[7; 83]].concat())
    }

    fn audio(at_ms: u64) -> Unit {
        unit(TagKind::AUDIO, at_ms, &[&[0xAF, 1][..], &[7; 83]].concat())
    }

    fn sequence_header(at_ms: u64) -> Unit {
        unit(TagKind::VIDEO, at_ms, &[&[0x17, 0][..], &[7; 83]].concat())
    }

    fn drained(backlog: &mut Backlog) -> Vec<Unit> {
        let mut batch = Vec::new();
        backlog.take(usize::MAX, &mut batch);
        batch
    }

    /// Each unit has 100 bytes.
    fn backlog_of(units: usize) -> Backlog {
        assert_eq!(keyframe(0).bytes.capacity(), 100);
        Backlog::new(100 * units)
    }

    #[test]
    fn units_that_fit_are_taken_in_order() {
        let mut backlog = backlog_of(4);
        let units = [sequence_header(0), keyframe(0), audio(20), inter_frame(40)];
        for unit in units.clone() {
            assert_eq!(backlog.push(unit, &mut Vec::new()), None);
        }
        let mut batch = Vec::new();
        backlog.take(150, &mut batch);
        assert_eq!(batch.len(), 2);
        backlog.take(usize::MAX, &mut batch);
        assert_eq!(batch, units);
        assert!(backlog.is_empty() && backlog.bytes == 0);
    }

    #[test]
    fn gap_lasts_until_the_reader_reads_again() {
        let mut backlog = backlog_of(4);
        let mut dropped = Vec::new();
        backlog.push(keyframe(0), &mut dropped);
        for at_ms in [80, 160, 240] {
            // No GOP fits. After the removal of the first one, half of the limit is free.
            backlog.push(keyframe(at_ms), &mut dropped);
            for after_ms in [10, 20, 30] {
                let finished = backlog.push(inter_frame(at_ms + after_ms), &mut dropped);
                assert_eq!(finished, None);
            }
        }
        backlog.take(1, &mut Vec::new());
        let gap = backlog
            .push(keyframe(320), &mut dropped)
            .expect("the gap ends");
        assert_eq!((gap.from_ms, gap.to_ms, gap.frames), (80, 320, 12));
    }

    #[test]
    fn a_gop_that_does_not_fit_is_dropped_from_its_keyframe() {
        let mut backlog = backlog_of(5);
        let mut dropped = Vec::new();
        for unit in [
            keyframe(0),
            inter_frame(40),
            keyframe(80),
            sequence_header(80),
            audio(100),
            inter_frame(120),
            inter_frame(160),
        ] {
            assert_eq!(backlog.push(unit, &mut dropped), None);
        }
        assert_eq!(
            drained(&mut backlog),
            [keyframe(0), inter_frame(40), sequence_header(80)]
        );
        assert_eq!(
            dropped,
            [keyframe(80), audio(100), inter_frame(120), inter_frame(160)]
        );
        assert_eq!(backlog.push(inter_frame(200), &mut dropped), None);
        let gap = DroppedFrames {
            frames: 5,
            bytes: 500,
            from_ms: 80,
            to_ms: 240,
            began: Timestamp::UNIX_EPOCH - SignedDuration::from_millis(40),
        };
        assert_eq!(backlog.push(keyframe(240), &mut dropped), Some(gap));
        assert_eq!(drained(&mut backlog), [keyframe(240)]);
    }

    #[test]
    fn a_gop_whose_keyframe_was_taken_is_kept_as_far_as_it_fits() {
        let mut backlog = backlog_of(2);
        backlog.push(keyframe(0), &mut Vec::new());
        drained(&mut backlog);
        let mut dropped = Vec::new();
        for at_ms in [40, 80, 120] {
            backlog.push(inter_frame(at_ms), &mut dropped);
        }
        assert_eq!(drained(&mut backlog), [inter_frame(40), inter_frame(80)]);
        assert_eq!(dropped, [inter_frame(120)]);
    }

    #[test]
    fn a_gap_lasts_until_half_of_the_limit_is_free() {
        let mut backlog = backlog_of(4);
        for at_ms in 0..5 {
            backlog.push(keyframe(at_ms), &mut Vec::new());
        }
        backlog.take(200, &mut Vec::new());
        assert_eq!(backlog.push(keyframe(5), &mut Vec::new()), None);
        backlog.take(100, &mut Vec::new());
        let gap = backlog.push(keyframe(6), &mut Vec::new()).unwrap();
        assert_eq!((gap.frames, gap.from_ms, gap.to_ms), (2, 4, 6));
    }

    #[test]
    fn a_gap_starts_at_the_first_dropped_frame() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut backlog = backlog_of(3);
        backlog.set_wall_clock(at(100));
        for at_ms in [5_000, 6_000, 6_040] {
            backlog.push(keyframe(at_ms), &mut Vec::new());
        }
        // The GOP that started a second ago is dropped with the frame that does not fit.
        backlog.push(inter_frame(7_040), &mut Vec::new());
        assert!(backlog.has_gap());
        drained(&mut backlog);
        backlog.set_wall_clock(at(300));
        let gap = backlog.push(keyframe(14_000), &mut Vec::new()).unwrap();
        assert_eq!((gap.from_ms, gap.to_ms), (6_040, 14_000));
        assert_eq!((gap.began, gap.frames), (at(99), 2));
        assert_eq!(backlog.take_gap(), None);
    }

    #[test]
    fn drops_are_the_sum_of_all_gaps() {
        let gap = DroppedFrames {
            frames: 5,
            bytes: 500,
            from_ms: 80,
            to_ms: 240,
            began: Timestamp::UNIX_EPOCH,
        };
        let mut drops = Drops::default();
        drops.add(&gap);
        drops.add(&gap);
        let expected = Drops {
            gaps: 2,
            frames: 10,
            bytes: 1000,
            length_ms: 320,
        };
        assert_eq!(drops, expected);
    }

    #[test]
    fn a_gap_at_the_end_ends_with_its_last_frame() {
        let mut backlog = backlog_of(1);
        for at_ms in [0, 40, 80, 120] {
            backlog.push(keyframe(at_ms), &mut Vec::new());
        }
        assert_eq!(backlog.current_gap().unwrap().to_ms, 120);
        let gap = backlog.take_gap().unwrap();
        assert_eq!((gap.from_ms, gap.to_ms, gap.frames), (40, 120, 3));
        assert_eq!(backlog.current_gap(), None);
        assert!(!backlog.has_gap());
    }

    #[test]
    fn audio_only_is_dropped_by_seconds() {
        let mut backlog = backlog_of(5);
        let mut dropped = Vec::new();
        for number in 0..8 {
            backlog.push(audio(1000 + 400 * number), &mut dropped);
        }
        // The seconds start at 1,000 and 2,200 ms, and the second one does not fit.
        let kept = drained(&mut backlog);
        assert_eq!(kept, [audio(1000), audio(1400), audio(1800)]);
        assert_eq!(dropped.len(), 5);
    }

    /// A publisher whose camera is off does not send the keyframe that a gap usually ends with.
    #[test]
    fn a_gap_ends_with_audio_after_a_minute_without_video() {
        let mut backlog = backlog_of(4);
        (0..8).for_each(|at_ms| {
            backlog.push(keyframe(at_ms), &mut Vec::new());
        });
        drained(&mut backlog);
        let gaps: Vec<_> = (1..100)
            .filter_map(|second| backlog.push(audio(second * 1_000), &mut Vec::new()))
            .collect();
        assert_eq!(gaps.len(), 1);
        assert_eq!(gaps[0].to_ms, 61_000);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u8),
        Take(usize),
    }

    proptest! {
        #[test]
        fn each_gap_is_followed_by_a_keyframe_and_memory_is_limited(
            steps in prop::collection::vec(
                prop_oneof![
                    4 => (0..20_u8).prop_map(Step::Push),
                    1 => (0..900_usize).prop_map(Step::Take),
                ],
                0..200,
            ),
        ) {
            let mut backlog = backlog_of(8);
            let (mut dropped, mut out) = (Vec::new(), Vec::new());
            backlog.push(keyframe(0), &mut dropped);
            let mut pushed = vec![keyframe(0)];
            for (number, step) in steps.into_iter().enumerate() {
                let at_ms = 40 + number as u64 * 40;
                match step {
                    Step::Take(bytes) => backlog.take(bytes, &mut out),
                    Step::Push(kind) => {
                        let unit = match kind {
                            0..=2 => keyframe(at_ms),
                            3 => sequence_header(at_ms),
                            4..=9 => audio(at_ms),
                            _ => inter_frame(at_ms),
                        };
                        pushed.push(unit.clone());
                        backlog.push(unit, &mut dropped);
                        prop_assert!(backlog.bytes <= backlog.limit + HEADER_RESERVE);
                    }
                }
            }
            out.extend(drained(&mut backlog));
            prop_assert_eq!(out.len() + dropped.len(), pushed.len());
            let mut follows_gap = false;
            let mut kept = out.iter().peekable();
            for unit in &pushed {
                if kept.next_if_eq(&unit).is_none() {
                    prop_assert!(unit.bytes[12] != 0, "sequence headers are kept");
                    follows_gap = true;
                } else if unit.bytes[12] != 0 {
                    let is_keyframe = unit.bytes.starts_with(&[9]) && unit.bytes[11] == 0x17;
                    prop_assert!(!follows_gap || is_keyframe);
                    follows_gap = false;
                }
            }
            prop_assert!(kept.next().is_none(), "order is kept");
        }
    }
}
