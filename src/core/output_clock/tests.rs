use proptest::prelude::*;

use super::*;

const AUDIO: TagKind = TagKind::AUDIO;
const VIDEO: TagKind = TagKind::VIDEO;

/// Returns the output times of video frames with these timestamps.
fn video_times(timestamps: &[u32]) -> Vec<u64> {
    let frames: Vec<_> = timestamps.iter().map(|&at| (VIDEO, at)).collect();
    times_of(&frames)
}

fn header(track: TagKind) -> FrameInfo {
    FrameInfo {
        is_sequence_header: true,
        ..FrameInfo::opaque(track)
    }
}

fn times_of(frames: &[(TagKind, u32)]) -> Vec<u64> {
    let mut stream = Stream::new(false);
    for &(kind, timestamp) in frames {
        stream.frame(kind, timestamp);
    }
    stream.end()
}

/// A recorded stream, all frames of which arrive at the same time unless `now` is set, and the
/// output times of all frames in order of arrival. Holds a frame as the pump does.
struct Stream {
    is_live: bool,
    clock: OutputClock,
    now: Instant,
    times: Vec<Option<u64>>,
    held: Option<usize>,
}

impl Stream {
    fn new(keeps_timestamps: bool) -> Self {
        Self {
            is_live: false,
            clock: OutputClock::new(keeps_timestamps),
            now: Instant::now(),
            times: Vec::new(),
            held: None,
        }
    }

    fn live() -> Self {
        Self {
            is_live: true,
            ..Self::new(false)
        }
    }

    /// A frame arrives `after_ms` after the previous one.
    fn frame_after(&mut self, after_ms: u64, kind: TagKind, timestamp: u32) -> Option<u64> {
        self.now += Duration::from_millis(after_ms);
        self.frame(kind, timestamp)
    }

    /// Returns the output time of the frame, unless it is held.
    fn frame(&mut self, kind: TagKind, timestamp: u32) -> Option<u64> {
        let times = self
            .clock
            .frame(kind, Timestamp(timestamp), self.now, self.is_live);
        assert!(
            times.held.is_none() || self.held.is_some(),
            "no frame is held"
        );
        if let Some(held) = self.held.take_if(|_| times.held.is_some()) {
            self.times[held] = times.held;
        }
        self.times.push(times.frame);
        if times.frame.is_none() {
            assert_eq!(self.held, None, "one frame is held at most");
            self.held = Some(self.times.len() - 1);
        }
        assert_eq!(self.held.is_some(), self.clock.release_at().is_some());
        times.frame
    }

    fn release(&mut self) {
        let released = self.clock.release();
        assert_eq!(self.held.is_some(), released.is_some());
        if let Some(held) = self.held.take() {
            self.times[held] = released;
        }
    }

    fn end(mut self) -> Vec<u64> {
        self.release();
        let times = self.times.into_iter();
        times
            .map(|at_ms| at_ms.expect("every frame has a time"))
            .collect()
    }
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
        clock.compared_frame(VIDEO, Timestamp(4_000_000_000)),
        4_000_000_000
    );
    assert_eq!(
        clock.compared_frame(VIDEO, Timestamp(4_000_000_040)),
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
        [0, 10, 40, 80, 33, 120, 110]
    );
}

#[test]
fn track_that_stays_on_another_clock_keeps_its_intervals() {
    let video = (0..200).map(|frame| (VIDEO, 9_000_000 + frame * 40));
    let frames: Vec<_> = [(AUDIO, 0)].into_iter().chain(video).collect();
    let expected: Vec<u64> = [0]
        .into_iter()
        .chain((0..200).map(|frame| 1 + frame * 40))
        .collect();
    assert_eq!(times_of(&frames), expected);
    // Both tracks go on, each on its own clock.
    let frames: Vec<_> = (0..200)
        .flat_map(|frame| [(AUDIO, frame * 40), (VIDEO, 9_000_000 + frame * 40)])
        .collect();
    let expected: Vec<u64> = (0..200)
        .flat_map(|frame| [frame * 40, 1 + frame * 40])
        .collect();
    assert_eq!(times_of(&frames), expected);
}

