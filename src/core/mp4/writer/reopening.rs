//! Continues a file of an earlier run: its tracks and its fragments.

use super::{MAIN_TRACK, Options, Writer, track::Track};
use crate::core::{
    flv::{TagKind, head_writer::Patch},
    mp4::{fragment::Run, movie::MovieTrack},
};

impl Writer {
    /// Creates a writer that continues a file with these tracks. `length` is the length of the file up to its
    /// first fragment. [`Writer::add_existing`] must follow for every fragment.
    ///
    /// The output times that continue the file start where its movie starts, or where its first picture is
    /// decoded if that is earlier.
    pub(in crate::core::mp4) fn reopen(
        options: Options,
        movies: Vec<MovieTrack>,
        length: u64,
    ) -> Self {
        let starts = movies
            .iter()
            .map(|movie| movie.milliseconds(movie.media_start));
        let origin_ms = starts.max().unwrap_or(0);
        let videos = movies.iter().filter(|movie| movie.entry.is_video());
        let colors = videos.map(|movie| (movie.stream_track().id, movie.entry.color.clone()));
        let colors = colors.collect();
        let reopen = |movie| Track::reopen(movie, origin_ms);
        Self {
            colors,
            tracks: movies.into_iter().map(reopen).collect(),
            has_setup: true,
            origin_ms: Some(origin_ms),
            length,
            ..Self::new(options)
        }
    }

    /// Adds the next fragment of a reopened file. Returns false, and adds nothing, if it does not continue the
    /// tracks.
    pub fn add_existing(&mut self, runs: &[Run], length: u64) -> bool {
        let continues = |run: &Run| {
            let track = self.tracks.iter().find(|track| track.movie.id == run.track);
            track.is_some_and(|track| track.can_continue_with(run))
        };
        if !runs.iter().all(continues) {
            return false;
        }
        for run in runs {
            let mut tracks = self.tracks.iter_mut();
            if let Some(track) = tracks.find(|track| track.movie.id == run.track) {
                track.continue_after(run);
            }
        }
        let offset = self.length;
        if !runs.is_empty() {
            self.first_fragment.get_or_insert(offset);
            self.note(runs, offset);
            self.number = self.number.saturating_add(1);
        }
        self.length = self.length.saturating_add(length);
        true
    }

    /// Skips damaged fragments of a reopened file: `length` bytes. The caller must write the returned header over
    /// them.
    pub fn skip_existing(&mut self, length: u64) -> Patch {
        let offset = self.length;
        self.length = self.length.saturating_add(length);
        let mut bytes = Vec::new();
        match u32::try_from(length) {
            Ok(short) => bytes.extend(short.to_be_bytes()),
            Err(_) => bytes.extend([0, 0, 0, 1]),
        }
        bytes.extend(b"free");
        if u32::try_from(length).is_err() {
            bytes.extend(length.to_be_bytes());
        }
        Patch { offset, bytes }
    }

    /// Returns the samples of a fragment in order of their times. [`Writer::add_existing`] must have added it.
    pub fn existing_samples(&self, runs: &[Run]) -> Vec<ExistingSample> {
        let mut samples = Vec::new();
        for run in runs {
            let mut tracks = self.tracks.iter();
            let Some(track) = tracks.find(|track| track.movie.id == run.track) else {
                continue;
            };
            let (mut ticks, mut offset) = (run.start, run.offset);
            for sample in &run.samples {
                samples.push(ExistingSample {
                    track: track.kind,
                    at_ms: track.output_ms(ticks),
                    is_keyframe: sample.is_sync && track.kind == TagKind::VIDEO,
                    offset,
                    size: sample.size,
                });
                ticks = ticks.saturating_add(sample.duration.into());
                offset = offset.saturating_add(sample.size);
            }
        }
        samples.sort_by_key(|sample| sample.at_ms);
        samples
    }

    /// Returns whether the file has tracks other than one of video and one of audio.
    pub fn has_other_tracks(&self) -> bool {
        self.tracks
            .iter()
            .any(|track| track.stream_id != MAIN_TRACK)
    }
}

/// A sample of a file that is reopened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExistingSample {
    /// Audio or video.
    pub track: TagKind,
    /// Output time in milliseconds.
    pub at_ms: u64,
    /// Whether a decoder can start with this picture.
    pub is_keyframe: bool,
    /// Offset from the start of the fragment in bytes.
    pub offset: u32,
    /// Size in bytes.
    pub size: u32,
}

impl ExistingSample {
    /// Returns the bytes of the sample in its fragment.
    pub fn of(self, fragment: &[u8]) -> &[u8] {
        let rest = fragment.get(self.offset as usize..).unwrap_or_default();
        rest.get(..self.size as usize).unwrap_or_default()
    }
}
