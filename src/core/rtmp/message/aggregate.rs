//! Aggregate messages: many in one (RTMP 7.1.6).

use tracing::debug;

use super::{Kind, Message, Timestamp};
use crate::core::{
    payload::Payload,
    wire::{Missing, Reader},
};

/// The audio, video and data messages inside an aggregate (RTMP 7.1.6), which is laid out like the
/// tags of an FLV file:
///
/// ```text
/// ┌──────┬────────┬───────────┬────────────┬───────────┬─────────┬──────────────┐
/// │ type │ length │ timestamp │ bits 24-31 │ stream id │ payload │ back pointer │ …
/// │  1   │   3    │     3     │     1      │     3     │ length  │      4       │
/// └──────┴────────┴───────────┴────────────┴───────────┴─────────┴──────────────┘
/// ```
///
/// Their message stream is the aggregate's, whatever the stream id says. A last one that is cut
/// short is dropped; the back pointer behind the last one may be absent.
#[derive(Debug, Clone)]
pub struct Aggregate<'a> {
    rest: Reader<'a>,
    timestamp: Timestamp,
    offset_ms: Option<u32>,
}

/// An aggregate that is taken apart message by message.
#[derive(Debug)]
pub struct AggregateUnpacker {
    aggregate: Message,
    /// Bytes not yet looked at.
    rest_len: usize,
    offset_ms: Option<u32>,
}

impl AggregateUnpacker {
    /// At the first part.
    pub fn new(aggregate: Message) -> Self {
        Self {
            rest_len: aggregate.payload.len(),
            aggregate,
            offset_ms: None,
        }
    }

    /// The next part as a message of its own, in a payload that `take_payload` gives for so many
    /// bytes.
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

    /// The aggregate's own payload, for the pool.
    pub fn into_payload(self) -> Payload {
        self.aggregate.payload
    }
}

/// A message inside an aggregate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SubMessage<'a> {
    /// Audio, video or data.
    pub kind: Kind,
    /// On the aggregate's clock.
    pub timestamp: Timestamp,
    /// The message's bytes.
    pub payload: &'a [u8],
}

impl<'a> Aggregate<'a> {
    /// Of the aggregate's payload and timestamp.
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
        // The first one is due at the aggregate's own time.
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
                Ok(message) => debug!(kind = %message.kind, "skipped inside an aggregate"),
                Err(missing) => {
                    debug!("aggregate {missing}");
                    self.rest = Reader::new(&[]);
                }
            }
        }
        None
    }
}

/// The bits of an FLV tag's first byte that are the type (FLV E.4.1).
const KIND_BITS: u8 = 0x1F;

/// What an aggregate may carry; an aggregate inside an aggregate is not opened.
const KINDS_IN_AGGREGATES: [Kind; 4] = [Kind::AUDIO, Kind::VIDEO, Kind::DATA_AMF3, Kind::DATA];

/// Length of the number behind each sub-message, which nobody needs.
const PREVIOUS_TAG_SIZE_LEN: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rtmp::message::tests::{from_hex, number, vectors};

    #[test]
    fn aggregate_vectors() {
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

    /// Cut anywhere, an aggregate gives the messages that are whole.
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
    fn an_aggregate_inside_an_aggregate_is_skipped_and_still_sets_the_clock() {
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
