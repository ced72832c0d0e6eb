//! Lines for a reader that may be slow, or gone, and must not delay anything.

use std::{
    collections::VecDeque,
    io::{self, Write},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc},
    thread,
    time::Duration,
};

/// A queue of lines, and a thread that writes them. What a slow reader has no room for is left out.
#[derive(Debug)]
pub struct LineWriter(Arc<Shared>);

/// What is left out first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Priority {
    /// One of many: another like it comes soon.
    Low,
    /// What happens now and then.
    Normal,
    /// What must not be missed, once.
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
    /// In the lines, and in the one that is being written.
    bytes: usize,
    left_out: u64,
    is_closed: bool,
    /// Everything is written, or the reader is gone.
    is_over: bool,
}

impl LineWriter {
    /// Has a thread write to what `open` gives. Fails where that fails at once: a FIFO without a reader
    /// opens when one comes.
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
                // Whoever does not read any more wants to know no more.
                let _ = shared.write_to(sink);
            });
            if let Err(error) = written {
                let _ = sender.try_send(Err(error));
            }
            shared.end();
        })?;
        match opened.recv_timeout(OPEN_PATIENCE) {
            Ok(Err(error)) => Err(error),
            Ok(Ok(())) | Err(_) => Ok(writer),
        }
    }

    /// Adds a line, unless there is no room.
    pub fn push(&self, line: String, priority: Priority) {
        let mut queue = self.0.lock();
        if queue.is_over || queue.is_closed {
            return;
        }
        let room = match priority {
            Priority::Low => QUEUE_BYTES / 2,
            Priority::Normal => QUEUE_BYTES,
            Priority::Final => usize::MAX,
        };
        if queue.bytes.saturating_add(line.len()) > room {
            queue.left_out += 1;
            return;
        }
        queue.bytes += line.len();
        queue.lines.push_back(line);
        self.0.changed.notify_all();
    }

    /// How many lines were left out.
    pub fn left_out(&self) -> u64 {
        self.0.lock().left_out
    }

    /// Waits until all lines are written, but no longer than `patience`. None is taken any more.
    pub fn finish(&self, patience: Duration) {
        let mut queue = self.0.lock();
        queue.is_closed = true;
        self.0.changed.notify_all();
        let waited = self
            .0
            .changed
            .wait_timeout_while(queue, patience, |queue| !queue.is_over);
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

    /// The next line, once there is one; none where there will be none.
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

/// What waits for a slow reader at the most: some minutes of events.
const QUEUE_BYTES: usize = 1 << 20;

/// How long an error may take that says that the reader cannot be written to.
const OPEN_PATIENCE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use std::time::Instant;

    use super::*;

    /// A reader that takes a line whenever it is let.
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
    fn leaves_out_what_a_slow_reader_has_no_room_for_but_not_the_last_line() {
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
    fn waits_no_longer_than_it_should() {
        let (reader, permit, _read) = reader();
        let writer = LineWriter::start(|| Ok(reader)).unwrap();
        writer.push("line".to_owned(), Priority::Final);
        let begin = Instant::now();
        writer.finish(Duration::from_millis(50));
        assert!(begin.elapsed() < Duration::from_secs(5));
        drop(permit);
    }

    #[test]
    fn a_reader_that_is_gone_is_waited_for_no_more() {
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
    fn what_cannot_be_opened_is_told() {
        let open = || Err::<Vec<u8>, _>(io::ErrorKind::PermissionDenied.into());
        let error = LineWriter::start(open).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
    }

    #[test]
    fn what_opens_late_gets_everything() {
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
