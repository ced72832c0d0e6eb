//! The stop request of the user, and the last steps of a recording, which it shortens.

use std::{
    io,
    time::{Duration, Instant},
};

use tokio::sync::watch;

use super::Tee;

/// The user's request to end a download or a conversion.
#[derive(Debug, Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Creates a stop request, and the handle that sets it by sending `true`.
    pub fn new() -> (watch::Sender<bool>, Self) {
        let (sender, receiver) = watch::channel(false);
        (sender, Self(receiver))
    }

    /// Whether the user requested the end.
    pub fn is_requested(&self) -> bool {
        *self.0.borrow()
    }

    /// Waits for the stop request. Never returns if the sending handle was dropped.
    pub(crate) async fn requested(&mut self) {
        if self.0.wait_for(|is_requested| *is_requested).await.is_err() {
            std::future::pending().await
        }
    }
}

impl Tee {
    /// Writes everything and finishes the outputs. The reader of a pipe may take any time until the user stops
    /// the program. Returns whether a stop request ended the wait for the reader.
    pub(crate) async fn finish_unless_stopped(&mut self, stop: &mut Stop) -> io::Result<bool> {
        tokio::select! {
            biased;
            () = stop.requested() => {}
            finished = self.finish(None) => return finished.map(|()| false),
        }
        let deadline = Instant::now().checked_add(READER_PATIENCE);
        match self.finish(deadline).await {
            Err(error) if error.kind() == io::ErrorKind::TimedOut => Ok(true),
            finished => finished.map(|()| false),
        }
    }

    /// Waits for the running hooks, up to a limit that is shorter after a stop request.
    pub(crate) async fn finish_hooks_unless_stopped(&mut self, stop: &mut Stop) {
        let is_stopped = stop.is_requested();
        let patience = if is_stopped {
            LAST_HOOK_PATIENCE
        } else {
            HOOK_PATIENCE
        };
        let now = Instant::now();
        let deadline = now.checked_add(patience).unwrap_or(now);
        tokio::select! {
            () = self.finish_hooks(deadline) => {}
            () = stop.requested(), if !is_stopped => {}
        }
        self.abandon_hooks();
    }
}

/// Time that the reader of a pipe gets for the remaining data after a stop request. The process
/// must exit within one second, and closing the session may have used some of that time.
const READER_PATIENCE: Duration = Duration::from_millis(750);

/// Time that hooks get after the recording has ended.
const HOOK_PATIENCE: Duration = Duration::from_secs(10);

/// Time that hooks get after a stop request; together with the other steps it must fit into one
/// second.
const LAST_HOOK_PATIENCE: Duration = Duration::from_millis(400);