#[test]
fn new_session_restarts_at_any_timestamp() {
    for first in [0, 900_000, 500_020] {
        let mut clock = OutputClock::new(false);
        for at in [500_000, 500_040] {
            clock.compared_frame(VIDEO, Timestamp(at));
        }
        clock.restart();
        assert_eq!(clock.compared_frame(VIDEO, Timestamp(first)), 80, "{first}");
        assert_eq!(clock.compared_frame(AUDIO, Timestamp(first + 10)), 90);
        assert_eq!(clock.compared_frame(VIDEO, Timestamp(first + 40)), 120);
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
            clock.compared_frame(kind, Timestamp(at));
        }
        restart(&mut clock);
        let first_ms = clock.compared_frame(AUDIO, Timestamp(40));
        assert!(first_ms >= 2_995, "{first_ms}");
        assert_eq!(clock.compared_frame(VIDEO, Timestamp(0)), 2_984);
        assert_eq!(clock.compared_frame(AUDIO, Timestamp(63)), 2_984 + 63);
        assert_eq!(clock.compared_frame(VIDEO, Timestamp(40)), 2_984 + 40);
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
    assert_eq!(clock.compared_frame(AUDIO, Timestamp(100)), 9_001);
    assert_eq!(clock.compared_frame(VIDEO, Timestamp(40)), 9_001);
    assert_eq!(clock.compared_frame(AUDIO, Timestamp(123)), 9_084);
}

