use super::*;
use crate::core::{
    flv::{FrameParser, TagKind},
    payload::Payload,
};

fn message(kind: Kind, at_ms: u32, body: &[u8]) -> Message {
    let mut payload = Payload::new();
    payload.extend_from_slice(body);
    Message {
        chunk_stream: 6,
        kind,
        message_stream: 1,
        timestamp: Timestamp(at_ms),
        payload,
    }
}

/// A frame of H.264 whose last byte is `name`.
fn video(at_ms: u32, name: u8) -> Message {
    message(Kind::VIDEO, at_ms, &[0x27, 1, 0, 0, 0, 0, 0, 0, 1, name])
}

/// A frame of AAC whose last byte is `name`.
fn audio(at_ms: u32, name: u8) -> Message {
    message(Kind::AUDIO, at_ms, &[0xAF, 1, name])
}

fn configuration(at_ms: u32, name: u8) -> Message {
    message(Kind::AUDIO, at_ms, &[0xAF, 0, 0x12, name])
}

fn cue(at_ms: u32, name: u8) -> Message {
    message(Kind::DATA, at_ms, &[2, 0, 1, name])
}

fn admit(trick: &mut PauseUnpause, message: &Message) -> Admission {
    let info = FrameParser::new().parse(TagKind(message.kind.0), &message.payload);
    trick.admit(message, info)
}

fn is_new(trick: &mut PauseUnpause, message: &Message) -> bool {
    admit(trick, message) == Admission::New
}

/// A recorded stream of which these have come, paused and resumed; and where.
fn resumed(before: &[Message]) -> (PauseUnpause, u32) {
    let mut trick = PauseUnpause::new(true, true);
    for message in before {
        assert!(is_new(&mut trick, message), "{message:?}");
    }
    let at = trick.begin().unwrap();
    assert_eq!(trick.resume(), Some(at));
    (trick, at.0)
}

#[track_caller]
fn assert_admitted(trick: &mut PauseUnpause, messages: &[(Message, bool)]) {
    for (message, expected) in messages {
        assert_eq!(is_new(trick, message), *expected, "{message:?}");
    }
}

#[test]
fn each_track_goes_on_behind_its_own_last_frame() {
    let (mut trick, at_ms) = resumed(&[
        video(0, 1),
        audio(0, 1),
        video(1_000, 2),
        audio(960, 2),
        video(1_040, 3),
    ]);
    assert_eq!(at_ms, 960);
    assert_admitted(
        &mut trick,
        &[
            (video(0, 1), false),
            (audio(960, 2), false),
            (video(1_000, 2), false),
            (audio(983, 3), true),
            (video(1_040, 3), false),
            (audio(1_006, 4), true),
            (video(1_080, 4), true),
            (video(1_060, 5), true),
        ],
    );
}

#[test]
fn of_frames_of_the_same_moment_those_that_had_come_are_left_out() {
    let (mut trick, at_ms) = resumed(&[video(0, 1), video(40, 2), video(40, 3), video(40, 2)]);
    assert_eq!(at_ms, 40);
    assert_admitted(
        &mut trick,
        &[
            (video(40, 2), false),
            (video(40, 3), false),
            (video(40, 2), false),
            (video(40, 2), true),
            (video(40, 4), true),
        ],
    );
}

#[test]
fn a_server_that_goes_on_where_it_was_loses_nothing() {
    let (mut trick, _) = resumed(&[video(0, 1), video(40, 2)]);
    assert_admitted(&mut trick, &[(video(40, 3), true), (video(80, 4), true)]);
}

#[test]
fn configuration_comes_again_only_where_it_is_another_one() {
    let (mut trick, _) = resumed(&[configuration(0, 1), audio(0, 1), audio(9_000, 2)]);
    assert_admitted(
        &mut trick,
        &[
            (configuration(0, 1), false),
            (configuration(0, 2), true),
            (configuration(0, 2), false),
            (audio(9_000, 2), false),
            (audio(9_023, 3), true),
            (configuration(0, 2), true),
        ],
    );
}

#[test]
fn script_data_is_told_apart_by_its_place_alone() {
    let (mut trick, _) = resumed(&[video(0, 1), cue(0, 1), video(40, 2)]);
    assert_admitted(
        &mut trick,
        &[
            (cue(0, 1), false),
            (cue(0, 2), true),
            (video(40, 2), false),
            (video(80, 3), true),
            (cue(0, 1), true),
        ],
    );
}

