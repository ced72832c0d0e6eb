//! SWF verification: hash and size of the player, or where to get the player.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use url::Url;

use super::environment::Environment;
use crate::{
    cli::args::{Args, values::time_limit},
    core::rtmp::client::config::SwfProof,
    download::swf_player::{Cache, Player, Source},
    transport::http::is_web,
};

/// What proves the player to the server: its hash and size, or the player to compute them from.
#[derive(Debug, Default)]
pub(super) struct Swf {
    pub(super) proof: Option<SwfProof>,
    pub(super) player: Option<Player>,
}

pub(super) fn resolve(args: &Args, environment: &Environment) -> Result<Swf> {
    let proof = proof(args)?;
    let Some(location) = location(args)? else {
        return Ok(Swf {
            proof,
            player: None,
        });
    };
    if proof.is_some() {
        tracing::warn!("--swfVfy computes hash and size, ignoring --swfhash and --swfsize");
    }
    let source = source(location)?;
    let player = Player {
        cache: cache(args, environment).filter(|_| matches!(source, Source::Web(_))),
        source,
        timeout: args.timeout.map_or(Some(FETCH_TIMEOUT), time_limit),
        total_timeout: args.timeout.map_or(Some(TOTAL_FETCH_TIMEOUT), time_limit),
    };
    Ok(Swf {
        proof: None,
        player: Some(player),
    })
}

/// Returns the URL of the verified player, to be sent as swfUrl if no other is given. The RTMP server must
/// not learn the credentials of the web server, so the user info is removed.
pub(super) fn public_url(args: &Args) -> Option<String> {
    let location = location(args).ok().flatten()?;
    let mut url = Url::parse(location).ok().filter(is_web)?;
    if url.username().is_empty() && url.password().is_none() {
        return Some(location.to_owned());
    }
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(url.into())
}

fn proof(args: &Args) -> Result<Option<SwfProof>> {
    match (args.swf.swf_hash, args.swf.swf_size) {
        (Some(hash), Some(size)) => Ok(Some(SwfProof { hash, size })),
        (Some(_), None) => bail!("--swfhash needs --swfsize"),
        (None, Some(size)) => bail!("--swfsize {size} needs --swfhash"),
        (None, None) => Ok(None),
    }
}

/// Returns the value of `--swfVfy`. It is empty if librtmp's swfVfy=1 was given: then the player is at
/// swfUrl.
fn location(args: &Args) -> Result<Option<&str>> {
    match args.swf.swf_vfy.as_deref() {
        Some("") => {
            let url = args
                .connect
                .swf_url
                .as_deref()
                .filter(|url| !url.is_empty());
            Ok(Some(url.context("swfVfy needs swfUrl")?))
        }
        location => Ok(location),
    }
}

/// Returns the source of the player: a URL if the text has a scheme, otherwise a file.
fn source(location: &str) -> Result<Source> {
    if !location.contains("://") {
        return Ok(Source::File(PathBuf::from(location)));
    }
    let url = Url::parse(location).ok();
    let source = url.and_then(|url| match url.scheme() {
        "file" => url.to_file_path().ok().map(Source::File),
        _ => is_web(&url).then_some(Source::Web(url)),
    });
    source.with_context(|| {
        format!("invalid value {location:?} for --swfVfy: not an http or https URL, nor a file")
    })
}

/// Returns where to cache hash and size: in rtmpdump's file if it exists, otherwise in the cache folder of
/// the user if there is one.
fn cache(args: &Args, environment: &Environment) -> Option<Cache> {
    let old = environment.home.as_ref().map(|home| home.join(".swfinfo"));
    let new = environment.cache_home.as_ref();
    let new = new
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join("rtmpull").join("swfinfo"));
    let file = match (old, new) {
        (Some(old), Some(new)) if !old.exists() => new,
        (old, new) => old.or(new)?,
    };
    let days = args.swf.swf_age.unwrap_or(AGE_DAYS);
    Some(Cache {
        file,
        max_age: Duration::from_secs(86_400 * u64::from(days)),
    })
}

/// Same default as rtmpdump's.
const AGE_DAYS: u32 = 30;

/// Timeout of each step of fetching the player.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// Default limit of the complete fetch. It ends a server that trickles bytes.
const TOTAL_FETCH_TIMEOUT: Duration = Duration::from_secs(600);
