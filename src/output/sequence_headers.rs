//! Sequence headers, which each new segment repeats.

use super::{Format, pending};
use crate::core::{
    flv::{
        FrameInfo, TagKind,
        codec::{AudioPacket, AudioTag, VideoPacket, VideoTag},
        frame_info::Codec,
    },
    payload::Payload,
};

/// The latest sequence headers of each track, in order of first arrival.
///
/// One message may contain the headers of several tracks. It is kept as long as it is the latest one of any
/// of them, so that the messages in their order set up every track.
#[derive(Debug, Default)]
pub(super) struct SequenceHeaders {
    kept: Vec<Kept>,
    /// Codec of the latest keyframe of the main video track.
    video: Option<Codec>,
    /// Codec of the latest frame of the main audio track.
    audio: Option<Codec>,
}

#[derive(Debug)]
struct Kept {
    info: FrameInfo,
    role: Role,
    /// Tracks in this message.
    all: Tracks,
    /// Tracks whose latest header is in this message. Never empty.
    latest: Tracks,
    payload: Payload,
}

/// Purpose of a message. A later message of the same role and track replaces it.
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
    /// Whether this message is already stored, and is the latest one of all its tracks.
    pub(super) fn contains(&self, info: FrameInfo, payload: &Payload) -> bool {
        let Some((role, tracks)) = Role::of(info.track, payload) else {
            return false;
        };
        let is_same = |kept: &Kept| kept.role == role && kept.latest == tracks;
        let mut kept = self.kept.iter().filter(|kept| is_same(kept));
        kept.any(|kept| kept.payload == *payload)
    }

    /// Stores a message if it sets up a decoder, and returns whether it does. It replaces the messages whose
    /// tracks it covers. If there are too many bytes, the oldest message without the main track is removed.
    pub(super) fn keep(&mut self, info: FrameInfo, payload: &Payload) -> bool {
        let Some((role, tracks)) = Role::of(info.track, payload) else {
            return false;
        };
        if payload.len() > pending::MAX_BYTES {
            tracing::debug!(
                "a sequence header of {} bytes is not repeated",
                payload.len()
            );
            return true;
        }
        let of_role = self.kept.iter_mut().filter(|kept| kept.role == role);
        of_role.for_each(|kept| kept.latest = kept.latest.without(tracks));
        let new = Kept {
            info,
            role,
            all: tracks,
            latest: tracks,
            payload: payload.clone(),
        };
        // A message that keeps an older header of one of these tracks must precede the new one.
        let mut older = self.kept.iter().rev();
        let is_older = |kept: &Kept| kept.role == role && kept.has_older(tracks);
        let after = older
            .position(is_older)
            .map_or(0, |from_end| self.kept.len().saturating_sub(from_end));
        let mut replaceable = self.kept.iter_mut().skip(after);
        match replaceable.find(|kept| kept.latest.is_empty()) {
            Some(kept) => *kept = new,
            None => self.kept.push(new),
        }
        self.kept.retain(|kept| !kept.latest.is_empty());
        while self.bytes() > pending::MAX_BYTES {
            tracing::debug!("the oldest sequence header is not repeated");
            let is_other = |kept: &Kept| !kept.latest.has_main();
            let oldest = self.kept.iter().position(is_other);
            self.kept.remove(oldest.unwrap_or(0));
        }
        true
    }

    /// Records the codec of a frame. A codec without sequence headers makes those of its track obsolete.
    pub(super) fn note_frame(&mut self, info: FrameInfo) {
        if !is_main_track(info) {
            return;
        }
        match info.track {
            TagKind::VIDEO if info.is_keyframe => self.video = info.codec,
            TagKind::AUDIO => self.audio = info.codec,
            _ => {}
        }
    }

    /// Returns copies of all messages that are not obsolete.
    pub(super) fn copies(&self) -> Vec<(FrameInfo, Payload)> {
        let copy = |kept: &Kept| (kept.info, kept.payload.clone());
        self.current().map(copy).collect()
    }

    /// Size of all messages that are not obsolete, in the container.
    pub(super) fn bytes_in(&self, format: Format) -> u64 {
        self.current()
            .map(|kept| format.message_bytes(kept.payload.len()))
            .sum()
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(|kept| kept.payload.len()).sum()
    }

    fn current(&self) -> impl Iterator<Item = &Kept> {
        self.kept.iter().filter(|kept| !self.is_obsolete(kept.info))
    }

    /// Whether the track now has a codec without sequence headers. The message is kept, because the stream may
    /// return to its codec.
    fn is_obsolete(&self, header: FrameInfo) -> bool {
        let latest = match header.track {
            TagKind::VIDEO => self.video,
            _ => self.audio,
        };
        is_main_track(header)
            && header.codec != latest
            && latest.is_some_and(|codec| !codec.needs_sequence_header())
    }
}

