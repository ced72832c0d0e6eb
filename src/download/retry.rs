//! Retry policy: which endings are worth another attempt, and when.

use std::time::{Duration, Instant};

use rand::{Rng, RngExt};

use super::{
    Ending,
    outcome::{EndCause, Facts},
};
use crate::{
    core::rtmp::client::{End, Timeout, config::Timeouts},
    transport::DialError,
};

/// When to reconnect. The default never does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Number of consecutive attempts without media after a lost connection; `None` means no limit.
    pub attempts: Option<u32>,
    /// How long to poll for a stream that does not exist yet.
    pub wait: WaitPolicy,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: Some(0),
            wait: WaitPolicy::None,
        }
    }
}

/// How long to wait for a missing stream (`--wait`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WaitPolicy {
    /// Do not wait.
    #[default]
    None,
    /// Wait for this long.
    UpTo(Duration),
    /// Wait without limit.
    Forever,
}

/// The next attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextAttempt {
    /// Its number in the series, from 1.
    pub(super) number: u32,
    /// Largest number of attempts.
    pub(super) limit: Option<u32>,
    /// Delay before the attempt.
    pub(super) wait: Duration,
    /// Whether the stream has been missing for so long that the attempt may wait for those of other downloads.
    pub(super) is_patient: bool,
}

/// The attempts since media last arrived.
#[derive(Debug)]
pub(super) struct AttemptSeries {
    policy: RetryPolicy,
    /// Number of attempts after a lost connection.
    attempts: u32,
    /// Number of polls for a missing stream.
    polls: u32,
    /// Number of polls since the server could last not be reached.
    answers: u32,
    /// Time at which the wait for a missing stream started.
    waiting_since: Option<Instant>,
}

impl AttemptSeries {
    pub(super) fn new(policy: RetryPolicy) -> Self {
        Self {
            policy,
            attempts: 0,
            polls: 0,
            answers: 0,
            waiting_since: None,
        }
    }

    /// Restarts the count after media has arrived.
    pub(super) fn reset(&mut self) {
        self.attempts = 0;
        self.polls = 0;
        self.answers = 0;
        self.waiting_since = None;
    }

    /// Returns the attempt that follows this ending, or `None` if the download is over.
    pub(super) fn next(
        &mut self,
        (ending, cause): (Ending, &EndCause),
        facts: &Facts,
        now: Instant,
        rng: &mut impl Rng,
    ) -> Option<NextAttempt> {
        if self.policy.wait != WaitPolicy::None && is_missing(ending, cause, facts) {
            let wait = self.remaining_wait(now)?.min(POLL_INTERVAL);
            self.polls = self.polls.saturating_add(1);
            // All streams of a restarted server are expected soon.
            self.answers = match ending {
                Ending::NoConnection => 0,
                _ => self.answers.saturating_add(1),
            };
            return Some(NextAttempt {
                number: self.polls,
                limit: None,
                wait,
                is_patient: self.policy.wait == WaitPolicy::Forever && self.answers > URGENT_POLLS,
            });
        }
        self.waiting_since = None;
        self.is_lost(ending, cause, facts)
            .then(|| self.repeat(rng))?
    }

    /// Whether the connection was lost or could not be made, so that another attempt may help.
    pub(super) fn is_lost(&self, ending: Ending, cause: &EndCause, facts: &Facts) -> bool {
        is_lost(ending, cause, facts, self.policy.attempts.is_none())
    }

    /// Returns the attempt after a loss, or `None` if there were too many.
    pub(super) fn repeat(&mut self, rng: &mut impl Rng) -> Option<NextAttempt> {
        let limit = self.policy.attempts;
        if limit.is_some_and(|limit| self.attempts >= limit) {
            return None;
        }
        self.attempts = self.attempts.saturating_add(1);
        Some(NextAttempt {
            number: self.attempts,
            limit,
            wait: backoff(self.attempts, LONGEST_PAUSE, rng),
            is_patient: false,
        })
    }

