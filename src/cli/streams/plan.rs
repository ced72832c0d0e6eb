//! The streams that this process records, resolved from the file.

use std::{
    collections::HashMap,
    ffi::OsString,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Result, bail, ensure};

use super::{
    file::{self, Problems, StreamTable},
    log_span,
};
use crate::{
    cli::{
        Displays,
        args::{Args, STDOUT},
        capture_file, display_options,
        job::{self, Environment, capture::CaptureFile, paths},
        report::{DisplayOptions, json::event},
        resolve_job, start_event,
    },
    download::{Job, history_frames},
    output::{Destination, Template, queue_bytes},
};

/// A stream with everything that its download needs.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) name: Arc<str>,
    /// Its options as words of a command line.
    pub(super) words: Vec<OsString>,
    pub(super) action: Action,
    /// Files that no other stream may write.
    pub(super) files: Vec<PathBuf>,
}

/// What to do with a stream.
#[derive(Debug)]
pub(super) enum Action {
    /// Start it.
    Start(Start),
    /// Continue: it is recorded with the same options, or has ended with them.
    Keep,
}

/// What the start of a stream needs. It is small, because all streams are planned before the first one starts.
#[derive(Debug)]
pub(super) struct Start {
    pub(super) job: Box<Job>,
    /// The capture, which is created at the start.
    pub(super) capture: Option<Box<CaptureFile>>,
    pub(super) display: DisplayOptions,
    /// The event that reports the start, if there are JSON events.
    pub(super) event: Option<Box<event::Start>>,
}

/// How a stream of the file relates to the streams of this process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Known {
    /// It is not recorded.
    New,
    /// It is recorded, or has ended, with the same options.
    Unchanged {
        /// Files that no other stream may write.
        files: Vec<PathBuf>,
    },
    /// It is recorded with other options, and continues in a new file.
    Changed,
}

/// Parses and resolves the streams in `text` that belong to the shard of `args`.
///
/// # Errors
///
/// Returns all errors, in the order of their lines.
pub(super) fn plan(
    text: &str,
    args: &Args,
    displays: &Displays,
    known: impl Fn(&StreamTable) -> Known,
) -> Result<Vec<Planned>, Problems> {
    let (streams, mut problems) = file::parse(text);
    let mut planned = Vec::new();
    let mut planner = Planner {
        displays,
        environment: Environment::here(),
        writers: Writers::of_process(args),
    };
    let shard = args.streams.shard;
    for stream in streams {
        match stream {
            Ok((table, _)) if shard.is_some_and(|shard| !shard.takes(&table.name)) => {}
            Ok((table, args)) => match planner.plan(&table, &args, known(&table)) {
                Ok((action, files)) => planned.push(Planned {
                    name: table.name,
                    words: table.words,
                    action,
                    files,
                }),
                Err(error) => {
                    let reason = format!("{error:#}");
                    let line = table.line_of(&reason);
                    let reason = displays.screen.redacted(&reason);
                    problems.add(line, format!("stream {}: {reason}", table.name));
                }
            },
            Err(found) => problems.extend(found),
        }
    }
    share_memory(&mut planned);
    match problems.is_empty() {
        true => Ok(planned),
        false => Err(problems),
    }
}

/// Bounds the buffers of each stream by the number of streams.
fn share_memory(planned: &mut [Planned]) {
    let (frames, bytes) = (history_frames(planned.len()), queue_bytes(planned.len()));
    for stream in planned {
        if let Action::Start(start) = &mut stream.action {
            start.job.history_frames = frames;
            start.job.file.queue_bytes = bytes;
        }
    }
}

/// Resolves one stream after the other.
#[derive(Debug)]
struct Planner<'a> {
    displays: &'a Displays,
    environment: Environment,
    writers: Writers,
}

impl Planner<'_> {
    /// Returns what to do with a stream, and the files that no other stream may write.
    fn plan(
        &mut self,
        table: &StreamTable,
        args: &Args,
        known: Known,
    ) -> Result<(Action, Vec<PathBuf>)> {
        self.displays.screen.add_secrets(job::secrets(args));
        let (action, files) = log_span(&table.name).in_scope(|| self.resolve(args, known))?;
        self.writers.add(table, &files)?;
        Ok((action, files))
    }

    fn resolve(&self, args: &Args, known: Known) -> Result<(Action, Vec<PathBuf>)> {
        let (environment, screen) = (&self.environment, &self.displays.screen);
        ensure_output(args)?;
        ensure_no_fifo(args)?;
        paths::ensure_distinct(args)?;
        let (args, job) = match known {
            Known::Unchanged { files } => return Ok((Action::Keep, files)),
            Known::New => resolve_job(args, environment, screen)?,
            Known::Changed => {
                let (args, job) = resolve_job(&into_new_file(args), environment, screen)?;
                (args, in_free_file(job))
            }
        };
        let files = files(&args, &job);
        let events = self.displays.events.as_ref();
        let start = Start {
            capture: capture_file(&args, &job).map(Box::new),
            display: display_options(&args, &job),
            event: events.map(|_| Box::new(start_event(&args, &job, screen))),
            job: Box::new(job),
        };
        Ok((Action::Start(start), files))
    }
}

