//! Many streams in one process (`--streams`): a file lists them, a supervisor starts and ends their downloads.

mod disk;
mod file;
mod open_files;
mod plan;
mod process_report;
mod results;
mod shard;
mod supervisor;
mod task;
mod totals;
mod watch;

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use tokio::runtime::{Builder, Runtime};
use tracing::Span;

pub use self::shard::Shard;
use self::{
    file::Problems,
    plan::{Known, plan},
    supervisor::Supervisor,
    watch::WatchedFile,
};
use super::{
    Displays,
    args::{Args, STDOUT},
    exit_code::{Exit, NotStarted},
    signals::{self, HangUp, HangUps},
    terminal::log,
};
use crate::{download::Stop, output::report_slow_disks};

/// Records all streams of the file of `--streams`, or checks the file.
pub(super) fn run(args: &Args, displays: &Displays) -> Result<Exit, (NotStarted, anyhow::Error)> {
    let usage = |error| (NotStarted::Usage, error);
    let path = path(args).map_err(usage)?;
    let runtime = Builder::new_current_thread().enable_all().build();
    let runtime = runtime
        .context("cannot start the runtime")
        .map_err(|error| (NotStarted::Failed, error))?;
    // Before the file is read, so that a request to read it again neither ends the process nor is lost.
    let hang_ups = hang_ups(args, path, &runtime).map_err(|error| (NotStarted::Failed, error))?;
    // Before the file is read, so that no change is missed.
    let watched = args.streams.watch.then(|| WatchedFile::new(path));
    let text = file::read(path)
        .with_context(|| format!("cannot read {}", path.display()))
        .map_err(usage)?;
    let planned = plan(&text, args, displays, |_| Known::New);
    let planned = planned.map_err(|problems| usage(report(path, &problems, displays)))?;
    let share = share(args);
    if args.streams.check {
        let count = count(planned.len());
        println!("{}: {count}{share}, no errors", path.display());
        return Ok(Exit::Success);
    }
    let (path, count) = (path.display(), count(planned.len()));
    displays
        .screen
        .line(&format!("INFO: recording {count} of {path}{share}"));
    open_files::raise_limit(planned.len(), &displays.screen);
    supervise(args, displays, planned, &runtime, (hang_ups, watched))
        .map_err(|error| (NotStarted::Failed, error))
}

fn path(args: &Args) -> Result<&Path> {
    let path = args
        .streams
        .streams
        .as_deref()
        .context("--streams needs the name of a file")?;
    ensure!(
        !args.streams.watch || path != Path::new(STDOUT),
        "--watch needs a file, but --streams reads standard input"
    );
    if path.is_dir() {
        bail!("--streams: {} is a folder", path.display());
    }
    Ok(path)
}

/// Starts to receive requests to read the file again. `None` if the process only checks the file, or reads it from
/// standard input.
fn hang_ups(args: &Args, path: &Path, runtime: &Runtime) -> Result<Option<HangUps>> {
    if args.streams.check || path == Path::new(STDOUT) {
        return Ok(None);
    }
    let _context = runtime.enter();
    let hang_ups = HangUps::new().context("cannot handle signals")?;
    Ok(Some(hang_ups))
}

fn supervise(
    args: &Args,
    displays: &Displays,
    planned: Vec<plan::Planned>,
    runtime: &Runtime,
    (hang_ups, watched): (Option<HangUps>, Option<WatchedFile>),
) -> Result<Exit> {
    let queued = displays.screen.queue_output();
    queued.context("cannot start the thread of the messages")?;
    let (sender, stop) = Stop::new();
    let hang_up = match hang_ups {
        Some(_) => HangUp::Excluded,
        None => HangUp::Ends,
    };
    signals::watch_signals(sender, displays.screen.clone(), hang_up)
        .context("cannot handle signals")?;
    std::panic::set_hook(Box::new(|panic| tracing::error!("internal error: {panic}")));
    let exit = runtime.block_on(async {
        let count = planned.len();
        let supervisor = Supervisor::new(args, displays, count, hang_ups, watched)?;
        Ok::<_, anyhow::Error>(supervisor.run(planned, stop).await)
    })?;
    report_slow_disks();
    displays.screen.report_suppressed();
    Ok(exit)
}

/// Prints all errors of the file but the last one, which is returned.
fn report(path: &Path, problems: &Problems, displays: &Displays) -> anyhow::Error {
    let path = path.display();
    let mut lines: Vec<String> = problems
        .iter()
        .map(|problem| format!("{path}:{problem}"))
        .collect();
    let last = lines.pop().unwrap_or_default();
    if displays.screen.writes_events() || displays.events.is_some() {
        // Scripts read all errors in the reason of the summary.
        lines.push(last);
        return anyhow::Error::msg(lines.join("; "));
    }
    for line in lines {
        displays.screen.line(&format!("ERROR: usage: {line}"));
    }
    anyhow::Error::msg(last)
}

/// Formats the shard: ` (shard 0/3)`
fn share(args: &Args) -> String {
    let shard = args.streams.shard.map(|shard| format!(" (shard {shard})"));
    shard.unwrap_or_default()
}

fn count(streams: usize) -> String {
    match streams {
        1 => "1 stream".to_owned(),
        streams => format!("{streams} streams"),
    }
}

/// Returns the span in which a stream logs, so that its messages carry its name.
fn log_span(name: &str) -> Span {
    // At the highest level, so that it exists if any message is printed.
    tracing::error_span!("stream", { log::STREAM } = name)
}
