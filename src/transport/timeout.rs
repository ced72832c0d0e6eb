//! Time limit of a dialing step.

use std::{
    io::{self, ErrorKind},
    time::{Duration, Instant},
};

/// Limit of one dialing step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeout {
    /// Longest duration of the step; `None` means no limit.
    pub(super) limit: Option<Duration>,
}

impl Timeout {
    /// Runs `step` as [`Timeout::run`] does, logs how long it took, and sets `time` to its duration, also
    /// after a failure.
    pub(super) async fn run_timed<T>(
        self,
        name: &str,
        time: &mut Option<Duration>,
        step: impl Future<Output = io::Result<T>>,
    ) -> io::Result<T> {
        let start = Instant::now();
        let done = self.run(step).await;
        let elapsed = start.elapsed();
        *time = Some(elapsed);
        if done.is_ok() {
            let ms = elapsed.as_secs_f64() * 1000.0;
            tracing::debug!("{name} after {ms:.1} ms");
        }
        done
    }

    /// Runs `step`, and fails with [`ErrorKind::TimedOut`] if it exceeds the limit.
    pub(super) async fn run<T>(self, step: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let Some(limit) = self.limit else {
            return step.await;
        };
        tokio::time::timeout(limit, step).await.unwrap_or_else(|_| {
            let text = format!(
                "no answer within the connect timeout of {} s",
                limit.as_secs_f32()
            );
            Err(io::Error::new(ErrorKind::TimedOut, text))
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_step_that_exceeds_the_limit_fails() {
        let limit = Duration::from_secs(8);
        let start = Instant::now();
        let result = Timeout { limit: Some(limit) }
            .run::<()>(std::future::pending())
            .await;
        assert_eq!(
            result.unwrap_err().to_string(),
            "no answer within the connect timeout of 8 s"
        );
        assert_eq!(Instant::now() - start, limit);
    }
}
