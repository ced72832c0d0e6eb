//! Cache of player hashes in rtmpdump's `.swfinfo` format, shared with rtmpdump. A player has five lines:
//!
//! ```text
//! url: http://host/player.swf                     without the query
//! ctim: Sun, 22 Nov 2026 10:33:37 GMT             time of the last check
//! date: Sun, 01 Nov 2026 08:00:00 GMT             Last-Modified of the server; may be empty
//! size: 00000bc0                                  of the unpacked file
//! hash: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! ```
//!
//! Storing an entry changes only the lines of that player. A file in another format is not written.

#[cfg(fuzzing)]
pub mod fuzzing;
#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fs::{self, File, Permissions, TryLockError},
    io::{self, ErrorKind, Read, Write},
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use jiff::{
    Timestamp,
    fmt::rfc2822::{DateTimeParser, DateTimePrinter},
};
use thiserror::Error;

use crate::core::swf::Fingerprint;

/// Cache file and its settings.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cache {
    /// Path of the file, which need not exist.
    pub file: PathBuf,
    /// How long an entry is used without a check; zero checks every time.
    pub max_age: Duration,
}

/// Cache entry of one player.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Time of the last check; the file keeps seconds.
    pub(super) checked: Timestamp,
    /// Last-Modified value of the server; may be empty.
    pub(super) modified: String,
    pub(super) fingerprint: Fingerprint,
}

/// Error of the cache file.
#[derive(Debug, Error)]
pub(super) enum CacheError {
    #[error("cannot read {file}: {source}")]
    Read { file: String, source: io::Error },
    #[error("cannot write {file}: {source}")]
    Write { file: String, source: io::Error },
    #[error("{file} is damaged")]
    Damaged { file: String },
}

impl Cache {
    /// Returns the entry for `key`.
    pub(super) fn look_up(&self, key: &str) -> Result<Option<Entry>, CacheError> {
        let text = self.read()?;
        let found = find(&text, key).map_err(|Damaged| self.damaged())?;
        Ok(found.map(|found| found.entry))
    }

    /// Returns whether the entry can be used without a check. A time of check in the future is invalid.
    pub(super) fn is_fresh(&self, entry: &Entry, now: Timestamp) -> bool {
        let age = Duration::try_from(now.duration_since(entry.checked));
        age.is_ok_and(|age| age < self.max_age)
    }

    /// Stores the entry for `key`. The file is replaced atomically, so concurrent readers see the old or
    /// the new file.
    pub(super) fn store(&self, key: &str, entry: &Entry) -> Result<(), CacheError> {
        let failed = |source| CacheError::Write {
            file: self.name(),
            source,
        };
        if let Some(folder) = self.file.parent() {
            fs::create_dir_all(folder).map_err(failed)?;
        }
        // If the path is a symbolic link, replace its target.
        let file = fs::canonicalize(&self.file).unwrap_or_else(|_| self.file.clone());
        let _lock = lock(&with_suffix(&file, ".lock")).map_err(failed)?;
        let text = self.read()?;
        let text = update(&text, key, entry).map_err(|Damaged| self.damaged())?;
        replace(&file, &text).map_err(failed)
    }

    fn read(&self) -> Result<String, CacheError> {
        let mut text = Vec::new();
        match read(&self.file, &mut text) {
            Ok(_) if text.len() as u64 > MAX_BYTES => Err(self.damaged()),
            Ok(_) => String::from_utf8(text).map_err(|_| self.damaged()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(String::new()),
            Err(source) => Err(CacheError::Read {
                file: self.name(),
                source,
            }),
        }
    }

    fn damaged(&self) -> CacheError {
        CacheError::Damaged { file: self.name() }
    }

    fn name(&self) -> String {
        self.file.display().to_string()
    }
}

impl Entry {
    /// Returns the value for If-Modified-Since, if the server sent one.
    pub(super) fn last_modified(&self) -> Option<&str> {
        // rtmpdump reads lines into a buffer of 64 bytes.
        let is_date = |text: &&str| {
            let is_text = text.bytes().all(|byte| (b' '..=b'~').contains(&byte));
            is_text && (1..64).contains(&text.len())
        };
        Some(&self.modified[..]).filter(is_date)
    }

    fn lines(&self, key: &str, line_end: &str) -> String {
        let Fingerprint { hash, size } = self.fingerprint;
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        // Only years before 0 cannot be formatted.
        let checked = DateTimePrinter::new()
            .timestamp_to_rfc9110_string(&self.checked)
            .unwrap_or_default();
        let modified = self.last_modified().unwrap_or_default();
        [
            format!("url: {key}"),
            format!("ctim: {checked}"),
            format!("date: {modified}"),
            format!("size: {size:08x}"),
            format!("hash: {hash}"),
        ]
        .map(|line| line + line_end)
        .concat()
    }

