use std::{
    collections::BTreeSet,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{Arc, Mutex},
};

use bytes::BytesMut;
use rtmpull::core::rtmp::{chunk::Decoder, message::Message};

use super::*;
use crate::server::{
    Config, FaultAction, FaultPoint, Handshake, Listener, Pace, STREAM_IS_RECORDED, Server, Step,
    Stream, object, status,
};

#[test]
fn cut_at_any_byte_keeps_the_received_media() {
    let session = RecordedSession::record();
    let cuts = session.cut_positions().into_iter().enumerate();
    let cuts: Vec<_> = cuts.map(|(n, at)| (at, ENDS[n % ENDS.len()])).collect();
    parallel::for_each(cuts.chunks(cuts.len().div_ceil(PARALLEL)), |cuts| {
        for (at, end) in cuts {
            session.cut(*at, *end);
        }
    });
}

#[test]
fn close_or_reset_at_every_step_is_named() {
    let connect = "the server closed the connection instead of answering connect";
    let sample_media = "the server closed the connection before any media";
    let cases = [
        (Step::Handshake, 3, "no-connection", "the handshake"),
        (Step::Connect, 1, "cut", connect),
        (Step::CreateStream, 1, "cut", sample_media),
        (Step::Play, 1, "cut", sample_media),
        (Step::Media, 1, "cut", sample_media),
    ];
    parallel::for_each(cases, |(step, code, word, cause)| {
        for then in [FaultAction::Fin, FaultAction::Rst] {
            let stream = Stream::recorded(Clip::sample());
            let point = FaultPoint::Step(step);
            let server = Server::start(Config::serving(stream).with_fault(point, then));
            let ended = Invocation::new(&server.url("clip")).run();
            let is_named_by_rtmpull = then == FaultAction::Fin || step == Step::Handshake;
            let cause = if is_named_by_rtmpull {
                cause
            } else {
                "the connection broke"
            };
            ended.assert_ended(code, word, cause).assert_unchanged();
            let ended = Invocation::new(&server.url("clip")).into_new_file().run();
            ended.assert_no_file();
        }
    });
}

/// Sends the messages that end a session.
type Script = fn(&mut Connection) -> Result<(), Disconnected>;

/// Sign that a stream is live.
#[derive(Debug, Clone, Copy, PartialEq)]
enum LiveSign {
    None,
    PublisherBeforeMedia,
    PublisherAfterMedia,
    RealTime,
    NoDuration,
}

/// Some servers call every stream recorded, and encoders announce the duration of a played file.
#[test]
fn signs_of_a_live_stream_outweigh_the_announcement_of_a_recording() {
    let cases = [
        (LiveSign::None, 2, "cut"),
        (LiveSign::PublisherBeforeMedia, 0, "closed"),
        (LiveSign::PublisherAfterMedia, 0, "closed"),
        (LiveSign::RealTime, 0, "closed"),
        (LiveSign::NoDuration, 0, "closed"),
    ];
    parallel::for_each(cases, |(sign, code, word)| {
        let peer = playing_peer(0, move |peer| {
            peer.queue_event(STREAM_IS_RECORDED, 1)?;
            let duration = if sign == LiveSign::NoDuration {
                0.0
            } else {
                100.0
            };
            send_metadata(peer, object([("duration", duration.into())]))?;
            if sign == LiveSign::PublisherBeforeMedia {
                announce_publisher(peer)?;
            }
            let interval_ms = if sign == LiveSign::RealTime { 50 } else { 0 };
            for number in 0..120 {
                let body = [0x27, 1, 0, 0, 0, number];
                peer.queue(7, Kind::VIDEO, 1, u32::from(number) * 50, &body)?;
                peer.flush()?;
                thread::sleep(Duration::from_millis(interval_ms));
            }
            if sign == LiveSign::PublisherAfterMedia {
                announce_publisher(peer)?;
            }
            peer.fail(FaultAction::Fin)
        });
        let ended = Invocation::new(&peer.url("clip")).run();
        let cause = "the server closed the connection";
        println!("{sign:?}");
        ended.assert_ended_with_warnings(code, word, cause, &["no video sequence header"]);
        assert_eq!(ended.tags().len(), 120);
    });
}

