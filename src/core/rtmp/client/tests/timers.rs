//! How sessions end by silence.

use super::*;

fn timed_out(events: Vec<Event>) -> Vec<Timeout> {
    let wait = |event| match event {
        Event::Ended(End::TimedOut(wait)) => Some(wait),
        _ => None,
    };
    events.into_iter().filter_map(wait).collect()
}

#[test]
fn a_silent_server_times_out_at_every_step() {
    let mut conversation = Conversation::begun(config());
    assert_eq!(timed_out(conversation.wait(SECOND * 99 / 10)), []);
    assert_eq!(timed_out(conversation.wait(SECOND)), [Timeout::Handshake]);

    let mut conversation = Conversation::with(config());
    assert_eq!(
        timed_out(conversation.wait(10 * SECOND)),
        [Timeout::Connect]
    );

    let mut conversation = Conversation::with(config());
    conversation.accept();
    assert_eq!(
        timed_out(conversation.wait(12 * SECOND)),
        [Timeout::CreateStream]
    );

    let mut conversation = Conversation::playing(config());
    assert_eq!(
        timed_out(conversation.wait(30 * SECOND)),
        [Timeout::FirstMedia]
    );

    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    assert_eq!(
        timed_out(conversation.wait(30 * SECOND)),
        [Timeout::Silence]
    );
}

#[test]
fn neither_pings_nor_empty_messages_are_media() {
    let mut conversation = Conversation::playing(live());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    let mut events = Vec::new();
    for _ in 0..6 {
        conversation.send(Kind::USER_CONTROL, 0, 0, &[0, 6, 0, 0, 0, 1]);
        conversation.send(Kind::AUDIO, 1, 0, &[]);
        events.extend(conversation.wait(5 * SECOND));
    }
    assert_eq!(timed_out(events), [Timeout::Silence]);
}

#[test]
fn a_server_that_starts_and_starts_is_not_waited_for_any_longer() {
    let mut conversation = Conversation::playing(config());
    let mut events = Vec::new();
    for _ in 0..30 {
        conversation.status("NetStream.Play.Start");
        events.extend(conversation.wait(SECOND));
    }
    assert_eq!(timed_out(events), [Timeout::FirstMedia]);
}

#[test]
fn a_large_message_on_a_slow_line_is_no_silence() {
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
            events.extend(conversation.wait(20 * SECOND));
        }
        assert_eq!(timed_out(events), []);
    }
}

#[test]
fn a_message_that_drips_is_silence() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17; 200_000]);
    let mut line = conversation.to_client.split();
    let mut events = Vec::new();
    for _ in 0..40 {
        let piece = line.split_to(100);
        conversation.to_client.unsplit(piece);
        events.extend(conversation.wait(SECOND));
    }
    assert_eq!(timed_out(events), [Timeout::FirstMedia]);
}

#[test]
fn waits_begin_anew_after_a_pause_of_our_own() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
    conversation.wait(20 * SECOND);
    conversation.client.restart_media_timeouts(conversation.now);
    assert_eq!(timed_out(conversation.wait(29 * SECOND)), []);
    assert_eq!(timed_out(conversation.wait(SECOND)), [Timeout::Silence]);
}

#[test]
fn a_bound_of_the_users_own_holds_for_each_wait_and_none_waits_for_ever() {
    let bounded = |bound| Config {
        timeouts: Timeouts::all(bound),
        ..config()
    };
    let mut conversation = Conversation::with(bounded(Some(3 * SECOND)));
    assert_eq!(timed_out(conversation.wait(3 * SECOND)), [Timeout::Connect]);
    for seconds in 1..=3 {
        let bound = seconds * SECOND;
        let mut conversation = Conversation::with(bounded(Some(bound)));
        conversation.accept();
        assert_eq!(timed_out(conversation.wait(bound)), [Timeout::CreateStream]);
    }
    let mut conversation = Conversation::playing(bounded(Some(3 * SECOND)));
    assert_eq!(
        timed_out(conversation.wait(3 * SECOND)),
        [Timeout::FirstMedia]
    );
    let mut conversation = Conversation::playing(bounded(None));
    assert_eq!(timed_out(conversation.wait(10_000 * SECOND)), []);
}
