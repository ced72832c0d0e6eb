//! The state of admission: the next start, and the servers that do not answer.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use rand::{Rng, RngExt};

/// Why a server counts as failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFailure {
    /// Cause in words. Not escaped.
    pub(in crate::download) reason: String,
    /// Whether nothing accepts connections there, so that the server may not be running yet.
    pub(in crate::download) is_unreachable: bool,
}

/// Answer to a download that wants to connect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The connection may be made now.
    Admitted,
    /// Ask again at this time, or after a change.
    NotBefore(Instant),
    /// Ask again after a change: another download tries the server.
    AfterProbe,
    /// Another download has tried the server since the first question, without success.
    Failed(HostFailure),
}

/// Number of failures of the server at the first question of a waiting download.
#[derive(Debug, Default)]
pub(super) struct Seen(Option<u32>);

/// Decides when connections may be made.
#[derive(Debug)]
pub(super) struct Gate {
    stagger: Duration,
    /// Earliest time of the next connection.
    next: Option<Instant>,
    failing: HashMap<String, Failing>,
}

/// A server in its back-off.
#[derive(Debug)]
struct Failing {
    failures: u32,
    latest: HostFailure,
    /// Time of the latest failure.
    since: Instant,
    /// End of the back-off.
    until: Instant,
    /// Whether a download tries the server.
    is_probed: bool,
}

impl Gate {
    pub(super) fn new(stagger: Duration) -> Self {
        Self {
            stagger,
            next: None,
            failing: HashMap::new(),
        }
    }

    /// Returns whether a connection to `host` may be made now, without making it.
    pub(super) fn peek(&self, host: &str, now: Instant, seen: &mut Seen) -> Verdict {
        let Some(failing) = self.failing.get(host) else {
            *seen = Seen::default();
            return Verdict::Admitted;
        };
        let first = *seen.0.get_or_insert(failing.failures);
        match failing {
            _ if failing.failures > first => Verdict::Failed(failing.latest.clone()),
            _ if failing.until > now => Verdict::NotBefore(failing.until),
            Failing {
                is_probed: true, ..
            } => Verdict::AfterProbe,
            _ => Verdict::Admitted,
        }
    }

    /// Decides whether a connection to `host` is made now. In a back-off, it becomes the probe.
    pub(super) fn ask(&mut self, host: &str, now: Instant, seen: &mut Seen) -> Verdict {
        let verdict = self.peek(host, now, seen);
        if verdict == Verdict::Admitted
            && let Some(failing) = self.failing.get_mut(host)
        {
            failing.is_probed = true;
        }
        verdict
    }

    /// Reserves the time of the next connection.
    pub(super) fn slot(&mut self, now: Instant) -> Instant {
        let slot = self.next.map_or(now, |next| next.max(now));
        self.next = slot.checked_add(self.stagger);
        slot
    }

    /// Ends the back-off of a server.
    pub(super) fn succeeded(&mut self, host: &str) {
        self.failing.remove(host);
    }

    /// Starts or extends the back-off of a server, for a connection that began and failed at these times. A
    /// connection that began before the latest failure proves nothing new.
    pub(super) fn failed(
        &mut self,
        host: &str,
        (began, now): (Instant, Instant),
        failure: HostFailure,
        rng: &mut impl Rng,
    ) {
        let old = self.failing.get(host);
        if old.is_some_and(|old| began < old.since) {
            return;
        }
        let failures = old.map_or(0, |old| old.failures).saturating_add(1);
        self.forget_old(now);
        if self.failing.len() >= MAX_HOSTS && !self.failing.contains_key(host) {
            return;
        }
        let failing = Failing {
            failures,
            latest: failure,
            since: now,
            until: now.checked_add(backoff(failures, rng)).unwrap_or(now),
            is_probed: false,
        };
        self.failing.insert(host.to_owned(), failing);
    }

    /// Lets another download try the server: the connection ended without a result.
    pub(super) fn abandoned(&mut self, host: &str) {
        if let Some(failing) = self.failing.get_mut(host) {
            failing.is_probed = false;
        }
    }

    /// Forgets servers that nothing tries any more. Redirects may name any number of servers.
    fn forget_old(&mut self, now: Instant) {
        self.failing.retain(|_, failing| {
            let age = now.saturating_duration_since(failing.since);
            failing.is_probed || age < FORGET_AFTER
        });
    }
}

/// Back-off of 1, 2, 4, 8, 10 s with ±25 % jitter. It is shorter than that of a single download, because one
/// connection serves all.
fn backoff(failures: u32, rng: &mut impl Rng) -> Duration {
    let doublings = failures.saturating_sub(1).min(MAX_DOUBLINGS);
    let pause = SHORTEST_PAUSE
        .saturating_mul(1 << doublings)
        .min(LONGEST_PAUSE);
    pause.mul_f64(rng.random_range(0.75..=1.25))
}

const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Largest exponent; one more would exceed the longest back-off.
const MAX_DOUBLINGS: u32 = 4;

/// Time after which a failure is forgotten, longer than the pauses between the attempts of a download.
const FORGET_AFTER: Duration = Duration::from_secs(120);

/// Largest number of servers in a back-off.
pub(super) const MAX_HOSTS: usize = 4096;
