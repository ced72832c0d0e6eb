//! From what was typed to what is done: checked, defaults chosen, nothing left to decide.

mod auth;
mod environment;
mod network;
pub mod paths;
mod retry;
mod segments;
mod swf;
mod target;

#[cfg(test)]
mod tests;

use std::{env, time::Duration};

use anyhow::{Result, bail, ensure};
use jiff::Zoned;

pub use self::environment::Environment;
use self::{
    paths::{has_content, is_special, is_stdout},
    target::Candidates,
};
use super::{
    args::{
        Args, Handshake,
        values::{Interval, Span, bound, given},
    },
    program_name::ProgramName,
};
use crate::{
    core::{
        flv::Layout,
        rtmp::{
            client::config::{BufferLength, Config, Connect, Encryption, Start, Timeouts},
            handshake::Mode,
            target::Scheme,
        },
    },
    download::{self, Job, Resume, retry::ASK_EVERY},
    output::{Destination, FileOptions},
};

/// The download that `args` ask for, or why there can be none. What a URL says behind the address has
/// to be among them already.
pub fn resolve(args: &Args, environment: &Environment) -> Result<Job> {
    let Candidates {
        target,
        first,
        alternatives,
    } = Candidates::of(args)?;
    let connect = connect(args, &first)?;
    let login = auth::login(args, &target)?;
    let (output, pipe) = outputs(args, environment)?;
    let route = download::route::to(&target);
    let dialer = network::dialer(args, environment)?;
    ensure_spared(args, &output)?;
    let swf = swf::resolve(args, environment)?;
    let parts = segments::parts(args, &output)?;
    let limits = segments::limits(args, &output, &Zoned::now())?;
    let resume = resume(args, &output)?;
    warn_about_ignored_options(args, &output);
    let start_ms = start_ms(args, resume);
    let stop_ms = args.stop.filter(|stop| stop.ms > 0);
    let length_ms = stop_ms.map(|stop| stop.ms.saturating_sub(start_ms));
    let job = Job {
        file: file_options(args),
        session: Config {
            start: start(args, start_ms),
            length_ms,
            playlist: args.playlist,
            subscribe: subscribe(args, &first.playpath),
            connect,
            playpath: first.playpath,
            secure_token: given(args.token.as_ref()),
            usher_token: given(args.jtv.as_ref()),
            login,
            swf_proof: swf.proof,
            buffer: buffer(args.buffer),
            pause_unpause: !args.realtime && !args.live,
            enhanced: !args.no_enhanced && args.name != ProgramName::Rtmpdump,
            handshake: handshake(args.handshake),
            encryption: encryption(args, target.scheme)?,
            pipelining: !args.no_pipelining,
            republish_wait: retry::republish_wait(args),
            timeouts: timeouts(args),
        },
        route,
        player: swf.player,
        dialer,
        backlog_bytes: usize::try_from(args.queue_size.bytes).unwrap_or(usize::MAX),
        retry: retry::retry(args),
        gap: retry::gap(args, &output)?,
        keep_timestamps: args.keep_timestamps,
        alternatives,
        stop_ms: length_ms.map(u64::from),
        limits,
        parts,
        resume,
        output,
        pipe,
    };
    describe(target.scheme, &job);
    Ok(job)
}

fn connect(args: &Args, place: &download::Candidate) -> Result<Connect> {
    Ok(Connect {
        app: place.app.clone(),
        tc_url: place.tc_url.clone(),
        flash_ver: args.flash_ver.clone().unwrap_or_else(flash_ver),
        swf_url: given(args.swf_url.as_ref()).or_else(|| swf::address(args)),
        page_url: given(args.page_url.as_ref()),
        arguments: auth::arguments(args)?,
    })
}

/// What `args` have that nobody who looks at the output has to know.
pub fn secrets(args: &Args) -> impl Iterator<Item = String> {
    [&args.auth, &args.token, &args.jtv, &args.password]
        .into_iter()
        .flatten()
        .cloned()
}

