//! A pipe, a FIFO, a device: written by a thread of its own, so that a reader that pauses holds up
//! nothing but itself.

mod backlog;

use std::{
    collections::VecDeque,
    fs::{File, OpenOptions},
    io,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use jiff::Timestamp;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use self::backlog::{Backlog, Dropped};
use super::{
    Totals,
    muxer::Unit,
    write_queue::{complete_units, write_all},
};
use crate::core::payload::Payload;

/// What the pipe's thread writes to.
#[derive(Debug, Clone)]
pub(super) enum PipeTarget {
    Stdout,
    Path(PathBuf),
}

/// The near end of the thread.
#[derive(Debug)]
pub(super) struct Pipe {
    batches: UnboundedSender<Vec<Unit>>,
    outcomes: UnboundedReceiver<io::Result<Vec<Unit>>>,
    /// Empty batches, to be filled again.
    spare: Vec<Vec<Unit>>,
    in_flight: usize,
    written: Totals,
    is_head_written: bool,
    /// What waits while a live stream goes on without its reader; none where the network waits.
    backlog: Option<Backlog>,
    /// Since when the reader is known to have taken nothing.
    paused_since: Option<Instant>,
    is_behind: bool,
    /// What was left out, and not told of yet.
    gaps: VecDeque<Dropped>,
}

impl Pipe {
    /// Starts the thread, and sends `head` in front of all tags. Opening is the thread's first work: a
    /// FIFO opens when somebody reads it.
    pub(super) fn start(target: PipeTarget, head: Vec<u8>) -> io::Result<Self> {
        // A channel that uses its memory again.
        let (batches, incoming) = unbounded_channel();
        let (outgoing, outcomes) = unbounded_channel();
        thread::Builder::new()
            .name("pipe".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || serve(target, incoming, &outgoing))?;
        let mut pipe = Self {
            batches,
            outcomes,
            spare: Vec::new(),
            in_flight: 0,
            written: Totals::default(),
            is_head_written: false,
            backlog: None,
            paused_since: None,
            is_behind: false,
            gaps: VecDeque::new(),
        };
        pipe.pass_on(vec![Unit::head(head)])?;
        Ok(pipe)
    }

    /// Lets the stream go on when the reader pauses, with as much waiting for it as `limit` bytes.
    pub(super) fn allow_backlog(&mut self, limit: usize) {
        self.backlog.get_or_insert_with(|| Backlog::new(limit));
    }

    /// Tells where on the output's clock the timestamps' 0 is, and what time of day it is, for what is
    /// sent next.
    pub(super) fn set_clocks(&mut self, start_ms: u64, wall: Timestamp) {
        if let Some(backlog) = &mut self.backlog {
            backlog.set_clocks(start_ms, wall);
        }
    }

    /// Sends a batch, or lets it wait; what had to be left out is added to `dropped`.
    pub(super) fn send(&mut self, mut batch: Vec<Unit>, dropped: &mut Vec<Unit>) -> io::Result<()> {
        match &mut self.backlog {
            Some(backlog) if self.is_behind => {
                for tag in batch.drain(..) {
                    self.gaps.extend(keep(backlog, tag, dropped));
                }
                self.set_aside(batch);
                self.catch_up()
            }
            _ => self.pass_on(batch),
        }
    }

    /// What was left out, once it is over.
    pub(super) fn take_gap(&mut self) -> Option<Dropped> {
        self.gaps.pop_front()
    }

    /// Nothing comes any more that could end a gap.
    pub(super) fn end_gap(&mut self) {
        let gap = self.backlog.as_mut().and_then(Backlog::take_gap);
        self.gaps.extend(gap);
    }

    /// An empty batch.
    pub(super) fn spare(&mut self) -> Vec<Unit> {
        self.spare.pop().unwrap_or_default()
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
    pub(super) fn written(&self) -> Totals {
        self.written
    }

    /// Waits until a batch was written, whose buffers are added to `spent`. Cancelling loses nothing.
    pub(super) async fn wait(&mut self, spent: &mut Vec<Payload>) -> io::Result<()> {
        match self.outcomes.recv().await {
            Some(outcome) => self.note(outcome, spent),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Looks what was written by now; its buffers are added to `spent`.
    pub(super) fn poll(&mut self, spent: &mut Vec<Payload>) -> io::Result<()> {
        while let Ok(outcome) = self.outcomes.try_recv() {
            self.note(outcome, spent)?;
        }
        Ok(())
    }

    /// Why the thread is gone. It told before it went.
    fn failure(&mut self) -> io::Error {
        while let Ok(outcome) = self.outcomes.try_recv() {
            match outcome {
                Ok(batch) => self.count(&batch),
                Err(error) => return error,
            }
        }
        io::ErrorKind::BrokenPipe.into()
    }

    fn pass_on(&mut self, batch: Vec<Unit>) -> io::Result<()> {
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
            let mut batch = self.spare.pop().unwrap_or_default();
            backlog.take(MAX_IN_FLIGHT / 2, &mut batch);
            self.pass_on(batch)?;
        }
        Ok(())
    }

    fn note(&mut self, outcome: io::Result<Vec<Unit>>, spent: &mut Vec<Payload>) -> io::Result<()> {
        let mut batch = outcome?;
        self.count(&batch);
        spent.extend(batch.drain(..).map(Unit::into_payload));
        self.set_aside(batch);
        self.catch_up()
    }

    fn count(&mut self, batch: &[Unit]) {
        self.in_flight -= total(batch);
        self.paused_since = None;
        self.written.add(batch);
        if !self.is_head_written {
            self.is_head_written = true;
            self.written.tags = 0;
        }
    }

    fn set_aside(&mut self, empty: Vec<Unit>) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(empty);
        }
    }
}

/// Lets a tag wait; a gap that ends with it is handed out.
fn keep(backlog: &mut Backlog, tag: Unit, dropped: &mut Vec<Unit>) -> Option<Dropped> {
    let had_gap = backlog.has_gap();
    let over = backlog.push(tag, dropped);
    if !had_gap && backlog.has_gap() {
        tracing::info!("the reader of the output is too slow, frames are left out");
    }
    over
}

/// The thread: writes each batch, and gives its buffers back; of one that fails those that went out.
fn serve(
    target: PipeTarget,
    mut batches: UnboundedReceiver<Vec<Unit>>,
    outcomes: &UnboundedSender<io::Result<Vec<Unit>>>,
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
    while let Some(mut batch) = batches.blocking_recv() {
        let outcome = write_all(&mut writer, &batch);
        if let Err((written, _)) = outcome {
            batch.truncate(complete_units(&batch, written).len());
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

fn total(batch: &[Unit]) -> usize {
    batch.iter().map(|unit| unit.bytes.len()).sum()
}

/// Bytes under way to the reader before the network is no longer read: two writes, so that the thread
/// has one while the next is gathered, and little of the memory that a download may take.
const MAX_IN_FLIGHT: usize = 512 * 1024;

/// Empty batches that are kept: as many as an attentive reader has under way.
const MAX_SPARE: usize = 8;

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
            if let Err(error) = pipe.send(vec![Unit::head(vec![0; 10])], &mut Vec::new()) {
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
        pipe.wait(&mut Vec::new()).await.unwrap();
        // More than the reader and the system take.
        let batch = [1000, 1 << 24, 1000].map(|length| Unit::head(vec![0; length]));
        pipe.send(batch.into(), &mut Vec::new()).unwrap();
        read_exactly(reader, 1013);
        drop(writer);
        let error = loop {
            if let Err(error) = pipe.wait(&mut Vec::new()).await {
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
