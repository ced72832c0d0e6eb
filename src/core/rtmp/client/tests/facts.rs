//! Facts that the client collects about a session.

use super::{
    super::facts::{
        HandshakeFacts, MASK, MAX_CALLS, MAX_FIRST_MESSAGES, MAX_MEMBERS, MAX_STATUSES,
        MemberValue, MessageHead, S2Check,
    },
    *,
};

const KEYFRAME: [u8; 9] = [0x17, 1, 0, 0, 0, 0, 0, 0, 1];
const INTER_FRAME: [u8; 9] = [0x27, 1, 0, 0, 0, 0, 0, 0, 1];
const SEQUENCE_HEADER: [u8; 10] = [0x17, 0, 0, 0, 0, 1, 100, 0, 31, 0xFF];

fn object(members: &[(&str, Value)]) -> Value {
    Value::Object(
        members
            .iter()
            .map(|(name, value)| (*name, value.clone()))
            .collect(),
    )
}

fn described(code: &str, description: &str) -> Command {
    let information = object(&[
        ("level", "status".into()),
        ("code", code.into()),
        ("description", description.into()),
    ]);
    answer("onStatus", 0.0, vec![Value::Null, information])
}

#[test]
fn the_handshake_and_the_first_byte_are_recorded() {
    let mut conversation = Conversation::start(config());
    let start = conversation.now;
    let mut c0_c1 = BytesMut::new();
    conversation.client.poll_transmit(&mut c0_c1).unwrap();
    conversation.now = start + Duration::from_millis(20);
    conversation.to_client.extend_from_slice(&[3]);
    conversation.events();
    assert_eq!(conversation.client.facts().first_byte, Some(3));
    assert_eq!(conversation.client.facts().handshake, None);

    conversation.now = start + Duration::from_millis(30);
    let s1 = [&[0, 0, 1, 2, 3, 5, 1, 1][..], &[7; 1528]].concat();
    conversation.to_client.extend_from_slice(&s1);
    conversation.to_client.extend_from_slice(&c0_c1[1..]);
    conversation.events();
    let facts = conversation.client.facts();
    let expected = HandshakeFacts {
        version: 3,
        server_time: 0x102,
        server_version: [3, 5, 1, 1],
        digest: None,
        s2: S2Check::Echo,
        encryption: None,
    };
    assert_eq!(facts.handshake, Some(expected));
    assert_eq!(facts.steps.first_byte, Some(Duration::from_millis(20)));
    assert_eq!(facts.steps.handshake, Some(Duration::from_millis(30)));
    assert_eq!(
        facts.round_trips.shortest(),
        Some(Duration::from_millis(20))
    );
}

#[test]
fn answers_of_the_server_are_kept_on_request_only() {
    for keeps_answers in [true, false] {
        let mut conversation = Conversation::start(config());
        let mut rng = StdRng::seed_from_u64(1);
        conversation.client = Client::new(config(), conversation.now, &mut rng);
        if keeps_answers {
            conversation.client.keep_answers();
        }
        conversation.shake_hands();
        conversation.accept();
        conversation.status("NetStream.Play.Start");
        conversation.command(answer("onBWDone", 0.0, vec![Value::Null]));
        conversation.events();
        let facts = conversation.client.facts();
        assert!(facts.steps.connect_answer.is_some() && facts.steps.play_start.is_some());
        assert_eq!(facts.connect_answer.is_some(), keeps_answers);
        let is_empty = [
            facts.statuses.is_empty(),
            facts.calls.is_empty(),
            facts.first_messages.is_empty(),
        ];
        assert_eq!(is_empty, [!keeps_answers; 3]);
    }
}

#[test]
fn a_server_that_does_not_speak_rtmp_leaves_its_first_byte() {
    let mut conversation = Conversation::start(config());
    conversation.to_client.extend_from_slice(&[0xFE]);
    let received = conversation
        .client
        .receive(conversation.now, &mut conversation.to_client);
    assert!(received.is_err());
    let facts = conversation.client.facts();
    assert_eq!(facts.first_byte, Some(0xFE));
    assert_eq!(facts.handshake, None);
}

