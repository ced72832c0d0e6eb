//! A pipe, a FIFO, a device: written by a thread of its own, so that a reader that pauses holds up
//! nothing but itself.

use std::{
    fs::{File, OpenOptions},
    io,
    path::PathBuf,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use tokio::sync::mpsc as async_mpsc;

use super::{
    Written,
    backlog::{Backlog, Dropped},
    queue::{whole_tags, write_all},
};

/// What the pipe's thread writes to.
#[derive(Debug, Clone)]
pub(super) enum PipeTarget {
    Stdout,
    Path(PathBuf),
}

/// The near end of the thread.
#[derive(Debug)]
pub(super) struct Pipe {
    batches: mpsc::Sender<Vec<Vec<u8>>>,
    outcomes: async_mpsc::UnboundedReceiver<io::Result<Vec<Vec<u8>>>>,
    in_flight: usize,
    written: Written,
    is_head_written: bool,
    /// What waits while a live stream goes on without its reader; none where the network waits.
    backlog: Option<Backlog>,
    /// Since when the reader is known to have taken nothing.
    paused_since: Option<Instant>,
    is_behind: bool,
}

impl Pipe {
    /// Starts the thread, and sends `head` in front of all tags. Opening is the thread's first work: a
    /// FIFO opens when somebody reads it.
    pub(super) fn start(target: PipeTarget, head: Vec<u8>) -> io::Result<Self> {
        let (batches, incoming) = mpsc::channel();
        let (outgoing, outcomes) = async_mpsc::unbounded_channel();
        thread::Builder::new()
            .name("pipe".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || serve(target, &incoming, &outgoing))?;
        let mut pipe = Self {
            batches,
            outcomes,
            in_flight: 0,
            written: Written::default(),
            is_head_written: false,
            backlog: None,
            paused_since: None,
            is_behind: false,
        };
        pipe.pass_on(vec![head])?;
        Ok(pipe)
    }

    /// Lets the stream go on when the reader pauses, with as much waiting for it as `limit` bytes.
    pub(super) fn go_on_without_reader(&mut self, limit: usize) {
        self.backlog.get_or_insert_with(|| Backlog::new(limit));
    }

    /// Sends a batch, or lets it wait; what had to be left out is added to `dropped`.
    pub(super) fn send(
        &mut self,
        batch: Vec<Vec<u8>>,
        dropped: &mut Vec<Vec<u8>>,
    ) -> io::Result<()> {
        match &mut self.backlog {
            Some(backlog) if self.is_behind => {
                for tag in batch {
                    keep(backlog, tag, dropped);
                }
                self.catch_up()
            }
            _ => self.pass_on(batch),
        }
    }

    /// Whether the reader is so far behind that no more is to be read from the network.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight >= MAX_IN_FLIGHT && !self.is_behind
    }

    /// Whether the stream goes on while the reader does not.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// When [`Pipe::settle`] is due.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let may_go_on = self.backlog.is_some() && !self.is_behind;
        Some(self.paused_since.filter(|_| may_go_on)? + PATIENCE)
    }

    /// Stops waiting for a reader that takes nothing for long, or waits again for one that has caught up.
    pub(super) fn settle(&mut self, now: Instant) {
        if self.in_flight < MAX_IN_FLIGHT {
            self.paused_since = None;
            self.is_behind &= self.backlog.as_ref().is_some_and(Backlog::is_needed);
        } else {
            self.paused_since.get_or_insert(now);
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            tracing::debug!("the reader of the output pauses, the stream goes on without it");
            self.is_behind = true;
        }
    }

    /// Whether all that was sent is written.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.backlog.as_ref().is_none_or(Backlog::is_empty)
    }

    /// What the thread has written, as far as it was heard of.
    pub(super) fn written(&self) -> Written {
        self.written
    }

    /// The next batch that was written, once there is one. Cancelling loses nothing.
    pub(super) async fn wait(&mut self) -> io::Result<Vec<Vec<u8>>> {
        match self.outcomes.recv().await {
            Some(outcome) => self.note(outcome),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// A batch that was written, if there is one already.
    pub(super) fn poll(&mut self) -> Option<io::Result<Vec<Vec<u8>>>> {
        let outcome = self.outcomes.try_recv().ok()?;
        Some(self.note(outcome))
    }

    /// Why the thread is gone. It told before it went.
    fn failure(&mut self) -> io::Error {
        while let Some(outcome) = self.poll() {
            if let Err(error) = outcome {
                return error;
            }
        }
        io::ErrorKind::BrokenPipe.into()
    }

    fn pass_on(&mut self, batch: Vec<Vec<u8>>) -> io::Result<()> {
        let length = total(&batch);
        if self.batches.send(batch).is_err() {
            return Err(self.failure());
        }
        self.in_flight += length;
        Ok(())
    }

    /// Sends of the backlog what the thread can have.
    fn catch_up(&mut self) -> io::Result<()> {
        while self.in_flight < MAX_IN_FLIGHT
            && let Some(backlog) = self.backlog.as_mut().filter(|backlog| !backlog.is_empty())
        {
            let mut batch = Vec::new();
            backlog.take(MAX_IN_FLIGHT / 2, &mut batch);
            self.pass_on(batch)?;
        }
        Ok(())
    }

    fn note(&mut self, outcome: io::Result<Vec<Vec<u8>>>) -> io::Result<Vec<Vec<u8>>> {
        let batch = outcome?;
        self.in_flight -= total(&batch);
        self.paused_since = None;
        self.written.add_tags(&batch);
        if !self.is_head_written {
            self.is_head_written = true;
            self.written.tags = 0;
        }
        self.catch_up()?;
        Ok(batch)
    }
}

impl Drop for Pipe {
    /// A gap that is not over is told too.
    fn drop(&mut self) {
        if let Some(gap) = self.backlog.as_ref().and_then(Backlog::gap) {
            tell(&gap);
        }
    }
}

/// Lets a tag wait, and tells what that costs.
fn keep(backlog: &mut Backlog, tag: Vec<u8>, dropped: &mut Vec<Vec<u8>>) {
    let had_gap = backlog.gap().is_some();
    let over = backlog.push(tag, dropped);
    if let Some(gap) = over {
        tell(&gap);
    }
    if !had_gap && backlog.gap().is_some() {
        tracing::warn!("the reader of the output is too slow, frames are left out");
    }
}

fn tell(gap: &Dropped) {
    let Dropped {
        tags,
        bytes,
        from_ms,
        to_ms,
    } = gap;
    let until = if to_ms > from_ms {
        format!(" to {:.3} s", f64::from(*to_ms) / 1000.0)
    } else {
        " on".to_owned()
    };
    tracing::warn!(
        "{tags} frames ({bytes} bytes) were left out for a slow reader, from {:.3} s{until}",
        f64::from(*from_ms) / 1000.0
    );
}

/// The thread: writes each batch, and gives its buffers back; of one that fails those that went out.
fn serve(
    target: PipeTarget,
    batches: &mpsc::Receiver<Vec<Vec<u8>>>,
    outcomes: &async_mpsc::UnboundedSender<io::Result<Vec<Vec<u8>>>>,
) {
    let opened = match target {
        PipeTarget::Stdout => unbuffered_stdout(),
        PipeTarget::Path(path) => OpenOptions::new().write(true).open(path),
    };
    let mut writer = match opened {
        Ok(writer) => writer,
        Err(error) => {
            let _nobody_waits = outcomes.send(Err(error));
            return;
        }
    };
    for mut batch in batches {
        let outcome = write_all(&mut writer, &batch);
        if let Err((written, _)) = outcome {
            batch.truncate(whole_tags(&batch, written).len());
        }
        let is_heard = outcomes.send(Ok(batch)).is_ok();
        if let Err((_, error)) = outcome {
            let _nobody_waits = outcomes.send(Err(error));
            return;
        }
        if !is_heard {
            return;
        }
    }
}

/// The standard library's stdout looks for line ends, and keeps back what follows the last one.
#[cfg(unix)]
fn unbuffered_stdout() -> io::Result<File> {
    use std::os::fd::AsFd;
    Ok(io::stdout().as_fd().try_clone_to_owned()?.into())
}

#[cfg(windows)]
fn unbuffered_stdout() -> io::Result<File> {
    use std::os::windows::io::AsHandle;
    Ok(io::stdout().as_handle().try_clone_to_owned()?.into())
}

fn total(batch: &[Vec<u8>]) -> usize {
    batch.iter().map(Vec::len).sum()
}

/// Bytes under way to the reader before the network is no longer read: two writes, so that the thread
/// has one while the next is gathered, and little of the memory that a download may take.
const MAX_IN_FLIGHT: usize = 512 * 1024;

/// How long a live stream waits for its reader. One that is merely slow takes something sooner; a
/// server notices no sooner.
const PATIENCE: Duration = Duration::from_millis(250);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_thread_that_failed_tells_why() {
        for (path, kind) in [
            ("/dev/full", io::ErrorKind::StorageFull),
            ("/nowhere/at/all", io::ErrorKind::NotFound),
        ] {
            let error = failure(PipeTarget::Path(path.into()));
            assert_eq!(error.kind(), kind, "{path}");
        }
    }

    /// A thread that is quick fails before it is sent the head.
    fn failure(target: PipeTarget) -> io::Error {
        let mut pipe = match Pipe::start(target, vec![0; 10]) {
            Ok(pipe) => pipe,
            Err(error) => return error,
        };
        loop {
            if let Err(error) = pipe.send(vec![vec![0; 10]], &mut Vec::new()) {
                return error;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn what_went_out_before_a_failure_counts() {
        let (reader, writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let mut pipe = Pipe::start(PipeTarget::Path(path.into()), vec![0; 13]).unwrap();
        pipe.wait().await.unwrap();
        // More than the reader and the system take.
        let batch = vec![vec![0; 1000], vec![0; 1 << 24], vec![0; 1000]];
        pipe.send(batch, &mut Vec::new()).unwrap();
        read_exactly(reader, 1013);
        drop(writer);
        let error = loop {
            if let Err(error) = pipe.wait().await {
                break error;
            }
        };
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
        assert_eq!((pipe.written().bytes, pipe.written().tags), (1013, 1));
    }

    fn read_exactly(mut reader: io::PipeReader, count: usize) {
        io::Read::read_exact(&mut reader, &mut vec![0; count]).unwrap();
    }
}
