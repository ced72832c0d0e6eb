//! Conditions that end a segment.

use std::path::PathBuf;

use jiff::{SignedDuration, Timestamp, tz::TimeZone};

use super::retention::KeepPolicy;

/// Conditions that split a recording into segments, and the receivers of their facts.
#[derive(Debug, Clone)]
pub struct SegmentOptions {
    /// A segment ends when the output time passes a multiple of this many milliseconds.
    pub every_ms: Option<u64>,
    /// A segment ends when it has this many bytes.
    pub bytes: Option<u64>,
    /// A segment ends when the time of day passes a multiple of this many seconds, at most a day.
    pub clock_seconds: Option<u32>,
    /// A segment ends when the codec, resolution or sample rate changes.
    pub on_change: bool,
    /// Time zone of the time of day.
    pub zone: TimeZone,
    /// File that gets a line of JSON for each segment.
    pub manifest: Option<PathBuf>,
    /// Which finished segments in the manifest are kept.
    pub keep: KeepPolicy,
    /// Program that runs for each segment, and its arguments; empty for none.
    pub on_segment: Vec<String>,
    /// Program that runs when media arrives, and its arguments; empty for none.
    pub on_start: Vec<String>,
}

impl SegmentOptions {
    /// A single segment without manifest and hooks.
    pub fn none() -> Self {
        Self {
            every_ms: None,
            bytes: None,
            clock_seconds: None,
            on_change: false,
            zone: TimeZone::UTC,
            manifest: None,
            keep: KeepPolicy::default(),
            on_segment: Vec::new(),
            on_start: Vec::new(),
        }
    }

    /// Whether any split condition is set.
    pub fn has_split_condition(&self) -> bool {
        self.every_ms.is_some()
            || self.bytes.is_some()
            || self.clock_seconds.is_some()
            || self.on_change
    }
}

/// Decides when a new segment starts.
#[derive(Debug)]
pub(super) struct SplitPolicy {
    every_ms: Option<u64>,
    bytes: Option<u64>,
    clock: Option<Clock>,
    /// Output time of the first frame, from which [`SplitPolicy::every_ms`] counts.
    origin_ms: Option<u64>,
    next_ms: Option<u64>,
    rate: StartRate,
}

/// Limits the number of small segments: a burst of [`MAX_BURST`], then one per second.
///
/// Each segment costs a head and the sequence headers. Without a limit, a server whose clock jumps could turn
/// every keyframe of a few bytes into a file of 49 KB.
#[derive(Debug, Default)]
struct StartRate {
    /// Time at which all starts so far are paid for, at one per second.
    paid_at: Option<Timestamp>,
    has_warned: bool,
}

#[derive(Debug)]
struct Clock {
    every_seconds: i64,
    zone: TimeZone,
    /// Next boundary.
    next: Timestamp,
}

impl SplitPolicy {
    pub(super) fn new(options: &SegmentOptions) -> Self {
        let clock = |seconds: u32| Clock {
            every_seconds: i64::from(seconds).clamp(1, DAY),
            zone: options.zone.clone(),
            next: Timestamp::MAX,
        };
        Self {
            every_ms: options.every_ms.filter(|ms| *ms > 0),
            bytes: options.bytes,
            clock: options.clock_seconds.map(clock),
            origin_ms: None,
            next_ms: None,
            rate: StartRate::default(),
        }
    }

    /// Records that a segment started at this output time and wall-clock time.
    pub(super) fn segment_started(&mut self, at_ms: u64, wall: Timestamp) {
        self.rate.note(wall);
        let origin_ms = *self.origin_ms.get_or_insert(at_ms);
        self.next_ms = self.every_ms.map(|every_ms| {
            let passed_ms = at_ms.saturating_sub(origin_ms);
            let count = passed_ms
                .checked_div(every_ms)
                .unwrap_or(0)
                .saturating_add(1);
            origin_ms.saturating_add(count.saturating_mul(every_ms))
        });
        if let Some(clock) = &mut self.clock {
            clock.start(wall);
        }
    }

    /// Whether any split condition is set.
    pub(super) fn has_condition(&self) -> bool {
        self.every_ms.is_some() || self.bytes.is_some() || self.clock.is_some()
    }

    /// Whether a condition ends a segment of `bytes` before the next keyframe, at this output time and
    /// wall-clock time.
    pub(super) fn is_due(&mut self, at_ms: u64, bytes: u64, wall: Timestamp) -> bool {
        self.next_ms.is_some_and(|next_ms| at_ms >= next_ms)
            || self.bytes.is_some_and(|most| bytes >= most)
            || self
                .clock
                .as_mut()
                .is_some_and(|clock| clock.is_passed(wall))
    }

