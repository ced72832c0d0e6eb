//! Lines about one of several streams. Each names the stream.

use std::sync::Arc;

use super::{
    format_text, gap_text, hint, one_line, retry_text, segment_text, source_text,
    summary::{Saved, summary},
    track_text,
};
use crate::{
    cli::{
        exit_code::Exit,
        report::{display_options::DisplayOptions, listeners::Listener},
        terminal::screen::Screen,
    },
    core::amf::Object,
    download::{FormatChange, NewTrack, Outcome, Progress, Report, Retry, SourceSwitch},
    output::{Destination, Gap, SegmentFacts},
};

/// Prints the events of one of several streams, but no progress.
#[derive(Debug)]
pub struct StreamText {
    screen: Arc<Screen>,
    name: Arc<str>,
    display: DisplayOptions,
    saved: Saved,
    /// The latest metadata, which is not repeated.
    metadata: Option<Object>,
    /// Reason of the latest retry, which is not repeated until media arrives.
    outage: Option<String>,
    /// Number of received frames at the latest progress.
    frames: u64,
}

impl StreamText {
    /// Creates a report for the stream `name`, which is recorded to `output`.
    pub fn new(
        screen: Arc<Screen>,
        name: Arc<str>,
        display: DisplayOptions,
        output: Destination,
    ) -> Self {
        Self {
            screen,
            name,
            display,
            saved: Saved::to(output),
            metadata: None,
            outage: None,
            frames: 0,
        }
    }

    /// Prints a line of a kind that is limited for this stream.
    fn line(&self, kind: &'static str, text: &str) {
        let line = named(&self.name, text);
        self.screen.stream_line(Some(&self.name), kind, &line);
    }
}

impl Listener for StreamText {
    fn finished(&mut self, outcome: &Outcome) {
        let progress = Progress {
            bytes: outcome.bytes,
            position_ms: outcome.position_ms,
            duration_ms: outcome.duration_ms,
            ..Progress::default()
        };
        let line = summary(Exit::from(outcome), outcome, &progress, &self.saved, false);
        self.screen.line(&named(&self.name, &line));
        for hint in &outcome.hints {
            // Limited, because a stream can fail again after each change of the file.
            self.line("hint", &hint::line(hint));
        }
    }
}

impl Report for StreamText {
    fn metadata(&mut self, metadata: &Object) {
        if self.metadata.as_ref() != Some(metadata) {
            self.metadata = Some(metadata.clone());
            if let Some(line) = one_line(metadata) {
                self.line("metadata", &format!("INFO: stream: {line}"));
            }
        }
    }

    fn started(&mut self, is_live: bool) {
        self.line(
            "started",
            match is_live {
                true => "INFO: Starting Live Stream",
                false => "INFO: Starting download",
            },
        );
    }

    fn gap(&mut self, gap: &Gap) {
        self.line("gap", &format!("WARNING: {}", gap_text(gap)));
    }

    fn track(&mut self, new: &NewTrack) {
        if new.track.id != 0 || !new.is_recorded {
            self.line("track", &track_text(new));
        }
    }

    fn format_changed(&mut self, change: &FormatChange) {
        self.line("format", &format_text(change));
    }

    fn source(&mut self, switch: &SourceSwitch) {
        self.line("source", &format!("INFO: {}", source_text(switch)));
    }

    fn retry(&mut self, retry: &Retry) {
        if self.outage.as_ref() != Some(&retry.reason) {
            self.line("retry", &format!("INFO: {}", retry_text(retry)));
            self.outage = Some(retry.reason.clone());
        }
    }

    fn progress(&mut self, progress: &Progress) {
        if progress.frames != self.frames {
            self.frames = progress.frames;
            if self.outage.take().is_some() {
                self.line("recovered", "INFO: media arrives again");
            }
        }
    }

    fn segment(&mut self, facts: &SegmentFacts) {
        self.saved.add(facts);
        if self.display.is_split || facts.segment > 1 {
            self.line("segment", &segment_text(facts));
        }
    }
}

/// Inserts the name of a stream into a line, after its level: `WARNING: lobby: gap of 2.0 s`, `hint: lobby: …`
pub fn named(name: &str, line: &str) -> String {
    let levels = ["INFO", "WARNING", "ERROR", "hint"];
    match line.split_once(": ") {
        Some((level, text)) if levels.contains(&level) => format!("{level}: {name}: {text}"),
        _ => format!("{name}: {line}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cli::{args::Verbosity, terminal::screen::tests::plain},
        download::Ending,
    };

    #[test]
    fn the_name_follows_the_level() {
        assert_eq!(named("cam", "WARNING: gap: x"), "WARNING: cam: gap: x");
        assert_eq!(named("cam", "hint: try it"), "hint: cam: try it");
        assert_eq!(
            named("cam", "saved a.flv: 1 MiB"),
            "cam: saved a.flv: 1 MiB"
        );
    }

    #[test]
    fn an_outage_is_printed_once_until_its_reason_changes() {
        let (screen, written) = plain(Verbosity::Normal);
        let options = DisplayOptions::default();
        let mut text = StreamText::new(screen, "cam".into(), options, Destination::Discard);
        let retry = |attempt, reason: &str| Retry {
            attempt,
            limit: None,
            wait: std::time::Duration::from_secs(1),
            ending: Ending::Cut,
            reason: reason.to_owned(),
        };
        for attempt in 1..100 {
            text.retry(&retry(attempt, "no route"));
        }
        text.retry(&retry(100, "refused"));
        text.progress(&Progress {
            frames: 1,
            ..Progress::default()
        });
        text.retry(&retry(1, "refused"));
        assert_eq!(
            written.take(),
            "INFO: cam: retry 1 in 1.0 s, after cut: no route\n\
             INFO: cam: retry 100 in 1.0 s, after cut: refused\n\
             INFO: cam: media arrives again\n\
             INFO: cam: retry 1 in 1.0 s, after cut: refused\n"
        );
    }
}
