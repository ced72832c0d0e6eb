//! A probe as text for people.

use super::{
    document::Document,
    health::{Finding, Stated},
    table::{self, Section},
};

/// Returns the lines of a probe. The last ones are the verdict, its hints and the failed conditions.
pub(super) fn lines(document: &Document) -> Vec<String> {
    let metadata = Stated::table(&document.metadata);
    let mut lines = table::lines(&sections(document, metadata));
    if !lines.is_empty() {
        lines.push(String::new());
    }
    lines.extend(document.verdict.lines());
    lines
}

/// Returns all sections of a probe, of which some may be empty, with this section of the metadata.
pub(super) fn sections(document: &Document, metadata: Section) -> Vec<Section> {
    let mut source = Section::new("Source");
    source.add("name", Some(document.source.clone()));
    document.times.add_to(&mut source);
    let mut sections = vec![source];
    sections.extend(document.connection.as_ref().map(|part| part.section()));
    sections.extend(document.session.as_ref().map(|part| part.section()));
    sections.extend(document.server.as_ref().map(|part| part.section()));
    sections.extend(document.file.as_ref().map(|part| part.section()));
    for kind in ["video", "audio"] {
        let tracks = document.tracks.iter().filter(|track| track.is(kind));
        sections.extend(tracks.map(|track| track.section(document.is_stream())));
    }
    if document.has_media_facts() {
        sections.push(metadata);
        sections.push(document.health.section());
        sections.push(Finding::section(&document.findings));
    }
    sections
}

/// Whether the values of a section differ between any two probes.
pub(super) fn has_own_times(title: &str) -> bool {
    ["Source", "Connection", "Session"].contains(&title)
}
