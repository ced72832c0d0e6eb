//! Checked reading of bits from the network.

/// Cursor over bits, most significant bit first. Reads return `None` if the bytes end inside the field.
#[derive(Debug, Clone)]
pub(super) struct BitReader<'a> {
    rest: &'a [u8],
    /// The current byte, shifted so that its next bit is the top one.
    byte: u8,
    /// Number of unread bits in `byte`.
    left: u8,
    /// Number of zero bytes before the next byte; `None` outside a NAL unit.
    zeros: Option<u8>,
}

impl<'a> BitReader<'a> {
    /// Creates a reader that starts at the first bit of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            byte: 0,
            left: 0,
            zeros: None,
        }
    }

    /// Creates a reader for the payload of a NAL unit. It skips emulation prevention bytes: a 3 after two
    /// zero bytes is not part of the payload (H.264 7.4.1, H.265 7.4.2).
    pub(super) fn of_nal_unit(bytes: &'a [u8]) -> Self {
        Self {
            zeros: Some(0),
            ..Self::new(bytes)
        }
    }

    /// Reads one bit.
    pub(super) fn bit(&mut self) -> Option<bool> {
        if self.left == 0 {
            self.byte = self.next_byte()?;
            self.left = 8;
        }
        let bit = self.byte & 0x80 != 0;
        self.byte <<= 1;
        self.left = self.left.saturating_sub(1);
        Some(bit)
    }

    /// Reads a number of `count` bits, at most 32.
    pub(super) fn u32(&mut self, count: u8) -> Option<u32> {
        (0..count).try_fold(0, |value: u32, _| {
            Some((value << 1) | u32::from(self.bit()?))
        })
    }

    /// Reads a number of `count` bits, at most 8.
    pub(super) fn u8(&mut self, count: u8) -> Option<u8> {
        u8::try_from(self.u32(count)?).ok()
    }

    /// Skips `count` bits.
    pub(super) fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(drop))
    }

    /// Skips to the next byte, unless the reader is at the start of a byte.
    pub(super) fn align(&mut self) {
        self.left = 0;
    }

    /// Reads an unsigned Exp-Golomb number of up to 32 bits (H.264 9.1).
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0_u8;
        while !self.bit()? {
            zeros = zeros.saturating_add(1);
            if zeros > 31 {
                return None;
            }
        }
        let suffix = self.u32(zeros)?;
        let prefix = 1_u32.checked_shl(zeros.into())?.checked_sub(1)?;
        prefix.checked_add(suffix)
    }

    /// Reads a signed Exp-Golomb number (H.264 9.1.1).
    pub(super) fn se(&mut self) -> Option<i32> {
        let code = self.ue()?;
        let magnitude = i32::try_from(code.div_ceil(2)).ok()?;
        Some(if code & 1 == 0 {
            magnitude.wrapping_neg()
        } else {
            magnitude
        })
    }

    fn next_byte(&mut self) -> Option<u8> {
        if self.zeros >= Some(2) && self.rest.first() == Some(&3) {
            self.pop()?;
            self.zeros = Some(0);
        }
        let byte = self.pop()?;
        self.zeros = self.zeros.map(|zeros| match byte {
            0 => zeros.saturating_add(1),
            _ => 0,
        });
        Some(byte)
    }

    fn pop(&mut self) -> Option<u8> {
        let (byte, rest) = self.rest.split_first()?;
        self.rest = rest;
        Some(*byte)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Builds bytes from lines of bits. In each line, everything from the first character other than 0, 1
    /// and space is a comment. The last byte is filled with zeros.
    pub(crate) fn bytes(text: &str) -> Vec<u8> {
        let is_comment = |character: char| !matches!(character, '0' | '1' | ' ');
        let bits: Vec<u8> = text
            .lines()
            .map(|line| line.trim_start())
            .flat_map(|line| line.split(is_comment).next().unwrap_or_default().bytes())
            .filter(|byte| *byte != b' ')
            .collect();
        bits.chunks(8)
            .map(|chunk| {
                (0..8).fold(0, |byte, at| {
                    byte << 1 | u8::from(chunk.get(at) == Some(&b'1'))
                })
            })
            .collect()
    }

    #[test]
    fn numbers_cross_byte_borders() {
        let mut bits = BitReader::new(&[0b1010_1100, 0b0101_0011, 0xFF]);
        assert_eq!(bits.bit(), Some(true));
        assert_eq!(bits.u8(3), Some(0b010));
        assert_eq!(bits.u32(9), Some(0b1100_01010));
        bits.align();
        assert_eq!(bits.u8(8), Some(0xFF));
        assert_eq!(bits.bit(), None);
        assert_eq!(BitReader::new(&[1, 2, 3, 4]).u32(32), Some(0x0102_0304));
        assert_eq!(BitReader::new(&[1, 2]).skip(17), None);
    }

    #[test]
    fn exp_golomb() {
        let codes = bytes("1 010 011 00100 00101 00110 00111 0001000");
        let mut bits = BitReader::new(&codes);
        let read: Vec<u32> = (0..8).filter_map(|_| bits.ue()).collect();
        assert_eq!(read, [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut bits = BitReader::new(&codes);
        let read: Vec<i32> = (0..8).filter_map(|_| bits.se()).collect();
        assert_eq!(read, [0, 1, -1, 2, -2, 3, -3, 4]);
    }

    #[test]
    fn exp_golomb_of_more_than_32_bits_is_none() {
        let mut longest = vec![0, 0, 0, 1];
        longest.extend([0xFF; 4]);
        assert_eq!(BitReader::new(&longest).ue(), Some(u32::MAX - 1));
        assert_eq!(BitReader::new(&longest).se(), Some(-i32::MAX));
        assert_eq!(BitReader::new(&longest[..7]).ue(), None);
        assert_eq!(BitReader::new(&[0; 9]).ue(), None);
    }

    #[test]
    fn emulation_prevention_is_removed_from_nal_units_only() {
        let escaped = [0, 0, 3, 0, 0, 3, 1, 3, 0, 0, 0, 3, 3];
        let mut bits = BitReader::of_nal_unit(&escaped);
        let read: Vec<u8> = std::iter::from_fn(|| bits.u8(8)).collect();
        assert_eq!(read, [0, 0, 0, 0, 1, 3, 0, 0, 0, 3]);
        assert_eq!(BitReader::new(&escaped).u32(24), Some(3));
    }
}
