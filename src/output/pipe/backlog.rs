//! What waits for a pipe's reader while a live stream goes on.

use std::collections::VecDeque;

use jiff::{SignedDuration, Timestamp};

use crate::{
    core::flv::TagKind,
    output::{muxer::Unit, recording::MAX_PICTURE_PAUSE_MS},
};

/// Tags in order, up to a limit. Behind it whole groups of pictures are left out, of audio alone whole
/// seconds, so that what the reader gets begins with a keyframe after each gap.
#[derive(Debug)]
pub(super) struct Backlog {
    tags: VecDeque<Unit>,
    /// The memory of the tags.
    bytes: usize,
    limit: usize,
    /// Where in `tags` the latest group begins; none where its beginning has left.
    group: Option<usize>,
    group_began_ms: u64,
    /// The place of the latest frame.
    latest_ms: u64,
    /// The place of the latest frame of video.
    picture_ms: Option<u64>,
    gap: Option<Dropped>,
    /// The place of the timestamps' 0 on the output's clock.
    start_ms: u64,
    /// The time of day.
    wall: Timestamp,
}

/// What was left out in one go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::output) struct Dropped {
    /// Audio and video tags.
    pub(in crate::output) tags: u64,
    pub(in crate::output) bytes: u64,
    /// The places on the output's clock of the first that is missing, and of the first that is there
    /// again.
    pub(in crate::output) from_ms: u64,
    pub(in crate::output) to_ms: u64,
    /// When the first that is missing came.
    pub(in crate::output) began: Timestamp,
}

/// What a tag is to a backlog.
struct Place {
    at_ms: u64,
    is_frame: bool,
    begins_group: bool,
}

