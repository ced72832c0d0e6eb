//! Runs `--explain`: tries changes of a request that does not play, and prints the result of each.
//!
//! The hints of a failed attempt determine the changes to try. If a changed request gets further than the request
//! from which it is derived, its own changes are tried first; otherwise it is not changed further.

mod attempt;
mod change;
mod json;
mod request;
mod text;

#[cfg(test)]
mod tests;

use std::{
    collections::VecDeque,
    io::{self, Write},
    time::{Duration, Instant},
};

use self::{
    attempt::{Attempts, Progress, Tried, What},
    change::{Change, Failed},
    request::Request,
};
use super::{
    Displays,
    args::Args,
    exit_code::{Exit, NotStarted},
    failure,
    job::{self, Environment},
    report::text::hint,
    rtmpdump::librtmp,
    run_until_stopped, secrets,
    terminal::screen::Screen,
    usage,
};
use crate::download::{Hint, Job, Stop};

/// Explains why the stream of `args` does not play. Returns the exit code, or why nothing was tried.
pub(super) fn run(args: &Args, displays: &Displays) -> Result<Exit, (NotStarted, anyhow::Error)> {
    let (screen, is_json) = (&displays.screen, args.probe.json);
    let environment = Environment {
        // An explanation writes no media to it.
        stdout_is_terminal: false,
        stdout_is_closed: false,
        ..Environment::here()
    };
    let args = librtmp::apply_url_options(args).map_err(|error| usage(error.into()))?;
    screen.add_secrets(job::secrets(&args));
    let mut search = Search::new(Request::of(&args), environment);
    let (args, job) = search
        .original
        .resolve(&search.environment)
        .map_err(usage)?;
    screen.add_secrets(secrets(&args, &job));
    search.limit = attempt_limit(&args);
    let explanation = run_until_stopped(screen, async |stop| search.run(stop).await);
    let explanation = explanation.map_err(failure)?;
    let document = match is_json {
        true => json::document(&explanation, screen),
        false => text::table(&explanation, screen),
    };
    // If the reader has left, it has seen enough.
    let _ = io::stdout().write_all(document.as_bytes());
    Ok(explanation.exit())
}

/// Returns the longest time of an attempt: several steps may take the complete timeout.
fn attempt_limit(args: &Args) -> Duration {
    match args.timeout {
        Some(seconds @ 1..) => Duration::from_secs(seconds.into()).saturating_mul(4),
        _ => LONGEST_ATTEMPT,
    }
}

/// All attempts, and what follows from them.
#[derive(Debug)]
struct Explanation {
    tried: Vec<Tried>,
    /// Number of changes that the limits left untried.
    untried: usize,
    /// The request that plays.
    playing: Option<Request>,
    /// Whether the user stopped the explanation.
    is_stopped: bool,
}

impl Explanation {
    fn plays(&self) -> bool {
        self.playing.is_some()
    }

    fn exit(&self) -> Exit {
        match self.tried.first() {
            _ if self.plays() => Exit::Success,
            Some(original) => Exit::from(&original.outcome),
            None => Exit::NoConnection,
        }
    }

    /// Returns the attempt whose hints are the most useful: the first one of those that got furthest.
    fn furthest(&self) -> Option<&Tried> {
        let progress = self.tried.iter().map(|tried| tried.progress).max()?;
        self.tried.iter().find(|tried| tried.progress == progress)
    }

    /// Returns stable codes and texts of the probable remedies, without those that were tried in vain. The texts may
    /// contain secrets.
    fn remedies(&self) -> impl Iterator<Item = (&'static str, String)> {
        let furthest = self.furthest().filter(|_| !self.plays());
        let hints = furthest.into_iter().flat_map(|tried| &tried.outcome.hints);
        let untried = hints.filter(|hint| !self.has_followed(hint));
        untried.map(|hint| (hint.code(), hint::text(hint)))
    }

    fn has_followed(&self, hint: &Hint) -> bool {
        let mut changes = self.tried.iter().flat_map(|tried| &tried.changes);
        changes.any(|change| change.follows(hint))
    }

