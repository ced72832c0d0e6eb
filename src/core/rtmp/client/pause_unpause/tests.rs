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

/// [`PauseUnpause`] with the part of the session's state that it depends on.
struct Stream {
    pause_unpause: PauseUnpause,
    pausing_at: Option<Timestamp>,
    is_resuming: bool,
}

impl Stream {
    fn new(is_enabled: bool, is_recorded: bool) -> Self {
        Self {
            pause_unpause: PauseUnpause::new(is_enabled, is_recorded),
            pausing_at: None,
            is_resuming: false,
        }
    }

    fn pause(&mut self) -> Option<Timestamp> {
        let at = self.pause_unpause.next_position()?;
        self.pause_unpause.record_try();
        self.pausing_at = Some(at);
        Some(at)
    }

    fn unpause(&mut self) -> Option<Timestamp> {
        let at = self.pausing_at.take()?;
        self.pause_unpause.expect_repeats();
        self.is_resuming = true;
        Some(at)
    }

    fn is_first_try_available(&self) -> bool {
        self.pausing_at.is_none() && self.pause_unpause.is_first_try_available()
    }

    fn classify(&mut self, message: &Message) -> Novelty {
        let info = FrameParser::new().parse(TagKind(message.kind.0), &message.payload);
        let novelty = self.pause_unpause.classify(message, info, self.is_resuming);
        if novelty == Novelty::New && info.carries_media {
            self.is_resuming = false;
            if self.pausing_at.is_none() {
                self.pause_unpause.record_new_frame();
            }
        }
        novelty
    }

    fn is_new(&mut self, message: &Message) -> bool {
        self.classify(message) == Novelty::New
    }
}

/// Pauses and unpauses a recorded stream after the messages `before`. Returns the state and the
/// position.
fn resumed(before: &[Message]) -> (Stream, u32) {
    let mut stream = Stream::new(true, true);
    for message in before {
        assert!(stream.is_new(message), "{message:?}");
    }
    let at = stream.pause().unwrap();
    assert_eq!(stream.unpause(), Some(at));
    (stream, at.0)
}

#[track_caller]
fn assert_novelty(stream: &mut Stream, messages: &[(Message, bool)]) {
    for (message, expected) in messages {
        assert_eq!(stream.is_new(message), *expected, "{message:?}");
    }
}

