//! Sessions as conversations with a scripted server, on a clock that only the test moves.

use rand::{SeedableRng, rngs::StdRng};

use super::{
    config::{BufferLength, Connect, Timeouts},
    *,
};
use crate::{
    amf::{Value, amf0},
    rtmp::{command::Status, handshake},
};

/// A session, the server that it talks to, and the time.
struct Conversation {
    client: Client,
    now: Instant,
    decoder: chunk::Decoder,
    encoder: chunk::Encoder,
    to_client: BytesMut,
    to_server: BytesMut,
}

impl Conversation {
    /// Begins with the plain handshake done.
    fn with(config: Config) -> Self {
        let now = Instant::now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut conversation = Self {
            client: Client::new(config, now, &mut rng),
            now,
            decoder: chunk::Decoder::new(),
            encoder: chunk::Encoder::new(),
            to_client: BytesMut::new(),
            to_server: BytesMut::new(),
        };
        let mut c0_c1 = BytesMut::new();
        conversation.client.poll_transmit(&mut c0_c1).unwrap();
        assert_eq!(c0_c1.len(), 1537);
        conversation.to_client.extend_from_slice(&[3]);
        conversation.to_client.extend_from_slice(&[0; 1536]);
        conversation.to_client.extend_from_slice(&c0_c1[1..]);
        assert!(conversation.events().is_empty());
        let c2 = conversation.to_server.split_to(1536);
        assert_eq!(&c2[..], [0; 1536]);
        conversation
    }

    /// Begins with everything said and answered, up to Play.Start.
    fn playing(config: Config) -> Self {
        let mut conversation = Self::with(config);
        conversation.accept();
        conversation.created(2, 1.0);
        conversation.status("NetStream.Play.Start");
        let events = conversation.events();
        assert!(matches!(events[..], [Event::Connected, Event::Started]));
        conversation.said();
        conversation
    }

    /// Lets the client receive, and gathers what it says and sends.
    fn events(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        loop {
            let received = self.client.receive(self.now, &mut self.to_client);
            let before = events.len();
            while let Some(event) = self.client.poll_event() {
                events.push(event);
            }
            received.unwrap();
            if events.len() == before {
                break;
            }
        }
        self.client.poll_transmit(&mut self.to_server).unwrap();
        events
    }

    fn only_event(&mut self) -> Event {
        let mut events = self.events();
        assert_eq!(events.len(), 1, "{events:?}");
        events.remove(0)
    }

    /// What the client has sent, message by message.
    fn said(&mut self) -> Vec<Said> {
        self.events();
        let mut said = Vec::new();
        while let Some(message) = self.decoder.decode(&mut self.to_server).unwrap() {
            said.push(Said::of(&message));
        }
        assert!(self.to_server.is_empty());
        said
    }

    fn send(&mut self, kind: Kind, stream: u32, timestamp: u32, payload: &[u8]) {
        let timestamp = Timestamp(timestamp);
        self.encoder
            .encode(5, kind, stream, timestamp, payload, &mut self.to_client)
            .unwrap();
    }

    fn call(&mut self, command: Command) {
        let mut body = Vec::new();
        command.write(&mut body);
        self.send(Kind::COMMAND, 0, 0, &body);
    }

    fn accept(&mut self) {
        let info = info("status", "NetConnection.Connect.Success");
        self.call(answer(
            "_result",
            1.0,
            vec![Value::Object(Object::new()), info],
        ));
    }

    fn created(&mut self, transaction: u32, stream: f64) {
        let id = Value::Number(stream);
        self.call(answer(
            "_result",
            f64::from(transaction),
            vec![Value::Null, id],
        ));
    }

    fn status(&mut self, code: &str) {
        let level = if code.contains("NotFound") {
            "error"
        } else {
            "status"
        };
        self.call(answer(
            "onStatus",
            0.0,
            vec![Value::Null, info(level, code)],
        ));
    }

    fn data(&mut self, values: &[Value]) {
        self.send(Kind::DATA, 1, 0, &encoded(values));
    }

    fn user_control(&mut self, event: u16, stream: u32) {
        let payload = [&event.to_be_bytes()[..], &stream.to_be_bytes()].concat();
        self.send(Kind::USER_CONTROL, 0, 0, &payload);
    }

