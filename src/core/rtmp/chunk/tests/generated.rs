//! Property tests: random chunk sequences, encoded by hand and not by the encoder.

use proptest::{collection::vec, prelude::*, sample::select};

use super::*;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_legal_chunk_sequence_decodes(
        steps in vec(step(), 1..60),
        omits_extended: bool,
        pieces in vec(1..300_usize, 1..8),
    ) {
        let mut sender = Sender::new(omits_extended);
        for step in steps {
            sender.take(step);
        }
        let is_clean = sender.streams.iter().all(|stream| stream.rest.is_none());
        let (messages, end) = decode(cut(&sender.wire, &pieces));
        prop_assert_eq!(messages, sender.messages);
        prop_assert_eq!(end, Ok(is_clean));
    }

    #[test]
    fn encoder_output_decodes_to_the_same_messages(
        messages in vec(any_message(), 1..30),
        sizes in vec(chunk_size(), 1..4),
        pieces in vec(1..300_usize, 1..8),
    ) {
        let mut encoder = Encoder::new();
        let mut wire = BytesMut::new();
        let mut all = Vec::new();
        for (messages, size) in messages.chunks(8).zip(sizes.into_iter().cycle()) {
            all.push(message(2, 1, 0, 0, &SetChunkSize(size).to_bytes()));
            encode(&mut encoder, &all[all.len() - 1], &mut wire).unwrap();
            encoder.set_chunk_size(size);
            for message in messages {
                encode(&mut encoder, message, &mut wire).unwrap();
                all.push(message.clone());
            }
        }
        prop_assert_eq!(decode(cut(&wire, &pieces)), (all, Ok(true)));
    }

    #[test]
    fn random_bytes_decode_alike_in_pieces(
        bytes in vec(any::<u8>(), 0..500),
        pieces in vec(1..50_usize, 1..8),
    ) {
        prop_assert_eq!(decode(cut(&bytes, &pieces)), decode([&bytes[..]]));
    }

    #[test]
    fn corrupted_chunks_decode_alike_in_pieces(
        steps in vec(step(), 1..20),
        corrupted in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        pieces in vec(1..50_usize, 1..8),
    ) {
        let mut sender = Sender::new(false);
        for step in steps {
            sender.take(step);
        }
        for (index, byte) in corrupted {
            if !sender.wire.is_empty() {
                *index.get_mut(&mut sender.wire) = byte;
            }
        }
        prop_assert_eq!(decode(cut(&sender.wire, &pieces)), decode([&sender.wire[..]]));
    }
}

/// Splits `bytes` into pieces of these lengths, which repeat.
fn cut<'a>(mut bytes: &'a [u8], lengths: &[usize]) -> Vec<&'a [u8]> {
    let mut pieces = Vec::new();
    for length in lengths.iter().cycle() {
        let (piece, rest) = bytes.split_at((*length).min(bytes.len()));
        pieces.push(piece);
        bytes = rest;
        if bytes.is_empty() {
            break;
        }
    }
    pieces
}

/// Chunk stream ids at the limits of the basic header forms. Control messages use 2, which is not
/// listed.
const IDS: [u32; 7] = [3, 63, 64, 319, 320, 365, 65_599];

/// The next chunk or message to write. If the history forbids it, the sender writes something
/// similar.
#[derive(Debug, Clone)]
enum Step {
    /// A chunk that continues the unfinished message or, without one, starts a message.
    Chunk(ChunkSpec),
    /// A header that differs from that of the unfinished message.
    Restart(ChunkSpec),
    Abort(usize),
    SetChunkSize(u32),
}

#[derive(Debug, Clone)]
struct ChunkSpec {
    /// Index into [`IDS`].
    index: usize,
    format: u8,
    /// Whether the basic header uses the three-byte form.
    is_long: bool,
    time: u32,
    /// Whether the time is extended although 24 bits are enough.
    is_over_long: bool,
    /// Whether a type 3 chunk repeats the message timestamp instead of the field.
    repeats_timestamp: bool,
    length: usize,
    kind: u8,
    stream: u32,
    first_byte: u8,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        16 => spec().prop_map(Step::Chunk),
        1 => spec().prop_map(Step::Restart),
        1 => (0..IDS.len()).prop_map(Step::Abort),
        2 => chunk_size().prop_map(Step::SetChunkSize),
    ]
}

