//! The format of a file.

use serde::Serialize;

use super::{Cleaner, format::ms_text, table::Section};
use crate::{
    cli::terminal::units::size,
    probe::file::{Container, FileFacts, Repair, mp4::Layout},
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
    tags: Option<u64>,
    index_entries: Option<u64>,
    wrong_index_entries: Option<u64>,
    brand: Option<String>,
    program: Option<String>,
    layout: Option<&'static str>,
    fragments: Option<u64>,
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
        section.add("being written", self.is_being_written.then_some("yes"));
        section.add("repair", Some(self.repair));
        section
    }
}
