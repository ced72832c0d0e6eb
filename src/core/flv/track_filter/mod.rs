//! Selection of tracks: sets of track ids, and messages with only some of their tracks.

use std::{fmt, str::FromStr};

use thiserror::Error;

use super::{
    FrameInfo, FrameParser, TagKind,
    codec::{DEFAULT_TRACK, put_tracks},
    frame_info::media_tracks,
    track_map::MAPS,
};
use crate::core::{
    amf::{Object, Value},
    payload::Payload,
};

/// An audio or video track of a stream. Streams without multitrack have the tracks `v0` and `a0`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TrackId {
    /// Audio or video.
    pub kind: TagKind,
    /// Track id of E-RTMP "Multitrack".
    pub id: u8,
}

impl fmt::Display for TrackId {
    /// Formats the track as in a list of tracks: `v0`, `a1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let letter = if self.kind == TagKind::VIDEO {
            'v'
        } else {
            'a'
        };
        write!(f, "{letter}{}", self.id)
    }
}

/// A set of audio and video tracks.
///
/// The text form is a list such as `v0,a1`. `v` and `a` are all video and all audio tracks, `all` is both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TrackSet {
    video: Ids,
    audio: Ids,
}

/// A set of ids, one bit for each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Ids([u128; 2]);

/// Why a text is not a list of tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("not a list of tracks such as v0,a1 (v0 to v255, a0 to a255, v, a or all)")]
pub struct InvalidTrackSet;

impl TrackSet {
    /// All tracks.
    pub const ALL: Self = Self {
        video: Ids::ALL,
        audio: Ids::ALL,
    };

    /// Adds a track. Returns whether it was missing.
    pub fn insert(&mut self, track: TrackId) -> bool {
        let ids = match track.kind {
            TagKind::VIDEO => &mut self.video,
            TagKind::AUDIO => &mut self.audio,
            _ => return false,
        };
        ids.insert(track.id)
    }

    /// Whether the set contains a track.
    pub fn contains(&self, track: TrackId) -> bool {
        self.of(track.kind).contains(track.id)
    }

    /// Returns the tracks that `self` names one by one and `other` lacks. `v`, `a` and `all` name no single
    /// track.
    pub fn named_without(&self, other: &Self) -> Vec<TrackId> {
        let kinds = [TagKind::VIDEO, TagKind::AUDIO].into_iter();
        let named = kinds.filter(|kind| self.of(*kind) != Ids::ALL);
        named
            .flat_map(|kind| (0..=u8::MAX).map(move |id| TrackId { kind, id }))
            .filter(|track| self.contains(*track) && !other.contains(*track))
            .collect()
    }

    /// Returns the id of a track in a recording of this set; `None` if it is not in the set. The track with
    /// the smallest id becomes the main one: every player needs a main track.
    fn new_id(&self, track: TrackId) -> Option<u8> {
        if !self.contains(track) {
            return None;
        }
        let is_first = self.of(track.kind).first() == Some(track.id);
        Some(if is_first { DEFAULT_TRACK } else { track.id })
    }

    fn of(&self, kind: TagKind) -> Ids {
        match kind {
            TagKind::VIDEO => self.video,
            TagKind::AUDIO => self.audio,
            _ => Ids::default(),
        }
    }

    /// Removes the descriptions of other tracks from the fields of `onMetaData` (E-RTMP "Enhancing
    /// onMetaData"), and returns whether anything changed.
    pub fn filter_metadata(&self, fields: &mut Object) -> bool {
        let mut is_changed = false;
        for (kind, name) in MAPS {
            let Some(map) = fields.get(name).and_then(Value::as_object) else {
                continue;
            };
            let members = map.iter().filter_map(|(key, value)| {
                let Some(id) = key.to_str_lossy().parse().ok() else {
                    return Some((key.clone(), value.clone()));
                };
                let id = self.new_id(TrackId { kind, id })?;
                Some((id.to_string().into(), value.clone()))
            });
            let members: Object = members.collect();
            if members != *map {
                fields.insert(name, members);
                is_changed = true;
            }
        }
        is_changed
    }
}

impl FromStr for TrackSet {
    type Err = InvalidTrackSet;

    fn from_str(text: &str) -> Result<Self, InvalidTrackSet> {
        let mut set = Self::default();
        for item in text.split(',').map(str::trim) {
            let (kind, id) = match item {
                "all" => {
                    set = Self::ALL;
                    continue;
                }
                _ if item.starts_with('v') => (TagKind::VIDEO, item.get(1..)),
                _ if item.starts_with('a') => (TagKind::AUDIO, item.get(1..)),
                _ => return Err(InvalidTrackSet),
            };
            match id {
                Some("") if kind == TagKind::VIDEO => set.video = Ids::ALL,
                Some("") => set.audio = Ids::ALL,
                Some(id) if id.bytes().all(|digit| digit.is_ascii_digit()) => {
                    let id = id.parse().map_err(|_| InvalidTrackSet)?;
                    set.insert(TrackId { kind, id });
                }
                _ => return Err(InvalidTrackSet),
            }
        }
        Ok(set)
    }
}

