//! The state of admission: the next start, and the servers that do not answer.

use std::{collections::HashMap, sync::Arc, time::Duration};

use rand::Rng;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

use crate::download::retry::backoff;

/// Why a server counts as failing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostFailure {
    /// Cause in words. Not escaped.
    pub(in crate::download) reason: String,
    /// Whether nothing accepts connections there, so that the server may not be running yet.
    pub(in crate::download) is_unreachable: bool,
}

/// Decides when connections may be made.
#[derive(Debug)]
pub(super) struct Gate {
    stagger: Duration,
    /// Earliest time of the next connection.
    next: Option<Instant>,
    /// Earliest time of the next patient poll.
    next_poll: Option<Instant>,
    failing: HashMap<String, Failing>,
}

/// A server in its back-off.
#[derive(Debug)]
struct Failing {
    failures: u32,
    latest: HostFailure,
    /// Time of the latest failure.
    since: Instant,
    backoff: Backoff,
}

/// Time after a failure of a server, until a connection to it has a result.
#[derive(Debug, Clone)]
pub(super) struct Backoff {
    /// Earliest time of the probe.
    pub(super) until: Instant,
    /// The only permit is the right to probe the server. Closed with the result of a connection.
    probe: Arc<Semaphore>,
}

/// Right to probe a server in its back-off. If it is dropped without a result, the next download receives it.
#[derive(Debug)]
pub(super) struct ProbeRight(OwnedSemaphorePermit);

impl Gate {
    pub(super) fn new(stagger: Duration) -> Self {
        Self {
            stagger,
            next: None,
            next_poll: None,
            failing: HashMap::new(),
        }
    }

    /// Returns the back-off of `host`; `None` if connections may be made.
    pub(super) fn backoff(&self, host: &str) -> Option<Backoff> {
        Some(self.failing.get(host)?.backoff.clone())
    }

    /// Returns the latest failure of a server in its back-off.
    pub(super) fn failure(&self, host: &str) -> Option<HostFailure> {
        Some(self.failing.get(host)?.latest.clone())
    }

    /// Reserves the time of the next connection.
    pub(super) fn slot(&mut self, now: Instant) -> Instant {
        let slot = self.next.map_or(now, |next| next.max(now));
        self.next = slot.checked_add(self.stagger);
        slot
    }

    /// Reserves the time of the next patient poll, at `earliest` or later.
    pub(super) fn poll(&mut self, earliest: Instant) -> Instant {
        let poll = self.next_poll.map_or(earliest, |next| next.max(earliest));
        self.next_poll = poll.checked_add(POLL_SPACING);
        poll
    }

    /// Ends the back-off of a server.
    pub(super) fn succeeded(&mut self, host: &str) {
        self.failing.remove(host);
    }

    /// Starts or extends the back-off of a server, for a connection that began and failed at these times. A
    /// connection that began before the latest failure does not extend it.
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
        let pause = backoff(failures, LONGEST_PAUSE, rng);
        let failing = Failing {
            failures,
            latest: failure,
            since: now,
            backoff: Backoff {
                until: now.checked_add(pause).unwrap_or(now),
                probe: Arc::new(Semaphore::new(1)),
            },
        };
        self.failing.insert(host.to_owned(), failing);
    }

    /// Removes servers to which no download connects any longer, because redirects may name any number of servers.
    fn forget_old(&mut self, now: Instant) {
        self.failing.retain(|_, failing| {
            let age = now.saturating_duration_since(failing.since);
            failing.backoff.is_claimed() || age < FORGET_AFTER
        });
    }
}

impl Drop for Failing {
    /// Wakes the downloads that wait for the result.
    fn drop(&mut self) {
        self.backoff.probe.close();
    }
}

impl Backoff {
    /// Waits until a probe may be made. Only the download that makes it wakes up then. Returns `None` once a
    /// connection to the server has a result.
    pub(super) async fn probe(&self) -> Option<ProbeRight> {
        let right = Arc::clone(&self.probe).acquire_owned().await.ok()?;
        tokio::select! {
            () = sleep_until(self.until) => Some(ProbeRight(right)),
            // There is no second permit, so this ends only if the semaphore is closed.
            _ = self.probe.acquire() => None,
        }
    }

    /// Whether a download probes the server, or is going to.
    fn is_claimed(&self) -> bool {
        self.probe.available_permits() == 0
    }
}

impl ProbeRight {
    /// Whether a connection to the server has had a result since then.
    pub(super) fn is_outdated(&self) -> bool {
        self.0.semaphore().is_closed()
    }
}

/// Longest back-off. It is shorter than that of a single download, because one connection serves all.
pub(super) const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Time between two patient polls. Each poll is a connection, so that polls of thousands of missing streams would cost
/// a large part of a core.
const POLL_SPACING: Duration = Duration::from_millis(50);

/// Time after which a failure is forgotten, longer than the pauses between the attempts of a download.
const FORGET_AFTER: Duration = Duration::from_secs(120);

/// Largest number of servers in a back-off.
pub(super) const MAX_HOSTS: usize = 4096;
