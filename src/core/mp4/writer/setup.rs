//! The tracks of a file: which messages add a track, and which need a new file.

use super::{Fragment, MAIN_TRACK, Writer, is_media, track::Track};
use crate::core::{
    flv::{
        FrameInfo, TagKind, TrackId,
        codec::{VideoPacket, VideoTrack},
        frame_info::{MediaTrack, media_tracks},
    },
    mp4::{
        color,
        movie::other_track_id,
        sample_entry::{SampleEntry, Unsupported, family},
    },
};

impl Writer {
    /// Whether a message needs other tracks than those of the file: it must start a new file, or
    /// [`Writer::restart_setup`] must be called in a pipe.
    pub fn needs_new_setup(&self, info: FrameInfo, body: &[u8]) -> bool {
        if !info.is_sequence_header && !info.is_multitrack {
            return is_frame(info) && self.frame_conflicts(info);
        }
        media_tracks(info.track, body).any(|track| {
            let info = self.info(&track, body);
            if info.is_sequence_header {
                return SampleEntry::of_track(&track)
                    .is_ok_and(|entry| self.conflicts(info, &entry));
            }
            is_frame(info) && self.frame_conflicts(info)
        })
    }

    /// Announces a message in order of arrival, or returns why an MP4 file cannot hold it.
    pub fn admit(&mut self, info: FrameInfo, body: &[u8]) -> Result<(), Unsupported> {
        if !is_media(info.track) || !(is_frame(info) || info.is_sequence_header) {
            for track in media_tracks(info.track, body) {
                match track {
                    MediaTrack::Video(track) if track.packet == VideoPacket::METADATA => {
                        self.admit_colors(&track);
                    }
                    _ => {}
                }
            }
            return Ok(());
        }
        if !info.is_sequence_header && !info.is_multitrack {
            return self.admit_frame(info, || SampleEntry::of(info.track, body));
        }
        for track in media_tracks(info.track, body) {
            let info = self.info(&track, body);
            if self.is_late(info) {
                self.leave_out(info);
            } else if info.is_sequence_header {
                self.admit_header(info, &track)?;
            } else if is_frame(info) {
                self.admit_frame(info, || SampleEntry::of_track(&track))?;
            }
        }
        Ok(())
    }

    /// Lets the following messages describe other tracks. The tracks are written again before the next
    /// fragment. Frames that wait are added to `fragments`.
    pub fn restart_setup(&mut self, fragments: &mut Vec<Fragment>) {
        self.finish(fragments);
        self.has_setup = false;
        self.tracks
            .iter_mut()
            .for_each(|track| track.has_frames = false);
    }

    fn admit_header(
        &mut self,
        info: FrameInfo,
        header: &MediaTrack<'_>,
    ) -> Result<(), Unsupported> {
        let entry = SampleEntry::of_track(header)?;
        if self.conflicts(info, &entry) {
            return Err(Unsupported::Changed);
        }
        self.set_entry(info, entry);
        let track = self.track_mut(info);
        if let Some(track) = track {
            track.nal_length_size = header.nal_length_size();
        }
        Ok(())
    }

    /// Announces a frame of one track. `entry` returns the setup that the frame contains.
    fn admit_frame(
        &mut self,
        info: FrameInfo,
        entry: impl FnOnce() -> Result<SampleEntry, Unsupported>,
    ) -> Result<(), Unsupported> {
        if self.frame_conflicts(info) {
            return Err(Unsupported::Changed);
        }
        match self.track_of(info) {
            None => self.set_entry(info, entry()?),
            Some(track) if track.has_frame_length => {}
            Some(_) => {
                if let Ok(entry) = entry() {
                    self.set_entry(info, entry);
                }
            }
        }
        if let Some(track) = self.track_mut(info) {
            track.has_frames = true;
            let size = &mut track.movie.entry.picture_size;
            *size = size.or(info.picture_size);
        }
        Ok(())
    }

