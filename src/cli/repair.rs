//! Runs `--repair FILE...` and prints the results.

use std::{
    fs,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use indicatif::ProgressStyle;

use super::{
    args::{Args, STDOUT},
    exit_code::Exit,
    signals,
    terminal::{screen::Screen, units::size},
};
use crate::{
    download::Stop,
    output::Format,
    repair::{self, Error, Method, Repaired},
};

/// Repairs the files of `args`, and prints one line for each. Returns the worst exit code.
pub(super) fn run(args: &Args, screen: &Arc<Screen>) -> Result<Exit> {
    let output = args.flv.as_deref();
    let (sender, stop) = Stop::new();
    signals::watch(sender, Arc::clone(screen)).context("cannot handle signals")?;
    let mut worst = Exit::Success;
    for file in &args.repair {
        let mut progress = Progress::new(screen);
        let outcome = repair::repair(file, output, &mut |read, length| {
            progress.show(read, length);
            !stop.is_requested()
        });
        progress.clear();
        let (level, text, exit) = match &outcome {
            Ok(repaired) => ("INFO", summary(repaired, output), Exit::Success),
            Err(error @ Error::Interrupted) => ("WARNING", failure(error, file), Exit::Incomplete),
            Err(error) => ("ERROR", failure(error, file), Exit::Failure),
        };
        screen.line(&format!("{level}: {}: {text}", file.display()));
        worst = worst.max(exit);
        if exit == Exit::Incomplete {
            break;
        }
    }
    Ok(worst)
}

/// Checks that `-o`, if given, is a file name and applies to a single file.
pub(super) fn check(args: &Args) -> Result<()> {
    let files = &args.repair;
    let Some(output) = args.flv.as_deref() else {
        return Ok(());
    };
    ensure!(
        files.len() == 1,
        "-o names one file, but --repair has {} files",
        files.len()
    );
    ensure!(
        output != STDOUT && !output.as_os_str().is_empty(),
        "--repair cannot write to a pipe: -o must name a file"
    );
    Ok(())
}

fn summary(repaired: &Repaired, output: Option<&Path>) -> String {
    let seconds = f64::from(repaired.duration_ms) / 1000.0;
    let (unit, piece) = match repaired.format {
        Format::Flv => ("tags", "tag"),
        Format::Mp4 => ("frames", "fragment"),
    };
    let content = format!("{} {unit}, {seconds:.3} s", repaired.tags);
    let action = match (repaired.method, output) {
        (Method::Unchanged, _) => return format!("complete, nothing to repair: {content}"),
        (Method::InPlace, _) => "repaired in place".to_owned(),
        (Method::Rewritten, None) => "repaired, rewritten".to_owned(),
        (Method::Rewritten, Some(output)) => format!("repaired, written to {}", output.display()),
    };
    let torn = match repaired.torn_bytes {
        0 => String::new(),
        bytes => format!(", {bytes} bytes of an incomplete {piece} cut off"),
    };
    let garbage = match (repaired.garbage_bytes, repaired.format) {
        (0, _) => String::new(),
        (bytes, Format::Flv) => format!(", {bytes} bytes between tags removed"),
        (bytes, Format::Mp4) => format!(", {bytes} damaged bytes skipped"),
    };
    let sizes = match repaired.corrected_sizes {
        0 => String::new(),
        tags => format!(", {tags} PreviousTagSize fields corrected"),
    };
    format!("{action}: {content}{torn}{garbage}{sizes}")
}

/// Describes an error, and whether the file is still the same, if that is known.
fn failure(error: &Error, file: &Path) -> String {
    let is_unknown = match error {
        Error::Open(_) => true,
        // A repair in place writes to the file itself.
        Error::Write { path, .. } => fs::canonicalize(file).is_ok_and(|file| file == *path),
        _ => false,
    };
    if is_unknown {
        return error.to_string();
    }
    format!("{error}; the file is unchanged")
}

/// Progress of reading one file.
struct Progress<'s> {
    screen: &'s Screen,
    shown_at: Instant,
    is_shown: bool,
}

impl<'s> Progress<'s> {
    fn new(screen: &'s Screen) -> Self {
        Self {
            screen,
            shown_at: Instant::now(),
            is_shown: false,
        }
    }

    fn show(&mut self, read: u64, length: u64) {
        if self.shown_at.elapsed() < INTERVAL {
            return;
        }
        self.shown_at = Instant::now();
        let Some(bar) = self.screen.bar() else {
            let tenths = read.saturating_mul(1000) / length.max(1);
            let (percent, tenths) = (tenths / 10, tenths % 10);
            let status = format!("{percent}.{tenths}% ({})", read_text(read, length));
            return self.screen.status(&status);
        };
        if !self.is_shown {
            self.is_shown = true;
            bar.reset();
            if let Ok(style) = ProgressStyle::with_template(BAR) {
                bar.set_style(style);
            }
            self.screen.show_bar();
        }
        bar.set_length(length);
        bar.set_position(read);
        bar.set_message(read_text(read, length));
    }

    fn clear(&self) {
        if let Some(bar) = self.screen.bar() {
            bar.finish_and_clear();
        }
    }
}

fn read_text(read: u64, length: u64) -> String {
    format!("{} of {} read", size(read), size(length))
}

const BAR: &str = "{percent:>3}%  {msg}";

/// Time between two updates, and before the first one: a short repair shows no progress.
const INTERVAL: Duration = Duration::from_millis(500);
