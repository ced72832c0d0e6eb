//! Prepared bytes, sent as fast as the socket takes them: for measuring clients.
//!
//! One second of 16 Mbit/s video and audio, or a clip, is laid out as chunks once and sent over and
//! over. That works because every message of it has a header of type 1: its timestamp is a step from the
//! message before it, in this round or in the one before (RTMP 5.3.1.2.2).

use std::{fmt, io::Write, sync::Arc};

use rtmpull::core::{
    amf::{Object, amf0},
    rtmp::message::Kind,
};

use super::{
    clip::{Clip, Tag},
    connection::{Connection, Disconnected},
    listener::Listener,
};

/// A stream of so many rounds: the same messages over and over, on a clock that goes on.
pub struct Replay {
    chunk_size: u32,
    /// What the clock shows at the beginning.
    clock_ms: u32,
    metadata: Vec<u8>,
    /// The configuration of audio, and of video.
    sequence_headers: [Vec<u8>; 2],
    round: Round,
    rounds: u64,
    /// So many rounds are sent in one go.
    rounds_per_write: u64,
}

/// What is sent over and over, as chunks.
#[derive(Default)]
struct Round {
    chunks: Vec<u8>,
    messages: u64,
    /// What the messages carry.
    bytes: u64,
    length_ms: u32,
}

impl Replay {
    /// At least `bytes` of audio and video in chunks of `chunk_size`.
    pub fn new(chunk_size: u32, bytes: u64) -> Self {
        let sequence_headers = [AAC_SEQUENCE_HEADER, AVC_SEQUENCE_HEADER].map(<[u8]>::to_vec);
        let round = Round::of_a_second(chunk_size as usize);
        let rounds = bytes.div_ceil(round.bytes);
        Self::of(
            chunk_size,
            metadata(rounds),
            sequence_headers,
            round,
            rounds,
        )
    }

    /// The frames of `clip` over and over, so many times; see [`Clip::thin`].
    pub fn looping(clip: &Clip, rounds: u64) -> Self {
        let sequence_headers = [Tag::AUDIO, Tag::VIDEO].map(|kind| {
            let mut tags = clip.media().filter(|tag| tag.kind == kind);
            let found = tags.find(|tag| tag.is_sequence_header());
            found.expect("a clip of AAC and AVC").body.clone()
        });
        let metadata = clip.metadata().map(|tag| tag.body.clone());
        let round = Round::of_frames(CHUNK_SIZE as usize, clip);
        Self::of(
            CHUNK_SIZE,
            metadata.unwrap_or_default(),
            sequence_headers,
            round,
            rounds,
        )
    }

    fn of(
        chunk_size: u32,
        metadata: Vec<u8>,
        sequence_headers: [Vec<u8>; 2],
        mut round: Round,
        rounds: u64,
    ) -> Self {
        let rounds_per_write = MIN_WRITE.div_ceil(round.chunks.len());
        round.chunks = round.chunks.repeat(rounds_per_write);
        Self {
            chunk_size,
            clock_ms: 0,
            metadata,
            sequence_headers,
            round,
            rounds,
            rounds_per_write: rounds_per_write as u64,
        }
    }

    /// The same on a clock that shows `clock_ms` at the beginning. It counts in 32 bits.
    pub fn on_clock(mut self, clock_ms: u32) -> Self {
        self.clock_ms = clock_ms;
        self
    }

    /// The chunk size that the server must have announced.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// The body of `onMetaData`.
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// How many audio and video messages there are, the two configurations among them.
    pub fn messages(&self) -> u64 {
        2 + self.rounds * self.round.messages
    }

    /// How many bytes they carry.
    pub fn bytes(&self) -> u64 {
        let sequence_headers = self.sequence_headers.iter().map(|body| body.len() as u64);
        sequence_headers.sum::<u64>() + self.rounds * self.round.bytes
    }

    /// From the clock's beginning to the timestamp of the last one.
    pub fn duration_ms(&self) -> u32 {
        self.rounds as u32 * self.round.length_ms
    }

