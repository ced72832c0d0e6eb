use std::collections::{BTreeMap, btree_map::Entry};

use bytes::{Buf, BytesMut};
use tracing::debug;

use super::{
    DEFAULT_CHUNK_SIZE, Error, MAX_CHUNK_SIZE, MAX_CHUNK_STREAMS, MAX_UNFINISHED_BYTES,
    header::{self, BasicHeader, Format, MessageHeader},
    to_usize,
};
use crate::core::{
    payload::{Payload, Pool},
    rtmp::message::{Abort, Kind, Message, SetChunkSize, Timestamp},
    wire::{Missing, Reader, U24},
};

/// Assembles messages from chunks.
///
/// Payload is consumed as it arrives, so the inbox never holds more than an unfinished chunk
/// header. Memory grows with the received bytes, never with a length that a header announces.
#[derive(Debug)]
pub struct Decoder {
    chunk_size: usize,
    streams: ChunkStreams,
    /// The chunk whose payload was incomplete at the end of the last call.
    chunk: Option<Chunk>,
    unfinished_bytes: usize,
    /// The peer leaves the extended timestamp out of type 3 chunks.
    omits_extended: bool,
    pool: Pool,
}

impl Decoder {
    /// Creates a decoder for the bytes after the handshake.
    pub fn new() -> Self {
        Self {
            chunk_size: to_usize(DEFAULT_CHUNK_SIZE),
            streams: ChunkStreams::default(),
            chunk: None,
            unfinished_bytes: 0,
            omits_extended: false,
            pool: Pool::default(),
        }
    }

    /// Consumes bytes from the front of `inbox` up to the end of the next message and returns that
    /// message. Call it again until it returns `None`, then once more bytes have arrived. The bytes
    /// left in `inbox` are the start of a header; append the new bytes to them.
    ///
    /// Set Chunk Size and Abort have already taken effect when they are returned.
    ///
    /// # Errors
    ///
    /// After an error the following bytes cannot be decoded and the connection must be closed.
    pub fn decode(&mut self, inbox: &mut BytesMut) -> Result<Option<Message>, Error> {
        let mut input = Reader::new(inbox);
        let message = self.read_message(&mut input);
        let consumed = inbox.len().saturating_sub(input.len());
        inbox.advance(consumed);
        message
    }

    /// Consumes the next chunk header, or the next payload bytes of one chunk, and describes them. Returns
    /// `None` if more bytes must arrive.
    ///
    /// # Errors
    ///
    /// Fails like [`Decoder::decode`].
    pub fn decode_piece(&mut self, input: &mut Reader<'_>) -> Result<Option<Piece>, Error> {
        let Some(mut chunk) = self.chunk.take() else {
            let Some(chunk) = self.read_header(input)? else {
                return Ok(None);
            };
            self.chunk = Some(chunk);
            let stream = self.streams.entry(chunk.chunk_stream)?;
            let piece = Piece::Header {
                chunk_stream: chunk.chunk_stream,
                kind: stream.kind,
                received: stream.length.saturating_sub(stream.missing()),
            };
            return Ok(Some(piece));
        };
        let Chunk { chunk_stream, left } = chunk;
        if left > 0 && input.is_empty() {
            self.chunk = Some(chunk);
            return Ok(None);
        }
        let stream = self.streams.entry(chunk_stream)?;
        let kind = stream.kind;
        let start = stream.length.saturating_sub(stream.missing());
        let bytes = input
            .take(left.min(input.len()), "payload")
            .unwrap_or_default();
        self.unfinished_bytes = self.unfinished_bytes.saturating_add(bytes.len());
        if self.unfinished_bytes > MAX_UNFINISHED_BYTES {
            return Err(Error::TooMuchUnfinished);
        }
        chunk.left = left.saturating_sub(bytes.len());
        let is_end = stream.append(bytes) == 0;
        if chunk.left > 0 {
            self.chunk = Some(chunk);
        }
        let message = is_end.then(|| self.finish(chunk_stream)).transpose()?;
        Ok(Some(Piece::Payload {
            chunk_stream,
            kind,
            start,
            message,
        }))
    }

