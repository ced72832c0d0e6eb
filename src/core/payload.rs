//! Buffers for message payloads, laid out so that a payload becomes an FLV tag without a copy.
//!
//! ```text
//! ┌──────────┬──────────────────────┐ ┌─────────┐
//! │ headroom │ bytes of the message │ │ trailer │  added by into_framed
//! │ 11 bytes │                      │ │ 4 bytes │
//! └──────────┴──────────────────────┘ └─────────┘
//! ```

use std::{fmt, ops::Deref};

/// Bytes of one message, with space for a tag header before them.
#[derive(Clone, PartialEq, Eq)]
pub struct Payload {
    bytes: Vec<u8>,
}

impl Payload {
    /// Space before the bytes: the length of an FLV tag header (FLV E.4.1).
    pub const HEADROOM: usize = 11;

    /// Creates an empty payload.
    pub fn new() -> Self {
        Self {
            bytes: vec![0; Self::HEADROOM],
        }
    }

    /// Creates an empty payload that reuses the buffer `bytes`.
    pub fn reuse(mut bytes: Vec<u8>) -> Self {
        bytes.clear();
        bytes.resize(Self::HEADROOM, 0);
        Self { bytes }
    }

    /// Appends `bytes`.
    pub fn extend_from_slice(&mut self, bytes: &[u8]) {
        // A buffer of exactly the right size would double when the trailer is added.
        self.bytes.reserve(bytes.len().saturating_add(TRAILER));
        self.bytes.extend_from_slice(bytes);
    }

    /// Removes the first `count` bytes, or all if there are fewer.
    pub fn drop_front(&mut self, count: usize) {
        let end = Self::HEADROOM.saturating_add(count.min(self.len()));
        self.bytes.drain(Self::HEADROOM..end);
    }

    /// Removes all bytes and keeps the buffer.
    pub fn clear(&mut self) {
        self.bytes.truncate(Self::HEADROOM);
    }

    /// Returns the number of bytes that fit without reallocation.
    pub fn capacity(&self) -> usize {
        self.bytes.capacity().saturating_sub(Self::HEADROOM)
    }

    /// Returns the memory used by the payload, in bytes.
    fn memory(&self) -> usize {
        self.bytes.capacity().saturating_add(size_of::<Self>())
    }

    /// Returns the buffer, which starts with the headroom.
    pub fn into_bytes(self) -> Vec<u8> {
        self.bytes
    }