/// A server closes the session for its own reasons, so the end of the stream decides.
#[test]
fn closed_session_before_the_announced_end_is_a_cut() {
    let closed: Script = |peer| end_session(peer, "NetConnection.Connect.Closed");
    let idle: Script = |peer| end_session(peer, "NetConnection.Connect.IdleTimeOut");
    let close: Script = |peer| peer.queue_command(0, "close", 0.0, &[Value::Null]);
    let stop: Script = |peer| end_session(peer, "NetStream.Play.Stop");
    let cases = [
        (closed, "NetConnection.Connect.Closed"),
        (idle, "NetConnection.Connect.IdleTimeOut"),
        (close, "close"),
        (stop, "NetStream.Play.Stop"),
    ];
    let cases = cases
        .into_iter()
        .flat_map(|case| [(case, 0.1, true), (case, 1.0, false)]);
    parallel::for_each(cases, |((end, reason), share, is_early)| {
        let tags = sample_media();
        let length_s = f64::from(tags.last().map_or(0, |tag| tag.timestamp_ms)) / 1_000.0;
        let peer = playing_peer(0, move |peer| {
            peer.queue_event(STREAM_IS_RECORDED, 1)?;
            send_metadata(peer, object([("duration", (length_s / share).into())]))?;
            send_tags(peer, &sample_media())?;
            end(peer)?;
            peer.flush()
        });
        let ended = Invocation::new(&peer.url("clip")).run();
        println!("{reason} after {share} of the duration");
        let is_stop = reason == "NetStream.Play.Stop";
        match (is_early, is_stop) {
            (false, _) => ended.assert_ended(0, "ended", reason),
            (true, false) => ended.assert_ended(2, "cut", reason),
            (true, true) => ended.assert_ended_with_warnings(
                0,
                "ended",
                reason,
                &["the server ended the stream after"],
            ),
        };
        ended.assert_tags(&tags);
    });
}

fn end_session(peer: &mut Connection, code: &str) -> Result<(), Disconnected> {
    let info = status("status", code, "");
    peer.queue_command(1, "onStatus", 0.0, &[Value::Null, info.into()])
}

fn announce_publisher(peer: &mut Connection) -> Result<(), Disconnected> {
    let info = status("status", "NetStream.Play.PublishNotify", "");
    peer.queue_command(1, "onStatus", 0.0, &[Value::Null, info.into()])?;
    peer.flush()
}

/// Way to end a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    Fin,
    /// Sent bytes arrive before the reset on Linux; other systems discard them.
    #[cfg(target_os = "linux")]
    Rst,
}

#[cfg(target_os = "linux")]
const ENDS: [End; 2] = [End::Fin, End::Rst];
#[cfg(not(target_os = "linux"))]
const ENDS: [End; 1] = [End::Fin];

/// All bytes that a server sent in a session.
struct RecordedSession {
    bytes: Vec<u8>,
    /// Messages and the offsets of their ends.
    messages: Vec<(usize, Message)>,
}

impl RecordedSession {
    /// Records a complete download.
    fn record() -> Self {
        let metadata = Clip::sample().metadata().cloned();
        let clip = Clip {
            tags: metadata.into_iter().chain(sample_media()).collect(),
        };
        let server = Server::start(Config {
            handshake: Handshake::Plain,
            chunk_size: 128,
            ..Config::serving(Stream::recorded(clip).paced(Pace::Unbounded))
        });
        let recorder = Recorder::start(server.port());
        let ended = Invocation::new(&recorder.url()).run();
        ended
            .assert_ended(0, "ended", "NetStream.Play.")
            .assert_tags(&sample_media());
        let bytes = recorder.bytes();
        let mut inbox = BytesMut::from(&bytes[HANDSHAKE..]);
        let mut decoder = Decoder::new();
        let mut messages = Vec::new();
        while let Some(message) = decoder.decode(&mut inbox).expect("valid chunks") {
            messages.push((bytes.len() - inbox.len(), message));
        }
        Self { bytes, messages }
    }

    /// Returns the positions to cut at: around the ends of the handshake and of messages, and
    /// evenly spaced.
    fn cut_positions(&self) -> BTreeSet<usize> {
        let handshake = [0, 1, 2, 1536, 1537, 1538, HANDSHAKE - 1, HANDSHAKE];
        let ends: Vec<usize> = self.messages.iter().map(|(end, _)| *end).collect();
        let first_media = self
            .messages
            .iter()
            .position(|(_, message)| is_media(message));
        let first_media = first_media.expect("the session has media");
        let checked_ends = ends[..first_media + 3]
            .iter()
            .chain(&ends[ends.len() - 12..]);
        let around = checked_ends.flat_map(|end| [end - 1, *end, end + 1]);
        let evenly_spaced = (HANDSHAKE..self.bytes.len()).step_by(self.bytes.len() / 20);
        let middles = ends.iter().copied().step_by(ends.len() / 20);
        handshake
            .into_iter()
            .chain(around)
            .chain(evenly_spaced)
            .chain(middles)
            .filter(|at| *at <= self.bytes.len())
            .collect()
    }