/// Whether a message belongs to a main track alone.
fn is_main_track(info: FrameInfo) -> bool {
    info.track_id == MAIN_TRACK && !info.is_multitrack
}

impl Kept {
    /// Whether the message stays and contains a header of one of these tracks.
    fn has_older(&self, tracks: Tracks) -> bool {
        !self.latest.is_empty() && self.all.without(tracks) != self.all
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
                Self::with_tracks(role, tag.tracks().flatten().map(|track| track.id))
            }
            TagKind::AUDIO => {
                let tag = AudioTag::parse(body).ok()?;
                let role = match tag.packet {
                    AudioPacket::MULTICHANNEL_CONFIG => Self::AudioChannels,
                    _ if tag.is_sequence_header() => Self::Audio,
                    _ => return None,
                };
                Self::with_tracks(role, tag.tracks().flatten().map(|track| track.id))
            }
            _ => None,
        }
    }

    /// Returns the role with the tracks of a message, or `None` if the message has no track that parses.
    fn with_tracks(self, ids: impl Iterator<Item = u8>) -> Option<(Self, Tracks)> {
        let tracks: Tracks = ids.collect();
        (!tracks.is_empty()).then_some((self, tracks))
    }
}

impl Tracks {
    fn is_empty(self) -> bool {
        self == Self::default()
    }

    fn has_main(self) -> bool {
        let [low, _] = self.0;
        low & 1 != 0
    }