/// Live streams are subscribed to even where no name is given: CDNs want it, others do not mind.
fn subscribe(args: &Args, playpath: &str) -> Option<String> {
    let name = args.subscribe.as_deref();
    name.or_else(|| args.live.then_some(playpath))
        .map(str::to_owned)
}

/// A live stream that has been recorded cannot be had again. rtmpdump's callers know that it replaces.
fn ensure_spared(args: &Args, output: &Destination) -> Result<()> {
    let is_meant =
        !args.live || args.overwrite || args.append || args.name == ProgramName::Rtmpdump;
    if let Destination::Path(file) = output
        && !is_meant
        && has_content(file)
    {
        bail!("{file:?} is not empty: --overwrite replaces it, --append goes on with it");
    }
    Ok(())
}

fn file_options(args: &Args) -> FileOptions {
    let default = FileOptions::default();
    FileOptions {
        layout: if args.no_index {
            Layout::Plain
        } else {
            default.layout
        },
        sync_interval: match args.sync {
            None => default.sync_interval,
            Some(Interval(often)) => often.map(|Span { ms }| Duration::from_millis(ms)),
        },
    }
}

fn resume(args: &Args, output: &Destination) -> Result<Option<Resume>> {
    let option = if args.append { "--append" } else { "--resume" };
    let why_not = match output {
        _ if !args.resume && !args.append => return Ok(None),
        Destination::Stdout => "there is nothing to go on with on standard output",
        Destination::Template(_) => "a name with a counter or the time in it is always a new file",
        Destination::Path(_) if args.live && !args.append => "a live stream cannot be resumed",
        Destination::Path(file) if is_special(file) => "only a file can be resumed",
        Destination::Path(_) => {
            let skip_keyframes = args.skip.unwrap_or_default();
            return Ok(Some(Resume { skip_keyframes }));
        }
    };
    tracing::warn!("{why_not}, ignoring {option}");
    Ok(None)
}

/// What an option asks for in vain is told: nobody finds out otherwise.
fn warn_about_ignored_options(args: &Args, output: &Destination) {
    if args.skip.is_some_and(|count| count > 0) && !args.resume && !args.append {
        tracing::warn!("nothing is resumed, ignoring --skip");
    }
    if args.sync.is_some() && !segments::is_file(output) {
        tracing::warn!("only a file is brought to the disk, ignoring --sync");
    }
}

fn start_ms(args: &Args, resume: Option<Resume>) -> u32 {
    let why_not = match args.start {
        None => return 0,
        Some(_) if args.live => "a live stream has no other start than now",
        Some(_) if resume.is_some() => "a resumed recording goes on where it ended",
        Some(start) => return start.ms,
    };
    tracing::warn!("{why_not}, ignoring --start");
    0
}

/// Under rtmpdump's name a stream that nobody calls live is a recorded one.
fn start(args: &Args, start_ms: u32) -> Start {
    match args.name {
        _ if args.live => Start::Live,
        ProgramName::Rtmpull if start_ms == 0 => Start::LiveElseRecorded,
        _ => Start::At { ms: start_ms },
    }
}

fn buffer(ms: Option<u32>) -> BufferLength {
    ms.map_or(BufferLength::Growing, |ms| BufferLength::Fixed { ms })
}

fn handshake(choice: Handshake) -> Mode {
    match choice {
        Handshake::Auto => Mode::Auto,
        Handshake::Plain => Mode::Plain,
        Handshake::Digest => Mode::Digest,
    }
}

/// Both schemes that are encrypted by Adobe's means are, or the user says that it may be otherwise.
fn encryption(args: &Args, scheme: Scheme) -> Result<Encryption> {
    if !matches!(scheme, Scheme::Rtmpe | Scheme::Rtmpte) {
        return Ok(Encryption::None);
    }
    ensure!(
        args.handshake != Handshake::Plain,
        "--handshake plain has no keys, which {scheme} needs"
    );
    Ok(if args.allow_plain {
        Encryption::AllowPlain
    } else {
        Encryption::Required
    })
}

