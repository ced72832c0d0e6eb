use proptest::prelude::*;

use super::*;

const AUDIO: TagKind = TagKind::AUDIO;
const VIDEO: TagKind = TagKind::VIDEO;

/// The candidates of video frames with these timestamps.
fn candidates(timestamps: &[u32]) -> Vec<u64> {
    let frames: Vec<_> = timestamps.iter().map(|&at| (VIDEO, at)).collect();
    places_of(&frames)
}

fn places_of(frames: &[(TagKind, u32)]) -> Vec<u64> {
    let mut clock = OutputClock::new(false);
    frames
        .iter()
        .map(|&(kind, timestamp)| clock.frame(kind, Timestamp(timestamp)))
        .collect()
}

#[test]
fn the_file_starts_at_0_whatever_the_server_counts_from() {
    assert_eq!(
        candidates(&[16_772_000, 16_772_040, 16_772_080]),
        [0, 40, 80]
    );
}

#[test]
fn the_servers_timestamps_are_kept_on_demand() {
    let mut clock = OutputClock::new(true);
    assert_eq!(clock.frame(VIDEO, Timestamp(4_000_000_000)), 4_000_000_000);
    assert_eq!(clock.frame(VIDEO, Timestamp(4_000_000_040)), 4_000_000_040);
}

#[test]
fn the_clock_goes_on_over_every_border_of_its_bits() {
    for border in [1 << 24, 1 << 31, 0_u32] {
        let before = border.wrapping_sub(20);
        assert_eq!(
            candidates(&[before, border, border.wrapping_add(20)]),
            [0, 20, 40],
            "border {border:#x}"
        );
    }
}

#[test]
fn audio_and_video_cross_a_border_one_after_the_other() {
    let last = u32::MAX;
    assert_eq!(
        places_of(&[(VIDEO, last - 19), (AUDIO, 0), (VIDEO, last), (AUDIO, 20)]),
        [0, 20, 19, 40]
    );
}

#[test]
fn a_server_that_counts_in_31_bits_does_not_jump_24_days() {
    let last = 0x7FFF_FFF0;
    assert_eq!(candidates(&[last - 40, last, 24, 64]), [0, 40, 80, 120]);
}

#[test]
fn a_track_may_step_back_by_up_to_a_second() {
    assert_eq!(
        candidates(&[0, 1_000, 2_000, 1_000, 2_040]),
        [0, 1_000, 2_000, 1_000, 2_040]
    );
}

#[test]
fn a_larger_step_back_is_a_restart_that_continues_the_clock() {
    assert_eq!(
        candidates(&[10_000, 10_040, 10_080, 0, 40, 20]),
        [0, 40, 80, 120, 160, 140]
    );
}

#[test]
fn tracks_in_blocks_of_seconds_stay_together() {
    let block = |kind, from: u32| (0..50).map(move |frame| (kind, from + frame * 40));
    let frames: Vec<_> = (0..5)
        .flat_map(|second| block(AUDIO, second * 2_000).chain(block(VIDEO, second * 2_000)))
        .collect();
    let expected: Vec<u64> = frames.iter().map(|&(_, at)| at.into()).collect();
    assert_eq!(places_of(&frames), expected);
}

#[test]
fn a_track_that_begins_late_keeps_its_distance() {
    assert_eq!(
        places_of(&[(AUDIO, 0), (AUDIO, 9_000), (VIDEO, 5_000), (VIDEO, 5_040)]),
        [0, 9_000, 5_000, 5_040]
    );
}

#[test]
fn what_is_left_of_the_old_clock_after_a_restart_moves_nothing() {
    assert_eq!(
        places_of(&[
            (VIDEO, 500_000),
            (AUDIO, 500_010),
            (VIDEO, 500_040),
            (VIDEO, 0), // the restart
            (AUDIO, 500_033),
            (VIDEO, 40),
            (AUDIO, 30),
        ]),
        [0, 10, 40, 80, 80, 120, 110]
    );
}

#[test]
fn a_track_whose_clock_is_another_for_good_is_a_restart_in_the_end() {
    let mut clock = OutputClock::new(false);
    clock.frame(AUDIO, Timestamp(0));
    let candidates: Vec<u64> = (0..=MAX_STRAYS + 1)
        .map(|frame| clock.frame(VIDEO, Timestamp(9_000_000 + frame * 40)))
        .collect();
    assert_eq!(candidates[..100], [0; 100]);
    assert_eq!(candidates[100..], [1, 41]);
}

