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
        args::{Args, STDOUT},
        job::{self, Environment, paths},
        resolve_job,
        terminal::screen::Screen,
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
    /// Start it, with these resolved arguments. Boxed, because a list of large values leaves a large hole in
    /// the memory when the streams have started.
    Start(Box<Args>, Box<Job>),
    /// Continue: it is recorded with the same options, or has ended with them.
    Keep,
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
    screen: &Screen,
    known: impl Fn(&StreamTable) -> Known,
) -> Result<Vec<Planned>, Problems> {
    let tables = file::parse(text)?;
    let (mut problems, mut planned) = (Problems::default(), Vec::new());
    let environment = Environment::here();
    let mut writers = Writers::of_process(args);
    let shard = args.streams.shard;
    let is_recorded = |table: &StreamTable| shard.is_none_or(|shard| shard.takes(&table.name));
    for table in tables.into_iter().filter(is_recorded) {
        screen.add_secrets(job::secrets(&table.args));
        let known = known(&table);
        let resolved = log_span(&table.name)
            .in_scope(|| resolve(&table.args, known, &environment, screen))
            .and_then(|(action, files)| {
                writers.add(&table, &files)?;
                Ok((action, files))
            });
        match resolved {
            Ok((action, files)) => planned.push(Planned {
                name: table.name,
                words: table.words,
                action,
                files,
            }),
            Err(error) => {
                let reason = format!("{error:#}");
                let line = table.line_of(&reason);
                problems.add(
                    line,
                    format!("stream {}: {}", table.name, screen.redacted(&reason)),
                );
            }
        }
    }
    let (frames, bytes) = (history_frames(planned.len()), queue_bytes(planned.len()));
    for stream in &mut planned {
        if let Action::Start(_, job) = &mut stream.action {
            job.history_frames = frames;
            job.file.queue_bytes = bytes;
        }
    }
    match problems.is_empty() {
        true => Ok(planned),
        false => Err(problems),
    }
}

fn resolve(
    args: &Args,
    known: Known,
    environment: &Environment,
    screen: &Screen,
) -> Result<(Action, Vec<PathBuf>)> {
    ensure_output(args)?;
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
    Ok((Action::Start(Box::new(args), Box::new(job)), files))
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
        "the stream has no url"
    );
    Ok(())
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
                    "{other} writes the same file {}: use {{name}} in it",
                    file.display()
                );
            }
        }
        Ok(())
    }
}