#[test]
fn another_clock_is_no_repetition() {
    let (mut trick, _) = resumed(&[video(100_000, 1), audio(100_000, 1)]);
    assert_admitted(
        &mut trick,
        &[
            (audio(99_000, 0), false),
            (video(30_000, 2), true),
            (video(30_040, 3), true),
            (audio(30_000, 2), true),
        ],
    );
    let mut trick = PauseUnpause::new(true, true);
    for frame in [video(30_000, 1), video(0, 2), video(40, 3)] {
        assert!(is_new(&mut trick, &frame));
    }
    assert_eq!(trick.begin(), Some(Timestamp(40)));
}

#[test]
fn timestamps_may_wrap_meanwhile() {
    let (mut trick, at_ms) = resumed(&[video(u32::MAX - 10, 1), video(29, 2), audio(5, 1)]);
    assert_eq!(at_ms, 5);
    assert_admitted(
        &mut trick,
        &[
            (video(u32::MAX - 10, 1), false),
            (video(29, 2), false),
            (audio(5, 1), false),
            (audio(28, 2), true),
            (video(69, 3), true),
        ],
    );
}

#[test]
fn a_track_that_is_long_over_holds_nothing_back() {
    let (_, at_ms) = resumed(&[audio(0, 1), video(0, 1), video(5_001, 2)]);
    assert_eq!(at_ms, 5_001);
    let (_, at_ms) = resumed(&[audio(0, 1), video(0, 1), video(5_000, 2)]);
    assert_eq!(at_ms, 0);
}

#[test]
fn it_is_done_once_for_each_time_that_something_new_has_come() {
    let (mut trick, _) = resumed(&[video(0, 1)]);
    assert!(!trick.is_untried() && trick.begin().is_none());
    assert!(!is_new(&mut trick, &video(0, 1)));
    assert!(!trick.is_untried());
    assert!(is_new(&mut trick, &configuration(0, 1)));
    assert!(!trick.is_untried());
    assert!(is_new(&mut trick, &video(40, 2)));
    assert!(trick.is_untried());
    trick.begin();
    assert!(is_new(&mut trick, &video(80, 3)));
    assert!(!trick.is_untried());
}

#[test]
fn a_track_that_is_over_holds_a_short_buffer_back_once() {
    let (mut trick, at_ms) = resumed(&[video(960, 1), audio(960, 1), audio(1_200, 2)]);
    assert_eq!(at_ms, 960);
    assert_admitted(
        &mut trick,
        &[(video(960, 1), false), (audio(960, 1), false)],
    );
    assert!(!trick.is_untried());
    assert_eq!(trick.begin(), Some(Timestamp(1_200)));
    trick.resume();
    assert_eq!(trick.begin(), None);
    assert_admitted(
        &mut trick,
        &[(audio(1_200, 2), false), (audio(1_223, 3), true)],
    );
    assert_eq!(trick.begin(), Some(Timestamp(960)));
}

#[test]
fn the_end_of_a_sequence_comes_through_though_no_frame_follows() {
    let end = || message(Kind::VIDEO, 40, &[0x17, 2, 0, 0, 0]);
    let (mut trick, _) = resumed(&[video(0, 1), video(40, 2)]);
    assert_admitted(
        &mut trick,
        &[(video(40, 2), false), (end(), true), (audio(60, 1), true)],
    );
    trick.begin();
    trick.resume();
    assert_admitted(&mut trick, &[(end(), false), (video(40, 2), false)]);
}

#[test]
fn live_streams_and_streams_without_frames_are_let_be() {
    let mut trick = PauseUnpause::new(true, false);
    assert!(is_new(&mut trick, &video(0, 1)));
    assert_eq!(trick.begin(), None);
    trick.take_note_of_recording();
    assert!(trick.begin().is_some());
    let mut trick = PauseUnpause::new(true, true);
    assert!(is_new(&mut trick, &configuration(0, 1)));
    assert!(is_new(&mut trick, &cue(0, 1)));
    assert_eq!(trick.begin(), None);
    let mut trick = PauseUnpause::new(false, true);
    assert!(is_new(&mut trick, &video(0, 1)));
    assert_eq!(trick.begin(), None);
}

#[test]
fn repetition_is_progress_only_where_it_goes_on() {
    let (mut trick, _) = resumed(&[video(0, 1), video(40, 2), video(80, 3)]);
    for (at_ms, is_progress) in [(0, true), (0, false), (40, true), (0, false), (40, false)] {
        let again = admit(&mut trick, &video(at_ms, 0));
        assert_eq!(again, Admission::Again { is_progress }, "{at_ms}");
    }
}

#[test]
fn frames_without_end_at_the_same_moment_are_not_all_kept() {
    let mut trick = PauseUnpause::new(true, true);
    for name in 0..=255 {
        assert!(is_new(&mut trick, &video(0, name)));
    }
    assert_eq!(trick.video.at_latest.len(), MAX_AT_ONCE);
}
