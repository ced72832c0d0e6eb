//! Sessions that end with a timeout.

use super::*;

fn timed_out(events: Vec<Event>) -> Vec<Timeout> {
    let wait = |event| match event {
        Event::Ended(End::TimedOut(wait)) => Some(wait),
        _ => None,
    };
    events.into_iter().filter_map(wait).collect()
}

#[test]
fn silence_times_out_in_every_state() {
    let mut conversation = Conversation::start(config());
    assert_eq!(timed_out(conversation.advance(SECOND * 99 / 10)), []);
    assert_eq!(
        timed_out(conversation.advance(SECOND)),
        [Timeout::Handshake]
    );

    let mut conversation = Conversation::connecting(config());
    assert_eq!(
        timed_out(conversation.advance(10 * SECOND)),
        [Timeout::Connect]
    );

    let mut conversation = Conversation::connecting(config());
    conversation.accept();
    assert_eq!(
        timed_out(conversation.advance(12 * SECOND)),
        [Timeout::CreateStream]
    );

    let mut conversation = Conversation::playing(config());
    assert_eq!(
        timed_out(conversation.advance(30 * SECOND)),
        [Timeout::FirstMedia]
    );

    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    assert_eq!(
        timed_out(conversation.advance(30 * SECOND)),
        [Timeout::Silence]
    );
}

#[test]
fn pings_and_empty_messages_do_not_extend_the_silence_timeout() {
    let mut conversation = Conversation::playing(live());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    let mut events = Vec::new();
    for _ in 0..6 {
        conversation.send(Kind::USER_CONTROL, 0, 0, &[0, 6, 0, 0, 0, 1]);
        conversation.send(Kind::AUDIO, 1, 0, &[]);
        events.extend(conversation.advance(5 * SECOND));
    }
    assert_eq!(timed_out(events), [Timeout::Silence]);
}

#[test]
fn repeated_play_start_does_not_extend_the_first_media_timeout() {
    let mut conversation = Conversation::playing(config());
    let mut events = Vec::new();
    for _ in 0..30 {
        conversation.status("NetStream.Play.Start");
        events.extend(conversation.advance(SECOND));
    }
    assert_eq!(timed_out(events), [Timeout::FirstMedia]);
}

/// Some servers send Play.Start for a stream without a publisher.
#[test]
fn started_stream_has_its_own_first_media_timeout() {
    let timeouts = Timeouts {
        first_media_after_start: Some(100 * SECOND),
        ..Timeouts::default()
    };
    for (is_started, limit) in [(false, 30), (true, 100)] {
        let mut conversation = Conversation::connecting(Config { timeouts, ..live() });
        conversation.accept();
        conversation.stream_created(2, 1.0);
        conversation.events();
        let start = conversation.now;
        if is_started {
            conversation.status("NetStream.Play.Start");
            conversation.events();
        }
        let deadline = conversation.client.poll_timeout();
        assert_eq!(deadline, Some(start + limit * SECOND));
    }
}

#[test]
fn large_message_on_a_slow_connection_is_not_silence() {
    for has_media in [false, true] {
        let mut conversation = Conversation::playing(config());
        if has_media {
            conversation.send(Kind::AUDIO, 1, 0, &[0xAF, 1]);
            conversation.events();
        }
        conversation.send(Kind::VIDEO, 1, 0, &[0x17; 200_000]);
        let mut line = conversation.to_client.split();
        let mut events = Vec::new();
        while !line.is_empty() {
            let piece = line.split_to(line.len().min(20_000));
            conversation.to_client.unsplit(piece);
            events.extend(conversation.advance(20 * SECOND));
        }
        assert_eq!(timed_out(events), []);
    }
}

#[test]
fn trickling_message_counts_as_silence() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17; 200_000]);
    let mut line = conversation.to_client.split();
    let mut events = Vec::new();
    for _ in 0..40 {
        let piece = line.split_to(100);
        conversation.to_client.unsplit(piece);
        events.extend(conversation.advance(SECOND));
    }
    assert_eq!(timed_out(events), [Timeout::FirstMedia]);
}

#[test]
fn media_timeouts_restart_after_the_client_stopped_reading() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    conversation.advance(20 * SECOND);
    conversation.client.restart_media_timeouts(conversation.now);
    assert_eq!(timed_out(conversation.advance(29 * SECOND)), []);
    assert_eq!(timed_out(conversation.advance(SECOND)), [Timeout::Silence]);
}

#[test]
fn user_timeout_applies_to_every_state_and_none_waits_forever() {
    let bounded = |bound| Config {
        timeouts: Timeouts::all(bound),
        ..config()
    };
    let mut conversation = Conversation::connecting(bounded(Some(3 * SECOND)));
    assert_eq!(
        timed_out(conversation.advance(3 * SECOND)),
        [Timeout::Connect]
    );
    for seconds in 1..=3 {
        let bound = seconds * SECOND;
        let mut conversation = Conversation::connecting(bounded(Some(bound)));
        conversation.accept();
        assert_eq!(
            timed_out(conversation.advance(bound)),
            [Timeout::CreateStream]
        );
    }
    let mut conversation = Conversation::playing(bounded(Some(3 * SECOND)));
    assert_eq!(
        timed_out(conversation.advance(3 * SECOND)),
        [Timeout::FirstMedia]
    );
    let mut conversation = Conversation::playing(bounded(None));
    assert_eq!(timed_out(conversation.advance(10_000 * SECOND)), []);
}

#[test]
fn pipelined_connect_times_out_after_half_the_limit() {
    for (pipelining, limit) in [(true, 5 * SECOND), (false, 10 * SECOND)] {
        let mut conversation = Conversation::connecting(Config {
            pipelining,
            ..config()
        });
        assert_eq!(timed_out(conversation.advance(limit - SECOND)), []);
        let expected = [Timeout::Connect];
        assert_eq!(timed_out(conversation.advance(SECOND)), expected);
    }
}

#[test]
fn events_do_not_depend_on_timeouts() {
    let events = |timeouts| {
        let mut conversation = Conversation::playing(Config {
            pause_unpause: true,
            timeouts,
            ..config()
        });
        conversation.user_control(4, 1);
        conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
        conversation.user_control(31, 1);
        conversation.status("NetStream.Pause.Notify");
        conversation.user_control(1, 1);
        conversation.user_control(0, 1);
        conversation.send(Kind::VIDEO, 1, 40, &[0x27, 1]);
        conversation.user_control(1, 1);
        conversation.user_control(0, 1);
        conversation.user_control(1, 1);
        format!("{:?}", conversation.advance(4 * SECOND))
    };
    let expected = events(Timeouts::default());
    assert!(expected.contains("Complete(\"Stream EOF\")"), "{expected}");
    assert_eq!(events(Timeouts::all(None)), expected);
}

#[test]
fn silence_after_a_burst_announces_a_buffer_of_minutes() {
    let mut conversation = Conversation::playing(config());
    for second in 0..=12 {
        conversation.send(Kind::VIDEO, 1, second * 1_000, &[0x27, 1]);
    }
    conversation.sent();
    conversation.advance(SECOND * 9 / 10);
    assert_eq!(conversation.sent(), []);
    conversation.advance(SECOND);
    assert_eq!(conversation.sent(), [Sent::buffer_length(1, 311_000)]);
    // A stream that is about to end needs no more.
    conversation.send(Kind::VIDEO, 1, 13_000, &[0x27, 1]);
    conversation.user_control(1, 1);
    conversation.advance(SECOND * 2);
    assert_eq!(conversation.sent(), []);
}