impl Backlog {
    /// An empty one that takes `limit` bytes.
    pub(super) fn new(limit: usize) -> Self {
        Self {
            tags: VecDeque::new(),
            bytes: 0,
            limit,
            group: None,
            group_began_ms: 0,
            latest_ms: 0,
            picture_ms: None,
            gap: None,
            start_ms: 0,
            wall: Timestamp::UNIX_EPOCH,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tags.is_empty()
    }

    /// Whether the next tag has to come here too.
    pub(super) fn is_needed(&self) -> bool {
        !self.tags.is_empty() || self.gap.is_some()
    }

    /// Tells where on the output's clock the timestamps' 0 is, and what time of day it is, for what comes
    /// next.
    pub(super) fn set_clocks(&mut self, start_ms: u64, wall: Timestamp) {
        self.start_ms = start_ms;
        self.wall = wall;
    }

    /// Lets a tag wait, or leaves it out; the buffers of those that were left out are added to
    /// `dropped`. Tells of a gap once it is over.
    pub(super) fn push(&mut self, tag: Unit, dropped: &mut Vec<Unit>) -> Option<Dropped> {
        let place = self.place(&tag);
        let over = self.end_gap(&place, tag.bytes.capacity());
        if place.begins_group {
            self.group_began_ms = place.at_ms;
            self.group = Some(self.tags.len());
        }
        if place.is_frame {
            self.latest_ms = place.at_ms;
        }
        if !place.is_frame {
            // Without configuration nothing can be decoded behind the gap.
            if self.bytes + tag.bytes.capacity() <= self.limit + CONFIGURATION_RESERVE {
                self.append(tag);
            } else {
                dropped.push(tag);
            }
        } else if self.gap.is_none() && self.has_room(tag.bytes.capacity()) {
            self.append(tag);
        } else {
            self.begin_gap(place.at_ms, dropped);
            self.leave_out(tag, dropped);
        }
        over
    }

    /// The oldest tags, about `bytes` of them.
    pub(super) fn take(&mut self, bytes: usize, batch: &mut Vec<Unit>) {
        let mut taken = 0;
        while taken < bytes
            && let Some(tag) = self.tags.pop_front()
        {
            taken += tag.bytes.len();
            self.bytes -= tag.bytes.capacity();
            self.group = self.group.and_then(|at| at.checked_sub(1));
            batch.push(tag);
        }
    }

    /// Whether frames are left out at the moment.
    pub(super) fn has_gap(&self) -> bool {
        self.gap.is_some()
    }

    /// What is left out at the moment, which nothing comes behind.
    pub(super) fn take_gap(&mut self) -> Option<Dropped> {
        let gap = self.gap.take()?;
        Some(Dropped {
            to_ms: self.latest_ms.max(gap.from_ms),
            ..gap
        })
    }

    fn place(&mut self, unit: &Unit) -> Place {
        let (info, at_ms) = (unit.info, self.start_ms + u64::from(unit.timestamp_ms));
        let is_frame = info.carries_media;
        if is_frame && info.track == TagKind::VIDEO {
            self.picture_ms = self.picture_ms.max(Some(at_ms));
        }
        let begins_group = is_frame
            && match info.track {
                TagKind::VIDEO => info.is_keyframe,
                _ if self.has_picture(at_ms) => false,
                _ => at_ms.abs_diff(self.group_began_ms) >= AUDIO_GROUP_MS,
            };
        Place {
            at_ms,
            is_frame,
            begins_group,
        }
    }

    /// Whether a keyframe is to be expected around this place.
    fn has_picture(&self, at_ms: u64) -> bool {
        self.picture_ms
            .is_some_and(|picture_ms| at_ms.saturating_sub(picture_ms) <= MAX_PICTURE_PAUSE_MS)
    }

    /// A gap ends where a group begins and a good part of the room is free again: else the next group
    /// would fall into the next gap.
    fn end_gap(&mut self, place: &Place, capacity: usize) -> Option<Dropped> {
        let has_drained = self.bytes + capacity <= self.limit / 2;
        if !(place.begins_group && has_drained) {
            return None;
        }
        let gap = self.gap.take()?;
        Some(Dropped {
            to_ms: place.at_ms.max(gap.from_ms),
            ..gap
        })
    }

    /// Takes the group that does not fit out again.
    fn begin_gap(&mut self, at_ms: u64, dropped: &mut Vec<Unit>) {
        if self.gap.is_some() {
            return;
        }
        self.gap = Some(Dropped {
            from_ms: at_ms,
            began: self.wall,
            ..Dropped::default()
        });
        let Some(group) = self.group.take() else {
            return;
        };
        for tag in self.tags.split_off(group.min(self.tags.len())) {
            self.bytes -= tag.bytes.capacity();
            if self.place(&tag).is_frame {
                self.leave_out(tag, dropped);
            } else {
                self.append(tag);
            }
        }
        if let Some(gap) = self.gap.as_mut().filter(|gap| gap.tags > 0) {
            let waited_ms = at_ms.saturating_sub(self.group_began_ms);
            gap.from_ms = self.group_began_ms;
            gap.began = earlier(gap.began, waited_ms);
        }
    }

    fn append(&mut self, tag: Unit) {
        self.bytes += tag.bytes.capacity();
        self.tags.push_back(tag);
    }

    fn leave_out(&mut self, tag: Unit, dropped: &mut Vec<Unit>) {
        if let Some(gap) = &mut self.gap {
            gap.tags += 1;
            gap.bytes += tag.bytes.len() as u64;
        }
        dropped.push(tag);
    }

    fn has_room(&self, capacity: usize) -> bool {
        self.bytes + capacity <= self.limit
    }
}

fn earlier(than: Timestamp, by_ms: u64) -> Timestamp {
    let by = SignedDuration::from_millis(i64::try_from(by_ms).unwrap_or(i64::MAX));
    than.checked_sub(by).unwrap_or(than)
}

/// What audio alone is left out in.
const AUDIO_GROUP_MS: u64 = 1000;

/// FreeSpace for configuration and script data above the limit.
const CONFIGURATION_RESERVE: usize = 1024 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::{flv::FrameParser, payload::Payload};

