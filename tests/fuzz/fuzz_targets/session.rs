//! Sessions: arbitrary messages of a server at arbitrary times, to a client driven like a download.
//!
//! Invariants: all sent bytes decode; a session that is not over has a deadline within the
//! configured limits; no event follows the end.

#![no_main]

mod pieces;

use std::time::{Duration, Instant};

use arbitrary::Arbitrary;
use bytes::BytesMut;
use libfuzzer_sys::fuzz_target;
use pieces::pieces;
use rand::{SeedableRng, rngs::StdRng};
use rtmpull::core::{
    amf::{Object, Value, amf0},
    rtmp::{
        chunk::{Decoder, Encoder},
        client::{
            Client, Event,
            config::{BufferLength, Config, Connect, Start, Timeouts},
        },
        command::Command,
        error::Error,
        handshake::{Mode, block::Block},
        message::{Kind, Timestamp},
    },
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    cut: u8,
    is_pipelining: bool,
    is_subscribing: bool,
    is_buffer_growing: bool,
    start: PlayFrom,
    wait_policy: WaitPolicy,
    steps: Vec<Step<'a>>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum PlayFrom {
    LiveElseRecorded,
    Live,
    Position(u32),
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum WaitPolicy {
    Usual,
    Short(u8),
    Endless,
}

/// Next step. Messages are well-formed, so that later messages are decoded too.
#[derive(Debug, Arbitrary)]
enum Step<'a> {
    Wait {
        ms: u16,
    },
    WaitForDeadline,
    /// From now on, the last bytes of the server are in flight.
    Delay(u16),
    Bytes(&'a [u8]),
    /// Answer to `connect`.
    Accept,
    /// Answer to `createStream`.
    Created {
        transaction: u8,
        stream: u8,
    },
    Status {
        level: u8,
        code: u8,
    },
    ChunkSize(u16),
    Control {
        kind: u8,
        payload: &'a [u8],
    },
    UserControl {
        event: u8,
        number: u32,
    },
    Call {
        is_data: bool,
        is_amf3: bool,
        name: u8,
        transaction: Option<u8>,
        arguments: Vec<Argument<'a>>,
    },
    Media {
        is_video: bool,
        stream: u8,
        timestamp: u32,
        repeats: u8,
        payload: &'a [u8],
    },
    Aggregate {
        timestamp: u32,
        tags: Vec<(u8, u16, &'a [u8])>,
    },
    Resume,
    Leave,
}

#[derive(Debug, Arbitrary)]
enum Argument<'a> {
    Null,
    Small(u8),
    Number(f64),
    Text(&'a str),
    Name(u8),
    Status {
        level: u8,
        code: u8,
        description: &'a str,
        redirect: Option<(bool, &'a str)>,
    },
    Metadata {
        duration: f64,
    },
    /// Arbitrary bytes, which may be AMF0.
    Encoded(&'a [u8]),
}

fuzz_target!(|input: Input<'_>| {
    let mut session = Session::new(&input);
    for step in &input.steps {
        session.step(step);
        if session.deliver().is_err() {
            return;
        }
    }
    session.in_flight = 0;
    if session.deliver().is_ok() {
        session.leave();
    }
});

/// Session with its server and its clock.
struct Session {
    client: Client,
    now: Instant,
    /// Longest permitted wait of the client; `None` if waits are unlimited.
    longest_wait: Option<Duration>,
    cut: u8,
    encoder: Encoder,
    decoder: Decoder,
    wire: BytesMut,
    /// Number of bytes of `wire` still in flight.
    in_flight: usize,
    inbox: BytesMut,
    outbox: BytesMut,
    has_connected: bool,
    is_over: bool,
}

impl Session {
    /// Starts a session after a plain handshake.
    fn new(input: &Input<'_>) -> Self {
        let now = Instant::now();
        let mut rng = StdRng::seed_from_u64(0);
        let mut session = Self {
            client: Client::new(config(input), now, &mut rng),
            now,
            longest_wait: input.wait_policy.longest_wait(),
            cut: input.cut,
            encoder: Encoder::new(),
            decoder: Decoder::new(),
            wire: BytesMut::new(),
            in_flight: 0,
            inbox: BytesMut::new(),
            outbox: BytesMut::new(),
            has_connected: false,
            is_over: false,
        };
        let client = &mut session.client;
        assert!(client.is_handshaking() && !client.is_between_messages());
        client.poll_transmit(&mut session.outbox).expect("C1");
        session.inbox.extend_from_slice(&[3]);
        session.inbox.resize(1 + 2 * Block::LEN, 0);
        session.outbox.clear();
        client
            .receive(now, &mut session.inbox)
            .expect("a handshake");
        client.poll_transmit(&mut session.outbox).expect("C2");
        let _c2 = session.outbox.split_to(Block::LEN);
        session
    }

    fn step(&mut self, step: &Step<'_>) {
        match step {
            Step::Wait { ms } => self.now += Duration::from_millis((*ms).into()),
            Step::WaitForDeadline => {
                self.now = self.client.poll_timeout().unwrap_or(self.now).max(self.now);
            }
            Step::Delay(count) => self.in_flight = (*count).into(),
            Step::Bytes(bytes) => self.wire.extend_from_slice(bytes),
            Step::Accept => self.answer(1, status(0, 0, "", None).into()),
            Step::Created {
                transaction,
                stream,
            } => self.answer(transaction % 8, f64::from(stream % 4).into()),
            Step::Status { level, code } => {
                let status = status(*level, *code, "", None);
                self.call(&["onStatus".into(), 0.0.into(), Value::Null, status.into()]);
            }
            Step::ChunkSize(size) => {
                let size = u32::from(*size).max(1);
                self.send(Kind::SET_CHUNK_SIZE, 0, 0, &size.to_be_bytes());
                self.encoder.set_chunk_size(size);
            }
            // The encoder must know a new chunk size, so only `Step::ChunkSize` sends one.
            Step::Control { kind, payload } if *kind != Kind::SET_CHUNK_SIZE.0 => {
                self.send(Kind(*kind), 0, 0, payload);
            }
            Step::Control { .. } => {}
            Step::UserControl { event, number } => {
                let payload = [&[0, *event][..], &number.to_be_bytes()].concat();
                self.send(Kind::USER_CONTROL, 0, 0, &payload);
            }
            Step::Call {
                is_data,
                is_amf3,
                name,
                transaction,
                arguments,
            } => {
                let kind = match (is_data, is_amf3) {
                    (false, false) => Kind::COMMAND,
                    (false, true) => Kind::COMMAND_AMF3,
                    (true, false) => Kind::DATA,
                    (true, true) => Kind::DATA_AMF3,
                };
                let mut body = Vec::new();
                body.extend(is_amf3.then_some(0));
                amf0::encode(&name_of(*name), &mut body);
                if let Some(transaction) = transaction {
                    amf0::encode(&f64::from(*transaction).into(), &mut body);
                }
                arguments
                    .iter()
                    .for_each(|argument| argument.encode(&mut body));
                self.send(kind, 1, 0, &body);
            }
            Step::Media {
                is_video,
                stream,
                timestamp,
                repeats,
                payload,
            } => {
                let kind = if *is_video { Kind::VIDEO } else { Kind::AUDIO };
                let payload = payload.repeat(usize::from(*repeats) / 8 + 1);
                self.send(kind, (*stream).into(), *timestamp, &payload);
            }
            Step::Aggregate { timestamp, tags } => {
                let mut payload = Vec::new();
                for (kind, time, body) in tags {
                    let length = (body.len() as u32).to_be_bytes();
                    let [high, low] = time.to_be_bytes();
                    payload.push(*kind);
                    payload.extend(&length[1..]);
                    payload.extend([0, high, low, 0, 0, 0, 0]);
                    payload.extend_from_slice(body);
                    payload.extend(length);
                }
                self.send(Kind::AGGREGATE, 1, *timestamp, &payload);
            }
            Step::Resume => self.client.restart_media_timeouts(self.now),
            Step::Leave => self.leave(),
        }
    }

    fn answer(&mut self, transaction: u8, value: Value) {
        let transaction = f64::from(transaction).into();
        self.call(&["_result".into(), transaction, Value::Null, value]);
    }

    fn call(&mut self, values: &[Value]) {
        let mut body = Vec::new();
        values
            .iter()
            .for_each(|value| amf0::encode(value, &mut body));
        self.send(Kind::COMMAND, 0, 0, &body);
    }

    fn send(&mut self, kind: Kind, stream: u32, timestamp: u32, payload: &[u8]) {
        let timestamp = Timestamp(timestamp);
        self.encoder
            .encode(5, kind, stream, timestamp, payload, &mut self.wire)
            .expect("a valid message");
    }

    /// Delivers the sent bytes of the server in pieces.
    fn deliver(&mut self) -> Result<(), Error> {
        let arrived = self.wire.len().saturating_sub(self.in_flight);
        let arrived = self.wire.split_to(arrived);
        for piece in pieces(&arrived, self.cut) {
            self.inbox.extend_from_slice(piece);
            self.turn()?;
        }
        self.turn()
    }

    /// Performs the steps of a download after a read.
    fn turn(&mut self) -> Result<(), Error> {
        loop {
            let before = self.inbox.len();
            let received = self.client.receive(self.now, &mut self.inbox);
            assert!(!self.is_over || self.inbox.len() == before);
            let had_events = self.handle_events();
            received?;
            if !had_events {
                break;
            }
        }
        assert!(self.is_over || self.inbox.len() < MAX_HEADER_LEN);
        let is_due = |deadline| deadline <= self.now;
        if self.client.poll_timeout().is_some_and(is_due) {
            self.client.handle_timeout(self.now);
            self.handle_events();
        }
        self.client.poll_transmit(&mut self.outbox)?;
        self.check_sent_bytes();
        self.check_deadline();
        Ok(())
    }

    fn handle_events(&mut self) -> bool {
        let mut had_events = false;
        while let Some(event) = self.client.poll_event() {
            assert!(!self.is_over, "{event:?} after the end");
            had_events = true;
            match event {
                Event::Connected => {
                    assert!(!self.has_connected, "connected twice");
                    self.has_connected = true;
                }
                Event::Metadata {
                    members, payload, ..
                } => {
                    let (values, _) = amf0::decode_all(payload.to_vec().into());
                    assert!(
                        matches!(&values[..], [Value::String(name), ..] if *name == "onMetaData")
                    );
                    // The client keeps the members before a damaged one; decoding them here fails.
                    if let Some(fields) = values.get(1) {
                        assert_eq!(fields.as_object().map(Object::len), Some(members.len()));
                    }
                    self.client.recycle(payload);
                }
                Event::Media { message, .. } => {
                    assert!([Kind::AUDIO, Kind::VIDEO, Kind::DATA].contains(&message.kind));
                    self.client.recycle(message.payload);
                }
                Event::Redirected(_) | Event::LoginRequired { .. } | Event::Ended(_) => {
                    self.is_over = true;
                }
                Event::Started
                | Event::Published
                | Event::Recorded
                | Event::Restarted
                | Event::ReconnectRequested(_) => {}
            }
        }
        had_events
    }

    fn check_sent_bytes(&mut self) {
        while let Some(message) = self.decoder.decode(&mut self.outbox).expect("valid chunks") {
            if message.kind == Kind::COMMAND {
                let command = Command::read(message.kind, &message.payload);
                assert!(command.is_some(), "a command that does not decode");
            }
        }
        assert!(self.outbox.is_empty() && self.decoder.is_between_messages());
    }

    fn check_deadline(&self) {
        let deadline = self.client.poll_timeout();
        if self.is_over {
            return assert_eq!(deadline, None);
        }
        assert!(deadline.is_none_or(|deadline| deadline > self.now));
        if let Some(longest) = self.longest_wait {
            let deadline = deadline.expect("a session that is not over has a deadline");
            assert!(deadline <= self.now + longest);
        }
    }

    fn leave(&mut self) {
        self.client.close();
        // Events queued before the close are still delivered.
        self.handle_events();
        self.is_over = true;
        self.client
            .poll_transmit(&mut self.outbox)
            .expect("the final messages");
        self.check_sent_bytes();
        self.check_deadline();
    }
}

fn config(input: &Input<'_>) -> Config {
    Config {
        start: match input.start {
            PlayFrom::LiveElseRecorded => Start::LiveElseRecorded,
            PlayFrom::Live => Start::Live,
            PlayFrom::Position(ms) => Start::At { ms },
        },
        subscribe: input.is_subscribing.then(|| "stream".into()),
        buffer: match input.is_buffer_growing {
            true => BufferLength::Growing,
            false => BufferLength::Fixed { ms: 1000 },
        },
        handshake: Mode::Plain,
        pipelining: input.is_pipelining,
        timeouts: input.wait_policy.timeouts(),
        ..Config::new(Connect::new("live", "rtmp://localhost:1935/live"), "stream")
    }
}

impl WaitPolicy {
    fn timeouts(self) -> Timeouts {
        match self {
            Self::Usual => Timeouts::default(),
            Self::Short(ms) => Timeouts::all(Some(Duration::from_millis(ms.into()))),
            Self::Endless => Timeouts::all(None),
        }
    }

    /// Returns the longest wait; the session has additional short waits of its own.
    fn longest_wait(self) -> Option<Duration> {
        match self {
            Self::Usual => Some(Duration::from_secs(30)),
            Self::Short(_) => Some(Duration::from_secs(3)),
            Self::Endless => None,
        }
    }
}

impl Argument<'_> {
    fn encode(&self, body: &mut Vec<u8>) {
        let value = match *self {
            Self::Null => Value::Null,
            Self::Small(number) => f64::from(number).into(),
            Self::Number(number) => number.into(),
            Self::Text(text) => text.into(),
            Self::Name(name) => name_of(name),
            Self::Status {
                level,
                code,
                description,
                redirect,
            } => status(level, code, description, redirect).into(),
            Self::Metadata { duration } => {
                Value::EcmaArray(Object::from_iter([("duration", duration)]))
            }
            Self::Encoded(bytes) => return body.extend_from_slice(bytes),
        };
        amf0::encode(&value, body);
    }
}

fn name_of(number: u8) -> Value {
    pick(number, &NAMES).into()
}

fn status(level: u8, code: u8, description: &str, redirect: Option<(bool, &str)>) -> Object {
    let mut status = Object::new();
    status.push("level", pick(level, &["status", "warning", "error"]));
    status.push("code", pick(code, &CODES));
    status.push("description", description);
    if let Some((is_stream, url)) = redirect {
        let name = if is_stream { "redirect2" } else { "redirect" };
        let mut ex = Object::new();
        ex.push("code", 302.0);
        ex.push(name, url);
        status.push("ex", ex);
    }
    status
}

fn pick<'a>(number: u8, texts: &[&'a str]) -> &'a str {
    texts[usize::from(number) % texts.len()]
}

