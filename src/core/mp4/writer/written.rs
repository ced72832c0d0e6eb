//! Statistics, tables and playlist of the written fragments.

use super::{Writer, track::Track};
use crate::core::{
    mp4::{
        boxes::BoxHeader,
        file_type::fragmented_file_type,
        fragment::{Run, read_moof},
        movie::{MovieTrack, final_length},
        playlist::{FragmentFacts, Playlist},
    },
    wire::Reader,
};

impl Writer {
    /// Adds a fragment to the statistics, once the file contains it.
    pub fn written(&mut self, fragment: &[u8]) {
        let mut boxes = Reader::new(fragment);
        while !boxes.is_empty() {
            let before = boxes.rest();
            let skipped = fragment.len().saturating_sub(before.len()) as u64;
            let Ok((kind, body)) = BoxHeader::read_complete(&mut boxes) else {
                break;
            };
            let length = before.len().saturating_sub(boxes.len());
            if kind == *b"moof"
                && let Some(Ok(runs)) = before.get(..length).map(read_moof)
            {
                debug_assert!(!body.is_empty());
                let offset = self.length.saturating_add(skipped);
                self.first_fragment.get_or_insert(offset);
                self.note(&runs, offset);
                self.add_to_playlist(&runs, offset);
            }
            if kind == *b"moov" {
                self.set_playlist_setup(self.length.saturating_add(skipped), length as u64);
            }
        }
        self.length = self.length.saturating_add(fragment.len() as u64);
    }

    /// Creates a playlist of the file. Must be called before the first fragment is written.
    pub fn start_playlist(&mut self, playlist: Playlist) {
        self.playlist = Some(playlist);
    }

    /// Returns the new lines of the playlist.
    pub fn take_playlist_lines(&mut self) -> String {
        let playlist = self.playlist.as_mut();
        playlist.map(Playlist::take_lines).unwrap_or_default()
    }

    /// Adds the end of the playlist: all fragments are written.
    pub fn finish_playlist(&mut self) {
        if let (Some(playlist), true) = (&mut self.playlist, self.first_fragment.is_some()) {
            playlist.finish(self.length);
        }
    }

    /// Returns the size of the file without the final tables, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// Returns the size of the tables that a finished file needs, in bytes.
    pub fn tables_bytes(&self) -> u64 {
        self.tables_bytes
    }

    /// Returns the duration of all written frames in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        let ends = self.movies().map(MovieTrack::end_ms);
        ends.max().unwrap_or(0)
    }

    /// Returns the offset of the first fragment, if the file is finished with sample tables.
    pub fn first_fragment(&self) -> Option<u64> {
        self.first_fragment.filter(|_| self.has_tables())
    }

    pub(super) fn note(&mut self, runs: &[Run], offset: u64) {
        let has_tables = self.has_tables();
        for run in runs {
            let mut tracks = self.tracks.iter_mut().map(|track| &mut track.movie);
            match tracks.find(|track| track.id == run.track) {
                Some(track) if has_tables => track.add(run, offset, &mut self.scratch),
                Some(track) => track.add_duration(run),
                None => {}
            }
        }
        if !has_tables {
            return;
        }
        self.tables_bytes = final_length(self.movies(), &self.options.description);
        if !self.has_warned && self.tables_bytes > LARGE_TABLES {
            self.has_warned = true;
            tracing::warn!(
                "the tables of the MP4 file will soon be too large for some players: \
                 use --segment-time to split the recording"
            );
        }
    }

    fn add_to_playlist(&mut self, runs: &[Run], offset: u64) {
        let has_video = self.has_video();
        let is_main_kind = |track: &&Track| track.movie.entry.is_video() == has_video;
        let main = self.tracks.iter().filter(is_main_kind);
        let main = main.min_by_key(|track| track.stream_id);
        let main = main.map(|track| track.movie.id);
        let Some(playlist) = &mut self.playlist else {
            return;
        };
        let mut fragment = FragmentFacts {
            offset,
            start_us: None,
            end_us: 0,
            is_start: false,
        };
        for run in runs {
            let mut tracks = self.tracks.iter().map(|track| &track.movie);
            let Some(track) = tracks.find(|track| track.id == run.track) else {
                continue;
            };
            fragment.end_us = fragment.end_us.max(track.microseconds(run.end()));
            if Some(track.id) == main {
                fragment.start_us = Some(track.microseconds(run.start));
                fragment.is_start = run.samples.first().is_some_and(|sample| sample.is_sync);
            }
        }
        playlist.add(fragment);
    }

    /// Sets the initialization section of the playlist, which ends with the `moov` box.
    fn set_playlist_setup(&mut self, movie: u64, length: u64) {
        let has_video = self.has_video();
        if let Some(playlist) = &mut self.playlist {
            let file_type = fragmented_file_type().len() as u64;
            let offset = movie.saturating_sub(file_type);
            playlist.set_setup(offset, length.saturating_add(file_type), has_video);
        }
    }
}

/// Size of the tables at which a warning is logged. iOS does not play a file whose tables are larger than
/// about 34 MB.
const LARGE_TABLES: u64 = 28_000_000;