fn spec() -> impl Strategy<Value = ChunkSpec> {
    let header = (0..IDS.len(), select(&[0, 1, 2, 3, 3, 3][..]), any::<bool>());
    let time = (time(), prop::bool::weighted(0.1), any::<bool>());
    let kind = select(&[8_u8, 9, 18, 20, 99][..]);
    let message = (length(), kind, 0..3_u32, any::<u8>());
    (header, time, message).prop_map(|(header, time, message)| ChunkSpec {
        index: header.0,
        format: header.1,
        is_long: header.2,
        time: time.0,
        is_over_long: time.1,
        repeats_timestamp: time.2,
        length: message.0,
        kind: message.1,
        stream: message.2,
        first_byte: message.3,
    })
}

fn time() -> impl Strategy<Value = u32> {
    prop_oneof![
        4 => 0..100_u32,
        1 => 9_990..10_010_u32,
        2 => 0xFF_FFFE..0x100_0002_u32,
        1 => u32::MAX - 40..=u32::MAX,
        1 => any::<u32>(),
    ]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![0..4_usize, 120..140_usize, 0..600_usize]
}

fn chunk_size() -> impl Strategy<Value = u32> {
    prop_oneof![1..5_u32, 100..200_u32, 4000..70_000_u32, Just(0x7FFF_FFFF)]
}

fn any_message() -> impl Strategy<Value = Message> {
    let kind = select(&[8_u8, 9, 18, 20, 99][..]);
    let payload = (length(), any::<u8>()).prop_map(|(length, first)| pattern(first, length));
    (select(&IDS[..]), kind, 0..3_u32, time(), payload).prop_map(
        |(chunk_stream, kind, stream, timestamp, payload)| {
            message(chunk_stream, kind, stream, timestamp, &payload)
        },
    )
}

fn pattern(first: u8, length: usize) -> Vec<u8> {
    let bytes = std::iter::successors(Some(first), |byte| {
        Some(byte.wrapping_mul(5).wrapping_add(17))
    });
    bytes.take(length).collect()
}

/// Writes chunks and records the messages that they encode.
#[derive(Debug)]
struct Sender {
    wire: Vec<u8>,
    messages: Vec<Message>,
    chunk_size: usize,
    /// One entry for each of [`IDS`].
    streams: Vec<Stream>,
    omits_extended: bool,
    /// Whether a chunk that continues a message has revealed the omission to the decoder.
    has_omitted: bool,
}

#[derive(Debug, Clone, Default)]
struct Stream {
    has_header: bool,
    kind: u8,
    stream: u32,
    timestamp: u32,
    delta: u32,
    extended: Option<u32>,
    payload: Vec<u8>,
    /// The unwritten part of the unfinished message.
    rest: Option<Vec<u8>>,
}

