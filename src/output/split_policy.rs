//! Where an output is cut.

use std::path::PathBuf;

use jiff::{Timestamp, tz::TimeZone};

/// How an output is cut into parts, and who hears of them.
#[derive(Debug, Clone)]
pub struct SegmentOptions {
    /// A part ends where the output's clock passes a multiple of so many milliseconds.
    pub every_ms: Option<u64>,
    /// A part ends once it has so many bytes.
    pub bytes: Option<u64>,
    /// A part ends where the time of day passes a multiple of so many seconds, a day at most.
    pub clock_seconds: Option<u32>,
    /// Where the time of day is.
    pub zone: TimeZone,
    /// The file that gets a line for each part.
    pub manifest: Option<PathBuf>,
    /// The program that is run for each part, and its arguments; none where it is empty.
    pub hook: Vec<String>,
}

impl SegmentOptions {
    /// One part, and nobody who hears of it.
    pub fn none() -> Self {
        Self {
            every_ms: None,
            bytes: None,
            clock_seconds: None,
            zone: TimeZone::UTC,
            manifest: None,
            hook: Vec::new(),
        }
    }

    /// Whether the output is to be cut.
    pub fn has_split_condition(&self) -> bool {
        self.every_ms.is_some() || self.bytes.is_some() || self.clock_seconds.is_some()
    }
}

/// The marks behind which the next keyframe begins a new part.
#[derive(Debug)]
pub(super) struct SplitPolicy {
    every_ms: Option<u64>,
    bytes: Option<u64>,
    clock: Option<Clock>,
    /// The place of the output's first frame, from which [`SplitPolicy::every_ms`] counts.
    origin_ms: Option<u64>,
    next_ms: Option<u64>,
    is_wished: bool,
}

#[derive(Debug)]
struct Clock {
    every_seconds: i64,
    zone: TimeZone,
    next: Timestamp,
}

impl SplitPolicy {
    pub(super) fn new(parts: &SegmentOptions) -> Self {
        let clock = |seconds: u32| Clock {
            every_seconds: i64::from(seconds).clamp(1, DAY),
            zone: parts.zone.clone(),
            next: Timestamp::MAX,
        };
        Self {
            every_ms: parts.every_ms.filter(|ms| *ms > 0),
            bytes: parts.bytes,
            clock: parts.clock_seconds.map(clock),
            origin_ms: None,
            next_ms: None,
            is_wished: false,
        }
    }

    /// A part begins with a frame at this place, at this time.
    pub(super) fn begin(&mut self, at_ms: u64, wall: Timestamp) {
        self.is_wished = false;
        let origin_ms = *self.origin_ms.get_or_insert(at_ms);
        self.next_ms = self.every_ms.map(|every_ms| {
            let count = at_ms.saturating_sub(origin_ms) / every_ms + 1;
            origin_ms.saturating_add(count.saturating_mul(every_ms))
        });
        if let Some(clock) = &mut self.clock {
            clock.begin(wall);
        }
    }

    /// Has a new part begin at the next keyframe.
    pub(super) fn wish(&mut self) {
        self.is_wished = true;
    }

    /// Whether a new part is to begin at the next keyframe, whatever the marks say.
    pub(super) fn has_wish(&self) -> bool {
        self.is_wished
    }

    /// Whether there ever is one, but for wishes.
    pub(super) fn has_split_condition(&self) -> bool {
        self.every_ms.is_some() || self.bytes.is_some() || self.clock.is_some()
    }

    /// Whether a part of `bytes` is to end before a frame at this place that comes at this time.
    pub(super) fn are_passed(&mut self, at_ms: u64, bytes: u64, wall: Timestamp) -> bool {
        self.is_wished
            || self.next_ms.is_some_and(|next_ms| at_ms >= next_ms)
            || self.bytes.is_some_and(|most| bytes >= most)
            || self
                .clock
                .as_mut()
                .is_some_and(|clock| clock.is_passed(wall))
    }
}

impl Clock {
    fn begin(&mut self, wall: Timestamp) {
        self.next = next_cut(wall, self.every_seconds, &self.zone);
    }

    /// A clock that is set back by a little cuts nothing twice; one that was far ahead counts anew.
    fn is_passed(&mut self, wall: Timestamp) -> bool {
        if self.next.as_second() - wall.as_second() > self.every_seconds + LONGEST_SHIFT {
            self.begin(wall);
        }
        wall >= self.next
    }
}

/// When the time of day, after this moment, first is a multiple of `every_seconds`, counted from
/// midnight. An hour that comes twice in a night has its cuts both times, and one that is left out
/// leaves its cuts out.
fn next_cut(after: Timestamp, every_seconds: i64, zone: &TimeZone) -> Timestamp {
    let local = |at: Timestamp| at.as_second() + i64::from(zone.to_offset(at).seconds());
    let slot = |at: Timestamp| {
        let local = local(at);
        (local.div_euclid(DAY), local.rem_euclid(DAY) / every_seconds)
    };
    let mut from = after;
    for _ in 0..MAX_TRANSITIONS {
        let second = local(from).rem_euclid(DAY);
        let next_second = ((second / every_seconds + 1) * every_seconds).min(DAY);
        let next = from.as_second() + next_second - second;
        match zone.following(from).next().map(|change| change.timestamp()) {
            Some(change) if change.as_second() < next => {
                if slot(change) != slot(after) {
                    return change;
                }
                from = change;
            }
            _ => return Timestamp::from_second(next).unwrap_or(Timestamp::MAX),
        }
    }
    Timestamp::MAX
}

