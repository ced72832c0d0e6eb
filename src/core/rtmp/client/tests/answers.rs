//! What servers ask for, and get.

use super::*;

#[test]
fn a_ping_is_answered_with_its_own_time() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::USER_CONTROL, 0, 0, &[0, 6, 0, 0, 0x0D, 0x0F]);
    let pong = Said::Control(Kind::USER_CONTROL, vec![0, 7, 0, 0, 0x0D, 0x0F]);
    assert_eq!(conversation.said(), [pong]);
}

#[test]
fn the_peers_bandwidth_is_answered_where_it_is_new() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[0, 0x26, 0x25, 0xA0, 2]);
    conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[0, 0x26, 0x25, 0xA0]);
    let size = Said::Control(Kind::WINDOW_ACKNOWLEDGEMENT_SIZE, vec![0, 0x26, 0x25, 0xA0]);
    assert_eq!(conversation.said(), [size]);
}

#[test]
fn bytes_are_acknowledged_at_half_a_window_of_any_size() {
    let mut conversation = Conversation::playing(config());
    conversation.send(
        Kind::WINDOW_ACKNOWLEDGEMENT_SIZE,
        0,
        0,
        &4_096_u32.to_be_bytes(),
    );
    conversation.send(Kind::VIDEO, 1, 0, &[0x27; 1_000]);
    assert_eq!(conversation.said(), []);
    conversation.send(Kind::VIDEO, 1, 0, &[0x27; 1_500]);
    let said = conversation.said();
    let [Said::Control(Kind::ACKNOWLEDGEMENT, count)] = &said[..] else {
        panic!("{said:?}");
    };
    let count = u32::from_be_bytes(count[..].try_into().unwrap());
    assert!((2_500..3_500).contains(&count), "{count}");
    assert_eq!(conversation.said(), []);
}

#[test]
fn a_window_of_0_or_of_4_gib_stops_nothing() {
    let mut conversation = Conversation::playing(config());
    for window in [0, u32::MAX] {
        conversation.send(
            Kind::WINDOW_ACKNOWLEDGEMENT_SIZE,
            0,
            0,
            &window.to_be_bytes(),
        );
        conversation.send(Kind::VIDEO, 1, 0, &[0x27; 1_000]);
        assert_eq!(conversation.said(), []);
    }
}

#[test]
fn a_bandwidth_of_0_is_none() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[0, 0, 0, 0, 2]);
    assert_eq!(conversation.said(), []);
}

#[test]
fn bandwidth_checks_are_answered() {
    let mut conversation = Conversation::playing(config());
    conversation.call(answer("onBWDone", 0.0, vec![Value::Null]));
    conversation.call(answer("_onbwcheck", 11.0, vec![Value::Null]));
    conversation.call(answer("_onbwdone", 0.0, vec![Value::Null]));
    let said = conversation.said();
    let calls: Vec<_> = said.iter().filter_map(Said::call).collect();
    let expected: [(&[u8], f64, u32); 2] = [(b"_checkbw", 4.0, 0), (b"_result", 11.0, 0)];
    assert_eq!(calls, expected);
}

#[test]
fn a_server_that_asks_without_reading_is_left() {
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
