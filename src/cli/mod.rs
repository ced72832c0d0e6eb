//! People and scripts: what was typed, what is told, and the exit code.

pub mod args;
pub mod conn;
pub mod exit;
pub mod generate;
pub mod job;
pub mod librtmp;
pub mod name;
pub mod report;
pub mod screen;
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
    args::{Args, NoArgs, Verbosity},
    exit::Exit,
    job::Surroundings,
    name::Name,
    report::{Console, Wishes},
    screen::Screen,
};
use crate::{
    download::{self, Job, Outcome, Stop, output::Destination},
    rtmp::client::config::Start,
};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    match Args::read(env::args_os()) {
        Ok(args) => run(&args).into(),
        Err(no_args) => {
            let name = env::args_os()
                .next()
                .map_or(Name::Rtmpull, |name| Name::of(&name));
            print(name, &no_args);
            no_args.exit().into()
        }
    }
}

/// Downloads what `args` ask for.
pub fn run(args: &Args) -> Exit {
    let screen = Arc::new(Screen::stderr(args.verbosity()));
    match start(args, &screen).and_then(|(job, wishes)| download(&job, wishes, &screen)) {
        Ok(exit) => exit,
        Err(error) => {
            screen.line(&format!("ERROR: {error:#}"));
            Exit::Failure
        }
    }
}

/// Everything before the first packet.
fn start(args: &Args, screen: &Arc<Screen>) -> Result<(Job, Wishes)> {
    if let Some(banner) = args.name.banner() {
        banner.lines().for_each(|line| screen.line(line));
    }
    if let Some(file) = &args.log_file {
        screen
            .log_into(file)
            .with_context(|| format!("cannot write --log-file {}", file.display()))?;
    }
    screen::log_to(screen);
    let (args, job) = resolve(args, &Surroundings::here(), screen).context("usage")?;
    if args.name == Name::Rtmpdump
        && let Destination::Path(file) = &job.output
    {
        create(file)?;
    }
    let wishes = wishes(&args, &job);
    Ok((job, wishes))
}

fn resolve(args: &Args, surroundings: &Surroundings, screen: &Screen) -> Result<(Args, Job)> {
    let args = librtmp::applied(args)?;
    screen.hide(job::secrets(&args));
    let job = job::resolve(&args, surroundings)?;
    screen.hide(job.session.login.iter().map(|login| login.password.clone()));
    let proxy = job.dialer.proxy.as_ref();
    let proxy_login = proxy.and_then(|proxy| proxy.login.as_ref());
    screen.hide(proxy_login.map(|login| login.password.clone()));
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

fn wishes(args: &Args, job: &Job) -> Wishes {
    Wishes {
        hashes: args.hashes,
        realtime: args.realtime,
        start_ms: match job.session.start {
            Start::At { ms } => ms.into(),
            Start::Live | Start::LiveElseRecorded => 0,
        },
        length_ms: job.length_ms(),
        parts: job.parts.are_wanted(),
    }
}

fn download(job: &Job, wishes: Wishes, screen: &Arc<Screen>) -> Result<Exit> {
    if job.stop_ms == Some(0) {
        screen.line("Already Completed");
        screen.line("Download complete");
        return Ok(Exit::Success);
    }
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let (sender, stop) = Stop::new();
    signals::watch(sender, Arc::clone(screen)).context("cannot watch for signals")?;
    let mut console = Console::new(Arc::clone(screen), wishes);
    let outcome: Outcome = runtime.block_on(download::run(job, &mut console, stop));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    console.finished(&outcome);
    Ok(Exit::from(&outcome))
}

/// Help goes where it can be piped from. Who closed the other end did not want to read it.
fn print(name: Name, no_args: &NoArgs) {
    let banner = name
        .banner()
        .map_or_else(String::new, |banner| format!("{banner}\n"));
    let _ = match no_args {
        NoArgs::Answer(answer) => write!(io::stdout(), "{answer}"),
        NoArgs::Aside(answer) => write!(io::stderr(), "{banner}\n{answer}"),
        NoArgs::Usage(message) => {
            let screen = Screen::stderr(Verbosity::Normal);
            banner.lines().for_each(|line| screen.line(line));
            screen.line(&format!("ERROR: usage: {message}"));
            Ok(())
        }
    };
}
