//! `--repair FILE...`: what is told of it, and its exit code.

use std::{
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use indicatif::{HumanBytes, ProgressStyle};

use super::{args::Args, exit_code::Exit, job::paths::STDOUT, signals, terminal::screen::Screen};
use crate::{
    download::Stop,
    repair::{self, Error, Method, Repaired},
};

/// Repairs each of the files that `args` name, and tells of each in one line.
pub(super) fn run(args: &Args, screen: &Arc<Screen>) -> Result<Exit> {
    let output = args.flv.as_deref();
    let (sender, stop) = Stop::new();
    signals::watch(sender, Arc::clone(screen)).context("cannot watch for signals")?;
    let mut worst = Exit::Success;
    for file in &args.repair {
        let mut progress = Progress::new(screen);
        let outcome = repair::repair(file, output, &mut |read, length| {
            progress.show(read, length);
            !stop.is_requested()
        });
        progress.clear();
        let file = file.display();
        let exit = match &outcome {
            Ok(repaired) => {
                screen.line(&format!("INFO: {file}: {}", told(repaired, output)));
                Exit::Success
            }
            Err(error @ Error::Interrupted) => {
                screen.line(&format!("WARNING: {file}: {error}, left as it was"));
                return Ok(Exit::Incomplete);
            }
            // Nothing is there, or nothing that could be looked at.
            Err(error @ Error::Open(_)) => {
                screen.line(&format!("ERROR: {file}: {error}"));
                Exit::Failure
            }
            Err(error) => {
                screen.line(&format!("ERROR: {file}: {error}; left as it was"));
                Exit::Failure
            }
        };
        worst = worst.max(exit);
    }
    Ok(worst)
}

/// Whether there is one file where one is to be written.
pub(super) fn check(args: &Args) -> Result<()> {
    let files = &args.repair;
    let Some(output) = args.flv.as_deref() else {
        return Ok(());
    };
    ensure!(
        files.len() == 1,
        "--repair of {} files has no use for --flv, which names one",
        files.len()
    );
    ensure!(
        output != STDOUT && !output.as_os_str().is_empty(),
        "--repair needs the name of a file for --flv: its head is written last"
    );
    Ok(())
}

fn told(repaired: &Repaired, output: Option<&Path>) -> String {
    let seconds = f64::from(repaired.duration_ms) / 1000.0;
    let holds = format!("{} tags, {seconds:.3} s", repaired.tags);
    let done = match (repaired.method, output) {
        (Method::Unchanged, _) => return format!("is whole, nothing to do: {holds}"),
        (Method::InPlace, _) => "repaired in place".to_owned(),
        (Method::Rewritten, None) => "repaired, written anew".to_owned(),
        (Method::Rewritten, Some(output)) => format!("repaired, written to {}", output.display()),
    };
    let torn = match repaired.torn_bytes {
        0 => String::new(),
        bytes => format!(", {bytes} bytes of a torn tag cut off"),
    };
    let garbage = match repaired.garbage_bytes {
        0 => String::new(),
        bytes => format!(", {bytes} bytes between tags left out"),
    };
    let mended = match repaired.corrected_sizes {
        0 => String::new(),
        tags => format!(", {tags} back pointers corrected"),
    };
    format!("{done}: {holds}{torn}{garbage}{mended}")
}

/// How far the reading of one file is.
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
            let (read, length) = (HumanBytes(read), HumanBytes(length));
            let status = format!("{percent}.{tenths}% ({read} of {length} read)");
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
    }

    fn clear(&self) {
        if let Some(bar) = self.screen.bar() {
            bar.finish_and_clear();
        }
    }
}

const BAR: &str = "{bar:30} {bytes} of {total_bytes} read";

/// How often progress is shown, and how long a repair may take before it is shown at all.
const INTERVAL: Duration = Duration::from_millis(500);