    /// Returns `timeouts` with the time that the next attempt may wait for the first media.
    ///
    /// Without an answer to `play`, the server may be at fault, so that waiting without limit does not help.
    pub(super) fn limit_first_media(&mut self, now: Instant, timeouts: Timeouts) -> Timeouts {
        match self.policy.wait {
            WaitPolicy::None => timeouts,
            WaitPolicy::Forever => Timeouts {
                first_media_after_start: None,
                ..timeouts
            },
            WaitPolicy::UpTo(_) => {
                let rest = self.remaining_wait(now).unwrap_or(LAST_POLL_PATIENCE);
                let unanswered = timeouts.first_media.unwrap_or(Duration::MAX);
                Timeouts {
                    first_media: Some(unanswered.min(rest)),
                    first_media_after_start: Some(rest),
                    ..timeouts
                }
            }
        }
    }

    /// Rest of `--wait`; `None` once it has expired.
    fn remaining_wait(&mut self, now: Instant) -> Option<Duration> {
        let wait = match self.policy.wait {
            WaitPolicy::None => return None,
            WaitPolicy::UpTo(wait) => wait,
            WaitPolicy::Forever => return Some(Duration::MAX),
        };
        let since = *self.waiting_since.get_or_insert(now);
        let rest = wait.saturating_sub(now.saturating_duration_since(since));
        (!rest.is_zero()).then_some(rest)
    }
}

/// Whether the stream does not exist, or not yet.
///
/// Servers report a missing stream in different ways: with a status, with an end before any media,
/// with silence, or by closing the connection. A server that refuses connections is not running yet.
fn is_missing(ending: Ending, cause: &EndCause, facts: &Facts) -> bool {
    match ending {
        Ending::NotFound => true,
        Ending::Stalled | Ending::Unpublished => {
            matches!(cause, EndCause::Session(End::TimedOut(Timeout::FirstMedia)))
        }
        Ending::NoConnection if !facts.has_media => match cause {
            EndCause::Dial(DialError::Tcp { .. }) => true,
            EndCause::HostFailed(failure) => failure.is_unreachable,
            _ => false,
        },
        Ending::Cut if !facts.has_media => {
            cause.is_disconnect() || matches!(cause, EndCause::Session(End::Unpublished(_)))
        }
        _ => false,
    }
}

/// Whether the connection was lost or could not be made.
///
/// A live stream that stays silent on a new connection no longer has a publisher. Only an unlimited
/// series (`is_unlimited`) waits for it.
fn is_lost(ending: Ending, cause: &EndCause, facts: &Facts, is_unlimited: bool) -> bool {
    match ending {
        // The next connection would bring the same stream.
        Ending::Cut if matches!(cause, EndCause::StartIgnored { .. }) => false,
        // An end before any media means that the stream has no publisher.
        Ending::Cut if matches!(cause, EndCause::Session(End::Unpublished(_))) => facts.has_media,
        Ending::Stalled
            if matches!(cause, EndCause::Session(End::TimedOut(Timeout::FirstMedia))) =>
        {
            facts.has_media
        }
        Ending::Unpublished
            if matches!(cause, EndCause::Session(End::TimedOut(Timeout::FirstMedia))) =>
        {
            is_unlimited
        }
        Ending::Cut | Ending::Stalled => facts.has_media || facts.is_playing,
        Ending::Closed => facts.is_live,
        Ending::NoConnection => facts.has_media,
        _ => false,
    }
}

/// Backoff of 1, 2, 4 … s up to `longest`, of at most 32 s, with ±25 % jitter, so that clients of a restarted server do
/// not reconnect simultaneously. `number` counts attempts or failures from 1.
pub(super) fn backoff(number: u32, longest: Duration, rng: &mut impl Rng) -> Duration {
    let doublings = number.saturating_sub(1).min(MAX_DOUBLINGS);
    let pause = SHORTEST_PAUSE.saturating_mul(1 << doublings).min(longest);
    pause.mul_f64(rng.random_range(0.75..=1.25))
}

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Largest exponent, for 32 s.
const MAX_DOUBLINGS: u32 = 5;