    fn without(self, other: Self) -> Self {
        let [low, high] = self.0;
        let [other_low, other_high] = other.0;
        Self([low & !other_low, high & !other_high])
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

/// Id of the main track of a multitrack stream, and of the only track of any other.
const MAIN_TRACK: u8 = 0;

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
    fn a_codec_without_sequence_headers_makes_the_header_of_its_track_obsolete() {
        let mut headers = SequenceHeaders::default();
        let mut parser = FrameParser::new();
        let repeated = |headers: &SequenceHeaders| -> Vec<TagKind> {
            let copies = headers.copies();
            copies.iter().map(|(info, _)| info.track).collect()
        };
        for (kind, body) in [(TagKind::VIDEO, &AVC[..]), (TagKind::AUDIO, &AAC)] {
            headers.keep(parser.parse(kind, body), &Payload::from(body));
        }
        let mut note = |headers: &mut SequenceHeaders, kind, body: &[u8]| {
            headers.note_frame(parser.parse(kind, body));
        };
        let both = [TagKind::VIDEO, TagKind::AUDIO];
        note(&mut headers, TagKind::VIDEO, &[0x17, 1, 0, 0, 0, 1, 2]);
        assert_eq!(repeated(&headers), both);
        // A decoder cannot start with an inter frame of another codec.
        note(&mut headers, TagKind::VIDEO, &[0x22, 1]);
        assert_eq!(repeated(&headers), both);
        note(&mut headers, TagKind::VIDEO, &[0x12, 1]);
        assert_eq!(repeated(&headers), [TagKind::AUDIO]);
        assert_eq!(
            headers.bytes_in(Format::Flv),
            Format::Flv.message_bytes(AAC.len())
        );
        note(&mut headers, TagKind::AUDIO, &[0x2F, 1]);
        assert_eq!(repeated(&headers), []);
        note(&mut headers, TagKind::VIDEO, &[0x17, 1, 0, 0, 0, 1, 2]);
        assert_eq!(repeated(&headers), [TagKind::VIDEO]);
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
    fn a_header_for_all_tracks_is_removed_once_each_track_has_a_newer_one() {
        let [first, second] = [0, 1].map(|id| one_track(id, 1));
        let both = many_tracks(&[0, 1]);
        let messages = [&both, &second, &first].map(|body| (TagKind::VIDEO, &body[..]));
        assert_eq!(stored(&messages), [first, second]);
    }

    #[test]
    fn a_message_is_known_while_it_is_the_latest_of_all_its_tracks() {
        let (both, second) = (many_tracks(&[0, 1]), one_track(1, 1));
        let mut headers = SequenceHeaders::default();
        let info = FrameParser::new().parse(TagKind::VIDEO, &both);
        let contains = |headers: &SequenceHeaders| {
            [&both, &second].map(|body| headers.contains(info, &Payload::from(&body[..])))
        };
        headers.keep(info, &Payload::from(&both[..]));
        assert_eq!(contains(&headers), [true, false]);
        headers.keep(info, &Payload::from(&second[..]));
        assert_eq!(contains(&headers), [false, true]);
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
    fn every_track_id_has_its_header() {
        let messages: Vec<_> = (0..=255).map(|id| one_track(id, 1)).collect();
        let twice = messages.iter().chain(&messages);
        let twice: Vec<_> = twice.map(|body| (TagKind::VIDEO, &body[..])).collect();
        assert_eq!(stored(&twice), messages);
        let ids: Vec<u8> = (0..=255).collect();
        let all = many_tracks(&ids);
        let with_all: Vec<_> = twice
            .into_iter()
            .chain([(TagKind::VIDEO, &all[..])])
            .collect();
        assert_eq!(stored(&with_all), [&all[..]]);
    }

    #[test]
    fn bytes_are_limited_and_the_main_track_stays() {
        let large = |id| [one_track(id, 1), vec![0; 600_000]].concat();
        for (ids, expected) in [([1, 2], 2), ([0, 2], 0), ([2, 0], 0)] {
            let messages = ids.map(large);
            let all = messages.each_ref().map(|body| (TagKind::VIDEO, &body[..]));
            // A new header of another track does not displace that of the main track.
            assert!(stored(&all) == [large(expected)], "{ids:?}");
        }
        let huge = [&AVC[..], &vec![0; pending::MAX_BYTES]].concat();
        assert!(stored(&[(TagKind::VIDEO, &huge)]).is_empty());
    }

    proptest::proptest! {
        /// The stored messages, in order, set up each track as all messages do.
        #[test]
        fn stored_messages_set_up_each_track_like_all_messages(
            messages in proptest::collection::vec(
                (proptest::collection::btree_set(0_u8..6, 1..4), 0_u8..3),
                0..40,
            ),
        ) {
            let bodies: Vec<_> = messages.iter().map(|(ids, record)| {
                let ids: Vec<u8> = ids.iter().copied().collect();
                match ids[..] {
                    [id] => one_track(id, *record),
                    _ => many_tracks(&ids),
                }
            }).collect();
            let setup = |bodies: &[Vec<u8>]| {
                let mut setup = std::collections::BTreeMap::new();
                for body in bodies {
                    let tag = VideoTag::parse(body).unwrap();
                    for track in tag.tracks().flatten() {
                        setup.insert(track.id, track.body.to_vec());
                    }
                }
                setup
            };
            let all: Vec<_> = bodies.iter().map(|body| (TagKind::VIDEO, &body[..])).collect();
            let stored = stored(&all);
            proptest::prop_assert_eq!(setup(&stored), setup(&bodies));
            proptest::prop_assert!(stored.len() <= 6);
        }
    }
}
