use proptest::prelude::*;

use super::*;

const AUDIO: TagKind = TagKind::AUDIO;
const VIDEO: TagKind = TagKind::VIDEO;

/// Returns the output times of video frames with these timestamps.
fn video_times(timestamps: &[u32]) -> Vec<u64> {
    let frames: Vec<_> = timestamps.iter().map(|&at| (VIDEO, at)).collect();
    times_of(&frames)
}

fn times_of(frames: &[(TagKind, u32)]) -> Vec<u64> {
    let mut clock = OutputClock::new(false);
    frames
        .iter()
        .map(|&(kind, timestamp)| clock.frame_time(kind, Timestamp(timestamp)))
        .collect()
}

#[test]
fn output_starts_at_zero() {
    assert_eq!(
        video_times(&[16_772_000, 16_772_040, 16_772_080]),
        [0, 40, 80]
    );
}

#[test]
fn kept_timestamps_start_at_the_first_server_timestamp() {
    let mut clock = OutputClock::new(true);
    assert_eq!(
        clock.frame_time(VIDEO, Timestamp(4_000_000_000)),
        4_000_000_000
    );
    assert_eq!(
        clock.frame_time(VIDEO, Timestamp(4_000_000_040)),
        4_000_000_040
    );
}

#[test]
fn timestamps_continue_across_24_31_and_32_bits() {
    for border in [1 << 24, 1 << 31, 0_u32] {
        let before = border.wrapping_sub(20);
        assert_eq!(
            video_times(&[before, border, border.wrapping_add(20)]),
            [0, 20, 40],
            "border {border:#x}"
        );
    }
}

#[test]
fn tracks_wrap_one_after_the_other() {
    let last = u32::MAX;
    assert_eq!(
        times_of(&[(VIDEO, last - 19), (AUDIO, 0), (VIDEO, last), (AUDIO, 20)]),
        [0, 20, 19, 40]
    );
}

#[test]
fn wrap_at_31_bits_is_a_restart() {
    let last = 0x7FFF_FFF0;
    assert_eq!(video_times(&[last - 40, last, 24, 64]), [0, 40, 80, 120]);
}

#[test]
fn steps_back_of_up_to_a_second_are_kept() {
    assert_eq!(
        video_times(&[0, 1_000, 2_000, 1_000, 2_040]),
        [0, 1_000, 2_000, 1_000, 2_040]
    );
}

#[test]
fn larger_step_back_restarts_after_the_highest_time() {
    assert_eq!(
        video_times(&[10_000, 10_040, 10_080, 0, 40, 20]),
        [0, 40, 80, 120, 160, 140]
    );
}

#[test]
fn tracks_interleaved_in_blocks_keep_their_times() {
    let block = |kind, from: u32| (0..50).map(move |frame| (kind, from + frame * 40));
    let frames: Vec<_> = (0..5)
        .flat_map(|second| block(AUDIO, second * 2_000).chain(block(VIDEO, second * 2_000)))
        .collect();
    let expected: Vec<u64> = frames.iter().map(|&(_, at)| at.into()).collect();
    assert_eq!(times_of(&frames), expected);
}

#[test]
fn track_that_starts_late_keeps_its_distance() {
    assert_eq!(
        times_of(&[(AUDIO, 0), (AUDIO, 9_000), (VIDEO, 5_000), (VIDEO, 5_040)]),
        [0, 9_000, 5_000, 5_040]
    );
}

#[test]
fn leftover_of_the_old_clock_does_not_move_the_clock() {
    assert_eq!(
        times_of(&[
            (VIDEO, 500_000),
            (AUDIO, 500_010),
            (VIDEO, 500_040),
            (VIDEO, 0), // restart
            (AUDIO, 500_033),
            (VIDEO, 40),
            (AUDIO, 30),
        ]),
        [0, 10, 40, 80, 80, 120, 110]
    );
}

#[test]
fn track_that_stays_on_another_clock_restarts_the_clock() {
    let mut clock = OutputClock::new(false);
    clock.frame_time(AUDIO, Timestamp(0));
    let times: Vec<u64> = (0..=MAX_LEFTOVERS + 1)
        .map(|frame| clock.frame_time(VIDEO, Timestamp(9_000_000 + frame * 40)))
        .collect();
    assert_eq!(times[..100], [0; 100]);
    assert_eq!(times[100..], [1, 41]);
}