#[test]
fn each_step_has_its_time_since_the_start() {
    let mut conversation = Conversation::connecting(config());
    let mut elapsed = Duration::ZERO;
    let mut later = |conversation: &mut Conversation| {
        let step = Duration::from_millis(10);
        elapsed += step;
        conversation.advance(step);
        Some(elapsed)
    };
    let connected = later(&mut conversation);
    conversation.accept();
    let created = later(&mut conversation);
    conversation.stream_created(2, 1.0);
    let reset = later(&mut conversation);
    conversation.status("NetStream.Play.Reset");
    let started = later(&mut conversation);
    conversation.status("NetStream.Play.Start");
    let described = later(&mut conversation);
    let metadata = object(&[("duration", 12.5.into())]);
    conversation.data(&["onMetaData".into(), metadata]);
    let media = later(&mut conversation);
    conversation.send(Kind::VIDEO, 1, 0, &SEQUENCE_HEADER);
    let frame = later(&mut conversation);
    conversation.send(Kind::VIDEO, 1, 0, &INTER_FRAME);
    let keyframe = later(&mut conversation);
    conversation.send(Kind::VIDEO, 1, 40, &KEYFRAME);
    later(&mut conversation);
    conversation.status("NetStream.Play.Start");
    conversation.send(Kind::VIDEO, 1, 80, &KEYFRAME);
    conversation.events();

    let facts = conversation.client.facts();
    let steps = facts.steps;
    assert_eq!(steps.connect_answer, connected);
    assert_eq!(steps.create_stream_answer, created);
    assert_eq!(steps.play_reset, reset);
    assert_eq!(steps.play_start, started);
    assert_eq!(steps.metadata, described);
    assert_eq!(steps.media, media);
    assert_eq!(steps.frame, frame);
    assert_eq!(steps.keyframe, keyframe);
    assert_eq!(facts.round_trips.connect, connected);
    assert_eq!(facts.round_trips.first_media, media);
    assert_eq!(facts.announced_duration_s, Some(12.5));
    assert_eq!(facts.created_stream, Some(1));
    assert_eq!(facts.media_stream, Some(1));
    assert_eq!(facts.messages.of(Kind::VIDEO), 4);
    assert_eq!(facts.messages.of(Kind::COMMAND), 5);
}

#[test]
fn the_answer_to_connect_keeps_its_members_in_order() {
    let mut conversation = Conversation::connecting(config());
    let properties = object(&[
        ("fmsVer", "FMS/5,0,7,7055".into()),
        ("capabilities", 127.0.into()),
        ("mode", 1.0.into()),
    ]);
    let information = object(&[
        ("level", "status".into()),
        ("code", "NetConnection.Connect.Success".into()),
        ("objectEncoding", 3.0.into()),
        ("data", object(&[("version", "5,0,7,7055".into())])),
        ("capsEx", 7.0.into()),
        (
            "fourCcList",
            Value::StrictArray(vec!["hvc1".into(), "av01".into()]),
        ),
        (
            "videoFourCcInfoMap",
            object(&[("vp09", 4.0.into()), ("hvc1", 4.0.into())]),
        ),
        ("secureToken", "0011".into()),
        ("open", true.into()),
        ("nothing", Value::Null),
    ]);
    conversation.command(answer("_result", 1.0, vec![properties, information]));
    conversation.events();
    let facts = conversation.client.facts();
    let connect = facts.connect_answer.as_ref().unwrap();
    assert!(connect.is_accepted && connect.is_enhanced());
    assert_eq!(connect.fms_ver(), Some("FMS/5,0,7,7055"));
    assert_eq!(connect.capabilities(), Some(127.0));
    assert_eq!(connect.mode(), Some(1.0));
    assert_eq!(connect.object_encoding(), Some(3.0));
    assert_eq!(connect.caps_ex(), Some(7.0));
    assert_eq!(connect.data_version(), Some("5,0,7,7055"));
    assert_eq!(connect.four_ccs, ["hvc1", "av01", "vp09"]);
    let names: Vec<_> = connect
        .properties
        .iter()
        .map(|member| member.name.as_str())
        .collect();
    assert_eq!(names, ["fmsVer", "capabilities", "mode"]);
    let value = |name| connect.find(name).cloned();
    assert_eq!(value("fourCcList"), Some(MemberValue::List(2)));
    assert_eq!(value("videoFourCcInfoMap"), Some(MemberValue::Object(2)));
    assert_eq!(value("secureToken"), Some(MemberValue::Text(MASK.into())));
    assert_eq!(value("open"), Some(MemberValue::Boolean(true)));
    assert_eq!(value("nothing"), Some(MemberValue::Other));
    assert!(facts.needs_secure_token);
}

