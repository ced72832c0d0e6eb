//! Reading a bit at a time what a stranger wrote.

/// A cursor over bits, the most significant of each byte first. `None` means that the bytes end
/// before the field does.
#[derive(Debug, Clone)]
pub(super) struct Bits<'a> {
    rest: &'a [u8],
    /// The byte being read, shifted so that its next bit is the top one.
    byte: u8,
    /// Bits of `byte` not yet read.
    left: u8,
    /// In a NAL unit, how many zero bytes came last.
    zeros: Option<u8>,
}

impl<'a> Bits<'a> {
    /// Starts at the first bit of `bytes`.
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            byte: 0,
            left: 0,
            zeros: None,
        }
    }

    /// Starts at the first bit of the payload of a NAL unit: a 3 behind two zero bytes only keeps
    /// start codes from appearing in it and is no part of it (H.264 7.4.1, H.265 7.4.2).
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

    /// Reads a number of up to 32 bits; of more, the last 32.
    pub(super) fn u32(&mut self, count: u8) -> Option<u32> {
        (0..count).try_fold(0, |value: u32, _| {
            Some((value << 1) | u32::from(self.bit()?))
        })
    }

    /// Reads a number of up to 16 bits; of more, the last 16.
    pub(super) fn u16(&mut self, count: u8) -> Option<u16> {
        (0..count).try_fold(0, |value: u16, _| {
            Some((value << 1) | u16::from(self.bit()?))
        })
    }

    /// Reads a number of up to 8 bits; of more, the last 8.
    pub(super) fn u8(&mut self, count: u8) -> Option<u8> {
        (0..count).try_fold(0, |value: u8, _| Some((value << 1) | u8::from(self.bit()?)))
    }

    /// Passes over `count` bits.
    pub(super) fn skip(&mut self, count: u32) -> Option<()> {
        (0..count).try_for_each(|_| self.bit().map(drop))
    }

    /// Passes over the rest of a byte that was begun.
    pub(super) fn align(&mut self) {
        self.left = 0;
    }

    /// Reads an unsigned Exp-Golomb number (H.264 9.1); up to 32 bits, as all fields are.
    pub(super) fn ue(&mut self) -> Option<u32> {
        let mut zeros = 0_u8;
        while !self.bit()? {
            zeros = zeros.saturating_add(1);
            if zeros > 31 {
                return None;
            }
        }
        let suffix = self.u32(zeros)?;
        1_u32
            .checked_shl(u32::from(zeros))?
            .checked_sub(1)?
            .checked_add(suffix)
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
        let mut byte = self.pop()?;
        if let Some(zeros) = self.zeros {
            if zeros >= 2 && byte == 3 {
                byte = self.pop()?;
                self.zeros = Some(u8::from(byte == 0));
            } else {
                self.zeros = Some(if byte == 0 {
                    zeros.saturating_add(1)
                } else {
                    0
                });
            }
        }
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

    /// Bytes out of lines of bits: anything but 0 and 1 is for the reader's eye, words and what
    /// follows them in a line too. The last byte is filled with zeros.
    pub(crate) fn bytes(text: &str) -> Vec<u8> {
        let is_prose = |character: char| !matches!(character, '0' | '1' | ' ');
        let bits: Vec<u8> = text
            .lines()
            .map(|line| line.trim_start())
            .flat_map(|line| line.split(is_prose).next().unwrap_or_default().bytes())
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
    fn numbers_cross_bytes() {
        let mut bits = Bits::new(&[0b1010_1100, 0b0101_0011, 0xFF]);
        assert_eq!(bits.bit(), Some(true));
        assert_eq!(bits.u8(3), Some(0b010));
        assert_eq!(bits.u32(9), Some(0b1100_01010));
        bits.align();
        assert_eq!(bits.u16(8), Some(0xFF));
        assert_eq!(bits.bit(), None);
        assert_eq!(Bits::new(&[1, 2, 3, 4]).u32(32), Some(0x0102_0304));
        assert_eq!(Bits::new(&[1, 2]).skip(17), None);
    }

    #[test]
    fn exp_golomb() {
        let codes = bytes("1 010 011 00100 00101 00110 00111 0001000");
        let mut bits = Bits::new(&codes);
        let read: Vec<u32> = (0..8).filter_map(|_| bits.ue()).collect();
        assert_eq!(read, [0, 1, 2, 3, 4, 5, 6, 7]);
        let mut bits = Bits::new(&codes);
        let read: Vec<i32> = (0..8).filter_map(|_| bits.se()).collect();
        assert_eq!(read, [0, 1, -1, 2, -2, 3, -3, 4]);
    }

    #[test]
    fn exp_golomb_ends_at_32_bits() {
        let mut longest = vec![0, 0, 0, 1];
        longest.extend([0xFF; 4]);
        assert_eq!(Bits::new(&longest).ue(), Some(u32::MAX - 1));
        assert_eq!(Bits::new(&longest).se(), Some(-i32::MAX));
        assert_eq!(Bits::new(&longest[..7]).ue(), None);
        assert_eq!(Bits::new(&[0; 9]).ue(), None);
    }

    #[test]
    fn emulation_prevention_is_taken_out_of_nal_units_alone() {
        let escaped = [0, 0, 3, 0, 0, 3, 1, 3, 0, 0, 0, 3, 3];
        let mut bits = Bits::of_nal_unit(&escaped);
        let read: Vec<u8> = std::iter::from_fn(|| bits.u8(8)).collect();
        assert_eq!(read, [0, 0, 0, 0, 1, 3, 0, 0, 0, 3]);
        assert_eq!(Bits::new(&escaped).u32(24), Some(3));
    }
}