    /// Stores the description of the colors for the setup. It may precede the setup of its track.
    fn admit_colors(&mut self, metadata: &VideoTrack<'_>) {
        let Some(boxes) = color::boxes(metadata.body) else {
            return;
        };
        let track = self.track(TagKind::VIDEO, metadata.id);
        if self.has_setup && track.is_none() {
            return;
        }
        let stored = self.colors.get(&metadata.id).map_or(&[][..], Vec::as_slice);
        // The frames that wait for the setup have the colors that were described before them.
        let is_used = track.is_some_and(|track| track.has_frames) && !stored.is_empty();
        if !self.has_setup && !is_used {
            self.colors.insert(metadata.id, boxes);
        } else if stored != boxes && !std::mem::replace(&mut self.has_reported_colors, true) {
            tracing::warn!(
                "the colors of video track {} change: the MP4 file keeps its first color description",
                metadata.id
            );
        }
    }

    fn set_entry(&mut self, info: FrameInfo, entry: SampleEntry) {
        match self.track_mut(info) {
            Some(track) if track.has_frames || track.movie.entry.is_same_as(&entry) => {
                track.movie.entry.frame_length = entry.frame_length;
                track.has_frame_length = true;
            }
            Some(track) => track.replace(entry),
            None => {
                let base_ms = self.origin_ms.unwrap_or(0);
                let track = Track::new(self.new_id(info), entry, base_ms);
                // Main tracks come first: players show the first track of a kind.
                let precedes = |other: &Track| other.stream_id <= track.stream_id;
                let position = self.tracks.partition_point(precedes);
                self.tracks.insert(position, track);
            }
        }
    }

    /// Returns the id of a new track in the file: 1 and 2 for the main tracks, in order of arrival.
    fn new_id(&self, info: FrameInfo) -> u32 {
        let is_main = |track: &Track| track.stream_id == MAIN_TRACK;
        match info.track_id {
            MAIN_TRACK if self.tracks.iter().any(is_main) => 2,
            MAIN_TRACK => 1,
            _ => other_track_id(track_id(info)),
        }
    }

    /// Whether a frame belongs to another setup than the file has.
    fn frame_conflicts(&self, info: FrameInfo) -> bool {
        let Some(track) = self.track_of(info) else {
            return self.has_setup && is_media(info.track) && !self.is_late(info);
        };
        let entry = &track.movie.entry;
        let is_resized = info.is_keyframe
            && info.picture_size.is_some()
            && entry.picture_size.is_some()
            && info.picture_size != entry.picture_size;
        is_resized || info.codec.map(family) != Some(entry.codec)
    }

    /// Whether the setup of a sequence header can no longer be added to the file.
    fn conflicts(&self, info: FrameInfo, entry: &SampleEntry) -> bool {
        match self.track_of(info) {
            Some(track) => {
                let is_fixed = self.has_setup || track.has_frames;
                is_fixed && !track.movie.entry.is_same_as(entry)
            }
            None => self.has_setup && !self.is_late(info),
        }
    }

    /// Whether a message belongs to a track that appears too late for the file.
    fn is_late(&self, info: FrameInfo) -> bool {
        self.options.leaves_out_late_tracks
            && info.track_id != MAIN_TRACK
            && self.track_of(info).is_none()
            && (self.has_setup || self.left_out.contains(&track_id(info)))
    }

    /// Records that the track of a message is left out.
    fn leave_out(&mut self, info: FrameInfo) {
        let track = track_id(info);
        if !self.left_out.contains(&track) {
            self.left_out.push(track);
            tracing::warn!(
                "track {track} arrives after the start of the MP4 pipe, so it is left out"
            );
        }
    }

    /// Adds the descriptions of the colors to the setup, which is written now.
    pub(super) fn set_colors(&mut self) {
        let videos = self.tracks.iter_mut();
        for track in videos.filter(|track| track.kind == TagKind::VIDEO) {
            let boxes = self.colors.get(&track.stream_id).cloned();
            track.movie.entry.color = boxes.unwrap_or_default();
        }
    }
}

fn track_id(info: FrameInfo) -> TrackId {
    TrackId {
        kind: info.track,
        id: info.track_id,
    }
}

/// Whether the message is a frame of a known codec.
fn is_frame(info: FrameInfo) -> bool {
    info.carries_media && info.codec.is_some()
}