#[test]
fn a_new_session_is_a_restart_whichever_way_its_clock_lies() {
    for first in [0, 900_000, 500_020] {
        let mut clock = OutputClock::new(false);
        for at in [500_000, 500_040] {
            clock.frame(VIDEO, Timestamp(at));
        }
        clock.restart();
        assert_eq!(clock.frame(VIDEO, Timestamp(first)), 80, "{first}");
        assert_eq!(clock.frame(AUDIO, Timestamp(first + 10)), 90);
        assert_eq!(clock.frame(VIDEO, Timestamp(first + 40)), 120);
    }
}

/// The track that comes first behind the restart is continued; the other one begins before it.
#[test]
fn no_track_goes_on_before_its_own_end() {
    let before = [(VIDEO, 2_983), (AUDIO, 2_995)];
    for restart in [OutputClock::restart, |clock: &mut OutputClock| {
        clock.restart_after(5)
    }] {
        let mut clock = OutputClock::new(true);
        for (kind, at) in before {
            clock.frame(kind, Timestamp(at));
        }
        restart(&mut clock);
        let first_ms = clock.frame(AUDIO, Timestamp(40));
        assert!(first_ms >= 2_995, "{first_ms}");
        assert_eq!(clock.frame(VIDEO, Timestamp(0)), 2_984);
        assert_eq!(clock.frame(AUDIO, Timestamp(63)), 2_984 + 63);
        assert_eq!(clock.frame(VIDEO, Timestamp(40)), 2_984 + 40);
    }
}

/// A frame of the former publisher that comes behind the restart is taken for the new one's first.
#[test]
fn what_the_former_publisher_left_behind_takes_no_track_back() {
    assert_eq!(
        places_restarted(&[
            (AUDIO, 0, false),
            (VIDEO, 0, false),
            (AUDIO, 2_977, false),
            (VIDEO, 3_000, false),
            (AUDIO, 3_000, true), // the leftover
            (VIDEO, 0, false),
            (AUDIO, 0, false),
            (VIDEO, 40, false),
            (AUDIO, 23, false),
        ]),
        [0, 0, 2_977, 3_000, 3_100, 3_001, 3_101, 3_141, 3_124]
    );
}

#[test]
fn a_recording_that_is_gone_on_with_is_over_in_both_tracks() {
    let mut clock = OutputClock::new(false);
    clock.begin_at(9_000);
    assert_eq!(clock.frame(AUDIO, Timestamp(100)), 9_001);
    assert_eq!(clock.frame(VIDEO, Timestamp(40)), 9_001);
    assert_eq!(clock.frame(AUDIO, Timestamp(123)), 9_084);
}

/// A restart of the clock in front of those frames that say so.
fn places_restarted(frames: &[(TagKind, u32, bool)]) -> Vec<u64> {
    let mut clock = OutputClock::new(false);
    let frames = frames.iter().map(|&(kind, timestamp, is_restart)| {
        if is_restart {
            clock.restart();
        }
        clock.frame(kind, Timestamp(timestamp))
    });
    frames.collect()
}

#[test]
fn small_steps_back_do_not_add_up_unseen() {
    let mut timestamps = vec![10_000, 20_000];
    timestamps.extend((1..=5).map(|step| 20_000 - step * 400));
    let candidates = candidates(&timestamps);
    assert!(
        candidates.iter().skip(1).all(|&place| place >= 8_000),
        "{candidates:?}"
    );
}

#[test]
fn a_jump_of_days_is_no_pause() {
    assert_eq!(
        candidates(&[0, 40, 500_000_000, 500_000_040]),
        [0, 40, 80, 120]
    );
    assert_eq!(candidates(&[0, 40, 600_040]), [0, 40, 600_040]);
}

#[test]
fn what_is_no_frame_takes_the_place_of_the_frame_before() {
    let mut clock = OutputClock::new(false);
    assert_eq!(clock.companion(), 0);
    clock.frame(VIDEO, Timestamp(5_000));
    clock.frame(VIDEO, Timestamp(5_040));
    assert_eq!(clock.companion(), 40);
    assert_eq!(clock.position_ms(), 40);
}

/// The mark of a track's end, or its configuration, between two of its frames.
#[test]
fn a_companion_of_a_track_stays_with_it() {
    let mut clock = OutputClock::new(false);
    assert_eq!(clock.companion_of(VIDEO), 0);
    clock.frame(AUDIO, Timestamp(0));
    clock.frame(VIDEO, Timestamp(23));
    clock.frame(AUDIO, Timestamp(46));
    assert_eq!(clock.companion_of(VIDEO), 23);
    assert_eq!(clock.companion_of(AUDIO), 46);
    assert_eq!(clock.companion_of(TagKind::SCRIPT), 46);
    clock.frame(AUDIO, Timestamp(60_046));
    assert_eq!(clock.companion_of(VIDEO), 59_046);
    clock.restart();
    assert_eq!(clock.companion_of(VIDEO), 60_046 + 100);
}

