//! Aggregate messages: several messages in one (RTMP 7.1.6).

use tracing::debug;

use super::{Kind, Message, Timestamp};
use crate::core::{
    payload::Payload,
    wire::{Missing, Reader},
};

/// Iterator over the audio, video and data messages inside an aggregate (RTMP 7.1.6). The payload
/// has the layout of FLV tags:
///
/// ```text
/// ┌──────┬────────┬───────────┬────────────┬───────────┬─────────┬──────────────┐
/// │ type │ length │ timestamp │ bits 24-31 │ stream id │ payload │ PrevTagSize  │ …
/// │  1   │   3    │     3     │     1      │     3     │ length  │      4       │
/// └──────┴────────┴───────────┴────────────┴───────────┴─────────┴──────────────┘
/// ```
///
/// RTMP 7.1.6: the message stream id of the aggregate overrides the ids of the sub-messages. A
/// truncated last sub-message is dropped. The PreviousTagSize after the last sub-message may be
/// missing.
#[derive(Debug, Clone)]
pub struct Aggregate<'a> {
    rest: Reader<'a>,
    timestamp: Timestamp,
    offset_ms: Option<u32>,
}

/// Splits an owned aggregate into messages, one per call.
#[derive(Debug)]
pub struct AggregateUnpacker {
    aggregate: Message,
    /// Length of the part of the payload that has not been read.
    rest_len: usize,
    offset_ms: Option<u32>,
}

impl AggregateUnpacker {
    /// Starts at the first sub-message of `aggregate`.
    pub fn new(aggregate: Message) -> Self {
        Self {
            rest_len: aggregate.payload.len(),
            aggregate,
            offset_ms: None,
        }
    }

    /// Returns the next sub-message as a message with its own payload. `take_payload` provides an
    /// empty payload for a message of the given length.
    pub fn next_message(&mut self, take_payload: impl FnOnce(usize) -> Payload) -> Option<Message> {
        let taken = self.aggregate.payload.len().saturating_sub(self.rest_len);
        let rest = self.aggregate.payload.get(taken..)?;
        let mut parts = Aggregate {
            rest: Reader::new(rest),
            timestamp: self.aggregate.timestamp,
            offset_ms: self.offset_ms,
        };
        let part = parts.next()?;
        let mut payload = take_payload(part.payload.len());
        payload.extend_from_slice(part.payload);
        (self.rest_len, self.offset_ms) = (parts.rest.len(), parts.offset_ms);
        Some(Message {
            chunk_stream: self.aggregate.chunk_stream,
            kind: part.kind,
            message_stream: self.aggregate.message_stream,
            timestamp: part.timestamp,
            payload,
        })
    }

    /// Returns the payload of the aggregate for reuse.
    pub fn into_payload(self) -> Payload {
        self.aggregate.payload
    }
}

/// A message inside an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubMessage<'a> {
    /// Audio, video or data.
    pub kind: Kind,
    /// The time on the clock of the aggregate's message stream.
    pub timestamp: Timestamp,
    /// The payload.
    pub payload: &'a [u8],
}

impl<'a> Aggregate<'a> {
    /// Reads the sub-messages of an aggregate with this payload and timestamp.
    pub fn new(payload: &'a [u8], timestamp: Timestamp) -> Self {
        Self {
            rest: Reader::new(payload),
            timestamp,
            offset_ms: None,
        }
    }

    fn read(&mut self) -> Result<SubMessage<'a>, Missing> {
        let kind = Kind(self.rest.u8("sub-message type")? & KIND_BITS);
        let length = self.rest.u24("sub-message length")?.get();
        let [high, middle, low, highest] = self.rest.array("sub-message timestamp")?;
        let time_ms = u32::from_be_bytes([highest, high, middle, low]);
        self.rest.u24("sub-message stream id")?;
        let payload = self.rest.take(
            usize::try_from(length).unwrap_or(usize::MAX),
            "sub-message payload",
        )?;
        let previous_tag_size_len = self.rest.len().min(PREVIOUS_TAG_SIZE_LEN);
        self.rest.take(previous_tag_size_len, "PreviousTagSize")?;
        // RTMP 7.1.6: the difference between the timestamps of the aggregate and of the first
        // sub-message is the offset of all sub-messages.
        let offset_ms = *self
            .offset_ms
            .get_or_insert_with(|| self.timestamp.0.wrapping_sub(time_ms));
        Ok(SubMessage {
            kind,
            timestamp: Timestamp(time_ms).wrapping_add(offset_ms),
            payload,
        })
    }
}

