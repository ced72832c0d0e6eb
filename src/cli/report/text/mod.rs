//! Text for people, and under the name `rtmpdump` for front ends.

mod bar;
pub(in crate::cli) mod hint;
mod metadata;
mod rtmpdump;
pub mod stream;
mod summary;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use console::Term;
use indicatif::{ProgressState, ProgressStyle};
use jiff::Timestamp;

use self::{
    bar::{BarFacts, Outage},
    metadata::{describe, one_line},
    summary::{Saved, summary},
};
use super::{display_options::DisplayOptions, listeners::Listener};
use crate::{
    cli::{
        exit_code::Exit,
        program_name::ProgramName,
        terminal::{
            sanitize::redacted,
            screen::{Charset, Screen},
            time_format::{hms, utc},
            units::size,
        },
    },
    core::amf::Object,
    download::{
        FormatChange, NewTrack, Outcome, Progress, Reconnect, ReconnectState, Report, Retry,
        SourceSwitch,
    },
    output::{Destination, Gap, SegmentFacts},
    transport::Endpoint,
};

/// Prints the events of a download on the screen.
#[derive(Debug)]
pub struct TextReport {
    screen: Arc<Screen>,
    display: DisplayOptions,
    /// Number of `#` printed so far.
    marks: u64,
    /// Time of the first media.
    started: Option<Instant>,
    /// Progress of the file before this download.
    before: Progress,
    /// Time of the last progress update.
    shown: Option<Instant>,
    /// Number of frames at the last progress.
    frames: u64,
    /// Whether the stream was live at the last progress.
    is_live: bool,
    /// Facts that the bar shows when it is drawn next.
    bar_facts: Arc<Mutex<BarFacts>>,
    /// Files written so far.
    saved: Saved,
    /// Number of characters of the latest status line.
    status_columns: usize,
    /// Number of metadata lines that may still be printed.
    metadata_lines: usize,
    /// The latest metadata.
    metadata: Option<Object>,
}

impl TextReport {
    /// Creates a report that has printed nothing yet.
    pub fn new(screen: Arc<Screen>, display: DisplayOptions) -> Self {
        let bar_facts = Arc::default();
        if let Some(bar) = screen.bar() {
            bar.set_style(style(Arc::clone(&bar_facts), screen.charset()));
        }
        Self {
            screen,
            display,
            marks: 0,
            started: None,
            before: Progress::default(),
            shown: None,
            frames: 0,
            is_live: false,
            bar_facts,
            saved: Saved::default(),
            status_columns: 0,
            metadata_lines: METADATA_LINES,
            metadata: None,
        }
    }

    /// Sets what the last line names if no file was completed.
    #[must_use]
    pub fn with_output(self, output: Destination) -> Self {
        Self {
            saved: Saved::to(output),
            ..self
        }
    }

    /// Whether front ends read the lines.
    fn is_rtmpdump(&self) -> bool {
        self.display.name == ProgramName::Rtmpdump
    }

    /// Returns the progress relative to the requested range.
    fn within_request(&self, progress: &Progress) -> Progress {
        Progress {
            duration_ms: self.display.expected_ms(progress, Timestamp::now()),
            ..*progress
        }
    }

    fn show(&mut self, progress: &Progress, now: Instant) {
        match self.screen.bar() {
            _ if self.display.no_progress => {}
            _ if self.display.hashes => self.mark(progress),
            Some(_) => {
                let since_start = self.started.map(|started| now.duration_since(started));
                let facts = bar_facts(progress, &self.before, since_start.unwrap_or_default());
                self.update_bar(|bar| {
                    let (outage, is_reconnecting) = (bar.outage, bar.is_reconnecting);
                    *bar = BarFacts {
                        outage,
                        is_reconnecting,
                        ..facts
                    };
                });
            }
            None if self.is_rtmpdump() => self.screen.status(&rtmpdump::status(progress)),
            None => self.show_status(&status(progress)),
        }
    }

    /// Prints a status line that covers the previous one.
    fn show_status(&mut self, text: &str) {
        let columns = text.chars().count();
        let padding = self.status_columns.saturating_sub(columns);
        self.status_columns = columns;
        self.screen
            .status(&(text.to_owned() + &" ".repeat(padding)));
    }

    /// Prints a `#` for each percent, or at each update if the duration is unknown.
    fn mark(&mut self, progress: &Progress) {
        let total = match tenths_of_percent(progress) {
            Some(tenths) => tenths / 10,
            None => self.marks + 1,
        };
        let marks = total.saturating_sub(self.marks);
        self.marks = self.marks.max(total);
        if marks > 0 {
            self.screen.mark(&"#".repeat(marks as usize));
        }
    }

