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

/// Lets `step` send messages every second until the client ends the session. Returns the seconds that
/// have passed, and the end.
fn seconds_until_end(
    conversation: &mut Conversation,
    mut step: impl FnMut(&mut Conversation),
) -> (u64, End) {
    let start = conversation.now;
    for _ in 0..1_000 {
        step(conversation);
        let mut events = conversation.advance(SECOND);
        if let Some(Event::Ended(end)) = events.pop() {
            return ((conversation.now - start).as_secs(), end);
        }
    }
    panic!("the session did not end");
}

#[test]
fn end_and_begin_without_frames_restart_the_timeout_once() {
    let stream_eof = |conversation: &mut Conversation| conversation.user_control(1, 1);
    let stream_begin = |conversation: &mut Conversation| conversation.user_control(0, 1);
    for begin in [stream_begin, |conversation: &mut Conversation| {
        conversation.status("NetStream.Play.Start");
    }] {
        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
        conversation.advance(10 * SECOND);
        let (seconds, end) = seconds_until_end(&mut conversation, |conversation| {
            stream_eof(conversation);
            begin(conversation);
        });
        assert_eq!((seconds, end), (30, End::TimedOut(Timeout::Silence)));
    }
}

#[test]
fn interrupted_end_of_stream_is_confirmed_after_three_seconds_in_all() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
    let mut is_over = false;
    let (seconds, end) = seconds_until_end(&mut conversation, |conversation| {
        is_over = !is_over;
        conversation.user_control(u16::from(is_over), 1);
    });
    assert_eq!((seconds, end), (5, End::Complete("Stream EOF".into())));
}

#[test]
fn repeated_stream_eof_does_not_postpone_the_end() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
    let eof = |conversation: &mut Conversation| conversation.user_control(1, 1);
    let (seconds, end) = seconds_until_end(&mut conversation, eof);
    assert_eq!((seconds, end), (3, End::Complete("Stream EOF".into())));
}

fn republishing() -> Conversation {
    let mut conversation = Conversation::playing(Config {
        republish_wait: SECOND * 100,
        ..live()
    });
    conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
    conversation.events();
    conversation
}

#[test]
fn unpublish_and_publish_without_frames_do_not_extend_the_waits() {
    // The stream is unpublished for some seconds, then published for one.
    let ends = [0, 1, 9].map(|unpublished| {
        let mut conversation = republishing();
        let mut seconds = 0..;
        seconds_until_end(&mut conversation, |conversation| {
            let second = seconds.next().unwrap_or(0) % (unpublished + 1);
            if second == 0 {
                conversation.status("NetStream.Play.UnpublishNotify");
            }
            if second == unpublished {
                conversation.status("NetStream.Play.PublishNotify");
            }
        })
    });
    let silence = End::TimedOut(Timeout::Silence);
    let unpublished = End::Unpublished("NetStream.Play.UnpublishNotify".into());
    assert_eq!(
        ends,
        [(30, silence.clone()), (60, silence), (111, unpublished)]
    );
}

#[test]
fn wait_for_a_publisher_is_not_silence() {
    let mut conversation = republishing();
    for wait in [50, 40] {
        conversation.status("NetStream.Play.UnpublishNotify");
        assert_eq!(conversation.advance(SECOND * wait).len(), 0);
        conversation.status("NetStream.Play.PublishNotify");
        let events = conversation.advance(SECOND * 14);
        assert!(!events.iter().any(|event| matches!(event, Event::Ended(_))));
    }
    // A frame restores both waits.
    conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
    conversation.status("NetStream.Play.UnpublishNotify");
    assert_eq!(timed_out(conversation.advance(SECOND * 99)), []);
    conversation.status("NetStream.Play.PublishNotify");
    assert_eq!(timed_out(conversation.advance(SECOND * 29)), []);
    assert_eq!(timed_out(conversation.advance(SECOND)), [Timeout::Silence]);
}

#[test]
fn sequence_headers_do_not_extend_the_silence_timeout() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x27, 1]);
    let (seconds, end) = seconds_until_end(&mut conversation, |conversation| {
        conversation.send(Kind::AUDIO, 1, 0, &[0xAF, 0, 0x12, 0x10]);
    });
    assert_eq!((seconds, end), (30, End::TimedOut(Timeout::Silence)));
}

#[test]
fn growing_message_extends_the_timeouts_up_to_ten_times() {
    for (has_media, timeout) in [(true, Timeout::Silence), (false, Timeout::FirstMedia)] {
        for kind in [Kind::VIDEO, Kind::DATA] {
            let mut conversation = Conversation::playing(config());
            if has_media {
                conversation.send(Kind::AUDIO, 1, 0, &[0xAF, 1]);
            }
            conversation.events();
            conversation.send(kind, 1, 0, &vec![0x17; 16_000_000]);
            let mut line = conversation.to_client.split();
            let (seconds, end) = seconds_until_end(&mut conversation, |conversation| {
                let piece = line.split_to(5_000);
                conversation.to_client.unsplit(piece);
            });
            assert!((300..=330).contains(&seconds), "{seconds}");
            assert_eq!(end, End::TimedOut(timeout));
        }
    }
}

#[test]
fn growing_messages_without_media_extend_the_timeout_up_to_ten_times() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::AUDIO, 1, 0, &[0xAF, 1]);
    conversation.events();
    let mut line = BytesMut::new();
    let (seconds, end) = seconds_until_end(&mut conversation, |conversation| {
        if line.len() < 5_000 {
            conversation.send(Kind::DATA, 1, 0, &[0; 20_000]);
            line.unsplit(conversation.to_client.split());
        }
        let piece = line.split_to(5_000);
        conversation.to_client.unsplit(piece);
    });
    assert!((300..=330).contains(&seconds), "{seconds}");
    assert_eq!(end, End::TimedOut(Timeout::Silence));
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