    /// Whether another segment may start after one of `bytes`, of which `overhead` are the head and the
    /// repeated sequence headers. If not, its frames join the current segment.
    pub(super) fn may_split(&mut self, bytes: u64, overhead: u64, wall: Timestamp) -> bool {
        // A segment that is at least half media is worth its file, however soon it ends: a fast download of
        // a recorded stream has many of them per second.
        bytes >= overhead.saturating_mul(2) || self.rate.is_within(wall)
    }
}

impl StartRate {
    fn note(&mut self, wall: Timestamp) {
        self.paid_at = wall.max(self.paid_at(wall)).checked_add(SECOND).ok();
    }

    fn is_within(&mut self, wall: Timestamp) -> bool {
        let is_within = self.paid_at(wall).duration_since(wall) < MAX_BURST;
        if !is_within && !std::mem::replace(&mut self.has_warned, true) {
            tracing::warn!("too many segments: now at most one starts per second");
        }
        is_within
    }

    /// A clock that was set back must not block segments for longer than the burst lasts.
    fn paid_at(&self, wall: Timestamp) -> Timestamp {
        let latest = wall.checked_add(MAX_BURST).unwrap_or(Timestamp::MAX);
        self.paid_at.unwrap_or(wall).min(latest)
    }
}

impl Clock {
    fn start(&mut self, wall: Timestamp) {
        self.next = next_boundary(wall, self.every_seconds, &self.zone);
    }

    /// Whether the next boundary has passed.
    ///
    /// A clock that is set back by a little must not split twice at one boundary. A boundary that is
    /// further away than any legal shift of the clock was computed while the clock was wrong, and is
    /// computed again.
    fn is_passed(&mut self, wall: Timestamp) -> bool {
        let wait_seconds = self.next.as_second().saturating_sub(wall.as_second());
        if wait_seconds > self.every_seconds.saturating_add(MAX_SHIFT) {
            self.start(wall);
        }
        wall >= self.next
    }
}

