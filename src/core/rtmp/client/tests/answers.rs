//! Requests from servers and the answers of the client.

use super::*;

#[test]
fn ping_is_answered_with_its_timestamp() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::USER_CONTROL, 0, 0, &[0, 6, 0, 0, 0x0D, 0x0F]);
    let pong = Sent::Control(Kind::USER_CONTROL, vec![0, 7, 0, 0, 0x0D, 0x0F]);
    assert_eq!(conversation.sent(), [pong]);
}

#[test]
fn new_peer_bandwidth_is_answered_with_a_window_size() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[0, 0x26, 0x25, 0xA0, 2]);
    conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[0, 0x26, 0x25, 0xA0]);
    let size = Sent::Control(Kind::WINDOW_ACKNOWLEDGEMENT_SIZE, vec![0, 0x26, 0x25, 0xA0]);
    assert_eq!(conversation.sent(), [size]);
}

#[test]
fn bytes_are_acknowledged_after_half_a_window() {
    let mut conversation = Conversation::playing(config());
    conversation.send(
        Kind::WINDOW_ACKNOWLEDGEMENT_SIZE,
        0,
        0,
        &4_096_u32.to_be_bytes(),
    );
    conversation.send(Kind::VIDEO, 1, 0, &[0x27; 1_000]);
    assert_eq!(conversation.sent(), []);
    conversation.send(Kind::VIDEO, 1, 0, &[0x27; 1_500]);
    let sent = conversation.sent();
    let [Sent::Control(Kind::ACKNOWLEDGEMENT, count)] = &sent[..] else {
        panic!("{sent:?}");
    };
    let count = u32::from_be_bytes(count[..].try_into().unwrap());
    assert!((2_500..3_500).contains(&count), "{count}");
    assert_eq!(conversation.sent(), []);
}

#[test]
fn window_of_0_or_4_gib_is_harmless() {
    let mut conversation = Conversation::playing(config());
    for window in [0, u32::MAX] {
        conversation.send(
            Kind::WINDOW_ACKNOWLEDGEMENT_SIZE,
            0,
            0,
            &window.to_be_bytes(),
        );
        conversation.send(Kind::VIDEO, 1, 0, &[0x27; 1_000]);
        assert_eq!(conversation.sent(), []);
    }
}

#[test]
fn bandwidth_of_0_is_ignored() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[0, 0, 0, 0, 2]);
    assert_eq!(conversation.sent(), []);
}

#[test]
fn bandwidth_checks_are_answered() {
    let mut conversation = Conversation::playing(config());
    conversation.command(answer("onBWDone", 0.0, vec![Value::Null]));
    conversation.command(answer("_onbwcheck", 11.0, vec![Value::Null]));
    conversation.command(answer("_onbwdone", 0.0, vec![Value::Null]));
    let sent = conversation.sent();
    let calls: Vec<_> = sent.iter().filter_map(Sent::summary).collect();
    let expected: [(&[u8], f64, u32); 2] = [(b"_checkbw", 4.0, 0), (b"_result", 11.0, 0)];
    assert_eq!(calls, expected);
}

#[test]
fn unread_answers_end_the_session() {
    let mut conversation = Conversation::playing(config());
    let ping = [0, 6, 0, 0, 0, 0];
    let mut unread = BytesMut::new();
    let sent = (0..MAX_UNSENT).try_for_each(|_| {
        conversation.send(Kind::USER_CONTROL, 0, 0, &ping);
        let now = conversation.now;
        conversation
            .client
            .receive(now, &mut conversation.to_client)?;
        conversation.client.poll_transmit(&mut unread)
    });
    assert!(matches!(sent, Err(Error::AnswersUnread(_))));
}
