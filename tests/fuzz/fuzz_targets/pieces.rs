//! Splits bytes into pieces of random sizes, as a network delivers them.

use std::iter;

/// Splits `bytes` into at most some hundred pieces; the sizes depend on `seed`.
pub(crate) fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let longest = LONGEST[usize::from(seed) % LONGEST.len()].max(bytes.len() / 512);
    let mut state = u32::from(seed);
    let mut rest = bytes;
    iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (state >> 16) as usize % longest;
        let (piece, after) = rest.split_at(length.min(rest.len()));
        rest = after;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Largest piece: one byte, a part of a header, a chunk, or a packet.
const LONGEST: [usize; 4] = [1, 12, 150, 1500];
