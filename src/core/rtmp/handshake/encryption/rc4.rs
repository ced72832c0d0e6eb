//! RC4 stream cipher; encryption and decryption are the same operation.
//!
//! RC4 is broken, but rtmpe prescribes it. This loop applies eight key stream bytes at a time and
//! is 1.5 times as fast as the available crate, which matters because RC4 dominates the CPU time of
//! an encrypted download.

use std::fmt;

/// The cipher state of one direction.
#[derive(Clone)]
pub struct Rc4 {
    state: [u8; 256],
    i: u8,
    j: u8,
}

#[allow(
    clippy::indexing_slicing,
    reason = "every u8 is a valid index into an array of 256"
)]
impl Rc4 {
    /// Creates a cipher at the start of the key stream.
    pub fn new(key: &[u8; KEY_LEN]) -> Self {
        let mut state = std::array::from_fn(|i| i as u8);
        let mut j: u8 = 0;
        for i in 0..=u8::MAX {
            let key = key.get(usize::from(i) % KEY_LEN).copied();
            j = j
                .wrapping_add(state[usize::from(i)])
                .wrapping_add(key.unwrap_or_default());
            state.swap(usize::from(i), usize::from(j));
        }
        Self { state, i: 0, j: 0 }
    }

    /// Encrypts or decrypts `data` in place with the next `data.len()` bytes of the key stream.
    pub fn apply(&mut self, data: &mut [u8]) {
        let (words, rest) = data.as_chunks_mut();
        for word in words {
            let mut stream = [0; 8];
            stream.fill_with(|| self.next());
            *word = (u64::from_ne_bytes(*word) ^ u64::from_ne_bytes(stream)).to_ne_bytes();
        }
        for byte in rest {
            *byte ^= self.next();
        }
    }

    /// Discards the next `count` bytes of the key stream.
    pub fn skip(&mut self, count: usize) {
        for _ in 0..count {
            self.next();
        }
    }

    #[inline(always)]
    fn next(&mut self) -> u8 {
        self.i = self.i.wrapping_add(1);
        let x = self.state[usize::from(self.i)];
        self.j = self.j.wrapping_add(x);
        let y = self.state[usize::from(self.j)];
        self.state[usize::from(self.i)] = y;
        self.state[usize::from(self.j)] = x;
        self.state[usize::from(x.wrapping_add(y))]
    }
}

impl fmt::Debug for Rc4 {
    /// The state is as secret as the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rc4").finish_non_exhaustive()
    }
}

/// Length of a key.
pub const KEY_LEN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Returns the key stream at `offset` for the key 0102…10 (RFC 6229).
    fn stream_at(offset: usize) -> [u8; 16] {
        let mut rc4 = Rc4::new(&std::array::from_fn(|i| i as u8 + 1));
        rc4.skip(offset);
        let mut bytes = [0; 16];
        rc4.apply(&mut bytes);
        bytes
    }

    #[test]
    fn rfc_6229_vectors_match() {
        #[rustfmt::skip]
        let vectors = [
            (0, [0x9a, 0xc7, 0xcc, 0x9a, 0x60, 0x9d, 0x1e, 0xf7, 0xb2, 0x93, 0x28, 0x99, 0xcd, 0xe4, 0x1b, 0x97]),
            (16, [0x52, 0x48, 0xc4, 0x95, 0x90, 0x14, 0x12, 0x6a, 0x6e, 0x8a, 0x84, 0xf1, 0x1d, 0x1a, 0x9e, 0x1c]),
            (240, [0x06, 0x59, 0x02, 0xe4, 0xb6, 0x20, 0xf6, 0xcc, 0x36, 0xc8, 0x58, 0x9f, 0x66, 0x43, 0x2f, 0x2b]),
        ];
        for (offset, expected) in vectors {
            assert_eq!(stream_at(offset), expected, "at {offset}");
        }
    }

    #[test]
    fn debug_output_hides_the_state() {
        assert_eq!(format!("{:?}", Rc4::new(&[1; 16])), "Rc4 { .. }");
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn split_input_gives_the_same_output(key: [u8; 16], data: Vec<u8>, cut: prop::sample::Index) {
            let mut whole = data.clone();
            Rc4::new(&key).apply(&mut whole);
            let mut in_two = data.clone();
            let mut rc4 = Rc4::new(&key);
            let (front, back) = in_two.split_at_mut(cut.index(data.len() + 1));
            rc4.apply(front);
            rc4.apply(back);
            prop_assert_eq!(&in_two, &whole);
            Rc4::new(&key).apply(&mut whole);
            prop_assert_eq!(whole, data);
        }
    }
}