/// In seconds.
const DAY: i64 = 86_400;

/// More than clocks are ever put forward or back by law, in seconds.
const LONGEST_SHIFT: i64 = 3 * 3_600;

/// Changes of a zone's offset within a day: one, where laws are sane.
const MAX_TRANSITIONS: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn marks(change: impl FnOnce(&mut SegmentOptions)) -> SplitPolicy {
        let mut parts = SegmentOptions::none();
        change(&mut parts);
        SplitPolicy::new(&parts)
    }

    #[test]
    fn without_a_wish_nothing_is_cut() {
        let mut marks = marks(|_| {});
        marks.begin(0, Timestamp::UNIX_EPOCH);
        assert!(!marks.are_passed(u64::MAX, u64::MAX, Timestamp::MAX));
        marks.wish();
        assert!(marks.are_passed(0, 0, Timestamp::UNIX_EPOCH));
        marks.begin(1, Timestamp::UNIX_EPOCH);
        assert!(!marks.are_passed(2, 0, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn time_counts_from_the_first_frame_and_marks_do_not_drift() {
        let mut marks = marks(|parts| parts.every_ms = Some(10_000));
        let now = Timestamp::UNIX_EPOCH;
        marks.begin(500, now);
        assert!(!marks.are_passed(10_499, u64::MAX, Timestamp::MAX));
        assert!(marks.are_passed(10_500, 0, now));
        marks.begin(13_000, now);
        assert!(!marks.are_passed(20_499, 0, now));
        assert!(marks.are_passed(20_500, 0, now));
        marks.begin(99_000, now);
        assert!(!marks.are_passed(100_499, 0, now));
        assert!(marks.are_passed(100_500, 0, now));
    }

    #[test]
    fn size_counts_from_each_parts_own_0() {
        let mut marks = marks(|parts| parts.bytes = Some(1_000));
        marks.begin(0, Timestamp::UNIX_EPOCH);
        assert!(!marks.are_passed(0, 999, Timestamp::MAX));
        assert!(marks.are_passed(0, 1_000, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn the_time_of_day_cuts_at_full_hours_of_the_place() {
        // Nepal is 5:45 ahead of Greenwich.
        let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(20_700).unwrap());
        let mut marks = marks(|parts| (parts.clock_seconds, parts.zone) = (Some(3_600), zone));
        marks.begin(0, at("2026-11-22T10:20:00Z"));
        assert!(!marks.are_passed(0, 0, at("2026-11-22T11:14:59.9Z")));
        assert!(marks.are_passed(0, 0, at("2026-11-22T11:15:00Z")));
        marks.begin(0, at("2026-11-22T11:15:00Z"));
        assert!(!marks.are_passed(0, 0, at("2026-11-22T12:14:59Z")));
        assert!(marks.are_passed(0, 0, at("2026-11-22T13:00:00Z")));
    }

    #[test]
    fn a_clock_that_is_set_back_cuts_nothing_twice_and_one_that_was_wrong_counts_anew() {
        let mut marks = marks(|parts| parts.clock_seconds = Some(3_600));
        marks.begin(0, at("2026-11-22T11:00:00.1Z"));
        assert!(!marks.are_passed(0, 0, at("2026-11-22T10:59:59Z")));
        assert!(!marks.are_passed(0, 0, at("2026-11-22T11:00:01Z")));
        marks.begin(0, at("2036-01-01T00:00:00Z"));
        assert!(!marks.are_passed(0, 0, at("2026-11-22T11:30:00Z")));
        assert!(marks.are_passed(0, 0, at("2026-11-22T12:00:00Z")));
    }

    #[test]
    fn nights_in_which_clocks_are_changed_have_all_their_cuts() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let cuts = |from: &str, seconds: i64, count: usize| -> Vec<String> {
            let first = next_cut(at(from), seconds, &zone);
            let all =
                std::iter::successors(Some(first), |cut| Some(next_cut(*cut, seconds, &zone)));
            all.take(count).map(|cut| cut.to_string()).collect()
        };
        // 2:00 to 3:00 comes twice.
        let hours = [
            "2026-10-25T00:00:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T02:00:00Z",
        ];
        assert_eq!(cuts("2026-10-24T23:10:00Z", 3_600, 3), hours);
        // 2:00 to 3:00 is left out.
        let hours = [
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T02:00:00Z",
        ];
        assert_eq!(cuts("2026-03-28T23:10:00Z", 3_600, 3), hours);
        // Days of 25 and of 23 hours end at midnight.
        let days = ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"];
        assert_eq!(cuts("2026-10-24T10:00:00Z", DAY, 2), days);
        let days = ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"];
        assert_eq!(cuts("2026-03-28T10:00:00Z", DAY, 2), days);
        // What does not fit into a day begins anew at midnight.
        let steps = [
            "2026-11-22T19:00:00Z",
            "2026-11-22T23:00:00Z",
            "2026-11-23T04:00:00Z",
        ];
        assert_eq!(cuts("2026-11-22T17:00:00Z", 5 * 3_600, 3), steps);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_cut_is_ahead_and_no_further_than_it_may_be(
            second in 0..4_000_000_000_i64,
            every in 1..=DAY,
        ) {
            let zone = TimeZone::get("America/New_York").unwrap();
            let now = Timestamp::from_second(second).unwrap();
            let ahead = next_cut(now, every, &zone).as_second() - second;
            prop_assert!(0 < ahead && ahead <= every + 3_600, "{ahead} s");
        }
    }
}
