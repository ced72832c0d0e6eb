//! The shell: the only place where sockets meet protocol and files.

mod connections;
mod ending;
mod line;
mod places;
pub mod player;
mod pump;
mod redirect;
mod resume;
pub mod retry;
pub mod route;
mod splice;
mod timeline;

use std::{
    io,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::watch;

pub use self::ending::Ending;
use self::{
    ending::{Last, judge},
    places::Places,
    player::Player,
    pump::Pump,
    resume::Found,
    retry::RetryPolicy,
};
use crate::{
    core::{amf::Object, rtmp::client::config::Config},
    output::{Destination, FileOptions, Gap, GapPolicy, Gaps, PartFacts, Parts},
    transport::{Dialer, Endpoint, Route},
};

/// One download, with nothing left to decide.
#[derive(Debug, Clone)]
pub struct Job {
    /// Where to connect, and what to travel in.
    pub route: Route,
    /// What to say there.
    pub session: Config,
    /// The player that the session proves to be, where it is not known yet.
    pub player: Option<Player>,
    /// How connections are made.
    pub dialer: Dialer,
    /// Where the recording goes.
    pub output: Destination,
    /// What gets the stream too, beside a recording in files: standard output, a FIFO or a device.
    pub pipe: Option<Destination>,
    /// How much of a live stream waits for the reader of a pipe before frames are left out.
    pub backlog_bytes: usize,
    /// How it is written there if that is a file.
    pub file: FileOptions,
    /// What is tried again.
    pub retry: RetryPolicy,
    /// What becomes of the time that is missing from a live stream.
    pub gap: GapPolicy,
    /// Whether the server's timestamps are written as they are.
    pub keep_timestamps: bool,
    /// What else app and playpath may be, to be tried in turn where the server knows them not.
    pub alternatives: Vec<Place>,
    /// Where on the output's clock the recording ends, in milliseconds.
    pub stop_ms: Option<u64>,
    /// Where else the recording ends.
    pub limits: Limits,
    /// How the output is cut, and who hears of it.
    pub parts: Parts,
    /// How the recording that is in the output is gone on with; `None` writes it anew. What is no
    /// regular file has none.
    pub resume: Option<Resume>,
}

impl Job {
    /// How long the recording may become on the output's clock, in milliseconds.
    pub fn length_ms(&self) -> Option<u64> {
        let lengths = self.stop_ms.into_iter().chain(self.limits.duration_ms);
        lengths.min()
    }
}

/// What ends a recording that the server would go on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Limits {
    /// How long it may become on the output's clock, in milliseconds.
    pub duration_ms: Option<u64>,
    /// How many bytes the output may have, all parts together.
    pub bytes: Option<u64>,
    /// When it ends.
    pub until: Option<Timestamp>,
    /// How many bytes are to stay free on the output's disk. Fewer are a failure.
    pub min_free: Option<u64>,
}

/// One place on a server that may have the stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The application.
    pub app: String,
    /// The stream's name in it.
    pub playpath: String,
    /// The address of the application.
    pub tc_url: String,
}

/// How an earlier recording is gone on with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Resume {
    /// How many keyframes before the last one the old recording and the new one are joined.
    pub skip_keyframes: u32,
}

/// How a download went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// What it ended with.
    pub ending: Ending,
    /// Why, in the server's own words where it had any. Not escaped.
    pub reason: String,
    /// Whether audio or video was written.
    pub media_arrived: bool,
    /// Whether the stream was a live one, as far as anybody said.
    pub is_live: bool,
    /// Bytes written.
    pub bytes: u64,
    /// Tags written.
    pub tags: u64,
    /// How far the output's clock came, in milliseconds.
    pub position_ms: u64,
    /// The duration that the server claims.
    pub duration_ms: Option<u64>,
    /// What is missing in between.
    pub gaps: Gaps,
}

/// Somebody who wants to know what goes on.
pub trait Report {
    /// A connection to this server is being made.
    fn connecting(&mut self, endpoint: &Endpoint);
    /// The server accepted `connect`.
    fn connected(&mut self);
    /// The stream's `onMetaData`.
    fn metadata(&mut self, metadata: &Object);
    /// The stream has begun to come; tells whether a live one was asked for.
    fn started(&mut self, is_live: bool);
    /// The stream has begun to come, and is to go on with a file that holds so much. Called instead of
    /// [`Report::started`].
    fn resuming(&mut self, _progress: &Progress) {
        self.started(false);
    }
    /// Something is missing before what comes next.
    fn gap(&mut self, gap: &Gap);
    /// Another attempt follows after a wait, which begins now.
    fn retry(&mut self, retry: &Retry);
    /// More has come. Called for each read from the network.
    fn progress(&mut self, progress: &Progress);
    /// A file is whole: a part of the recording, or all of it.
    fn part(&mut self, _facts: &PartFacts) {}
}

/// Another attempt that is going to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Retry {
    /// Its number, from 1 on; counted anew once media has come.
    pub attempt: u32,
    /// How many there are at the most; `None` is no limit.
    pub limit: Option<u32>,
    /// The time until then.
    pub wait: Duration,
    /// What the attempt before ended with.
    pub ending: Ending,
    /// Why, in the server's own words where it had any. Not escaped.
    pub reason: String,
}