const NAMES: [&str; 18] = [
    "_result",
    "_error",
    "onStatus",
    "onBWDone",
    "_onbwcheck",
    "ping",
    "close",
    "onFCUnsubscribe",
    "onFCSubscribe",
    "FCUnpublish",
    "deleteStream",
    "closeStream",
    "onMetaData",
    "@setDataFrame",
    "@clearDataFrame",
    "|RtmpSampleAccess",
    "onPlayStatus",
    "onCuePoint",
];

const CODES: [&str; 22] = [
    "NetConnection.Connect.Success",
    "NetConnection.Connect.Rejected",
    "NetConnection.Connect.Failed",
    "NetConnection.Connect.InvalidApp",
    "NetConnection.Connect.Closed",
    "NetConnection.Connect.IdleTimeOut",
    "NetConnection.Call.Failed",
    "NetConnection.Proxy.NotResponding",
    "NetStream.Play.Start",
    "NetStream.Play.Reset",
    "NetStream.Play.Complete",
    "NetStream.Play.Stop",
    "NetStream.Play.Switch",
    "NetStream.Play.PublishNotify",
    "NetStream.Play.UnpublishNotify",
    "NetStream.Play.StreamNotFound",
    "NetStream.Play.Failed",
    "NetStream.Data.Start",
    "NetStream.Pause.Notify",
    "NetStream.Authenticate.UsherToken",
    "NetStream.Failed",
    "",
];

/// Length of the largest basic header, message header and extended timestamp: 3 + 11 + 4 bytes.
const MAX_HEADER_LEN: usize = 18;
