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

/// An H.264 frame whose last byte is `name`.
fn video(at_ms: u32, name: u8) -> Message {
    message(Kind::VIDEO, at_ms, &[0x27, 1, 0, 0, 0, 0, 0, 0, 1, name])
}

/// An AAC frame whose last byte is `name`.
fn audio(at_ms: u32, name: u8) -> Message {
    message(Kind::AUDIO, at_ms, &[0xAF, 1, name])
}

fn sequence_header(at_ms: u32, name: u8) -> Message {
    message(Kind::AUDIO, at_ms, &[0xAF, 0, 0x12, name])
}

fn cue(at_ms: u32, name: u8) -> Message {
    message(Kind::DATA, at_ms, &[2, 0, 1, name])
}

fn classify(pause_unpause: &mut PauseUnpause, message: &Message) -> Novelty {
    let info = FrameParser::new().parse(TagKind(message.kind.0), &message.payload);
    pause_unpause.classify(message, info)
}

fn is_new(pause_unpause: &mut PauseUnpause, message: &Message) -> bool {
    classify(pause_unpause, message) == Novelty::New
}

/// Pauses and unpauses a recorded stream after the messages `before`. Returns the state and the
/// position.
fn resumed(before: &[Message]) -> (PauseUnpause, u32) {
    let mut pause_unpause = PauseUnpause::new(true, true);
    for message in before {
        assert!(is_new(&mut pause_unpause, message), "{message:?}");
    }
    let at = pause_unpause.pause().unwrap();
    assert_eq!(pause_unpause.unpause(), Some(at));
    (pause_unpause, at.0)
}

#[track_caller]
fn assert_admitted(pause_unpause: &mut PauseUnpause, messages: &[(Message, bool)]) {
    for (message, expected) in messages {
        assert_eq!(is_new(pause_unpause, message), *expected, "{message:?}");
    }
}

