//! Writes lines to a reader that may be slow or gone, without delaying the download.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// Queue of lines, and a thread that writes them. If the queue is full, lines are dropped.
#[derive(Debug)]
pub struct LineWriter(Arc<Shared>);

/// Order in which lines are dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// Frequent lines, dropped first.
    Low,
    /// Rare lines.
    Normal,
    /// The last line, which is never dropped.
    Final,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<String>,
    /// Number of bytes of all lines, including the line in progress.
    bytes: usize,
    left_out: u64,
    is_closed: bool,
    /// The thread has ended: everything is written, or the reader is gone.
    is_over: bool,
}

impl LineWriter {
    /// Starts a thread that writes to the sink that `open` returns.
    ///
    /// # Errors
    ///
    /// Fails if `open` fails at once. A FIFO without a reader blocks it instead; then lines are queued.
    pub fn start<W: Write>(
        open: impl FnOnce() -> io::Result<W> + Send + 'static,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let writer = Self(Arc::clone(&shared));
        let (sender, opened) = mpsc::sync_channel(1);
        let thread = thread::Builder::new().name("events".to_owned());
        thread.spawn(move || {
            let written = open().map(|sink| {
                let _ = sender.try_send(Ok(()));
                // An error means that the reader is gone, so nothing is lost.
                let _ = shared.write_to(sink);
            });
            if let Err(error) = written {
                let _ = sender.try_send(Err(error));
            }
            shared.end();
        })?;
        match opened.recv_timeout(OPEN_TIMEOUT) {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(writer),
        }
    }

    /// Adds a line unless the queue is full.
    pub fn push(&self, line: String, priority: Priority) {
        let mut queue = self.0.lock();
        if queue.is_over || queue.is_closed {
            return;
        }
        let limit = match priority {
            Priority::Low => QUEUE_BYTES / 2,
            Priority::Normal => QUEUE_BYTES,
            Priority::Final => usize::MAX,
        };
        if queue.bytes.saturating_add(line.len()) > limit {
            queue.left_out += 1;
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line);
        self.0.changed.notify_all();
    }

    /// Returns the number of dropped lines.
    pub fn left_out(&self) -> u64 {
        self.0.lock().left_out
    }

    /// Waits until all lines are written, up to `timeout`. Later lines are ignored.
    pub fn finish(&self, timeout: Duration) {
        let mut queue = self.0.lock();
        queue.is_closed = true;
        self.0.changed.notify_all();
        let waited = self
            .0
            .changed
            .wait_timeout_while(queue, timeout, |queue| !queue.is_over);
        drop(waited);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_to(&self, mut sink: impl Write) -> io::Result<()> {
        while let Some(line) = self.next() {
            sink.write_all(line.as_bytes())?;
            sink.flush()?;
            self.lock().bytes -= line.len();
        }
        Ok(())
    }

    /// Waits for the next line. `None` means that no line will follow.
    fn next(&self) -> Option<String> {
        let queue = self.lock();
        let waited = self
            .changed
            .wait_while(queue, |queue| queue.lines.is_empty() && !queue.is_closed);
        waited
            .unwrap_or_else(PoisonError::into_inner)
            .lines
            .pop_front()
    }

    fn end(&self) {
        let mut queue = self.lock();
        queue.is_over = true;
        queue.lines = VecDeque::new();
        self.changed.notify_all();
    }
}

/// Size of the queue: some minutes of events.
const QUEUE_BYTES: usize = 1 << 20;

/// Time for `open` to fail; a sink that opens later than that is assumed to work.
const OPEN_TIMEOUT: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// Reader that takes a line per permit.
    struct Reader {
        may_read: mpsc::Receiver<()>,
        read: mpsc::Sender<String>,
    }

    impl Write for Reader {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.may_read.recv().map_err(io::Error::other)?;
            let line = String::from_utf8(bytes.to_vec()).unwrap();
            self.read.send(line).map_err(io::Error::other)?;
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn reader() -> (Reader, mpsc::Sender<()>, mpsc::Receiver<String>) {
        let (permit, may_read) = mpsc::channel();
        let (read, lines) = mpsc::channel();
        (Reader { may_read, read }, permit, lines)
    }

    #[test]
    fn a_full_queue_drops_lines_but_not_the_last_one() {
        let (reader, permit, read) = reader();
        let writer = LineWriter::start(|| Ok(reader)).unwrap();
        let line = "x".repeat(QUEUE_BYTES / 8);
        for (priority, expected) in [(Priority::Low, 2), (Priority::Normal, 4)] {
            (0..6).for_each(|_| writer.push(line.clone(), priority));
            assert_eq!(writer.left_out(), expected);
        }
        writer.push("last".to_owned(), Priority::Final);
        (0..20).for_each(|_| permit.send(()).unwrap());
        writer.finish(Duration::from_secs(10));
        let lines: Vec<_> = read.try_iter().collect();
        assert_eq!(lines.len(), 12 - 4 + 1, "lines");
        assert_eq!(lines.last().unwrap(), "last");
    }

    #[test]
    fn finish_waits_no_longer_than_its_timeout() {
        let (reader, permit, _read) = reader();
        let writer = LineWriter::start(|| Ok(reader)).unwrap();
        writer.push("line".to_owned(), Priority::Final);
        let begin = Instant::now();
        writer.finish(Duration::from_millis(50));
        assert!(begin.elapsed() < Duration::from_secs(5));
        drop(permit);
    }

    #[test]
    fn finish_does_not_wait_for_a_reader_that_is_gone() {
        let (reader, permit, read) = reader();
        let writer = LineWriter::start(|| Ok(reader)).unwrap();
        drop((permit, read));
        writer.push("line".to_owned(), Priority::Normal);
        let begin = Instant::now();
        writer.finish(Duration::from_secs(60));
        assert!(begin.elapsed() < Duration::from_secs(30));
        writer.push("line".to_owned(), Priority::Normal);
    }

    #[test]
    fn an_error_of_open_is_returned() {
        let open = || Err::<Vec<u8>, _>(io::ErrorKind::PermissionDenied.into());
        let error = LineWriter::start(open).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn a_sink_that_opens_late_receives_every_line() {
        let (reader, permit, read) = reader();
        let (sender, is_there) = mpsc::channel();
        let writer = LineWriter::start(move || {
            is_there.recv().map_err(io::Error::other)?;
            Ok(reader)
        });
        let writer = writer.unwrap();
        writer.push("line".to_owned(), Priority::Normal);
        sender.send(()).unwrap();
        permit.send(()).unwrap();
        writer.finish(Duration::from_secs(60));
        assert_eq!(read.recv().unwrap(), "line");
    }
}
