//! Server, app and playpath.

use anyhow::{Context, Result, bail};

use crate::{
    cli::{
        args::{
            Args,
            values::{self, non_empty},
        },
        terminal::sanitize::redacted_url,
    },
    core::rtmp::target::Target,
    download,
};

/// Server, and the candidates for app and playpath on it.
#[derive(Debug)]
pub(super) struct Candidates {
    pub(super) target: Target,
    pub(super) first: download::Candidate,
    pub(super) candidates: Vec<download::Candidate>,
}

impl Candidates {
    pub(super) fn of(args: &Args) -> Result<Self> {
        let target = target(args)?;
        let candidate = |app: &str, playpath: String| download::Candidate {
            app: app.to_owned(),
            playpath,
            tc_url: tc_url(args, &target, app),
        };
        let playpath = playpath(args, &target)?;
        let url_app = &target.split.app;
        let (first, candidates) = match (&args.app, &args.playpath) {
            // An explicit app or playpath is exact: no other split is tried.
            (Some(app), _) => (candidate(app, playpath), Vec::new()),
            (None, Some(_)) => match target.app_with_slash() {
                // Few servers have an app whose name ends in a slash.
                Some(app) => {
                    let trimmed = app.replacen("/?", "?", 1);
                    let trimmed = candidate(trimmed.trim_end_matches('/'), playpath.clone());
                    (candidate(&app, playpath), vec![trimmed])
                }
                None => (candidate(url_app, playpath), Vec::new()),
            },
            (None, None) => {
                let others = target.other_splits.iter();
                let others = others
                    .filter_map(|split| Some(candidate(&split.app, split.playpath.clone()?)))
                    .collect();
                (candidate(url_app, playpath), others)
            }
        };
        Ok(Self {
            first,
            candidates,
            target,
        })
    }
}

/// Returns the target of the URL, changed by the options.
fn target(args: &Args) -> Result<Target> {
    let host = non_empty(args.host.as_ref());
    let host = host.map(|name| {
        values::host(&name).with_context(|| format!("invalid value {name:?} for --host"))
    });
    let (url, host) = (url(args), host.transpose()?);
    let mut target = match (url, &host) {
        (Some(url), _) => {
            ensure_rtmp(url)?;
            Target::parse(url).with_context(|| format!("{:?}", redacted_url(url)))?
        }
        (None, Some(_)) => {
            if args.protocol.is_none() {
                tracing::warn!("neither a URL nor --protocol is given, using rtmp");
            }
            Target::parse(PLACEHOLDER_URL).context("no URL")?
        }
        (None, None) if args.capture.replay.is_some() => {
            Target::parse(REPLAY_URL).context("no URL")?
        }
        (None, None) => bail!("no URL given (try --help)"),
    };
    if let Some(scheme) = args.protocol {
        target = target.over(scheme);
    }
    if let Some(host) = host {
        target.host = host;
    }
    if let Some(port) = args.port {
        target.has_explicit_port = port > 0;
        target.port = if port > 0 {
            port
        } else {
            target.scheme.default_port()
        };
    }
    Ok(target)
}

/// Rejects URLs of other protocols, and names programs that support them.
fn ensure_rtmp(url: &str) -> Result<()> {
    let lower = url.to_ascii_lowercase();
    let scheme = lower.split("://").next().unwrap_or_default();
    let path = lower.split(['?', '#']).next().unwrap_or_default();
    let is_playlist = path.ends_with(".m3u8");
    let (kind, tools) = match scheme {
        "http" | "https" if is_playlist => ("HLS playlist", "ffmpeg, streamlink or yt-dlp"),
        _ if is_playlist && !lower.contains("://") => ("HLS playlist", "ffmpeg"),
        "http" | "https" => ("HTTP URL", "curl for a file, or yt-dlp for a video page"),
        "rtsp" | "rtsps" => ("RTSP URL", "ffmpeg"),
        "srt" => ("SRT URL", "ffmpeg"),
        _ => return Ok(()),
    };
    let url = redacted_url(url);
    bail!("{url:?} is an {kind}, not an RTMP stream: use {tools}")
}

fn url(args: &Args) -> Option<&str> {
    let urls = [&args.rtmp, &args.url, &args.stream];
    urls.into_iter().find_map(|url| url.as_deref())
}

/// Returns the tcUrl: that of the option, or one derived from the URL. librtmp and rtmpdump derive it
/// differently, so it depends on which option gave the URL.
fn tc_url(args: &Args, target: &Target, app: &str) -> String {
    if let Some(tc_url) = non_empty(args.connect.tc_url.as_ref()) {
        return tc_url;
    }
    let is_librtmp = args.url.is_some() && args.rtmp.is_none();
    let is_overridden = args.app.is_some() || args.host.is_some() || args.protocol.is_some();
    if is_librtmp && !is_overridden {
        target.librtmp_tc_url(app)
    } else {
        target.tc_url(app)
    }
}

fn playpath(args: &Args, target: &Target) -> Result<String> {
    if let Some(playpath) = &args.playpath {
        return Ok(playpath.clone());
    }
    let app = args.app.as_deref();
    let after_app = app.and_then(|app| target.playpath_after(app));
    let playpath = after_app
        .or_else(|| target.split.playpath.clone())
        .or_else(|| target.is_single_component().then(String::new));
    let replayed = || args.capture.replay.as_ref().map(|_| REPLAY_URL);
    let url = url(args).or_else(replayed);
    let url = url.context("--host needs a stream name: add --playpath")?;
    playpath.with_context(|| {
        format!(
            "{:?} has no stream name: use rtmp://host/app/stream, or add --playpath",
            redacted_url(url)
        )
    })
}

/// URL of a replayed capture, which no server receives.
const REPLAY_URL: &str = "rtmp://capture/replay/stream";

/// URL to start from if only `--host` is given, which replaces the host.
const PLACEHOLDER_URL: &str = "rtmp://host";