    /// Lets time pass, deadline by deadline.
    fn wait(&mut self, duration: Duration) -> Vec<Event> {
        let end = self.now + duration;
        let mut events = self.events();
        while let Some(deadline) = self.client.poll_timeout().filter(|at| *at <= end) {
            self.now = self.now.max(deadline);
            self.client.handle_timeout(self.now);
            events.extend(self.events());
        }
        self.now = end;
        events
    }
}

/// A message of the client's, as the server understands it.
#[derive(Debug, PartialEq)]
enum Said {
    Command(u32, Command),
    Control(Kind, Vec<u8>),
}

impl Said {
    fn of(message: &Message) -> Self {
        match message.kind {
            Kind::COMMAND => Self::Command(
                message.stream,
                Command::read(message.kind, &message.payload).unwrap(),
            ),
            kind => Self::Control(kind, message.payload.to_vec()),
        }
    }

    fn buffer_length(stream: u32, ms: u32) -> Self {
        let payload = [&[0, 3][..], &stream.to_be_bytes(), &ms.to_be_bytes()].concat();
        Self::Control(Kind::USER_CONTROL, payload)
    }

    /// Name, transaction id and message stream.
    fn call(&self) -> Option<(&[u8], f64, u32)> {
        match self {
            Self::Command(stream, command) => {
                Some((command.name.as_bytes(), command.transaction, *stream))
            }
            Self::Control(..) => None,
        }
    }
}

fn config() -> Config {
    Config {
        connect: Connect {
            app: "vod".into(),
            tc_url: "rtmp://server.example/vod".into(),
            flash_ver: "LNX 9,0,124,2".into(),
            swf_url: None,
            page_url: None,
            arguments: Vec::new(),
        },
        playpath: "clip".into(),
        start: Start::LiveElseRecorded,
        length_ms: None,
        playlist: false,
        subscribe: None,
        secure_token: None,
        usher_token: None,
        login: None,
        buffer: BufferLength::Growing,
        buffer_trick: false,
        enhanced: true,
        handshake: handshake::Mode::Plain,
        pipelining: true,
        timeouts: Timeouts::default(),
    }
}

fn live() -> Config {
    Config {
        start: Start::Live,
        subscribe: Some("clip".into()),
        ..config()
    }
}

fn answer(name: &str, transaction: f64, arguments: Vec<Value>) -> Command {
    Command {
        name: name.into(),
        transaction,
        arguments,
    }
}

fn info(level: &str, code: &str) -> Value {
    let mut info = Object::new();
    info.push("level", Value::from(level));
    info.push("code", Value::from(code));
    Value::Object(info)
}

fn redirecting_info(members: &[(&str, &str)]) -> Value {
    let mut ex = Object::new();
    ex.push("code", Value::Number(302.0));
    for (name, value) in members {
        ex.push(*name, Value::from(*value));
    }
    let mut info = Object::new();
    info.push("level", Value::from("error"));
    info.push("code", Value::from("NetConnection.Connect.Rejected"));
    info.push("ex", Value::Object(ex));
    Value::Object(info)
}

fn encoded(values: &[Value]) -> Vec<u8> {
    let mut body = Vec::new();
    for value in values {
        amf0::encode(value, &mut body);
    }
    body
}

fn end(event: Event) -> End {
    match event {
        Event::Ended(end) => end,
        event => panic!("no end: {event:?}"),
    }
}