/// Returns the first time after `after` at which the time of day is a multiple of `every_seconds`, counted
/// from midnight.
///
/// An hour that occurs twice in a night has its boundaries both times; a skipped hour has none.
fn next_boundary(after: Timestamp, every_seconds: i64, zone: &TimeZone) -> Timestamp {
    let local = |at: Timestamp| {
        let offset_seconds = zone.to_offset(at).seconds();
        at.as_second().saturating_add(offset_seconds.into())
    };
    let slot = |at: Timestamp| {
        let local = local(at);
        let second = local.rem_euclid(DAY);
        (local.div_euclid(DAY), second.checked_div(every_seconds))
    };
    let mut from = after;
    for _ in 0..MAX_TRANSITIONS {
        let second = local(from).rem_euclid(DAY);
        let slots = second.checked_div(every_seconds).unwrap_or(0);
        let next_second = slots.saturating_add(1).saturating_mul(every_seconds);
        let wait_seconds = next_second.min(DAY).saturating_sub(second);
        let next = from.as_second().saturating_add(wait_seconds);
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

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Small segments that may start at once, in seconds of their rate.
const MAX_BURST: SignedDuration = SignedDuration::from_secs(60);

/// Seconds of a day.
const DAY: i64 = 86_400;

/// Larger than any legal shift of a clock, in seconds.
const MAX_SHIFT: i64 = 3 * 3_600;

/// Number of offset changes of a time zone within a day. One is usual.
const MAX_TRANSITIONS: usize = 10;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(text: &str) -> Timestamp {
        text.parse().unwrap()
    }

    fn policy(change: impl FnOnce(&mut SegmentOptions)) -> SplitPolicy {
        let mut options = SegmentOptions::none();
        change(&mut options);
        SplitPolicy::new(&options)
    }

    #[test]
    fn without_a_condition_a_segment_never_ends() {
        let mut policy = policy(|_| {});
        policy.segment_started(0, Timestamp::UNIX_EPOCH);
        assert!(!policy.has_condition());
        assert!(!policy.is_due(u64::MAX, u64::MAX, Timestamp::MAX));
    }

    #[test]
    fn time_boundaries_count_from_the_first_frame_without_drift() {
        let mut policy = policy(|options| options.every_ms = Some(10_000));
        let now = Timestamp::UNIX_EPOCH;
        policy.segment_started(500, now);
        assert!(!policy.is_due(10_499, u64::MAX, Timestamp::MAX));
        assert!(policy.is_due(10_500, 0, now));
        policy.segment_started(13_000, now);
        assert!(!policy.is_due(20_499, 0, now));
        assert!(policy.is_due(20_500, 0, now));
        policy.segment_started(99_000, now);
        assert!(!policy.is_due(100_499, 0, now));
        assert!(policy.is_due(100_500, 0, now));
    }

    #[test]
    fn size_counts_from_the_start_of_each_segment() {
        let mut policy = policy(|options| options.bytes = Some(1_000));
        policy.segment_started(0, Timestamp::UNIX_EPOCH);
        assert!(!policy.is_due(0, 999, Timestamp::MAX));
        assert!(policy.is_due(0, 1_000, Timestamp::UNIX_EPOCH));
    }

    #[test]
    fn clock_boundaries_are_full_hours_of_local_time() {
        // Nepal is at UTC+5:45.
        let zone = TimeZone::fixed(jiff::tz::Offset::from_seconds(20_700).unwrap());
        let mut policy =
            policy(|options| (options.clock_seconds, options.zone) = (Some(3_600), zone));
        policy.segment_started(0, at("2026-11-22T10:20:00Z"));
        assert!(!policy.is_due(0, 0, at("2026-11-22T11:14:59.9Z")));
        assert!(policy.is_due(0, 0, at("2026-11-22T11:15:00Z")));
        policy.segment_started(0, at("2026-11-22T11:15:00Z"));
        assert!(!policy.is_due(0, 0, at("2026-11-22T12:14:59Z")));
        assert!(policy.is_due(0, 0, at("2026-11-22T13:00:00Z")));
    }

    #[test]
    fn a_clock_that_is_set_back_does_not_split_twice() {
        let mut policy = policy(|options| options.clock_seconds = Some(3_600));
        policy.segment_started(0, at("2026-11-22T11:00:00.1Z"));
        assert!(!policy.is_due(0, 0, at("2026-11-22T10:59:59Z")));
        assert!(!policy.is_due(0, 0, at("2026-11-22T11:00:01Z")));
        policy.segment_started(0, at("2036-01-01T00:00:00Z"));
        assert!(!policy.is_due(0, 0, at("2026-11-22T11:30:00Z")));
        assert!(policy.is_due(0, 0, at("2026-11-22T12:00:00Z")));
    }

    #[test]
    fn daylight_saving_changes_keep_all_boundaries() {
        let zone = TimeZone::get("Europe/Berlin").unwrap();
        let boundaries = |from: &str, seconds: i64, count: usize| -> Vec<String> {
            let first = next_boundary(at(from), seconds, &zone);
            let all =
                std::iter::successors(Some(first), |at| Some(next_boundary(*at, seconds, &zone)));
            all.take(count).map(|at| at.to_string()).collect()
        };
        // 2:00 to 3:00 occurs twice.
        let hours = [
            "2026-10-25T00:00:00Z",
            "2026-10-25T01:00:00Z",
            "2026-10-25T02:00:00Z",
        ];
        assert_eq!(boundaries("2026-10-24T23:10:00Z", 3_600, 3), hours);
        // 2:00 to 3:00 is skipped.
        let hours = [
            "2026-03-29T00:00:00Z",
            "2026-03-29T01:00:00Z",
            "2026-03-29T02:00:00Z",
        ];
        assert_eq!(boundaries("2026-03-28T23:10:00Z", 3_600, 3), hours);
        // Days of 25 and 23 hours end at midnight.
        let days = ["2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"];
        assert_eq!(boundaries("2026-10-24T10:00:00Z", DAY, 2), days);
        let days = ["2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"];
        assert_eq!(boundaries("2026-03-28T10:00:00Z", DAY, 2), days);
        // An interval that does not divide a day restarts at midnight.
        let steps = [
            "2026-11-22T19:00:00Z",
            "2026-11-22T23:00:00Z",
            "2026-11-23T04:00:00Z",
        ];
        assert_eq!(boundaries("2026-11-22T17:00:00Z", 5 * 3_600, 3), steps);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn the_next_boundary_is_within_one_interval(
            second in 0..4_000_000_000_i64,
            every in 1..=DAY,
        ) {
            let zone = TimeZone::get("America/New_York").unwrap();
            let now = Timestamp::from_second(second).unwrap();
            let ahead = next_boundary(now, every, &zone).as_second() - second;
            prop_assert!(0 < ahead && ahead <= every + 3_600, "{ahead} s");
        }
    }
}