#[test]
fn new_session_restarts_at_any_timestamp() {
    for first in [0, 900_000, 500_020] {
        let mut clock = OutputClock::new(false);
        for at in [500_000, 500_040] {
            clock.frame_time(VIDEO, Timestamp(at));
        }
        clock.restart();
        assert_eq!(clock.frame_time(VIDEO, Timestamp(first)), 80, "{first}");
        assert_eq!(clock.frame_time(AUDIO, Timestamp(first + 10)), 90);
        assert_eq!(clock.frame_time(VIDEO, Timestamp(first + 40)), 120);
    }
}

/// After the restart, the second track starts before the first one.
#[test]
fn each_track_continues_after_its_own_end() {
    let before = [(VIDEO, 2_983), (AUDIO, 2_995)];
    for restart in [OutputClock::restart, |clock: &mut OutputClock| {
        clock.restart_after(5)
    }] {
        let mut clock = OutputClock::new(true);
        for (kind, at) in before {
            clock.frame_time(kind, Timestamp(at));
        }
        restart(&mut clock);
        let first_ms = clock.frame_time(AUDIO, Timestamp(40));
        assert!(first_ms >= 2_995, "{first_ms}");
        assert_eq!(clock.frame_time(VIDEO, Timestamp(0)), 2_984);
        assert_eq!(clock.frame_time(AUDIO, Timestamp(63)), 2_984 + 63);
        assert_eq!(clock.frame_time(VIDEO, Timestamp(40)), 2_984 + 40);
    }
}

/// The last frame of the old publisher arrives after the restart, so it counts as the first frame of
/// the new one.
#[test]
fn late_frame_of_the_old_publisher_moves_no_track_back() {
    assert_eq!(
        times_with_restarts(&[
            (AUDIO, 0, false),
            (VIDEO, 0, false),
            (AUDIO, 2_977, false),
            (VIDEO, 3_000, false),
            (AUDIO, 3_000, true), // late frame
            (VIDEO, 0, false),
            (AUDIO, 0, false),
            (VIDEO, 40, false),
            (AUDIO, 23, false),
        ]),
        [0, 0, 2_977, 3_000, 3_100, 3_001, 3_101, 3_141, 3_124]
    );
}

#[test]
fn existing_recording_ends_in_both_tracks() {
    let mut clock = OutputClock::new(false);
    clock.continue_from(9_000);
    assert_eq!(clock.frame_time(AUDIO, Timestamp(100)), 9_001);
    assert_eq!(clock.frame_time(VIDEO, Timestamp(40)), 9_001);
    assert_eq!(clock.frame_time(AUDIO, Timestamp(123)), 9_084);
}

/// Returns the output times of frames. The clock restarts before each frame marked `true`.
fn times_with_restarts(frames: &[(TagKind, u32, bool)]) -> Vec<u64> {
    let mut clock = OutputClock::new(false);
    let frames = frames.iter().map(|&(kind, timestamp, is_restart)| {
        if is_restart {
            clock.restart();
        }
        clock.frame_time(kind, Timestamp(timestamp))
    });
    frames.collect()
}

#[test]
fn small_steps_back_do_not_add_up() {
    let mut timestamps = vec![10_000, 20_000];
    timestamps.extend((1..=5).map(|step| 20_000 - step * 400));
    let times = video_times(&timestamps);
    assert!(
        times.iter().skip(1).all(|&at_ms| at_ms >= 8_000),
        "{times:?}"
    );
}

#[test]
fn jump_of_days_is_a_restart_and_a_pause_of_minutes_is_kept() {
    assert_eq!(
        video_times(&[0, 40, 500_000_000, 500_000_040]),
        [0, 40, 80, 120]
    );
    assert_eq!(video_times(&[0, 40, 600_040]), [0, 40, 600_040]);
}

#[test]
fn script_data_has_the_time_of_the_latest_frame() {
    let mut clock = OutputClock::new(false);
    assert_eq!(clock.script_time(), 0);
    clock.frame_time(VIDEO, Timestamp(5_000));
    clock.frame_time(VIDEO, Timestamp(5_040));
    assert_eq!(clock.script_time(), 40);
    assert_eq!(clock.position_ms(), 40);
}