    /// Replays the first `at` bytes. Panics unless the download ends as expected.
    #[track_caller]
    fn cut(&self, at: usize, end: End) {
        let bytes = self.bytes[..at].to_vec();
        let peer = Listener::start(move |_, socket| {
            let _ = replay(socket, &bytes, end);
        });
        let peer = peer.expect("a loopback port is free");
        let url = peer.url("rtmp", "clip");
        let ended = Invocation::new(&url).run();
        let (code, word) = self.expected(at, end);
        let context = format!("{end:?} after {at} bytes");
        assert_eq!(
            ended.finished.code(),
            Some(code),
            "{context}: {}",
            ended.finished
        );
        ended.assert_ended(code, word, "");
        let received: Vec<Tag> = self.media_before(at).map(to_tag).collect();
        // Sequence headers alone do not start a file.
        if received.iter().all(Tag::is_sequence_header) {
            ended.assert_unchanged();
        } else {
            ended.assert_tags(&received);
        }
    }

    fn expected(&self, at: usize, end: End) -> (i32, &'static str) {
        let last_ms = self
            .media_before(at)
            .filter(|message| !to_tag(message).is_sequence_header())
            .map(|message| message.timestamp.0)
            .max();
        let is_border = at == HANDSHAKE || self.messages.iter().any(|(end, _)| *end == at);
        let is_over = self.before(at).any(|message| {
            let text = String::from_utf8_lossy(&message.payload);
            text.contains("NetStream.Play.Complete") || text.contains("NetStream.Play.Stop")
        });
        match last_ms {
            _ if at < HANDSHAKE => (3, "no-connection"),
            None => (1, "cut"),
            Some(_) if is_over => (0, "ended"),
            Some(last_ms) if end == End::Fin && is_border && last_ms + 500 >= DURATION_MS => {
                (0, "closed")
            }
            Some(_) => (2, "cut"),
        }
    }

    fn before(&self, at: usize) -> impl Iterator<Item = &Message> {
        let complete = self.messages.iter().take_while(move |(end, _)| *end <= at);
        complete.map(|(_, message)| message)
    }

    fn media_before(&self, at: usize) -> impl Iterator<Item = &Message> {
        self.before(at).filter(|message| is_media(message))
    }
}

fn is_media(message: &Message) -> bool {
    matches!(message.kind, Kind::AUDIO | Kind::VIDEO)
}

fn to_tag(message: &Message) -> Tag {
    Tag {
        kind: message.kind.0,
        timestamp_ms: message.timestamp.0,
        body: message.payload.to_vec(),
    }
}

/// Sends the handshake part of `bytes` after C1 and the rest after the start of `connect`, then
/// ends the connection.
fn replay(socket: Arc<TcpStream>, bytes: &[u8], end: End) -> std::io::Result<()> {
    let (handshake, rest) = bytes.split_at(bytes.len().min(HANDSHAKE));
    let mut socket = &*socket;
    socket.read_exact(&mut [0; 1 + 1536])?;
    socket.write_all(handshake)?;
    if !rest.is_empty() {
        // C2 and the start of connect.
        socket.read_exact(&mut [0; 1536 + 12])?;
        socket.write_all(rest)?;
    }
    match end {
        End::Fin => {
            socket.shutdown(Shutdown::Write)?;
            socket.read_to_end(&mut Vec::new()).map(drop)
        }
        #[cfg(target_os = "linux")]
        End::Rst => {
            // Let the client read everything before the reset.
            thread::sleep(Duration::from_millis(50));
            socket2::SockRef::from(socket).set_linger(Some(Duration::ZERO))
        }
    }
}

/// Relay to a server that records the bytes of the server.
struct Recorder {
    listener: Listener,
    bytes: Arc<Mutex<Vec<u8>>>,
}

impl Recorder {
    fn start(port: u16) -> Self {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let listener = Listener::start({
            let bytes = bytes.clone();
            move |_, client| {
                let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port))
                    .expect("the server accepts connections");
                let there = server.try_clone().expect("a handle");
                let to_server = client.clone();
                let upstream = thread::spawn(move || copy_and_record(&to_server, &there, |_| ()));
                copy_and_record(&server, &client, |some| bytes.lock().unwrap().extend(some));
                upstream.join().expect("the relay thread does not panic");
            }
        });
        Self {
            listener: listener.expect("a loopback port is free"),
            bytes,
        }
    }

    fn url(&self) -> String {
        self.listener.url("rtmp", "clip")
    }

    /// Returns the recorded bytes after the client has disconnected.
    fn bytes(self) -> Vec<u8> {
        drop(self.listener);
        self.bytes.lock().unwrap().clone()
    }
}

/// Copies bytes and passes them to `note`; shuts both sockets down at the end.
fn copy_and_record(mut from: &TcpStream, mut to: &TcpStream, mut note: impl FnMut(&[u8])) {
    let mut buffer = [0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        note(&buffer[..count]);
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _ = from.shutdown(Shutdown::Both);
    let _ = to.shutdown(Shutdown::Both);
}

/// Length of S0, S1 and S2.
const HANDSHAKE: usize = 1 + 1536 + 1536;

/// Duration in the metadata of the sample.
const DURATION_MS: u32 = 3080;

/// Number of parallel downloads.
const PARALLEL: usize = 6;
