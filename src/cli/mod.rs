//! Command line: arguments, output for people and scripts, and exit codes.

pub mod args;
pub mod exit_code;
mod explain;
pub mod generate;
pub mod job;
pub mod metrics;
pub mod probe;
pub mod program_name;
mod remux;
mod repair;
pub mod report;
pub mod rtmpdump;
pub mod signals;
pub mod streams;
pub mod terminal;

use std::{
    env,
    fs::File,
    io::{self, Write},
    path::Path,
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use tokio::runtime;

use self::{
    args::{Args, NoDownload, ProgressKind, STDOUT, Verbosity},
    exit_code::{Exit, NotStarted},
    job::{Environment, capture::CaptureFile},
    metrics::Monitor,
    program_name::ProgramName,
    report::{
        DisplayOptions, Listener, Listeners,
        heartbeat::Heartbeat,
        json::{
            JsonReport, descriptor,
            event::{Event, EventWriter, Options, SCHEMA_VERSION, Start as StartEvent, Summary},
        },
        text::TextReport,
    },
    terminal::{log, sanitize::secrets_in, screen::Screen, time_format::utc},
};
use crate::{
    core::rtmp::{client::config::Start, secret::Secret},
    download::{self, Ending, Job, Outcome, Stop},
    output::{Destination, report_slow_disks},
};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    match Args::read(env::args_os()) {
        Ok(args) => run(&args).into(),
        Err(no_download) => {
            let name = env::args_os()
                .next()
                .map_or(ProgramName::Rtmpull, |name| ProgramName::of(&name));
            print(name, &no_download);
            no_download.exit().into()
        }
    }
}

/// Runs the download or the repair that `args` ask for.
pub fn run(args: &Args) -> Exit {
    let displays = match Displays::open(args) {
        Ok(displays) => displays,
        Err(error) => {
            let screen = Screen::stderr(args.verbosity(), false);
            screen.add_secrets(job::secrets(args));
            screen.line(&format!("ERROR: usage: {error:#}"));
            return Exit::Failure;
        }
    };
    let exit = run_job(args, &displays).unwrap_or_else(|(word, error)| {
        displays.not_started(word, &error);
        Exit::Failure
    });
    displays.screen.finish();
    exit
}

/// Output for people and for scripts.
#[derive(Debug)]
struct Displays {
    screen: Arc<Screen>,
    events: Option<Arc<EventWriter>>,
}

impl Displays {
    fn open(args: &Args) -> Result<Self> {
        let has_media_on_stdout = args.streams.streams.is_none()
            && job::paths::writes_to_stdout(args, &Environment::here());
        let events = match args.progress_fd {
            Some(number) => Some(descriptor::to_descriptor(number, has_media_on_stdout)?),
            None if args.progress == Some(ProgressKind::Json) => Some(descriptor::to_stderr()?),
            None => None,
        };
        let events = events.map(Arc::new);
        let verbosity = args.verbosity();
        let screen = match &events {
            Some(events) if args.progress_fd.is_none() => {
                Screen::events(verbosity, Arc::clone(events))
            }
            _ => {
                let may_have_bar = matches!(args.progress, None | Some(ProgressKind::Bar));
                let screen = Screen::stderr(verbosity, may_have_bar);
                match args.name {
                    ProgramName::Rtmpull => screen.with_times(),
                    // Front ends of rtmpdump read its lines.
                    ProgramName::Rtmpdump => screen,
                }
            }
        };
        screen.add_secrets(job::secrets(args));
        Ok(Self {
            screen: Arc::new(screen),
            events,
        })
    }

    /// Prints the banner of rtmpdump under that name, and starts logging.
    fn start_logging(&self, args: &Args) -> Result<()> {
        if let Some(banner) = args.name.banner()
            && !self.screen.writes_events()
        {
            banner.lines().for_each(|line| self.screen.line(line));
        }
        job::paths::ensure_distinct(args)?;
        if let Some(file) = &args.log_file {
            self.screen
                .open_log_file(file)
                .with_context(|| format!("cannot write --log-file {}", file.display()))?;
        }
        log::install(&self.screen);
        Ok(())
    }