/// Interval between polls for a missing stream.
const POLL_INTERVAL: Duration = Duration::from_secs(5);

/// Number of polls that do not wait for those of other downloads: one minute.
const URGENT_POLLS: u32 = 12;

/// Time for the first media after the last poll, which happens when `--wait` expires.
const LAST_POLL_PATIENCE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::{download::admission::HostFailure, transport::tls};

    const PLAYED: Facts = Facts {
        is_live: true,
        is_recorded: false,
        is_connected: true,
        is_shaking_hands: false,
        is_playing: true,
        has_media: true,
        first_timestamp_ms: 0,
        length_ms: 1_000,
        duration_ms: None,
        frame_interval_ms: 40,
        timeouts: Timeouts {
            handshake: None,
            command: None,
            first_media: None,
            first_media_after_start: None,
            silence: None,
        },
    };

    const NOTHING_CAME: Facts = Facts {
        has_media: false,
        length_ms: 0,
        ..PLAYED
    };

    fn closed() -> EndCause {
        EndCause::PeerClosed {
            between_messages: false,
        }
    }

    fn silent(timeout: Timeout) -> EndCause {
        EndCause::Session(End::TimedOut(timeout))
    }

    fn series(attempts: Option<u32>, wait: WaitPolicy) -> AttemptSeries {
        AttemptSeries::new(RetryPolicy { attempts, wait })
    }

    fn next(
        series: &mut AttemptSeries,
        ending: Ending,
        cause: &EndCause,
        facts: &Facts,
    ) -> Option<Duration> {
        let mut rng = rand::rngs::StdRng::seed_from_u64(1);
        let now = Instant::now();
        series
            .next((ending, cause), facts, now, &mut rng)
            .map(|attempt| attempt.wait)
    }

    #[test]
    fn backoff_doubles_up_to_30_seconds() {
        let mut series = series(Some(8), WaitPolicy::None);
        for seconds in [1.0, 2.0, 4.0, 8.0, 16.0, 30.0, 30.0, 30.0] {
            let pause = next(&mut series, Ending::Cut, &closed(), &PLAYED).unwrap();
            let share = pause.as_secs_f64() / seconds;
            assert!((0.75..=1.25).contains(&share), "{pause:?} for {seconds} s");
        }
        assert_eq!(next(&mut series, Ending::Cut, &closed(), &PLAYED), None);
        series.reset();
        let pause = next(&mut series, Ending::Cut, &closed(), &PLAYED).unwrap();
        assert!(pause < Duration::from_secs(2), "media came in between");
    }

    #[test]
    fn lost_connections_are_retried_and_final_endings_are_not() {
        let stopped = || EndCause::Session(End::Unpublished(String::new()));
        let cases = [
            (Ending::Cut, closed(), PLAYED, true),
            (Ending::Closed, closed(), PLAYED, true),
            (Ending::Stalled, silent(Timeout::Silence), PLAYED, true),
            (
                Ending::Unpublished,
                silent(Timeout::FirstMedia),
                PLAYED,
                true,
            ),
            (Ending::NoConnection, closed(), PLAYED, true),
            (Ending::Cut, closed(), NOTHING_CAME, true),
            (Ending::NoConnection, closed(), NOTHING_CAME, false),
            (
                Ending::Stalled,
                silent(Timeout::FirstMedia),
                NOTHING_CAME,
                false,
            ),
            (Ending::Unpublished, stopped(), PLAYED, false),
            (Ending::Ended, stopped(), PLAYED, false),
            (Ending::NotFound, stopped(), PLAYED, false),
            (Ending::Refused, stopped(), PLAYED, false),
            (Ending::Interrupted, EndCause::Stopped, PLAYED, false),
            (Ending::Limit, EndCause::Limit, PLAYED, false),
        ];
        for (ending, cause, facts, expected) in cases {
            let attempt = next(&mut series(None, WaitPolicy::None), ending, &cause, &facts);
            assert_eq!(attempt.is_some(), expected, "{ending} after {cause:?}");
        }
    }

    /// Two silent connections are one minute with the default timeouts.
    #[test]
    fn a_silent_stream_is_given_up_after_the_second_silent_connection() {
        let mut limited = series(Some(5), WaitPolicy::None);
        let first = silent(Timeout::Silence);
        assert!(next(&mut limited, Ending::Stalled, &first, &PLAYED).is_some());
        let second = silent(Timeout::FirstMedia);
        assert_eq!(
            next(&mut limited, Ending::Unpublished, &second, &PLAYED),
            None
        );
    }

    #[test]
    fn a_close_after_connect_is_not_retried() {
        let facts = Facts {
            is_playing: false,
            is_connected: false,
            ..NOTHING_CAME
        };
        let mut series = series(None, WaitPolicy::None);
        assert_eq!(next(&mut series, Ending::Cut, &closed(), &facts), None);
        let silent = silent(Timeout::Connect);
        assert_eq!(next(&mut series, Ending::Stalled, &silent, &facts), None);
    }

    #[test]
    fn a_complete_recorded_stream_is_not_retried() {
        let recorded = Facts {
            is_live: false,
            ..PLAYED
        };
        let mut series = series(None, WaitPolicy::None);
        assert_eq!(
            next(&mut series, Ending::Closed, &closed(), &recorded),
            None
        );
        assert!(next(&mut series, Ending::Cut, &closed(), &recorded).is_some());
    }

    #[test]
    fn a_missing_stream_is_polled_as_long_as_wait_allows() {
        let not_found = EndCause::Session(End::NotFound(String::new()));
        let silent = silent(Timeout::FirstMedia);
        let missing = [(Ending::NotFound, &not_found), (Ending::Stalled, &silent)];
        for (ending, cause) in missing {
            let mut patient = series(Some(0), WaitPolicy::Forever);
            for _ in 0..100 {
                let wait = next(&mut patient, ending, cause, &NOTHING_CAME);
                assert_eq!(wait, Some(POLL_INTERVAL));
            }
            let mut impatient = series(Some(9), WaitPolicy::UpTo(Duration::ZERO));
            assert_eq!(next(&mut impatient, ending, cause, &NOTHING_CAME), None);
        }
    }

    #[test]
    fn polls_are_patient_after_a_minute_of_answers() {
        let not_found = EndCause::Session(End::NotFound(String::new()));
        let refused = EndCause::HostFailed(HostFailure {
            reason: String::new(),
            is_unreachable: true,
        });
        let is_patient = |series: &mut AttemptSeries, ending, cause| {
            let mut rng = rand::rngs::StdRng::seed_from_u64(1);
            let attempt = series.next((ending, cause), &NOTHING_CAME, Instant::now(), &mut rng);
            attempt.is_some_and(|attempt| attempt.is_patient)
        };
        let mut forever = series(Some(0), WaitPolicy::Forever);
        for _ in 0..2 {
            for poll in 1..=20 {
                let is_patient = is_patient(&mut forever, Ending::NotFound, &not_found);
                assert_eq!(is_patient, poll > 12, "poll {poll}");
            }
            assert!(!is_patient(&mut forever, Ending::NoConnection, &refused));
        }
        let mut limited = series(Some(0), WaitPolicy::UpTo(Duration::from_secs(3600)));
        for _ in 0..20 {
            assert!(!is_patient(&mut limited, Ending::NotFound, &not_found));
        }
    }

    #[test]
    fn the_last_poll_happens_when_wait_expires() {
        let not_found = EndCause::Session(End::NotFound(String::new()));
        let began = Instant::now();
        let mut series = series(Some(0), WaitPolicy::UpTo(Duration::from_secs(7)));
        for (passed, wait) in [(0, Some(5)), (5, Some(2)), (7, None), (8, None)] {
            let attempt = series.next(
                (Ending::NotFound, &not_found),
                &NOTHING_CAME,
                began + Duration::from_secs(passed),
                &mut rand::rngs::StdRng::seed_from_u64(1),
            );
            let expected = wait.map(Duration::from_secs);
            assert_eq!(attempt.map(|attempt| attempt.wait), expected, "{passed}");
        }
    }

    /// One server closes after `createStream`, another after Play.Start, if a stream is missing.
    #[test]
    fn wait_polls_after_a_close_before_any_media() {
        let reset = EndCause::Broken(std::io::ErrorKind::ConnectionReset.into());
        for cause in [closed(), reset] {
            for is_playing in [false, true] {
                let facts = Facts {
                    is_playing,
                    ..NOTHING_CAME
                };
                let mut patient = series(Some(0), WaitPolicy::Forever);
                for _ in 0..10 {
                    let wait = next(&mut patient, Ending::Cut, &cause, &facts);
                    assert_eq!(wait, Some(POLL_INTERVAL));
                }
                let mut expired = series(None, WaitPolicy::UpTo(Duration::ZERO));
                assert_eq!(next(&mut expired, Ending::Cut, &cause, &facts), None);
            }
        }
    }

    /// A server that is not running yet refuses connections. Other failures of dialing are permanent.
    #[test]
    fn wait_polls_a_server_that_refuses_connections() {
        let endpoint = crate::transport::Endpoint {
            host: "h".to_owned(),
            port: 1935,
        };
        let refused = EndCause::Dial(DialError::Tcp {
            endpoint: endpoint.clone(),
            source: std::io::ErrorKind::ConnectionRefused.into(),
        });
        let no_tls = EndCause::Dial(DialError::Tls {
            endpoint,
            cause: String::new(),
            fault: tls::Fault::Other,
        });
        let facts = Facts {
            is_playing: false,
            is_connected: false,
            ..NOTHING_CAME
        };
        let wait_for = |cause, wait| {
            let mut series = series(Some(0), wait);
            next(&mut series, Ending::NoConnection, cause, &facts)
        };
        assert_eq!(wait_for(&refused, WaitPolicy::Forever), Some(POLL_INTERVAL));
        assert_eq!(wait_for(&refused, WaitPolicy::None), None);
        assert_eq!(wait_for(&no_tls, WaitPolicy::Forever), None);
    }

    #[test]
    fn an_attempt_waits_for_media_as_long_as_wait_allows() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let default = Timeouts {
            first_media: seconds(30),
            first_media_after_start: seconds(30),
            ..PLAYED.timeouts
        };
        let now = Instant::now();
        let limits = |wait, passed| {
            let mut series = series(None, wait);
            series.limit_first_media(now, default);
            let limited = series.limit_first_media(now + Duration::from_secs(passed), default);
            (limited.first_media, limited.first_media_after_start)
        };
        assert_eq!(limits(WaitPolicy::None, 5), (seconds(30), seconds(30)));
        assert_eq!(limits(WaitPolicy::Forever, 5), (seconds(30), None));
        let minute = WaitPolicy::UpTo(Duration::from_secs(60));
        assert_eq!(limits(minute, 15), (seconds(30), seconds(45)));
        assert_eq!(limits(minute, 40), (seconds(20), seconds(20)));
        assert_eq!(
            limits(minute, 60),
            (seconds(1), seconds(1)),
            "the last poll"
        );
    }

    /// Polls for a missing stream must not use up the attempts that a lost connection is worth.
    #[test]
    fn polls_do_not_use_up_attempts() {
        let not_found = EndCause::Session(End::NotFound(String::new()));
        let mut series = series(Some(2), WaitPolicy::Forever);
        for _ in 0..100 {
            assert!(next(&mut series, Ending::NotFound, &not_found, &PLAYED).is_some());
        }
        for is_worth_it in [true, true, false] {
            let attempt = next(&mut series, Ending::Cut, &closed(), &PLAYED);
            assert_eq!(attempt.is_some(), is_worth_it);
        }
    }
}