/// Returns the output times of frames. The clock restarts before each frame marked `true`.
fn times_with_restarts(frames: &[(TagKind, u32, bool)]) -> Vec<u64> {
    let mut clock = OutputClock::new(false);
    let frames = frames.iter().map(|&(kind, timestamp, is_restart)| {
        if is_restart {
            clock.restart();
        }
        clock.compared_frame(kind, Timestamp(timestamp))
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
    clock.compared_frame(VIDEO, Timestamp(5_000));
    clock.compared_frame(VIDEO, Timestamp(5_040));
    assert_eq!(clock.script_time(), 40);
    assert_eq!(clock.position_ms(), 40);
}

#[test]
fn sequence_header_on_the_path_has_the_time_of_the_server() {
    let mut clock = OutputClock::new(false);
    let first = 70_000;
    assert_eq!(clock.header_time(header(VIDEO), Timestamp(first)), 0);
    for (kind, at_ms) in [
        (AUDIO, 0),
        (VIDEO, 0),
        (VIDEO, 40),
        (AUDIO, 23),
        (AUDIO, 194),
    ] {
        clock.compared_frame(kind, Timestamp(first + at_ms));
    }
    let mut time_of = |kind, at_ms: u32| clock.header_time(header(kind), Timestamp(first + at_ms));
    // The video lags behind the audio.
    assert_eq!(time_of(VIDEO, 80), 80);
    assert_eq!(time_of(VIDEO, 40), 40);
    assert_eq!(time_of(VIDEO, 194), 194);
    assert_eq!(time_of(AUDIO, 217), 217);
    assert_eq!(clock.script_time(), 217);
    assert_eq!(clock.position_ms(), 194);
}

#[test]
fn sequence_header_off_the_path_is_not_before_the_latest_message() {
    let mut clock = OutputClock::new(false);
    for (kind, at_ms) in [
        (AUDIO, 70_000),
        (VIDEO, 70_023),
        (AUDIO, 70_046),
        (VIDEO, 70_040),
    ] {
        clock.compared_frame(kind, Timestamp(at_ms));
    }
    for timestamp in [0, 69_900, 79_000, u32::MAX] {
        assert_eq!(
            clock.header_time(header(VIDEO), Timestamp(timestamp)),
            40,
            "{timestamp}"
        );
        assert_eq!(clock.script_time(), 40);
    }
    // Each track continues after its own latest frame.
    assert_eq!(clock.header_time(header(AUDIO), Timestamp(0)), 46);
    clock.compared_frame(AUDIO, Timestamp(130_046));
    assert_eq!(clock.header_time(header(VIDEO), Timestamp(0)), 60_046);
    clock.restart();
    assert_eq!(clock.header_time(header(VIDEO), Timestamp(0)), 60_046 + 46);
}

/// The sequence header precedes the first frame of the new clock, or follows it.
#[test]
fn sequence_header_of_a_restarted_clock_lies_next_to_its_frames() {
    let mut clock = OutputClock::new(false);
    for at_ms in [70_000, 70_040] {
        clock.compared_frame(VIDEO, Timestamp(at_ms));
    }
    assert_eq!(clock.header_time(header(VIDEO), Timestamp(0)), 40);
    assert_eq!(clock.compared_frame(VIDEO, Timestamp(0)), 80);
    assert_eq!(clock.header_time(header(VIDEO), Timestamp(10)), 90);
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
        assert_eq!(clock.compared_frame(VIDEO, timestamp), at_ms);
    }
    assert!(clock.position_ms() > 4 << 32);
}

#[test]
fn kept_timestamps_continue_after_32_bits() {
    let mut clock = OutputClock::new(true);
    let last = u32::MAX - 19;
    let times = [last, 20, 60].map(|at| clock.compared_frame(VIDEO, Timestamp(at)));
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

/// Returns timestamps of video frames with an interval of 40 ms, one of which is replaced.
fn with_stray(index: usize, stray: u32) -> Vec<u32> {
    let mut timestamps: Vec<u32> = (0..50).map(|frame| 500_000 + frame * 40).collect();
    timestamps[index] = stray;
    timestamps
}

#[test]
fn stray_frame_lies_between_its_neighbors_and_shifts_nothing() {
    let expected: Vec<u64> = (0..50).map(|frame| frame * 40).collect();
    for index in [2, 20, 48] {
        let at_ms = 500_000 + 40 * index as u32;
        for stray in [
            0,
            at_ms - 5_000,
            at_ms + 5_000,
            at_ms + 60_000,
            at_ms + 3_000_000,
            at_ms + 30_000_000,
            1 << 31,
            u32::MAX,
        ] {
            let times = video_times(&with_stray(index, stray));
            assert_eq!(times, expected, "{stray} at {index}");
        }
    }
}

/// Once a second, an audio frame has the timestamp 0, then a frame of both tracks.
#[test]
fn repeated_stray_frames_do_not_add_up() {
    for both in [false, true] {
        let mut frames = Vec::new();
        for frame in 0..300_u32 {
            let is_stray = frame % 25 == 24;
            let at_ms = 90_000 + frame * 40;
            frames.push((AUDIO, if is_stray { 0 } else { at_ms }));
            frames.push((VIDEO, if is_stray && both { 0 } else { at_ms }));
        }
        let times = times_of(&frames);
        for (index, at_ms) in times.iter().enumerate() {
            let expected_ms = index as u64 / 2 * 40;
            assert!(
                at_ms.abs_diff(expected_ms) <= 1,
                "{index}: {at_ms}, both: {both}"
            );
        }
        assert_eq!(times[598..], [299 * 40 - 40 + 40; 2], "both: {both}");
    }
}

#[test]
fn extra_stray_frame_is_not_after_the_next_one() {
    for stray in [0, 130_080] {
        let times = video_times(&[70_000, 70_040, 70_080, stray, 70_120, 70_160]);
        assert!((80..=120).contains(&times[3]), "{times:?}");
        assert_eq!(times[4..], [120, 160]);
    }
}

#[test]
fn confirmed_pause_keeps_its_length() {
    assert_eq!(
        video_times(&[0, 40, 600_040, 600_080, 1_200_000]),
        [0, 40, 600_040, 600_080, 1_200_000]
    );
    // The other track confirms the pause.
    assert_eq!(
        times_of(&[
            (AUDIO, 0),
            (VIDEO, 0),
            (VIDEO, 9_000),
            (AUDIO, 9_010),
            (VIDEO, 9_040)
        ]),
        [0, 0, 9_000, 9_010, 9_040]
    );
}

/// The other track is at the time of the frame, so nothing is held.
#[test]
fn slide_show_with_sound_is_not_held() {
    let mut stream = Stream::new(false);
    for at_ms in (0..60_000).step_by(20) {
        assert!(stream.frame(AUDIO, at_ms).is_some());
        if at_ms % 7_000 == 0 {
            assert_eq!(stream.frame(VIDEO, at_ms), Some(at_ms.into()));
        }
    }
}

#[test]
fn held_frame_is_released_after_a_second() {
    let mut stream = Stream::new(false);
    stream.frame(VIDEO, 0);
    stream.frame(AUDIO, 0);
    stream.frame(VIDEO, 40);
    assert_eq!(stream.frame(VIDEO, 60_000), None);
    assert_eq!(stream.clock.release_at(), Some(stream.now + MAX_HOLD));
    stream.frame(AUDIO, 23);
    stream.now += MAX_HOLD;
    stream.frame(AUDIO, 46);
    assert_eq!(stream.held, None);
    stream.frame(VIDEO, 120);
    assert_eq!(stream.end(), [0, 0, 40, 80, 23, 46, 120]);
}

#[test]
fn last_frame_after_a_pause_keeps_its_time() {
    assert_eq!(video_times(&[0, 40, 600_040]), [0, 40, 600_040]);
}

#[test]
fn restart_is_followed_from_its_first_frame() {
    let mut stream = Stream::new(false);
    let frames = [
        (VIDEO, 70_000),
        (AUDIO, 70_000),
        (VIDEO, 70_040),
        (AUDIO, 70_023),
    ];
    let again = [
        (VIDEO, 0),
        (AUDIO, 0),
        (VIDEO, 40),
        (AUDIO, 23),
        (VIDEO, 80),
    ];
    for (kind, timestamp) in frames.into_iter().chain(again) {
        assert!(stream.frame(kind, timestamp).is_some(), "nothing is held");
    }
    assert_eq!(stream.end(), [0, 0, 40, 23, 80, 80, 120, 103, 160]);
}

#[test]
fn live_frame_cannot_be_later_than_its_arrival() {
    let times = |mut stream: Stream| {
        for timestamp in [0, 1_000_040, 1_000_080, 1_000_120] {
            stream.frame_after(10, VIDEO, timestamp);
        }
        stream.end()
    };
    assert_eq!(times(Stream::live()), [0, 1, 41, 81]);
    assert_eq!(
        times(Stream::new(false)),
        [0, 1_000_040, 1_000_080, 1_000_120]
    );
}

/// The first frames of both tracks are wrong, or that of one track.
#[test]
fn wrong_start_of_a_live_stream_leaves_no_gap() {
    for first_audio in [0, 1_000_000] {
        let mut stream = Stream::live();
        stream.frame_after(10, VIDEO, 0);
        stream.frame_after(1, AUDIO, first_audio);
        for frame in 0..50 {
            stream.frame_after(20, AUDIO, 1_000_020 + frame * 20);
            stream.frame_after(0, VIDEO, 1_000_020 + frame * 20);
        }
        let times = stream.end();
        assert!(times[101].abs_diff(1_000) <= 20, "{times:?}");
    }
}

#[test]
fn live_pause_keeps_its_length_without_holding() {
    let mut stream = Stream::live();
    for (after_ms, timestamp) in [
        (0, 70_000),
        (40, 70_040),
        (9_000, 79_000),
        (7_200_000, 7_279_100),
    ] {
        assert!(
            stream.frame_after(after_ms, VIDEO, timestamp).is_some(),
            "{timestamp}"
        );
    }
    assert_eq!(stream.end(), [0, 40, 9_000, 7_209_100]);
}

#[test]
fn suspension_of_the_computer_is_a_live_pause() {
    let mut stream = Stream::live();
    for frame in 0..50 {
        stream.frame_after(40, VIDEO, 70_000 + frame * 40);
    }
    let suspended = Duration::from_secs(600);
    stream.clock.allow_suspension(stream.now, suspended);
    // This frame was received before the suspension.
    assert_eq!(stream.frame(VIDEO, 72_000), Some(2_000));
    assert_eq!(stream.frame_after(40, VIDEO, 672_000), Some(602_000));
}

#[test]
fn set_wall_clock_allows_jumps_for_a_minute_only() {
    let mut stream = Stream::live();
    stream.frame(VIDEO, 0);
    let suspended = Duration::from_secs(600);
    stream.clock.allow_suspension(stream.now, suspended);
    for frame in 1..2_000 {
        stream.frame_after(40, VIDEO, frame * 40);
    }
    assert_eq!(stream.frame_after(40, VIDEO, 680_000), Some(80_000));
    assert_eq!(stream.frame_after(40, VIDEO, 80_040), Some(80_040));
}

/// Servers send the recent past of a live stream in a burst, and it may have few frames.
#[test]
fn burst_of_a_live_slide_show_keeps_its_intervals() {
    let mut stream = Stream::live();
    for timestamp in [90_000, 94_000, 98_000, 107_000] {
        stream.frame_after(1, VIDEO, timestamp);
    }
    assert_eq!(stream.end(), [0, 4_000, 8_000, 17_000]);
}

/// A slow network delays all frames, and the server drops frames until the stream is up to date.
#[test]
fn dropped_frames_of_a_delayed_live_stream_leave_a_gap() {
    let mut stream = Stream::live();
    for frame in 0..100 {
        stream.frame_after(40, VIDEO, 70_000 + frame * 40);
    }
    for frame in 100..200 {
        stream.frame_after(440, VIDEO, 70_000 + frame * 40);
    }
    assert_eq!(
        stream.frame_after(440, VIDEO, 70_000 + 48_200),
        Some(48_200)
    );
}

#[test]
fn live_stray_frame_shifts_nothing() {
    for stray in [0, 68_000, 79_000, 133_000, u32::MAX] {
        let mut stream = Stream::live();
        for frame in 0..50 {
            let is_stray = frame == 25;
            stream.frame_after(
                40,
                VIDEO,
                if is_stray { stray } else { 72_000 + frame * 40 },
            );
        }
        let expected: Vec<u64> = (0..50).map(|frame| frame * 40).collect();
        assert_eq!(stream.end(), expected, "{stray}");
    }
}

/// The clock of the server is slower or faster than that of the client.
#[test]
fn drift_does_not_change_what_is_due() {
    for step_ms in [39_980, 40_020] {
        let mut stream = Stream::live();
        for frame in 0..10_000 {
            stream.frame_after(40_000, AUDIO, frame * step_ms);
            assert_eq!(stream.held, None, "frame {frame}");
        }
        let high_ms = u64::from(9_999 * step_ms);
        assert_eq!(stream.clock.position_ms(), high_ms);
        let clock = stream.clock.clock.as_ref().unwrap();
        let due_ms = clock.due_ms(stream.now).unsigned_abs();
        assert!(due_ms.abs_diff(high_ms) <= 500, "{due_ms} at {high_ms}");
    }
}

/// A server that corrects its timestamps continues with those of a new publisher.
#[test]
fn joined_stream_starts_after_the_end_of_each_track() {
    let mut clock = OutputClock::new(false);
    for (kind, at_ms) in [(VIDEO, 0), (AUDIO, 0), (VIDEO, 3_000), (AUDIO, 2_977)] {
        clock.compared_frame(kind, Timestamp(at_ms));
    }
    assert_eq!(clock.header_time(header(VIDEO), Timestamp(2_987)), 3_000);
    assert_eq!(clock.header_time(header(AUDIO), Timestamp(2_987)), 2_987);
    // Both tracks are shifted by 14 ms.
    let frames = [
        (VIDEO, 2_987),
        (AUDIO, 2_990),
        (AUDIO, 3_013),
        (VIDEO, 3_027),
    ];
    let times = frames.map(|(kind, at_ms)| clock.compared_frame(kind, Timestamp(at_ms)));
    assert_eq!(times, [3_001, 3_004, 3_027, 3_041]);
}

/// The first frame of the new stream lies too far back to continue the track, the second one does not.
#[test]
fn joined_stream_may_start_at_the_largest_step_back() {
    let mut clock = OutputClock::new(false);
    for at_ms in (0..=2_780).step_by(20) {
        clock.compared_frame(AUDIO, Timestamp(at_ms));
    }
    clock.header_time(header(VIDEO), Timestamp(1_615));
    let frames = [1_760, 1_800, 1_840];
    let times = frames.map(|at_ms| clock.compared_frame(AUDIO, Timestamp(at_ms)));
    assert_eq!(times, [2_800, 2_801, 2_841]);
}

#[test]
fn repeated_sequence_headers_shift_nothing() {
    let mut clock = OutputClock::new(false);
    // Presentation times in decoding order: a keyframe, then three frames that step back.
    for group in 0..50_u32 {
        for kind in [VIDEO, AUDIO] {
            clock.header_time(header(kind), Timestamp(group * 200));
        }
        for (kind, at_ms) in [
            (VIDEO, 160),
            (AUDIO, 0),
            (VIDEO, 80),
            (VIDEO, 40),
            (AUDIO, 23),
        ] {
            let at_ms = group * 200 + at_ms;
            let found = clock.compared_frame(kind, Timestamp(at_ms + 70_000));
            assert_eq!(found, u64::from(at_ms.saturating_sub(160)), "group {group}");
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
        clock.compared_frame(VIDEO, Timestamp(start));
        let mut at_ms = 0;
        for step in steps {
            at_ms += step;
            let timestamp = Timestamp(start.wrapping_add(at_ms as u32));
            prop_assert_eq!(clock.compared_frame(VIDEO, timestamp), at_ms);
        }
    }

    #[test]
    fn restart_never_moves_a_track_back(
        header_at: u32,
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
            let at_ms = clock.compared_frame(kind, Timestamp(latest));
            prop_assert!(at_ms >= ends[track], "{kind:?} at {at_ms} after {}", ends[track]);
            let header_ms = clock.header_time(header(kind), Timestamp(latest.wrapping_add(header_at)));
            prop_assert!(header_ms >= at_ms.max(ends[track]));
            written[track] = written[track].max(at_ms);
        }
    }

    #[test]
    fn single_stray_frames_lie_between_their_neighbors(
        start: u32,
        audio in prop::collection::vec(20..=26_u32, 0..100),
        video in prop::collection::vec(30..=60_u32, 10..60),
        strays in prop::collection::vec((0..160_usize, 1_001..0xFFFF_FC00_u32), 0..8),
    ) {
        let path = |kind, steps: Vec<u32>| {
            let times = steps.into_iter().scan(0, |at_ms, step_ms| {
                *at_ms += step_ms;
                Some(*at_ms)
            });
            times.map(move |at_ms| (kind, at_ms))
        };
        let mut frames: Vec<_> = path(AUDIO, audio).chain(path(VIDEO, video)).collect();
        frames.sort_by_key(|(_, at_ms)| *at_ms);
        let mut expected: Vec<_> = frames.iter().map(|(_, at_ms)| Some(u64::from(*at_ms))).collect();
        frames.iter_mut().for_each(|(_, at_ms)| *at_ms = start.wrapping_add(*at_ms));
        let first_ms = expected[0].unwrap_or_default();
        for (index, off_ms) in strays {
            // Frames that confirm the path surround each stray one.
            let near = index.saturating_sub(8)..=(index + 8).min(frames.len() - 1);
            if index < 8 || index + 8 >= frames.len() || expected[near].contains(&None) {
                continue;
            }
            frames[index].1 = frames[index].1.wrapping_add(off_ms);
            expected[index] = None;
        }
        let times = times_of(&frames);
        let mut latest = [0, 0];
        for (index, (at_ms, expected)) in times.iter().zip(&expected).enumerate() {
            let track = usize::from(frames[index].0 == VIDEO);
            if let Some(expected_ms) = expected {
                prop_assert_eq!(*at_ms, expected_ms - first_ms, "{}", index);
            }
            prop_assert!(*at_ms >= latest[track], "{:?} at {}", times, index);
            latest[track] = *at_ms;
        }
    }

    #[test]
    fn no_track_steps_back_at_a_join(
        audio in 1_000..3_000_u32,
        video in 1_000..3_000_u32,
        first in 1_500..4_000_u32,
        lag_ms in 0..500_u32,
        is_live: bool,
    ) {
        let mut clock = OutputClock::new(false);
        let now = Instant::now();
        let mut latest = [0; 2];
        let mut take = |clock: &mut OutputClock, kind, at_ms| {
            let times = clock.frame(kind, Timestamp(at_ms), now, is_live);
            let track = usize::from(kind == VIDEO);
            for at_ms in times.held.into_iter().chain(times.frame) {
                prop_assert!(at_ms >= latest[track], "{at_ms} after {latest:?}");
                latest[track] = at_ms;
            }
            Ok(())
        };
        for at_ms in (0..3_000).step_by(20) {
            if at_ms <= audio {
                take(&mut clock, AUDIO, at_ms)?;
            }
            if at_ms <= video {
                take(&mut clock, VIDEO, at_ms)?;
            }
        }
        clock.header_time(header(VIDEO), Timestamp(first));
        for at_ms in (first..first + 2_000).step_by(40) {
            take(&mut clock, VIDEO, at_ms)?;
            take(&mut clock, AUDIO, at_ms + lag_ms)?;
        }
    }

    #[test]
    fn clock_never_leaps_for_any_timestamps(
        is_live: bool,
        timestamps in prop::collection::vec((any::<bool>(), any::<u32>(), any::<bool>()), 1..100),
    ) {
        let mut clock = OutputClock::new(false);
        let (mut high_ms, now) = (0, Instant::now());
        let mut check = |clock: &OutputClock| {
            let position_ms = clock.position_ms();
            prop_assert!(position_ms >= high_ms);
            prop_assert!(position_ms - high_ms <= 3_600_000 + 60_000);
            high_ms = position_ms;
            Ok(())
        };
        for (is_video, timestamp, is_compared) in timestamps {
            let kind = if is_video { VIDEO } else { AUDIO };
            if is_compared {
                clock.release();
                check(&clock)?;
                clock.compared_frame(kind, Timestamp(timestamp));
            } else {
                let _ = clock.frame(kind, Timestamp(timestamp), now, is_live);
            }
            check(&clock)?;
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