    /// Returns everything that is notified of the events of a download or a conversion to `output`.
    fn listeners(
        &self,
        args: &Args,
        options: DisplayOptions,
        output: &Destination,
    ) -> Result<Listeners> {
        let mut listeners = Listeners::default();
        if !self.screen.writes_events() {
            let report = TextReport::new(Arc::clone(&self.screen), options);
            listeners.push(report.with_output(output.clone()));
        }
        if let Some(file) = &args.heartbeat {
            listeners.push(Heartbeat::start(file).context("--heartbeat")?);
        }
        #[cfg(unix)]
        if let Some(notifier) = report::systemd::SystemdNotifier::start(Arc::clone(&self.screen)) {
            listeners.push(notifier);
        }
        // The last one, so that the summary follows whatever the others log.
        if let Some(events) = &self.events {
            let (events, screen) = (Arc::clone(events), Arc::clone(&self.screen));
            listeners.push(JsonReport::new(events, screen, options));
        }
        Ok(listeners)
    }

    /// Prints why nothing was downloaded.
    fn not_started(&self, word: NotStarted, error: &anyhow::Error) {
        let reason = format!("{error:#}");
        if !self.screen.writes_events() {
            self.screen.line(&match word {
                // Only under the name of rtmpdump, which prints no word here.
                NotStarted::OutputFailed => format!("ERROR: {reason}"),
                _ => format!("ERROR: {word}: {reason}"),
            });
        }
        if let Some(events) = &self.events {
            events.finish(Summary {
                ending: word.to_string(),
                reason: self.screen.redacted(&reason),
                exit_code: Exit::Failure as u8,
                ..Summary::default()
            });
        }
    }
}

fn run_job(args: &Args, displays: &Displays) -> Result<Exit, (NotStarted, anyhow::Error)> {
    displays.start_logging(args).map_err(usage)?;
    if args.probe.is_requested() {
        return probe::run(args, displays);
    }
    if !args.repair.is_empty() {
        repair::check(args).map_err(usage)?;
        return repair::run(args, &displays.screen).map_err(failure);
    }
    if args.conversion.is_requested() {
        return remux::run(args, displays);
    }
    if args.streams.streams.is_some() {
        return streams::run(args, displays);
    }
    if args.explain.explain {
        return explain::run(args, displays);
    }
    let (args, job) = resolve(args, &displays.screen).map_err(usage)?;
    if let Some(events) = &displays.events {
        events.write(&Event::Start(start_event(&args, &job, &displays.screen)));
    }
    let mut listeners = displays
        .listeners(&args, display_options(&args, &job), &job.output)
        .map_err(usage)?;
    if args.name == ProgramName::Rtmpdump
        && let Destination::Path(file) = &job.output
    {
        create(file).map_err(|error| (NotStarted::OutputFailed, error))?;
    }
    if job.stop_ms == Some(0) {
        displays.screen.line("Already Completed");
        displays.screen.line("Download complete");
        if let Some(events) = &displays.events {
            events.finish(Summary {
                ending: Ending::Limit.to_string(),
                ..Summary::default()
            });
        }
        return Ok(Exit::Success);
    }
    let monitor = match &args.metrics.metrics {
        Some(address) => {
            let screen = &displays.screen;
            let monitor = Monitor::start(address, screen, &job.output, &mut listeners);
            Some(monitor.context("--metrics").map_err(failure)?)
        }
        None => None,
    };
    download(&job, listeners, monitor, &displays.screen).map_err(failure)
}

fn usage(error: anyhow::Error) -> (NotStarted, anyhow::Error) {
    (NotStarted::Usage, error)
}

fn failure(error: anyhow::Error) -> (NotStarted, anyhow::Error) {
    (NotStarted::Failed, error)
}

/// Resolves the arguments, and hides their secrets on `screen` as soon as they are known.
fn resolve(args: &Args, screen: &Screen) -> Result<(Args, Job)> {
    let (args, mut job) = resolve_job(args, &Environment::here(), screen)?;
    create_files(capture_file(&args, &job).as_ref(), &mut job)?;
    Ok((args, job))
}

