//! Pause/unpause.

use super::*;

/// Plays a recorded stream up to the end of the first buffer.
fn recorded() -> Conversation {
    let mut conversation = Conversation::playing(Config {
        pause_unpause: true,
        ..config()
    });
    conversation.user_control(4, 1);
    frame(&mut conversation, 960);
    frame(&mut conversation, 1_000);
    assert_eq!(conversation.events().len(), 3);
    conversation.sent();
    conversation
}

fn frame(conversation: &mut Conversation, timestamp: u32) {
    let name = timestamp.to_be_bytes();
    let body = [&[0x27, 1, 0, 0, 0, 0, 0, 0, 4][..], &name].concat();
    conversation.send(Kind::VIDEO, 1, timestamp, &body);
}

fn pause(transaction: u32, is_pause: bool, at_ms: u32) -> Sent {
    Sent::Command(1, Command::pause(transaction, is_pause, at_ms))
}

fn buffer_empty(conversation: &mut Conversation) {
    conversation.user_control(31, 1);
}

/// Returns the timestamps of the media events.
fn frames(events: Vec<Event>) -> Vec<u32> {
    let frames = events.into_iter().map(media);
    frames.map(|(_, timestamp, _)| timestamp).collect()
}

#[test]
fn buffer_empty_triggers_pause_and_unpause() {
    let mut conversation = recorded();
    buffer_empty(&mut conversation);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.sent(), [pause(4, true, 1_000)]);
    conversation.user_control(1, 1);
    conversation.status("NetStream.Pause.Notify");
    assert_eq!(conversation.sent(), [pause(5, false, 1_000)]);
    conversation.status("NetStream.Unpause.Notify");
    conversation.user_control(0, 1);
    for timestamp in [960, 1_000, 1_040] {
        frame(&mut conversation, timestamp);
    }
    assert_eq!(frames(conversation.events()), [1_040]);
    buffer_empty(&mut conversation);
    conversation.status("NetStream.Pause.Notify");
    let sent = conversation.sent();
    assert_eq!(sent, [pause(6, true, 1_040), pause(7, false, 1_040)]);
}

#[test]
fn repeated_messages_in_aggregates_are_dropped() {
    let mut conversation = recorded();
    buffer_empty(&mut conversation);
    conversation.status("NetStream.Pause.Notify");
    #[rustfmt::skip]
    let body = [
        9, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0, 0x27, 1, 0, 0, 0, 1, 0, 0, 0, 17,
        9, 0, 0, 6, 0, 0, 80, 0, 0, 0, 0, 0x27, 1, 0, 0, 0, 2, 0, 0, 0, 17,
    ];
    conversation.send(Kind::AGGREGATE, 1, 960, &body);
    assert_eq!(frames(conversation.events()), [1_040]);
}

#[test]
fn unconfirmed_pause_is_ended_after_one_second() {
    let mut conversation = recorded();
    buffer_empty(&mut conversation);
    conversation.advance(SECOND * 9 / 10);
    assert_eq!(conversation.sent(), [pause(4, true, 1_000)]);
    conversation.advance(SECOND / 5);
    assert_eq!(conversation.sent(), [pause(5, false, 1_000)]);
    conversation.status("NetStream.Pause.Notify");
    assert_eq!(conversation.sent(), []);
}

#[test]
fn disabled_or_possibly_live_stream_is_not_paused() {
    let with = |config: Config| {
        let mut conversation = Conversation::playing(config);
        frame(&mut conversation, 0);
        buffer_empty(&mut conversation);
        conversation
    };
    let wanted = |start| Config {
        pause_unpause: true,
        start,
        ..config()
    };
    let mut conversation = with(wanted(Start::LiveElseRecorded));
    assert_eq!(conversation.sent(), []);
    let mut metadata = Object::new();
    metadata.push("duration", 0.0);
    conversation.data(&["onMetaData".into(), Value::EcmaArray(metadata.clone())]);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.sent(), []);
    metadata.push("duration", 30.0);
    conversation.data(&["onMetaData".into(), Value::EcmaArray(metadata)]);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.sent(), [pause(4, true, 0)]);

    assert_eq!(with(wanted(Start::Live)).sent(), []);
    let mut conversation = with(config());
    conversation.user_control(4, 1);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.sent(), []);
    let start = Start::At { ms: 0 };
    assert_eq!(with(wanted(start)).sent(), [pause(4, true, 0)]);
}