fn media(event: Event) -> (Kind, u32, Vec<u8>) {
    match event {
        Event::Media(message) => (message.kind, message.timestamp.0, message.payload.to_vec()),
        event => panic!("no media: {event:?}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);

mod start_up {
    use super::*;

    #[test]
    fn everything_follows_the_handshake_without_waiting() {
        let mut conversation = Conversation::with(config());
        let said = conversation.said();
        let calls: Vec<_> = said.iter().filter_map(Said::call).collect();
        let expected: [(&[u8], f64, u32); 3] = [
            (b"connect", 1.0, 0),
            (b"createStream", 2.0, 0),
            (b"play", 3.0, 1),
        ];
        assert_eq!(calls, expected);
        assert_eq!(said[3..], [Said::buffer_length(1, 3_000)]);
        let Said::Command(_, play) = &said[2] else {
            unreachable!()
        };
        assert_eq!(
            play.arguments,
            [Value::Null, "clip".into(), Value::Number(-2000.0)]
        );
    }

    #[test]
    fn connect_says_what_we_are_and_can_do() {
        let mut conversation = Conversation::with(Config {
            connect: Connect {
                swf_url: Some("http://page.example/player.swf".into()),
                page_url: Some("http://page.example/".into()),
                arguments: vec!["token".into()],
                ..config().connect
            },
            ..config()
        });
        let said = conversation.said();
        let Said::Command(0, connect) = &said[0] else {
            unreachable!()
        };
        let object = connect.arguments[0].as_object().unwrap();
        let names: Vec<String> = object.iter().map(|(name, _)| name.to_string()).collect();
        let expected = [
            "app",
            "flashVer",
            "swfUrl",
            "tcUrl",
            "fpad",
            "capabilities",
            "audioCodecs",
            "videoCodecs",
            "videoFunction",
            "pageUrl",
            "objectEncoding",
            "fourCcList",
            "videoFourCcInfoMap",
            "audioFourCcInfoMap",
            "capsEx",
        ];
        assert_eq!(names, expected);
        assert_eq!(connect.arguments[1..], [Value::from("token")]);
    }

    #[test]
    fn without_pipelining_each_call_waits_for_the_answer_before() {
        let mut conversation = Conversation::with(Config {
            pipelining: false,
            ..config()
        });
        assert_eq!(conversation.said().len(), 1);
        conversation.accept();
        let said = conversation.said();
        assert_eq!(said[0].call(), Some((&b"createStream"[..], 2.0, 0)));
        assert_eq!(said.len(), 1);
        conversation.created(2, 7.0);
        let said = conversation.said();
        assert_eq!(said[0].call(), Some((&b"play"[..], 3.0, 7)));
        assert_eq!(said[1..], [Said::buffer_length(7, 3_000)]);
    }

    #[test]
    fn a_live_stream_is_subscribed_to_and_nothing_else_is_taken_for_it() {
        let mut conversation = Conversation::with(live());
        let said = conversation.said();
        let names: Vec<_> = said
            .iter()
            .filter_map(Said::call)
            .map(|call| call.0)
            .collect();
        let expected: [&[u8]; 4] = [b"connect", b"createStream", b"FCSubscribe", b"play"];
        assert_eq!(names, expected);
        let Said::Command(_, play) = &said[3] else {
            unreachable!()
        };
        assert_eq!(play.arguments[2], Value::Number(-1000.0));
    }

    #[test]
    fn another_stream_id_than_1_is_played_on_after_the_guess_is_deleted() {
        let mut conversation = Conversation::with(config());
        conversation.said();
        conversation.accept();
        conversation.created(2, 4.0);
        let said = conversation.said();
        assert_eq!(said[0], Said::Command(0, Command::delete_stream(1)));
        assert_eq!(said[1].call(), Some((&b"play"[..], 4.0, 4)));
        assert_eq!(said[2], Said::buffer_length(4, 3_000));
    }

    #[test]
    fn another_stream_id_does_not_matter_once_media_has_come() {
        let mut conversation = Conversation::with(config());
        conversation.said();
        conversation.accept();
        conversation.send(Kind::AUDIO, 1, 0, &[0x2F, 1]);
        conversation.created(2, 4.0);
        assert_eq!(conversation.said(), []);
    }

    #[test]
    fn an_early_create_stream_that_is_dropped_is_sent_again_after_2_seconds() {
        let mut conversation = Conversation::with(config());
        conversation.said();
        conversation.accept();
        conversation.wait(SECOND * 19 / 10);
        assert_eq!(conversation.said(), []);
        conversation.wait(SECOND / 5);
        let said = conversation.said();
        assert_eq!(said[0].call(), Some((&b"createStream"[..], 4.0, 0)));
        conversation.created(4, 1.0);
        assert_eq!(conversation.said()[0].call(), Some((&b"play"[..], 5.0, 1)));
    }

    #[test]
    fn an_early_create_stream_that_is_refused_is_sent_again_once_connected() {
        let mut conversation = Conversation::with(config());
        conversation.said();
        conversation.call(answer("_error", 2.0, vec![Value::Null]));
        assert_eq!(conversation.said(), []);
        conversation.accept();
        let said = conversation.said();
        assert_eq!(said[0].call(), Some((&b"createStream"[..], 4.0, 0)));
    }

    #[test]
    fn a_result_with_a_strange_transaction_id_still_connects() {
        let mut conversation = Conversation::with(config());
        let info = info("status", "NetConnection.Connect.Success");
        conversation.call(answer("_result", 0.0, vec![Value::Null, info]));
        assert!(matches!(conversation.only_event(), Event::Connected));
    }

    #[test]
    fn commands_of_the_amf3_type_are_understood() {
        let mut conversation = Conversation::with(config());
        let info = info("status", "NetConnection.Connect.Success");
        let mut body = vec![0];
        answer("_result", 1.0, vec![Value::Null, info]).write(&mut body);
        conversation.send(Kind::COMMAND_AMF3, 0, 0, &body);
        assert!(matches!(conversation.only_event(), Event::Connected));
    }

    #[test]
    fn once_media_comes_no_answer_to_create_stream_is_needed() {
        let mut conversation = Conversation::with(config());
        conversation.accept();
        for second in 0..20 {
            conversation.send(Kind::VIDEO, 1, second * 1_000, &[0x27, 1]);
            for event in conversation.wait(SECOND) {
                assert!(!matches!(event, Event::Ended(_)), "{event:?}");
            }
        }
        let calls = conversation.said();
        let calls = calls.iter().filter_map(Said::call);
        assert_eq!(calls.filter(|call| call.0 == b"createStream").count(), 1);
        conversation.call(answer("_error", 2.0, vec![Value::Null]));
        assert_eq!(conversation.said(), []);
    }

    #[test]
    fn a_stream_that_is_created_before_the_connection_is_accepted_is_played_once() {
        let mut conversation = Conversation::with(config());
        conversation.said();
        conversation.created(2, 1.0);
        conversation.accept();
        assert_eq!(conversation.said(), []);
        conversation.wait(3 * SECOND);
        assert_eq!(conversation.said(), []);
    }

    #[test]
    fn leaving_deletes_the_stream_on_message_stream_0() {
        let mut conversation = Conversation::playing(config());
        conversation.client.leave();
        let said = conversation.said();
        assert_eq!(said, [Said::Command(0, Command::delete_stream(1))]);
        assert_eq!(conversation.client.poll_timeout(), None);
    }
}

mod answers {
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
}

mod streams {
    use super::*;

    #[test]
    fn media_before_play_start_is_kept() {
        let mut conversation = Conversation::with(config());
        conversation.accept();
        conversation.created(2, 1.0);
        conversation.send(Kind::AUDIO, 1, 7, &[0xAF, 0, 0x11, 0x90]);
        conversation.status("NetStream.Play.Start");
        let mut events = conversation.events();
        assert_eq!(events.len(), 3, "{events:?}");
        assert_eq!(
            media(events.remove(1)),
            (Kind::AUDIO, 7, vec![0xAF, 0, 0x11, 0x90])
        );
    }

    #[test]
    fn media_comes_on_any_message_stream() {
        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::VIDEO, 0, 40, &[0x17, 1]);
        assert_eq!(
            media(conversation.only_event()),
            (Kind::VIDEO, 40, vec![0x17, 1])
        );
    }

    #[test]
    fn metadata_is_told_apart_and_freed_from_the_publishers_wrapping() {
        let mut members = Object::new();
        members.push("width", Value::Number(16.0));
        let metadata = Value::EcmaArray(members);
        for values in [
            vec!["onMetaData".into(), metadata.clone()],
            vec![
                "@setDataFrame".into(),
                "onMetaData".into(),
                metadata.clone(),
            ],
        ] {
            let mut conversation = Conversation::playing(config());
            conversation.data(&values);
            let Event::Metadata { members, payload } = conversation.only_event() else {
                panic!("no metadata");
            };
            assert_eq!(members.get("width"), Some(&Value::Number(16.0)));
            assert_eq!(*payload, encoded(&["onMetaData".into(), metadata.clone()]));
        }
    }

    #[test]
    fn other_script_data_is_kept_to_the_letter() {
        let cue: [Value; 2] = ["onCuePoint".into(), info("x", "y")];
        let body = encoded(&cue);
        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::DATA, 1, 90, &body);
        assert_eq!(
            media(conversation.only_event()),
            (Kind::DATA, 90, body.clone())
        );
        let amf3 = [&[0][..], &body].concat();
        conversation.send(Kind::DATA_AMF3, 1, 91, &amf3);
        assert_eq!(
            media(conversation.only_event()),
            (Kind::DATA, 91, body.clone())
        );
        let wrapped = [encoded(&["@setDataFrame".into()]), body.clone()].concat();
        conversation.send(Kind::DATA, 1, 92, &wrapped);
        assert_eq!(media(conversation.only_event()), (Kind::DATA, 92, body));
    }

    #[test]
    fn chatter_and_what_does_not_decode_are_no_media() {
        let mut conversation = Conversation::playing(config());
        conversation.data(&["|RtmpSampleAccess".into(), true.into(), true.into()]);
        conversation.data(&["@clearDataFrame".into(), "onMetaData".into()]);
        conversation.data(&["onStatus".into(), info("status", "NetStream.Data.Start")]);
        conversation.send(Kind::DATA, 1, 0, &[0x2A, 1, 2]);
        conversation.send(Kind::DATA, 1, 0, &[]);
        conversation.data(&["@setDataFrame".into()]);
        conversation.send(Kind::DATA_AMF3, 1, 0, &[9, 9]);
        conversation.send(Kind(99), 1, 0, &[1, 2, 3]);
        conversation.send(Kind::SHARED_OBJECT, 1, 0, &[1, 2, 3]);
        assert!(conversation.events().is_empty());
    }

    #[test]
    fn an_aggregate_is_its_parts() {
        #[rustfmt::skip]
        let body = [
            8, 0, 0, 2, 0, 0, 100, 0, 0, 0, 0, 0x72, 1, 0, 0, 0, 13,
            9, 0, 0, 2, 0, 0, 140, 0, 0, 0, 0, 0x27, 2, 0, 0, 0, 13,
        ];
        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::AGGREGATE, 1, 5_000, &body);
        let got: Vec<_> = conversation.events().into_iter().map(media).collect();
        let expected = [
            (Kind::AUDIO, 5_000, vec![0x72, 1]),
            (Kind::VIDEO, 5_040, vec![0x27, 2]),
        ];
        assert_eq!(got, expected);
    }

    #[test]
    fn a_big_aggregate_is_handed_out_part_by_part() {
        let part = [8, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 11];
        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::AGGREGATE, 1, 0, &part.repeat(10_000));
        conversation.send(Kind::AUDIO, 1, 9, &[0xAF, 1]);
        let now = conversation.now;
        let client = &mut conversation.client;
        client.receive(now, &mut conversation.to_client).unwrap();
        assert!(client.poll_event().is_some());
        assert!(client.poll_event().is_none());
        assert_eq!(conversation.events().len(), 10_000);
    }

    #[test]
    fn data_of_the_amf3_type_without_its_selector_is_understood() {
        let metadata = encoded(&["onMetaData".into(), info("a", "b")]);
        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::DATA_AMF3, 1, 0, &metadata);
        assert!(matches!(conversation.only_event(), Event::Metadata { .. }));
    }

    #[test]
    fn a_stream_that_begins_again_is_a_restart() {
        let mut conversation = Conversation::playing(live());
        conversation.send(Kind::VIDEO, 1, 500_000, &[0x17, 1]);
        conversation.user_control(1, 1);
        conversation.user_control(0, 1);
        conversation.status("NetStream.Play.Start");
        let events = conversation.events();
        let [Event::Media(_), Event::Restarted, Event::Started] = &events[..] else {
            panic!("{events:?}");
        };
    }

    #[test]
    fn the_buffer_that_is_announced_grows_with_what_has_arrived() {
        let mut conversation = Conversation::playing(config());
        for timestamp in [0, 500, 1_000, 1_500, 2_000, 2_500, 3_000] {
            conversation.send(Kind::VIDEO, 1, timestamp, &[0x27, 1]);
        }
        let announced = [Said::buffer_length(1, 4_500), Said::buffer_length(1, 6_000)];
        assert_eq!(conversation.said(), announced);
    }

    #[test]
    fn the_servers_bytes_may_be_cut_anywhere() {
        let script = || {
            let mut conversation = Conversation::with(config());
            conversation.accept();
            conversation.created(2, 1.0);
            conversation.status("NetStream.Play.Start");
            conversation.data(&["onMetaData".into(), info("a", "b")]);
            conversation.send(Kind::VIDEO, 1, 0, &[0x17; 300]);
            conversation.send(Kind::AUDIO, 1, 20, &[0xAF; 9]);
            conversation.status("NetStream.Play.Stop");
            conversation
        };
        let whole = format!("{:?}", script().events());
        for cut in 0..script().to_client.len() {
            let mut conversation = script();
            let second = conversation.to_client.split_off(cut);
            let mut events = conversation.events();
            assert!(!events.iter().any(|event| matches!(event, Event::Ended(_))));
            conversation.to_client.unsplit(second);
            events.extend(conversation.events());
            assert_eq!(format!("{events:?}"), whole, "cut at {cut}");
        }
    }
}