    /// Returns the number of received bytes that belong to unfinished messages.
    pub fn unfinished_bytes(&self) -> usize {
        self.unfinished_bytes
    }

    /// Returns an empty payload from the pool for a sub-message of `length` bytes.
    pub fn take_payload(&mut self, length: usize) -> Payload {
        self.pool.take(length)
    }

    /// Returns the payload of a finished message to the pool.
    pub fn recycle(&mut self, payload: Payload) {
        self.pool.put(payload);
    }

    /// Returns the pool of unused payloads.
    pub fn pool_mut(&mut self) -> &mut Pool {
        &mut self.pool
    }

    /// Returns true if no message is unfinished. A connection ends at a message boundary if this
    /// holds and the inbox is empty.
    pub fn is_between_messages(&self) -> bool {
        self.streams.iter().all(|stream| stream.partial.is_none())
    }

    fn read_message(&mut self, input: &mut Reader<'_>) -> Result<Option<Message>, Error> {
        loop {
            let chunk = match self.chunk.take() {
                Some(chunk) => chunk,
                None => match self.read_header(input)? {
                    Some(chunk) => chunk,
                    None => return Ok(None),
                },
            };
            match self.read_payload(chunk, input)? {
                Progress::ChunkUnfinished => return Ok(None),
                Progress::ChunkEnded => {}
                Progress::MessageEnded => return self.finish(chunk.chunk_stream).map(Some),
            }
        }
    }

    /// Consumes a chunk header if it is complete.
    fn read_header(&mut self, input: &mut Reader<'_>) -> Result<Option<Chunk>, Error> {
        // An incomplete header must stay in the inbox, so it is read ahead of `input`.
        let mut ahead = input.clone();
        let Ok((chunk_stream, header)) = header::read(&mut ahead) else {
            return Ok(None);
        };
        let stream = self.streams.entry(chunk_stream)?;
        if !stream.has_header && !header.has_length() {
            let format = header.format() as u8;
            return Err(Error::NoHeader {
                chunk_stream,
                format,
            });
        }
        if header == MessageHeader::Type3
            && stream
                .skip_extended(&mut ahead, &mut self.omits_extended)
                .is_err()
        {
            return Ok(None);
        }
        *input = ahead;
        let dropped = stream.apply(header, &mut self.pool);
        let left = stream.missing().min(self.chunk_size);
        if let Some(partial) = dropped {
            debug!(
                chunk_stream,
                bytes = partial.len(),
                "unfinished message dropped at the header of the next"
            );
            self.discard(partial);
        }
        Ok(Some(Chunk { chunk_stream, left }))
    }

    /// Consumes the rest of a chunk, and following type 3 chunks of the same message.
    fn read_payload(
        &mut self,
        mut chunk: Chunk,
        input: &mut Reader<'_>,
    ) -> Result<Progress, Error> {
        let stream = self.streams.entry(chunk.chunk_stream)?;
        loop {
            let count = chunk.left.min(input.len());
            let bytes = input.take(count, "payload").unwrap_or_default();
            self.unfinished_bytes = self.unfinished_bytes.saturating_add(count);
            if self.unfinished_bytes > MAX_UNFINISHED_BYTES {
                return Err(Error::TooMuchUnfinished);
            }
            let missing = stream.append(bytes);
            chunk.left = chunk.left.saturating_sub(count);
            if chunk.left > 0 {
                self.chunk = Some(chunk);
                return Ok(Progress::ChunkUnfinished);
            }
            if missing == 0 {
                return Ok(Progress::MessageEnded);
            }
            // The next chunk usually continues this message. Other headers take the general path.
            if !stream.skip_continuation(chunk.chunk_stream, input, &mut self.omits_extended) {
                return Ok(Progress::ChunkEnded);
            }
            chunk.left = missing.min(self.chunk_size);
        }
    }

