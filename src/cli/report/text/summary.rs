//! The last line for people: the saved files, and the ending of the download.

use super::reason_suffix;
use crate::{
    cli::{
        exit_code::Exit,
        terminal::{time_format::hms, units::size},
    },
    core::flv::TagKind,
    download::{Ending, Outcome, Progress},
    output::{Destination, SegmentFacts},
};

/// Names of what a download wrote.
#[derive(Debug, Clone, Default)]
pub(super) struct Saved {
    /// Output of the job, which is named if no file was completed.
    output: Option<Destination>,
    first: Option<String>,
    latest: Option<String>,
    count: u32,
}

impl Saved {
    pub(super) fn to(output: Destination) -> Self {
        Self {
            output: Some(output),
            ..Self::default()
        }
    }

    /// Adds a complete file.
    pub(super) fn add(&mut self, facts: &SegmentFacts) {
        self.count += 1;
        self.first.get_or_insert_with(|| facts.path.clone());
        self.latest = Some(facts.path.clone());
    }

    /// Formats the names: `saved clip.flv`, `saved 4 files from cam-001.flv to cam-004.flv`, or
    /// `sent to standard output`.
    fn text(&self) -> String {
        match (&self.first, &self.latest) {
            (Some(first), Some(latest)) if self.count > 1 => {
                format!("saved {} files from {first} to {latest}", self.count)
            }
            (Some(file), _) => format!("saved {file}"),
            _ => match &self.output {
                Some(Destination::Path(path)) if path.is_file() => {
                    format!("saved {}", path.display())
                }
                // A FIFO or a device.
                Some(Destination::Path(path)) => format!("sent to {}", path.display()),
                Some(Destination::Discard) => "nothing saved".to_owned(),
                _ => "sent to standard output".to_owned(),
            },
        }
    }
}

/// Formats the last line: `saved clip.flv: 6.4 MiB, 1:00, ended (NetStream.Play.Complete)`
///
/// If nothing was saved, the line is `LEVEL: ending: reason`.
pub(super) fn summary(
    exit: Exit,
    outcome: &Outcome,
    progress: &Progress,
    saved: &Saved,
    is_download: bool,
) -> String {
    let Outcome {
        ending,
        reason,
        media_arrived,
        ..
    } = outcome;
    let level = level(exit);
    let saved_text = || format!("{}: {}", saved.text(), size(outcome.bytes));
    let missing = missing_suffix(&outcome.missing_sequence_headers);
    let gaps = gaps_suffix(outcome);
    let position = hms(outcome.position_ms);
    match exit {
        Exit::Failure | Exit::NoConnection => {
            let is_kept = matches!(ending, Ending::DiskFull | Ending::OutputFailed);
            let kept = (is_kept && saved.count > 0)
                .then(|| format!(" ({}, {position}{gaps})", saved_text()));
            let kept = kept.unwrap_or_default();
            format!("{level}: {ending}{}{kept}{missing}", reason_suffix(reason))
        }
        _ if !media_arrived => format!("{level}: {ending}{}{missing}", reason_suffix(reason)),
        Exit::Success => {
            let ending = with_reason(*ending, reason);
            format!("{}, {position}, {ending}{gaps}{missing}", saved_text())
        }
        Exit::Incomplete => {
            let total = progress.duration_ms.filter(|ms| *ms > outcome.position_ms);
            let total = total.map_or_else(String::new, |ms| format!(" of {}", hms(ms)));
            let ending = with_reason(*ending, reason);
            // A live stream and a pipe cannot be resumed.
            let can_resume = is_download && !outcome.is_live && saved.count > 0;
            let advice = if can_resume {
                "; continue with --resume"
            } else {
                ""
            };
            format!(
                "{level}: {}, {position}{total}, {ending}{gaps}{missing}{advice}",
                saved_text()
            )
        }
    }
}

pub(super) fn level(exit: Exit) -> &'static str {
    match exit {
        Exit::Success => "INFO",
        Exit::Incomplete => "WARNING",
        Exit::Failure | Exit::NoConnection => "ERROR",
    }
}

fn with_reason(ending: Ending, reason: &str) -> String {
    match reason_suffix(reason).strip_prefix(": ") {
        Some(reason) => format!("{ending} ({reason})"),
        None => ending.to_string(),
    }
}

