//! Starts and ends the downloads of all streams.

use std::{collections::BTreeMap, ffi::OsString, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, Result};
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver},
        watch,
    },
    time::{Instant, MissedTickBehavior, interval, sleep_until},
};

use super::{
    count,
    disk::Disks,
    file::{self, StreamTable},
    plan::{Action, Known, Planned, Start, plan},
    process_report::ProcessReport,
    report,
    results::Results,
    task::{Ended, Task},
    totals::{Totals, TotalsListener},
    watch::WatchedFile,
};
use crate::{
    cli::{
        Displays,
        args::Args,
        exit_code::Exit,
        metrics::MetricsServer,
        report::{
            Listeners,
            json::{JsonReport, event::Event},
            status::Registry,
            streams::StreamsDisplay,
            text::stream::StreamText,
        },
        signals::HangUps,
        terminal::screen::Screen,
    },
    download::{Admission, Stop},
};

/// All streams of the process.
#[derive(Debug)]
pub(super) struct Supervisor<'a> {
    args: &'a Args,
    displays: &'a Displays,
    admission: Arc<Admission>,
    registry: Arc<Registry>,
    disks: Disks,
    ended: UnboundedReceiver<Ended>,
    streams: BTreeMap<Arc<str>, Stream>,
    results: Results,
    totals: Arc<Totals>,
    report: ProcessReport,
    display: StreamsDisplay,
    /// Answers until it is dropped.
    _metrics: Option<MetricsServer>,
    watched: Option<WatchedFile>,
    hang_ups: Option<HangUps>,
    is_stopping: bool,
}

/// A stream of the file.
#[derive(Debug)]
struct Stream {
    /// Its options, to detect a change.
    words: Vec<OsString>,
    /// Files that no other stream may write.
    files: Vec<PathBuf>,
    state: State,
}

#[derive(Debug)]
enum State {
    Running {
        stop: watch::Sender<bool>,
    },
    /// The stream finishes its file because its options changed, or because it was removed from the file.
    Leaving {
        /// How it continues.
        next: Option<Box<Planned>>,
    },
    Ended,
}

/// What the supervisor waits for.
enum Step {
    Ended(Ended),
    Stop,
    Reload,
    Tick,
}

impl<'a> Supervisor<'a> {
    /// Prepares to record `count` streams. `hang_ups` are the requests to read the file again.
    ///
    /// # Errors
    ///
    /// Fails if the heartbeat file cannot be written, or if the metrics server cannot be started.
    pub(super) fn new(
        args: &'a Args,
        displays: &'a Displays,
        count: usize,
        hang_ups: Option<HangUps>,
    ) -> Result<Self> {
        let options = &args.streams;
        let connections = options.max_connections.map(|number| number as usize);
        let stagger = options.stagger.unwrap_or_else(|| default_stagger(count));
        let (sender, ended) = mpsc::unbounded_channel();
        let totals = Arc::new(Totals::default());
        let registry = Registry::new(Arc::clone(&displays.screen));
        let file = options.streams.as_deref();
        let file = file.filter(|file| *file != std::path::Path::new(crate::cli::args::STDOUT));
        let screen = Arc::clone(&displays.screen);
        Ok(Self {
            _metrics: start_metrics(args, &screen, &registry)?,
            display: StreamsDisplay::start(screen, Arc::clone(&registry), args.hides_progress()),
            args,
            displays,
            admission: Arc::new(Admission::new(connections, stagger)),
            disks: Disks::new(sender, Arc::clone(&registry)),
            registry,
            ended,
            streams: BTreeMap::new(),
            results: Results::default(),
            report: ProcessReport::start(args, displays, Arc::clone(&totals))?,
            totals,
            watched: file.filter(|_| options.watch).map(WatchedFile::new),
            hang_ups,
            is_stopping: false,
        })
    }

    /// Records all streams until they have ended, or until the user stops the process.
    ///
    /// # Errors
    ///
    /// Fails if the thread of a disk cannot be started.
    pub(super) async fn run(mut self, planned: Vec<Planned>, mut stop: Stop) -> Result<Exit> {
        for stream in planned {
            self.start(stream)?;
        }
        self.registry.complete();
        let mut ticks = interval(TICK);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut deadline = None;
        while self.continues() {
            let (stop_is_due, last_moment) = (deadline.is_none(), deadline);
            let step = tokio::select! {
                Some(ended) = self.ended.recv() => Step::Ended(ended),
                () = stop.requested(), if stop_is_due => Step::Stop,
                () = next(&mut self.hang_ups) => Step::Reload,
                _ = ticks.tick() => Step::Tick,
                () = at(last_moment) => break,
            };
            match step {
                Step::Ended(ended) => self.note_end(ended)?,
                Step::Stop => {
                    deadline = Instant::now().checked_add(STOP_TIMEOUT);
                    self.stop_all();
                }
                Step::Reload => self.reload()?,
                Step::Tick => self.tick()?,
            }
        }
        Ok(self.finish())
    }