mod endings {
    use super::*;

    #[test]
    fn each_status_code_has_its_ending() {
        let ended = |config: Config, code: &str| {
            let mut conversation = Conversation::playing(config);
            conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
            conversation.status(code);
            end(conversation.events().remove(1))
        };
        let word = |code: &str| code.to_owned();
        let complete = "NetStream.Play.Complete";
        let stop = "NetStream.Play.Stop";
        let unpublished = "NetStream.Play.UnpublishNotify";
        let closed = "NetConnection.Connect.Closed";
        let not_found = "NetStream.Play.StreamNotFound";
        assert_eq!(ended(config(), complete), End::Complete(word(complete)));
        assert_eq!(ended(config(), stop), End::Complete(word(stop)));
        assert_eq!(ended(live(), stop), End::Unpublished(word(stop)));
        assert_eq!(
            ended(live(), unpublished),
            End::Unpublished(word(unpublished))
        );
        assert_eq!(ended(live(), closed), End::Closed(word(closed)));
        assert_eq!(ended(live(), not_found), End::Failed(word(not_found)));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        let mut conversation = Conversation::playing(config());
        conversation.status("NetStream.Play.StreamNotFound");
        assert_eq!(
            end(conversation.only_event()),
            End::NotFound("NetStream.Play.StreamNotFound".into())
        );
    }

