//! People and scripts: what was typed, what is told, and the exit code.

pub mod args;
pub mod exit_code;
pub mod generate;
pub mod job;
pub mod program_name;
mod repair;
pub mod report;
pub mod rtmpdump;
pub mod signals;
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
    args::{Args, NoDownload, ProgressKind, Verbosity},
    exit_code::{Exit, NotStarted},
    job::Environment,
    program_name::ProgramName,
    report::{
        DisplayOptions, Listener, Listeners,
        heartbeat::Heartbeat,
        json::{
            JsonReport,
            event::{EventWriter, Summary},
        },
        text::TextReport,
    },
    terminal::screen::Screen,
};
use crate::{
    core::rtmp::client::config::Start,
    download::{self, Ending, Job, Outcome, Stop},
    output::Destination,
};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    match Args::read(env::args_os()) {
        Ok(args) => run(&args).into(),
        Err(no_args) => {
            let name = env::args_os()
                .next()
                .map_or(ProgramName::Rtmpull, |name| ProgramName::of(&name));
            print(name, &no_args);
            no_args.exit().into()
        }
    }
}

/// Downloads what `args` ask for.
pub fn run(args: &Args) -> Exit {
    let (screen, events) = match open_displays(args) {
        Ok(displays) => displays,
        Err(error) => {
            let screen = Screen::stderr(args.verbosity(), false);
            screen.line(&format!("ERROR: usage: {error:#}"));
            return Exit::Failure;
        }
    };
    match run_job(args, &screen, events.as_ref()) {
        Ok(exit) => exit,
        Err((word, error)) => {
            let reason = format!("{error:#}");
            match word {
                _ if screen.writes_events() => {}
                // In rtmpdump's words, whose name it only happens under.
                NotStarted::OutputFailed => screen.line(&format!("ERROR: {reason}")),
                _ => screen.line(&format!("ERROR: {word}: {reason}")),
            }
            if let Some(events) = events {
                events.finish(Summary {
                    ending: word.to_string(),
                    reason: screen.redacted(&reason),
                    exit_code: Exit::Failure as u8,
                    ..Summary::default()
                });
            }
            Exit::Failure
        }
    }
}

/// Where people are told what goes on, and where scripts.
fn open_displays(args: &Args) -> Result<(Arc<Screen>, Option<Arc<EventWriter>>)> {
    let has_media_on_stdout = job::paths::is_stdout(args.flv.as_deref());
    let events = match args.progress_fd {
        Some(number) => Some(report::json::descriptor::to_descriptor(
            number,
            has_media_on_stdout,
        )?),
        None if args.progress == Some(ProgressKind::Json) => {
            Some(report::json::descriptor::to_stderr()?)
        }
        None => None,
    };
    let events = events.map(Arc::new);
    let verbosity = args.verbosity();
    let screen = match &events {
        Some(events) if args.progress_fd.is_none() => Screen::events(verbosity, Arc::clone(events)),
        _ => {
            let may_have_bar = matches!(args.progress, None | Some(ProgressKind::Bar));
            Screen::stderr(verbosity, may_have_bar)
        }
    };
    Ok((Arc::new(screen), events))
}

fn run_job(
    args: &Args,
    screen: &Arc<Screen>,
    events: Option<&Arc<EventWriter>>,
) -> Result<Exit, (NotStarted, anyhow::Error)> {
    start_logging(args, screen).map_err(usage)?;
    if !args.repair.is_empty() {
        repair::check(args).map_err(usage)?;
        return repair::run(args, screen).map_err(failure);
    }
    let (job, listeners) = prepare(args, screen, events)?;
    if job.stop_ms == Some(0) {
        screen.line("Already Completed");
        screen.line("Download complete");
        if let Some(events) = events {
            events.finish(Summary {
                ending: Ending::Limit.to_string(),
                ..Summary::default()
            });
        }
        return Ok(Exit::Success);
    }
    download(&job, listeners, screen).map_err(failure)
}

fn usage(error: anyhow::Error) -> (NotStarted, anyhow::Error) {
    (NotStarted::Usage, error)
}

fn failure(error: anyhow::Error) -> (NotStarted, anyhow::Error) {
    (NotStarted::Failed, error)
}