/// Resolves the arguments of a download without creating any file.
fn resolve_job(args: &Args, environment: &Environment, screen: &Screen) -> Result<(Args, Job)> {
    let args = rtmpdump::librtmp::apply_url_options(args)?;
    screen.add_secrets(job::secrets(&args));
    let job = job::resolve(&args, environment)?;
    screen.add_secrets(secrets(&args, &job));
    Ok((args, job))
}

/// Creates the files that a download fills from its start: the manifest and the capture.
fn create_files(capture: Option<&CaptureFile>, job: &mut Job) -> Result<()> {
    job::segments::create_manifest(&job.segments)?;
    job.capture = capture.map(|capture| capture.create(job)).transpose()?;
    Ok(())
}

/// Returns the capture of a resolved download, if it is requested.
fn capture_file(args: &Args, job: &Job) -> Option<CaptureFile> {
    CaptureFile::of(args, || secrets(args, job))
}

/// Returns the secrets of a resolved download.
fn secrets(args: &Args, job: &Job) -> Vec<Secret> {
    let mut secrets = job::secrets(args);
    let login = job.session.login.iter();
    let proxy = job.dialer.proxy.as_ref();
    let proxy_login = proxy.and_then(|proxy| proxy.login.as_ref());
    let passwords = login.map(|login| login.password.clone());
    let passwords = passwords.chain(proxy_login.map(|login| login.password.clone()));
    secrets.extend(passwords.map(Secret::Text));
    secrets
}

/// Creates the output file, as rtmpdump does at the start: its callers read the size of that file even if
/// no media arrives.
fn create(file: &Path) -> Result<()> {
    if !file.exists() {
        File::create_new(file)
            .with_context(|| format!("Failed to open file! {}", file.display()))?;
    }
    Ok(())
}

fn start_event(args: &Args, job: &Job, screen: &Screen) -> StartEvent {
    let connect = &job.session.connect;
    let given = args.stream.as_ref().or(args.rtmp.as_ref());
    let url = given.map_or_else(
        || format!("{}/{}", connect.tc_url, job.session.playpath),
        String::clone,
    );
    StartEvent {
        schema_version: SCHEMA_VERSION,
        version: env!("CARGO_PKG_VERSION"),
        url: screen.redacted(&url),
        inputs: Vec::new(),
        output: screen.redacted(&output_name(args, &job.output)),
        options: Options {
            live: args.live,
            resume: job.resume.is_some(),
            tracks: job.tracks.map(|tracks| tracks.to_string()),
            start_ms: start_ms(job),
            length_ms: job.length_ms(),
            max_bytes: job.limits.bytes,
            until: job.limits.until.map(utc),
            segment_ms: job.segments.every_ms,
            segment_bytes: job.segments.bytes,
            segment_clock_seconds: job.segments.clock_seconds,
            split_on_change: job.segments.on_change,
        },
    }
}

/// Returns the output as the user named it.
fn output_name(args: &Args, output: &Destination) -> String {
    match output {
        Destination::Stdout => STDOUT.into(),
        Destination::Path(path) => path.display().to_string(),
        Destination::Discard => String::new(),
        Destination::Template(_) => {
            let file = args.tee.as_ref().or(args.flv.as_ref());
            file.map_or_else(String::new, |file| file.display().to_string())
        }
    }
}

/// Start of the requested range of a recorded stream, in milliseconds.
fn start_ms(job: &Job) -> u64 {
    match job.session.start {
        Start::At { ms } => ms.into(),
        Start::Live | Start::LiveElseRecorded => 0,
    }
}

fn display_options(args: &Args, job: &Job) -> DisplayOptions {
    DisplayOptions {
        hashes: args.hashes,
        no_progress: args.hides_progress(),
        realtime: args.connection.realtime,
        start_ms: start_ms(job),
        length_ms: job.length_ms(),
        until: job.limits.until,
        is_split: job.segments.has_split_condition(),
        is_conversion: false,
        name: args.name,
    }
}