#[test]
fn buffer_empty_after_stream_eof_does_not_pause() {
    let mut conversation = recorded();
    conversation.user_control(1, 1);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.sent(), []);
    let mut events = conversation.advance(4 * SECOND);
    assert_eq!(end(events.remove(0)), End::Complete("Stream EOF".into()));
}

#[test]
fn silence_triggers_one_pause_within_the_timeout() {
    let mut conversation = recorded();
    assert!(conversation.advance(SECOND * 149 / 10).is_empty());
    assert_eq!(conversation.sent(), []);
    assert!(conversation.advance(SECOND).is_empty());
    assert_eq!(conversation.sent(), [pause(4, true, 1_000)]);
    assert!(conversation.advance(SECOND).is_empty());
    assert_eq!(conversation.sent(), [pause(5, false, 1_000)]);
    let mut events = conversation.advance(SECOND * 132 / 10);
    assert_eq!(end(events.remove(0)), End::TimedOut(Timeout::Silence));
    assert_eq!(conversation.sent(), []);
}

#[test]
fn pause_is_available_again_after_new_media() {
    let mut conversation = recorded();
    for timestamp in [1_040, 1_080, 1_120] {
        assert!(conversation.advance(SECOND * 16).is_empty());
        conversation.status("NetStream.Pause.Notify");
        frame(&mut conversation, 960);
        assert!(conversation.advance(SECOND * 16).is_empty());
        frame(&mut conversation, timestamp);
        assert_eq!(frames(conversation.events()), [timestamp]);
    }
    let calls = conversation.sent();
    assert_eq!(calls.iter().filter_map(Sent::summary).count(), 6);
}

#[test]
fn server_that_repeats_the_same_frames_is_silent() {
    let mut conversation = recorded();
    buffer_empty(&mut conversation);
    conversation.status("NetStream.Pause.Notify");
    let mut events = Vec::new();
    for _ in 0..40 {
        for timestamp in [960, 1_000] {
            frame(&mut conversation, timestamp);
        }
        buffer_empty(&mut conversation);
        events.extend(conversation.advance(SECOND));
    }
    assert_eq!(end(events.remove(0)), End::TimedOut(Timeout::Silence));
    let calls = conversation.sent();
    assert_eq!(calls.iter().filter_map(Sent::summary).count(), 2);
}

#[test]
fn pause_is_tried_once_without_a_silence_timeout() {
    let mut conversation = Conversation::playing(Config {
        pause_unpause: true,
        start: Start::At { ms: 0 },
        timeouts: Timeouts::all(None),
        ..config()
    });
    frame(&mut conversation, 0);
    conversation.advance(SECOND * 10_000);
    let sent = conversation.sent();
    assert_eq!(sent, [pause(4, true, 0), pause(5, false, 0)]);
}

#[test]
fn pause_and_unpause_fit_into_a_short_timeout() {
    let mut conversation = Conversation::playing(Config {
        pause_unpause: true,
        start: Start::At { ms: 0 },
        timeouts: Timeouts::all(Some(SECOND)),
        ..config()
    });
    frame(&mut conversation, 0);
    assert_eq!(conversation.advance(SECOND * 99 / 100).len(), 1);
    let sent = conversation.sent();
    assert_eq!(sent, [pause(4, true, 0), pause(5, false, 0)]);
    let mut events = conversation.advance(SECOND / 50);
    assert_eq!(end(events.remove(0)), End::TimedOut(Timeout::Silence));
}

#[test]
fn refused_pause_is_ended_and_not_tried_again() {
    let mut conversation = recorded();
    buffer_empty(&mut conversation);
    assert_eq!(conversation.sent(), [pause(4, true, 1_000)]);
    conversation.command(answer("_error", 4.0, vec![Value::Null]));
    assert_eq!(conversation.sent(), [pause(5, false, 1_000)]);
    frame(&mut conversation, 1_040);
    conversation.user_control(4, 1);
    conversation.events();
    buffer_empty(&mut conversation);
    assert_eq!(conversation.sent(), []);
    // The silence timeout is no longer halved.
    assert_eq!(conversation.advance(SECOND * 29).len(), 0);
    let mut events = conversation.advance(SECOND);
    assert_eq!(end(events.remove(0)), End::TimedOut(Timeout::Silence));
}
