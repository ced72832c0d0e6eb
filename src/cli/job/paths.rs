//! The files that a command line has written: none of them for two purposes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use super::is_stdout;
use crate::cli::args::Args;

/// Fails where two options name the same file, before anything is written into it.
pub(in crate::cli) fn ensure_different(args: &Args) -> Result<()> {
    let output = args.flv.as_ref().filter(|file| !is_stdout(Some(file)));
    let named = [
        ("--log-file", args.log_file.as_ref()),
        ("--heartbeat", args.heartbeat.as_ref()),
        ("--manifest", args.manifest.as_ref()),
        ("--tee", args.tee.as_ref()),
        (OUTPUT, output),
    ];
    let repaired = args.repair.iter().map(|file| (REPAIR, file));
    let named = named
        .into_iter()
        .filter_map(|(flag, file)| Some((flag, file?)));
    let mut seen: Vec<(&str, PathBuf)> = Vec::new();
    for (flag, file) in named.chain(repaired) {
        let Some(place) = place(file) else { continue };
        let same = seen.iter().find(|(_, other)| *other == place);
        if let Some((other, _)) = same {
            // What is repaired may be named twice, and repairs look after their output themselves.
            let is_free = flag == REPAIR && [REPAIR, OUTPUT].contains(other);
            ensure!(is_free, "{other} and {flag} name the same file");
        }
        seen.push((flag, place));
    }
    Ok(())
}

/// Where a file is, or will be, by whatever name. Pipes and devices may have several writers.
fn place(file: &Path) -> Option<PathBuf> {
    if let Ok(path) = fs::canonicalize(file) {
        return path.is_file().then_some(path);
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Some(fs::canonicalize(folder).ok()?.join(file.file_name()?))
}

const OUTPUT: &str = "--flv";
const REPAIR: &str = "--repair";