    /// Returns the command line that plays, without secrets.
    fn command_line(&self, screen: &Screen) -> Option<String> {
        let playing = self.playing.as_ref()?;
        Some(playing.command_line(|word| screen.cleaned(word)))
    }
}

/// A request to try.
#[derive(Debug)]
struct Alternative {
    changes: Vec<Change>,
    /// Progress of the attempt from which this request is derived.
    parent: Option<Progress>,
}

/// The search for a request that plays.
struct Search {
    original: Request,
    environment: Environment,
    limit: Duration,
    queue: VecDeque<Alternative>,
    /// Requests that were tried, or are the same as one that was tried.
    seen: Vec<What>,
    tried: Vec<Tried>,
}

impl Search {
    fn new(original: Request, environment: Environment) -> Self {
        let first = Alternative {
            changes: Vec::new(),
            parent: None,
        };
        Self {
            original,
            environment,
            limit: LONGEST_ATTEMPT,
            queue: [first].into(),
            seen: Vec::new(),
            tried: Vec::new(),
        }
    }

    async fn run(mut self, mut stop: Stop) -> Explanation {
        let began = Instant::now();
        let mut attempts = Attempts::new();
        let (mut playing, mut is_stopped) = (None, false);
        while attempts.may_continue()
            && began.elapsed() < LONGEST_SEARCH
            && let Some(alternative) = self.queue.pop_front()
        {
            let request = self.changed(&alternative.changes);
            let Some(job) = self.new_job(&request) else {
                continue;
            };
            log_attempt(self.tried.len(), &alternative.changes);
            let Alternative { changes, parent } = alternative;
            let made = attempts.make(changes, job.clone(), self.limit, &mut stop);
            let Some(tried) = made.await else {
                is_stopped = true;
                break;
            };
            if tried.plays() {
                self.tried.push(tried);
                playing = Some(request);
                break;
            }
            self.follow(&tried, parent, &job);
            self.tried.push(tried);
        }
        Explanation {
            tried: self.tried,
            untried: self.queue.len(),
            playing,
            is_stopped,
        }
    }

    fn changed(&self, changes: &[Change]) -> Request {
        let mut request = self.original.clone();
        changes.iter().for_each(|change| change.apply(&mut request));
        request
    }

    /// Resolves a request; `None` if it is invalid, or the same as an earlier one.
    fn new_job(&mut self, request: &Request) -> Option<Job> {
        let resolved = request.resolve(&self.environment);
        let resolved = resolved.inspect_err(|error| tracing::debug!("not tried: {error:#}"));
        let (_, job) = resolved.ok()?;
        let what = What::of(&job);
        if self.seen.contains(&what) {
            return None;
        }
        self.seen.push(what);
        Some(job)
    }

    /// Queues the changes that the failure suggests before the other changes. Queues none if the attempt got no
    /// further than its parent.
    fn follow(&mut self, tried: &Tried, parent: Option<Progress>, job: &Job) {
        if parent.is_some_and(|parent| tried.progress <= parent) {
            return;
        }
        let failed = Failed {
            job,
            splits: &job.candidates,
            hints: &tried.outcome.hints,
            progress: tried.progress,
            connections: tried.connections,
            has_environment_proxy: self.environment.all_proxy.is_some(),
            has_secrets: self.original.has_secrets(),
        };
        for change in failed.changes().into_iter().rev() {
            let changes = tried.changes.iter().cloned().chain([change]).collect();
            self.queue.push_front(Alternative {
                changes,
                parent: Some(tried.progress),
            });
        }
    }
}

fn log_attempt(number: usize, changes: &[Change]) {
    let number = number.saturating_add(1);
    tracing::info!("attempt {number}: {}", text::changes(changes));
}

/// Longest attempt if the user set no timeout for its steps.
const LONGEST_ATTEMPT: Duration = Duration::from_secs(60);

/// Time after which no further attempt starts.
const LONGEST_SEARCH: Duration = Duration::from_secs(90);