    fn show_final(&mut self, progress: &Progress) {
        let is_rtmpdump = self.is_rtmpdump();
        match self.screen.bar() {
            _ if self.display.no_progress || self.display.hashes => {}
            Some(bar) => {
                bar.finish_and_clear();
                if is_rtmpdump {
                    self.screen.line(&rtmpdump::status(progress));
                }
            }
            None if is_rtmpdump => self.screen.status(&rtmpdump::status(progress)),
            // A percentage next to "ended" would contradict it: durations are rarely exact.
            None => self.show_status(&status(&Progress {
                duration_ms: None,
                ..*progress
            })),
        }
    }

    fn update_bar(&self, update: impl FnOnce(&mut BarFacts)) {
        let facts = self.bar_facts.lock();
        update(&mut facts.unwrap_or_else(PoisonError::into_inner));
    }

    fn progress_at(&mut self, progress: &Progress, now: Instant) {
        self.is_live = progress.is_live;
        if progress.frames != self.frames {
            self.frames = progress.frames;
            self.update_bar(|bar| bar.outage = None);
        }
        let is_due = self
            .shown
            .is_none_or(|shown| now.duration_since(shown) > STATUS_INTERVAL);
        if is_due && self.started.is_some() {
            self.shown = Some(now);
            self.show(&self.within_request(progress), now);
        }
    }
}

impl Listener for TextReport {
    /// Prints the ending word and the reason. People also read the saved files before them, and hints after them.
    fn finished(&mut self, outcome: &Outcome) {
        let exit = Exit::from(outcome);
        let progress = self.within_request(&Progress {
            bytes: outcome.bytes,
            position_ms: outcome.position_ms,
            duration_ms: outcome.duration_ms,
            is_live: self.is_live,
            ..Progress::default()
        });
        if self.started.is_some() {
            self.show_final(&progress);
        }
        if !self.is_rtmpdump() {
            let line = summary(
                exit,
                outcome,
                &progress,
                &self.saved,
                !self.display.is_conversion,
            );
            self.screen.line(&line);
            for hint in &outcome.hints {
                self.screen.line(&hint::line(hint));
            }
            return;
        }
        if let Some(verdict) = rtmpdump::verdict(exit, outcome, &progress) {
            self.screen.line(&verdict);
        }
        self.screen.line(&rtmpdump::last_line(exit, outcome));
    }
}

impl Report for TextReport {
    fn connecting(&mut self, endpoint: &Endpoint) {
        self.screen.event_line("connecting", "Connecting ...");
        tracing::debug!("connecting to {endpoint}");
    }

    fn connected(&mut self) {
        self.screen.event_line("connected", "INFO: Connected...");
    }

    fn metadata(&mut self, metadata: &Object) {
        if self.is_rtmpdump() {
            return self.print_block(metadata);
        }
        if self.metadata.as_ref() != Some(metadata) {
            self.metadata = Some(metadata.clone());
            if let Some(line) = one_line(metadata) {
                let line = format!("INFO: stream: {line}");
                self.screen.event_line("metadata", &line);
            }
            self.print_block(metadata);
        }
    }

    fn started(&mut self, is_live: bool) {
        if !self.display.is_conversion {
            self.screen.line(match is_live {
                true => "Starting Live Stream",
                false if self.is_rtmpdump() => "Starting download at: 0.000 kB",
                false => "Starting download",
            });
        }
        self.begin(is_live);
    }

    fn resuming(&mut self, progress: &Progress) {
        self.before = *progress;
        let progress = self.within_request(progress);
        let line = match self.is_rtmpdump() {
            true => rtmpdump::resuming_text(&progress),
            false => format!("Resuming download at: {}", status(&progress)),
        };
        self.screen.line(&line);
        self.begin(false);
    }

    fn gap(&mut self, gap: &Gap) {
        let line = format!("WARNING: {}", gap_text(gap));
        self.screen.event_line("gap", &line);
    }

    fn track(&mut self, new: &NewTrack) {
        if !self.is_rtmpdump() && (new.track.id != 0 || !new.is_recorded) {
            self.screen.event_line("track", &track_text(new));
        }
    }

    fn format_changed(&mut self, change: &FormatChange) {
        if !self.is_rtmpdump() {
            self.screen.event_line("format", &format_text(change));
        }
    }