#[test]
fn each_track_continues_after_its_own_last_frame() {
    let (mut stream, at_ms) = resumed(&[
        video(0, 1),
        audio(0, 1),
        video(1_000, 2),
        audio(960, 2),
        video(1_040, 3),
    ]);
    assert_eq!(at_ms, 960);
    assert_novelty(
        &mut stream,
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
    let (mut stream, at_ms) = resumed(&[video(0, 1), video(40, 2), video(40, 3), video(40, 2)]);
    assert_eq!(at_ms, 40);
    assert_novelty(
        &mut stream,
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
    let (mut stream, _) = resumed(&[video(0, 1), video(40, 2)]);
    assert_novelty(&mut stream, &[(video(40, 3), true), (video(80, 4), true)]);
}

#[test]
fn sequence_header_is_repeated_only_if_it_changed() {
    let (mut stream, _) = resumed(&[sequence_header(0, 1), audio(0, 1), audio(9_000, 2)]);
    assert_novelty(
        &mut stream,
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
    let (mut stream, _) = resumed(&[video(0, 1), cue(0, 1), video(40, 2)]);
    assert_novelty(
        &mut stream,
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
    let (mut stream, _) = resumed(&[video(100_000, 1), audio(100_000, 1)]);
    assert_novelty(
        &mut stream,
        &[
            (audio(99_000, 0), false),
            (video(30_000, 2), true),
            (video(30_040, 3), true),
            (audio(30_000, 2), true),
        ],
    );
    let mut stream = Stream::new(true, true);
    for frame in [video(30_000, 1), video(0, 2), video(40, 3)] {
        assert!(stream.is_new(&frame));
    }
    assert_eq!(stream.pause(), Some(Timestamp(40)));
}

#[test]
fn timestamps_may_wrap_during_the_pause() {
    let (mut stream, at_ms) = resumed(&[video(u32::MAX - 10, 1), video(29, 2), audio(5, 1)]);
    assert_eq!(at_ms, 5);
    assert_novelty(
        &mut stream,
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
fn ended_track_does_not_determine_the_pause_position() {
    let (_, at_ms) = resumed(&[audio(0, 1), video(0, 1), video(5_001, 2)]);
    assert_eq!(at_ms, 5_001);
    let (_, at_ms) = resumed(&[audio(0, 1), video(0, 1), video(5_000, 2)]);
    assert_eq!(at_ms, 0);
}

#[test]
fn each_new_frame_allows_one_more_try() {
    let (mut stream, _) = resumed(&[video(0, 1)]);
    assert!(!stream.is_first_try_available() && stream.pause().is_none());
    assert!(!stream.is_new(&video(0, 1)));
    assert!(!stream.is_first_try_available());
    assert!(stream.is_new(&sequence_header(0, 1)));
    assert!(!stream.is_first_try_available());
    assert!(stream.is_new(&video(40, 2)));
    assert!(stream.is_first_try_available());
    stream.pause();
    assert!(stream.is_new(&video(80, 3)));
    assert!(!stream.is_first_try_available());
}

#[test]
fn second_try_uses_the_later_track() {
    let (mut stream, at_ms) = resumed(&[video(960, 1), audio(960, 1), audio(1_200, 2)]);
    assert_eq!(at_ms, 960);
    assert_novelty(
        &mut stream,
        &[(video(960, 1), false), (audio(960, 1), false)],
    );
    assert!(!stream.is_first_try_available());
    assert_eq!(stream.pause(), Some(Timestamp(1_200)));
    stream.unpause();
    assert_eq!(stream.pause(), None);
    assert_novelty(
        &mut stream,
        &[(audio(1_200, 2), false), (audio(1_223, 3), true)],
    );
    assert_eq!(stream.pause(), Some(Timestamp(960)));
}

#[test]
fn end_of_sequence_is_new_although_no_frame_follows() {
    let end = || message(Kind::VIDEO, 40, &[0x17, 2, 0, 0, 0]);
    let (mut stream, _) = resumed(&[video(0, 1), video(40, 2)]);
    assert_novelty(
        &mut stream,
        &[(video(40, 2), false), (end(), true), (audio(60, 1), true)],
    );
    stream.pause();
    stream.unpause();
    assert_novelty(&mut stream, &[(end(), false), (video(40, 2), false)]);
}

#[test]
fn live_streams_and_streams_without_frames_are_not_paused() {
    let mut stream = Stream::new(true, false);
    assert!(stream.is_new(&video(0, 1)));
    assert_eq!(stream.pause(), None);
    stream.pause_unpause.set_recorded();
    assert!(stream.pause().is_some());
    let mut stream = Stream::new(true, true);
    assert!(stream.is_new(&sequence_header(0, 1)));
    assert!(stream.is_new(&cue(0, 1)));
    assert_eq!(stream.pause(), None);
    let mut stream = Stream::new(false, true);
    assert!(stream.is_new(&video(0, 1)));
    assert_eq!(stream.pause(), None);
}

#[test]
fn repetition_is_progress_only_if_it_advances() {
    let (mut stream, _) = resumed(&[video(0, 1), video(40, 2), video(80, 3)]);
    for (at_ms, is_progress) in [(0, true), (0, false), (40, true), (0, false), (40, false)] {
        let again = stream.classify(&video(at_ms, 0));
        assert_eq!(again, Novelty::Repeated { is_progress }, "{at_ms}");
    }
}

#[test]
fn number_of_fingerprints_per_timestamp_is_limited() {
    let mut stream = Stream::new(true, true);
    for name in 0..=255 {
        assert!(stream.is_new(&video(0, name)));
    }
    assert_eq!(stream.pause_unpause.video.at_latest.len(), MAX_AT_ONCE);
}
