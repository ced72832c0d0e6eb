//! Checked reading of bytes from the network. Every read names the field, for the error message.

use thiserror::Error;

/// Error for input that ends inside a field. Contains the name of the field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("ends inside {0}")]
pub struct Missing(pub &'static str);

/// Cursor over bytes. A read that fails does not move it.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Creates a reader that starts at the first of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// Reads the next `count` bytes.
    pub fn take(&mut self, count: usize, what: &'static str) -> Result<&'a [u8], Missing> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Missing(what))?;
        self.rest = rest;
        Ok(taken)
    }

    /// Reads the next `N` bytes as an array.
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], Missing> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Missing(what))?;
        self.rest = rest;
        Ok(*taken)
    }

    /// Reads one byte.
    pub fn u8(&mut self, what: &'static str) -> Result<u8, Missing> {
        self.array(what).map(|[byte]| byte)
    }

    /// Reads 16 bits, big-endian.
    pub fn u16(&mut self, what: &'static str) -> Result<u16, Missing> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Reads 24 bits, big-endian.
    pub fn u24(&mut self, what: &'static str) -> Result<U24, Missing> {
        self.array(what).map(U24::from_be_bytes)
    }

    /// Reads 24 bits, big-endian, as a two's complement number.
    pub fn i24(&mut self, what: &'static str) -> Result<i32, Missing> {
        self.array(what)
            .map(|[high, middle, low]| i32::from_be_bytes([high, middle, low, 0]) >> 8)
    }

    /// Reads 32 bits, big-endian.
    pub fn u32(&mut self, what: &'static str) -> Result<u32, Missing> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Reads 32 bits, **little-endian**, as in the message stream id of a chunk header (RTMP 5.3.1.2.1).
    pub fn u32_le(&mut self, what: &'static str) -> Result<u32, Missing> {
        self.array(what).map(u32::from_le_bytes)
    }

    /// Reads an IEEE 754 double, big-endian.
    pub fn f64(&mut self, what: &'static str) -> Result<f64, Missing> {
        self.array(what).map(f64::from_be_bytes)
    }

    /// Returns the bytes that were not read yet.
    pub fn rest(&self) -> &'a [u8] {
        self.rest
    }

    /// Returns the number of bytes that were not read yet.
    pub fn len(&self) -> usize {
        self.rest.len()
    }

    /// Returns whether all bytes were read.
    pub fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }
}

/// Unsigned 24-bit number, used for lengths and timestamps in RTMP and FLV.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct U24(u32);

impl U24 {
    /// Largest number, 16,777,215. As a timestamp it means that an extended timestamp follows (RTMP 5.3.1.3).
    pub const MAX: Self = Self(0xFF_FFFF);

    /// Returns the low 24 bits of `value`.
    pub const fn truncate(value: u32) -> Self {
        Self(value & Self::MAX.0)
    }

    /// Returns `value`, or [`U24::MAX`] if it does not fit.
    pub const fn saturate(value: u32) -> Self {
        if value > Self::MAX.0 {
            Self::MAX
        } else {
            Self(value)
        }
    }

    /// Returns the number as 32 bits.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// Creates a number from three bytes, big-endian.
    pub const fn from_be_bytes([high, middle, low]: [u8; 3]) -> Self {
        Self(u32::from_be_bytes([0, high, middle, low]))
    }

    /// Returns three bytes, big-endian.
    pub const fn to_be_bytes(self) -> [u8; 3] {
        let [_, high, middle, low] = self.0.to_be_bytes();
        [high, middle, low]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_big_endian_except_u32_le() {
        let mut reader = Reader::new(&[
            1, // u8
            1, 2, // u16
            1, 2, 3, // u24
            0xFF, 0xFF, 0xD8, // i24 -40
            1, 2, 3, 4, // u32
            1, 2, 3, 4, // u32, little-endian
        ]);
        assert_eq!(reader.u8("a"), Ok(1));
        assert_eq!(reader.u16("b"), Ok(0x0102));
        assert_eq!(reader.u24("c").map(U24::get), Ok(0x01_0203));
        assert_eq!(reader.i24("d"), Ok(-40));
        assert_eq!(reader.u32("e"), Ok(0x0102_0304));
        assert_eq!(reader.u32_le("f"), Ok(0x0403_0201));
        assert!(reader.is_empty());
    }

    #[test]
    fn short_read_names_the_field_and_consumes_nothing() {
        let mut reader = Reader::new(&[7, 8]);
        assert_eq!(reader.u24("length"), Err(Missing("length")));
        assert_eq!(reader.take(3, "name"), Err(Missing("name")));
        assert_eq!(reader.rest(), [7, 8]);
        assert_eq!(Missing("length").to_string(), "ends inside length");
    }

    #[test]
    fn u24_truncates_or_saturates() {
        assert_eq!(U24::truncate(0x0102_0304).to_be_bytes(), [2, 3, 4]);
        assert_eq!(U24::saturate(0x0102_0304), U24::MAX);
        assert_eq!(U24::saturate(5).get(), 5);
    }
}
