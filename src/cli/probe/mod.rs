//! Runs `--probe SOURCE` and prints what is known about the source: text, JSON, or a line for Nagios.

mod compare;
mod connection;
mod document;
mod expect;
mod file;
mod format;
mod health;
mod nagios;
mod schema;
mod server;
mod table;
mod text;
mod track;
mod verdict;

#[cfg(test)]
mod tests;

use std::{
    io::{self, Write},
    path::PathBuf,
    pin::Pin,
    time::Duration,
};

use anyhow::{Result, bail, ensure};
use serde::Serialize;

pub use self::expect::Condition;
use self::{compare::Comparison, document::Document};
use super::{
    Displays,
    args::{Args, STDOUT, Source, Verbosity},
    exit_code::{Exit, NotStarted},
    failure, job, run_until_stopped,
    terminal::{
        sanitize::{escaped, escaped_json},
        screen::Screen,
    },
    usage,
};
use crate::{
    download::{Job, Stop},
    probe::{
        ProbeReport,
        file::{self as file_probe, FileFacts},
        stream,
    },
};

/// Probes the sources of `args`, and prints the results on standard output. Returns the exit code, or why no
/// source was probed.
pub(super) fn run(args: &Args, displays: &Displays) -> Result<Exit, (NotStarted, anyhow::Error)> {
    let screen = &displays.screen;
    let sources = sources(args).map_err(usage)?;
    let subjects: Vec<Subject> = sources
        .iter()
        .map(|source| Subject::resolve(source, args, screen))
        .collect::<Result<_>>()
        .map_err(usage)?;
    let limit = limit(args);
    let reports = run_until_stopped(screen, async |stop| {
        probe_all(&subjects, limit, &stop).await
    });
    let reports = reports.map_err(failure)?;
    let cleaner = Cleaner(screen);
    let documents: Vec<Document> = subjects
        .iter()
        .zip(&reports)
        .map(|(subject, report)| Document::new(&subject.name, report, &args.probe.expect, &cleaner))
        .collect();
    print(args, &documents);
    let exits = documents.iter().map(|document| document.verdict.exit());
    Ok(exits.max().unwrap_or(Exit::Failure))
}

/// Returns the sources: those of `--probe`, and the URL of the command line.
fn sources(args: &Args) -> Result<Vec<Option<Source>>> {
    let url = args.stream.as_ref();
    let url = url.map(|text| Some(Source::of(text.as_ref())));
    let other_url = [&args.rtmp, &args.url, &args.host]
        .into_iter()
        .flatten()
        .next();
    let has_default = other_url.is_some() || args.capture.replay.is_some();
    let named: Vec<Option<Source>> = args
        .probe
        .probe
        .iter()
        .flatten()
        .cloned()
        .map(Some)
        .collect();
    let mut sources: Vec<Option<Source>> = url.into_iter().chain(named).collect();
    if sources.is_empty() && has_default {
        sources.push(None);
    }
    ensure!(
        !sources.is_empty(),
        "--probe needs a URL or a file (try --help)"
    );
    ensure!(sources.len() <= 2, "--probe compares at most two sources");
    ensure!(
        sources.len() == 1 || !args.probe.nagios,
        "--nagios describes one source, but two are given"
    );
    ensure!(
        sources.len() == 1 || args.capture.capture.is_none(),
        "--capture records one source, but two are given"
    );
    ensure!(
        !args.overwrite || args.capture.capture.is_some(),
        "--probe records nothing: --overwrite only applies to --capture"
    );
    Ok(sources)
}

/// A source that can be probed.
#[derive(Debug)]
struct Subject {
    /// The source as the user named it.
    name: String,
    source: Resolved,
}

/// A source after all arguments are resolved.
#[derive(Debug)]
enum Resolved {
    Stream(Box<Job>),
    File(PathBuf),
}

/// Result of a probe.
#[derive(Debug)]
enum Probed {
    Stream(Box<ProbeReport>),
    File(Result<Box<FileFacts>, file_probe::Error>),
}

