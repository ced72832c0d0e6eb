//! Prepared bytes, sent at full speed to measure clients.
//!
//! One second of 16 Mbit/s audio and video, or a clip, is encoded as chunks once and sent
//! repeatedly. Every message has a type 1 header, so its timestamp is a delta to the previous
//! message of its chunk stream, in this round or in the one before (RTMP 5.3.1.2.2).

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

/// Stream that repeats the same messages with increasing timestamps.
pub struct Replay {
    chunk_size: u32,
    /// Timestamp of the first message, in milliseconds.
    clock_ms: u32,
    metadata: Vec<u8>,
    /// Sequence headers of audio and video.
    sequence_headers: [Vec<u8>; 2],
    round: Round,
    rounds: u64,
    /// Number of rounds per write.
    rounds_per_write: u64,
}

/// Repeated messages, encoded as chunks.
#[derive(Clone, Default)]
pub(super) struct Round {
    pub(super) chunks: Vec<u8>,
    messages: u64,
    /// Total payload bytes.
    bytes: u64,
    pub(super) length_ms: u32,
    /// End of each message in `chunks`.
    pub(super) ends: Vec<usize>,
    /// Time of each message, if the round was made of a clip.
    pub(super) times_ms: Vec<u32>,
}

impl Replay {
    /// Chunk size of replays of a clip.
    pub(super) const CLIP_CHUNK_SIZE: u32 = 4096;

    /// Creates a replay of at least `bytes` payload bytes in chunks of `chunk_size`.
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

    /// Creates a replay that repeats the frames of `clip` `rounds` times; see [`Clip::thin`].
    pub fn looping(clip: &Clip, rounds: u64) -> Self {
        let metadata = clip.metadata().map(|tag| tag.body.clone());
        let round = Round::of_frames(Self::CLIP_CHUNK_SIZE as usize, clip);
        Self::of(
            Self::CLIP_CHUNK_SIZE,
            metadata.unwrap_or_default(),
            sequence_headers(clip),
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

    /// Returns the same replay with `clock_ms` as the first timestamp. Timestamps wrap at 2^32.
    pub fn on_clock(mut self, clock_ms: u32) -> Self {
        self.clock_ms = clock_ms;
        self
    }

    /// Returns the chunk size that the server must announce.
    pub fn chunk_size(&self) -> u32 {
        self.chunk_size
    }

    /// Returns the payload of `onMetaData`.
    pub fn metadata(&self) -> &[u8] {
        &self.metadata
    }

    /// Returns the number of audio and video messages, including two sequence headers.
    pub fn messages(&self) -> u64 {
        2 + self.rounds * self.round.messages
    }

    /// Returns the total payload bytes.
    pub fn bytes(&self) -> u64 {
        let sequence_headers = self.sequence_headers.iter().map(|body| body.len() as u64);
        sequence_headers.sum::<u64>() + self.rounds * self.round.bytes
    }

    /// Returns the difference between the first and the last timestamp, in milliseconds.
    pub fn duration_ms(&self) -> u32 {
        self.rounds as u32 * self.round.length_ms
    }

    /// Sends the complete stream.
    pub fn send(&self, connection: &mut Connection) -> Result<(), Disconnected> {
        let [audio, video] = &self.sequence_headers;
        Self::queue_sequence_headers(connection, self.clock_ms, audio, video)?;
        for chunks in self.chunks() {
            connection.send_prepared(chunks)?;
            connection.receive_pending()?;
        }
        Ok(())
    }

    /// Queues the messages to which the deltas of the first round refer.
    pub(super) fn queue_sequence_headers(
        connection: &mut Connection,
        clock_ms: u32,
        audio: &[u8],
        video: &[u8],
    ) -> Result<(), Disconnected> {
        connection.queue(AUDIO, Kind::AUDIO, 1, clock_ms, audio)?;
        connection.queue(VIDEO, Kind::VIDEO, 1, clock_ms, video)
    }

    /// Returns the same media as a clip of `seconds`, for servers that pace.
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

    /// Serves the chunks to every client without a handshake or commands, as the baseline for
    /// copies.
    pub fn serve_raw(self: &Arc<Self>) -> Listener {
        let replay = self.clone();
        let listener = Listener::start(move |_, socket| {
            for chunks in replay.chunks() {
                if (&*socket).write_all(chunks).is_err() {
                    return;
                }
            }
        });
        listener.expect("a loopback port is free")
    }

    /// Returns the chunks of all rounds, one item per write.
    fn chunks(&self) -> impl Iterator<Item = &[u8]> {
        let full = self.rounds / self.rounds_per_write;
        let rest = (self.rounds % self.rounds_per_write) as usize;
        let length = self.round.chunks.len() / self.rounds_per_write as usize;
        let full = (0..full).map(|_| &self.round.chunks[..]);
        full.chain([&self.round.chunks[..rest * length]])
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
    /// Encodes one second of 16 Mbit/s.
    fn of_a_second(chunk_size: usize) -> Self {
        let mut round = Self::default();
        messages(|_, kind, body| {
            let delta_ms = if kind == Kind::AUDIO { 20 } else { 40 };
            round.put_message(chunk_size, kind, delta_ms, body);
        });
        round.length_ms = 1000;
        round
    }

    /// Encodes the frames of a clip. The delta of a track's first frame equals that of its second
    /// frame.
    pub(super) fn of_frames(chunk_size: usize, clip: &Clip) -> Self {
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
            round.times_ms.push(tag.timestamp_ms);
        }
        round
    }

    /// Appends a message: a type 1 header for the first chunk, type 3 headers for the others.
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
        self.ends.push(self.chunks.len());
    }
}

/// Returns the sequence headers of audio and video.
///
/// # Panics
///
/// Panics if the clip lacks one of them.
pub(super) fn sequence_headers(clip: &Clip) -> [Vec<u8>; 2] {
    [Tag::AUDIO, Tag::VIDEO].map(|kind| {
        let mut tags = clip.media().filter(|tag| tag.kind == kind);
        let found = tags.find(|tag| tag.is_sequence_header());
        found.expect("a clip of AAC and AVC").body.clone()
    })
}

/// Calls `each` with the messages of one second and their times: audio every 20 ms, video every 40
/// ms, starting with a keyframe.
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

/// Deterministic generator of non-repeating bytes.
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

/// Smallest write: short rounds would be sent as one packet each.
const MIN_WRITE: usize = 1 << 16;

/// Chunk streams of audio and video.
const AUDIO: u32 = 6;
const VIDEO: u32 = 7;

/// Payload lengths: 128 kbit/s of audio, and video for a total of 16 Mbit/s.
const AUDIO_LEN: usize = 320;
const KEYFRAME_LEN: usize = 400_000;
const FRAME_LEN: usize = 66_000;

/// AVC sequence header: High profile, level 4.0, with parameter sets for 1920x1080.
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

/// AAC sequence header: low complexity, 48 kHz, stereo.
const AAC_SEQUENCE_HEADER: &[u8] = &[0xAF, 0, 0x11, 0x90];