#[test]
fn a_refused_connect_is_recorded_without_the_login_challenge() {
    let mut conversation = Conversation::connecting(config());
    let refusal = object(&[
        ("level", "error".into()),
        ("code", "NetConnection.Connect.Rejected".into()),
        (
            "description",
            "[ authmod=adobe ] : ?reason=needauth&user=joe&salt=s4lt&challenge=ch4llenge".into(),
        ),
    ]);
    conversation.command(answer("_error", 1.0, vec![Value::Null, refusal]));
    conversation.events();
    let facts = conversation.client.facts();
    assert!(!facts.connect_answer.as_ref().unwrap().is_accepted);
    assert_eq!(facts.login_scheme.as_deref(), Some("adobe"));
    assert_eq!(facts.statuses.len(), 1);
    assert_eq!(facts.statuses[0].code, "NetConnection.Connect.Rejected");
    let text = format!("{facts:?}");
    for secret in ["joe", "s4lt", "ch4llenge"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn secrets_in_texts_of_the_server_are_masked() {
    let mut with_secrets = config();
    with_secrets.playpath = "live_key_7f3a?token=s3cr3t".into();
    with_secrets.connect.tc_url = "rtmp://server.example/vod?auth=hidden".into();
    with_secrets.connect.arguments = vec!["passw0rd".into()];
    let mut conversation = Conversation::connecting(with_secrets);
    conversation.accept();
    conversation.stream_created(2, 1.0);
    let text = "Playing live_key_7f3a?token=s3cr3t for auth=hidden, token=s3cr3t and passw0rd.";
    conversation.command(described("NetStream.Play.Start", text));
    conversation.events();
    let facts = conversation.client.facts();
    assert_eq!(
        facts.statuses[0].description,
        format!("Playing {MASK} for {MASK}, {MASK} and {MASK}.")
    );
    let text = format!("{facts:?}");
    for secret in ["live_key_7f3a", "s3cr3t", "hidden", "passw0rd"] {
        assert!(!text.contains(secret), "{secret} in {text}");
    }
}

#[test]
fn short_secrets_are_masked_after_their_names() {
    let mut with_secrets = config();
    with_secrets.playpath = "cam?key=1".into();
    with_secrets.connect.arguments = vec!["pw12".into(), "Play".into()];
    let mut conversation = Conversation::connecting(with_secrets);
    conversation.accept();
    conversation.stream_created(2, 1.0);
    let text = "1 stream with key=1, Key '1' and key=12 for pw12.";
    conversation.command(described("NetStream.Play.Start", text));
    conversation.events();
    let status = &conversation.client.facts().statuses[0];
    assert_eq!(status.code, "NetStream.Play.Start");
    assert_eq!(
        status.description,
        format!("1 stream with key={MASK}, Key '{MASK}' and key=12 for {MASK}.")
    );
}

#[test]
fn a_secret_at_the_end_of_a_long_member_is_masked() {
    let mut with_secrets = config();
    with_secrets.playpath = "live_key_7f3a".into();
    let mut conversation = Conversation::connecting(with_secrets);
    let long = format!("{}live_key_7f3a", "x".repeat(195));
    let information = object(&[("code", "A".into()), ("details", long.as_str().into())]);
    conversation.command(answer("_result", 1.0, vec![Value::Null, information]));
    conversation.events();
    let text = format!("{:?}", conversation.client.facts());
    assert!(text.contains("xxx…") && !text.contains("live_"), "{text}");
}

#[test]
fn control_messages_are_recorded() {
    let mut conversation = Conversation::playing(config());
    conversation.send(
        Kind::WINDOW_ACKNOWLEDGEMENT_SIZE,
        0,
        0,
        &[0, 0x4C, 0x4B, 0x40],
    );
    conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[0, 0x4C, 0x4B, 0x40, 2]);
    conversation.send(Kind::SET_CHUNK_SIZE, 0, 0, &[0, 0, 0x10, 0]);
    conversation.encoder.set_chunk_size(4096);
    for event in [0, 4, 6, 6, 31, 32, 2, 99] {
        conversation.user_control(event, 1);
    }
    conversation.events();
    let facts = conversation.client.facts();
    assert_eq!(facts.window, Some(5_000_000));
    assert_eq!(facts.peer_bandwidth, Some((5_000_000, Some(2))));
    assert_eq!(facts.chunk_size, Some(4096));
    let control = facts.control;
    assert_eq!(control.stream_begin, 1);
    assert_eq!(control.stream_is_recorded, 1);
    assert_eq!(control.ping_request, 2);
    assert_eq!((control.buffer_empty, control.buffer_ready), (1, 1));
    assert_eq!((control.stream_dry, control.other), (1, 1));
    assert_eq!(facts.malformed, 0);
}

#[test]
fn malformed_and_unknown_messages_are_counted() {
    let mut conversation = Conversation::playing(config());
    let before = conversation.client.facts().clone();
    conversation.send(Kind::USER_CONTROL, 0, 0, &[0]);
    conversation.send(Kind::WINDOW_ACKNOWLEDGEMENT_SIZE, 0, 0, &[0, 0, 1]);
    conversation.send(Kind::SET_PEER_BANDWIDTH, 0, 0, &[]);
    conversation.send(Kind::COMMAND, 0, 0, &[0xFF]);
    conversation.send(Kind::DATA, 1, 0, &[0xFF]);
    conversation.send(Kind::DATA, 1, 0, b"\x02\0\x0aonMetaData\x03\0\x01a\0");
    conversation.send(Kind(77), 0, 0, &[1]);
    conversation.send(Kind(7), 0, 0, &[1]);
    conversation.events();
    let facts = conversation.client.facts();
    assert_eq!(facts.malformed, 6);
    assert_eq!(facts.messages.unknown(), 2);
    assert_eq!(facts.messages.of(Kind(7)), 1);
    assert!(facts.received_bytes > before.received_bytes);
}

#[test]
fn messages_inside_of_aggregates_are_counted() {
    let mut conversation = Conversation::playing(config());
    let mut aggregate = Vec::new();
    for frame in [KEYFRAME, INTER_FRAME] {
        aggregate.extend_from_slice(&[9, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0]);
        aggregate.extend_from_slice(&frame);
        aggregate.extend_from_slice(&20_u32.to_be_bytes());
    }
    conversation.send(Kind::AGGREGATE, 1, 0, &aggregate);
    conversation.events();
    let facts = conversation.client.facts();
    assert_eq!(facts.messages.of(Kind::AGGREGATE), 1);
    assert_eq!(facts.messages.of(Kind::VIDEO), 2);
    assert!(facts.steps.keyframe.is_some());
}

#[test]
fn lists_of_a_hostile_server_are_bounded() {
    let mut conversation = Conversation::connecting(config());
    let members: Vec<_> = (0..1000)
        .map(|number| (format!("{number:->500}"), Value::from("x".repeat(1000))))
        .collect();
    let members = Value::Object(members.into_iter().collect());
    conversation.command(answer("_result", 1.0, vec![members, info("status", "A")]));
    for number in 0..1000 {
        let name = format!("call{number:0>400}");
        conversation.command(answer(&name, 0.0, Vec::new()));
        conversation.status(&format!("Code.{number}"));
    }
    conversation.events();
    let facts = conversation.client.facts();
    let connect = facts.connect_answer.as_ref().unwrap();
    assert_eq!(connect.properties.len(), MAX_MEMBERS);
    assert_eq!(connect.omitted_members, 1000 - MAX_MEMBERS);
    assert_eq!(facts.statuses.len(), MAX_STATUSES);
    assert_eq!(
        facts.calls.len(),
        1,
        "long names that start alike are one name"
    );
    assert!(facts.calls.len() <= MAX_CALLS);
    assert_eq!(facts.first_messages.len(), MAX_FIRST_MESSAGES);
    assert_eq!(
        facts.first_messages[0],
        MessageHead {
            kind: Kind::COMMAND,
            chunk_stream: 5,
            message_stream: 0
        }
    );
    assert!(format!("{facts:?}").len() < 64 * 1024);
}
