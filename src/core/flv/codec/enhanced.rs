//! Header of Enhanced RTMP between the first byte of a tag body and its tracks. Audio and video share the
//! layout and differ in the codes.

use super::{Error, FourCc, codes::codes};
use crate::core::wire::{Missing, Reader, U24};

codes! {
    /// How several tracks share one tag (E-RTMP "AvMultitrackType").
    Multitrack {
        /// One track with an id.
        ONE_TRACK = 0, "OneTrack";
        /// Several tracks with the same codec.
        MANY_TRACKS = 1, "ManyTracks";
        /// Several tracks, each with its own codec.
        MANY_TRACKS_MANY_CODECS = 2, "ManyTracksManyCodecs";
    }
}

/// Reads the packet type, which is in the low bits of `first` or after ModEx packets. Returns it with the
/// nanosecond offset, or 0 if there is none.
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

/// Reads the data of a ModEx packet. The field holds the length minus one; 255 means that 16 bits follow.
fn read_mod_ex_data<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Error> {
    let length = match reader.u8("ModEx size")? {
        u8::MAX => usize::from(reader.u16("ModEx size")?),
        short => usize::from(short),
    };
    Ok(reader.take(length.saturating_add(1), "ModEx data")?)
}

/// Reads the header after the packet type. `multitrack` is the packet type of multitrack tags. Returns the
/// packet type of the tracks, and the tracks.
pub(super) fn read_tracks<'a, C: From<FourCc>>(
    packet: u8,
    multitrack: u8,
    mut reader: Reader<'a>,
) -> Result<(u8, RawTracks<'a, C>), Error> {
    if packet != multitrack {
        let codec = read_codec(&mut reader)?;
        return Ok((packet, RawTracks::single(codec, reader.rest())));
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
    let tracks = RawTracks {
        multitrack: Some(kind),
        codec,
        left,
        reader,
    };
    Ok((packet, tracks))
}

/// Appends a multitrack body to `out` with only those tracks for which `new_id` returns an id, and returns
/// their number. A main track that remains alone is written without multitrack. ModEx packets are kept.
///
/// Tracks after a damaged one are lost. A body that is not multitrack is an error.
pub(super) fn put_tracks(
    body: &[u8],
    multitrack: u8,
    new_id: impl Fn(u8) -> Option<u8>,
    out: &mut Vec<u8>,
) -> Result<usize, Error> {
    let (first, rest) = body.split_first().ok_or(Error::Empty)?;
    let mut reader = Reader::new(rest);
    let (outer, _) = read_packet_type(*first, &mut reader)?;
    let header = body.len().saturating_sub(reader.len());
    let (packet, tracks) = read_tracks::<FourCc>(outer, multitrack, reader)?;
    let kind = tracks.multitrack.ok_or(Error::NoMultitrack)?;
    let kept = || {
        let tracks = tracks.clone().flatten();
        tracks.filter_map(|track| Some((new_id(track.id)?, track)))
    };
    let count = kept().count();
    let Some((first_id, first)) = kept().next() else {
        return Ok(0);
    };
    let is_plain = count == 1 && first_id == DEFAULT_TRACK;
    let kind = if count == 1 {
        Multitrack::ONE_TRACK
    } else {
        kind
    };
    out.extend_from_slice(body.get(..header).unwrap_or_default());
    if let Some(last) = out.last_mut() {
        *last = *last & 0xF0 | if is_plain { packet } else { multitrack };
    }
    if !is_plain {
        out.push(kind.0 << 4 | packet);
    }
    let shares_codec = kind != Multitrack::MANY_TRACKS_MANY_CODECS;
    if shares_codec {
        out.extend(first.codec.0);
    }
    for (id, track) in kept() {
        if !shares_codec {
            out.extend(track.codec.0);
        }
        if !is_plain {
            out.push(id);
        }
        if kind != Multitrack::ONE_TRACK {
            let size = u32::try_from(track.body.len()).unwrap_or(u32::MAX);
            out.extend(U24::saturate(size).to_be_bytes());
        }
        out.extend_from_slice(track.body);
    }
    Ok(count)
}

fn read_codec<C: From<FourCc>>(reader: &mut Reader<'_>) -> Result<C, Error> {
    Ok(C::from(FourCc(reader.array("FourCC")?)))
}

/// Iterator over the unparsed tracks of a tag. It ends after the first track that is damaged.
#[derive(Debug, Clone)]
pub(super) struct RawTracks<'a, C> {
    /// Multitrack type; `None` if the tag has one track without an id.
    pub(super) multitrack: Option<Multitrack>,
    /// Codec of all tracks; `None` if each track names its own.
    codec: Option<C>,
    left: u16,
    reader: Reader<'a>,
}

/// One unparsed track of a tag.
#[derive(Debug)]
pub(super) struct RawTrack<'a, C> {
    pub(super) id: u8,
    pub(super) codec: C,
    pub(super) body: &'a [u8],
}

impl<'a, C> RawTracks<'a, C> {
    /// Returns the single track of a tag that is not multitrack.
    pub(super) fn single(codec: C, body: &'a [u8]) -> Self {
        Self {
            multitrack: None,
            codec: Some(codec),
            left: 1,
            reader: Reader::new(body),
        }
    }

    /// Returns no tracks, for a command.
    pub(super) fn none(codec: Option<C>) -> Self {
        Self {
            multitrack: None,
            codec,
            left: 0,
            reader: Reader::new(&[]),
        }
    }

    fn has_sizes(&self) -> bool {
        !matches!(self.multitrack, None | Some(Multitrack::ONE_TRACK))
    }
}

impl<'a, C: Copy + From<FourCc>> RawTracks<'a, C> {
    /// Returns the codec of all tracks, or of the first one if they differ.
    pub(super) fn codec(&self) -> Option<C> {
        let first = || Some(self.clone().next()?.ok()?.codec);
        self.codec.or_else(first)
    }

    fn read(&mut self) -> Result<RawTrack<'a, C>, Error> {
        let Some(kind) = self.multitrack else {
            return Ok(RawTrack {
                id: DEFAULT_TRACK,
                codec: self.codec.ok_or(Error::Missing(Missing("FourCC")))?,
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
        let body = if self.has_sizes() {
            let size = self.reader.u24("track size")?.get();
            self.reader.take(size as usize, "track body")?
        } else {
            self.reader.rest()
        };
        Ok(RawTrack { id, codec, body })
    }
}

impl<'a, C: Copy + From<FourCc>> Iterator for RawTracks<'a, C> {
    type Item = Result<RawTrack<'a, C>, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.left == 0 || (self.has_sizes() && self.reader.is_empty()) {
            return None;
        }
        self.left = self.left.saturating_sub(1);
        let track = self.read();
        if track.is_err() {
            self.left = 0;
        }
        Some(track)
    }
}

/// Id of the main track, and of a track without an id (E-RTMP "Multitrack").
pub(in crate::core::flv) const DEFAULT_TRACK: u8 = 0;

/// Packet type of a ModEx packet, which precedes another packet type; the same in audio and video.
const MOD_EX: u8 = 7;

/// ModEx type whose data is a number of nanoseconds to add to the timestamp.
const TIMESTAMP_OFFSET_NANO: u8 = 0;

/// Largest number of ModEx packets in one header. E-RTMP defines one type. Without a limit, a message of
/// 16 MiB could chain five million.
pub(super) const MAX_MOD_EX: usize = 16;

/// Largest number of tracks in one tag: the number of track ids. Further tracks are ignored.
const MAX_TRACKS: u16 = 256;
