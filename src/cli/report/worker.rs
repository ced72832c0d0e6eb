//! Delivery of messages to files and sockets that may block.

use std::{
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender},
    thread,
    time::{Duration, Instant},
};

use crate::download::Progress;

/// Thread that delivers messages, so that a disk or a peer that hangs never delays the download.
#[derive(Debug)]
pub(super) struct Worker<M> {
    /// `None` after [`Worker::finish`].
    messages: Option<SyncSender<M>>,
    ended: Receiver<()>,
}

impl<M: Send + 'static> Worker<M> {
    /// Runs `deliver` on a new thread until the sender is gone. Up to `capacity` messages wait for it.
    pub(super) fn start(
        name: &str,
        capacity: usize,
        deliver: impl FnOnce(&Receiver<M>) + Send + 'static,
    ) -> io::Result<Self> {
        let (messages, received) = mpsc::sync_channel(capacity);
        let (end, ended) = mpsc::sync_channel::<()>(0);
        thread::Builder::new()
            .name(name.to_owned())
            .spawn(move || {
                // Dropped when the thread ends, which disconnects `ended`.
                let _end = end;
                deliver(&received);
            })?;
        Ok(Self {
            messages: Some(messages),
            ended,
        })
    }

    /// Sends a message unless the queue is full. Returns whether it was sent.
    pub(super) fn send(&self, message: M) -> bool {
        let messages = self.messages.as_ref();
        messages.is_some_and(|messages| messages.try_send(message).is_ok())
    }

    /// Waits until all messages are delivered, up to `timeout`. Returns whether they were.
    pub(super) fn finish(&mut self, timeout: Duration) -> bool {
        self.messages = None;
        self.ended.recv_timeout(timeout) != Err(RecvTimeoutError::Timeout)
    }
}

/// Decides when to report progress: when media has just arrived, and at most once per interval.
#[derive(Debug)]
pub(super) struct ProgressTimer {
    interval: Duration,
    frames: u64,
    last: Option<Instant>,
}

impl ProgressTimer {
    /// Creates a timer for which the first media is due at once.
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            frames: 0,
            last: None,
        }
    }

    /// Returns whether a report is due, and restarts the interval if it is. Must be called for each
    /// progress: without new media since the previous call, nothing is due.
    pub(super) fn is_due(&mut self, progress: &Progress, now: Instant) -> bool {
        let has_media = progress.frames != self.frames;
        self.frames = progress.frames;
        let is_over = self
            .last
            .is_none_or(|last| now.duration_since(last) >= self.interval);
        if has_media && is_over {
            self.last = Some(now);
        }
        has_media && is_over
    }

    /// Returns whether any report has been due.
    pub(super) fn has_fired(&self) -> bool {
        self.last.is_some()
    }

    /// Makes the next media due at once.
    #[cfg(unix)]
    pub(super) fn restart(&mut self) {
        self.last = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_queue_drops_messages() {
        let (go, wait) = mpsc::channel::<()>();
        let (delivered, received) = mpsc::channel();
        let deliver = move |messages: &Receiver<u8>| {
            let _ = wait.recv();
            messages.iter().for_each(|message| {
                let _ = delivered.send(message);
            });
        };
        let mut worker = Worker::start("test", 2, deliver).unwrap();
        assert_eq!(
            [1, 2, 3].map(|message| worker.send(message)),
            [true, true, false]
        );
        assert!(
            !worker.finish(Duration::from_millis(10)),
            "the last message is still waiting"
        );
        drop(go);
        assert!(worker.finish(Duration::from_secs(10)));
        assert_eq!(received.iter().collect::<Vec<_>>(), [1, 2]);
        assert!(!worker.send(4), "it has ended");
    }

    #[test]
    fn progress_is_due_once_per_interval_and_only_with_media() {
        let progress = |frames| Progress {
            frames,
            ..Progress::default()
        };
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut timer = ProgressTimer::new(Duration::from_secs(2));
        let calls = [
            (0, 0),
            (1, 5),
            (2_000, 6),
            (2_001, 6),
            (2_002, 7),
            (9_000, 7),
        ];
        let due: Vec<_> = calls
            .into_iter()
            .filter(|(ms, frames)| timer.is_due(&progress(*frames), at(*ms)))
            .collect();
        assert_eq!(due, [(1, 5), (2_002, 7)]);
    }
}
