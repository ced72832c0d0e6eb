//! Redaction of the bytes of a session, for captures that can be shared.
//!
//! The bytes stay a valid chunk stream: secrets are overwritten with the same number of bytes, and a shortened
//! audio or video message has a header with its new length.

mod secrets;
#[cfg(test)]
mod tests;

use std::{collections::BTreeMap, mem, ops::Range, sync::Arc};

pub use self::secrets::Secrets;
use super::{
    chunk::{self, Piece, to_usize},
    message::Kind,
};
use crate::core::wire::{Reader, U24};

/// Content that a redacted session keeps.
#[derive(Debug, Clone)]
pub struct Rules {
    /// Largest number of bytes of an audio, video or aggregate message; `None` keeps messages unchanged.
    pub media_bytes: Option<u32>,
    /// The secrets to overwrite; `None` keeps all bytes.
    pub secrets: Option<Arc<Secrets>>,
}

/// Redacts one direction of a session, from the first byte of the handshake on.
#[derive(Debug)]
pub struct Redactor {
    rules: Rules,
    decoder: chunk::Decoder,
    stage: Stage,
    /// The start of an incomplete chunk header.
    input: Vec<u8>,
    /// Redacted bytes that wait for the end of an unfinished message.
    held: Vec<u8>,
    /// The payload in `held` of unfinished messages, by chunk stream.
    unfinished: BTreeMap<u32, Vec<Unfinished>>,
}

/// Payload bytes of a message whose end has not arrived.
#[derive(Debug)]
struct Unfinished {
    /// Position in the payload of the message.
    start: usize,
    /// Position in the bytes that wait.
    held: Range<usize>,
}

/// Kind of the next bytes.
#[derive(Debug, Clone, Copy)]
enum Stage {
    /// The handshake, with the number of bytes that have not arrived.
    Handshake(usize),
    Chunks,
    /// Bytes after a violation of the chunk layer.
    Undecodable,
}

impl Redactor {
    /// Creates a redactor for the first byte of a session.
    pub fn new(rules: Rules) -> Self {
        Self {
            rules,
            decoder: chunk::Decoder::new(),
            stage: Stage::Handshake(HANDSHAKE_BYTES),
            input: Vec::new(),
            held: Vec::new(),
            unfinished: BTreeMap::new(),
        }
    }

    /// Appends the redacted form of `bytes` to `out`, after that of earlier bytes that waited for the end of their
    /// message. Bytes of an unfinished message wait for a later call.
    pub fn redact(&mut self, mut bytes: &[u8], out: &mut Vec<u8>) {
        if let Stage::Handshake(left) = self.stage {
            let (handshake, rest) = bytes.split_at(left.min(bytes.len()));
            let is_first = left == HANDSHAKE_BYTES && !handshake.is_empty();
            // Analyzers accept only version 3, not that of an encrypted session.
            out.extend(is_first.then_some(PLAIN_VERSION));
            out.extend_from_slice(handshake.get(usize::from(is_first)..).unwrap_or_default());
            bytes = rest;
            self.stage = match left.saturating_sub(handshake.len()) {
                0 => Stage::Chunks,
                left => Stage::Handshake(left),
            };
        }
        if matches!(self.stage, Stage::Chunks) {
            let mut input = mem::take(&mut self.input);
            input.extend_from_slice(bytes);
            let mut reader = Reader::new(&input);
            if self.redact_chunks(&mut reader).is_err() {
                self.stage = Stage::Undecodable;
            }
            bytes = &[];
            let rest = reader.len();
            input.drain(..input.len().saturating_sub(rest));
            self.input = input;
        }
        if matches!(self.stage, Stage::Undecodable) {
            self.fill_unfinished();
            self.held.append(&mut self.input);
            self.held.extend_from_slice(bytes);
            if let Some(secrets) = &self.rules.secrets {
                secrets.mask_values(&mut self.held);
            }
        }
        if self.held.len() > MAX_HELD_BYTES {
            self.fill_unfinished();
        }
        if self.unfinished.is_empty() {
            out.append(&mut self.held);
        }
    }

    /// Appends all waiting bytes to `out`, because no bytes follow. The payload of unfinished messages is
    /// overwritten.
    pub fn finish(&mut self, out: &mut Vec<u8>) {
        self.fill_unfinished();
        out.append(&mut self.held);
        out.append(&mut self.input);
    }