/// A stream that is waited for is asked for again before its silence is given up.
fn timeouts(args: &Args) -> Timeouts {
    let timeouts = match args.timeout {
        Some(seconds) => Timeouts::all(bound(seconds)),
        None => Timeouts::default(),
    };
    Timeouts {
        first_media: match args.wait {
            Some(_) => Some(ASK_EVERY),
            None => timeouts.first_media,
        },
        ..timeouts
    }
}

/// Where the recording goes, and the pipe beside it.
fn outputs(args: &Args, environment: &Environment) -> Result<(Destination, Option<Destination>)> {
    let Some(tee) = args.tee.as_deref() else {
        return Ok((destination(args, environment)?, None));
    };
    ensure!(
        !is_stdout(args.flv.as_deref()) || !environment.stdout_is_terminal,
        "--tee needs a pipe to be beside, and standard output is a terminal: -o alone writes a file"
    );
    let output = destination(args, environment)?;
    let is_pipe = match &output {
        Destination::Stdout => true,
        Destination::Path(path) => is_special(path),
        Destination::Template(_) => false,
    };
    ensure!(
        is_pipe,
        "--tee needs a pipe to be beside: -o - or a FIFO; -o alone writes a file"
    );
    ensure!(!is_stdout(Some(tee)), "--tee needs the name of a file");
    let file = segments::destination(args, tee);
    segments::ensure_file("--tee", &file)?;
    Ok((file, Some(output)))
}

fn destination(args: &Args, environment: &Environment) -> Result<Destination> {
    let file = args.flv.as_deref();
    if let Some(file) = file.filter(|_| !is_stdout(file)) {
        ensure!(
            !file.as_os_str().is_empty(),
            "--flv needs the name of a file"
        );
        return Ok(segments::destination(args, file));
    }
    ensure!(
        !environment.stdout_is_terminal,
        "video is not written to a terminal: name a file with -o, or redirect the output"
    );
    if file.is_none() {
        tracing::warn!("no output file given (-o FILE), using standard output");
    }
    Ok(Destination::Stdout)
}

/// Tells under `-V` what was made of the command line, in rtmpdump's layout.
fn describe(scheme: Scheme, job: &Job) {
    let Job { route, session, .. } = job;
    let endpoint = &route.endpoint;
    let connect = &session.connect;
    let yes_or_no = |yes| if yes { "yes" } else { "no" };
    tracing::debug!("Protocol : {}", scheme.name().to_ascii_uppercase());
    tracing::debug!("Hostname : {}", endpoint.host);
    tracing::debug!("Port     : {}", endpoint.port);
    tracing::debug!("Playpath : {}", session.playpath);
    tracing::debug!("tcUrl    : {}", connect.tc_url);
    for (name, url) in [("swfUrl", &connect.swf_url), ("pageUrl", &connect.page_url)] {
        if let Some(url) = url {
            tracing::debug!("{name:<8} : {url}");
        }
    }
    tracing::debug!("app      : {}", connect.app);
    if let Some(name) = &session.subscribe {
        tracing::debug!("subscribepath : {name}");
    }
    tracing::debug!("flashVer : {}", connect.flash_ver);
    if let Start::At { ms: ms @ 1.. } = session.start {
        tracing::debug!("StartTime     : {ms} msec");
    }
    if let Some(ms) = session.length_ms {
        tracing::debug!("Length        : {ms} msec");
    }
    tracing::debug!("live     : {}", yes_or_no(session.start == Start::Live));
    let seconds = session.timeouts.silence.map_or(0, |bound| bound.as_secs());
    tracing::debug!("timeout  : {seconds} sec");
}

/// The Flash Player that rtmpdump passes for on this system.
fn flash_ver() -> String {
    let system = match env::consts::OS {
        "windows" => "WIN",
        "macos" => "MAC",
        "solaris" | "illumos" => "SOL",
        "hurd" => "GNU",
        _ => "LNX",
    };
    format!("{system} 10,0,32,18")
}
