//! A message's bytes, kept where they will be written from.
//!
//! ```text
//! ┌───────────┬───────────────────────┐ ┌─────────┐
//! │ headroom  │ the message's bytes   │ │ trailer │  added by into_framed
//! │ 11 bytes  │                       │ │ 4 bytes │
//! └───────────┴───────────────────────┘ └─────────┘
//! ```

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

use std::{fmt, ops::Deref};

/// The bytes of one message, with room for a tag header in front.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Vec<u8>,
}

impl Payload {
    /// The room in front: an FLV tag header (FLV E.4.1).
    pub const HEADROOM: usize = 11;

    /// A payload without bytes.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; Self::HEADROOM],
        }
    }

    /// An empty payload out of a buffer that held another.
    pub fn reuse(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(Self::HEADROOM, 0);
        Self { bytes }
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// Drops the first `count` bytes, or all there are.
    pub fn drop_front(&mut self, count: usize) {
        let end = Self::HEADROOM.saturating_add(count.min(self.len()));
        self.bytes.drain(Self::HEADROOM..end);
    }

    /// Removes all bytes and keeps the room.
    pub fn clear(&mut self) {
        self.bytes.truncate(Self::HEADROOM);
    }

    /// How many bytes fit before the buffer grows.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity().saturating_sub(Self::HEADROOM)
    }

    /// Fills the headroom with `header`, appends `trailer` and gives the whole buffer away.
    /// [`Payload::reuse`] takes it back.
    pub fn into_framed(mut self, header: [u8; Self::HEADROOM], trailer: [u8; 4]) -> Vec<u8> {
        if let Some(headroom) = self.bytes.first_chunk_mut() {
            *headroom = header;
        }
        self.bytes.extend_from_slice(&trailer);
        self.bytes
    }
}

impl Default for Payload {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for Payload {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        self.bytes.get(Self::HEADROOM..).unwrap_or_default()
    }
}

impl From<&[u8]> for Payload {
    fn from(bytes: &[u8]) -> Self {
        let mut payload = Self::new();
        payload.extend_from_slice(bytes);
        payload
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.len())
    }
}

/// Payloads at rest, handed out again so that a warm download allocates nothing per message.
///
/// Small and large ones are kept apart: else each buffer would in time grow to the size of a
/// keyframe, those that carry 300 bytes of audio too.
#[derive(Debug, Default)]
pub struct Pool {
    small: Vec<Payload>,
    large: Vec<Payload>,
    large_capacity: usize,
}

impl Pool {
    /// An empty payload for a message that announces `length` bytes. The length only chooses among
    /// the buffers at rest; nothing is allocated for it.
    pub fn take(&mut self, length: usize) -> Payload {
        if length <= SMALL {
            return self.small.pop().unwrap_or_default();
        }
        let payload = self.large.pop().unwrap_or_default();
        self.large_capacity = self.large_capacity.saturating_sub(payload.capacity());
        payload
    }

    /// Takes a payload back, or frees it where enough are at rest.
    pub fn put(&mut self, mut payload: Payload) {
        payload.clear();
        let capacity = payload.capacity();
        if capacity <= SMALL_CAPACITY {
            if self.small.len() < MAX_SMALL_AT_REST {
                self.small.push(payload);
            }
            return;
        }
        let total = self.large_capacity.saturating_add(capacity);
        if total <= MAX_LARGE_AT_REST {
            self.large.push(payload);
            self.large_capacity = total;
        }
    }
}

/// Up to this many bytes a message is small: audio, commands, script data.
const SMALL: usize = 4096;

/// What a small message's buffer can have grown to: a buffer that is too small doubles.
const SMALL_CAPACITY: usize = 2 * (Payload::HEADROOM + SMALL + 4);

/// Small payloads kept at rest, 1 MiB at most.
const MAX_SMALL_AT_REST: usize = 128;

/// Bytes of large payloads kept at rest: twice what is written at a time.
const MAX_LARGE_AT_REST: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn framing_fills_the_headroom_and_appends_the_trailer() {
        let payload = Payload::from(&b"body"[..]);
        assert_eq!(&*payload, b"body");
        assert_eq!(
            payload.into_framed(*b"a tag head:", *b"tail"),
            b"a tag head:bodytail"
        );
    }

    #[test]
    fn a_reused_buffer_is_empty_and_keeps_its_room() {
        let framed = Payload::from(&[1; 500][..]).into_framed([9; 11], [9; 4]);
        let payload = Payload::reuse(framed);
        assert!(payload.is_empty());
        assert!(payload.capacity() >= 500);
    }

    #[test]
    fn dropping_the_front_stops_at_the_end() {
        let mut payload = Payload::from(&b"prefix body"[..]);
        payload.drop_front(7);
        assert_eq!(&*payload, b"body");
        payload.drop_front(70);
        assert!(payload.is_empty());
    }

    #[test]
    fn the_pool_keeps_small_and_large_apart() {
        let mut pool = Pool::default();
        let mut keyframe = pool.take(100_000);
        keyframe.extend_from_slice(&[0; 100_000]);
        pool.put(keyframe);
        assert!(pool.take(300).capacity() <= SMALL_CAPACITY);
        assert!(pool.take(100_000).capacity() >= 100_000);
    }

    #[test]
    fn a_small_message_that_came_in_pieces_is_small_when_it_comes_back() {
        let mut pool = Pool::default();
        let mut payload = pool.take(SMALL);
        for _ in 0..SMALL / 128 {
            payload.extend_from_slice(&[0; 128]);
        }
        pool.put(payload);
        assert!(pool.take(SMALL).capacity() >= SMALL);
    }

    #[test]
    fn the_pool_does_not_grow_without_end() {
        let mut pool = Pool::default();
        for _ in 0..64 {
            pool.put(Payload::from(&[0; 100_000][..]));
        }
        assert!(pool.large.len() <= 10);
    }
}
