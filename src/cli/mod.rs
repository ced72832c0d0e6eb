//! People and scripts: what was typed, what is told, and the exit code.

pub mod args;
pub mod exit;
pub mod job;
pub mod librtmp;
pub mod report;
pub mod screen;
pub mod signals;
pub mod terminal;

use std::{
    env,
    io::{self, IsTerminal, Write},
    process::ExitCode,
    sync::Arc,
};

use anyhow::{Context, Result};
use tokio::runtime;

use self::{
    args::{Args, NoArgs},
    exit::Exit,
    job::Surroundings,
    report::Console,
    screen::Screen,
};
use crate::download::{self, Job, Outcome, Stop};

/// Runs the program with the arguments of the process.
pub fn main() -> ExitCode {
    match Args::read(env::args_os()) {
        Ok(args) => run(&args).into(),
        Err(no_args) => {
            print(&no_args);
            no_args.exit().into()
        }
    }
}

/// Downloads what `args` ask for.
pub fn run(args: &Args) -> Exit {
    let screen = Arc::new(Screen::stderr(args.verbosity()));
    screen::log_to(&screen, args.verbosity());
    let surroundings = Surroundings {
        stdout_is_terminal: io::stdout().is_terminal(),
    };
    let job = match job::resolve(args, surroundings) {
        Ok(job) => job,
        Err(error) => {
            screen.line(&usage(&format!("{error:#}")));
            return Exit::Failure;
        }
    };
    let mut console = Console::new(Arc::clone(&screen));
    match download(&job, &mut console, &screen) {
        Ok(outcome) => {
            console.finished(&outcome);
            Exit::from(&outcome)
        }
        Err(error) => {
            screen.line(&format!("ERROR: {error:#}"));
            Exit::Failure
        }
    }
}

fn download(job: &Job, console: &mut Console, screen: &Arc<Screen>) -> Result<Outcome> {
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start")?;
    let (sender, stop) = Stop::new();
    signals::watch(sender, Arc::clone(screen)).context("cannot watch for signals")?;
    let outcome = runtime.block_on(download::run(job, console, stop));
    // A name that is still being looked up is not waited for.
    runtime.shutdown_background();
    Ok(outcome)
}

/// Help goes where it can be piped from. Who closed the other end did not want to read it.
fn print(no_args: &NoArgs) {
    let _ = match no_args {
        NoArgs::Answer(answer) => write!(io::stdout(), "{answer}"),
        NoArgs::Usage(message) => {
            let message = terminal::escaped(&usage(message));
            writeln!(io::stderr(), "{}", terminal::redacted(&message))
        }
    };
}

fn usage(message: &str) -> String {
    format!("ERROR: usage: {message}")
}