    /// Redacts all complete headers and the payload after them.
    fn redact_chunks(&mut self, input: &mut Reader<'_>) -> Result<(), chunk::Error> {
        loop {
            let before = input.rest();
            let Some(piece) = self.decoder.decode_piece(input)? else {
                return Ok(());
            };
            let consumed = before.len().saturating_sub(input.len());
            let bytes = before.get(..consumed).unwrap_or_default();
            match piece {
                Piece::Header {
                    chunk_stream,
                    kind,
                    received,
                } => self.header(chunk_stream, kind, received, bytes),
                Piece::Payload {
                    chunk_stream,
                    kind,
                    start,
                    message,
                } => {
                    self.payload(chunk_stream, kind, start, bytes);
                    if let Some(message) = message {
                        self.end_message(chunk_stream, message.kind, &message.payload);
                        self.decoder.recycle(message.payload);
                    }
                }
            }
        }
    }

    /// Appends a chunk header, unless all payload of the chunk is left out.
    fn header(&mut self, chunk_stream: u32, kind: Kind, received: usize, bytes: &[u8]) {
        if received == 0 {
            // The peer has dropped an unfinished message.
            self.fill(chunk_stream);
        }
        let Some(limit) = self.limit(kind) else {
            return self.held.extend_from_slice(bytes);
        };
        if received == 0 || received < to_usize(limit) {
            let start = self.held.len();
            self.held.extend_from_slice(bytes);
            shorten(self.held.get_mut(start..).unwrap_or_default(), limit);
        }
    }

    fn payload(&mut self, chunk_stream: u32, kind: Kind, start: usize, bytes: &[u8]) {
        if let Some(limit) = self.limit(kind) {
            let kept = to_usize(limit).saturating_sub(start).min(bytes.len());
            return self
                .held
                .extend_from_slice(bytes.get(..kept).unwrap_or_default());
        }
        let at = self.held.len();
        self.held.extend_from_slice(bytes);
        if self.rules.secrets.is_some() && !bytes.is_empty() {
            let unfinished = self.unfinished.entry(chunk_stream).or_default();
            unfinished.push(Unfinished {
                start,
                held: at..self.held.len(),
            });
        }
    }

    /// Overwrites the secrets in a message whose last bytes were appended.
    fn end_message(&mut self, chunk_stream: u32, kind: Kind, payload: &[u8]) {
        let Some(unfinished) = self.unfinished.remove(&chunk_stream) else {
            return;
        };
        let mut payload = payload.to_vec();
        if let Some(secrets) = &self.rules.secrets {
            secrets.mask(kind, &mut payload);
        }
        for Unfinished { start, held } in unfinished {
            let masked = payload.get(start..).and_then(|rest| rest.get(..held.len()));
            if let (Some(held), Some(masked)) = (self.held.get_mut(held), masked) {
                held.copy_from_slice(masked);
            }
        }
    }

    /// Returns the largest number of bytes that are kept of a message.
    fn limit(&self, kind: Kind) -> Option<u32> {
        let is_media = [Kind::AUDIO, Kind::VIDEO, Kind::AGGREGATE].contains(&kind);
        self.rules.media_bytes.filter(|_| is_media)
    }

    /// Overwrites the payload of an unfinished message.
    fn fill(&mut self, chunk_stream: u32) {
        for Unfinished { held, .. } in self.unfinished.remove(&chunk_stream).unwrap_or_default() {
            self.held.get_mut(held).unwrap_or_default().fill(FILLER);
        }
    }

    fn fill_unfinished(&mut self) {
        while let Some((&chunk_stream, _)) = self.unfinished.first_key_value() {
            self.fill(chunk_stream);
        }
    }
}

/// Reduces the message length in a chunk header to `limit` (RTMP 5.3.1.2).
fn shorten(header: &mut [u8], limit: u32) {
    let Some(first) = header.first() else { return };
    // Types 2 and 3 have no length.
    if first >> 6 > 1 {
        return;
    }
    let basic_header = match first & 0x3F {
        0 => 2_usize,
        1 => 3,
        _ => 1,
    };
    let length = header.get_mut(basic_header.saturating_add(TIMESTAMP_BYTES)..);
    if let Some(length) = length.and_then(|rest| rest.first_chunk_mut::<3>()) {
        let limit = U24::saturate(limit);
        *length = U24::from_be_bytes(*length).min(limit).to_be_bytes();
    }
}

/// Size of C0, C1 and C2, and of S0, S1 and S2 (RTMP 5.2).
const HANDSHAKE_BYTES: usize = 1 + 1536 + 1536;

/// The version of a session without encryption (RTMP 5.2.2).
const PLAIN_VERSION: u8 = 3;

/// Size of the field before the message length in a chunk header (RTMP 5.3.1.2.1).
const TIMESTAMP_BYTES: usize = 3;

/// Largest number of bytes that wait for the end of a message. A longer message is overwritten: commands have a
/// few hundred bytes, and a peer must not delay the capture without limit.
const MAX_HELD_BYTES: usize = 1 << 20;

/// The byte that replaces each byte of a secret.
const FILLER: u8 = b'x';