    fn finish(&mut self, chunk_stream: u32) -> Result<Message, Error> {
        let stream = self.streams.entry(chunk_stream)?;
        let payload = stream.partial.take().unwrap_or_default();
        self.unfinished_bytes = self.unfinished_bytes.saturating_sub(payload.len());
        let message = Message {
            chunk_stream,
            kind: stream.kind,
            message_stream: stream.message_stream,
            timestamp: stream.timestamp,
            payload,
        };
        // The message type alone decides: some servers send these messages on chunk streams and
        // message streams other than 2 and 0.
        match message.kind {
            Kind::SET_CHUNK_SIZE => self.set_chunk_size(&message.payload)?,
            Kind::ABORT => self.abort(&message.payload),
            _ => {}
        }
        Ok(message)
    }

    fn set_chunk_size(&mut self, payload: &[u8]) -> Result<(), Error> {
        let SetChunkSize(size) = SetChunkSize::read(payload).map_err(Error::NoChunkSize)?;
        // RTMP 5.4.1: the chunk size is at least 1, and the top bit is zero.
        if !(1..=MAX_CHUNK_SIZE).contains(&size) {
            return Err(Error::ChunkSize(size));
        }
        debug!("received chunk size {size} B");
        self.chunk_size = to_usize(size);
        Ok(())
    }

    /// Drops the received part of an unfinished message (RTMP 5.4.2). The next delta still counts
    /// from the timestamp of the dropped message.
    fn abort(&mut self, payload: &[u8]) {
        let Ok(Abort(chunk_stream)) = Abort::read(payload) else {
            debug!("abort message without a chunk stream id ignored");
            return;
        };
        let stream = self.streams.get_mut(chunk_stream);
        if let Some(partial) = stream.and_then(|stream| stream.partial.take()) {
            debug!(chunk_stream, bytes = partial.len(), "message aborted");
            self.discard(partial);
        }
    }

    fn discard(&mut self, partial: Payload) {
        self.unfinished_bytes = self.unfinished_bytes.saturating_sub(partial.len());
        self.pool.put(partial);
    }
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

/// A piece of the received bytes, see [`Decoder::decode_piece`].
#[derive(Debug)]
pub enum Piece {
    /// The header of a chunk.
    Header {
        /// The chunk stream's id.
        chunk_stream: u32,
        /// The type of the message.
        kind: Kind,
        /// Number of payload bytes of the message that were received before.
        received: usize,
    },
    /// Payload bytes of one chunk.
    Payload {
        /// The chunk stream's id.
        chunk_stream: u32,
        /// The type of the message.
        kind: Kind,
        /// Position of the bytes in the payload of the message.
        start: usize,
        /// The message, if these are its last bytes.
        message: Option<Message>,
    },
}

#[derive(Debug, Clone, Copy)]
struct Chunk {
    chunk_stream: u32,
    /// Payload bytes that have not arrived.
    left: usize,
}

#[derive(Debug, Clone, Copy)]
enum Progress {
    ChunkUnfinished,
    ChunkEnded,
    MessageEnded,
}

/// The chunk streams. Those with one-byte ids are indexed, because nearly all chunks use them; the
/// others are looked up in a map.
#[derive(Debug, Default)]
struct ChunkStreams {
    /// Chunk streams up to the highest one-byte id that was used.
    low: Vec<ChunkStream>,
    high: BTreeMap<u32, ChunkStream>,
}

impl ChunkStreams {
    fn entry(&mut self, id: u32) -> Result<&mut ChunkStream, Error> {
        let index = to_usize(id);
        if index < LOW_IDS {
            self.make_low(index);
        }
        if let Some(stream) = self.low.get_mut(index) {
            return Ok(stream);
        }
        let is_full = self.high.len() >= MAX_HIGH;
        match self.high.entry(id) {
            Entry::Occupied(stream) => Ok(stream.into_mut()),
            Entry::Vacant(_) if is_full => Err(Error::TooManyChunkStreams),
            Entry::Vacant(vacant) => Ok(vacant.insert(ChunkStream::default())),
        }
    }

