//! The JSON object of a probe, which is also the source of the text.

use serde::Serialize;

use super::{
    Cleaner, Probed,
    connection::Connection,
    expect::Condition,
    file::FileSummary,
    format::{ms, ms_text},
    health::{Finding, Health, Stated},
    server::{Server, Session},
    table::Section,
    track::Track,
    verdict::Verdict,
};
use crate::{
    core::analysis::StreamFacts,
    probe::{
        ProbeReport, Source,
        file::{Error as FileError, FileFacts},
        stream::Times,
    },
};

/// A probe of one source. Its texts contain no secrets but are not escaped.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Document {
    pub(super) schema_version: u32,
    pub(super) version: &'static str,
    pub(super) source: String,
    pub(super) kind: &'static str,
    pub(super) verdict: Verdict,
    pub(super) times: ProbeTimes,
    pub(super) connection: Option<Connection>,
    pub(super) session: Option<Session>,
    pub(super) server: Option<Server>,
    pub(super) file: Option<FileSummary>,
    pub(super) tracks: Vec<Track>,
    pub(super) metadata: Vec<Stated>,
    pub(super) health: Health,
    pub(super) findings: Vec<Finding>,
}

/// Times from the start of the probe.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub(super) struct ProbeTimes {
    first_byte_ms: Option<f64>,
    first_frame_ms: Option<f64>,
    first_keyframe_ms: Option<f64>,
    duration_ms: Option<f64>,
}

impl Document {
    /// Describes the probe of `source`, and checks the conditions.
    pub(super) fn new(
        source: &str,
        probed: &Probed,
        conditions: &[Condition],
        cleaner: &Cleaner<'_>,
    ) -> Self {
        let mut document = match probed {
            Probed::Stream(report) => Self::of_stream(source, report, cleaner),
            Probed::File(Ok(facts)) => Self::of_file(source, facts, cleaner),
            Probed::File(Err(error)) => Self::of_unreadable_file(source, error, cleaner),
        };
        document.check(conditions, cleaner);
        document
    }

    fn of_stream(source: &str, report: &ProbeReport, cleaner: &Cleaner<'_>) -> Self {
        let Source::Stream(stream) = &report.source;
        let session = stream.session.as_ref();
        let mut document = Self {
            verdict: Verdict::of(&stream.outcome, &findings(&report.media, cleaner), cleaner),
            times: ProbeTimes::of(&stream.times),
            connection: stream
                .connection
                .as_ref()
                .map(|connection| Connection::of(connection, cleaner)),
            session: session.map(|facts| Session::of(facts, cleaner)),
            server: session.map(|facts| Server::of(facts, cleaner)),
            ..Self::of_media(source, &report.media, cleaner)
        };
        document.kind = STREAM;
        document
    }

    fn of_file(source: &str, facts: &FileFacts, cleaner: &Cleaner<'_>) -> Self {
        let mut document = Self::of_media(source, &facts.media, cleaner);
        let of_file = facts
            .findings
            .iter()
            .map(|finding| Finding::of_file(finding, cleaner));
        // Damage of the file explains the findings of its media.
        document.findings.splice(..0, of_file);
        document.file = Some(FileSummary::of(facts, cleaner));
        document.verdict = Verdict::of_file(&document.findings);
        document
    }

    fn of_unreadable_file(source: &str, error: &FileError, cleaner: &Cleaner<'_>) -> Self {
        let mut document = Self::of_media(source, &StreamFacts::default(), cleaner);
        document.verdict = Verdict::of_unreadable_file(&cleaner.clean(&error.to_string()));
        document
    }

    fn of_media(source: &str, media: &StreamFacts, cleaner: &Cleaner<'_>) -> Self {
        let findings = findings(media, cleaner);
        Self {
            schema_version: SCHEMA_VERSION,
            version: env!("CARGO_PKG_VERSION"),
            source: cleaner.clean(source),
            kind: "file",
            verdict: Verdict::of_file(&findings),
            times: ProbeTimes::default(),
            connection: None,
            session: None,
            server: None,
            file: None,
            tracks: media
                .tracks
                .iter()
                .map(|track| Track::of(track, cleaner))
                .collect(),
            metadata: media
                .metadata
                .iter()
                .map(|comparison| Stated::of(comparison, cleaner))
                .collect(),
            health: Health::of(media),
            findings,
        }
    }

    /// Whether the source is a stream, of which a longer probe would receive more.
    pub(super) fn is_stream(&self) -> bool {
        self.kind == STREAM
    }

    /// Whether the source could be read. The facts of the media then describe it.
    pub(super) fn has_media_facts(&self) -> bool {
        self.is_stream() || self.file.is_some()
    }

    fn check(&mut self, conditions: &[Condition], cleaner: &Cleaner<'_>) {
        let value = serde_json::to_value(&*self).unwrap_or_default();
        let failures: Vec<_> = conditions
            .iter()
            .filter_map(|condition| condition.check(&value).err())
            .collect();
        self.verdict.fail(&failures, cleaner);
    }
}

fn findings(media: &StreamFacts, cleaner: &Cleaner<'_>) -> Vec<Finding> {
    let findings = media.findings.iter();
    findings
        .map(|finding| Finding::of(finding, cleaner))
        .collect()
}

impl ProbeTimes {
    fn of(times: &Times) -> Self {
        Self {
            first_byte_ms: ms(times.first_byte),
            first_frame_ms: ms(times.first_frame),
            first_keyframe_ms: ms(times.first_keyframe),
            duration_ms: ms(Some(times.end)),
        }
    }

    /// Returns the times of the first byte, frame and keyframe, and the end, in seconds.
    pub(super) fn seconds(&self) -> [Option<f64>; 4] {
        let times = [
            self.first_byte_ms,
            self.first_frame_ms,
            self.first_keyframe_ms,
            self.duration_ms,
        ];
        times.map(|ms| ms.map(|ms| ms / 1000.0))
    }

    /// Adds the rows for people.
    pub(super) fn add_to(&self, section: &mut Section) {
        for (label, time) in [
            ("first byte", self.first_byte_ms),
            ("first frame", self.first_frame_ms),
            ("first keyframe", self.first_keyframe_ms),
        ] {
            section.add(label, ms_text(time).map(|time| format!("after {time}")));
        }
        section.add("probed for", ms_text(self.duration_ms));
    }
}

/// Kind of a source on a server.
const STREAM: &str = "stream";

/// Version of the JSON object. It increases if a member is removed, renamed or changes its meaning.
pub(super) const SCHEMA_VERSION: u32 = 1;
