//! The thread that writes a pipe, and its handle.

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

use super::backlog::{Backlog, DroppedFrames, Drops};
use crate::output::{
    Totals,
    muxer::Unit,
    write_queue::{complete_units, write_all},
};

/// The pipe that is written.
#[derive(Debug, Clone)]
pub(in crate::output) enum PipeTarget {
    Stdout,
    Path(PathBuf),
}

/// Handle of the thread that writes a pipe.
///
/// The thread writes one batch of units after another and returns each for reuse. A reader that pauses
/// blocks only the thread. The caller then either stops reading from the network, see
/// [`PipeWriter::is_full`], or lets units wait in a [`Backlog`].
#[derive(Debug)]
pub(super) struct PipeWriter {
    batches: UnboundedSender<Vec<Unit>>,
    results: UnboundedReceiver<io::Result<Vec<Unit>>>,
    /// Empty batches for reuse.
    spare: Vec<Vec<Unit>>,
    /// Bytes that were sent to the thread and are not written yet.
    in_flight: usize,
    written: Totals,
    is_head_written: bool,
    /// `None` if the network waits for the reader.
    backlog: Option<Backlog>,
    /// Time since which the reader has accepted nothing.
    paused_since: Option<Instant>,
    is_behind: bool,
    /// Gaps that the caller has not taken yet.
    gaps: VecDeque<DroppedFrames>,
    /// Totals of all finished gaps.
    drops: Drops,
}

impl PipeWriter {
    /// Starts the thread, which opens the target: opening a FIFO blocks until it has a reader.
    pub(super) fn start(target: PipeTarget) -> io::Result<Self> {
        // These channels reuse their memory: a warm download does not allocate.
        let (batches, incoming) = unbounded_channel();
        let (outgoing, results) = unbounded_channel();
        thread::Builder::new()
            .name("pipe".to_owned())
            .stack_size(128 * 1024)
            .spawn(move || run(target, incoming, &outgoing))?;
        Ok(Self {
            batches,
            results,
            spare: Vec::new(),
            in_flight: 0,
            written: Totals::default(),
            is_head_written: false,
            backlog: None,
            paused_since: None,
            is_behind: false,
            gaps: VecDeque::new(),
            drops: Drops::default(),
        })
    }

    /// Sends the head. Must be called once, before any unit is sent.
    pub(super) fn send_head(&mut self, head: Vec<u8>) -> io::Result<()> {
        self.send_batch(vec![Unit::head(head)])
    }

    /// Lets up to `limit` bytes wait for a slow reader while the stream continues.
    pub(super) fn allow_backlog(&mut self, limit: usize) {
        self.backlog.get_or_insert_with(|| Backlog::new(limit));
    }

    /// Sends a batch, or adds it to the backlog. Dropped units are added to `dropped`. `wall` is the current
    /// wall-clock time.
    pub(super) fn send(
        &mut self,
        mut batch: Vec<Unit>,
        wall: Timestamp,
        dropped: &mut Vec<Unit>,
    ) -> io::Result<()> {
        match &mut self.backlog {
            Some(backlog) if self.is_behind => {
                backlog.set_wall_clock(wall);
                for unit in batch.drain(..) {
                    if let Some(gap) = push(backlog, unit, dropped) {
                        self.drops.add(&gap);
                        self.gaps.push_back(gap);
                    }
                }
                self.reuse(batch);
                self.catch_up()
            }
            _ => self.send_batch(batch),
        }
    }

    /// Returns the oldest finished gap that was not returned before.
    pub(super) fn take_gap(&mut self) -> Option<DroppedFrames> {
        self.gaps.pop_front()
    }

    /// Ends the current gap: no further frame follows.
    pub(super) fn end_gap(&mut self) {
        if let Some(gap) = self.backlog.as_mut().and_then(Backlog::take_gap) {
            self.drops.add(&gap);
            self.gaps.push_back(gap);
        }
    }

