//! The player that we pass for: where its file comes from, and what is remembered of it.

mod cache;

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

/// A player that is to be proved.
#[derive(Debug, Clone)]
pub struct Player {
    /// Where its file is.
    pub source: Source,
    /// What is remembered of players on the web; `None` where nothing is.
    pub cache: Option<Cache>,
    /// How long each part of an answer is waited for; `None` waits for ever.
    pub patience: Option<Duration>,
}

/// Where a player's file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// On this machine.
    File(PathBuf),
    /// On a web server.
    Web(Url),
}

/// Why nothing is known of a player, which is at a place.
#[derive(Debug, Error)]
pub(super) enum PlayerError {
    #[error("cannot read the player {0}: {1}")]
    Read(String, io::Error),
    #[error("cannot fetch the player {0}: {1}")]
    Fetch(String, HttpError),
    #[error(
        "cannot fetch the player {0}: the server says that it is unchanged, which nobody asked"
    )]
    UnexpectedNotModified(String),
    #[error("cannot prove the player {0}: it is a web page and no SWF file")]
    WebPage(String),
    #[error("cannot prove the player {0}: {1}")]
    Swf(String, swf::Error),
}

impl Player {
    /// Reads or fetches the player, or remembers it.
    pub(super) async fn fingerprint(&self, dialer: &Dialer) -> Result<Fingerprint, PlayerError> {
        match &self.source {
            Source::File(file) => {
                let file = file.clone();
                run_blocking(move || {
                    let place = file.display().to_string();
                    match read(&file) {
                        Ok(bytes) => hash(&bytes, place),
                        Err(error) => Err(PlayerError::Read(place, error)),
                    }
                })
                .await
            }
            Source::Web(url) => self.of_web(url, dialer).await,
        }
    }

    async fn of_web(&self, url: &Url, dialer: &Dialer) -> Result<Fingerprint, PlayerError> {
        let key = key(url);
        let (cache, known) = self.remembered(&key).await;
        if let (Some(cache), Some(entry)) = (&cache, &known)
            && cache.is_fresh(entry, Timestamp::now())
        {
            tracing::debug!("the player {key} is the one of {}", entry.modified);
            return Ok(entry.fingerprint);
        }
        let (fingerprint, modified) = self.fetched(url, known, dialer).await?;
        if let Some(cache) = cache {
            let entry = Entry {
                checked: Timestamp::now(),
                modified,
                fingerprint,
            };
            remember(cache, key, entry).await;
        }
        Ok(fingerprint)
    }

    /// The player as the server has it now, and since when, in the server's words.
    async fn fetched(
        &self,
        url: &Url,
        known: Option<Entry>,
        dialer: &Dialer,
    ) -> Result<(Fingerprint, String), PlayerError> {
        tracing::info!("fetching the player {url}");
        let fetcher = Fetcher {
            dialer,
            patience: self.patience,
            max_bytes: swf::MAX_BYTES,
        };
        let known = known.filter(|entry| entry.last_modified().is_some());
        let date = known.as_ref().and_then(Entry::last_modified);
        let place = url.to_string();
        match (fetcher.fetch(url, date).await, known) {
            (Ok(Some(file)), _) => {
                let fingerprint = run_blocking(move || hash(&file.bytes, place)).await?;
                Ok((fingerprint, file.last_modified.unwrap_or_default()))
            }
            (Ok(None), Some(entry)) => Ok((entry.fingerprint, entry.modified)),
            (Ok(None), None) => Err(PlayerError::UnexpectedNotModified(place)),
            (Err(error), _) => Err(PlayerError::Fetch(place, error)),
        }
    }

    /// What is known of the player `key`, and the cache if there is one that works.
    async fn remembered(&self, key: &str) -> (Option<Cache>, Option<Entry>) {
        let Some(cache) = self.cache.clone() else {
            return (None, None);
        };
        let key = key.to_owned();
        run_blocking(move || match cache.look_up(&key) {
            Ok(entry) => (Some(cache), entry),
            Err(error) => {
                tracing::warn!("{error}, going on without what was remembered of players");
                (None, None)
            }
        })
        .await
    }
}

async fn remember(cache: Cache, key: String, entry: Entry) {
    run_blocking(move || {
        if let Err(error) = cache.store(&key, &entry) {
            tracing::warn!("{error}, the player will not be remembered");
        }
    })
    .await;
}

/// Does what takes long where it keeps nothing else from going on.
async fn run_blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// One byte more than can be of use tells that there is more.
fn read(file: &PathBuf) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let limit = swf::MAX_BYTES as u64 + 1;
    File::open(file)?.take(limit).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn hash(bytes: &[u8], place: String) -> Result<Fingerprint, PlayerError> {
    Fingerprint::of(bytes).map_err(|error| match error {
        swf::Error::Signature if bytes.trim_ascii_start().starts_with(b"<") => {
            PlayerError::WebPage(place)
        }
        error => PlayerError::Swf(place, error),
    })
}

/// What a player is remembered by: neither queries nor passwords belong into a file.
fn key(url: &Url) -> String {
    let mut url = url.clone();
    url.set_query(None);
    url.set_fragment(None);
    // It has a host, so it can have these.
    let _ = url.set_username("");
    let _ = url.set_password(None);
    url.into()
}