/// How far a download is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Progress {
    /// Messages of audio and video that have come.
    pub frames: u64,
    /// Bytes written.
    pub bytes: u64,
    /// How far the output's clock has come, in milliseconds.
    pub position_ms: u64,
    /// The duration that the server claims.
    pub duration_ms: Option<u64>,
}

/// The user's wish to end.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// A wish, and the handle that says it by sending `true`.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether the user wishes to end.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits until the user wishes to end; for ever where nobody can wish it any more.
    pub(crate) async fn requested(&mut self) {
        if self.0.wait_for(|is_requested| *is_requested).await.is_err() {
            std::future::pending().await
        }
    }
}

/// Runs a download to its end. What had arrived is in the output, however it ends.
pub async fn run(job: &Job, report: &mut dyn Report, mut stop: Stop) -> Outcome {
    let mut pump = Pump::new(job, report);
    let mut places = Places::new(&job.alternatives);
    let last = match prepare(job, &mut pump, &mut stop).await {
        Ok(()) => connections::play(job, &mut pump, &mut places, &mut stop).await,
        Err(last) => last,
    };
    let last = match (finish(&mut pump, &last, &mut stop).await, last) {
        (Ok(()), last) | (Err(_), last @ Last::Output(_)) => last,
        // The reader had its time, and it was the user who did not want to wait for it.
        (Err(error), _) if error.kind() == io::ErrorKind::TimedOut => Last::Stopped,
        (Err(error), _) => Last::Output(error),
    };
    pump.report_progress();
    finish_hooks(&mut pump, &last, &mut stop).await;
    let facts = pump.facts();
    let (ending, reason) = judge(&last, &facts);
    let written = pump.output.written();
    Outcome {
        ending,
        reason: if facts.has_media {
            reason
        } else {
            places.told(reason)
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
async fn prepare(job: &Job, pump: &mut Pump<'_>, stop: &mut Stop) -> Result<(), Last> {
    let destinations = job.pipe.iter().chain([&job.output]);
    destinations
        .into_iter()
        .try_for_each(Destination::check)
        .map_err(Last::Output)?;
    let (Some(wish), Destination::Path(path)) = (job.resume, &job.output) else {
        return Ok(());
    };
    let path = path.clone();
    // A large file is read for seconds.
    let reading = tokio::task::spawn_blocking(move || resume::read(&path));
    let read = tokio::select! {
        read = reading => read.map_err(io::Error::other).flatten(),
        () = stop.requested() => return Err(Last::Stopped),
    };
    match read.map_err(Last::Output)? {
        Found::Nothing => {}
        Found::Unusable(why) => {
            return Err(Last::Mismatch(format!(
                "the file is not gone on with: {why}"
            )));
        }
        Found::Recording(recording, file) => {
            let is_long_enough = job.length_ms().is_some_and(|length_ms| {
                recording.end_ms().saturating_sub(recording.first_ms()) >= length_ms
            });
            pump.go_on_with(recording, wish, *file);
            if is_long_enough {
                return Err(Last::Limit);
            }
        }
    }
    Ok(())
}

/// Writes what is left. A pipe's reader may take any time for it, until the user wishes to end.
async fn finish(pump: &mut Pump<'_>, last: &Last, stop: &mut Stop) -> io::Result<()> {
    if !matches!(last, Last::Stopped) {
        tokio::select! {
            finished = pump.output.finish(None) => return finished,
            () = stop.requested() => {}
        }
    }
    let deadline = Instant::now() + READER_PATIENCE;
    pump.output.finish(Some(deadline)).await
}

/// Waits for the programs that were run for parts, not for long once the user wishes to end.
async fn finish_hooks(pump: &mut Pump<'_>, last: &Last, stop: &mut Stop) {
    let is_stopped = matches!(last, Last::Stopped);
    let patience = if is_stopped {
        LAST_HOOK_PATIENCE
    } else {
        HOOK_PATIENCE
    };
    tokio::select! {
        () = pump.output.finish_hooks(Instant::now() + patience) => {}
        () = stop.requested(), if !is_stopped => {}
    }
    pump.output.leave_hooks();
}

/// How long a pipe's reader may take for what is left, once the user wishes to end. The process is to
/// be gone within a second, and the server may have had its part of that.
const READER_PATIENCE: Duration = Duration::from_millis(750);

/// How long the programs that were run for parts may take once the recording is over.
const HOOK_PATIENCE: Duration = Duration::from_secs(10);

/// The same once the user wishes to end: with all else it has to be done within a second.
const LAST_HOOK_PATIENCE: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::rtmp::client::config::{BufferLength, Connect, Encryption, Start, Timeouts};
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
            buffer_trick: false,
            enhanced: true,
            handshake: handshake::Mode::Auto,
            encryption: Encryption::None,
            pipelining: true,
            republish_wait: Duration::ZERO,
            timeouts: Timeouts::default(),
        }
    }
}