    /// Makes `low` long enough for the chunk stream at `index`.
    #[inline]
    fn make_low(&mut self, index: usize) {
        let missing = index.saturating_add(1).saturating_sub(self.low.len());
        if missing > 0 {
            // Exact, because a connection rarely uses more than three chunk streams.
            self.low.reserve_exact(missing);
            let added = std::iter::repeat_with(ChunkStream::default).take(missing);
            self.low.extend(added);
        }
    }

    fn get_mut(&mut self, id: u32) -> Option<&mut ChunkStream> {
        match self.low.get_mut(to_usize(id)) {
            Some(stream) => Some(stream),
            None => self.high.get_mut(&id),
        }
    }

    fn iter(&self) -> impl Iterator<Item = &ChunkStream> {
        self.low.iter().chain(self.high.values())
    }
}

/// The state of a chunk stream: the fields that later headers may omit, and the unfinished message.
#[derive(Debug)]
struct ChunkStream {
    has_header: bool,
    kind: Kind,
    message_stream: u32,
    length: usize,
    timestamp: Timestamp,
    timestamp_step: TimestampStep,
    /// The extended timestamp of the latest type 0, 1 or 2 header; `None` if that header had none.
    extended: Option<u32>,
    partial: Option<Payload>,
}

impl ChunkStream {
    /// Consumes the header of a type 3 chunk of this chunk stream if it is the next header. Returns
    /// true if it did.
    #[inline]
    fn skip_continuation(
        &mut self,
        chunk_stream: u32,
        input: &mut Reader<'_>,
        omits_extended: &mut bool,
    ) -> bool {
        let continuation = BasicHeader {
            format: Format::Type3,
            chunk_stream,
        };
        let mut ahead = input.clone();
        let is_next = BasicHeader::read(&mut ahead) == Ok(continuation)
            && self.skip_extended(&mut ahead, omits_extended).is_ok();
        if is_next {
            *input = ahead;
        }
        is_next
    }

    /// Consumes the extended timestamp of a type 3 chunk, if the peer sends one. Fails if too few
    /// bytes have arrived to decide.
    ///
    /// "This field is present in Type 3 chunks when the most recent Type 0, 1, or 2 chunk for the
    /// same chunk stream ID indicated the presence of an extended timestamp field" (RTMP 5.3.1.3).
    /// Peers that follow older documents omit it.
    #[inline]
    fn skip_extended(
        &mut self,
        ahead: &mut Reader<'_>,
        omits_extended: &mut bool,
    ) -> Result<(), Missing> {
        let Some(extended) = self.extended else {
            return Ok(());
        };
        if *omits_extended {
            return Ok(());
        }
        if self.partial.is_none() {
            // The value of a field that starts a message is not known in advance, so only a chunk
            // that continues a message can reveal whether the peer omits the field.
            self.extended = Some(ahead.u32("extended timestamp")?);
            return Ok(());
        }
        // Some peers repeat the message timestamp even if the field was a delta.
        let repeated = [extended.to_be_bytes(), self.timestamp.0.to_be_bytes()];
        let rest = ahead.rest();
        let next = rest.get(..4).unwrap_or(rest);
        if repeated.iter().any(|field| field.starts_with(next)) {
            return ahead.u32("extended timestamp").map(drop);
        }
        debug!("the peer omits extended timestamps in type 3 chunks");
        *omits_extended = true;
        Ok(())
    }

    /// Applies a header. If it starts a message while another is unfinished, returns the payload of
    /// the unfinished one.
    fn apply(&mut self, header: MessageHeader, pool: &mut Pool) -> Option<Payload> {
        self.has_header = true;
        // A type 3 header has no time, so the extended timestamp of an earlier header still applies.
        if let Some(time) = header.time() {
            self.extended = time.extended();
        }
        if self.is_continued_by(header) {
            return None;
        }
        self.begin_message(header);
        self.partial.replace(pool.take(self.length))
    }