    fn reconnect(&mut self, reconnect: &Reconnect) {
        let is_reconnecting = reconnect.state == ReconnectState::Started;
        self.update_bar(|bar| bar.is_reconnecting = is_reconnecting);
    }

    fn source(&mut self, switch: &SourceSwitch) {
        let line = format!("INFO: {}", source_text(switch));
        self.screen.event_line("source", &line);
    }

    fn retry(&mut self, retry: &Retry) {
        let line = format!("INFO: {}", retry_text(retry));
        self.screen.event_line("retry", &line);
        self.update_bar(|bar| {
            bar.outage = Some(Outage {
                attempt: retry.attempt,
                limit: retry.limit,
                starts: Instant::now() + retry.wait,
            });
        });
    }

    fn progress(&mut self, progress: &Progress) {
        self.progress_at(progress, Instant::now());
    }

    fn segment(&mut self, facts: &SegmentFacts) {
        self.saved.add(facts);
        if self.display.is_split || facts.segment > 1 {
            self.screen.event_line("segment", &segment_text(facts));
        }
    }
}

impl TextReport {
    /// Prints all members: for front ends always, for people only with --verbose.
    fn print_block(&mut self, metadata: &Object) {
        if self.metadata_lines == 0 {
            return;
        }
        let is_always = self.is_rtmpdump();
        let print = |screen: &Screen, line: &str| match is_always {
            true => screen.line(line),
            false => screen.verbose_line(line),
        };
        print(&self.screen, "INFO: Metadata:");
        let mut lines = Vec::new();
        describe(metadata, &mut lines);
        let left_out = lines.len().saturating_sub(self.metadata_lines);
        for line in lines.iter().take(self.metadata_lines) {
            print(&self.screen, line);
        }
        self.metadata_lines = self.metadata_lines.saturating_sub(lines.len());
        if left_out > 0 {
            let line = format!("INFO:   ({left_out} more)");
            print(&self.screen, &line);
        }
    }

    fn begin(&mut self, is_live: bool) {
        if self.display.realtime && !is_live {
            self.screen
                .line("  in approximately realtime (disabled BUFX speedup hack)");
        }
        if let Some(length_ms) = self.display.length_ms {
            let seconds = length_ms as f64 / 1000.0;
            self.screen.line(&match self.is_rtmpdump() {
                true => format!("For duration: {seconds:.3} sec"),
                false if length_ms < 60_000 => format!("For duration: {seconds} s"),
                false => format!("For duration: {}", hms(length_ms)),
            });
        }
        self.started = Some(Instant::now());
        if !self.display.no_progress && !self.display.hashes {
            self.screen.show_bar();
        }
    }
}

/// Formats a segment: `INFO: segment 2 is complete: cam-002.flv, 12.1 MiB, 10:00 from 20:00`
fn segment_text(facts: &SegmentFacts) -> String {
    let SegmentFacts { segment, path, .. } = facts;
    let bytes = size(facts.bytes);
    let (duration, offset) = (hms(facts.duration_ms.into()), hms(facts.offset_ms));
    format!("INFO: segment {segment} is complete: {path}, {bytes}, {duration} from {offset}")
}

/// Formats a track that arrived: `INFO: track a1: audio, aac, not recorded`.
fn track_text(new: &NewTrack) -> String {
    let NewTrack {
        track,
        codec,
        is_recorded,
    } = new;
    let recorded = if *is_recorded { "" } else { ", not recorded" };
    format!("INFO: track {track}: {}, {codec}{recorded}", track.kind)
}

/// Formats a change: `INFO: the video changes from h264 1920x1080 to h264 1280x720 at 0:12`
fn format_text(change: &FormatChange) -> String {
    let FormatChange {
        track, from, to, ..
    } = change;
    let at = hms(change.at_ms);
    format!("INFO: the {track} changes from {from} to {to} at {at}")
}

/// Formats progress: `3.0 MiB, 0:30 of 1:30 (33.3%)`
fn status(progress: &Progress) -> String {
    let (bytes, position) = (size(progress.bytes), hms(progress.position_ms));
    match progress.duration_ms.zip(percent(progress)) {
        Some((duration_ms, percent)) => {
            format!("{bytes}, {position} of {} ({percent}%)", hms(duration_ms))
        }
        None => format!("{bytes}, {position}"),
    }
}