#[test]
fn sequence_header_has_the_time_of_the_latest_frame_of_its_track() {
    let mut clock = OutputClock::new(false);
    assert_eq!(clock.header_time(VIDEO), 0);
    clock.frame_time(AUDIO, Timestamp(0));
    clock.frame_time(VIDEO, Timestamp(23));
    clock.frame_time(AUDIO, Timestamp(46));
    assert_eq!(clock.header_time(VIDEO), 23);
    assert_eq!(clock.header_time(AUDIO), 46);
    assert_eq!(clock.header_time(TagKind::SCRIPT), 46);
    clock.frame_time(AUDIO, Timestamp(60_046));
    assert_eq!(clock.header_time(VIDEO), 59_046);
    clock.restart();
    assert_eq!(clock.header_time(VIDEO), 60_046 + 100);
}

#[test]
fn frame_before_the_first_one_is_not_before_zero() {
    assert_eq!(video_times(&[500, 300, 540]), [0, 0, 40]);
}

#[test]
fn clock_runs_for_months() {
    // Steps of half an hour pass 2^24, 2^31 and 2^32 ms several times.
    let mut clock = OutputClock::new(false);
    for step in 0..10_000_u64 {
        let at_ms = step * 1_800_000;
        let timestamp = Timestamp(4_000_000_000_u32.wrapping_add(at_ms as u32));
        assert_eq!(clock.frame_time(VIDEO, timestamp), at_ms);
    }
    assert!(clock.position_ms() > 4 << 32);
}

#[test]
fn kept_timestamps_continue_after_32_bits() {
    let mut clock = OutputClock::new(true);
    let last = u32::MAX - 19;
    let times = [last, 20, 60].map(|at| clock.frame_time(VIDEO, Timestamp(at)));
    assert_eq!(times, [u64::from(last), (1 << 32) + 20, (1 << 32) + 60]);
}

#[test]
fn restarts_and_jumps_next_to_a_wrap_continue_the_clock() {
    for border in [1 << 24, 1 << 31, 0_u32] {
        let before = border.wrapping_sub(40);
        // A restart near 0, a jump by half of the range, and a step back by an hour.
        for again in [
            5_000,
            before.wrapping_add(1 << 31),
            before.wrapping_sub(3_600_000),
        ] {
            let times = video_times(&[
                before.wrapping_sub(40),
                before,
                border,
                again,
                again.wrapping_add(40),
            ]);
            let expected = if border == 0 && again == 5_000 {
                // Serial arithmetic sees a pause of 5 s here, not a restart.
                [0, 40, 80, 5_080, 5_120]
            } else {
                [0, 40, 80, 120, 160]
            };
            assert_eq!(times, expected, "{border:#x}, {again:#x}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn steps_add_up_from_any_first_timestamp(
        start: u32,
        steps in prop::collection::vec(0..=3_600_000_u64, 1..50),
    ) {
        let mut clock = OutputClock::new(false);
        clock.frame_time(VIDEO, Timestamp(start));
        let mut at_ms = 0;
        for step in steps {
            at_ms += step;
            let timestamp = Timestamp(start.wrapping_add(at_ms as u32));
            prop_assert_eq!(clock.frame_time(VIDEO, timestamp), at_ms);
        }
    }

    #[test]
    fn restart_never_moves_a_track_back(
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
            let at_ms = clock.frame_time(kind, Timestamp(latest));
            prop_assert!(at_ms >= ends[track], "{kind:?} at {at_ms} after {}", ends[track]);
            prop_assert!(clock.header_time(kind) >= at_ms.max(ends[track]));
            written[track] = written[track].max(at_ms);
        }
    }

    #[test]
    fn clock_never_leaps_for_any_timestamps(
        timestamps in prop::collection::vec((any::<bool>(), any::<u32>()), 1..100),
    ) {
        let mut clock = OutputClock::new(false);
        let mut high_ms = 0;
        for (is_video, timestamp) in timestamps {
            let kind = if is_video { VIDEO } else { AUDIO };
            clock.frame_time(kind, Timestamp(timestamp));
            let position_ms = clock.position_ms();
            prop_assert!(position_ms >= high_ms);
            prop_assert!(position_ms - high_ms <= 3_600_000 + 60_000);
            high_ms = position_ms;
        }
    }
}

/// What happens before a frame.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A small step forward or back.
    Step,
    /// A jump of the server's clock.
    Jump,
    /// A new publisher, with or without a gap before it.
    Restart(Option<u64>),
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        8 => Just(Event::Step),
        1 => Just(Event::Jump),
        2 => prop::option::of(0..50_u64).prop_map(Event::Restart),
    ]
}
