//! The capture file (`--capture`), and the capture to replay (`--replay`).

use std::{
    fs::{File, OpenOptions},
    path::Path,
    sync::Arc,
};

use anyhow::{Context, Result, ensure};

use crate::{
    cli::{
        args::Args,
        terminal::sanitize::{is_secret_name, redacted_url, secret_ranges},
    },
    core::rtmp::redaction::{Rules, Secrets},
    download::{Capture, Job},
    transport::capture::Sessions,
};

/// Creates the capture file of a download. `secrets` are the texts that must not occur in it.
pub(in crate::cli) fn create(
    args: &Args,
    job: &Job,
    secrets: Vec<String>,
) -> Result<Option<Arc<Capture>>> {
    let options = &args.capture;
    let Some(path) = &options.capture else {
        return Ok(None);
    };
    let rules = Rules {
        media_bytes: (!options.capture_media).then_some(MEDIA_BYTES),
        secrets: (!options.capture_secrets).then(|| {
            Arc::new(Secrets {
                values: secrets,
                is_secret_name,
                find: secret_ranges,
            })
        }),
    };
    let limit = options.capture_size.unwrap_or(DEFAULT_SIZE);
    let context = || format!("cannot write --capture {}", path.display());
    let file = open(path, args.overwrite).with_context(context)?;
    let capture = Capture::new(file, limit, &comment(job, &rules), rules).with_context(context)?;
    Ok(Some(Arc::new(capture)))
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