impl fmt::Display for TrackSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::ALL {
            return f.write_str("all");
        }
        let mut separator = "";
        for (kind, letter) in [(TagKind::VIDEO, 'v'), (TagKind::AUDIO, 'a')] {
            let ids = self.of(kind);
            if ids == Ids::ALL {
                write!(f, "{separator}{letter}")?;
                separator = ",";
                continue;
            }
            for id in (0..=u8::MAX).filter(|id| ids.contains(*id)) {
                write!(f, "{separator}{letter}{id}")?;
                separator = ",";
            }
        }
        Ok(())
    }
}

impl Ids {
    const ALL: Self = Self([u128::MAX; 2]);

    fn insert(&mut self, id: u8) -> bool {
        let is_missing = !self.contains(id);
        let [low, high] = &mut self.0;
        let half = if id < 0x80 { low } else { high };
        *half |= 1 << (id & 0x7F);
        is_missing
    }

    fn contains(self, id: u8) -> bool {
        let [low, high] = self.0;
        let half = if id < 0x80 { low } else { high };
        half >> (id & 0x7F) & 1 != 0
    }

    fn first(self) -> Option<u8> {
        (0..=u8::MAX).find(|id| self.contains(*id))
    }

    fn is_single(self) -> bool {
        let [low, high] = self.0;
        low.count_ones().saturating_add(high.count_ones()) == 1
    }
}

/// Removes the tracks that are not selected from the messages of a stream.
///
/// If one track of a kind is selected, its messages are written without multitrack, so that every player
/// reads them.
#[derive(Debug)]
pub struct TrackFilter {
    selected: TrackSet,
    /// Selected tracks that have arrived.
    arrived: TrackSet,
    /// Parses changed messages. Sees all sequence headers.
    parser: FrameParser,
    /// Body of a changed message; kept for its memory.
    scratch: Vec<u8>,
}

impl TrackFilter {
    /// Creates a filter that keeps the tracks of `selected`.
    pub fn new(selected: TrackSet) -> Self {
        Self {
            selected,
            arrived: TrackSet::default(),
            parser: FrameParser::new(),
            scratch: Vec::new(),
        }
    }

    /// Returns the tracks that the filter keeps.
    pub fn selected(&self) -> &TrackSet {
        &self.selected
    }

    /// Returns the tracks that are selected by name and have not arrived.
    pub fn missing(&self) -> Vec<TrackId> {
        self.selected.named_without(&self.arrived)
    }

    /// Removes tracks from a message. Returns the facts of the rest, or `None` if no track is left.
    ///
    /// Script data is kept. A message that does not parse counts as one of the main track.
    pub fn apply(&mut self, info: FrameInfo, payload: &mut Payload) -> Option<FrameInfo> {
        let kind = info.track;
        if !matches!(kind, TagKind::AUDIO | TagKind::VIDEO) {
            return Some(info);
        }
        let selected = self.selected;
        self.note(info, payload);
        let is_unchanged = if info.is_multitrack {
            let mut ids = media_tracks(kind, payload).map(|track| track.id());
            let is_kept = |id| selected.new_id(TrackId { kind, id }) == Some(id);
            !selected.of(kind).is_single() && ids.next().is_some_and(is_kept) && ids.all(is_kept)
        } else {
            let track = TrackId {
                kind,
                id: DEFAULT_TRACK,
            };
            if !selected.contains(track) {
                return None;
            }
            true
        };
        if is_unchanged {
            if info.is_sequence_header {
                self.parser.parse(kind, payload);
            }
            return Some(info);
        }
        let new_id = |id| selected.new_id(TrackId { kind, id });
        self.scratch.clear();
        match put_tracks(kind, payload, new_id, &mut self.scratch) {
            Ok(0) | Err(_) => return None,
            Ok(_) => {}
        }
        payload.clear();
        payload.extend_from_slice(&self.scratch);
        Some(self.parser.parse(kind, payload))
    }
}

impl TrackFilter {
    /// Records the selected tracks of a message.
    fn note(&mut self, info: FrameInfo, body: &[u8]) {
        let kind = info.track;
        if !info.is_multitrack {
            self.arrived.insert(TrackId {
                kind,
                id: info.track_id,
            });
            return;
        }
        for track in media_tracks(kind, body) {
            let id = track.id();
            self.arrived.insert(TrackId { kind, id });
        }
    }
}

#[cfg(test)]
mod tests;