/// Formats the gaps: `, 2 gaps of 12.3 s in total`
fn gaps_suffix(outcome: &Outcome) -> String {
    let seconds = outcome.gaps.total_ms() as f64 / 1000.0;
    match outcome.gaps.count() {
        0 => String::new(),
        1 => format!(", 1 gap of {seconds:.1} s"),
        count => format!(", {count} gaps of {seconds:.1} s in total"),
    }
}

/// Formats the tracks without a sequence header: ` (no sequence header for video and audio)`
pub(super) fn missing_suffix(tracks: &[TagKind]) -> String {
    if tracks.is_empty() {
        return String::new();
    }
    let tracks: Vec<_> = tracks.iter().map(ToString::to_string).collect();
    format!(" (no sequence header for {})", tracks.join(" and "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cli::exit_code, output::Gap};

    fn outcome(ending: Ending, reason: &str) -> Outcome {
        Outcome {
            reason: reason.to_owned(),
            bytes: 6_763_315,
            tags: 150,
            position_ms: 60_400,
            duration_ms: Some(90_000),
            ..exit_code::tests::outcome(ending)
        }
    }

    fn line(outcome: &Outcome, files: &[&str]) -> String {
        let mut saved = Saved::to(Destination::Stdout);
        for path in files {
            saved.add(&SegmentFacts {
                path: (*path).to_owned(),
                segment: 1,
                offset_ms: 0,
                duration_ms: 0,
                bytes: 0,
                start: String::new(),
            });
        }
        let progress = Progress {
            duration_ms: outcome.duration_ms,
            ..Progress::default()
        };
        summary(Exit::from(outcome), outcome, &progress, &saved, true)
    }

    #[test]
    fn the_last_line_names_file_size_duration_and_ending() {
        let complete = outcome(Ending::Ended, "NetStream.Play.Complete");
        let expected = "6.4 MiB, 1:00, ended (NetStream.Play.Complete)";
        assert_eq!(
            line(&complete, &["clip.flv"]),
            format!("saved clip.flv: {expected}")
        );
        assert_eq!(
            line(&complete, &["a.flv", "b.flv", "c.flv"]),
            format!("saved 3 files from a.flv to c.flv: {expected}")
        );
        assert_eq!(
            line(&complete, &[]),
            format!("sent to standard output: {expected}")
        );
        assert_eq!(
            line(&outcome(Ending::Cut, "the connection broke"), &["a"]),
            "WARNING: saved a: 6.4 MiB, 1:00 of 1:30, cut (the connection broke); \
             continue with --resume"
        );
        let live = Outcome {
            is_live: true,
            duration_ms: None,
            ..outcome(Ending::Stalled, "")
        };
        assert_eq!(
            line(&live, &["a"]),
            "WARNING: saved a: 6.4 MiB, 1:00, stalled"
        );
    }

    #[test]
    fn the_last_line_names_gaps_and_missing_headers() {
        let gap = |length_ms| Gap {
            at_ms: 0,
            began: jiff::Timestamp::UNIX_EPOCH,
            length_ms,
            reason: String::new(),
        };
        let mut gapped = outcome(Ending::Limit, "");
        gapped.gaps.push(gap(12_345));
        assert_eq!(
            line(&gapped, &["a"]),
            "saved a: 6.4 MiB, 1:00, limit, 1 gap of 12.3 s"
        );
        gapped.gaps.push(gap(1_000));
        gapped.missing_sequence_headers = vec![TagKind::VIDEO, TagKind::AUDIO];
        assert_eq!(
            line(&gapped, &["a"]),
            "saved a: 6.4 MiB, 1:00, limit, 2 gaps of 13.3 s in total \
             (no sequence header for video and audio)"
        );
    }

    #[test]
    fn a_failure_names_the_ending_first() {
        assert_eq!(
            line(&outcome(Ending::DiskFull, "cannot write a"), &["a"]),
            "ERROR: disk-full: cannot write a (saved a: 6.4 MiB, 1:00)"
        );
        assert_eq!(
            line(&outcome(Ending::Mismatch, "another stream"), &[]),
            "ERROR: mismatch: another stream"
        );
        let interrupted = Outcome {
            media_arrived: false,
            ..outcome(Ending::Interrupted, "stopped by the user")
        };
        assert_eq!(
            line(&interrupted, &[]),
            "ERROR: interrupted: stopped by the user"
        );
    }
}