    #[test]
    fn the_info_is_found_wherever_it_stands() {
        let stop = || info("status", "NetStream.Play.Stop");
        let Value::Object(members) = stop() else {
            unreachable!()
        };
        for arguments in [
            vec![stop()],
            vec![Value::Null, stop()],
            vec![Value::Null, Value::EcmaArray(members)],
        ] {
            let mut conversation = Conversation::playing(live());
            conversation.call(answer("onStatus", 0.0, arguments));
            let stopped = End::Unpublished("NetStream.Play.Stop".into());
            assert_eq!(end(conversation.only_event()), stopped);
        }
    }

    #[test]
    fn play_complete_comes_as_a_data_message_too() {
        let mut conversation = Conversation::playing(config());
        conversation.data(&[
            "onPlayStatus".into(),
            info("status", "NetStream.Play.Switch"),
        ]);
        assert!(conversation.events().is_empty());
        conversation.data(&[
            "onPlayStatus".into(),
            info("status", "NetStream.Play.Complete"),
        ]);
        let complete = End::Complete("NetStream.Play.Complete".into());
        assert_eq!(end(conversation.only_event()), complete);
    }

    #[test]
    fn a_refused_connection_gives_the_servers_reason() {
        let mut conversation = Conversation::with(config());
        let mut info = Object::new();
        info.push("level", Value::from("error"));
        info.push("code", Value::from("NetConnection.Connect.Rejected"));
        info.push("description", Value::from("no guests"));
        let refusal = vec![Value::Null, Value::Object(info)];
        conversation.call(answer("_error", 1.0, refusal));
        assert_eq!(
            end(conversation.only_event()),
            End::Refused("NetConnection.Connect.Rejected: no guests".into())
        );
    }

