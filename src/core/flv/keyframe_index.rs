//! Table of keyframes with a fixed number of slots that always covers the complete file.

use std::iter;

/// A tag at which a decoder can start.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry {
    /// Timestamp of the tag, in milliseconds.
    pub time_ms: u32,
    /// Offset in the file of the first byte of the tag.
    pub position: u64,
}

/// Table of up to [`KeyframeIndex::SLOTS`] entries, in ascending order of time.
///
/// When the table is full, every second entry is dropped, and from then on only every second keyframe
/// becomes an entry; then every fourth, and so on. The entries therefore stay evenly spread. The first
/// and the last keyframe always have a slot.
#[derive(Debug, Clone)]
pub struct KeyframeIndex {
    entries: Vec<Entry>,
    last: Option<Entry>,
    /// One of this many keyframes becomes an entry.
    stride: u32,
    /// Number of keyframes to skip before the next entry.
    to_skip: u32,
}

impl KeyframeIndex {
    /// Number of slots. With an entry every 2 s they cover more than an hour, with one every 64 s a day
    /// and a half.
    pub const SLOTS: usize = 2048;

    /// Creates an empty table, which allocates memory for the entries that it gets.
    pub fn new() -> Self {
        Self {
            entries: Vec::new(),
            last: None,
            stride: 1,
            to_skip: 0,
        }
    }

    /// Adds a keyframe. Ignores it unless it is later than the previous one, so that times ascend.
    pub fn add(&mut self, entry: Entry) {
        if self.last.is_some_and(|last| last.time_ms >= entry.time_ms) {
            return;
        }
        self.last = Some(entry);
        // Thin even if this keyframe is skipped, because the last keyframe needs a slot.
        if self.entries.len() >= Self::SLOTS {
            self.thin();
        }
        if self.to_skip > 0 {
            self.to_skip = self.to_skip.saturating_sub(1);
            return;
        }
        self.entries.push(entry);
        self.to_skip = self.stride.saturating_sub(1);
    }

    /// Removes all entries.
    pub fn clear(&mut self) {
        self.entries.clear();
        self.last = None;
        self.stride = 1;
        self.to_skip = 0;
    }

    /// Returns the last keyframe that was added.
    pub fn last(&self) -> Option<Entry> {
        self.last
    }

    /// Returns the contents of all slots. Unused slots repeat the last keyframe, or `first` if the table
    /// is empty.
    pub fn slots(&self, first: Entry) -> impl Iterator<Item = Entry> {
        let unused = iter::repeat(self.last.unwrap_or(first));
        let used = self.entries.iter().copied();
        used.chain(unused).take(Self::SLOTS)
    }

    /// Drops every second entry and keeps the first.
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
    fn empty_index_points_at_the_first_tag() {
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
    fn every_keyframe_has_a_slot_until_the_table_is_full() {
        let slots: Vec<Entry> = index_of(2048).slots(FIRST).collect();
        assert!((0..).map(keyframe).take(2048).eq(slots));
        let slots: Vec<Entry> = index_of(2049).slots(FIRST).collect();
        assert_eq!(slots[..3], [keyframe(0), keyframe(2), keyframe(4)]);
        assert_eq!(slots[1024..1026], [keyframe(2048), keyframe(2048)]);
    }

    #[test]
    fn keyframe_that_is_not_later_is_ignored() {
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
        fn entries_are_spread_evenly_over_the_file(count in 1u32..40_000) {
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
