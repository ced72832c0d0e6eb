//! SWF: the file of a Flash player, and what proves that somebody has it.
//!
//! ```text
//! ┌─────────────┬─────────┬────────┐ ┌───────────────────────────────────┐
//! │ FWS CWS ZWS │ version │ length │ │ the rest, in one of three ways    │
//! │ 3           │ 1       │ 4, LE  │ │                                   │
//! └─────────────┴─────────┴────────┘ └───────────────────────────────────┘
//!   FWS  as it is
//!   CWS  a zlib stream
//!   ZWS  packed length, 4, LE │ LZMA properties, 5 │ an LZMA stream
//! ```
//!
//! The length is that of the unpacked file with these eight bytes. Servers that verify players know
//! the unpacked file as it would be if it never had been packed: its first letter is an F.

#[cfg(test)]
mod tests;

use std::io::{self, ErrorKind, Read};

use flate2::{Decompress, FlushDecompress, Status};
use hmac::{Hmac, KeyInit, Mac};
use lzma_rust2::LzmaReader;
use sha2::Sha256;
use thiserror::Error;

use super::wire::{Missing, Reader};

/// What servers know of a player.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// The HMAC-SHA256 of the unpacked file.
    pub hash: [u8; 32],
    /// The bytes of the unpacked file.
    pub size: u32,
}

impl Fingerprint {
    /// Unpacks `file`, which is packed or not, and measures what comes out.
    ///
    /// Takes little memory: what is unpacked is not kept.
    pub fn of(file: &[u8]) -> Result<Self, Error> {
        Self::within(MAX_BYTES, file)
    }

    fn within(max_bytes: usize, file: &[u8]) -> Result<Self, Error> {
        if file.len() > max_bytes {
            return Err(Error::TooLarge);
        }
        let mut reader = Reader::new(file);
        let [first, second, third] = reader.array("the signature")?;
        let packing = Packing::of([first, second, third])?;
        let version = reader.u8("the version")?;
        let length = reader.u32_le("the length")?;
        let mut measure = Measure::new(max_bytes)?;
        measure.take(&[b'F', second, third, version])?;
        measure.take(&length.to_le_bytes())?;
        match packing {
            Packing::Nothing if file.len() < length as usize => return Err(Error::Truncated),
            Packing::Nothing => measure.take(reader.rest())?,
            Packing::Zlib => inflate(reader.rest(), &mut measure)?,
            Packing::Lzma => expand(reader, length, &mut measure)?,
        }
        Ok(measure.finish())
    }
}

/// Why a file has no fingerprint.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Error {
    /// It begins like no SWF.
    #[error("it is no SWF file")]
    Signature,
    /// Something is missing at its end.
    #[error("the SWF file is cut off")]
    Truncated,
    /// It cannot be unpacked.
    #[error("the SWF file is damaged")]
    Damaged,
    /// It is larger than any player, packed or unpacked.
    #[error("the SWF file has more than {} MiB", MAX_BYTES >> 20)]
    TooLarge,
}

impl From<Missing> for Error {
    fn from(_: Missing) -> Self {
        Self::Truncated
    }
}

/// What the rest of a file is packed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Packing {
    Nothing,
    Zlib,
    Lzma,
}

impl Packing {
    fn of(signature: [u8; 3]) -> Result<Self, Error> {
        match &signature {
            b"FWS" => Ok(Self::Nothing),
            b"CWS" => Ok(Self::Zlib),
            b"ZWS" => Ok(Self::Lzma),
            _ => Err(Error::Signature),
        }
    }
}

/// Goes over the unpacked bytes as they come.
struct Measure {
    mac: Hmac<Sha256>,
    size: usize,
    max_bytes: usize,
}

impl Measure {
    fn new(max_bytes: usize) -> Result<Self, Error> {
        let mac = Hmac::new_from_slice(KEY).map_err(|_| Error::Damaged)?;
        Ok(Self {
            mac,
            size: 0,
            max_bytes,
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), Error> {
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

/// What stands behind the zlib stream counts for nothing.
fn inflate(packed: &[u8], measure: &mut Measure) -> Result<(), Error> {
    let mut zlib = Decompress::new(true);
    let mut window = vec![0; WINDOW_BYTES];
    loop {
        let (read, written) = (zlib.total_in(), zlib.total_out());
        let input = usize::try_from(read).ok().and_then(|at| packed.get(at..));
        let status = zlib
            .decompress(
                input.unwrap_or_default(),
                &mut window,
                FlushDecompress::None,
            )
            .map_err(|_| Error::Damaged)?;
        let unpacked = zlib.total_out().saturating_sub(written);
        let unpacked = usize::try_from(unpacked).unwrap_or(usize::MAX);
        measure.take(window.get(..unpacked).unwrap_or_default())?;
        match status {
            Status::StreamEnd => return Ok(()),
            _ if unpacked == 0 && zlib.total_in() == read => return Err(Error::Truncated),
            _ => {}
        }
    }
}

/// The stream ends at `length`, whether or not it has a mark there.
fn expand(mut reader: Reader<'_>, length: u32, measure: &mut Measure) -> Result<(), Error> {
    // Nobody needs it, and some tools have it wrong.
    let _packed_length = reader.u32_le("the packed length")?;
    let properties = reader.u8("the LZMA properties")?;
    let dictionary = reader.u32_le("the size of the dictionary")?;
    // Nothing reaches back beyond the first byte.
    let dictionary = dictionary.min(length).min(MAX_BYTES as u32);
    let rest = u64::from(length).checked_sub(HEADER_BYTES);
    let rest = rest.ok_or(Error::Damaged)?;
    let mut lzma = LzmaReader::new_with_props(reader.rest(), rest, properties, dictionary, None)
        .map_err(|error| judged(&error))?;
    let mut window = vec![0; WINDOW_BYTES];
    loop {
        match lzma.read(&mut window).map_err(|error| judged(&error))? {
            0 => return Ok(()),
            unpacked => measure.take(window.get(..unpacked).unwrap_or_default())?,
        }
    }
}

fn judged(error: &io::Error) -> Error {
    match error.kind() {
        ErrorKind::UnexpectedEof => Error::Truncated,
        _ => Error::Damaged,
    }
}

/// The largest file that is looked at, and the largest that one unpacks to: players have a few
/// megabytes, and a file of a thousand times that is no player but an attack.
pub const MAX_BYTES: usize = 64 << 20;

/// Signature, version and length.
const HEADER_BYTES: u64 = 8;

/// Unpacked at a time.
const WINDOW_BYTES: usize = 64 << 10;

/// The key that all players are hashed with.
const KEY: &[u8] = b"Genuine Adobe Flash Player 001";
