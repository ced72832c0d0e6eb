//! The download of one stream.

use std::{
    any::Any,
    future::poll_fn,
    panic::{AssertUnwindSafe, catch_unwind},
    pin::{Pin, pin},
    sync::Arc,
    task::Poll,
};

use tracing::Instrument;

use super::log_span;
use crate::{
    cli::{
        create_files,
        exit_code::Exit,
        job::capture::CaptureFile,
        report::{Listener, Listeners},
    },
    download::{self, Ending, Job, Outcome, Stop},
    output::Gaps,
};

/// A download that has not started.
#[derive(Debug)]
pub(super) struct Task {
    pub(super) name: Arc<str>,
    pub(super) job: Box<Job>,
    pub(super) capture: Option<Box<CaptureFile>>,
    pub(super) listeners: Listeners,
    pub(super) stop: Stop,
}

/// Result of a download.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) name: Arc<str>,
    pub(super) exit: Exit,
    pub(super) ending: Ending,
    pub(super) bytes: u64,
    pub(super) tags: u64,
    pub(super) duration_ms: u64,
    pub(super) gap_count: u64,
    pub(super) gap_total_ms: u64,
}

impl Task {
    /// Runs the download until it ends. A failure, even a panic, is the result of this stream only.
    pub(super) async fn run(self) -> Ended {
        let Self {
            name,
            mut job,
            capture,
            mut listeners,
            stop,
        } = self;
        let span = log_span(&name);
        async move {
            let created = create_files(capture.as_deref(), &mut job);
            drop(capture);
            let outcome = match created {
                Ok(()) => {
                    let download = download::run(&job, &mut listeners, stop);
                    // Boxed, because its type is deeply nested.
                    let download: Pin<Box<dyn Future<Output = Outcome>>> = Box::pin(download);
                    let download = catch_panic(download).await;
                    download.unwrap_or_else(|panic| {
                        failed(Ending::Cut, format!("internal error: {}", message(&*panic)))
                    })
                }
                Err(error) => failed(Ending::OutputFailed, format!("{error:#}")),
            };
            listeners.finished(&outcome);
            Ended::of(name, &outcome)
        }
        .instrument(span)
        .await
    }

    /// Ends the download before its start.
    pub(super) fn fail(mut self, reason: &str) -> Ended {
        let outcome = failed(Ending::OutputFailed, reason.to_owned());
        self.listeners.finished(&outcome);
        Ended::of(self.name, &outcome)
    }
}

impl Ended {
    fn of(name: Arc<str>, outcome: &Outcome) -> Self {
        Self {
            name,
            exit: Exit::from(outcome),
            ending: outcome.ending,
            bytes: outcome.bytes,
            tags: outcome.tags,
            duration_ms: outcome.position_ms,
            gap_count: outcome.gaps.count(),
            gap_total_ms: outcome.gaps.total_ms(),
        }
    }
}

/// Runs `work` and returns its panic as an error.
async fn catch_panic<T>(work: impl Future<Output = T>) -> Result<T, Box<dyn Any + Send>> {
    let mut work = pin!(work);
    poll_fn(|context| {
        // After a panic, the future is only dropped, so that its broken state is not observed.
        match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(result)) => Poll::Ready(Ok(result)),
            Err(panic) => Poll::Ready(Err(panic)),
        }
    })
    .await
}

/// Returns the message of a panic.
fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    text.unwrap_or("unknown cause")
}

/// Returns the outcome of a download that failed by itself.
fn failed(ending: Ending, reason: String) -> Outcome {
    Outcome {
        ending,
        reason,
        media_arrived: false,
        handshake_done: true,
        is_live: true,
        bytes: 0,
        tags: 0,
        position_ms: 0,
        duration_ms: None,
        gaps: Gaps::default(),
        missing_sequence_headers: Vec::new(),
        missing_tracks: Vec::new(),
        hints: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_the_result_of_its_stream() {
        assert_eq!(catch_panic(async { 5 }).await.unwrap(), 5);
        let panics = async {
            tokio::task::yield_now().await;
            panic!("number {}", 7);
        };
        let panic = catch_panic::<()>(panics).await.unwrap_err();
        assert_eq!(message(&*panic), "number 7");
        let outcome = failed(Ending::Cut, String::new());
        assert_eq!(Exit::from(&outcome), Exit::Failure);
    }
}