impl Sender {
    fn new(omits_extended: bool) -> Self {
        Self {
            wire: Vec::new(),
            messages: Vec::new(),
            chunk_size: 128,
            streams: vec![Stream::default(); IDS.len()],
            omits_extended,
            has_omitted: false,
        }
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Chunk(spec) if self.streams[spec.index].rest.is_some() => {
                self.continue_message(spec)
            }
            Step::Chunk(spec) => self.start_message(spec),
            Step::Restart(spec) => {
                let stream = &self.streams[spec.index];
                let length = stream.payload.len() + 1;
                let format = spec.format % 2;
                self.start_message(ChunkSpec {
                    length,
                    format,
                    ..spec
                });
            }
            Step::Abort(index) => {
                self.control(2, IDS[index]);
                self.streams[index].rest = None;
            }
            Step::SetChunkSize(size) => {
                self.control(1, size);
                self.chunk_size = size as usize;
            }
        }
    }

    /// Writes type 0 on chunk stream 2, then type 3 if the chunk size splits the message.
    fn control(&mut self, kind: u8, value: u32) {
        let payload = value.to_be_bytes();
        self.wire.extend([0x02, 0, 0, 0, 0, 0, 4, kind, 0, 0, 0, 0]);
        for (index, chunk) in payload.chunks(self.chunk_size).enumerate() {
            if index > 0 {
                self.wire.push(0xC2);
            }
            self.wire.extend(chunk);
        }
        self.messages.push(message(2, kind, 0, 0, &payload));
    }

    fn start_message(&mut self, spec: ChunkSpec) {
        let stream = &mut self.streams[spec.index];
        let mut format = spec.format;
        if !stream.has_header {
            format %= 2; // type 1 is accepted as the first
        }
        if format == 3 && stream.extended.is_some() && self.omits_extended && !self.has_omitted {
            format = 2; // otherwise the decoder cannot tell
        }
        if format == 0 {
            stream.stream = spec.stream;
        }
        if format <= 1 {
            stream.kind = spec.kind;
            stream.payload.resize(spec.length, 0);
        }
        match format {
            0 => {
                stream.timestamp = spec.time;
                stream.delta = if spec.time < 10_000 { spec.time } else { 0 };
            }
            1 | 2 => stream.delta = spec.time,
            _ => {}
        }
        if format != 0 {
            stream.timestamp = stream.timestamp.wrapping_add(stream.delta);
        }
        stream.has_header = true;
        let spec = ChunkSpec {
            repeats_timestamp: false,
            ..spec
        };
        self.header(format, &spec);
        let stream = &mut self.streams[spec.index];
        stream.payload = pattern(spec.first_byte, stream.payload.len());
        if self.omits_extended {
            // The payload must not resemble the field, or the decoder takes it for the field.
            let fields = [stream.extended.unwrap_or(0), stream.timestamp];
            let taken = fields.map(|field| field.to_be_bytes()[0]);
            for byte in &mut stream.payload {
                while taken.contains(byte) {
                    *byte = byte.wrapping_add(1);
                }
            }
        }
        stream.rest = Some(stream.payload.clone());
        self.payload(spec.index);
    }

    /// Writes a type 3 header, or one that repeats the fields with a time that does not count.
    fn continue_message(&mut self, mut spec: ChunkSpec) {
        if self.omits_extended {
            spec.time &= 0x7F_FFFF; // the payload was chosen for the current extended field only
            spec.is_over_long = false;
        }
        if spec.format == 3 && self.streams[spec.index].extended.is_some() {
            self.has_omitted |= self.omits_extended;
        }
        self.header(spec.format, &spec);
        self.payload(spec.index);
    }

    /// Writes the basic header, the message header and the extended timestamp.
    fn header(&mut self, format: u8, spec: &ChunkSpec) {
        let stream = &mut self.streams[spec.index];
        basic_header(format, IDS[spec.index], spec.is_long, &mut self.wire);
        let is_extended = spec.time >= 0xFF_FFFF || spec.is_over_long;
        if format <= 2 {
            let field = if is_extended { 0xFF_FFFF } else { spec.time };
            self.wire.extend(&field.to_be_bytes()[1..]);
            stream.extended = is_extended.then_some(spec.time);
        }
        if format <= 1 {
            let length = stream.payload.len() as u32;
            self.wire.extend(&length.to_be_bytes()[1..]);
            self.wire.push(stream.kind);
        }
        if format == 0 {
            self.wire.extend(stream.stream.to_le_bytes());
        }
        if format <= 2 || !self.omits_extended {
            let field = stream.extended.map(|field| {
                let is_repeated = format == 3 && spec.repeats_timestamp;
                if is_repeated { stream.timestamp } else { field }
            });
            self.wire
                .extend(field.map(u32::to_be_bytes).into_iter().flatten());
        }
    }

    fn payload(&mut self, index: usize) {
        let stream = &mut self.streams[index];
        let rest = stream.rest.take().unwrap();
        let (chunk, rest) = rest.split_at(self.chunk_size.min(rest.len()));
        self.wire.extend(chunk);
        if !rest.is_empty() {
            stream.rest = Some(rest.to_vec());
            return;
        }
        self.messages.push(message(
            IDS[index],
            stream.kind,
            stream.stream,
            stream.timestamp,
            &stream.payload,
        ));
    }
}

fn basic_header(format: u8, id: u32, is_long: bool, out: &mut Vec<u8>) {
    let format = format << 6;
    match id {
        ..64 => out.push(format | id as u8),
        64..320 if !is_long => out.extend([format, (id - 64) as u8]),
        _ => {
            out.push(format | 1);
            out.extend(((id - 64) as u16).to_le_bytes());
        }
    }
}