    /// Whether a stream is recorded, or may follow.
    fn continues(&self) -> bool {
        let is_kept = self.args.streams.keep_running && !self.is_stopping;
        is_kept || self.recorded() > 0
    }

    /// Number of streams whose download has not ended.
    fn recorded(&self) -> usize {
        let is_recorded = |stream: &&Stream| !matches!(stream.state, State::Ended);
        self.streams.values().filter(is_recorded).count()
    }

    fn start(&mut self, planned: Planned) -> Result<()> {
        let Planned {
            name,
            words,
            action,
            files,
        } = planned;
        let Action::Start(mut start) = action else {
            return Ok(());
        };
        let listeners = self.listeners(&name, &mut start);
        let Start {
            mut job, capture, ..
        } = start;
        job.admission = Some(Arc::clone(&self.admission));
        let (sender, stop) = Stop::new();
        let task = Task {
            name: Arc::clone(&name),
            job,
            capture,
            listeners,
            stop,
        };
        self.disks.start(task)?;
        let stream = Stream {
            words,
            files,
            state: State::Running { stop: sender },
        };
        self.streams.insert(name, stream);
        Ok(())
    }

    /// Returns everything that is notified of the events of one stream, and reports its start.
    fn listeners(&self, name: &Arc<str>, start: &mut Start) -> Listeners {
        let Displays { screen, events } = self.displays;
        let options = start.display;
        let mut listeners = Listeners::default();
        listeners.push(TotalsListener::new(Arc::clone(&self.totals)));
        listeners.push(self.registry.open(name));
        if !screen.writes_events() {
            let (screen, name) = (Arc::clone(screen), Arc::clone(name));
            listeners.push(StreamText::new(
                screen,
                name,
                options,
                start.job.output.clone(),
            ));
        }
        if let Some(events) = events {
            let events = Arc::new(events.for_stream(name));
            if let Some(mut event) = start.event.take() {
                // The secrets of the streams below it in the file are known now.
                event.url = screen.redacted(&event.url);
                event.output = screen.redacted(&event.output);
                events.write(&Event::Start(*event));
            }
            listeners.push(JsonReport::new(events, Arc::clone(screen), options));
        }
        listeners
    }

    /// Notes the result of a stream, and starts its next download if its options have changed.
    fn note_end(&mut self, ended: Ended) -> Result<()> {
        let name = Arc::clone(&ended.name);
        let Some(stream) = self.streams.get_mut(&name) else {
            return Ok(());
        };
        match std::mem::replace(&mut stream.state, State::Ended) {
            State::Running { .. } | State::Ended => self.results.add(&ended),
            State::Leaving { next } => {
                self.results.add_left(&ended);
                self.streams.remove(&name);
                match next.filter(|_| !self.is_stopping) {
                    Some(next) => self.start(*next)?,
                    None => self.registry.remove(&name),
                }
            }
        }
        Ok(())
    }

    fn stop_all(&mut self) {
        self.is_stopping = true;
        for stream in self.streams.values() {
            if let State::Running { stop } = &stream.state {
                stop.send_replace(true);
            }
        }
    }

    fn tick(&mut self) -> Result<()> {
        self.display.tick(std::time::Instant::now());
        let is_alive = self.registry.liveness().is_alive(std::time::Instant::now());
        self.report.tick(is_alive, self.recorded());
        let watched = self.watched.as_mut();
        match watched.is_some_and(WatchedFile::has_changed) && !self.is_stopping {
            true => self.reload(),
            false => Ok(()),
        }
    }

    /// Reads the file again. A file that cannot be read or has errors changes nothing.
    fn reload(&mut self) -> Result<()> {
        let screen = &self.displays.screen;
        let Some(path) = self
            .args
            .streams
            .streams
            .as_deref()
            .filter(|_| !self.is_stopping)
        else {
            return Ok(());
        };
        let text = match file::read(path) {
            Ok(text) => text,
            Err(error) => {
                let path = path.display();
                screen.line(&format!(
                    "ERROR: cannot read {path}: {error}; nothing changes"
                ));
                return Ok(());
            }
        };
        match plan(&text, self.args, self.displays, |table| self.known(table)) {
            Ok(planned) => self.apply(planned),
            Err(problems) => {
                let last = report(path, &problems, self.displays);
                screen.line(&format!("ERROR: usage: {last}; nothing changes"));
                Ok(())
            }
        }
    }

