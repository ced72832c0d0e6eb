//! Waiting no longer than allowed.

use std::{
    io::{self, ErrorKind},
    time::Duration,
};

use tokio::time::timeout;

/// How long one step of making a connection may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Timeout {
    /// `None` waits for ever.
    pub(super) bound: Option<Duration>,
}

impl Timeout {
    /// Does `work` within the bound.
    pub(super) async fn on<T>(self, work: impl Future<Output = io::Result<T>>) -> io::Result<T> {
        let Some(bound) = self.bound else {
            return work.await;
        };
        timeout(bound, work).await.unwrap_or_else(|_| {
            let told = format!(
                "no answer within the connect timeout of {} s",
                bound.as_secs_f32()
            );
            Err(io::Error::new(ErrorKind::TimedOut, told))
        })
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        let bound = Duration::from_secs(8);
        let start = Instant::now();
        let waited = Timeout { bound: Some(bound) }
            .on::<()>(std::future::pending())
            .await;
        assert_eq!(
            waited.unwrap_err().to_string(),
            "no answer within the connect timeout of 8 s"
        );
        assert_eq!(Instant::now() - start, bound);
    }
}