    fn tag(kind: TagKind, timestamp_ms: u32, body: &[u8]) -> Unit {
        let info = FrameParser::new().parse(kind, body);
        let mut unit = Unit::new(info, timestamp_ms, Payload::from(body));
        unit.bytes.shrink_to_fit();
        unit
    }

    fn keyframe(timestamp_ms: u32) -> Unit {
        tag(
            TagKind::VIDEO,
            timestamp_ms,
            &[&[0x17, 1][..], &[7; 83]].concat(),
        )
    }

    fn inter_frame(timestamp_ms: u32) -> Unit {
        tag(
            TagKind::VIDEO,
            timestamp_ms,
            &[&[0x27, 1][..], &[7; 83]].concat(),
        )
    }

    fn sound(timestamp_ms: u32) -> Unit {
        tag(
            TagKind::AUDIO,
            timestamp_ms,
            &[&[0xAF, 1][..], &[7; 83]].concat(),
        )
    }

    fn configuration(timestamp_ms: u32) -> Unit {
        tag(
            TagKind::VIDEO,
            timestamp_ms,
            &[&[0x17, 0][..], &[7; 83]].concat(),
        )
    }

    fn drained(backlog: &mut Backlog) -> Vec<Unit> {
        let mut batch = Vec::new();
        backlog.take(usize::MAX, &mut batch);
        batch
    }

    /// Each tag takes 100 bytes.
    fn backlog_of(tags: usize) -> Backlog {
        assert_eq!(keyframe(0).bytes.capacity(), 100);
        Backlog::new(100 * tags)
    }

    #[test]
    fn what_fits_comes_out_in_order() {
        let mut backlog = backlog_of(4);
        let tags = [configuration(0), keyframe(0), sound(20), inter_frame(40)];
        for tag in tags.clone() {
            assert_eq!(backlog.push(tag, &mut Vec::new()), None);
        }
        let mut batch = Vec::new();
        backlog.take(150, &mut batch);
        assert_eq!(batch.len(), 2);
        backlog.take(usize::MAX, &mut batch);
        assert_eq!(batch, tags);
        assert!(backlog.is_empty() && backlog.bytes == 0);
    }

    #[test]
    fn the_group_that_does_not_fit_is_left_out_from_its_beginning_on() {
        let mut backlog = backlog_of(5);
        let mut dropped = Vec::new();
        for tag in [
            keyframe(0),
            inter_frame(40),
            keyframe(80),
            configuration(80),
            sound(100),
            inter_frame(120),
            inter_frame(160),
        ] {
            assert_eq!(backlog.push(tag, &mut dropped), None);
        }
        assert_eq!(
            drained(&mut backlog),
            [keyframe(0), inter_frame(40), configuration(80)]
        );
        assert_eq!(
            dropped,
            [keyframe(80), sound(100), inter_frame(120), inter_frame(160)]
        );
        assert_eq!(backlog.push(inter_frame(200), &mut dropped), None);
        let gap = Dropped {
            tags: 5,
            bytes: 500,
            from_ms: 80,
            to_ms: 240,
            began: Timestamp::UNIX_EPOCH - SignedDuration::from_millis(40),
        };
        assert_eq!(backlog.push(keyframe(240), &mut dropped), Some(gap));
        assert_eq!(drained(&mut backlog), [keyframe(240)]);
    }

