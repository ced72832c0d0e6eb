//! The lines of rtmpdump, which front ends parse. They must not change.

use super::{
    percent, reason_suffix,
    summary::{level, missing_suffix},
};
use crate::{
    cli::exit_code::Exit,
    download::{Ending, Outcome, Progress},
};

/// Formats where a download resumes. Like rtmpdump, it gives the position only if the duration is known.
pub(super) fn resuming_text(progress: &Progress) -> String {
    let kilobytes = progress.bytes as f64 / 1024.0;
    let seconds = progress.position_ms as f64 / 1000.0;
    match percent(progress) {
        Some(percent) => {
            format!("Resuming download at: {kilobytes:.3} kB / {seconds:.3} sec ({percent}%)")
        }
        None => format!("Resuming download at: {kilobytes:.3} kB"),
    }
}

/// Formats progress as `kB / sec (percent)`. A kB has 1024 bytes; the percentage is that of the duration.
pub(super) fn status(progress: &Progress) -> String {
    let kilobytes = progress.bytes as f64 / 1024.0;
    let seconds = progress.position_ms as f64 / 1000.0;
    match percent(progress) {
        Some(percent) => format!("{kilobytes:.3} kB / {seconds:.2} sec ({percent}%)"),
        None => format!("{kilobytes:.3} kB / {seconds:.2} sec"),
    }
}

/// Returns the final line of rtmpdump. It has none if the user or the reader ended the download, or if no
/// media arrived.
pub(super) fn verdict(exit: Exit, outcome: &Outcome, progress: &Progress) -> Option<String> {
    let is_requested = matches!(outcome.ending, Ending::Interrupted | Ending::ReaderGone);
    match exit {
        _ if !outcome.media_arrived => None,
        Exit::Success => (!is_requested).then(|| "Download complete".to_owned()),
        Exit::Incomplete => {
            let about = percent(progress).map_or_else(String::new, |percent| {
                format!(" (downloaded about {percent}0%)")
            });
            // A live stream cannot be resumed.
            let advice = if outcome.is_live {
                ""
            } else {
                ", try resuming"
            };
            Some(format!("Download may be incomplete{about}{advice}"))
        }
        Exit::Failure | Exit::NoConnection => None,
    }
}

/// Formats the ending and its reason: `INFO: ended: NetStream.Play.Stop`
pub(super) fn last_line(exit: Exit, outcome: &Outcome) -> String {
    let Outcome { ending, reason, .. } = outcome;
    let missing = missing_suffix(&outcome.missing_sequence_headers);
    format!(
        "{}: {ending}{}{missing}",
        level(exit),
        reason_suffix(reason)
    )
}
