//! Sequence headers, which each new segment repeats.

use super::{Format, pending};
use crate::core::{
    flv::{
        FrameInfo, TagKind,
        codec::{AudioPacket, AudioTag, VideoPacket, VideoTag},
    },
    payload::Payload,
};

/// The latest sequence headers of each track, in order of first arrival.
#[derive(Debug, Default)]
pub(super) struct SequenceHeaders {
    kept: Vec<Kept>,
}

#[derive(Debug)]
struct Kept {
    info: FrameInfo,
    role: Role,
    tracks: Tracks,
    payload: Payload,
}

/// Purpose of a message. A later message of the same role replaces it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Role {
    Video,
    VideoMetadata,
    Audio,
    AudioChannels,
}

/// A set of track ids.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Tracks([u128; 2]);

impl SequenceHeaders {
    /// Whether this message is already stored.
    pub(super) fn contains(&self, info: FrameInfo, payload: &Payload) -> bool {
        let role = Role::of(info.track, payload).map(|(role, _)| role);
        let mut kept = self.kept.iter();
        kept.any(|kept| Some(kept.role) == role && kept.payload == *payload)
    }

    /// Stores a message if it sets up a decoder. It replaces the messages whose tracks it covers; if there
    /// are too many, the oldest is removed.
    pub(super) fn keep(&mut self, info: FrameInfo, payload: &Payload) {
        let Some((role, tracks)) = Role::of(info.track, payload) else {
            return;
        };
        if payload.len() > pending::MAX_BYTES {
            tracing::debug!(
                "a sequence header of {} bytes is not repeated",
                payload.len()
            );
            return;
        }
        let is_obsolete = |kept: &Kept| kept.role == role && kept.tracks.are_within(tracks);
        match self.kept.iter_mut().find(|kept| is_obsolete(kept)) {
            Some(kept) => {
                kept.info = info;
                kept.tracks = tracks;
                kept.payload.clear();
                kept.payload.extend_from_slice(payload);
            }
            None => self.kept.push(Kept {
                info,
                role,
                tracks,
                payload: payload.clone(),
            }),
        }
        let mut is_first = true;
        self.kept
            .retain(|kept| !is_obsolete(kept) || std::mem::take(&mut is_first));
        while self.kept.len() > MAX_MESSAGES || self.bytes() > pending::MAX_BYTES {
            tracing::debug!("the oldest sequence header is not repeated");
            self.kept.remove(0);
        }
    }

    /// Returns copies of all messages.
    pub(super) fn copies(&self) -> Vec<(FrameInfo, Payload)> {
        let copy = |kept: &Kept| (kept.info, kept.payload.clone());
        self.kept.iter().map(copy).collect()
    }

    /// Size of all messages in the container.
    pub(super) fn bytes_in(&self, format: Format) -> u64 {
        self.lengths()
            .map(|length| format.message_bytes(length))
            .sum()
    }

    fn bytes(&self) -> usize {
        self.lengths().sum()
    }

    fn lengths(&self) -> impl Iterator<Item = usize> {
        self.kept.iter().map(|kept| kept.payload.len())
    }
}

impl Role {
    fn of(kind: TagKind, body: &[u8]) -> Option<(Self, Tracks)> {
        match kind {
            TagKind::VIDEO => {
                let tag = VideoTag::parse(body).ok()?;
                let role = match tag.packet {
                    VideoPacket::METADATA => Self::VideoMetadata,
                    _ if tag.is_sequence_header() => Self::Video,
                    _ => return None,
                };
                let ids = tag.tracks().flatten().map(|track| track.id);
                Some((role, ids.collect()))
            }
            TagKind::AUDIO => {
                let tag = AudioTag::parse(body).ok()?;
                let role = match tag.packet {
                    AudioPacket::MULTICHANNEL_CONFIG => Self::AudioChannels,
                    _ if tag.is_sequence_header() => Self::Audio,
                    _ => return None,
                };
                let ids = tag.tracks().flatten().map(|track| track.id);
                Some((role, ids.collect()))
            }
            _ => None,
        }
    }
}

impl Tracks {
    fn are_within(self, other: Self) -> bool {
        let pairs = self.0.iter().zip(other.0);
        pairs.into_iter().all(|(these, those)| these & !those == 0)
    }
}