    /// Writes `header` into the headroom, appends `trailer` and returns the buffer. Pass it to
    /// [`Payload::reuse`] afterwards.
    pub fn into_framed(mut self, header: [u8; Self::HEADROOM], trailer: [u8; TRAILER]) -> Vec<u8> {
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

/// Pool of unused payloads, so that a warm download allocates nothing per message.
///
/// Buffers are kept in size classes. A message gets a buffer of its own class or of the next one, which is
/// less than four times as large as the message. Without classes every buffer would eventually grow to the
/// size of a keyframe, and a queue of short audio messages would hold a lot of memory.
#[derive(Debug, Default)]
pub struct Pool {
    /// Class n contains the buffers of 2ⁿ to 2ⁿ⁺¹ − 1 bytes. Classes above the largest buffer so far are missing.
    classes: Vec<Vec<Payload>>,
    /// Memory used by the payloads in the pool, in bytes.
    memory: usize,
}

impl Pool {
    /// Returns an empty payload for a message of `length` bytes. The peer announces the length, so it only
    /// selects a buffer and never allocates one.
    pub fn take(&mut self, length: usize) -> Payload {
        let needed = length.saturating_add(FRAMING);
        let class = class_of(needed);
        // A vector grows to at most twice the size it needs: the class of the message or the next one.
        self.pop(class, needed)
            .or_else(|| self.pop(class.saturating_add(1), needed))
            // A buffer that is too small grows with the message and then stays in the right class.
            .or_else(|| self.pop(class, 0))
            .unwrap_or_default()
    }

    /// Returns a payload to the pool. If the pool is full, the largest buffers are freed, because few
    /// messages need them.
    pub fn put(&mut self, mut payload: Payload) {
        payload.clear();
        self.memory = self.memory.saturating_add(payload.memory());
        let class = class_of(payload.bytes.capacity()).min(CLASSES.saturating_sub(1));
        if self.classes.len() <= class {
            self.classes.resize_with(class.saturating_add(1), Vec::new);
        }
        if let Some(class) = self.classes.get_mut(class) {
            class.push(payload);
        }
        while self.memory > MAX_MEMORY {
            let mut from_largest = self.classes.iter_mut().rev();
            let Some(largest) = from_largest.find_map(Vec::pop) else {
                break;
            };
            self.memory = self.memory.saturating_sub(largest.memory());
        }
    }

    fn pop(&mut self, class: usize, needed: usize) -> Option<Payload> {
        let class = self.classes.get_mut(class)?;
        let payload = class.pop_if(|payload| payload.bytes.capacity() >= needed)?;
        self.memory = self.memory.saturating_sub(payload.memory());
        Some(payload)
    }
}

fn class_of(capacity: usize) -> usize {
    capacity.max(1).ilog2() as usize
}

/// Length of the trailer, in bytes: a PreviousTagSize (FLV E.3).
const TRAILER: usize = 4;

/// Length of headroom and trailer, in bytes.
const FRAMING: usize = Payload::HEADROOM + TRAILER;

/// Largest memory of a pool, in bytes. The write queue has the same limit.
const MAX_MEMORY: usize = 1 << 20;

/// Number of size classes. The pool keeps no buffer larger than [`MAX_MEMORY`].
const CLASSES: usize = MAX_MEMORY.ilog2() as usize + 1;

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
    fn reused_buffer_is_empty_and_keeps_its_capacity() {
        let framed = Payload::from(&[1; 500][..]).into_framed([9; 11], [9; 4]);
        let payload = Payload::reuse(framed);
        assert!(payload.is_empty());
        assert!(payload.capacity() >= 500);
    }

    #[test]
    fn drop_front_stops_at_the_end() {
        let mut payload = Payload::from(&b"prefix body"[..]);
        payload.drop_front(7);
        assert_eq!(&*payload, b"body");
        payload.drop_front(70);
        assert!(payload.is_empty());
    }

    /// Runs the messages of 20 s of video and audio through the pool, 40 at a time. Returns the largest
    /// ratio of a buffer to its content.
    fn stream(pool: &mut Pool, batch: &mut Vec<Payload>) -> usize {
        let mut worst = 0;
        for number in 0..1000 {
            let length = match number {
                _ if number % 2 == 1 => 200 + number * 7919 % 200,
                _ if number % 50 == 0 => 100_000 + number * 97,
                _ => 3_000 + number * 7919 % 9_000,
            };
            let mut payload = pool.take(length);
            while payload.len() < length {
                let count = (length - payload.len()).min(4096);
                payload.extend_from_slice(&[7; 4096][..count]);
            }
            let framed = payload.into_framed([0; 11], [0; 4]);
            worst = worst.max(framed.capacity() / framed.len());
            batch.push(Payload::reuse(framed));
            if batch.len() == 40 {
                batch.drain(..).for_each(|payload| pool.put(payload));
            }
        }
        worst
    }

    #[test]
    fn buffers_are_less_than_four_times_their_content() {
        let (mut pool, mut batch) = (Pool::default(), Vec::new());
        for _ in 0..10 {
            let worst = stream(&mut pool, &mut batch);
            assert!(worst < 4, "a buffer {worst} times too large");
        }
    }

    #[test]
    fn warm_pool_does_not_allocate() {
        let (mut pool, mut batch) = (Pool::default(), Vec::new());
        for _ in 0..10 {
            stream(&mut pool, &mut batch);
        }
        let warm = allocation_counter::measure(|| {
            stream(&mut pool, &mut batch);
        });
        assert_eq!(warm.count_total, 0);
    }

    #[test]
    fn message_of_the_same_length_gets_the_same_buffer() {
        for length in (0..9000).chain([65_521, 1 << 18]) {
            let mut pool = Pool::default();
            let mut payload = pool.take(length);
            payload.extend_from_slice(&vec![7; length]);
            let framed = payload.into_framed([0; 11], [0; 4]);
            let address = framed.as_ptr();
            pool.put(Payload::reuse(framed));
            assert_eq!(pool.take(length).bytes.as_ptr(), address, "{length} bytes");
        }
    }

    #[test]
    fn memory_of_the_pool_is_limited() {
        for length in [1, 100_000, 4 << 20] {
            let mut pool = Pool::default();
            (0..30_000_000 / (length + 1000)).for_each(|_| {
                pool.put(Payload::from(&vec![0; length][..]));
            });
            let payloads = pool.classes.iter().flatten();
            let bytes: usize = payloads.map(|payload| payload.bytes.capacity()).sum();
            assert!(bytes <= MAX_MEMORY && pool.memory <= MAX_MEMORY);
        }
    }

    #[test]
    fn unused_large_buffers_are_freed_first() {
        let mut pool = Pool::default();
        (0..100).for_each(|_| pool.put(Payload::from(&[0; 50_000][..])));
        (0..100).for_each(|_| pool.put(Payload::from(&[0; 5_000][..])));
        assert!((0..100).all(|_| pool.take(4_999).capacity() >= 5_000));
    }
}
