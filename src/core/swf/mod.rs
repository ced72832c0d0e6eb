//! SWF: hash and size of a Flash player, for servers that verify the player.
//!
//! ```text
//! ┌───────────┬─────────┬────────┐ ┌──────┐
//! │ signature │ version │ length │ │ body │
//! │ 3         │ 1       │ 4, LE  │ │      │
//! └───────────┴─────────┴────────┘ └──────┘
//!   FWS  uncompressed
//!   CWS  a zlib stream
//!   ZWS  compressed length, 4, LE │ LZMA properties, 5 │ an LZMA stream
//! ```
//!
//! The length is that of the uncompressed file, including these eight bytes (SWF 19, "The SWF header").
//! Servers compute hash and size of the uncompressed file, whose signature is FWS.

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind, Read};

use flate2::{Decompress, FlushDecompress, Status};
use hmac::{Hmac, KeyInit, Mac};
use lzma_rust2::LzmaReader;
use sha2::Sha256;
use thiserror::Error;

use super::wire::{Missing, Reader};

/// Hash and size of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// HMAC-SHA256 of the uncompressed file.
    pub hash: [u8; 32],
    /// Size of the uncompressed file, in bytes.
    pub size: u32,
}

impl Fingerprint {
    /// Computes hash and size of `file`, which may be compressed.
    ///
    /// Uses little memory, because the uncompressed bytes are not stored.
    ///
    /// # Errors
    ///
    /// Returns an error if `file` is not a complete SWF file, or is larger than [`MAX_BYTES`].
    pub fn of(file: &[u8]) -> Result<Self, Error> {
        Self::within(MAX_BYTES, file)
    }

    fn within(max_bytes: usize, file: &[u8]) -> Result<Self, Error> {
        if file.len() > max_bytes {
            return Err(Error::TooLarge);
        }
        let mut reader = Reader::new(file);
        let [first, second, third] = reader.array("signature")?;
        let compression = Compression::of([first, second, third])?;
        let version = reader.u8("version")?;
        let length = reader.u32_le("length")?;
        let mut hasher = Hasher::new(max_bytes)?;
        hasher.update(&[b'F', second, third, version])?;
        hasher.update(&length.to_le_bytes())?;
        match compression {
            Compression::None if file.len() < length as usize => return Err(Error::Truncated),
            Compression::None => hasher.update(reader.rest())?,
            Compression::Zlib => inflate(reader.rest(), &mut hasher)?,
            Compression::Lzma => decompress_lzma(reader, length, &mut hasher)?,
        }
        Ok(hasher.finish())
    }
}

/// Why a file has no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// The file does not start with the signature of an SWF file.
    #[error("not an SWF file")]
    Signature,
    /// The end of the file is missing.
    #[error("the SWF file is truncated")]
    Truncated,
    /// The file cannot be decompressed.
    #[error("the SWF file is damaged")]
    Damaged,
    /// The file is larger than [`MAX_BYTES`], compressed or uncompressed.
    #[error("the SWF file has more than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
}

impl From<Missing> for Error {
    fn from(_: Missing) -> Self {
        Self::Truncated
    }
}

/// How the body of a file is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Zlib,
    Lzma,
}

impl Compression {
    fn of(signature: [u8; 3]) -> Result<Self, Error> {
        match &signature {
            b"FWS" => Ok(Self::None),
            b"CWS" => Ok(Self::Zlib),
            b"ZWS" => Ok(Self::Lzma),
            _ => Err(Error::Signature),
        }
    }
}

/// Hashes and counts the uncompressed bytes.
struct Hasher {
    mac: Hmac<Sha256>,
    size: usize,
    max_bytes: usize,
}

impl Hasher {
    fn new(max_bytes: usize) -> Result<Self, Error> {
        let mac = Hmac::new_from_slice(KEY).map_err(|_| Error::Damaged)?;
        Ok(Self {
            mac,
            size: 0,
            max_bytes,
        })
    }

    fn update(&mut self, bytes: &[u8]) -> Result<(), Error> {
        self.size = self.size.saturating_add(bytes.len());
        if self.size > self.max_bytes {
            return Err(Error::TooLarge);
        }
        self.mac.update(bytes);
        Ok(())
    }

    fn finish(self) -> Fingerprint {
        Fingerprint {
            hash: self.mac.finalize().into_bytes().into(),
            size: u32::try_from(self.size).unwrap_or(u32::MAX),
        }
    }
}

/// Decompresses a zlib stream. Bytes after its end are ignored.
fn inflate(compressed: &[u8], hasher: &mut Hasher) -> Result<(), Error> {
    let mut zlib = Decompress::new(true);
    let mut window = vec![0; WINDOW_BYTES];
    loop {
        let (read, written) = (zlib.total_in(), zlib.total_out());
        let input = usize::try_from(read)
            .ok()
            .and_then(|at| compressed.get(at..));
        let status = zlib
            .decompress(
                input.unwrap_or_default(),
                &mut window,
                FlushDecompress::None,
            )
            .map_err(|_| Error::Damaged)?;
        let count = zlib.total_out().saturating_sub(written);
        let count = usize::try_from(count).unwrap_or(usize::MAX);
        hasher.update(window.get(..count).unwrap_or_default())?;
        match status {
            Status::StreamEnd => return Ok(()),
            _ if count == 0 && zlib.total_in() == read => return Err(Error::Truncated),
            _ => {}
        }
    }
}

/// Decompresses an LZMA stream up to `length` bytes of the file. The stream may have no end marker.
fn decompress_lzma(mut reader: Reader<'_>, length: u32, hasher: &mut Hasher) -> Result<(), Error> {
    // Some tools write a wrong compressed length, and it is not needed.
    let _compressed_length = reader.u32_le("compressed length")?;
    let properties = reader.u8("LZMA properties")?;
    let dictionary = reader.u32_le("dictionary size")?;
    // A match cannot refer to bytes before the first one, so a larger dictionary is never used.
    let dictionary = dictionary.min(length).min(MAX_BYTES as u32);
    let rest = u64::from(length).checked_sub(HEADER_BYTES);
    let rest = rest.ok_or(Error::Damaged)?;
    let mut lzma = LzmaReader::new_with_props(reader.rest(), rest, properties, dictionary, None)
        .map_err(|error| lzma_error(&error))?;
    let mut window = vec![0; WINDOW_BYTES];
    loop {
        match lzma.read(&mut window).map_err(|error| lzma_error(&error))? {
            0 => return Ok(()),
            count => hasher.update(window.get(..count).unwrap_or_default())?,
        }
    }
}

fn lzma_error(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => Error::Truncated,
        _ => Error::Damaged,
    }
}

/// Largest accepted file, compressed or uncompressed. Players have a few megabytes; a much larger file is
/// an attack, such as a decompression bomb.
pub const MAX_BYTES: usize = 64 << 20;

/// Length of signature, version and length field.
const HEADER_BYTES: u64 = 8;

/// Number of bytes decompressed at a time.
const WINDOW_BYTES: usize = 64 << 10;

/// HMAC key of SWF verification.
const KEY: &[u8] = b"Genuine Adobe Flash Player 001";