impl<'a> Iterator for Aggregate<'a> {
    type Item = SubMessage<'a>;

    fn next(&mut self) -> Option<Self::Item> {
        while !self.rest.is_empty() {
            match self.read() {
                Ok(message) if KINDS_IN_AGGREGATES.contains(&message.kind) => return Some(message),
                Ok(message) => {
                    debug!(kind = %message.kind, "message type skipped inside an aggregate")
                }
                Err(missing) => {
                    debug!("aggregate {missing}");
                    self.rest = Reader::new(&[]);
                }
            }
        }
        None
    }
}

/// The bits of the first byte of an FLV tag that hold the type (FLV E.4.1).
const KIND_BITS: u8 = 0x1F;

/// Message types accepted inside an aggregate. A nested aggregate is skipped, so that nesting
/// cannot cause recursion.
const KINDS_IN_AGGREGATES: [Kind; 4] = [Kind::AUDIO, Kind::VIDEO, Kind::DATA_AMF3, Kind::DATA];

/// Length of the PreviousTagSize field after each sub-message. Its value is not used.
const PREVIOUS_TAG_SIZE_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rtmp::message::tests::{from_hex, number, vectors};

    #[test]
    fn aggregate_vectors_decode_as_expected() {
        let vectors = vectors("aggregate");
        assert_eq!(vectors.len(), 5);
        for vector in vectors {
            let timestamp = Timestamp(number(&vector["params"]["timestamp"]));
            let stream = number(&vector["params"]["msid"]);
            let bytes = from_hex(&vector["input"]);
            let message = Message {
                chunk_stream: 4,
                kind: Kind::AGGREGATE,
                message_stream: stream,
                timestamp,
                payload: bytes[..].into(),
            };
            let expected = vector["expected"]["messages"].as_array().unwrap();
            let messages = message.aggregate().collect::<Vec<_>>();
            assert_eq!(messages.len(), expected.len(), "{}", vector["name"]);
            for (message, expected) in messages.iter().zip(expected) {
                assert_eq!(u32::from(message.kind.0), number(&expected["type"]));
                assert_eq!(message.timestamp.0, number(&expected["timestamp"]));
                assert_eq!(stream, number(&expected["msid"]));
                assert_eq!(message.payload.len(), number(&expected["length"]) as usize);
                assert_eq!(message.payload, from_hex(&expected["payload"]));
            }
            check_aggregate_cuts(&bytes, timestamp, &messages);
        }
    }

    /// Checks that an aggregate truncated at any byte yields its complete messages.
    fn check_aggregate_cuts(bytes: &[u8], timestamp: Timestamp, messages: &[SubMessage<'_>]) {
        for cut in 0..bytes.len() {
            let mut end = 0;
            let whole = messages.iter().take_while(|message| {
                end += 11 + message.payload.len();
                let is_whole = end <= cut;
                end += 4;
                is_whole
            });
            let cut_messages = Aggregate::new(&bytes[..cut], timestamp);
            assert!(cut_messages.eq(whole.copied()), "cut at {cut}");
        }
    }

    #[test]
    fn nested_aggregate_is_skipped_but_sets_the_time_offset() {
        #[rustfmt::skip]
        let bytes = [
            0x36, 0, 0, 1, 0, 0, 100, 0, 0, 0, 0, 0xAA, 0, 0, 0, 12, // filtered, type 22, at 100
            0x09, 0, 0, 1, 0, 0, 130, 0, 0, 0, 0, 0xBB, 0, 0, 0, 12, // video, at 130
        ];
        let messages = Aggregate::new(&bytes, Timestamp(1000)).collect::<Vec<_>>();
        let video = SubMessage {
            kind: Kind::VIDEO,
            timestamp: Timestamp(1030),
            payload: &[0xBB],
        };
        assert_eq!(messages, [video]);
    }
}