    /// Sends it all.
    pub fn send(&self, connection: &mut Connection) -> Result<(), Disconnected> {
        let [audio, video] = &self.sequence_headers;
        connection.queue(AUDIO, Kind::AUDIO, 1, self.clock_ms, audio)?;
        connection.queue(VIDEO, Kind::VIDEO, 1, self.clock_ms, video)?;
        for chunks in self.chunks() {
            connection.send_prepared(chunks)?;
            connection.receive_pending()?;
        }
        Ok(())
    }

    /// So many seconds of the same as a clip, for servers that keep time.
    pub fn clip(seconds: u32) -> Clip {
        let tag = |kind: Kind, timestamp_ms, body: &[u8]| Tag {
            kind: kind.0,
            timestamp_ms,
            body: body.to_vec(),
        };
        let mut tags = vec![
            tag(Kind::DATA, 0, &metadata(seconds.into())),
            tag(Kind::AUDIO, 0, AAC_SEQUENCE_HEADER),
            tag(Kind::VIDEO, 0, AVC_SEQUENCE_HEADER),
        ];
        for second in 0..seconds {
            messages(|timestamp_ms, kind, body| {
                tags.push(tag(kind, second * 1000 + timestamp_ms, body));
            });
        }
        Clip { tags }
    }

    /// Serves the same bytes to whoever connects, without a handshake or a word: for plain copies
    /// to measure against.
    pub fn serve_raw(self: &Arc<Self>) -> Listener {
        let replay = self.clone();
        let listener = Listener::start(move |_, socket| {
            for chunks in replay.chunks() {
                if (&*socket).write_all(chunks).is_err() {
                    return;
                }
            }
        });
        listener.expect("loopback has a free port")
    }

    /// All rounds, as many at a time as are sent in one go.
    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let whole = self.rounds / self.rounds_per_write;
        let rest = (self.rounds % self.rounds_per_write) as usize;
        let length = self.round.chunks.len() / self.rounds_per_write as usize;
        let whole = (0..whole).map(|_| &self.round.chunks[..]);
        whole.chain([&self.round.chunks[..rest * length]])
    }
}

impl fmt::Debug for Replay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Replay({} ms in chunks of {})",
            self.duration_ms(),
            self.chunk_size
        )
    }
}

impl Round {
    /// A second of 16 Mbit/s.
    fn of_a_second(chunk_size: usize) -> Self {
        let mut round = Self::default();
        messages(|_, kind, body| {
            let delta_ms = if kind == Kind::AUDIO { 20 } else { 40 };
            round.put_message(chunk_size, kind, delta_ms, body);
        });
        round.length_ms = 1000;
        round
    }

    /// The frames of a clip. The first of a track is as far from the last as the second from it.
    fn of_frames(chunk_size: usize, clip: &Clip) -> Self {
        let mut round = Self::default();
        let frames = || clip.media().filter(|tag| !tag.is_sequence_header());
        for (number, tag) in frames().enumerate() {
            let same = |other: &&Tag| other.kind == tag.kind;
            let before = frames().take(number).filter(same).last();
            let delta_ms = match (before, frames().skip(number + 1).find(same)) {
                (Some(before), _) => tag.timestamp_ms - before.timestamp_ms,
                (None, Some(after)) => after.timestamp_ms - tag.timestamp_ms,
                (None, None) => panic!("a track of one frame has no interval"),
            };
            if tag.kind == Tag::VIDEO {
                round.length_ms += delta_ms;
            }
            round.put_message(chunk_size, Kind(tag.kind), delta_ms, &tag.body);
        }
        round
    }

