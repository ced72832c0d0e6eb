//! The shell: the only candidate where sockets meet protocol and files.

mod attempts;
mod candidates;
mod connection;
mod frame_interval;
mod job;
mod outcome;
mod output_clock;
mod pump;
mod redirect;
mod rejoin;
mod report;
pub mod retry;
pub mod route;
pub mod swf_player;

use std::{
    io,
    time::{Duration, Instant},
};

use self::{
    candidates::Candidates,
    outcome::{EndCause, judge},
    pump::Pump,
    rejoin::resume::{self, ScanResult},
};
pub use self::{
    job::{Candidate, Job, Limits, Resume, Stop},
    outcome::{Ending, Outcome},
    report::{Progress, Report, Retry},
};
use crate::output::Destination;

/// Runs a download to its end. What had arrived is in the output, however it ends.
pub async fn run(job: &Job, report: &mut dyn Report, mut stop: Stop) -> Outcome {
    let mut pump = Pump::new(job, report);
    let mut candidates = Candidates::new(&job.candidates);
    let cause = match prepare(job, &mut pump, &mut stop).await {
        Ok(()) => attempts::play(job, &mut pump, &mut candidates, &mut stop).await,
        Err(cause) => cause,
    };
    let cause = match (finish(&mut pump, &cause, &mut stop).await, cause) {
        (Ok(()), cause) | (Err(_), cause @ EndCause::Output(_)) => cause,
        // The reader had its time, and it was the user who did not want to wait for it.
        (Err(error), _) if error.kind() == io::ErrorKind::TimedOut => EndCause::Stopped,
        (Err(error), _) => EndCause::Output(error),
    };
    pump.report_progress();
    finish_hooks(&mut pump, &cause, &mut stop).await;
    let facts = pump.facts();
    let (ending, reason) = judge(&cause, &facts);
    let written = pump.output.totals();
    Outcome {
        ending,
        reason: if facts.has_media {
            reason
        } else {
            candidates.describe_tried(reason)
        },
        media_arrived: facts.has_media,
        is_live: facts.is_live,
        bytes: written.bytes,
        tags: written.tags,
        position_ms: pump.progress().position_ms,
        duration_ms: pump.progress().duration_ms,
        gaps: pump.take_gaps(),
    }
}

/// Looks at the output before anybody is connected to: whether it can be written, and what there is to
/// go on with.
async fn prepare(job: &Job, pump: &mut Pump<'_>, stop: &mut Stop) -> Result<(), EndCause> {
    let destinations = job.pipe.iter().chain([&job.output]);
    destinations
        .into_iter()
        .try_for_each(Destination::check)
        .map_err(EndCause::Output)?;
    let (Some(wish), Destination::Path(path)) = (job.resume, &job.output) else {
        return Ok(());
    };
    let path = path.clone();
    // A large file is read for seconds.
    let reading = tokio::task::spawn_blocking(move || resume::read(&path));
    let read = tokio::select! {
        read = reading => read.map_err(io::Error::other).flatten(),
        () = stop.requested() => return Err(EndCause::Stopped),
    };
    match read.map_err(EndCause::Output)? {
        ScanResult::NoMedia => {}
        ScanResult::Unusable(why) => {
            return Err(EndCause::Mismatch(format!(
                "the file is not gone on with: {why}"
            )));
        }
        ScanResult::ExistingRecording(recording, file) => {
            let is_long_enough = job.length_ms().is_some_and(|length_ms| {
                recording.end_ms().saturating_sub(recording.first_ms()) >= length_ms
            });
            pump.continue_from(recording, wish, *file);
            if is_long_enough {
                return Err(EndCause::Limit);
            }
        }
    }
    Ok(())
}

/// Writes what is left. A pipe's reader may take any time for it, until the user wishes to end.
async fn finish(pump: &mut Pump<'_>, cause: &EndCause, stop: &mut Stop) -> io::Result<()> {
    if !matches!(cause, EndCause::Stopped) {
        tokio::select! {
            finished = pump.output.finish(None) => return finished,
            () = stop.requested() => {}
        }
    }
    let deadline = Instant::now() + READER_PATIENCE;
    pump.output.finish(Some(deadline)).await
}

/// Waits for the programs that were run for parts, not for long once the user wishes to end.
async fn finish_hooks(pump: &mut Pump<'_>, cause: &EndCause, stop: &mut Stop) {
    let is_stopped = matches!(cause, EndCause::Stopped);
    let patience = if is_stopped {
        LAST_HOOK_PATIENCE
    } else {
        HOOK_PATIENCE
    };
    tokio::select! {
        () = pump.output.finish_hooks(Instant::now() + patience) => {}
        () = stop.requested(), if !is_stopped => {}
    }
    pump.output.abandon_hooks();
}

/// How long a pipe's reader may take for what is left, once the user wishes to end. The process is to
/// be gone within a second, and the server may have had its range of that.
const READER_PATIENCE: Duration = Duration::from_millis(750);

/// How long the programs that were run for parts may take once the recording is over.
const HOOK_PATIENCE: Duration = Duration::from_secs(10);

/// The same once the user wishes to end: with all else it has to be done within a second.
const LAST_HOOK_PATIENCE: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rtmp::client::config::{
        BufferLength, Config, Connect, Encryption, Start, Timeouts,
    };
    use crate::core::rtmp::handshake;

    /// A session for tests that need one.
    pub(super) fn session() -> Config {
        Config {
            connect: Connect {
                app: "live".into(),
                tc_url: "rtmp://server.example/live".into(),
                flash_ver: String::new(),
                swf_url: None,
                page_url: None,
                arguments: Vec::new(),
            },
            playpath: "stream".into(),
            start: Start::LiveElseRecorded,
            length_ms: None,
            playlist: false,
            subscribe: None,
            secure_token: None,
            usher_token: None,
            login: None,
            swf_proof: None,
            buffer: BufferLength::Growing,
            pause_unpause: false,
            enhanced: true,
            handshake: handshake::Mode::Auto,
            encryption: Encryption::None,
            pipelining: true,
            republish_wait: Duration::ZERO,
            timeouts: Timeouts::default(),
        }
    }
}