    fn known(&self, table: &StreamTable) -> Known {
        match self.streams.get(&table.name) {
            Some(stream) if stream.is_same(table) => Known::Unchanged {
                files: stream.files.clone(),
            },
            Some(_) => Known::Changed,
            None => Known::New,
        }
    }

    /// Starts the new streams, ends the removed ones, and restarts those whose options have changed.
    fn apply(&mut self, planned: Vec<Planned>) -> Result<()> {
        let (mut added, mut changed, mut removed) = (0, 0, 0);
        let mut left: Vec<Arc<str>> = self.streams.keys().cloned().collect();
        left.retain(|name| planned.iter().all(|stream| stream.name != *name));
        for name in left {
            removed += usize::from(self.leave(&name, None));
        }
        for stream in planned {
            let name = Arc::clone(&stream.name);
            if matches!(stream.action, Action::Keep) {
                continue;
            }
            match self.streams.get(&name).map(|stream| &stream.state) {
                Some(State::Running { .. } | State::Leaving { .. }) => {
                    self.leave(&name, Some(Box::new(stream)));
                    changed += 1;
                }
                Some(State::Ended) | None => {
                    self.start(stream)?;
                    added += 1;
                }
            }
        }
        let unchanged = self.streams.len().saturating_sub(added + changed + removed);
        self.displays.screen.line(&format!(
            "INFO: the file was read again: {} started, {changed} changed, {removed} removed, {unchanged} unchanged",
            count(added)
        ));
        Ok(())
    }

    /// Makes a stream finish its file, and continue with `next`. Returns whether it was recorded.
    fn leave(&mut self, name: &Arc<str>, new: Option<Box<Planned>>) -> bool {
        let Some(stream) = self.streams.get_mut(name) else {
            return false;
        };
        match &mut stream.state {
            State::Running { stop } => {
                stop.send_replace(true);
                stream.state = State::Leaving { next: new };
                true
            }
            State::Leaving { next } => {
                *next = new;
                false
            }
            State::Ended => {
                self.streams.remove(name);
                self.results.forget(name);
                self.registry.remove(name);
                false
            }
        }
    }

    /// Reports the results of all streams, and returns the exit code of the process.
    fn finish(mut self) -> Exit {
        self.display.finish();
        for (name, stream) in &self.streams {
            if !matches!(stream.state, State::Ended) {
                let line = format!("ERROR: {name}: the recording did not end in time");
                self.displays.screen.line(&line);
                self.results.add_hanging(name);
            }
        }
        let (exit, line) = (self.results.exit(), self.results.line());
        self.report.finish(&line);
        self.displays
            .screen
            .line(&format!("{}: {line}", self.results.level()));
        if let Some(events) = &self.displays.events {
            events.finish(self.results.summary(self.is_stopping));
        }
        exit
    }
}

impl Stream {
    /// Whether the stream has the same options, also if they are about to be applied.
    fn is_same(&self, table: &StreamTable) -> bool {
        match &self.state {
            State::Leaving { next: None } => false,
            State::Leaving { next: Some(next) } => next.words == table.words,
            State::Running { .. } | State::Ended => self.words == table.words,
        }
    }
}

/// Starts the server that `--metrics` requests, and prints its address.
fn start_metrics(
    args: &Args,
    screen: &Screen,
    registry: &Arc<Registry>,
) -> Result<Option<MetricsServer>> {
    let Some(address) = &args.metrics.metrics else {
        return Ok(None);
    };
    let server = MetricsServer::start(address, registry).context("--metrics")?;
    server.announce(screen);
    Ok(Some(server))
}

/// Waits for the next request to read the file again.
async fn next(hang_ups: &mut Option<HangUps>) {
    match hang_ups {
        Some(hang_ups) => hang_ups.next().await,
        None => std::future::pending().await,
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

/// Spreads the first connections of all streams over a few seconds.
fn default_stagger(streams: usize) -> Duration {
    let share = START_TIME / u32::try_from(streams.max(1)).unwrap_or(u32::MAX);
    share.min(LONGEST_STAGGER)
}

/// Interval of the heartbeat, and of the checks of the watched file.
const TICK: Duration = Duration::from_secs(1);

/// Time for all streams to finish after a stop request. The process must exit within two seconds.
const STOP_TIMEOUT: Duration = Duration::from_millis(1500);

/// Time over which the first connections of many streams are spread.
const START_TIME: Duration = Duration::from_secs(5);

/// Time between the first connections of few streams.
const LONGEST_STAGGER: Duration = Duration::from_millis(50);