    #[test]
    fn a_group_whose_beginning_has_left_stays_as_far_as_it_fits() {
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
    fn a_gap_goes_on_until_half_of_the_room_is_free() {
        let mut backlog = backlog_of(4);
        for at_ms in 0..5 {
            backlog.push(keyframe(at_ms), &mut Vec::new());
        }
        backlog.take(200, &mut Vec::new());
        assert_eq!(backlog.push(keyframe(5), &mut Vec::new()), None);
        backlog.take(100, &mut Vec::new());
        let over = backlog.push(keyframe(6), &mut Vec::new()).unwrap();
        assert_eq!((over.tags, over.from_ms, over.to_ms), (2, 4, 6));
    }

    #[test]
    fn a_gap_is_on_the_outputs_clock_and_began_when_its_first_frame_came() {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let mut backlog = backlog_of(3);
        backlog.set_clocks(5_000, at(100));
        for at_ms in [0, 1_000, 1_040] {
            backlog.push(keyframe(at_ms), &mut Vec::new());
        }
        // The latest group, which began a second ago, goes with the frame that does not fit.
        backlog.push(inter_frame(2_040), &mut Vec::new());
        assert!(backlog.has_gap());
        drained(&mut backlog);
        backlog.set_clocks(5_000, at(300));
        let over = backlog.push(keyframe(9_000), &mut Vec::new()).unwrap();
        assert_eq!((over.from_ms, over.to_ms), (6_040, 14_000));
        assert_eq!((over.began, over.tags), (at(99), 2));
        assert_eq!(backlog.take_gap(), None);
    }

    #[test]
    fn a_gap_that_nothing_comes_behind_ends_with_its_last_frame() {
        let mut backlog = backlog_of(1);
        for at_ms in [0, 40, 80, 120] {
            backlog.push(keyframe(at_ms), &mut Vec::new());
        }
        let gap = backlog.take_gap().unwrap();
        assert_eq!((gap.from_ms, gap.to_ms, gap.tags), (40, 120, 3));
        assert!(!backlog.has_gap());
    }

    #[test]
    fn audio_alone_is_left_out_by_seconds() {
        let mut backlog = backlog_of(5);
        let mut dropped = Vec::new();
        for number in 0..8 {
            backlog.push(sound(1000 + 400 * number), &mut dropped);
        }
        // The groups begin at 1,000 and 2,200 ms, and the second one did not fit.
        let kept = drained(&mut backlog);
        assert_eq!(kept, [sound(1000), sound(1400), sound(1800)]);
        assert_eq!(dropped.len(), 5);
    }

    /// A publisher whose camera is off sends no keyframe that a gap could end with.
    #[test]
    fn a_gap_ends_with_audio_once_the_picture_is_gone() {
        let mut backlog = backlog_of(4);
        (0..8).for_each(|at_ms| {
            backlog.push(keyframe(at_ms), &mut Vec::new());
        });
        drained(&mut backlog);
        let over: Vec<_> = (1..100)
            .filter_map(|second| backlog.push(sound(second * 1_000), &mut Vec::new()))
            .collect();
        assert_eq!(over.len(), 1);
        assert_eq!(over[0].to_ms, 61_000);
    }

    #[derive(Debug, Clone)]
    enum Step {
        Push(u8),
        Take(usize),
    }

    proptest! {
        #[test]
        fn each_gap_is_followed_by_a_keyframe_and_memory_is_bounded(
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
                let at_ms = 40 + number as u32 * 40;
                match step {
                    Step::Take(bytes) => backlog.take(bytes, &mut out),
                    Step::Push(kind) => {
                        let tag = match kind {
                            0..=2 => keyframe(at_ms),
                            3 => configuration(at_ms),
                            4..=9 => sound(at_ms),
                            _ => inter_frame(at_ms),
                        };
                        pushed.push(tag.clone());
                        backlog.push(tag, &mut dropped);
                        prop_assert!(backlog.bytes <= backlog.limit + CONFIGURATION_RESERVE);
                    }
                }
            }
            out.extend(drained(&mut backlog));
            prop_assert_eq!(out.len() + dropped.len(), pushed.len());
            let mut follows_gap = false;
            let mut kept = out.iter().peekable();
            for tag in &pushed {
                if kept.next_if_eq(&tag).is_none() {
                    prop_assert!(tag.bytes[12] != 0, "configuration is kept");
                    follows_gap = true;
                } else if tag.bytes[12] != 0 {
                    let is_keyframe = tag.bytes.starts_with(&[9]) && tag.bytes[11] == 0x17;
                    prop_assert!(!follows_gap || is_keyframe);
                    follows_gap = false;
                }
            }
            prop_assert!(kept.next().is_none(), "order is kept");
        }
    }
}