    /// Parses the four lines after `url:`.
    fn read<'a>(lines: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut values = lines.map(|line| {
            let line = line.strip_suffix('\n').unwrap_or(line);
            line.strip_suffix('\r').unwrap_or(line)
        });
        let mut value = |name: &str| values.next()?.strip_prefix(name);
        let checked = DATES.parse_timestamp(value("ctim: ")?).ok()?;
        let modified = value("date: ")?.to_owned();
        let size = value("size: ").filter(|digits| digits.len() == 8)?;
        let size: Option<Vec<u8>> = size.as_bytes().chunks(2).map(byte).collect();
        let hash = value("hash: ").filter(|digits| digits.len() == 64)?;
        let hash: Option<Vec<u8>> = hash.as_bytes().chunks(2).map(byte).collect();
        Some(Self {
            checked,
            modified,
            fingerprint: Fingerprint {
                hash: hash?.try_into().ok()?,
                size: u32::from_be_bytes(size?.try_into().ok()?),
            },
        })
    }
}

fn byte(digits: &[u8]) -> Option<u8> {
    let is_hex = digits.iter().all(u8::is_ascii_hexdigit);
    let digits = str::from_utf8(digits).ok().filter(|_| is_hex)?;
    u8::from_str_radix(digits, 16).ok()
}

/// The text is not in the `.swfinfo` format, or the requested entry is malformed.
#[derive(Debug, PartialEq, Eq)]
struct Damaged;

/// Entry with its position in the text.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    start: usize,
    end: usize,
    line_end: &'static str,
    entry: Entry,
}

fn find(text: &str, key: &str) -> Result<Option<Found>, Damaged> {
    let mut start = 0;
    let mut is_swfinfo = text.is_empty();
    for line in text.split_inclusive('\n') {
        let url = line.strip_prefix("url: ");
        is_swfinfo |= url.is_some();
        if url.is_some_and(|url| url.trim_end_matches(['\r', '\n']) == key) {
            let lines: Vec<_> = text[start..].split_inclusive('\n').take(LINES).collect();
            let length: usize = lines.iter().map(|line| line.len()).sum();
            return Ok(Some(Found {
                start,
                end: start.saturating_add(length),
                line_end: if line.ends_with("\r\n") { "\r\n" } else { "\n" },
                entry: Entry::read(lines.into_iter().skip(1)).ok_or(Damaged)?,
            }));
        }
        start = start.saturating_add(line.len());
    }
    if is_swfinfo { Ok(None) } else { Err(Damaged) }
}

/// Returns `text` with the entry for `key` replaced or appended.
fn update(text: &str, key: &str, entry: &Entry) -> Result<String, Damaged> {
    Ok(match find(text, key)? {
        Some(found) => [
            &text[..found.start],
            &entry.lines(key, found.line_end),
            &text[found.end..],
        ]
        .concat(),
        None if text.is_empty() || text.ends_with('\n') => {
            text.to_owned() + &entry.lines(key, "\n")
        }
        None => [text, "\n", &entry.lines(key, "\n")].concat(),
    })
}

fn read(file: &Path, bytes: &mut Vec<u8>) -> io::Result<usize> {
    // Opening a pipe would block.
    if !fs::metadata(file)?.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    File::open(file)?.take(MAX_BYTES + 1).read_to_end(bytes)
}

fn replace(file: &Path, text: &str) -> io::Result<()> {
    let old = fs::metadata(file).ok().map(|old| old.permissions());
    // A rename would replace a read-only file.
    if old.as_ref().is_some_and(Permissions::readonly) {
        return Err(ErrorKind::PermissionDenied.into());
    }
    let temporary = with_suffix(file, ".new");
    let written = (|| {
        let mut new = File::create(&temporary)?;
        if let Some(old) = old {
            new.set_permissions(old)?;
        }
        new.write_all(text.as_bytes())?;
        fs::rename(&temporary, file)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&temporary);
    }
    written
}

/// Locks the lock file, and waits for other writers.
fn lock(file: &Path) -> io::Result<File> {
    let lock = File::options()
        .create(true)
        .write(true)
        .truncate(false)
        .open(file)?;
    let start = Instant::now();
    loop {
        match lock.try_lock() {
            Ok(()) => return Ok(lock),
            Err(TryLockError::WouldBlock) if start.elapsed() < LOCK_TIMEOUT => {
                thread::sleep(LOCK_INTERVAL);
            }
            Err(error) => return Err(error.into()),
        }
    }
}

fn with_suffix(file: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(file);
    name.push(suffix);
    name.into()
}

/// Parser of HTTP dates (RFC 9110 5.6.7). A wrong day of the week is accepted.
const DATES: DateTimeParser = DateTimeParser::new().relaxed_weekday(true);

/// Lines per player.
const LINES: usize = 5;

/// Largest cache file; an entry has about 250 bytes.
const MAX_BYTES: u64 = 1 << 20;

/// Longest wait for another writer, which writes a few lines.
const LOCK_TIMEOUT: Duration = Duration::from_secs(2);

/// Interval of attempts to lock.
const LOCK_INTERVAL: Duration = Duration::from_millis(10);
