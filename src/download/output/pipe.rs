//! A pipe, a FIFO, a device: written by a thread of its own, so that a reader that pauses holds up
//! nothing but itself.

use std::{
    fs::{File, OpenOptions},
    io,
    path::PathBuf,
    sync::mpsc,
    thread,
};

use tokio::sync::mpsc as async_mpsc;

use super::{
    Written,
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
        };
        pipe.send(vec![head])?;
        Ok(pipe)
    }

    pub(super) fn send(&mut self, batch: Vec<Vec<u8>>) -> io::Result<()> {
        let length = total(&batch);
        if self.batches.send(batch).is_err() {
            return Err(self.failure());
        }
        self.in_flight += length;
        Ok(())
    }

    /// Whether the reader is so far behind that no more is to be read from the network.
    pub(super) fn is_full(&self) -> bool {
        self.in_flight >= MAX_IN_FLIGHT
    }

    /// Whether all that was sent is written.
    pub(super) fn is_idle(&self) -> bool {
        self.in_flight == 0
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

    fn note(&mut self, outcome: io::Result<Vec<Vec<u8>>>) -> io::Result<Vec<Vec<u8>>> {
        let batch = outcome?;
        self.in_flight -= total(&batch);
        self.written.add_tags(&batch);
        if !self.is_head_written {
            self.is_head_written = true;
            self.written.tags = 0;
        }
        Ok(batch)
    }
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
            let mut pipe = Pipe::start(PipeTarget::Path(path.into()), vec![0; 10]).unwrap();
            let error = loop {
                if let Err(error) = pipe.send(vec![vec![0; 10]]) {
                    break error;
                }
                thread::sleep(Duration::from_millis(1));
            };
            assert_eq!(error.kind(), kind, "{path}");
        }
    }

    #[tokio::test]
    async fn what_went_out_before_a_failure_counts() {
        let (reader, writer) = io::pipe().unwrap();
        let path = format!("/dev/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&writer));
        let mut pipe = Pipe::start(PipeTarget::Path(path.into()), vec![0; 13]).unwrap();
        pipe.wait().await.unwrap();
        // More than the reader and the system take.
        pipe.send(vec![vec![0; 1000], vec![0; 1 << 24], vec![0; 1000]])
            .unwrap();
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