    /// Totals of all gaps, with the current one.
    pub(super) fn drops(&self) -> Drops {
        let mut drops = self.drops;
        if let Some(gap) = self.backlog.as_ref().and_then(Backlog::current_gap) {
            drops.add(&gap);
        }
        drops
    }

    /// Returns an empty batch, to be filled and sent.
    pub(super) fn spare_batch(&mut self) -> Vec<Unit> {
        self.spare.pop().unwrap_or_default()
    }

    /// Keeps an empty batch for [`PipeWriter::spare_batch`].
    pub(super) fn recycle_batch(&mut self, empty: Vec<Unit>) {
        self.reuse(empty);
    }

    /// Whether the caller must stop reading from the network until the reader has accepted more.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight >= MAX_IN_FLIGHT && !self.is_behind
    }

    /// Whether the stream continues although the reader is slow.
    pub(super) fn is_behind(&self) -> bool {
        self.is_behind
    }

    /// Time at which [`PipeWriter::check_reader`] must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let may_fall_behind = self.backlog.is_some() && !self.is_behind;
        let paused_since = self.paused_since.filter(|_| may_fall_behind)?;
        paused_since.checked_add(MAX_PAUSE)
    }

    /// Starts to use the backlog if the reader has paused for too long, and stops once it has caught up.
    pub(super) fn check_reader(&mut self, now: Instant) {
        if self.in_flight < MAX_IN_FLIGHT {
            self.paused_since = None;
            self.is_behind &= self.backlog.as_ref().is_some_and(Backlog::is_needed);
        } else {
            self.paused_since.get_or_insert(now);
        }
        if self.deadline().is_some_and(|deadline| deadline <= now) {
            tracing::debug!("the reader of the output pauses, the stream continues");
            self.is_behind = true;
        }
    }

    /// Whether everything that was sent is written.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0 && self.backlog.as_ref().is_none_or(Backlog::is_empty)
    }

    /// Bytes and tags that the thread has reported as written.
    pub(super) fn written(&self) -> Totals {
        self.written
    }

    /// Waits until a batch is written. Its units are added to `written`. The future may be dropped and
    /// created again.
    pub(super) async fn wait(&mut self, written: &mut Vec<Unit>) -> io::Result<()> {
        match self.results.recv().await {
            Some(result) => self.note(result, written),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// Processes the batches that are written by now. Their units are added to `written`.
    pub(super) fn poll(&mut self, written: &mut Vec<Unit>) -> io::Result<()> {
        while let Ok(result) = self.results.try_recv() {
            self.note(result, written)?;
        }
        Ok(())
    }

    /// Returns the error with which the thread ended.
    fn failure(&mut self) -> io::Error {
        while let Ok(result) = self.results.try_recv() {
            match result {
                Ok(batch) => self.count(&batch),
                Err(error) => return error,
            }
        }
        io::ErrorKind::BrokenPipe.into()
    }

    fn send_batch(&mut self, batch: Vec<Unit>) -> io::Result<()> {
        let length = total_bytes(&batch);
        if self.batches.send(batch).is_err() {
            return Err(self.failure());
        }
        self.in_flight = self.in_flight.saturating_add(length);
        Ok(())
    }

    /// Sends units of the backlog until enough are in flight.
    fn catch_up(&mut self) -> io::Result<()> {
        while self.in_flight < MAX_IN_FLIGHT
            && let Some(backlog) = self.backlog.as_mut().filter(|backlog| !backlog.is_empty())
        {
            let mut batch = self.spare.pop().unwrap_or_default();
            backlog.take(MAX_IN_FLIGHT / 2, &mut batch);
            self.send_batch(batch)?;
        }
        Ok(())
    }

    fn note(&mut self, result: io::Result<Vec<Unit>>, written: &mut Vec<Unit>) -> io::Result<()> {
        let mut batch = result?;
        self.count(&batch);
        written.append(&mut batch);
        self.reuse(batch);
        self.catch_up()
    }

    fn count(&mut self, batch: &[Unit]) {
        self.in_flight = self.in_flight.saturating_sub(total_bytes(batch));
        self.paused_since = None;
        self.written.add_units(batch);
        if !self.is_head_written {
            self.is_head_written = true;
            self.written.tags = 0;
        }
    }

    fn reuse(&mut self, empty: Vec<Unit>) {
        if self.spare.len() < MAX_SPARE {
            self.spare.push(empty);
        }
    }
}

/// Adds a unit to the backlog and logs the start of a gap. Returns the gap that the unit ends.
fn push(backlog: &mut Backlog, unit: Unit, dropped: &mut Vec<Unit>) -> Option<DroppedFrames> {
    let had_gap = backlog.has_gap();
    let finished = backlog.push(unit, dropped);
    if !had_gap && backlog.has_gap() {
        tracing::info!("the reader of the output is too slow, dropping frames");
    }
    finished
}

/// Runs the thread: writes each batch and returns it. Of a batch that fails, only the written units are
/// returned, followed by the error.
fn run(
    target: PipeTarget,
    mut batches: UnboundedReceiver<Vec<Unit>>,
    results: &UnboundedSender<io::Result<Vec<Unit>>>,
) {
    let opened = match target {
        PipeTarget::Stdout => unbuffered_stdout(),
        PipeTarget::Path(path) => OpenOptions::new().write(true).open(path),
    };
    let mut writer = match opened {
        Ok(writer) => writer,
        Err(error) => {
            let _handle_is_dropped = results.send(Err(error));
            return;
        }
    };
    while let Some(mut batch) = batches.blocking_recv() {
        let written = write_all(&mut writer, &batch);
        if let Err((bytes, _)) = written {
            batch.truncate(complete_units(&batch, bytes).len());
        }
        let has_handle = results.send(Ok(batch)).is_ok();
        if let Err((_, error)) = written {
            let _handle_is_dropped = results.send(Err(error));
            return;
        }
        if !has_handle {
            return;
        }
    }
}

/// Duplicates standard output. The handle of the standard library buffers lines.
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

fn total_bytes(batch: &[Unit]) -> usize {
    batch.iter().map(|unit| unit.as_bytes().len()).sum()
}

/// Bytes in flight at which the network is no longer read: two writes, so that the thread has one while
/// the next is collected.
const MAX_IN_FLIGHT: usize = 256 * 1024;

/// Number of empty batches: as many as are in flight with a fast reader.
const MAX_SPARE: usize = 8;

/// Longest time that a live stream waits for its reader. A reader that is only slow accepts something
/// sooner, and a server does not notice a pause of this length.
const MAX_PAUSE: Duration = Duration::from_millis(250);

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_failed_thread_reports_its_error() {
        for (path, kind) in [
            ("/dev/full", io::ErrorKind::StorageFull),
            ("/nowhere/at/all", io::ErrorKind::NotFound),
        ] {
            let error = failure(PipeTarget::Path(path.into()));
            assert_eq!(error.kind(), kind, "{path}");
        }
    }

    /// Returns the error of a pipe. A fast thread fails before the head is sent.
    fn failure(target: PipeTarget) -> io::Error {
        let mut pipe = PipeWriter::start(target).unwrap();
        if let Err(error) = pipe.send_head(vec![0; 10]) {
            return error;
        }
        loop {
            if let Err(error) = pipe.send(
                vec![Unit::head(vec![0; 10])],
                Timestamp::UNIX_EPOCH,
                &mut Vec::new(),
            ) {
                return error;
            }
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[tokio::test]
    async fn units_written_before_a_failure_count() {
        let (reader, writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let mut pipe = PipeWriter::start(PipeTarget::Path(path.into())).unwrap();
        pipe.send_head(vec![0; 13]).unwrap();
        pipe.wait(&mut Vec::new()).await.unwrap();
        // More than the reader and the pipe buffer accept.
        let batch = [1000, 1 << 24, 1000].map(|length| Unit::head(vec![0; length]));
        pipe.send(batch.into(), Timestamp::UNIX_EPOCH, &mut Vec::new())
            .unwrap();
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