#[test]
fn an_early_frame_before_the_first_is_not_before_0() {
    assert_eq!(candidates(&[500, 300, 540]), [0, 0, 40]);
}

#[test]
fn months_go_by_on_one_clock() {
    // Half an hour a step, over 2^24, 2^31 and 2^32 ms several times.
    let mut clock = OutputClock::new(false);
    for step in 0..10_000_u64 {
        let at_ms = step * 1_800_000;
        let timestamp = Timestamp(4_000_000_000_u32.wrapping_add(at_ms as u32));
        assert_eq!(clock.frame(VIDEO, timestamp), at_ms);
    }
    assert!(clock.position_ms() > 4 << 32);
}

#[test]
fn kept_timestamps_go_on_where_32_bits_end() {
    let mut clock = OutputClock::new(true);
    let last = u32::MAX - 19;
    let candidates = [last, 20, 60].map(|at| clock.frame(VIDEO, Timestamp(at)));
    assert_eq!(
        candidates,
        [u64::from(last), (1 << 32) + 20, (1 << 32) + 60]
    );
}

#[test]
fn restarts_and_jumps_at_a_border_continue_the_clock() {
    for border in [1 << 24, 1 << 31, 0_u32] {
        let before = border.wrapping_sub(40);
        // From 0 again, half of the clock ahead, and back by an hour.
        for again in [
            5_000,
            before.wrapping_add(1 << 31),
            before.wrapping_sub(3_600_000),
        ] {
            let candidates = candidates(&[
                before.wrapping_sub(40),
                before,
                border,
                again,
                again.wrapping_add(40),
            ]);
            let expected = if border == 0 && again == 5_000 {
                // No further than a step over the border goes.
                [0, 40, 80, 5_080, 5_120]
            } else {
                [0, 40, 80, 120, 160]
            };
            assert_eq!(candidates, expected, "{border:#x}, {again:#x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn steps_add_up_wherever_the_server_counts_from(
        start: u32,
        steps in prop::collection::vec(0..=3_600_000_u64, 1..50),
    ) {
        let mut clock = OutputClock::new(false);
        clock.frame(VIDEO, Timestamp(start));
        let mut at_ms = 0;
        for step in steps {
            at_ms += step;
            let timestamp = Timestamp(start.wrapping_add(at_ms as u32));
            prop_assert_eq!(clock.frame(VIDEO, timestamp), at_ms);
        }
    }

    #[test]
    fn no_restart_takes_a_track_back(
        frames in prop::collection::vec((any::<bool>(), event(), 0..3_000_u32), 1..100),
    ) {
        let mut clock = OutputClock::new(false);
        let (mut written, mut ends, mut latest) = ([0; 2], [0; 2], 0_u32);
        for (is_video, event, to) in frames {
            match event {
                Event::Step => latest = latest.wrapping_add(to / 40).wrapping_sub(20),
                Event::Jump => latest = to.wrapping_mul(3_000_000),
                Event::Restart(gap_ms) => {
                    latest = to;
                    ends = written;
                    match gap_ms {
                        Some(gap_ms) => clock.restart_after(gap_ms),
                        None => clock.restart(),
                    }
                }
            }
            let kind = if is_video { VIDEO } else { AUDIO };
            let track = usize::from(is_video);
            let at_ms = clock.frame(kind, Timestamp(latest));
            prop_assert!(at_ms >= ends[track], "{kind:?} at {at_ms} behind {}", ends[track]);
            prop_assert!(clock.companion_of(kind) >= at_ms.max(ends[track]));
            written[track] = written[track].max(at_ms);
        }
    }

    #[test]
    fn the_clock_never_leaps_whatever_the_server_sends(
        timestamps in prop::collection::vec((any::<bool>(), any::<u32>()), 1..100),
    ) {
        let mut clock = OutputClock::new(false);
        let mut high_ms = 0;
        for (is_video, timestamp) in timestamps {
            let kind = if is_video { VIDEO } else { AUDIO };
            clock.frame(kind, Timestamp(timestamp));
            let position_ms = clock.position_ms();
            prop_assert!(position_ms >= high_ms);
            prop_assert!(position_ms - high_ms <= 3_600_000 + 60_000);
            high_ms = position_ms;
        }
    }
}

/// What comes in front of a frame.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// Nothing: it is a little later than the one before, or earlier.
    Step,
    /// The server's clock goes anywhere.
    Jump,
    /// Another publisher, after a while or not.
    Restart(Option<u64>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Step),
        1 => Just(Event::Jump),
        2 => prop::option::of(0..50_u64).prop_map(Event::Restart),
    ]
}