/// Formats the progress in percent, without the sign: `33.3`
fn percent(progress: &Progress) -> Option<String> {
    let tenths = tenths_of_percent(progress)?;
    Some(format!("{}.{}", tenths / 10, tenths % 10))
}

/// Returns the progress in tenths of a percent, rounded down so that 100 % means all of it.
fn tenths_of_percent(progress: &Progress) -> Option<u64> {
    let duration_ms = progress
        .duration_ms
        .filter(|duration_ms| *duration_ms > 0)?;
    Some((progress.position_ms.saturating_mul(1000) / duration_ms).min(1000))
}

/// Returns a style that draws the current facts, in as many columns as the terminal has.
fn style(facts: Arc<Mutex<BarFacts>>, charset: Charset) -> ProgressStyle {
    let write = move |_: &ProgressState, out: &mut dyn fmt::Write| {
        let facts = *facts.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, columns) = Term::stderr().size();
        let _ = out.write_str(&bar::line(&facts, Instant::now(), columns.into(), charset));
    };
    ProgressStyle::with_template("{line}")
        .expect("the template is valid")
        .with_key("line", write)
}

fn bar_facts(progress: &Progress, before: &Progress, elapsed: Duration) -> BarFacts {
    let seconds = elapsed.as_secs_f64();
    let bytes = progress.bytes.saturating_sub(before.bytes) as f64;
    BarFacts {
        position_ms: progress.position_ms,
        total_ms: progress.duration_ms.filter(|duration_ms| *duration_ms > 0),
        bytes: progress.bytes,
        rate: (seconds >= 1.0).then(|| (bytes / seconds) as u64),
        rest_ms: rest_ms(progress, before, seconds),
        outage: None,
        is_reconnecting: false,
    }
}

/// Estimates the remaining time from the average pace so far.
fn rest_ms(progress: &Progress, before: &Progress, elapsed_seconds: f64) -> Option<u64> {
    let rest_ms = progress.duration_ms?.checked_sub(progress.position_ms)?;
    let gone_ms = progress.position_ms.saturating_sub(before.position_ms);
    let is_known = elapsed_seconds >= 1.0 && gone_ms > 0;
    let pace = gone_ms as f64 / elapsed_seconds;
    is_known.then_some((rest_ms as f64 * 1000.0 / pace) as u64)
}

fn gap_text(gap: &Gap) -> String {
    let seconds = gap.length_ms as f64 / 1000.0;
    let (at, began) = (hms(gap.at_ms), utc(gap.began));
    let because = reason_suffix(&gap.reason);
    format!("gap of {seconds:.1} s at {at}, since {began}{because}")
}

/// Formats a retry: `retry 2 of 5 in 2.0 s, after cut: the connection was lost`
pub(super) fn retry_text(retry: &Retry) -> String {
    let seconds = retry.wait.as_secs_f64();
    let of = retry.limit.map(|limit| format!(" of {limit}"));
    let because = reason_suffix(&retry.reason);
    format!(
        "retry {}{} in {seconds:.1} s, after {}{because}",
        retry.attempt,
        of.unwrap_or_default(),
        retry.ending
    )
}

/// Formats a switch: `continuing with source 2, backup:1935, after a gap of 1.2 s: the connection was lost`
pub(super) fn source_text(switch: &SourceSwitch) -> String {
    let gap = match switch.gap_ms {
        Some(ms) => format!("after a gap of {:.1} s", ms as f64 / 1000.0),
        None => "without a gap".to_owned(),
    };
    let because = reason_suffix(&switch.reason);
    let SourceSwitch {
        number, endpoint, ..
    } = switch;
    format!("continuing with source {number}, {endpoint}, {gap}{because}")
}

/// Formats a reason as `: reason`, or as nothing if it is empty.
pub(super) fn reason_suffix(reason: &str) -> String {
    let reason = redacted(reason);
    let end = reason.floor_char_boundary(REASON_BYTES);
    match reason.split_at(end) {
        ("", _) => String::new(),
        (reason, "") => format!(": {reason}"),
        (reason, _) => format!(": {reason} …"),
    }
}

/// Minimum time between two updates of the status line.
const STATUS_INTERVAL: Duration = Duration::from_millis(200);

/// Number of metadata lines: some servers send the complete keyframe index, and some send the same
/// metadata repeatedly.
const METADATA_LINES: usize = 200;

/// Length of a reason, so that it stays one readable line. -V logs the full text.
const REASON_BYTES: usize = 500;

/// Length of a text in the metadata.
const TEXT_BYTES: usize = 255;