/// Has everything that is told go where it belongs.
fn start_logging(args: &Args, screen: &Arc<Screen>) -> Result<()> {
    if let Some(banner) = args.name.banner()
        && !screen.writes_events()
    {
        banner.lines().for_each(|line| screen.line(line));
    }
    job::paths::ensure_distinct(args)?;
    if let Some(file) = &args.log_file {
        screen
            .open_log_file(file)
            .with_context(|| format!("cannot write --log-file {}", file.display()))?;
    }
    terminal::log::install(screen);
    Ok(())
}

/// Everything before the first packet.
fn prepare(
    args: &Args,
    screen: &Arc<Screen>,
    events: Option<&Arc<EventWriter>>,
) -> Result<(Job, Listeners), (NotStarted, anyhow::Error)> {
    let (args, job) = resolve(args, &Environment::here(), screen).map_err(usage)?;
    let listeners = listeners(&args, &job, screen, events).map_err(usage)?;
    if args.name == ProgramName::Rtmpdump
        && let Destination::Path(file) = &job.output
    {
        create(file).map_err(|error| (NotStarted::OutputFailed, error))?;
    }
    Ok((job, listeners))
}

fn listeners(
    args: &Args,
    job: &Job,
    screen: &Arc<Screen>,
    events: Option<&Arc<EventWriter>>,
) -> Result<Listeners> {
    let display = display_options(args, job);
    let mut listeners = Listeners::default();
    if !screen.writes_events() {
        listeners.push(TextReport::new(Arc::clone(screen), display));
    }
    if let Some(file) = &args.heartbeat {
        listeners.push(Heartbeat::start(file).context("--heartbeat")?);
    }
    #[cfg(unix)]
    if let Some(notifier) = report::systemd::SystemdNotifier::start(Arc::clone(screen)) {
        listeners.push(notifier);
    }
    // Last, since what the others log comes before the summary.
    if let Some(events) = events {
        let (events, screen) = (Arc::clone(events), Arc::clone(screen));
        listeners.push(JsonReport::new(events, screen, display));
    }
    Ok(listeners)
}

fn resolve(args: &Args, environment: &Environment, screen: &Screen) -> Result<(Args, Job)> {
    let args = rtmpdump::librtmp::apply_url_options(args)?;
    screen.add_secrets(job::secrets(&args));
    let job = job::resolve(&args, environment)?;
    screen.add_secrets(job.session.login.iter().map(|login| login.password.clone()));
    let proxy = job.dialer.proxy.as_ref();
    let proxy_login = proxy.and_then(|proxy| proxy.login.as_ref());
    screen.add_secrets(proxy_login.map(|login| login.password.clone()));
    Ok((args, job))
}

/// Callers of rtmpdump ask the size of a file that may never get anything.
fn create(file: &Path) -> Result<()> {
    if !file.exists() {
        File::create_new(file)
            .with_context(|| format!("Failed to open file! {}", file.display()))?;
    }
    Ok(())
}

fn display_options(args: &Args, job: &Job) -> DisplayOptions {
    DisplayOptions {
        hashes: args.hashes,
        no_progress: matches!(args.progress, Some(ProgressKind::None | ProgressKind::Json)),
        realtime: args.realtime,
        start_ms: match job.session.start {
            Start::At { ms } => ms.into(),
            Start::Live | Start::LiveElseRecorded => 0,
        },
        length_ms: job.length_ms(),
        parts: job.parts.has_split_condition(),
    }
}

fn download(job: &Job, mut listeners: Listeners, screen: &Arc<Screen>) -> Result<Exit> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let (sender, stop) = Stop::new();
    signals::watch(sender, Arc::clone(screen)).context("cannot watch for signals")?;
    let outcome: Outcome = runtime.block_on(download::run(job, &mut listeners, stop));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    listeners.finished(&outcome);
    Ok(Exit::from(&outcome))
}

/// Help goes where it can be piped from. Who closed the other end did not want to read it.
fn print(name: ProgramName, no_args: &NoDownload) {
    let banner = name
        .banner()
        .map_or_else(String::new, |banner| format!("{banner}\n"));
    let _ = match no_args {
        NoDownload::Stdout(answer) => write!(io::stdout(), "{answer}"),
        NoDownload::Stderr(answer) => write!(io::stderr(), "{banner}\n{answer}"),
        NoDownload::Usage(message) => {
            let screen = Screen::stderr(Verbosity::Normal, false);
            banner.lines().for_each(|line| screen.line(line));
            screen.line(&format!("ERROR: usage: {message}"));
            Ok(())
        }
    };
}
