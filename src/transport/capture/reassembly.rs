//! Reassembly of one direction of a TCP connection (RFC 9293 3.4).

use std::{collections::BTreeMap, io};

/// Puts the data of segments in order. Segments may be repeated, overlap or arrive early.
#[derive(Debug)]
pub(super) struct Reassembly {
    /// Sequence number of the next byte.
    next: u32,
    /// Position of the next byte.
    position: u64,
    /// Data that is not next, by position.
    early: BTreeMap<u64, Vec<u8>>,
    early_bytes: usize,
}

impl Reassembly {
    /// Starts with the sequence number of the first byte.
    pub(super) fn new(next: u32) -> Self {
        Self {
            next,
            position: 0,
            early: BTreeMap::new(),
            early_bytes: 0,
        }
    }

    /// Adds a segment, and appends the bytes that are next to `out`.
    ///
    /// # Errors
    ///
    /// Fails if the capture lacks a segment: 16 MiB after it have arrived.
    pub(super) fn push(&mut self, sequence: u32, data: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        // Numbers wrap, so the distance is signed: half of them are before the next byte.
        let distance = sequence.wrapping_sub(self.next).cast_signed();
        if distance <= 0 {
            let known = usize::try_from(distance.unsigned_abs()).unwrap_or(usize::MAX);
            self.deliver(data.get(known..).unwrap_or_default(), out);
            self.deliver_early(out);
        } else if !data.is_empty() {
            let position = self.position.saturating_add(distance.unsigned_abs().into());
            let slot = self.early.entry(position).or_default();
            if slot.len() < data.len() {
                let added = data.len().saturating_sub(slot.len());
                self.early_bytes = self.early_bytes.saturating_add(added);
                *slot = data.to_vec();
            }
            if self.early_bytes > MAX_EARLY_BYTES || self.early.len() > MAX_EARLY_SEGMENTS {
                return Err(self.missing());
            }
        }
        Ok(())
    }

    /// Checks that no data waits for a segment: the capture has ended.
    pub(super) fn finish(&self) -> io::Result<()> {
        match self.early.is_empty() {
            true => Ok(()),
            false => Err(self.missing()),
        }
    }

    fn deliver(&mut self, data: &[u8], out: &mut Vec<u8>) {
        out.extend_from_slice(data);
        let length = data.len() as u64;
        self.position = self.position.saturating_add(length);
        // Wraps like the numbers of the segments.
        self.next = self.next.wrapping_add(length as u32);
    }

    fn deliver_early(&mut self, out: &mut Vec<u8>) {
        while let Some(first) = self.early.first_entry()
            && let Some(known) = self.position.checked_sub(*first.key())
        {
            let data = first.remove();
            self.early_bytes = self.early_bytes.saturating_sub(data.len());
            let known = usize::try_from(known).unwrap_or(usize::MAX);
            self.deliver(data.get(known..).unwrap_or_default(), out);
        }
    }

    fn missing(&self) -> io::Error {
        let next = self.early.keys().next().copied().unwrap_or_default();
        let why = format!(
            "the capture lacks {} bytes of the server after byte {}",
            next.saturating_sub(self.position),
            self.position
        );
        io::Error::new(io::ErrorKind::InvalidData, why)
    }
}

/// Largest amount of data after a missing segment: as much as a TCP window has in flight.
const MAX_EARLY_BYTES: usize = 16 << 20;
const MAX_EARLY_SEGMENTS: usize = 100_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn repeated_overlapping_and_early_segments_are_ordered() {
        let mut reassembly = Reassembly::new(u32::MAX - 1);
        let mut out = Vec::new();
        let mut push = |offset: u32, data: &[u8]| {
            let sequence = (u32::MAX - 1).wrapping_add(offset);
            reassembly.push(sequence, data, &mut out).unwrap();
        };
        push(0, b"ab");
        push(5, b"fg");
        push(0, b"ab"); // repeated
        push(4, b"efgh"); // overlaps with an early one
        push(1, b"bcd"); // overlaps with known bytes, and fills the hole
        reassembly.finish().unwrap();
        assert_eq!(out, b"abcdefgh");
    }

    #[test]
    fn missing_segment_is_an_error() {
        let mut reassembly = Reassembly::new(0);
        let mut out = Vec::new();
        reassembly.push(0, b"ab", &mut out).unwrap();
        reassembly.push(7, b"hi", &mut out).unwrap();
        let error = reassembly.finish().unwrap_err();
        assert_eq!(
            error.to_string(),
            "the capture lacks 5 bytes of the server after byte 2"
        );
        let many = vec![0; 1 << 20];
        let mut sequences = (1..).map(|index| index << 20);
        let error = sequences.find_map(|at| reassembly.push(at, &many, &mut out).err());
        assert_eq!(error.unwrap().kind(), io::ErrorKind::InvalidData);
        assert!(reassembly.early_bytes < MAX_EARLY_BYTES + many.len() + 1);
    }

    proptest! {
        #[test]
        fn segments_in_any_order_give_all_bytes(
            first in any::<u32>(),
            mut cuts in proptest::collection::vec((0_usize..300, 0_usize..60), 0..60),
        ) {
            let bytes: Vec<u8> = (0..300_u32).map(|at| at as u8).collect();
            cuts.extend((0..300).step_by(20).map(|at| (at, 20)));
            let mut reassembly = Reassembly::new(first);
            let mut out = Vec::new();
            for (at, length) in cuts {
                let data = &bytes[at..(at + length).min(300)];
                reassembly.push(first.wrapping_add(at as u32), data, &mut out).unwrap();
            }
            reassembly.finish().unwrap();
            prop_assert_eq!(out, bytes);
        }
    }
}