    #[test]
    fn an_error_without_a_known_code_refuses_before_media_only() {
        let mut conversation = Conversation::playing(config());
        let error = || {
            answer(
                "onStatus",
                0.0,
                vec![Value::Null, info("error", "Vendor.Odd")],
            )
        };
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        conversation.call(error());
        assert_eq!(conversation.events().len(), 1);
        let mut conversation = Conversation::playing(config());
        conversation.call(error());
        assert_eq!(
            end(conversation.only_event()),
            End::Refused("Vendor.Odd".into())
        );
    }

    #[test]
    fn a_stream_eof_is_confirmed_by_silence() {
        let mut conversation = Conversation::playing(live());
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        conversation.user_control(1, 1);
        assert_eq!(conversation.wait(SECOND * 29 / 10).len(), 1);
        let mut events = conversation.wait(SECOND / 5);
        assert_eq!(end(events.remove(0)), End::Unpublished("Stream EOF".into()));
    }

    #[test]
    fn a_bound_shorter_than_the_grace_after_a_stream_eof_is_no_stall() {
        let mut conversation = Conversation::playing(Config {
            timeouts: Timeouts::all(Some(SECOND)),
            ..live()
        });
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        conversation.user_control(1, 1);
        let mut events = conversation.wait(2 * SECOND);
        assert_eq!(end(events.remove(1)), End::Unpublished("Stream EOF".into()));
    }