fn download(
    job: &Job,
    mut listeners: Listeners,
    monitor: Option<Monitor>,
    screen: &Arc<Screen>,
) -> Result<Exit> {
    let outcome: Outcome = run_until_stopped(screen, async |stop| {
        let download = download::run(job, &mut listeners, stop);
        match monitor {
            Some(monitor) => monitor.watch(download).await,
            None => download.await,
        }
    })?;
    listeners.finished(&outcome);
    Ok(Exit::from(&outcome))
}

/// Runs `work`, which ends early if a signal requests it.
fn run_until_stopped<T>(screen: &Arc<Screen>, work: impl AsyncFnOnce(Stop) -> T) -> Result<T> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the network runtime")?;
    let (sender, stop) = Stop::new();
    signals::watch(sender, Arc::clone(screen)).context("cannot handle signals")?;
    let outcome = runtime.block_on(work(stop));
    // A name lookup or standard input may still block a thread; exit without waiting for it.
    runtime.shutdown_background();
    report_slow_disks();
    screen.report_suppressed();
    Ok(outcome)
}

/// Prints help and errors of command lines that start no download. Write errors are ignored: if the pipe is
/// closed, its reader has seen enough.
fn print(name: ProgramName, no_download: &NoDownload) {
    let banner = name
        .banner()
        .map_or_else(String::new, |banner| format!("{banner}\n"));
    let _ = match no_download {
        NoDownload::Stdout(text) => write!(io::stdout(), "{text}"),
        NoDownload::Stderr(text) => write!(io::stderr(), "{banner}\n{text}"),
        NoDownload::NoArguments(text) => write!(io::stderr(), "{text}"),
        NoDownload::Usage(message) => {
            let screen = Screen::stderr(Verbosity::Normal, false);
            // The command line is invalid, so any of its words may hold a URL.
            let words: Vec<String> = env::args_os()
                .map(|word| word.to_string_lossy().into_owned())
                .collect();
            screen.add_secrets(words.iter().flat_map(|word| secrets_in(word)));
            let is_read_from_stderr = requested_json(&words).is_some_and(|request| {
                if let Ok(events) = request.open() {
                    events.finish(Summary {
                        ending: NotStarted::Usage.to_string(),
                        reason: screen.redacted(message),
                        exit_code: Exit::Failure as u8,
                        ..Summary::default()
                    });
                }
                request == JsonRequest::Stderr
            });
            if is_read_from_stderr {
                return;
            }
            banner.lines().for_each(|line| screen.line(line));
            screen.line(&format!("ERROR: usage: {message}"));
            Ok(())
        }
    };
}

/// Destination of JSON events in a command line that is invalid.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum JsonRequest {
    Stderr,
    Descriptor(u32),
}

impl JsonRequest {
    fn open(self) -> Result<EventWriter> {
        match self {
            Self::Stderr => descriptor::to_stderr(),
            Self::Descriptor(number) => descriptor::to_descriptor(number, false),
        }
    }
}

/// Returns where an invalid command line requests JSON events.
fn requested_json(words: &[String]) -> Option<JsonRequest> {
    let value = |name: &str| {
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match word.strip_prefix(name).map(|rest| rest.strip_prefix('=')) {
                Some(Some(value)) => return Some(value),
                Some(None) if word == name => return words.next().map(String::as_str),
                _ => {}
            }
        }
        None
    };
    let descriptor = value("--progress-fd").and_then(|number| number.parse().ok());
    match value("--progress") {
        _ if descriptor.is_some() => descriptor.map(JsonRequest::Descriptor),
        Some("json") => Some(JsonRequest::Stderr),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_requested_by_either_option() {
        let request = |line: &str| {
            let words: Vec<_> = line.split(' ').map(str::to_owned).collect();
            requested_json(&words)
        };
        assert_eq!(request("rtmpull --nonsense"), None);
        assert_eq!(request("rtmpull --progress bar"), None);
        assert_eq!(request("rtmpull --progress"), None);
        for line in ["rtmpull --progress json", "rtmpull -x --progress=json"] {
            assert_eq!(request(line), Some(JsonRequest::Stderr));
        }
        let descriptor = Some(JsonRequest::Descriptor(3));
        for line in [
            "rtmpull --progress-fd 3",
            "rtmpull --progress json --progress-fd=3",
        ] {
            assert_eq!(request(line), descriptor);
        }
    }
}