/// Fails unless the stream is written to files or to a named pipe.
fn ensure_output(args: &Args) -> Result<()> {
    let Some(output) = &args.flv else {
        bail!("the stream has no output: add output = \"{{name}}.flv\"");
    };
    let is_stdout = |path: &Path| path == Path::new(STDOUT);
    ensure!(
        !is_stdout(output) && !args.tee.as_deref().is_some_and(is_stdout),
        "--output: standard output cannot be the output of one of several streams"
    );
    ensure!(
        args.stream.is_some()
            || args.rtmp.is_some()
            || args.url.is_some()
            || args.host.is_some()
            || args.capture.replay.is_some(),
        "the stream has no url: add url = \"rtmp://host/app/stream\""
    );
    Ok(())
}

/// Fails if a file that is written synchronously is a named pipe, whose reader would stop all streams of the disk.
fn ensure_no_fifo(args: &Args) -> Result<()> {
    for (option, file) in [
        ("--manifest", args.manifest.as_deref()),
        ("--capture", args.capture.capture.as_deref()),
    ] {
        let Some(file) = file else { continue };
        ensure!(
            !is_fifo(file),
            "{option}: {} is a named pipe, whose reader could stop other streams",
            file.display()
        );
    }
    Ok(())
}

#[cfg(unix)]
fn is_fifo(file: &Path) -> bool {
    use std::os::unix::fs::FileTypeExt;

    file.metadata()
        .is_ok_and(|found| found.file_type().is_fifo())
}

#[cfg(not(unix))]
fn is_fifo(_: &Path) -> bool {
    false
}

/// Returns the arguments of a stream that continues with other options: it keeps the file that it has written so
/// far.
fn into_new_file(args: &Args) -> Args {
    Args {
        // The existing file is not replaced, see `in_free_file`.
        overwrite: true,
        append: false,
        resume: false,
        ..args.clone()
    }
}

/// Makes a fixed file name the first free one of `name.flv`, `name.2.flv` and so on.
fn in_free_file(job: Job) -> Job {
    let output = match &job.output {
        Destination::Path(path) if !path.exists() || path.is_file() => {
            Destination::Template(Template::literal(path))
        }
        other => other.clone(),
    };
    Job { output, ..job }
}

/// Returns the files that a stream writes, as far as their names are fixed.
fn files(args: &Args, job: &Job) -> Vec<PathBuf> {
    let output = match &job.output {
        Destination::Path(path) => Some(path.as_path()),
        Destination::Template(template) => Some(template.source()),
        Destination::Stdout | Destination::Discard => None,
    };
    let named = [
        output,
        args.manifest.as_deref(),
        args.capture.capture.as_deref(),
    ];
    let mut files: Vec<PathBuf> = named.into_iter().flatten().filter_map(identity).collect();
    files.sort_unstable();
    files.dedup();
    files
}

/// Returns the canonical path of a file. `None` for pipes and devices.
fn identity(file: &Path) -> Option<PathBuf> {
    match paths::canonical(file) {
        // The folder is created later.
        None if !file.exists() => std::path::absolute(file).ok(),
        canonical => canonical,
    }
}

/// The stream, or the option of the process, that writes each file.
#[derive(Debug, Default)]
struct Writers(HashMap<PathBuf, String>);

impl Writers {
    fn of_process(args: &Args) -> Self {
        let named = [
            ("--log-file", args.log_file.as_ref()),
            ("--heartbeat", args.heartbeat.as_ref()),
            ("--streams", args.streams.streams.as_ref()),
        ];
        let named = named
            .into_iter()
            .filter_map(|(option, file)| Some((identity(file?)?, option.to_owned())));
        Self(named.collect())
    }

    /// Fails if another stream writes one of the files.
    fn add(&mut self, table: &StreamTable, files: &[PathBuf]) -> Result<()> {
        for file in files {
            let writer = format!("stream {} (line {})", table.name, table.line);
            if let Some(other) = self.0.insert(file.clone(), writer) {
                bail!(
                    "{other} writes the same file {}: use {{name}} in the output",
                    file.display()
                );
            }
        }
        Ok(())
    }
}