    #[test]
    fn a_stream_eof_means_nothing_before_media_or_when_the_stream_goes_on() {
        let mut conversation = Conversation::playing(live());
        conversation.user_control(1, 1);
        assert!(conversation.wait(4 * SECOND).is_empty());
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        conversation.user_control(1, 1);
        conversation.user_control(0, 1);
        assert_eq!(conversation.wait(4 * SECOND).len(), 2);
        conversation.user_control(1, 1);
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        assert_eq!(conversation.wait(4 * SECOND).len(), 1);
    }

    #[test]
    fn a_redirect_is_told_and_answered() {
        let members = [
            ("redirect", "rtmp://a.example/vod"),
            ("redirect2", "rtmp://b.example/vod/clip"),
        ];
        for (members, expected) in [
            (
                &members[..1],
                Redirect::Application("rtmp://a.example/vod".into()),
            ),
            (
                &members[..],
                Redirect::Stream("rtmp://b.example/vod/clip".into()),
            ),
        ] {
            for name in ["_error", "onStatus"] {
                let mut conversation = Conversation::with(config());
                conversation.said();
                let info = redirecting_info(members);
                conversation.call(answer(name, 1.0, vec![Value::Null, info]));
                let Event::Redirected(redirect) = conversation.only_event() else {
                    panic!("not redirected");
                };
                assert_eq!(redirect, expected);
                let said = conversation.said();
                assert_eq!(said[0].call(), Some((&b"redirected"[..], 0.0, 0)));
            }
        }
    }

    #[test]
    fn an_error_of_some_call_refuses_nothing() {
        let mut conversation = Conversation::playing(config());
        let failed = info("error", "NetConnection.Call.Failed");
        conversation.call(answer("onStatus", 0.0, vec![Value::Null, failed]));
        assert!(conversation.events().is_empty());
    }

    #[test]
    fn a_publisher_that_leaves_ffmpegs_server_ends_the_stream() {
        let mut conversation = Conversation::playing(live());
        conversation.call(answer("FCUnpublish", 6.0, vec![Value::Null, "clip".into()]));
        assert_eq!(
            end(conversation.only_event()),
            End::Unpublished("FCUnpublish".into())
        );
    }

    #[test]
    fn nothing_is_said_after_the_end() {
        let mut conversation = Conversation::playing(config());
        conversation.status("NetStream.Play.Stop");
        conversation.status("NetStream.Play.Stop");
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        end(conversation.only_event());
        assert!(conversation.wait(100 * SECOND).is_empty());
    }
}

mod timers {
    use super::*;

    fn timed_out(events: Vec<Event>) -> Vec<Wait> {
        let wait = |event| match event {
            Event::Ended(End::TimedOut(wait)) => Some(wait),
            _ => None,
        };
        events.into_iter().filter_map(wait).collect()
    }

