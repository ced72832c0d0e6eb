//! Hash and size of the SWF player, for servers that verify it (`-W`).

mod cache;
#[cfg(fuzzing)]
pub use self::cache::fuzzing;

use std::{
    fs::File,
    io::{self, Read},
    path::PathBuf,
    time::Duration,
};

use jiff::Timestamp;
use thiserror::Error;
use tokio::task::spawn_blocking;
use url::Url;

pub use self::cache::Cache;
use self::cache::Entry;
use crate::{
    core::swf::{self, Fingerprint},
    transport::{
        Dialer,
        http::{Fetcher, HttpError},
    },
};

/// Player whose hash is sent to the server.
#[derive(Debug, Clone)]
pub struct Player {
    /// Location of the player.
    pub source: Source,
    /// Cache for players on web servers; `None` disables it.
    pub cache: Option<Cache>,
    /// Limit for each part of the web server's response; `None` means no limit.
    pub timeout: Option<Duration>,
    /// Limit for the complete fetch; `None` means no limit.
    pub total_timeout: Option<Duration>,
}

/// Location of a player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// File on this machine.
    File(PathBuf),
    /// URL on a web server.
    Web(Url),
}

/// Error of reading or fetching the player. The first field is its location.
#[derive(Debug, Error)]
pub(super) enum PlayerError {
    #[error("cannot read the player {0}: {1}")]
    Read(String, io::Error),
    #[error("cannot fetch the player {0}: {1}")]
    Fetch(String, HttpError),
    #[error(
        "cannot fetch the player {0}: the server answers 304 Not Modified to an unconditional request"
    )]
    UnexpectedNotModified(String),
    #[error("cannot hash the player {0}: it is a web page, not an SWF file")]
    WebPage(String),
    #[error("cannot hash the player {0}: {1}")]
    Swf(String, swf::Error),
}

impl Player {
    /// Returns hash and size of the player, from its file, its URL or the cache.
    pub(super) async fn fingerprint(&self, dialer: &Dialer) -> Result<Fingerprint, PlayerError> {
        match &self.source {
            Source::File(file) => {
                let file = file.clone();
                run_blocking(move || {
                    let location = file.display().to_string();
                    match read(&file) {
                        Ok(bytes) => hash(&bytes, location),
                        Err(error) => Err(PlayerError::Read(location, error)),
                    }
                })
                .await
            }
            Source::Web(url) => self.web_fingerprint(url, dialer).await,
        }
    }

    async fn web_fingerprint(
        &self,
        url: &Url,
        dialer: &Dialer,
    ) -> Result<Fingerprint, PlayerError> {
        let key = cache_key(url);
        let (cache, cached) = self.look_up(&key).await;
        if let (Some(cache), Some(entry)) = (&cache, &cached)
            && cache.is_fresh(entry, Timestamp::now())
        {
            tracing::debug!(
                "using the cached player {key}, last modified {}",
                entry.modified
            );
            return Ok(entry.fingerprint);
        }
        let (fingerprint, modified) = self.fetch(url, cached, dialer).await?;
        if let Some(cache) = cache {
            let entry = Entry {
                checked: Timestamp::now(),
                modified,
                fingerprint,
            };
            store(cache, key, entry).await;
        }
        Ok(fingerprint)
    }

    /// Fetches the player unless the cached one is current. Returns the Last-Modified value too.
    async fn fetch(
        &self,
        url: &Url,
        cached: Option<Entry>,
        dialer: &Dialer,
    ) -> Result<(Fingerprint, String), PlayerError> {
        tracing::info!("fetching the player {url}");
        let fetcher = Fetcher {
            dialer,
            timeout: self.timeout,
            total_timeout: self.total_timeout,
            max_bytes: swf::MAX_BYTES,
        };
        let cached = cached.filter(|entry| entry.last_modified().is_some());
        let date = cached.as_ref().and_then(Entry::last_modified);
        let location = url.to_string();
        match (fetcher.fetch(url, date).await, cached) {
            (Ok(Some(file)), _) => {
                let fingerprint = run_blocking(move || hash(&file.bytes, location)).await?;
                Ok((fingerprint, file.last_modified.unwrap_or_default()))
            }
            (Ok(None), Some(entry)) => Ok((entry.fingerprint, entry.modified)),
            (Ok(None), None) => Err(PlayerError::UnexpectedNotModified(location)),
            (Err(error), _) => Err(PlayerError::Fetch(location, error)),
        }
    }

    /// Returns the cache unless it is unusable, and its entry for `key`.
    async fn look_up(&self, key: &str) -> (Option<Cache>, Option<Entry>) {
        let Some(cache) = self.cache.clone() else {
            return (None, None);
        };
        let key = key.to_owned();
        run_blocking(move || match cache.look_up(&key) {
            Ok(entry) => (Some(cache), entry),
            Err(error) => {
                tracing::warn!("{error}; continuing without the player cache");
                (None, None)
            }
        })
        .await
    }
}

async fn store(cache: Cache, key: String, entry: Entry) {
    run_blocking(move || {
        if let Err(error) = cache.store(&key, &entry) {
            tracing::warn!("{error}; the player is not cached");
        }
    })
    .await;
}

/// Runs `work` in a thread and resumes its panic, if any.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Reads a file, and at most one byte more than the limit, which then fails as too large.
fn read(file: &PathBuf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = (swf::MAX_BYTES as u64).saturating_add(1);
    File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hash(bytes: &[u8], location: String) -> Result<Fingerprint, PlayerError> {
    Fingerprint::of(bytes).map_err(|error| match error {
        swf::Error::Signature if bytes.trim_ascii_start().starts_with(b"<") => {
            PlayerError::WebPage(location)
        }
        error => PlayerError::Swf(location, error),
    })
}

/// Returns the key in the cache: the URL without query and credentials, which may be secret.
fn cache_key(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // These fail only for a URL without a host, and a web URL has one.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}
