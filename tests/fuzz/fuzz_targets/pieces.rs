//! Bytes as a network brings them: in pieces of any size.

use std::iter;

/// Cuts `bytes` into pieces, some hundreds at most, other ones for each `seed`.
pub(crate) fn pieces(bytes: &[u8], seed: u8) -> impl Iterator<Item = &[u8]> {
    let longest = LONGEST[usize::from(seed) % LONGEST.len()].max(bytes.len() / 512);
    let mut state = u32::from(seed);
    let mut rest = bytes;
    iter::from_fn(move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let length = 1 + (state >> 16) as usize % longest;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Byte by byte, within headers, about a chunk, about a packet.
const LONGEST: [usize; 4] = [1, 12, 150, 1500];
