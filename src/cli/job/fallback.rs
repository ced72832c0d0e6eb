//! Other sources of the same stream.

use anyhow::{Context, Result};

use super::target::Candidates;
use crate::{
    cli::args::Args,
    download::{self, Fallbacks, Source},
};

/// Returns the sources that take over if the first one fails.
pub(super) fn fallbacks(args: &Args) -> Result<Option<Fallbacks>> {
    let sources = args.fallback.fallback.iter().map(|url| source(args, url));
    let sources = sources.collect::<Result<Vec<_>>>()?;
    Ok((!sources.is_empty()).then_some(Fallbacks {
        sources,
        return_after: args.fallback.fallback_return,
    }))
}

/// Returns the source at `url`. Options that name the server or the stream describe the first source only.
fn source(args: &Args, url: &str) -> Result<Source> {
    let mut args = Args {
        stream: Some(url.to_owned()),
        rtmp: None,
        url: None,
        protocol: None,
        host: None,
        port: None,
        app: None,
        playpath: None,
        ..args.clone()
    };
    args.connect.tc_url = None;
    let Candidates {
        target,
        first,
        candidates,
    } = Candidates::of(&args).context("--fallback")?;
    Ok(Source {
        route: download::route::to(&target),
        stream: first,
        candidates,
    })
}
