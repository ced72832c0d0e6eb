//! Where the stream is: the server, and app and playpath on it.

use anyhow::{Context, Result, bail};

use crate::{
    cli::args::{
        Args,
        values::{self, given},
    },
    core::rtmp::target::Target,
    download,
};

/// The server, the place that is meant, and the others that may be.
#[derive(Debug)]
pub(super) struct Candidates {
    pub(super) target: Target,
    pub(super) first: download::Candidate,
    pub(super) alternatives: Vec<download::Candidate>,
}

impl Candidates {
    pub(super) fn of(args: &Args) -> Result<Self> {
        let target = target(args)?;
        let app = args.app.as_deref().unwrap_or(&target.split.app);
        let place = |app: &str, playpath: String| download::Candidate {
            app: app.to_owned(),
            playpath,
            tc_url: tc_url(args, &target, app),
        };
        let first = place(app, playpath(args, &target)?);
        // Who names one of the two means it.
        let has_choice = args.app.is_none() && args.playpath.is_none();
        let others = target.other_splits.iter().filter(|_| has_choice);
        let alternatives = others
            .filter_map(|split| Some(place(&split.app, split.playpath.clone()?)))
            .collect();
        Ok(Self {
            first,
            alternatives,
            target,
        })
    }
}

/// The URL, and what options say otherwise.
fn target(args: &Args) -> Result<Target> {
    let scheme = args.protocol.map(|protocol| protocol.0);
    let host = given(args.host.as_ref());
    let host = host.map(|name| {
        values::host(&name).with_context(|| format!("invalid value {name:?} for --host"))
    });
    let (url, host) = (url(args), host.transpose()?);
    let mut target = match (url, &host) {
        (Some(url), _) => Target::parse(url).with_context(|| format!("{url:?}"))?,
        (None, Some(_)) => {
            if scheme.is_none() {
                tracing::warn!("neither a URL nor --protocol is given, taking rtmp");
            }
            Target::parse(NO_URL).context("no URL")?
        }
        (None, None) => bail!("no URL given (try --help)"),
    };
    if let Some(scheme) = scheme {
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

fn url(args: &Args) -> Option<&str> {
    let urls = [&args.rtmp, &args.url, &args.stream];
    urls.into_iter().find_map(|url| url.as_deref())
}

/// As the option says, or made of the URL the way of the option that gave the URL.
fn tc_url(args: &Args, target: &Target, app: &str) -> String {
    if let Some(tc_url) = given(args.tc_url.as_ref()) {
        return tc_url;
    }
    let is_librtmps = args.url.is_some() && args.rtmp.is_none();
    let is_overridden = args.app.is_some() || args.host.is_some() || args.protocol.is_some();
    if is_librtmps && !is_overridden {
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
    let playpath = after_app.or_else(|| target.split.playpath.clone());
    let Some(url) = url(args) else {
        bail!("--host names no stream: --playpath has to");
    };
    playpath.with_context(|| {
        format!(
            "{url:?} names no stream: it has to look like rtmp://host/app/stream, \
             or --playpath names it"
        )
    })
}

/// The host of it is always replaced.
const NO_URL: &str = "rtmp://host";
