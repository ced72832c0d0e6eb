//! Downloads: the only module that connects the network, the protocol and the output.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

mod admission;
mod arrival_speed;
mod attempts;
mod candidates;
mod capture;
mod connection;
mod frame_interval;
#[cfg(fuzzing)]
pub mod fuzzing;
mod hint;
mod job;
mod outcome;
mod pump;
mod redirect;
mod rejoin;
mod report;
pub mod retry;
pub mod route;
mod sources;
mod stream_format;
pub mod swf_player;
mod tracks;

use std::{io, path::PathBuf};

pub use self::{
    admission::{Admission, HostFailure},
    capture::Capture,
    hint::{Hint, SchemeChange},
    job::{Candidate, Job, Limits, Resume, history_frames},
    outcome::{Ending, Outcome},
    report::{Progress, ReceivedMessage, Reconnect, ReconnectState, Report, Retry, SourceSwitch},
    sources::{Fallbacks, Source},
    stream_format::{FormatChange, TrackFormat},
    tracks::NewTrack,
};
use self::{
    candidates::Candidates,
    outcome::{EndCause, judge},
    pump::Pump,
    rejoin::resume::{self, ScanResult},
};
pub use crate::output::Stop;
use crate::{
    core::rtmp::client::config::Start,
    output::{Destination, Format, existing_segments},
};

/// Runs a download until it ends. Everything that arrived is in the output, whatever the ending.
pub async fn run(job: &Job, report: &mut dyn Report, mut stop: Stop) -> Outcome {
    let mut pump = Pump::new(job, report);
    let mut candidates = Candidates::new(&job.candidates);
    let mut was_complete = false;
    let mut judgement = match prepare(job, &mut pump, &mut stop).await {
        Ok(()) => attempts::play(job, &mut pump, &mut candidates, &mut stop).await,
        Err(cause) => {
            was_complete = matches!(cause, EndCause::Limit);
            judge(&cause, &pump.facts())
        }
    };
    // The last steps are boxed, so that a running download does not reserve their memory.
    if let Err(cause) = Box::pin(finish(&mut pump, &mut stop)).await
        && !judgement.0.is_of_output()
    {
        judgement = judge(&cause, &pump.facts());
    }
    pump.report_progress();
    pump.tracks.warn();
    Box::pin(pump.output.finish_hooks_unless_stopped(&mut stop)).await;
    let (ending, reason) = judgement;
    let facts = pump.facts();
    if ending == Ending::Ended && !facts.is_nearly_complete() {
        tracing::warn!(
            "the server ended the stream after {:.1} s of {:.1} s",
            facts.length_ms as f64 / 1000.0,
            facts.duration_ms.unwrap_or_default() as f64 / 1000.0
        );
    }
    let totals = pump.output.totals();
    // The first frame may exceed a limit, and the reader may leave before it.
    let needs_written = matches!(ending, Ending::Limit | Ending::ReaderGone);
    let is_written = totals.tags > 0;
    let hints = std::mem::take(&mut pump.hints);
    let may_help = !facts.has_media && hint::has_hints(ending);
    Outcome {
        ending,
        reason: if facts.has_media {
            reason
        } else {
            candidates.describe_tried(reason)
        },
        media_arrived: was_complete || facts.has_media && (is_written || !needs_written),
        handshake_done: !facts.is_shaking_hands,
        is_live: facts.is_live,
        bytes: totals.bytes,
        tags: totals.tags,
        position_ms: pump.progress().position_ms,
        duration_ms: pump.progress().duration_ms,
        gaps: pump.take_gaps(),
        missing_sequence_headers: pump.missing_sequence_headers(),
        missing_tracks: pump.tracks.missing(),
        hints: if may_help { hints } else { Vec::new() },
    }
}

/// Checks the output before connecting: whether it can be written, and which recording to continue.
async fn prepare(job: &Job, pump: &mut Pump<'_>, stop: &mut Stop) -> Result<(), EndCause> {
    let is_split = job.segments.has_split_condition();
    let checked = job.pipe.iter().map(|pipe| pipe.check(false));
    checked
        .chain([job.output.check(is_split)])
        .collect::<io::Result<()>>()
        .map_err(EndCause::Output)?;
    let (Some(resume), Destination::Path(path)) = (job.resume, &job.output) else {
        return Ok(());
    };
    // A recorded stream is resumed in the file itself, as rtmpdump does.
    let paths = match job.session.start {
        Start::Live => existing_segments(path),
        Start::At { .. } | Start::LiveElseRecorded => vec![path.clone()],
    };
    // Reading a large file takes seconds and must not block the signal handling.
    let format = job.file.format;
    let reading = tokio::task::spawn_blocking(move || read_latest(&paths, format));
    let read = tokio::select! {
        read = reading => read.map_err(io::Error::other).flatten(),
        () = stop.requested() => return Err(EndCause::Stopped),
    };
    match read.map_err(EndCause::Output)? {
        ScanResult::NoMedia => {}
        ScanResult::Unusable(why) => {
            return Err(EndCause::Mismatch(format!(
                "the file cannot be continued: {why}"
            )));
        }
        ScanResult::ExistingRecording(recording, file) => {
            let is_long_enough = job.length_ms().is_some_and(|length_ms| {
                recording.end_ms().saturating_sub(recording.first_ms()) >= length_ms
            });
            pump.continue_from(recording, resume, *file);
            if is_long_enough {
                return Err(EndCause::Limit);
            }
        }
    }
    Ok(())
}

/// Reads the latest file of a recording that contains media.
fn read_latest(paths: &[PathBuf], format: Format) -> io::Result<ScanResult> {
    for path in paths {
        match resume::read(path, format)? {
            ScanResult::NoMedia => {}
            found => return Ok(found),
        }
    }
    Ok(ScanResult::NoMedia)
}

/// Writes the remaining data.
async fn finish(pump: &mut Pump<'_>, stop: &mut Stop) -> Result<(), EndCause> {
    match pump.output.finish_unless_stopped(stop).await {
        // The user did not want to wait for the reader, so this is not a failed output.
        Ok(true) => Err(EndCause::Stopped),
        Ok(false) => Ok(()),
        Err(error) => Err(EndCause::Output(error)),
    }
}

#[cfg(test)]
mod tests {
    use crate::core::rtmp::client::config::{Config, Connect};

    /// Returns a session configuration with defaults for all tests.
    pub(super) fn session() -> Config {
        let connect = Connect::new("live", "rtmp://server.example/live");
        Config::new(connect, "stream")
    }
}
