//! From what was typed to what is done: checked, defaults chosen, nothing left to decide.

#[cfg(test)]
mod tests;

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};

use super::{
    args::{Args, Handshake},
    librtmp::Values,
};
use crate::{
    amf::Value,
    download::{Job, output::Destination},
    rtmp::{
        client::config::{BufferLength, Config, Connect, Start, Timeouts},
        handshake::Mode,
        target::{Scheme, Target},
    },
    transport::Endpoint,
};

/// What surrounds the process, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Surroundings {
    /// Whether standard output shows on a terminal.
    pub stdout_is_terminal: bool,
}

/// The download that `args` ask for, or why there can be none.
pub fn resolve(args: &Args, surroundings: Surroundings) -> Result<Job> {
    let target = Target::parse(args.url()).with_context(|| format!("{:?}", args.url()))?;
    ensure!(
        target.scheme == Scheme::Rtmp,
        "{}:// is not supported by this version, only rtmp:// is",
        target.scheme
    );
    if target.user_info.is_some() {
        tracing::warn!("the user name in the URL is not sent: this version has no login");
    }
    let app = args.app.as_deref().unwrap_or(&target.split.app).to_owned();
    let playpath = playpath(args, &target)?;
    let job = Job {
        output: destination(args.flv.as_deref(), surroundings)?,
        session: Config {
            start: start(args.live),
            subscribe: subscribe(args, &playpath),
            connect: connect(args, &target, app)?,
            playpath,
            buffer: buffer(args.buffer),
            buffer_trick: false,
            enhanced: true,
            length_ms: None,
            playlist: false,
            secure_token: None,
            usher_token: None,
            login: None,
            handshake: handshake(args.handshake),
            pipelining: !args.no_pipelining,
            timeouts: args
                .timeout
                .map_or_else(Timeouts::default, |seconds| Timeouts::all(bound(seconds))),
        },
        endpoint: Endpoint {
            host: target.host,
            port: target.port,
        },
        connect_timeout: args.timeout.map_or(Some(CONNECT_TIMEOUT), bound),
        keep_timestamps: args.keep_timestamps,
    };
    describe(target.scheme, &job);
    Ok(job)
}

fn playpath(args: &Args, target: &Target) -> Result<String> {
    if let Some(playpath) = &args.playpath {
        return Ok(playpath.clone());
    }
    let after_app = args
        .app
        .as_deref()
        .and_then(|app| target.playpath_after(app));
    match after_app.or_else(|| target.split.playpath.clone()) {
        Some(playpath) => Ok(playpath),
        None => bail!(
            "{:?} names no stream: it has to look like rtmp://host/app/stream, or --playpath names it",
            args.url()
        ),
    }
}

fn connect(args: &Args, target: &Target, app: String) -> Result<Connect> {
    let tc_url = given(args.tc_url.as_ref()).unwrap_or_else(|| target.tc_url(&app));
    Ok(Connect {
        app,
        tc_url,
        flash_ver: args.flash_ver.clone().unwrap_or_else(flash_ver),
        swf_url: given(args.swf_url.as_ref()),
        page_url: given(args.page_url.as_ref()),
        arguments: arguments(&args.conn)?,
    })
}

/// Front ends pass an empty text for what they do not know.
fn given(text: Option<&String>) -> Option<String> {
    text.filter(|text| !text.is_empty()).cloned()
}

fn arguments(items: &[String]) -> Result<Vec<Value>> {
    let mut values = Values::default();
    for item in items {
        values
            .push(item)
            .with_context(|| format!("invalid AMF parameter {item:?}"))?;
    }
    Ok(values.finish())
}

/// Live streams are subscribed to even where no name is given: CDNs want it, others do not mind.
fn subscribe(args: &Args, playpath: &str) -> Option<String> {
    let name = args.subscribe.as_deref();
    name.or_else(|| args.live.then_some(playpath))
        .map(str::to_owned)
}

fn start(is_live: bool) -> Start {
    if is_live {
        Start::Live
    } else {
        Start::LiveElseRecorded
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

fn bound(seconds: u32) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds.into()))
}

fn destination(file: Option<&Path>, surroundings: Surroundings) -> Result<Destination> {
    if let Some(file) = file.filter(|file| *file != STDOUT) {
        ensure!(
            !file.as_os_str().is_empty(),
            "--flv needs the name of a file"
        );
        return Ok(Destination::Path(PathBuf::from(file)));
    }
    ensure!(
        !surroundings.stdout_is_terminal,
        "video is not written to a terminal: name a file with -o, or redirect the output"
    );
    if file.is_none() {
        tracing::warn!("no output file given (-o FILE), using standard output");
    }
    Ok(Destination::Stdout)
}

/// Tells under `-V` what was made of the command line, in rtmpdump's layout.
fn describe(scheme: Scheme, job: &Job) {
    let Job {
        endpoint, session, ..
    } = job;
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
    tracing::debug!("live     : {}", yes_or_no(session.start == Start::Live));
    let seconds = session.timeouts.silence.map_or(0, |bound| bound.as_secs());
    tracing::debug!("timeout  : {seconds} sec");
}

/// The Flash Player that rtmpdump passes for on this system.
fn flash_ver() -> String {
    let system = match std::env::consts::OS {
        "windows" => "WIN",
        "macos" => "MAC",
        "solaris" | "illumos" => "SOL",
        "hurd" => "GNU",
        _ => "LNX",
    };
    format!("{system} 10,0,32,18")
}

/// The name of a file that means standard output.
const STDOUT: &str = "-";

/// How long name and TCP connection may take together.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