    #[test]
    fn a_silent_server_times_out_at_every_step() {
        let mut rng = StdRng::seed_from_u64(1);
        let now = Instant::now();
        let mut client = Client::new(config(), now, &mut rng);
        assert_eq!(client.poll_timeout(), Some(now + 10 * SECOND));
        client.handle_timeout(now + 10 * SECOND);
        let events = std::iter::from_fn(|| client.poll_event()).collect();
        assert_eq!(timed_out(events), [Wait::Handshake]);

        let mut conversation = Conversation::with(config());
        assert_eq!(timed_out(conversation.wait(10 * SECOND)), [Wait::Connect]);

        let mut conversation = Conversation::with(config());
        conversation.accept();
        assert_eq!(
            timed_out(conversation.wait(12 * SECOND)),
            [Wait::CreateStream]
        );

        let mut conversation = Conversation::playing(config());
        assert_eq!(
            timed_out(conversation.wait(30 * SECOND)),
            [Wait::FirstMedia]
        );

        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        assert_eq!(timed_out(conversation.wait(30 * SECOND)), [Wait::Silence]);
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
        assert_eq!(timed_out(events), [Wait::Silence]);
    }

    #[test]
    fn a_server_that_starts_and_starts_is_not_waited_for_any_longer() {
        let mut conversation = Conversation::playing(config());
        let mut events = Vec::new();
        for _ in 0..30 {
            conversation.status("NetStream.Play.Start");
            events.extend(conversation.wait(SECOND));
        }
        assert_eq!(timed_out(events), [Wait::FirstMedia]);
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
        assert_eq!(timed_out(events), [Wait::FirstMedia]);
    }

    #[test]
    fn waits_begin_anew_after_a_pause_of_our_own() {
        let mut conversation = Conversation::playing(config());
        conversation.send(Kind::VIDEO, 1, 0, &[0x17, 1]);
        conversation.wait(20 * SECOND);
        conversation.client.resume(conversation.now);
        assert_eq!(timed_out(conversation.wait(29 * SECOND)), []);
        assert_eq!(timed_out(conversation.wait(SECOND)), [Wait::Silence]);
    }

    #[test]
    fn a_bound_of_the_users_own_holds_for_each_wait_and_none_waits_for_ever() {
        let bounded = |bound| Config {
            timeouts: Timeouts::all(bound),
            ..config()
        };
        let mut conversation = Conversation::with(bounded(Some(3 * SECOND)));
        assert_eq!(timed_out(conversation.wait(3 * SECOND)), [Wait::Connect]);
        for seconds in 1..=3 {
            let bound = seconds * SECOND;
            let mut conversation = Conversation::with(bounded(Some(bound)));
            conversation.accept();
            assert_eq!(timed_out(conversation.wait(bound)), [Wait::CreateStream]);
        }
        let mut conversation = Conversation::playing(bounded(Some(3 * SECOND)));
        assert_eq!(timed_out(conversation.wait(3 * SECOND)), [Wait::FirstMedia]);
        let mut conversation = Conversation::playing(bounded(None));
        assert_eq!(timed_out(conversation.wait(10_000 * SECOND)), []);
    }
}

#[test]
fn a_status_prints_code_and_words() {
    let status = |code: &str, description: &str| Status {
        code: code.into(),
        description: description.into(),
        ..Status::default()
    };
    assert_eq!(status("A.B", "c d").to_string(), "A.B: c d");
    assert_eq!(status("A.B", "").to_string(), "A.B");
    assert_eq!(status("", "c d").to_string(), "c d");
}

#[test]
fn a_recycled_payload_is_used_again() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17; 100]);
    let Event::Media(message) = conversation.only_event() else {
        panic!()
    };
    let buffer = message.payload.as_ptr();
    conversation.client.recycle(message.payload);
    conversation.send(Kind::VIDEO, 1, 0, &[0x17; 100]);
    let Event::Media(message) = conversation.only_event() else {
        panic!()
    };
    assert_eq!(message.payload.as_ptr(), buffer);
}

#[test]
fn bytes_that_are_no_chunk_stream_are_an_error_of_the_peers() {
    let mut conversation = Conversation::playing(config());
    conversation.to_client.extend_from_slice(&[0xFF, 1, 2, 3]);
    let now = conversation.now;
    let received = conversation
        .client
        .receive(now, &mut conversation.to_client);
    assert!(matches!(received, Err(Error::Chunk(_))));
}
