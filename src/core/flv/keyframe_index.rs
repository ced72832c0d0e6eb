//! The table of keyframes: a fixed number of slots that always spans the file.

use std::iter;

/// Where decoding can begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// The tag's timestamp.
    pub time_ms: u32,
    /// Where in the file the tag's first byte is.
    pub position: u64,
}

/// Up to [`KeyframeIndex::SLOTS`] entries, in order.
///
/// When a file has more keyframes than that, every second entry is dropped, and from then on only
/// every second keyframe becomes an entry; then every fourth, and so on. The entries stay evenly
/// spread, and the first and the last keyframe are always among them.
#[derive(Debug, Clone)]
pub struct KeyframeIndex {
    entries: Vec<Entry>,
    last: Option<Entry>,
    /// Of so many keyframes one becomes an entry.
    stride: u32,
    /// So many keyframes do not, before the next one does.
    passing: u32,
}

impl KeyframeIndex {
    /// How many entries a file has room for: a keyframe every 2 s for more than an hour, or every
    /// 64 s for a day and a half.
    pub const SLOTS: usize = 2048;

    /// An empty table with all its room.
    pub fn new() -> Self {
        Self {
            entries: Vec::with_capacity(Self::SLOTS),
            last: None,
            stride: 1,
            passing: 0,
        }
    }

    /// Adds a keyframe. One that is not later than the one before is passed over: times ascend.
    pub fn add(&mut self, entry: Entry) {
        if self.last.is_some_and(|last| last.time_ms >= entry.time_ms) {
            return;
        }
        self.last = Some(entry);
        if self.entries.len() >= Self::SLOTS {
            self.thin();
        }
        if self.passing > 0 {
            self.passing = self.passing.saturating_sub(1);
            return;
        }
        self.entries.push(entry);
        self.passing = self.stride.saturating_sub(1);
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.last = None;
        self.stride = 1;
        self.passing = 0;
    }

    /// The last keyframe that was added.
    pub fn last(&self) -> Option<Entry> {
        self.last
    }

    /// The entries as the file has them: [`KeyframeIndex::SLOTS`] of them, unused slots repeat the last
    /// keyframe, or hold `first` where there is none yet.
    pub fn slots(&self, first: Entry) -> impl Iterator<Item = Entry> {
        let unused = iter::repeat(self.last.unwrap_or(first));
        let used = self.entries.iter().copied();
        used.chain(unused).take(Self::SLOTS)
    }

    /// Drops every second entry but the first.
    fn thin(&mut self) {
        let mut is_kept = false;
        self.entries.retain(|_| {
            is_kept = !is_kept;
            is_kept
        });
        self.stride = self.stride.saturating_mul(2);
    }
}

impl Default for KeyframeIndex {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FIRST: Entry = Entry {
        time_ms: 0,
        position: 50_000,
    };

    fn keyframe(number: u32) -> Entry {
        Entry {
            time_ms: number * 2000,
            position: 50_000 + u64::from(number) * 250_000,
        }
    }

    fn index_of(count: u32) -> KeyframeIndex {
        let mut index = KeyframeIndex::new();
        (0..count).for_each(|number| index.add(keyframe(number)));
        index
    }

    #[test]
    fn an_empty_index_points_at_the_first_tag() {
        assert!(KeyframeIndex::new().slots(FIRST).all(|slot| slot == FIRST));
        assert_eq!(
            KeyframeIndex::new().slots(FIRST).count(),
            KeyframeIndex::SLOTS
        );
    }

    #[test]
    fn unused_slots_repeat_the_last_keyframe() {
        let slots: Vec<Entry> = index_of(3).slots(FIRST).collect();
        assert_eq!(slots.len(), KeyframeIndex::SLOTS);
        assert_eq!(slots[..3], [keyframe(0), keyframe(1), keyframe(2)]);
        assert!(slots[3..].iter().all(|slot| *slot == keyframe(2)));
    }

    #[test]
    fn every_keyframe_has_a_slot_until_there_are_no_more() {
        let slots: Vec<Entry> = index_of(2048).slots(FIRST).collect();
        assert!((0..).map(keyframe).take(2048).eq(slots));
        let slots: Vec<Entry> = index_of(2049).slots(FIRST).collect();
        assert_eq!(slots[..3], [keyframe(0), keyframe(2), keyframe(4)]);
        assert_eq!(slots[1024..1026], [keyframe(2048), keyframe(2048)]);
    }

    #[test]
    fn a_keyframe_that_is_not_later_is_passed_over() {
        let mut index = index_of(2);
        index.add(Entry {
            position: 1_000_000,
            ..keyframe(1)
        });
        index.add(keyframe(0));
        assert_eq!(index.last(), Some(keyframe(1)));
        index.clear();
        assert_eq!(index.last(), None);
        index.add(keyframe(0));
        assert!(index.slots(FIRST).all(|slot| slot == keyframe(0)));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn the_index_always_spans_the_file_evenly(count in 1u32..40_000) {
            let index = index_of(count);
            let slots: Vec<Entry> = index.slots(FIRST).collect();
            prop_assert_eq!(slots.len(), KeyframeIndex::SLOTS);
            prop_assert_eq!(slots[0], keyframe(0));
            prop_assert_eq!(slots[KeyframeIndex::SLOTS - 1], keyframe(count - 1));
            prop_assert!(index.entries.len() >= count.min(1024) as usize);
            prop_assert!(slots.is_sorted_by_key(|slot| slot.time_ms));
            let step = 2000 * (count - 1).div_ceil(2047).next_power_of_two();
            let gaps = slots.windows(2).map(|pair| pair[1].time_ms - pair[0].time_ms);
            prop_assert!(gaps.into_iter().all(|gap| gap <= step), "a gap wider than {} ms", step);
        }
    }
}
