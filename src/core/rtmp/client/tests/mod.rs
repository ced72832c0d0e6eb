//! Sessions as conversations with a scripted server. Time only advances when a test advances it.

mod answers;
mod challenges;
mod encrypted;
mod endings;
mod facts;
mod log;
mod observer;
mod pauses;
mod reconnect;
mod repertoire;
mod server_text;
mod start_up;
mod streams;
mod timers;

use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};

use super::{
    config::{Connect, Encryption, Timeouts},
    *,
};
use crate::core::{
    amf::{Object, Value, amf0},
    rtmp::{
        command::{ReconnectRequest, Redirect, Status},
        handshake,
        message::{Kind, Message, Timestamp},
    },
};

/// A client, the scripted server and the current time.
struct Conversation {
    client: Client,
    now: Instant,
    decoder: chunk::Decoder,
    encoder: chunk::Encoder,
    to_client: BytesMut,
    to_server: BytesMut,
}

impl Conversation {
    /// Starts a session. Nothing has been sent.
    fn start(config: Config) -> Self {
        let now = Instant::now();
        let mut rng = StdRng::seed_from_u64(1);
        let mut client = Client::new(config, now, &mut rng);
        client.keep_answers();
        Self {
            client,
            now,
            decoder: chunk::Decoder::new(),
            encoder: chunk::Encoder::new(),
            to_client: BytesMut::new(),
            to_server: BytesMut::new(),
        }
    }

    /// Starts a session and completes the plain handshake.
    fn connecting(config: Config) -> Self {
        let mut conversation = Self::start(config);
        conversation.shake_hands();
        conversation
    }

    /// Completes the plain handshake.
    fn shake_hands(&mut self) {
        let mut c0_c1 = BytesMut::new();
        self.client.poll_transmit(&mut c0_c1).unwrap();
        assert_eq!(c0_c1.len(), 1537);
        self.to_client.extend_from_slice(&[3]);
        self.to_client.extend_from_slice(&[0; 1536]);
        self.to_client.extend_from_slice(&c0_c1[1..]);
        assert!(self.events().is_empty());
        let c2 = self.to_server.split_to(1536);
        assert_eq!(&c2[..], [0; 1536]);
    }

    /// Starts a session and answers everything up to Play.Start.
    fn playing(config: Config) -> Self {
        let mut conversation = Self::connecting(config);
        conversation.accept();
        conversation.stream_created(2, 1.0);
        conversation.status("NetStream.Play.Start");
        let events = conversation.events();
        assert!(matches!(events[..], [Event::Connected, Event::Started]));
        conversation.sent();
        conversation
    }

    /// Lets the client receive and transmit. Returns its events.
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

    /// Returns the messages that the client has sent.
    fn sent(&mut self) -> Vec<Sent> {
        self.events();
        let mut sent = Vec::new();
        while let Some(message) = self.decoder.decode(&mut self.to_server).unwrap() {
            sent.push(Sent::of(&message));
        }
        assert!(self.to_server.is_empty());
        sent
    }

    fn send(&mut self, kind: Kind, stream: u32, timestamp: u32, payload: &[u8]) {
        let timestamp = Timestamp(timestamp);
        self.encoder
            .encode(5, kind, stream, timestamp, payload, &mut self.to_client)
            .unwrap();
    }

    fn command(&mut self, command: Command) {
        let mut body = Vec::new();
        command.write(&mut body);
        self.send(Kind::COMMAND, 0, 0, &body);
    }

    fn accept(&mut self) {
        let info = info("status", "NetConnection.Connect.Success");
        self.command(answer(
            "_result",
            1.0,
            vec![Value::Object(Object::new()), info],
        ));
    }

    fn stream_created(&mut self, transaction: u32, stream: f64) {
        let id = Value::Number(stream);
        self.command(answer(
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
        self.command(answer(
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

    /// Advances the time, deadline by deadline.
    fn advance(&mut self, duration: Duration) -> Vec<Event> {
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

/// A message from the client, decoded by the server.
#[derive(Debug, PartialEq)]
enum Sent {
    Command(u32, Command),
    Control(Kind, Vec<u8>),
}

impl Sent {
    fn of(message: &Message) -> Self {
        match message.kind {
            Kind::COMMAND => Self::Command(
                message.message_stream,
                Command::read(message.kind, &message.payload).unwrap(),
            ),
            kind => Self::Control(kind, message.payload.to_vec()),
        }
    }

    fn buffer_length(stream: u32, ms: u32) -> Self {
        let payload = [&[0, 3][..], &stream.to_be_bytes(), &ms.to_be_bytes()].concat();
        Self::Control(Kind::USER_CONTROL, payload)
    }

    /// Returns name, transaction id and message stream id of a command.
    fn summary(&self) -> Option<(&[u8], f64, u32)> {
        match self {
            Self::Command(stream, command) => {
                Some((command.name.as_bytes(), command.transaction, *stream))
            }
            Self::Control(..) => None,
        }
    }
}

fn config() -> Config {
    let connect = Connect {
        flash_ver: "LNX 9,0,124,2".into(),
        ..Connect::new("vod", "rtmp://server.example/vod")
    };
    Config {
        handshake: handshake::Mode::Plain,
        ..Config::new(connect, "clip")
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
        event => panic!("not an end: {event:?}"),
    }
}

fn media(event: Event) -> (Kind, u32, Vec<u8>) {
    match event {
        Event::Media { message, .. } => {
            (message.kind, message.timestamp.0, message.payload.to_vec())
        }
        event => panic!("not media: {event:?}"),
    }
}

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn status_is_printed_as_code_and_description() {
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
fn recycled_payload_is_reused() {
    let mut conversation = Conversation::playing(config());
    conversation.send(Kind::VIDEO, 1, 0, &[0x17; 100]);
    let Event::Media { message, .. } = conversation.only_event() else {
        panic!()
    };
    let buffer = message.payload.as_ptr();
    conversation.client.recycle(message.payload);
    conversation.send(Kind::VIDEO, 1, 0, &[0x17; 100]);
    let Event::Media { message, .. } = conversation.only_event() else {
        panic!()
    };
    assert_eq!(message.payload.as_ptr(), buffer);
}

#[test]
fn invalid_chunks_are_a_chunk_error() {
    let mut conversation = Conversation::playing(config());
    conversation.to_client.extend_from_slice(&[0xFF, 1, 2, 3]);
    let now = conversation.now;
    let received = conversation
        .client
        .receive(now, &mut conversation.to_client);
    assert!(matches!(received, Err(Error::Chunk(_))));
}
