//! Bytes of the container.

use crate::core::{
    flv::{FrameInfo, Tag, TagHeader},
    payload::Payload,
    wire::U24,
};

/// One frame as the container has it. A unit is written complete or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Unit {
    pub(super) bytes: Vec<u8>,
    pub(super) info: FrameInfo,
    /// Counts from the start of the segment.
    pub(super) timestamp_ms: u32,
}

impl Unit {
    /// Puts the bytes around a frame that it has in a file, in the buffer of its payload.
    pub(super) fn new(info: FrameInfo, timestamp_ms: u32, payload: Payload) -> Self {
        Self {
            bytes: Tag::new(info.track, timestamp_ms, payload).into_bytes(),
            info,
            timestamp_ms,
        }
    }

    /// The start of a file, for a pipe.
    pub(super) fn head(bytes: Vec<u8>) -> Self {
        Self {
            bytes,
            info: FrameInfo::SCRIPT,
            timestamp_ms: 0,
        }
    }

    /// Gives the buffer back, empty.
    pub(super) fn into_payload(self) -> Payload {
        Payload::reuse(self.bytes)
    }

    /// Length of the payload in bytes.
    pub(super) fn payload_len(&self) -> usize {
        self.bytes.len().saturating_sub(Tag::FRAMING)
    }

    pub(super) fn set_timestamp(&mut self, timestamp_ms: u32) {
        self.timestamp_ms = timestamp_ms;
        let header = TagHeader {
            kind: self.info.track,
            is_filtered: false,
            length: U24::saturate(u32::try_from(self.payload_len()).unwrap_or(u32::MAX)),
            timestamp_ms: i32::try_from(timestamp_ms).unwrap_or(i32::MAX),
        };
        if let Some(place) = self.bytes.first_chunk_mut() {
            *place = header.to_bytes();
        }
    }
}
