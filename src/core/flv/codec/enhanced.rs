//! What Enhanced RTMP puts between the first byte of a tag's body and its tracks; the same for audio
//! and video but for the codes.

use super::{Error, FourCc, codes};
use crate::core::wire::{Missing, Reader, U24};

codes! {
    /// How several tracks share one tag (E-RTMP, "AvMultitrackType").
    Multitrack {
        /// One track, with an id.
        ONE_TRACK = 0, "OneTrack";
        /// Several tracks of one codec.
        MANY_TRACKS = 1, "ManyTracks";
        /// Several tracks, each with its codec.
        MANY_TRACKS_MANY_CODECS = 2, "ManyTracksManyCodecs";
    }
}

/// Reads the packet type from the low bits of `first`, and from behind the ModEx packets that may
/// stand before it. Returns it with the nanosecond offset, 0 where there is none.
pub(super) fn read_packet_type(first: u8, reader: &mut Reader<'_>) -> Result<(u8, u32), Error> {
    let mut packet = first & 0x0F;
    let mut nano_offset_ns = 0;
    for _ in 0..=MAX_MOD_EX {
        if packet != MOD_EX {
            return Ok((packet, nano_offset_ns));
        }
        let data = read_mod_ex_data(reader)?;
        let next = reader.u8("ModEx type")?;
        if let (TIMESTAMP_OFFSET_NANO, [high, middle, low, ..]) = (next >> 4, data) {
            nano_offset_ns = U24::from_be_bytes([*high, *middle, *low]).get();
        }
        packet = next & 0x0F;
    }
    Err(Error::TooManyModEx)
}

/// The length is kept less one, and 256 means that 16 bits of length follow.
fn read_mod_ex_data<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = match reader.u8("ModEx size")? {
        u8::MAX => usize::from(reader.u16("ModEx size")?),
        short => usize::from(short),
    };
    Ok(reader.take(length.saturating_add(1), "ModEx data")?)
}

/// Reads what stands before the tracks, given the packet type so far; `multitrack` is the one that
/// announces several tracks. Returns the packet type that holds for the tracks.
pub(super) fn read_tracks<'a, C: From<FourCc>>(
    packet: u8,
    multitrack: u8,
    mut reader: Reader<'a>,
) -> Result<(u8, Pieces<'a, C>), Error> {
    if packet != multitrack {
        let codec = read_codec(&mut reader)?;
        return Ok((packet, Pieces::single(codec, reader.rest())));
    }
    let byte = reader.u8("multitrack type")?;
    let packet = byte & 0x0F;
    if packet == multitrack {
        return Err(Error::NestedMultitrack);
    }
    let kind = Multitrack(byte >> 4);
    let (codec, left) = match kind {
        Multitrack::ONE_TRACK => (Some(read_codec(&mut reader)?), 1),
        Multitrack::MANY_TRACKS => (Some(read_codec(&mut reader)?), MAX_TRACKS),
        _ => (None, MAX_TRACKS),
    };
    Ok((
        packet,
        Pieces {
            multitrack: Some(kind),
            codec,
            left,
            reader,
        },
    ))
}

fn read_codec<C: From<FourCc>>(reader: &mut Reader<'_>) -> Result<C, Error> {
    Ok(C::from(FourCc(reader.array("FourCC")?)))
}

/// The tracks of a tag, cut apart and not yet looked into. Ends behind the first that is damaged.
#[derive(Debug, Clone)]
pub(super) struct Pieces<'a, C> {
    /// How they are packed; `None` for one track without an id.
    pub(super) multitrack: Option<Multitrack>,
    /// The codec of all of them, if it stands before them.
    pub(super) codec: Option<C>,
    left: u16,
    reader: Reader<'a>,
}

/// One track's part of a tag.
#[derive(Debug)]
pub(super) struct Piece<'a, C> {
    pub(super) id: u8,
    pub(super) codec: C,
    pub(super) body: &'a [u8],
}

impl<'a, C> Pieces<'a, C> {
    /// The one track of a tag that is all its body.
    pub(super) fn single(codec: C, body: &'a [u8]) -> Self {
        Self {
            multitrack: None,
            codec: Some(codec),
            left: 1,
            reader: Reader::new(body),
        }
    }

    /// No track; `codec` is only told.
    pub(super) fn none(codec: Option<C>) -> Self {
        Self {
            multitrack: None,
            codec,
            left: 0,
            reader: Reader::new(&[]),
        }
    }

    fn are_many(&self) -> bool {
        !matches!(self.multitrack, None | Some(Multitrack::ONE_TRACK))
    }
}

impl<'a, C: Copy + From<FourCc>> Pieces<'a, C> {
    fn read(&mut self) -> Result<Piece<'a, C>, Error> {
        let Some(kind) = self.multitrack else {
            let codec = self.codec.ok_or(Error::Missing(Missing("FourCC")))?;
            return Ok(Piece {
                id: DEFAULT_TRACK,
                codec,
                body: self.reader.rest(),
            });
        };
        if kind.0 > Multitrack::MANY_TRACKS_MANY_CODECS.0 {
            return Err(Error::UnknownMultitrack(kind.0));
        }
        let codec = match self.codec {
            Some(codec) => codec,
            None => read_codec(&mut self.reader)?,
        };
        let id = self.reader.u8("track id")?;
        let body = if self.are_many() {
            let size = self.reader.u24("track size")?.get();
            self.reader.take(size as usize, "track body")?
        } else {
            self.reader.rest()
        };
        Ok(Piece { id, codec, body })
    }
}

impl<'a, C: Copy + From<FourCc>> Iterator for Pieces<'a, C> {
    type Item = Result<Piece<'a, C>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 || (self.are_many() && self.reader.is_empty()) {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        let piece = self.read();
        if piece.is_err() {
            self.left = 0;
        }
        Some(piece)
    }
}

/// The track of a tag that names none, and the one that a player shows (E-RTMP, "Multitrack").
pub(in crate::core::flv) const DEFAULT_TRACK: u8 = 0;

/// The packet type that stands before another; the same code for audio and video.
const MOD_EX: u8 = 7;

/// ModEx whose data is a number of nanoseconds to add to the timestamp.
const TIMESTAMP_OFFSET_NANO: u8 = 0;

/// ModEx packets followed before one packet. One kind of them is defined, so that even a few are
/// more than anybody needs; without a bound a message of 16 MiB could chain five million.
pub(super) const MAX_MOD_EX: usize = 16;

/// Tracks read from one tag: as many as there are ids. What follows them is passed over.
const MAX_TRACKS: u16 = 256;
