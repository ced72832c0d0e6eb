//! What proves that we are the player.

use std::{path::PathBuf, time::Duration};

use anyhow::{Context, Result, bail};
use url::Url;

use super::environment::Environment;
use crate::{
    cli::args::{Args, values::bound},
    core::rtmp::client::config::SwfProof,
    download::swf_player::{Cache, Player, Source},
    transport::http::is_web,
};

/// What is known of the player, or where that is found out.
#[derive(Debug, Default)]
pub(super) struct Swf {
    pub(super) proof: Option<SwfProof>,
    pub(super) player: Option<Player>,
}

pub(super) fn resolve(args: &Args, environment: &Environment) -> Result<Swf> {
    let proof = proof(args)?;
    let Some(place) = place(args)? else {
        return Ok(Swf {
            proof,
            player: None,
        });
    };
    if proof.is_some() {
        tracing::warn!("the player is looked at, ignoring --swfhash and --swfsize");
    }
    let source = source(place)?;
    let player = Player {
        cache: cache(args, environment).filter(|_| matches!(source, Source::Web(_))),
        source,
        timeout: args.timeout.map_or(Some(ANSWER_TIMEOUT), bound),
    };
    Ok(Swf {
        proof: None,
        player: Some(player),
    })
}

/// The address of the player that is proved, for a server that is told no other. It need not know who
/// logs in there.
pub(super) fn address(args: &Args) -> Option<String> {
    let place = place(args).ok().flatten()?;
    let mut url = Url::parse(place).ok().filter(is_web)?;
    if url.username().is_empty() && url.password().is_none() {
        return Some(place.to_owned());
    }
    let _ = url.set_username("");
    let _ = url.set_password(None);
    Some(url.into())
}

fn proof(args: &Args) -> Result<Option<SwfProof>> {
    match (&args.swf_hash, args.swf_size) {
        (Some(hash), Some(size)) => Ok(Some(SwfProof { hash: hash.0, size })),
        (Some(_), None) => bail!("--swfhash needs --swfsize"),
        (None, Some(size)) => bail!("--swfsize {size} needs --swfhash"),
        (None, None) => Ok(None),
    }
}

/// Librtmp's swfVfy says yes or no: the player is at its swfUrl.
fn place(args: &Args) -> Result<Option<&str>> {
    match args.swf_vfy.as_deref() {
        Some("") => {
            let address = args.swf_url.as_deref().filter(|url| !url.is_empty());
            Ok(Some(address.context("swfVfy needs swfUrl")?))
        }
        place => Ok(place),
    }
}

/// What looks like a URL is one; everything else is the name of a file.
fn source(place: &str) -> Result<Source> {
    if !place.contains("://") {
        return Ok(Source::File(PathBuf::from(place)));
    }
    let url = Url::parse(place).ok();
    let source = url.and_then(|url| match url.scheme() {
        "file" => url.to_file_path().ok().map(Source::File),
        _ => is_web(&url).then_some(Source::Web(url)),
    });
    source.with_context(|| {
        format!("invalid value {place:?} for --swfVfy: neither an address on the web nor a file")
    })
}

/// rtmpdump's own, unless there is none and the user has a folder for such things.
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
    let days = args.swf_age.unwrap_or(AGE_DAYS);
    Some(Cache {
        file,
        max_age: Duration::from_secs(86_400 * u64::from(days)),
    })
}

/// rtmpdump's.
const AGE_DAYS: u32 = 30;

/// How long each part of a web server's answer may take.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
