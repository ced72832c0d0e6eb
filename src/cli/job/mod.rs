//! Resolves arguments into a validated [`Job`] with all defaults applied.

mod auth;
pub(super) mod capture;
mod conversion;
mod environment;
mod fallback;
mod format;
mod hooks;
mod network;
pub mod paths;
mod probe;
mod retry;
pub(super) mod segments;
mod stream_name;
mod swf;
mod target;

#[cfg(test)]
mod tests;

use std::{env, sync::Arc};

use anyhow::{Result, bail, ensure};
use jiff::Zoned;

pub(super) use self::probe::for_probe;
pub use self::{conversion::resolve_conversion, environment::Environment, hooks::ProgramSearch};
use self::{
    format::Formats,
    paths::{Kind, Output, Outputs},
    stream_name::StreamName,
    target::Candidates,
};
use super::{
    args::{Args, values::non_empty},
    program_name::ProgramName,
    rtmpdump::conn,
    terminal::sanitize::secrets_in,
};
use crate::{
    core::{
        flv::{Layout, TrackSet},
        rtmp::{
            client::config::{BufferLength, Config, Connect, Encryption, Start},
            handshake::Mode,
            secret::Secret,
            target::Scheme,
        },
    },
    download::{self, Job, Resume},
    output::{Destination, FileOptions, Format},
};

/// Returns the download that `args` ask for. Options inside a librtmp URL must have been applied to
/// `args` before.
///
/// # Errors
///
/// Fails if the arguments contradict each other or do not fit the output. The error names the option.
pub fn resolve(args: &Args, environment: &Environment) -> Result<Job> {
    let Candidates {
        target,
        first,
        candidates,
    } = Candidates::of(args)?;
    let connect = connect(args, &first)?;
    let login = auth::login(args, &target)?;
    let stream = StreamName::new(&target.host, &first);
    let outputs = Outputs::of(args, environment, &stream)?;
    let formats = Formats::of(args, &outputs)?;
    let Outputs { recording, pipe } = outputs;
    let route = download::route::to(&target);
    let dialer = network::dialer(args, environment)?;
    ensure_replaceable(args, &recording)?;
    let swf = swf::resolve(args, environment)?;
    let segments = segments::segment_options(args, environment, &recording, formats.file)?;
    let limits = segments::limits(args, &recording, formats.file, &Zoned::now())?;
    let resume = resume(args, &recording);
    warn_about_ignored_options(args, &recording);
    let start_ms = start_ms(args, resume);
    let stop_ms = args.stop_ms.filter(|stop_ms| *stop_ms > 0);
    let length_ms = stop_ms.map(|stop_ms| stop_ms.saturating_sub(start_ms.unwrap_or(0)));
    let job = Job {
        tracks: selected_tracks(args),
        file: file_options(args, formats.file),
        pipe_options: formats.pipe_options(args),
        session: Arc::new(Config {
            start: start(args, start_ms),
            length_ms,
            playlist: args.connect.playlist,
            subscribe: subscribe(args, &first.playpath),
            connect,
            playpath: first.playpath,
            secure_token: non_empty(args.credentials.token.as_ref()),
            usher_token: non_empty(args.credentials.jtv.as_ref()),
            login,
            swf_proof: swf.proof,
            buffer: args
                .connection
                .buffer
                .map_or(BufferLength::Growing, |ms| BufferLength::Fixed { ms }),
            pause_unpause: !args.connection.realtime && !args.live,
            enhanced: !args.connect.no_enhanced && args.name != ProgramName::Rtmpdump,
            handshake: args.connection.handshake,
            encryption: encryption(args, target.scheme)?,
            pipelining: !args.connection.no_pipelining,
            republish_wait: retry::republish_wait(args),
            timeouts: network::timeouts(args),
        }),
        route,
        player: swf.player,
        dialer,
        capture: None,
        admission: None,
        backlog_bytes: usize::try_from(args.queue_size).unwrap_or(usize::MAX),
        retry: retry::retry_policy(args),
        history_frames: download::history_frames(1),
        fallbacks: fallback::fallbacks(args)?,
        gap: retry::gap_policy(args, &recording)?,
        keep_timestamps: args.keep_timestamps,
        candidates,
        stop_ms: length_ms.map(u64::from),
        limits,
        segments,
        resume,
        output: recording.destination,
        pipe,
    };
    log_job(target.scheme, &job);
    Ok(job)
}

fn connect(args: &Args, candidate: &download::Candidate) -> Result<Connect> {
    Ok(Connect {
        app: candidate.app.clone(),
        tc_url: candidate.tc_url.clone(),
        flash_ver: args.connect.flash_ver.clone().unwrap_or_else(flash_ver),
        swf_url: non_empty(args.connect.swf_url.as_ref()).or_else(|| swf::public_url(args)),
        page_url: non_empty(args.connect.page_url.as_ref()),
        arguments: auth::arguments(args)?,
    })
}

