use super::*;

const AUDIO: TagKind = TagKind::AUDIO;
const VIDEO: TagKind = TagKind::VIDEO;

/// The places of video frames with these timestamps.
fn places(timestamps: &[u32]) -> Vec<u64> {
    let frames: Vec<_> = timestamps.iter().map(|&at| (VIDEO, at)).collect();
    places_of(&frames)
}

fn places_of(frames: &[(TagKind, u32)]) -> Vec<u64> {
    let mut timeline = Timeline::new(false);
    frames
        .iter()
        .map(|&(kind, timestamp)| timeline.frame(kind, Timestamp(timestamp)))
        .collect()
}

#[test]
fn the_file_starts_at_0_whatever_the_server_counts_from() {
    assert_eq!(places(&[16_772_000, 16_772_040, 16_772_080]), [0, 40, 80]);
}

#[test]
fn the_servers_timestamps_are_kept_on_demand() {
    let mut timeline = Timeline::new(true);
    assert_eq!(
        timeline.frame(VIDEO, Timestamp(4_000_000_000)),
        4_000_000_000
    );
    assert_eq!(
        timeline.frame(VIDEO, Timestamp(4_000_000_040)),
        4_000_000_040
    );
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
    assert_eq!(places(&[last - 40, last, 24, 64]), [0, 40, 80, 120]);
}

#[test]
fn a_track_may_step_back_by_up_to_a_second() {
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
    let mut timeline = Timeline::new(false);
    timeline.frame(AUDIO, Timestamp(0));
    let places: Vec<u64> = (0..=MAX_STRAYS + 1)
        .map(|frame| timeline.frame(VIDEO, Timestamp(9_000_000 + frame * 40)))
        .collect();
    assert_eq!(places[..100], [0; 100]);
    assert_eq!(places[100..], [0, 40]);
}

#[test]
fn a_new_session_is_a_restart_whichever_way_its_clock_lies() {
    for first in [0, 900_000, 500_020] {
        let mut timeline = Timeline::new(false);
        for at in [500_000, 500_040] {
            timeline.frame(VIDEO, Timestamp(at));
        }
        timeline.restart();
        assert_eq!(timeline.frame(VIDEO, Timestamp(first)), 80, "{first}");
        assert_eq!(timeline.frame(AUDIO, Timestamp(first + 10)), 90);
        assert_eq!(timeline.frame(VIDEO, Timestamp(first + 40)), 120);
    }
}

#[test]
fn small_steps_back_do_not_add_up_unseen() {
    let mut timestamps = vec![10_000, 20_000];
    timestamps.extend((1..=5).map(|step| 20_000 - step * 400));
    let places = places(&timestamps);
    assert!(
        places.iter().skip(1).all(|&place| place >= 8_000),
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
    timeline.frame(VIDEO, Timestamp(5_000));
    timeline.frame(VIDEO, Timestamp(5_040));
    assert_eq!(timeline.companion(), 40);
    assert_eq!(timeline.position_ms(), 40);
}

#[test]
fn an_early_frame_before_the_first_is_not_before_0() {
    assert_eq!(places(&[500, 300, 540]), [0, 0, 40]);
}
