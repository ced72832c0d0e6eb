//! Files that are being finished.

use std::{
    collections::VecDeque,
    io,
    sync::mpsc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use super::{SegmentFacts, Totals};

/// Runs the last steps of files in threads, and returns their results in order.
///
/// The end of an MP4 file is computed from the complete file and must be synced, which takes seconds on a slow
/// disk. Meanwhile, the recording continues in the next file.
#[derive(Debug)]
pub(super) struct Finishing<T> {
    tasks: VecDeque<Task<T>>,
    polled_at: Option<Instant>,
}

/// A file that is being finished.
#[derive(Debug)]
struct Task<T> {
    expected: Expected,
    state: State<T>,
}

/// Facts that a file has once it is finished.
#[derive(Debug, Default)]
pub(super) struct Expected {
    /// Size and tags.
    pub(super) totals: Totals,
    /// Facts to report, if any.
    pub(super) facts: Option<SegmentFacts>,
}

#[derive(Debug)]
enum State<T> {
    Running(FinishThread<T>),
    Done(Finished<T>),
}

/// A file, and the result of its last steps.
type Finished<T> = (T, io::Result<()>);

type FinishThread<T> = JoinHandle<io::Result<Finished<T>>>;

impl<T> Default for Finishing<T> {
    fn default() -> Self {
        Self {
            tasks: VecDeque::new(),
            polled_at: None,
        }
    }
}

impl<T> Finishing<T> {
    /// Adds a file whose last steps are done.
    pub(super) fn add(&mut self, file: T, expected: Expected, result: io::Result<()>) {
        let state = State::Done((file, result));
        self.tasks.push_back(Task { expected, state });
    }

    /// Returns whether no file is being finished.
    pub(super) fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Returns whether [`Finishing::wait`] must be called before another file is added.
    pub(super) fn is_full(&self) -> bool {
        self.tasks.len() >= MAX_TASKS
    }

    /// Sum of all files once they are finished.
    pub(super) fn totals(&self) -> Totals {
        let totals = self.tasks.iter().map(|task| task.expected.totals);
        totals.fold(Totals::default(), Totals::saturating_add)
    }

    /// Returns the oldest file and the result of its last steps, once they are done.
    pub(super) fn take(&mut self) -> Option<io::Result<Finished<T>>> {
        match &self.tasks.front()?.state {
            State::Running(thread) if !thread.is_finished() => None,
            _ => self.wait(),
        }
    }

    /// Waits for the oldest file. Returns `None` if there is none.
    pub(super) fn wait(&mut self) -> Option<io::Result<Finished<T>>> {
        let task = self.tasks.pop_front()?;
        Some(match task.state {
            State::Done(finished) => Ok(finished),
            State::Running(thread) => join(thread),
        })
    }

    /// Gives up the oldest file. Its thread continues as long as the process runs.
    pub(super) fn abandon(&mut self) -> Option<Expected> {
        self.tasks.pop_front().map(|task| task.expected)
    }

    /// Records that [`Finishing::take`] was called.
    pub(super) fn polled(&mut self, now: Instant) {
        self.polled_at = Some(now);
    }

    /// Time at which [`Finishing::take`] must be called.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.tasks.front()?;
        self.polled_at?.checked_add(POLL_INTERVAL)
    }
}

impl<T: Send + 'static> Finishing<T> {
    /// Runs the last steps of a file in a thread.
    pub(super) fn start(
        &mut self,
        now: Instant,
        mut file: T,
        expected: Expected,
        finish: fn(&mut T) -> io::Result<()>,
    ) {
        // The file follows once the thread runs, so that it is not lost if no thread can be created.
        let (sender, receiver) = mpsc::sync_channel::<T>(1);
        let run = move || {
            let mut file = receiver.recv().map_err(io::Error::other)?;
            let result = finish(&mut file);
            Ok((file, result))
        };
        let state = match thread::Builder::new().name("finish".to_owned()).spawn(run) {
            Ok(thread) => {
                let _thread_receives = sender.send(file);
                State::Running(thread)
            }
            Err(error) => {
                tracing::warn!("cannot start a thread to finish the file: {error}");
                let result = finish(&mut file);
                State::Done((file, result))
            }
        };
        self.polled_at = Some(now);
        self.tasks.push_back(Task { expected, state });
    }
}

fn join<T>(thread: FinishThread<T>) -> io::Result<Finished<T>> {
    let panicked = |_| {
        Err(io::Error::other(
            "the thread that finishes the file panicked",
        ))
    };
    thread.join().unwrap_or_else(panicked)
}

/// Largest number of files that are finished at the same time. Each of them has an open file and a thread.
const MAX_TASKS: usize = 4;

/// Time between two checks of the running threads.
const POLL_INTERVAL: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is finished once its sender is dropped.
    type Slow = (u32, mpsc::Receiver<()>);

    fn finish((number, receiver): &mut Slow) -> io::Result<()> {
        let _dropped = receiver.recv();
        match number {
            0 => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }

    fn expected() -> Expected {
        Expected {
            totals: Totals { bytes: 10, tags: 1 },
            facts: None,
        }
    }

    fn start(finishing: &mut Finishing<Slow>, number: u32) -> mpsc::Sender<()> {
        let (sender, receiver) = mpsc::channel();
        finishing.start(Instant::now(), (number, receiver), expected(), finish);
        sender
    }

    fn wait(finishing: &mut Finishing<Slow>) -> (u32, bool) {
        let ((number, _), result) = finishing.wait().unwrap().unwrap();
        (number, result.is_ok())
    }

    #[test]
    fn files_return_in_order_and_keep_their_results() {
        let mut finishing = Finishing::default();
        let first = start(&mut finishing, 1);
        drop(start(&mut finishing, 0));
        finishing.add((2, mpsc::channel().1), expected(), Ok(()));
        assert!(finishing.take().is_none(), "the first file is not finished");
        assert_eq!(finishing.totals().bytes, 30);
        assert!(finishing.deadline().is_some());
        drop(first);
        assert_eq!(wait(&mut finishing), (1, true));
        assert_eq!(wait(&mut finishing), (0, false));
        assert_eq!(finishing.totals().bytes, 10);
        assert_eq!(finishing.take().unwrap().unwrap().0.0, 2);
        assert!(finishing.is_empty() && finishing.wait().is_none());
        assert_eq!(finishing.deadline(), None);
    }

    #[test]
    fn number_of_threads_is_limited() {
        let mut finishing = Finishing::default();
        let mut senders = Vec::new();
        while !finishing.is_full() {
            senders.push(start(&mut finishing, 1));
        }
        assert_eq!(senders.len(), MAX_TASKS);
        assert!(finishing.take().is_none());
        senders.clear();
        wait(&mut finishing);
        assert!(!finishing.is_full());
    }
}
