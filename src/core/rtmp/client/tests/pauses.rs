//! The buffer trick: a pause and its end, to have another buffer's worth.

use super::*;

/// A session that has come to the end of a recorded stream's first buffer.
fn recorded() -> Conversation {
    let mut conversation = Conversation::playing(Config {
        pause_unpause: true,
        ..config()
    });
    conversation.user_control(4, 1);
    frame(&mut conversation, 960);
    frame(&mut conversation, 1_000);
    assert_eq!(conversation.events().len(), 3);
    conversation.said();
    conversation
}

fn frame(conversation: &mut Conversation, timestamp: u32) {
    let name = timestamp.to_be_bytes();
    let body = [&[0x27, 1, 0, 0, 0, 0, 0, 0, 4][..], &name].concat();
    conversation.send(Kind::VIDEO, 1, timestamp, &body);
}

fn pause(transaction: u32, is_pause: bool, at_ms: u32) -> Said {
    Said::Command(1, Command::pause(transaction, is_pause, at_ms))
}

fn buffer_empty(conversation: &mut Conversation) {
    conversation.user_control(31, 1);
}

/// The timestamps of the frames that come out.
fn frames(events: Vec<Event>) -> Vec<u32> {
    let frames = events.into_iter().map(media);
    frames.map(|(_, timestamp, _)| timestamp).collect()
}

#[test]
fn an_empty_buffer_is_filled_by_a_pause_and_its_end() {
    let mut conversation = recorded();
    buffer_empty(&mut conversation);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.said(), [pause(4, true, 1_000)]);
    conversation.user_control(1, 1);
    conversation.status("NetStream.Pause.Notify");
    assert_eq!(conversation.said(), [pause(5, false, 1_000)]);
    conversation.status("NetStream.Unpause.Notify");
    conversation.user_control(0, 1);
    for timestamp in [960, 1_000, 1_040] {
        frame(&mut conversation, timestamp);
    }
    assert_eq!(frames(conversation.events()), [1_040]);
    buffer_empty(&mut conversation);
    conversation.status("NetStream.Pause.Notify");
    let said = conversation.said();
    assert_eq!(said, [pause(6, true, 1_040), pause(7, false, 1_040)]);
}

#[test]
fn the_parts_of_aggregates_are_told_apart_too() {
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
fn a_server_that_does_not_confirm_the_pause_is_told_to_go_on_all_the_same() {
    let mut conversation = recorded();
    buffer_empty(&mut conversation);
    conversation.wait(SECOND * 9 / 10);
    assert_eq!(conversation.said(), [pause(4, true, 1_000)]);
    conversation.wait(SECOND / 5);
    assert_eq!(conversation.said(), [pause(5, false, 1_000)]);
    conversation.status("NetStream.Pause.Notify");
    assert_eq!(conversation.said(), []);
}

#[test]
fn what_is_not_wanted_or_not_known_to_be_recorded_is_not_paused() {
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
    assert_eq!(conversation.said(), []);
    let mut metadata = Object::new();
    metadata.push("duration", 0.0);
    conversation.data(&["onMetaData".into(), Value::EcmaArray(metadata.clone())]);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.said(), []);
    metadata.push("duration", 30.0);
    conversation.data(&["onMetaData".into(), Value::EcmaArray(metadata)]);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.said(), [pause(4, true, 0)]);

    assert_eq!(with(wanted(Start::Live)).said(), []);
    let mut conversation = with(config());
    conversation.user_control(4, 1);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.said(), []);
    let start = Start::At { ms: 0 };
    assert_eq!(with(wanted(start)).said(), [pause(4, true, 0)]);
}

#[test]
fn an_empty_buffer_at_the_end_of_the_stream_is_no_reason_to_pause() {
    let mut conversation = recorded();
    conversation.user_control(1, 1);
    buffer_empty(&mut conversation);
    assert_eq!(conversation.said(), []);
    let mut events = conversation.wait(4 * SECOND);
    assert_eq!(end(events.remove(0)), End::Complete("Stream EOF".into()));
}

#[test]
fn silence_is_met_with_one_try_within_its_bound() {
    let mut conversation = recorded();
    assert!(conversation.wait(SECOND * 149 / 10).is_empty());
    assert_eq!(conversation.said(), []);
    assert!(conversation.wait(SECOND).is_empty());
    assert_eq!(conversation.said(), [pause(4, true, 1_000)]);
    assert!(conversation.wait(SECOND).is_empty());
    assert_eq!(conversation.said(), [pause(5, false, 1_000)]);
    let mut events = conversation.wait(SECOND * 132 / 10);
    assert_eq!(end(events.remove(0)), End::TimedOut(Timeout::Silence));
    assert_eq!(conversation.said(), []);
}

#[test]
fn a_server_that_goes_on_after_silence_can_be_silent_again() {
    let mut conversation = recorded();
    for timestamp in [1_040, 1_080, 1_120] {
        assert!(conversation.wait(SECOND * 16).is_empty());
        conversation.status("NetStream.Pause.Notify");
        frame(&mut conversation, 960);
        assert!(conversation.wait(SECOND * 16).is_empty());
        frame(&mut conversation, timestamp);
        assert_eq!(frames(conversation.events()), [timestamp]);
    }
    let calls = conversation.said();
    assert_eq!(calls.iter().filter_map(Said::call).count(), 6);
}

#[test]
fn a_server_that_says_the_same_again_and_again_is_silent() {
    let mut conversation = recorded();
    buffer_empty(&mut conversation);
    conversation.status("NetStream.Pause.Notify");
    let mut events = Vec::new();
    for _ in 0..40 {
        for timestamp in [960, 1_000] {
            frame(&mut conversation, timestamp);
        }
        buffer_empty(&mut conversation);
        events.extend(conversation.wait(SECOND));
    }
    assert_eq!(end(events.remove(0)), End::TimedOut(Timeout::Silence));
    let calls = conversation.said();
    assert_eq!(calls.iter().filter_map(Said::call).count(), 2);
}

#[test]
fn where_any_silence_is_allowed_the_trick_is_tried_once() {
    let mut conversation = Conversation::playing(Config {
        pause_unpause: true,
        start: Start::At { ms: 0 },
        timeouts: Timeouts::all(None),
        ..config()
    });
    frame(&mut conversation, 0);
    conversation.wait(SECOND * 10_000);
    let said = conversation.said();
    assert_eq!(said, [pause(4, true, 0), pause(5, false, 0)]);
}

#[test]
fn a_short_bound_leaves_time_for_the_try() {
    let mut conversation = Conversation::playing(Config {
        pause_unpause: true,
        start: Start::At { ms: 0 },
        timeouts: Timeouts::all(Some(SECOND)),
        ..config()
    });
    frame(&mut conversation, 0);
    assert_eq!(conversation.wait(SECOND * 99 / 100).len(), 1);
    let said = conversation.said();
    assert_eq!(said, [pause(4, true, 0), pause(5, false, 0)]);
    let mut events = conversation.wait(SECOND / 50);
    assert_eq!(end(events.remove(0)), End::TimedOut(Timeout::Silence));
}
