//! The format of a file.

use serde::Serialize;

use super::{Cleaner, format::ms_text, table::Section};
use crate::{
    cli::terminal::units::size,
    probe::file::{
        Container, FileFacts, Repair,
        flv::Garbage,
        mp4::{Layout, Mp4Track},
    },
};

/// A file.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct FileSummary {
    format: &'static str,
    size_bytes: u64,
    stated_duration_ms: Option<u64>,
    duration_ms: u64,
    is_being_written: bool,
    repair: &'static str,
    repair_problem: Option<&'static str>,
    tags: Option<u64>,
    index_entries: Option<u64>,
    wrong_index_entries: Option<u64>,
    brand: Option<String>,
    program: Option<String>,
    layout: Option<&'static str>,
    fragments: Option<u64>,
    damaged: Vec<DamagedRange>,
    tracks: Vec<TrackInFile>,
}

/// Bytes between the tags of an FLV file.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
struct DamagedRange {
    offset: u64,
    bytes: u64,
}

/// A track of an MP4 file.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct TrackInFile {
    id: u32,
    track: Option<String>,
    handler: String,
    sample_entry: Option<String>,
    sample_entries: u32,
    language: Option<String>,
    timescale: u32,
    samples: u64,
    sync_samples: u64,
    bytes: u64,
    stated_duration_ms: Option<u64>,
    delay_ms: u64,
    skipped_ms: u64,
    end_ms: u64,
}

impl FileSummary {
    pub(super) fn of(facts: &FileFacts, cleaner: &Cleaner<'_>) -> Self {
        let (flv, mp4) = match &facts.container {
            Container::Flv(flv) => (Some(flv), None),
            Container::Mp4(mp4) => (None, Some(mp4)),
        };
        let index = flv.and_then(|flv| flv.index);
        Self {
            format: if flv.is_some() { "flv" } else { "mp4" },
            size_bytes: facts.size,
            stated_duration_ms: facts.stated_duration_ms,
            duration_ms: facts.duration_ms,
            is_being_written: facts.is_being_written,
            repair: match facts.repair {
                Repair::NotNeeded => "not needed",
                Repair::InPlace => "in place",
                Repair::Rewrite => "by rewriting",
                Repair::Impossible(_) => "impossible",
            },
            repair_problem: match facts.repair {
                Repair::Impossible(why) => Some(why),
                Repair::NotNeeded | Repair::InPlace | Repair::Rewrite => None,
            },
            tags: flv.map(|flv| flv.tags),
            index_entries: index.map(|index| index.entries),
            wrong_index_entries: index.map(|index| index.wrong),
            brand: mp4
                .and_then(|mp4| mp4.brand)
                .map(|brand| cleaner.clean(&String::from_utf8_lossy(&brand))),
            program: mp4
                .and_then(|mp4| mp4.program.as_ref())
                .map(|program| cleaner.clean(program)),
            layout: mp4.map(|mp4| match mp4.layout {
                Layout::Plain => "index at the end",
                Layout::FastStart => "index at the start",
                Layout::Fragmented => "fragmented",
                Layout::Hybrid => "index and fragments",
                Layout::Unknown => "no index",
            }),
            fragments: mp4.map(|mp4| mp4.fragments),
            damaged: flv
                .map(|flv| flv.garbage.iter().copied().map(DamagedRange::of).collect())
                .unwrap_or_default(),
            tracks: mp4
                .map(|mp4| mp4.tracks.iter())
                .unwrap_or_default()
                .map(|track| TrackInFile::of(track, cleaner))
                .collect(),
        }
    }

    /// Returns the rows for people.
    pub(super) fn section(&self) -> Section {
        let mut section = Section::new("File");
        let number = |number: Option<u64>| number.map(|number| number.to_string());
        let time = |ms: u64| ms_text(Some(ms as f64));
        section.add("format", Some(self.format));
        section.add("size", Some(size(self.size_bytes)));
        section.add("duration", time(self.duration_ms));
        section.add("stated duration", self.stated_duration_ms.and_then(time));
        section.add("tags", number(self.tags));
        section.add("index entries", number(self.index_entries));
        section.add("brand", self.brand.clone());
        section.add("program", self.program.clone());
        section.add("layout", self.layout);
        section.add(
            "fragments",
            number(self.fragments.filter(|count| *count > 0)),
        );
        for track in &self.tracks {
            section.add(format!("track {}", track.id), Some(track.text()));
        }
        section.add("being written", self.is_being_written.then_some("yes"));
        let repair = self.repair_problem.map_or_else(
            || self.repair.to_owned(),
            |why| format!("{}: {why}", self.repair),
        );
        section.add("repair", Some(repair));
        section
    }
}

impl DamagedRange {
    fn of(garbage: Garbage) -> Self {
        let Garbage { offset, bytes } = garbage;
        Self { offset, bytes }
    }
}

impl TrackInFile {
    fn of(track: &Mp4Track, cleaner: &Cleaner<'_>) -> Self {
        let clean = |code: &[u8]| cleaner.clean(&String::from_utf8_lossy(code));
        Self {
            id: track.id,
            track: track.media.map(|id| id.to_string()),
            handler: clean(&track.handler),
            sample_entry: track.setup.map(|kind| clean(&kind)),
            sample_entries: track.setups,
            language: track.language.map(|code| clean(&code)),
            timescale: track.timescale,
            samples: track.samples,
            sync_samples: track.sync_samples,
            bytes: track.bytes,
            stated_duration_ms: track.stated_duration_ms,
            delay_ms: track.delay_ms,
            skipped_ms: track.skipped_ms,
            end_ms: track.end_ms,
        }
    }

    /// Returns the most important facts on one line: `v0, avc1, 250 samples, timescale 25000, first 80 ms not shown`.
    fn text(&self) -> String {
        let kind = self.track.as_ref().unwrap_or(&self.handler).clone();
        let delayed = (self.delay_ms > 0).then(|| format!("starts after {} ms", self.delay_ms));
        let skipped =
            (self.skipped_ms > 0).then(|| format!("first {} ms not shown", self.skipped_ms));
        let parts = [
            Some(kind),
            self.sample_entry.clone(),
            Some(format!("{} samples", self.samples)),
            Some(format!("timescale {}", self.timescale)),
            delayed,
            skipped,
        ];
        let parts: Vec<String> = parts.into_iter().flatten().collect();
        parts.join(", ")
    }
}