/// Returns the secrets in `args`, which must not be printed, not even if the server repeats them.
pub fn secrets(args: &Args) -> Vec<Secret> {
    let credentials = [
        &args.credentials.auth,
        &args.credentials.token,
        &args.credentials.jtv,
        &args.credentials.password,
    ];
    let urls = [
        &args.stream,
        &args.rtmp,
        &args.url,
        &args.app,
        &args.playpath,
        &args.connect.tc_url,
        &args.connect.swf_url,
        &args.swf.swf_vfy,
        &args.connect.page_url,
        &args.connection.proxy,
    ];
    let urls = urls.into_iter().flatten().chain(&args.fallback.fallback);
    let of_urls = urls.flat_map(|url| secrets_in(url));
    let items = args
        .connect
        .conn
        .iter()
        .filter_map(|item| conn::secret(item));
    let credentials = credentials.into_iter().flatten().cloned();
    credentials
        .map(Secret::Text)
        .chain(of_urls)
        .chain(items)
        .collect()
}

/// Returns the name to subscribe to. By default, live streams are subscribed to under their playpath: CDNs
/// require it, and other servers ignore it.
fn subscribe(args: &Args, playpath: &str) -> Option<String> {
    let name = args.connect.subscribe.as_deref();
    name.or_else(|| Some(playpath).filter(|name| args.live && !name.is_empty()))
        .map(str::to_owned)
}

/// Protects existing recordings of live streams, which cannot be downloaded again. Callers of rtmpdump
/// expect that it replaces every file.
fn ensure_replaceable(args: &Args, output: &Output) -> Result<()> {
    let is_allowed =
        !args.live || args.overwrite || args.append || args.name == ProgramName::Rtmpdump;
    if let Destination::Path(file) = &output.destination
        && output.kind == Kind::Filled
        && !is_allowed
    {
        bail!(
            "output file {file:?} is not empty: \
             use --overwrite to replace it or --append to continue it"
        );
    }
    Ok(())
}

/// Returns the tracks to record; `None` records all.
fn selected_tracks(args: &Args) -> Option<TrackSet> {
    args.tracks.filter(|tracks| *tracks != TrackSet::ALL)
}

fn file_options(args: &Args, format: Format) -> FileOptions {
    let default = FileOptions::default();
    FileOptions {
        format,
        layout: if args.no_index {
            Layout::Plain
        } else {
            default.layout
        },
        has_playlist: args.hls.hls,
        faststart: args.conversion.faststart,
        sync_interval: match args.sync {
            None => default.sync_interval,
            Some(interval) => Some(interval).filter(|interval| !interval.is_zero()),
        },
        queue_bytes: default.queue_bytes,
    }
}

/// Returns how to continue the recording in the output. If that is impossible, logs why and returns `None`.
fn resume(args: &Args, output: &Output) -> Option<Resume> {
    let option = if args.append { "--append" } else { "--resume" };
    let why_not = match &output.destination {
        _ if !args.resume && !args.append => return None,
        Destination::Stdout => "standard output has no recording to continue",
        Destination::Discard => "nothing is written, so there is no recording to continue",
        Destination::Template(_) => "a file name with a counter or a time is always a new file",
        Destination::Path(_) if args.live && !args.append => "a live stream cannot be resumed",
        Destination::Path(_) if !output.is_file() => "only a file can be resumed",
        Destination::Path(_) => {
            let skip_keyframes = args.skip.unwrap_or_default();
            return Some(Resume { skip_keyframes });
        }
    };
    tracing::warn!("{why_not}, ignoring {option}");
    None
}

fn warn_about_ignored_options(args: &Args, output: &Output) {
    if args.skip.is_some_and(|count| count > 0) && !args.resume && !args.append {
        tracing::warn!("--skip has no effect without --resume or --append");
    }
    if args.sync.is_some() && !output.is_file() {
        tracing::warn!("only files are synced to disk, ignoring --sync");
    }
}

/// Returns the given start position, unless it does not apply.
fn start_ms(args: &Args, resume: Option<Resume>) -> Option<u32> {
    let why_not = match args.start_ms {
        None => return None,
        Some(_) if args.live => "a live stream starts now",
        Some(_) if resume.is_some() => "a resumed recording continues where the file ends",
        start_ms => return start_ms,
    };
    tracing::warn!("{why_not}, ignoring --start");
    None
}

/// Returns what to ask `play` for. rtmpdump asks for a recorded stream unless `--live` is given.
fn start(args: &Args, start_ms: Option<u32>) -> Start {
    match (args.name, start_ms) {
        _ if args.live => Start::Live,
        (ProgramName::Rtmpull, None) => Start::LiveElseRecorded,
        (_, start_ms) => Start::At {
            ms: start_ms.unwrap_or(0),
        },
    }
}

fn encryption(args: &Args, scheme: Scheme) -> Result<Encryption> {
    if !matches!(scheme, Scheme::Rtmpe | Scheme::Rtmpte) {
        return Ok(Encryption::None);
    }
    ensure!(
        args.connection.handshake != Mode::Plain,
        "--handshake plain exchanges no keys, but {scheme} needs them"
    );
    Ok(if args.connection.allow_plain {
        Encryption::AllowPlain
    } else {
        Encryption::Required
    })
}

/// Logs the resolved arguments in rtmpdump's layout, which front ends read.
fn log_job(scheme: Scheme, job: &Job) {
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
    let seconds = session.timeouts.silence.map_or(0, |limit| limit.as_secs());
    tracing::debug!("timeout  : {seconds} sec");
}

/// Returns the Flash Player version that rtmpdump claims on this system.
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