    /// Returns true if a chunk with this header continues the unfinished message. RTMP 5.3.1.2.4
    /// prescribes type 3 for that; any other header with the same fields is accepted too.
    fn is_continued_by(&self, header: MessageHeader) -> bool {
        let is_same =
            |length: U24, kind| to_usize(length.get()) == self.length && kind == self.kind;
        self.partial.is_some()
            && match header {
                MessageHeader::Type0 {
                    length,
                    kind,
                    message_stream,
                    ..
                } => is_same(length, kind) && message_stream == self.message_stream,
                MessageHeader::Type1 { length, kind, .. } => is_same(length, kind),
                MessageHeader::Type2 { .. } | MessageHeader::Type3 => true,
            }
    }

    fn begin_message(&mut self, header: MessageHeader) {
        if let MessageHeader::Type0 { length, kind, .. }
        | MessageHeader::Type1 { length, kind, .. } = header
        {
            self.length = to_usize(length.get());
            self.kind = kind;
        }
        match header {
            MessageHeader::Type0 {
                timestamp,
                message_stream,
                ..
            } => {
                self.message_stream = message_stream;
                self.timestamp = Timestamp(timestamp.value_ms());
                // The timestamp is absolute: the step applies only to a type 3 chunk that starts a message.
                self.timestamp_step = TimestampStep::Absolute(timestamp.value_ms());
                return;
            }
            MessageHeader::Type1 { delta, .. } | MessageHeader::Type2 { delta } => {
                self.timestamp_step = TimestampStep::Delta(delta.value_ms());
            }
            // RTMP 5.3.1.2.4: a type 3 chunk that starts a message repeats the previous step.
            MessageHeader::Type3 => {}
        }
        self.timestamp = self.timestamp.wrapping_add(self.timestamp_step.step_ms());
    }

    /// Appends to the unfinished message and returns the number of bytes that are still missing.
    #[inline]
    fn append(&mut self, bytes: &[u8]) -> usize {
        let partial = self.partial.get_or_insert_default();
        partial.extend_from_slice(bytes);
        self.length.saturating_sub(partial.len())
    }

    fn missing(&self) -> usize {
        let arrived = self.partial.as_ref().map_or(0, |partial| partial.len());
        self.length.saturating_sub(arrived)
    }
}

impl Default for ChunkStream {
    fn default() -> Self {
        Self {
            has_header: false,
            kind: Kind(0),
            message_stream: 0,
            length: 0,
            timestamp: Timestamp::default(),
            timestamp_step: TimestampStep::Delta(0),
            extended: None,
            partial: None,
        }
    }
}

/// The step that a type 3 chunk adds to the timestamp if it starts a message (RTMP 5.3.1.2.4).
#[derive(Debug, Clone, Copy)]
enum TimestampStep {
    /// The delta of the previous type 1 or 2 chunk.
    Delta(u32),
    /// The timestamp of the previous type 0 chunk.
    Absolute(u32),
}

impl TimestampStep {
    fn step_ms(self) -> u32 {
        match self {
            Self::Absolute(timestamp_ms) if timestamp_ms >= MAX_FIRST_DELTA_MS => {
                debug!(
                    timestamp_ms,
                    "type 3 chunk after type 0 has the same timestamp"
                );
                0
            }
            Self::Absolute(delta_ms) | Self::Delta(delta_ms) => delta_ms,
        }
    }
}

/// Chunk stream ids below this fit into a one-byte basic header.
const LOW_IDS: usize = 64;

/// Largest number of chunk streams with longer ids.
const MAX_HIGH: usize = MAX_CHUNK_STREAMS - LOW_IDS;

/// "If a Type 3 chunk follows a Type 0 chunk, then the timestamp delta for this Type 3 chunk is the
/// same as the timestamp of the Type 0 chunk" (RTMP 5.3.1.2.4). Senders mean that only near the
/// start of a stream. At or above this timestamp the rule would double the clock, and real senders
/// mean "the same timestamp".
const MAX_FIRST_DELTA_MS: u32 = 10_000;
