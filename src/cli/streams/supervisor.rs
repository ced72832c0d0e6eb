//! Starts and ends the downloads of all streams.

use std::{
    collections::BTreeMap, ffi::OsString, io, path::PathBuf, sync::Arc, thread, time::Duration,
};

use anyhow::{Context, Result};
use tokio::{
    sync::{
        mpsc::{self, UnboundedReceiver},
        oneshot, watch,
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
    /// The text of the file while it is read again.
    reading: Option<oneshot::Receiver<io::Result<String>>>,
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
        /// The stream with its new options; `None` if it was removed from the file.
        next: Option<Box<Planned>>,
    },
    Ended,
}

/// What the supervisor waits for.
enum Step {
    Ended(Ended),
    Stop,
    Reload,
    Read(io::Result<String>),
    Tick,
}

impl<'a> Supervisor<'a> {
    /// Prepares to record `count` streams. `hang_ups` and changes of `watched` are the requests to read the file
    /// again.
    ///
    /// # Errors
    ///
    /// Fails if the heartbeat file cannot be written, or if the metrics server cannot be started.
    pub(super) fn new(
        args: &'a Args,
        displays: &'a Displays,
        count: usize,
        hang_ups: Option<HangUps>,
        watched: Option<WatchedFile>,
    ) -> Result<Self> {
        let options = &args.streams;
        let connections = options.max_connections.map(|number| number as usize);
        let stagger = options.stagger.unwrap_or_else(|| default_stagger(count));
        let (sender, ended) = mpsc::unbounded_channel();
        let totals = Arc::new(Totals::default());
        let registry = Registry::new(Arc::clone(&displays.screen));
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
            watched,
            hang_ups,
            reading: None,
            is_stopping: false,
        })
    }

    /// Records all streams until they have ended, or until the user stops the process.
    pub(super) async fn run(mut self, planned: Vec<Planned>, mut stop: Stop) -> Exit {
        for stream in planned {
            self.start(stream);
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
                text = read(&mut self.reading) => Step::Read(text),
                _ = ticks.tick() => Step::Tick,
                () = at(last_moment) => break,
            };
            match step {
                Step::Ended(ended) => self.note_end(ended),
                Step::Stop => {
                    deadline = Instant::now().checked_add(STOP_TIMEOUT);
                    self.stop_all();
                }
                Step::Reload => self.read_again(),
                Step::Read(text) => self.reload(text),
                Step::Tick => self.tick(),
            }
        }
        self.finish()
    }

    /// Whether the process must continue: a stream is recorded, or a change of the file may start one.
    fn continues(&self) -> bool {
        let is_kept = self.args.streams.keep_running && !self.is_stopping;
        is_kept || self.recorded() > 0
    }

    /// Number of streams whose download has not ended.
    fn recorded(&self) -> usize {
        let is_recorded = |stream: &&Stream| !matches!(stream.state, State::Ended);
        self.streams.values().filter(is_recorded).count()
    }

    fn start(&mut self, planned: Planned) {
        let Planned {
            name,
            words,
            action,
            files,
        } = planned;
        let Action::Start(mut start) = action else {
            return;
        };
        self.results.forget(&name);
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
        self.disks.start(task);
        let stream = Stream {
            words,
            files,
            state: State::Running { stop: sender },
        };
        self.streams.insert(name, stream);
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
                // The event was created before the secrets of all streams were known.
                event.url = screen.redacted(&event.url);
                event.output = screen.redacted(&event.output);
                events.write(&Event::Start(*event));
            }
            listeners.push(JsonReport::new(events, Arc::clone(screen), options));
        }
        listeners
    }

    /// Notes the result of a stream, and starts its next download if its options have changed.
    fn note_end(&mut self, ended: Ended) {
        let name = Arc::clone(&ended.name);
        let Some(stream) = self.streams.get_mut(&name) else {
            return;
        };
        match std::mem::replace(&mut stream.state, State::Ended) {
            State::Leaving { next: None } => {
                self.results.add_left(&ended);
                self.streams.remove(&name);
                self.registry.remove(&name);
            }
            State::Leaving { next: Some(next) } if !self.is_stopping => {
                self.results.add_left(&ended);
                self.start(*next);
            }
            State::Running { .. } | State::Leaving { .. } | State::Ended => {
                self.results.add(&ended);
            }
        }
    }

    fn stop_all(&mut self) {
        self.is_stopping = true;
        for stream in self.streams.values() {
            if let State::Running { stop } = &stream.state {
                stop.send_replace(true);
            }
        }
    }

    fn tick(&mut self) {
        self.display.tick(std::time::Instant::now());
        let is_alive = self.registry.liveness().is_alive(std::time::Instant::now());
        self.report.tick(is_alive, self.recorded());
        let watched = self.watched.as_mut();
        if watched.is_some_and(WatchedFile::has_changed) {
            self.read_again();
        }
    }

    /// Starts to read the file again, on a thread of its own: a named pipe or a disk that hangs must not stop the
    /// supervisor.
    fn read_again(&mut self) {
        let Some(path) = self.args.streams.streams.clone() else {
            return;
        };
        let (sender, text) = oneshot::channel();
        let thread = thread::Builder::new().name("streams-file".to_owned());
        let started = thread.spawn(move || sender.send(file::read(&path)));
        match started {
            Ok(_) => self.reading = Some(text),
            Err(error) => self.reload(Err(error)),
        }
    }

    /// Applies the text of the file. A file that cannot be read or has errors changes nothing.
    fn reload(&mut self, text: io::Result<String>) {
        let Some(path) = self.args.streams.streams.as_deref() else {
            return;
        };
        if self.is_stopping {
            return;
        }
        let why = match text {
            Ok(text) => match plan(&text, self.args, self.displays, |table| self.known(table)) {
                Ok(planned) => return self.apply(planned),
                Err(problems) => format!("usage: {}", report(path, &problems, self.displays)),
            },
            Err(error) => format!("cannot read {}: {error}", path.display()),
        };
        let screen = &self.displays.screen;
        screen.line(&format!("ERROR: {why}; nothing changes"));
    }

    fn known(&self, table: &StreamTable) -> Known {
        match self.streams.get(&table.name) {
            Some(stream) if stream.is_same(table) => Known::Unchanged {
                files: stream.files().to_vec(),
            },
            Some(_) => Known::Changed,
            None => Known::New,
        }
    }

    /// Starts the new streams, ends the removed ones, and restarts those whose options have changed.
    fn apply(&mut self, planned: Vec<Planned>) {
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
                    self.start(stream);
                    added += 1;
                }
            }
        }
        let unchanged = self.streams.len().saturating_sub(added + changed + removed);
        self.displays.screen.line(&format!(
            "INFO: the file was read again: {} started, {changed} changed, {removed} removed, {unchanged} unchanged",
            count(added)
        ));
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

    /// Returns the files that no other stream may write, also those with options that are about to be applied.
    fn files(&self) -> &[PathBuf] {
        match &self.state {
            State::Leaving { next: Some(next) } => &next.files,
            _ => &self.files,
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

/// Waits for the text of the file while it is read again.
async fn read(reading: &mut Option<oneshot::Receiver<io::Result<String>>>) -> io::Result<String> {
    let Some(text) = reading else {
        return std::future::pending().await;
    };
    // The thread ends without a text only if it panics.
    let text = text
        .await
        .unwrap_or_else(|_| Err(io::ErrorKind::Other.into()));
    *reading = None;
    text
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
