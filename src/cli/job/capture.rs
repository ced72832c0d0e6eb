//! The capture file (`--capture`), and the capture to replay (`--replay`).

use std::{
    fs::{File, OpenOptions},
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result, ensure};

use crate::{
    cli::{
        args::Args,
        terminal::sanitize::{is_secret_name, redacted_url, secret_ranges},
    },
    core::rtmp::{
        redaction::{Rules, Secrets},
        secret::Secret,
    },
    download::{Capture, Job},
    transport::capture::Sessions,
};

/// The capture file of a download, which is not created yet.
#[derive(Debug)]
pub(in crate::cli) struct CaptureFile {
    path: PathBuf,
    /// Largest size in bytes.
    limit: u64,
    overwrites: bool,
    rules: Rules,
}

impl CaptureFile {
    /// Returns the capture that `args` request. `secrets` are the texts that must not occur in it.
    pub(in crate::cli) fn of(args: &Args, secrets: impl FnOnce() -> Vec<Secret>) -> Option<Self> {
        let options = &args.capture;
        let path = options.capture.clone()?;
        let rules = Rules {
            media_bytes: (!options.capture_media).then_some(MEDIA_BYTES),
            secrets: (!options.capture_secrets).then(|| {
                Arc::new(Secrets {
                    values: secrets(),
                    is_secret_name,
                    find: secret_ranges,
                })
            }),
        };
        Some(Self {
            path,
            limit: options.capture_size.unwrap_or(DEFAULT_SIZE),
            overwrites: args.overwrite,
            rules,
        })
    }

    /// Creates the file.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written, or if it has content that must not be overwritten.
    pub(in crate::cli) fn create(&self, job: &Job) -> Result<Arc<Capture>> {
        let context = || format!("cannot write --capture {}", self.path.display());
        let file = open(&self.path, self.overwrites).with_context(context)?;
        let (comment, rules) = (comment(job, &self.rules), self.rules.clone());
        let capture = Capture::new(file, self.limit, &comment, rules).with_context(context)?;
        Ok(Arc::new(capture))
    }
}

fn open(path: &Path, overwrites: bool) -> Result<File> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .open(path)?;
    let found = file.metadata()?;
    let is_filled = found.is_file() && found.len() > 0;
    ensure!(
        !is_filled || overwrites,
        "the file is not empty: name another one, or use --overwrite"
    );
    if is_filled {
        file.set_len(0)?;
    }
    Ok(file)
}

/// Returns the description that analyzers show as a property of the file.
fn comment(job: &Job, rules: &Rules) -> String {
    let media = match rules.media_bytes {
        Some(bytes) => {
            format!("cut to {bytes} bytes, with the message length in the header reduced")
        }
        None => "complete".to_owned(),
    };
    let secrets = match rules.secrets {
        Some(_) => "overwritten with x",
        None => "unchanged",
    };
    format!(
        "RTMP bytes of {}, without TLS, RTMPE and the HTTP tunnel. IP and TCP headers are synthetic. \
         Audio and video messages: {media}. Passwords, tokens and keys: {secrets}.",
        redacted_url(&job.session.connect.tc_url)
    )
}

/// Opens the capture to replay.
pub(super) fn replay(args: &Args) -> Result<Option<Arc<Sessions>>> {
    let Some(path) = &args.capture.replay else {
        return Ok(None);
    };
    let sessions = Sessions::open(path).with_context(|| format!("--replay {}", path.display()))?;
    Ok(Some(Arc::new(sessions)))
}

/// Largest size of a captured audio or video message: the codec fields and the start of the frame.
const MEDIA_BYTES: u32 = 256;

/// Largest size of a capture without `--capture-size`, small enough for a bug report.
const DEFAULT_SIZE: u64 = 16 << 20;
