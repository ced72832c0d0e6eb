//! The limit on requests of the server.

use std::time::{Duration, Instant};

/// The limit on requests that follow each other closely.
#[derive(Debug, Default)]
pub(super) struct RequestLimit {
    /// Number of requests since the last quiet period.
    count: u32,
    latest: Option<Instant>,
}

impl RequestLimit {
    /// Counts a request. Returns the time at which the move starts: at once for the first request, then after
    /// 1, 2, 4 … 64 s. Returns `None` if there were too many requests.
    pub(super) fn admit(&mut self, now: Instant) -> Option<Instant> {
        let quiet = self.latest.map(|at| now.saturating_duration_since(at));
        if quiet.is_none_or(|quiet| quiet >= QUIET_PERIOD) {
            self.count = 0;
        }
        self.latest = Some(now);
        self.count = self.count.saturating_add(1);
        match self.count {
            1 => Some(now),
            count @ ..=MAX_REQUESTS => {
                let pause = Duration::from_secs(1 << count.saturating_sub(2));
                now.checked_add(pause)
            }
            _ => None,
        }
    }
}

/// Largest number of requests without a quiet period between them.
const MAX_REQUESTS: u32 = 8;

/// Time without a request after which the limit starts again.
const QUIET_PERIOD: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repeated_requests_are_delayed_and_then_ignored() {
        let (mut limit, start) = (RequestLimit::default(), Instant::now());
        let waits: Vec<_> = (0..9)
            .map(|_| limit.admit(start).map(|at| (at - start).as_secs()))
            .collect();
        let expected = [0, 1, 2, 4, 8, 16, 32, 64].map(Some);
        assert_eq!(waits[..8], expected);
        assert_eq!(waits[8], None);
        let later = start + QUIET_PERIOD;
        assert_eq!(limit.admit(later), Some(later));
    }
}