#[test]
fn each_track_continues_after_its_own_last_frame() {
    let (mut pause_unpause, at_ms) = resumed(&[
        video(0, 1),
        audio(0, 1),
        video(1_000, 2),
        audio(960, 2),
        video(1_040, 3),
    ]);
    assert_eq!(at_ms, 960);
    assert_admitted(
        &mut pause_unpause,
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
fn repeated_frames_with_the_latest_timestamp_are_dropped() {
    let (mut pause_unpause, at_ms) =
        resumed(&[video(0, 1), video(40, 2), video(40, 3), video(40, 2)]);
    assert_eq!(at_ms, 40);
    assert_admitted(
        &mut pause_unpause,
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
fn server_that_continues_without_repeating_loses_nothing() {
    let (mut pause_unpause, _) = resumed(&[video(0, 1), video(40, 2)]);
    assert_admitted(
        &mut pause_unpause,
        &[(video(40, 3), true), (video(80, 4), true)],
    );
}

#[test]
fn sequence_header_is_repeated_only_if_it_changed() {
    let (mut pause_unpause, _) = resumed(&[sequence_header(0, 1), audio(0, 1), audio(9_000, 2)]);
    assert_admitted(
        &mut pause_unpause,
        &[
            (sequence_header(0, 1), false),
            (sequence_header(0, 2), true),
            (sequence_header(0, 2), false),
            (audio(9_000, 2), false),
            (audio(9_023, 3), true),
            (sequence_header(0, 2), true),
        ],
    );
}

#[test]
fn script_data_is_identified_by_its_timestamp_and_content() {
    let (mut pause_unpause, _) = resumed(&[video(0, 1), cue(0, 1), video(40, 2)]);
    assert_admitted(
        &mut pause_unpause,
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
fn clock_change_is_not_a_repetition() {
    let (mut pause_unpause, _) = resumed(&[video(100_000, 1), audio(100_000, 1)]);
    assert_admitted(
        &mut pause_unpause,
        &[
            (audio(99_000, 0), false),
            (video(30_000, 2), true),
            (video(30_040, 3), true),
            (audio(30_000, 2), true),
        ],
    );
    let mut pause_unpause = PauseUnpause::new(true, true);
    for frame in [video(30_000, 1), video(0, 2), video(40, 3)] {
        assert!(is_new(&mut pause_unpause, &frame));
    }
    assert_eq!(pause_unpause.pause(), Some(Timestamp(40)));
}

#[test]
fn timestamps_may_wrap_during_the_pause() {
    let (mut pause_unpause, at_ms) = resumed(&[video(u32::MAX - 10, 1), video(29, 2), audio(5, 1)]);
    assert_eq!(at_ms, 5);
    assert_admitted(
        &mut pause_unpause,
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
fn ended_track_does_not_hold_the_position_back() {
    let (_, at_ms) = resumed(&[audio(0, 1), video(0, 1), video(5_001, 2)]);
    assert_eq!(at_ms, 5_001);
    let (_, at_ms) = resumed(&[audio(0, 1), video(0, 1), video(5_000, 2)]);
    assert_eq!(at_ms, 0);
}

#[test]
fn each_new_frame_allows_one_more_try() {
    let (mut pause_unpause, _) = resumed(&[video(0, 1)]);
    assert!(!pause_unpause.is_first_try_available() && pause_unpause.pause().is_none());
    assert!(!is_new(&mut pause_unpause, &video(0, 1)));
    assert!(!pause_unpause.is_first_try_available());
    assert!(is_new(&mut pause_unpause, &sequence_header(0, 1)));
    assert!(!pause_unpause.is_first_try_available());
    assert!(is_new(&mut pause_unpause, &video(40, 2)));
    assert!(pause_unpause.is_first_try_available());
    pause_unpause.pause();
    assert!(is_new(&mut pause_unpause, &video(80, 3)));
    assert!(!pause_unpause.is_first_try_available());
}

#[test]
fn second_try_uses_the_later_track() {
    let (mut pause_unpause, at_ms) = resumed(&[video(960, 1), audio(960, 1), audio(1_200, 2)]);
    assert_eq!(at_ms, 960);
    assert_admitted(
        &mut pause_unpause,
        &[(video(960, 1), false), (audio(960, 1), false)],
    );
    assert!(!pause_unpause.is_first_try_available());
    assert_eq!(pause_unpause.pause(), Some(Timestamp(1_200)));
    pause_unpause.unpause();
    assert_eq!(pause_unpause.pause(), None);
    assert_admitted(
        &mut pause_unpause,
        &[(audio(1_200, 2), false), (audio(1_223, 3), true)],
    );
    assert_eq!(pause_unpause.pause(), Some(Timestamp(960)));
}

#[test]
fn end_of_sequence_is_new_although_no_frame_follows() {
    let end = || message(Kind::VIDEO, 40, &[0x17, 2, 0, 0, 0]);
    let (mut pause_unpause, _) = resumed(&[video(0, 1), video(40, 2)]);
    assert_admitted(
        &mut pause_unpause,
        &[(video(40, 2), false), (end(), true), (audio(60, 1), true)],
    );
    pause_unpause.pause();
    pause_unpause.unpause();
    assert_admitted(&mut pause_unpause, &[(end(), false), (video(40, 2), false)]);
}

#[test]
fn live_streams_and_streams_without_frames_are_not_paused() {
    let mut pause_unpause = PauseUnpause::new(true, false);
    assert!(is_new(&mut pause_unpause, &video(0, 1)));
    assert_eq!(pause_unpause.pause(), None);
    pause_unpause.set_recorded();
    assert!(pause_unpause.pause().is_some());
    let mut pause_unpause = PauseUnpause::new(true, true);
    assert!(is_new(&mut pause_unpause, &sequence_header(0, 1)));
    assert!(is_new(&mut pause_unpause, &cue(0, 1)));
    assert_eq!(pause_unpause.pause(), None);
    let mut pause_unpause = PauseUnpause::new(false, true);
    assert!(is_new(&mut pause_unpause, &video(0, 1)));
    assert_eq!(pause_unpause.pause(), None);
}

#[test]
fn repetition_is_progress_only_if_it_advances() {
    let (mut pause_unpause, _) = resumed(&[video(0, 1), video(40, 2), video(80, 3)]);
    for (at_ms, is_progress) in [(0, true), (0, false), (40, true), (0, false), (40, false)] {
        let again = classify(&mut pause_unpause, &video(at_ms, 0));
        assert_eq!(again, Novelty::Repeated { is_progress }, "{at_ms}");
    }
}

#[test]
fn number_of_fingerprints_per_timestamp_is_limited() {
    let mut pause_unpause = PauseUnpause::new(true, true);
    for name in 0..=255 {
        assert!(is_new(&mut pause_unpause, &video(0, name)));
    }
    assert_eq!(pause_unpause.video.at_latest.len(), MAX_AT_ONCE);
}
