//! The files that a command line has written: none of them for two purposes.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Result, ensure};

use crate::cli::args::Args;

/// Fails where two options name the same file, before anything is written into it.
pub(in crate::cli) fn ensure_distinct(args: &Args) -> Result<()> {
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
        let Some(path) = path(file) else { continue };
        let same = seen.iter().find(|(_, other)| *other == path);
        if let Some((other, _)) = same {
            // What is repaired may be named twice, and repairs look after their output themselves.
            let is_free = flag == REPAIR && [REPAIR, OUTPUT].contains(other);
            ensure!(is_free, "{other} and {flag} name the same file");
        }
        seen.push((flag, path));
    }
    Ok(())
}

/// Where a file is, or will be, by whatever name. Pipes and devices may have several writers.
fn path(file: &Path) -> Option<PathBuf> {
    if let Ok(path) = fs::canonicalize(file) {
        return path.is_file().then_some(path);
    }
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    Some(fs::canonicalize(folder).ok()?.join(file.file_name()?))
}

/// Whether it is a regular file that holds something; pipes and devices hold nothing of their own.
pub(super) fn has_content(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|file| file.is_file() && file.len() > 0)
}

/// Whether this is a pipe, a device or the like.
pub(super) fn is_special(file: &Path) -> bool {
    fs::metadata(file).is_ok_and(|file| !file.is_file() && !file.is_dir())
}

/// Whether this output, if any, is standard output.
pub(in crate::cli) fn is_stdout(file: Option<&Path>) -> bool {
    file.is_none_or(|file| file == STDOUT)
}

/// The name of a file that means standard output.
pub(in crate::cli) const STDOUT: &str = "-";

const OUTPUT: &str = "--flv";
const REPAIR: &str = "--repair";