impl Subject {
    fn resolve(source: &Option<Source>, args: &Args, screen: &Screen) -> Result<Self> {
        let mut args = args.clone();
        match source {
            Some(Source::Url(url)) => args.stream = Some(url.clone()),
            Some(Source::File(path)) if path == STDOUT => {
                bail!("--probe cannot read standard input: name a file")
            }
            Some(Source::File(path)) => {
                return Ok(Self {
                    name: path.display().to_string(),
                    source: Resolved::File(path.clone()),
                });
            }
            None => {}
        }
        let (args, job) = super::resolve(&args, screen)?;
        let given = args
            .stream
            .as_ref()
            .or(args.rtmp.as_ref())
            .or(args.url.as_ref());
        let connect = &job.session.connect;
        let name = given.map_or_else(
            || format!("{}/{}", connect.tc_url, job.session.playpath),
            String::clone,
        );
        Ok(Self {
            name,
            source: Resolved::Stream(Box::new(job::for_probe(job))),
        })
    }

    /// Returns the probe of the source. It is boxed because the types of downloads are deeply nested.
    fn probe<'a>(&'a self, limit: stream::Limit, stop: &Stop) -> Probing<'a> {
        let stop = stop.clone();
        match &self.source {
            Resolved::Stream(job) => {
                Box::pin(
                    async move { Probed::Stream(Box::new(stream::run(job, limit, stop).await)) },
                )
            }
            Resolved::File(path) => Box::pin(read_file(path.clone(), stop)),
        }
    }
}

/// A probe in progress.
type Probing<'a> = Pin<Box<dyn Future<Output = Probed> + 'a>>;

/// Probes a file. Reading a large file takes seconds and must not block the signal handling.
async fn read_file(path: PathBuf, mut stop: Stop) -> Probed {
    let reading = tokio::task::spawn_blocking(move || file_probe::run(&path).map(Box::new));
    let error = |error| Err(file_probe::Error::Read(error));
    Probed::File(tokio::select! {
        read = reading => read.unwrap_or_else(|panicked| error(io::Error::other(panicked))),
        () = stop.requested() => error(io::ErrorKind::Interrupted.into()),
    })
}

/// Probes all sources at the same time.
async fn probe_all(subjects: &[Subject], limit: stream::Limit, stop: &Stop) -> Vec<Probed> {
    match subjects {
        [first, second, ..] => {
            let (first, second) = tokio::join!(first.probe(limit, stop), second.probe(limit, stop));
            vec![first, second]
        }
        [only] => vec![only.probe(limit, stop).await],
        [] => Vec::new(),
    }
}

fn limit(args: &Args) -> stream::Limit {
    let given = args.probe.probe_time.unwrap_or(DEFAULT_TIME);
    stream::Limit {
        media_time: if given.is_zero() { DEFAULT_TIME } else { given },
        ends_early: given.is_zero(),
    }
}

/// Prints the results. Write errors are ignored: if the pipe is closed, its reader has seen enough.
fn print(args: &Args, documents: &[Document]) {
    let lines = match documents {
        [document] if args.probe.json => vec![json(document)],
        [document] if args.probe.nagios => vec![nagios::line(document)],
        [first, second] if args.probe.json => vec![json(&Comparison::of([first, second]))],
        _ if args.verbosity() == Verbosity::Quiet => return,
        [first, second] => compare::lines([first, second]),
        [document] => text::lines(document),
        _ => return,
    };
    let escape = if args.probe.json {
        escaped_json
    } else {
        escaped
    };
    // Each line is escaped before they are joined, so that a line break in a value does not forge a line.
    let lines: Vec<String> = lines.iter().map(|line| escape(line)).collect();
    let _ = writeln!(io::stdout(), "{}", lines.join("\n"));
}

fn json(value: &impl Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

/// Removes secrets from texts, and shortens them.
struct Cleaner<'a>(&'a Screen);

impl Cleaner<'_> {
    fn clean(&self, text: &str) -> String {
        self.0.redacted(text)
    }
}

/// Time from the first media to the end of a probe.
const DEFAULT_TIME: Duration = Duration::from_secs(5);