impl FromIterator<u8> for Tracks {
    fn from_iter<I: IntoIterator<Item = u8>>(ids: I) -> Self {
        let mut tracks = Self::default();
        for id in ids {
            let [low, high] = &mut tracks.0;
            let half = if id < 0x80 { low } else { high };
            *half |= 1 << (id & 0x7F);
        }
        tracks
    }
}

/// Number of messages: a few for each track. Publishers send fewer than ten tracks.
const MAX_MESSAGES: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::flv::FrameParser;

    const AVC: [u8; 7] = [0x17, 0, 0, 0, 0, 1, 2];
    const AAC: [u8; 4] = [0xAF, 0, 0x11, 0x90];

    /// Multitrack, sequence start, AVC: one track with this id (E-RTMP "ExVideoTagHeader").
    fn one_track(id: u8, record: u8) -> Vec<u8> {
        vec![0x96, 0x00, b'a', b'v', b'c', b'1', id, record]
    }

    /// The same for several tracks of a byte each.
    fn many_tracks(ids: &[u8]) -> Vec<u8> {
        let mut body = vec![0x96, 0x10, b'a', b'v', b'c', b'1'];
        ids.iter().for_each(|id| body.extend([*id, 0, 0, 1, 9]));
        body
    }

    fn stored(messages: &[(TagKind, &[u8])]) -> Vec<Vec<u8>> {
        let mut headers = SequenceHeaders::default();
        for (kind, body) in messages {
            let info = FrameParser::new().parse(*kind, body);
            headers.keep(info, &Payload::from(*body));
        }
        let copies = headers.copies();
        copies.iter().map(|(_, payload)| payload.to_vec()).collect()
    }

    #[test]
    fn a_later_message_replaces_the_earlier_one_in_its_position() {
        let newer = [&AVC[..6], &[3]].concat();
        let messages: [(TagKind, &[u8]); 4] = [
            (TagKind::VIDEO, &AVC),
            (TagKind::AUDIO, &AAC),
            (TagKind::VIDEO, &newer),
            (TagKind::VIDEO, &[0x17, 1, 0, 0, 0, 1, 2]),
        ];
        assert_eq!(stored(&messages), [&newer[..], &AAC]);
    }

    #[test]
    fn each_track_has_its_own_header() {
        let [first, second, again] = [(0, 1), (1, 2), (0, 3)].map(|(id, of)| one_track(id, of));
        let messages = [&first, &second, &again].map(|body| (TagKind::VIDEO, &body[..]));
        assert_eq!(stored(&messages), [again, second]);
    }

    #[test]
    fn a_header_for_all_tracks_replaces_those_of_single_tracks() {
        let [first, second] = [0, 1].map(|id| one_track(id, 1));
        let both = many_tracks(&[0, 1]);
        let messages = [&first, &second, &both].map(|body| (TagKind::VIDEO, &body[..]));
        assert!(stored(&messages) == std::slice::from_ref(&both));
        let messages = [&both, &second].map(|body| (TagKind::VIDEO, &body[..]));
        assert_eq!(stored(&messages), [both, second]);
    }

    #[test]
    fn colors_and_channels_are_stored_in_addition() {
        let colors = [0xD4, b'h', b'v', b'c', b'1', 2, 0, 9];
        let record = [0x90, b'h', b'v', b'c', b'1', 1];
        let channels = [0x94, b'O', b'p', b'u', b's', 1, 6, 0, 0, 0, 0];
        let messages: [(TagKind, &[u8]); 3] = [
            (TagKind::VIDEO, &colors),
            (TagKind::VIDEO, &record),
            (TagKind::AUDIO, &channels),
        ];
        assert_eq!(stored(&messages), [&colors[..], &record, &channels]);
    }

    #[test]
    fn number_and_bytes_are_limited() {
        let messages: Vec<_> = (0..=255).map(|id| one_track(id, 1)).collect();
        let all: Vec<_> = messages
            .iter()
            .map(|body| (TagKind::VIDEO, &body[..]))
            .collect();
        assert_eq!(stored(&all), messages[256 - MAX_MESSAGES..]);
        let large = |id| [one_track(id, 1), vec![0; 600_000]].concat();
        let messages = [large(0), large(1)];
        let all: Vec<_> = messages
            .iter()
            .map(|body| (TagKind::VIDEO, &body[..]))
            .collect();
        assert!(stored(&all) == [large(1)]);
        let huge = [&AVC[..], &vec![0; pending::MAX_BYTES]].concat();
        assert!(stored(&[(TagKind::VIDEO, &huge)]).is_empty());
    }
}
