//! A message's bytes, kept where they will be written from.
//!
//! ```text
//! ┌───────────┬───────────────────────┐ ┌─────────┐
//! │ headroom  │ the message's bytes   │ │ trailer │  added by into_framed
//! │ 11 bytes  │                       │ │ 4 bytes │
//! └───────────┴───────────────────────┘ └─────────┘
//! ```

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

    /// What it takes of memory.
    fn weight(&self) -> usize {
        self.bytes.capacity().saturating_add(size_of::<Self>())
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
/// They are kept by size, each class up to twice as large as the one before, and a message gets one of
/// its own class or the next. Its buffer is then less than four times as large as it is. Were any
/// buffer given to any message, each would in time grow to the size of a keyframe, those that carry
/// 300 bytes of audio too, and a queue of few bytes would hold a lot of memory.
#[derive(Debug, Default)]
pub struct Pool {
    /// Class n has the buffers of 2ⁿ bytes and more.
    classes: [Vec<Payload>; CLASSES],
    weight: usize,
}

impl Pool {
    /// An empty payload for a message that announces `length` bytes. The length only chooses among
    /// the buffers at rest; nothing is allocated for it.
    pub fn take(&mut self, length: usize) -> Payload {
        let needed = length.saturating_add(FRAMING);
        let class = class_of(needed);
        // What grew with a message has at most twice the room that it needed: the class or the next.
        self.pop(class, needed)
            .or_else(|| self.pop(class.saturating_add(1), needed))
            // One that is too small grows, and is in the right class from then on.
            .or_else(|| self.pop(class, 0))
            .unwrap_or_default()
    }

    /// Takes a payload back. Where enough are at rest the largest are freed: many messages can do
    /// without theirs, until the next large one grows it again.
    pub fn put(&mut self, mut payload: Payload) {
        payload.clear();
        self.weight = self.weight.saturating_add(payload.weight());
        let class = class_of(payload.bytes.capacity()).min(CLASSES.saturating_sub(1));
        if let Some(class) = self.classes.get_mut(class) {
            class.push(payload);
        }
        while self.weight > MAX_AT_REST {
            let mut from_largest = self.classes.iter_mut().rev();
            let Some(largest) = from_largest.find_map(Vec::pop) else {
                break;
            };
            self.weight = self.weight.saturating_sub(largest.weight());
        }
    }

    fn pop(&mut self, class: usize, needed: usize) -> Option<Payload> {
        let class = self.classes.get_mut(class)?;
        let payload = class.pop_if(|payload| payload.bytes.capacity() >= needed)?;
        self.weight = self.weight.saturating_sub(payload.weight());
        Some(payload)
    }
}

fn class_of(capacity: usize) -> usize {
    capacity.max(1).ilog2() as usize
}

/// What is put around a message's bytes.
const FRAMING: usize = Payload::HEADROOM + 4;

/// Bytes of payloads kept at rest: four times what is written at a time, as much as a queue may hold.
const MAX_AT_REST: usize = 1 << 20;

/// None larger than [`MAX_AT_REST`] is ever at rest.
const CLASSES: usize = MAX_AT_REST.ilog2() as usize + 1;

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

    /// Takes, fills in chunks and puts back what 20 seconds of video and audio bring, 40 messages at a
    /// time; tells the worst relation of a buffer to what it carries.
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
    fn buffers_fit_what_they_carry() {
        let (mut pool, mut batch) = (Pool::default(), Vec::new());
        for _ in 0..10 {
            let worst = stream(&mut pool, &mut batch);
            assert!(worst < 4, "a buffer {worst} times too large");
        }
    }

    #[test]
    fn a_warm_pool_allocates_nothing() {
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
    fn the_same_message_finds_its_buffer_again() {
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
    fn the_pool_does_not_grow_without_end() {
        for length in [1, 100_000, 4 << 20] {
            let mut pool = Pool::default();
            (0..30_000_000 / (length + 1000)).for_each(|_| {
                pool.put(Payload::from(&vec![0; length][..]));
            });
            let at_rest = pool.classes.iter().flatten();
            let bytes: usize = at_rest.map(|payload| payload.bytes.capacity()).sum();
            assert!(bytes <= MAX_AT_REST && pool.weight <= MAX_AT_REST);
        }
    }

    #[test]
    fn what_is_no_longer_used_gives_way() {
        let mut pool = Pool::default();
        (0..100).for_each(|_| pool.put(Payload::from(&[0; 50_000][..])));
        (0..100).for_each(|_| pool.put(Payload::from(&[0; 5_000][..])));
        assert!((0..100).all(|_| pool.take(4_999).capacity() >= 5_000));
    }
}
