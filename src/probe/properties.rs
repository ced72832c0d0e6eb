//! Properties of the tracks, from their sequence headers and frames.

use crate::core::flv::{
    TagKind, TrackId,
    codec::TrackProperties,
    frame_info::{MediaTrack, media_tracks},
};

/// Properties of the tracks of a stream.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Properties(Vec<(TrackId, TrackProperties)>);

impl Properties {
    /// Reads the properties in an audio or video message. A sequence header replaces what is known of its track,
    /// and a frame adds to it.
    pub fn read(&mut self, kind: TagKind, body: &[u8]) {
        for track in media_tracks(kind, body) {
            if let Some(properties) = track.description() {
                let id = TrackId {
                    kind,
                    id: track.id(),
                };
                self.add(id, properties, is_sequence_header(&track));
            }
        }
    }

    /// Returns the properties of a track, if any are known.
    pub fn of(&self, id: TrackId) -> Option<&TrackProperties> {
        let Self(tracks) = self;
        let (_, properties) = tracks.iter().find(|(known, _)| *known == id)?;
        Some(properties)
    }

    /// Sets the properties of a track, or adds them to the known ones.
    pub fn add(&mut self, id: TrackId, properties: TrackProperties, replaces: bool) {
        let Self(tracks) = self;
        let known = tracks.iter_mut().find(|(known, _)| *known == id);
        let Some((_, known)) = known else {
            if tracks.len() < MAX_TRACKS {
                tracks.push((id, properties));
            }
            return;
        };
        match (known, properties) {
            (known, properties) if replaces => *known = properties,
            (TrackProperties::Video(known), TrackProperties::Video(video)) => {
                known.fill_from(&video);
            }
            (TrackProperties::Audio(known), TrackProperties::Audio(audio)) => {
                known.fill_from(&audio);
            }
            _ => {}
        }
    }
}

fn is_sequence_header(track: &MediaTrack<'_>) -> bool {
    match track {
        MediaTrack::Audio(track) => track.is_sequence_header(),
        MediaTrack::Video(track) => track.is_sequence_header(),
    }
}

/// Largest number of tracks, as in the analysis.
const MAX_TRACKS: usize = 16;