    /// A message with a header of type 1, the rest of its chunks with headers of type 3.
    fn put_message(&mut self, chunk_size: usize, kind: Kind, delta_ms: u32, payload: &[u8]) {
        let chunk_stream = if kind == Kind::AUDIO { AUDIO } else { VIDEO } as u8;
        self.messages += 1;
        self.bytes += payload.len() as u64;
        let out = &mut self.chunks;
        out.push(1 << 6 | chunk_stream);
        out.extend_from_slice(&delta_ms.to_be_bytes()[1..]);
        out.extend_from_slice(&(payload.len() as u32).to_be_bytes()[1..]);
        out.push(kind.0);
        for (index, chunk) in payload.chunks(chunk_size).enumerate() {
            if index > 0 {
                out.push(3 << 6 | chunk_stream);
            }
            out.extend_from_slice(chunk);
        }
    }
}

/// The messages of a second, with their times in it: audio each 20 ms, video each 40 ms, a keyframe
/// first.
fn messages(mut each: impl FnMut(u32, Kind, &[u8])) {
    let mut noise = Noise(1);
    for step in 0..50 {
        let audio = noise.after(&[0xAF, 1], AUDIO_LEN);
        each(20 * step, Kind::AUDIO, &audio);
        if step % 2 == 1 {
            continue;
        }
        let (head, length) = match step {
            0 => ([0x17, 1, 0, 0, 0], KEYFRAME_LEN),
            _ => ([0x27, 1, 0, 0, 0], FRAME_LEN),
        };
        let unit_len = (length - head.len() - 4) as u32;
        let unit_kind = if step == 0 { 0x65 } else { 0x41 };
        let head = [&head[..], &unit_len.to_be_bytes(), &[unit_kind]].concat();
        each(20 * step, Kind::VIDEO, &noise.after(&head, length));
    }
}

fn metadata(seconds: u64) -> Vec<u8> {
    let mut object = Object::new();
    object.insert("duration", seconds as f64);
    object.insert("width", 1920.0);
    object.insert("height", 1080.0);
    object.insert("framerate", 25.0);
    object.insert("videocodecid", 7.0);
    object.insert("audiocodecid", 10.0);
    let mut body = Vec::new();
    amf0::encode(&"onMetaData".into(), &mut body);
    amf0::encode(&object.into(), &mut body);
    body
}

/// Bytes that do not repeat, the same in each run.
struct Noise(u32);

impl Noise {
    fn after(&mut self, head: &[u8], length: usize) -> Vec<u8> {
        let mut bytes = head.to_vec();
        bytes.resize_with(length, || {
            self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (self.0 >> 24) as u8
        });
        bytes
    }
}

/// The size of chunks where nobody wants another.
const CHUNK_SIZE: u32 = 4096;

/// What is sent in one go, at least: little rounds would be sent a packet each.
const MIN_WRITE: usize = 1 << 16;

/// The chunk streams of audio and video.
const AUDIO: u32 = 6;
const VIDEO: u32 = 7;

/// Message lengths: 128 kbit/s of audio, and video that makes 16 Mbit/s with it.
const AUDIO_LEN: usize = 320;
const KEYFRAME_LEN: usize = 400_000;
const FRAME_LEN: usize = 66_000;

/// AVC, High profile 4.0, with parameter sets for 1920 x 1080.
#[rustfmt::skip]
const AVC_SEQUENCE_HEADER: &[u8] = &[
    0x17, 0, 0, 0, 0,
    1, 0x64, 0, 0x28, 0xFF,
    0xE1, 0, 0x1B, // one sequence parameter set
    0x67, 0x64, 0, 0x28, 0xAC, 0xD9, 0x40, 0x78, 0x02, 0x27, 0xE5, 0xC0, 0x44, 0, 0, 3,
    0, 4, 0, 0, 3, 0, 0xC8, 0x3C, 0x60, 0xC6, 0x58,
    1, 0, 6, // one picture parameter set
    0x68, 0xEB, 0xE3, 0xCB, 0x22, 0xC0,
    0xFD, 0xF8, 0xF8, 0, // 4:2:0, 8 bits
];

/// AAC, low complexity, 48 kHz, stereo.
const AAC_SEQUENCE_HEADER: &[u8] = &[0xAF, 0, 0x11, 0x90];
