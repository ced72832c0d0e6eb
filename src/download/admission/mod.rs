//! Admission of connections when many downloads run in one process: their number, the time between them, and
//! one shared back-off per server.

mod gate;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use rand::rngs::StdRng;
use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{Instant, sleep_until},
};

pub use self::gate::HostFailure;
use self::gate::{Gate, ProbeRight};
use crate::transport::Endpoint;

/// Limits for the connections of all downloads of a process.
///
/// While a server cannot be reached, one download at a time tries it. The result applies to all downloads that
/// wait for the same server, so that a restarted server is not overloaded.
pub struct Admission {
    connections: Option<Arc<Semaphore>>,
    gate: Mutex<Gate>,
}

impl Admission {
    /// Admits at most `connections` at a time (`None` is unlimited), which start at least `stagger` apart.
    pub fn new(connections: Option<usize>, stagger: Duration) -> Self {
        let permits = |connections: usize| Semaphore::new(connections.min(Semaphore::MAX_PERMITS));
        Self {
            connections: connections.map(|connections| Arc::new(permits(connections))),
            gate: Mutex::new(Gate::new(stagger)),
        }
    }

    /// Waits until a connection to `endpoint` may be made. Cancelling it is safe.
    ///
    /// # Errors
    ///
    /// Fails if another download has tried the server in the meantime without success.
    pub(super) async fn admit(
        self: &Arc<Self>,
        endpoint: &Endpoint,
    ) -> Result<Permit, HostFailure> {
        let host = endpoint.to_string();
        loop {
            let right = self.probe_right(&host).await?;
            let connection = self.connection().await;
            let slot = self.gate().slot(Instant::now());
            sleep_until(slot).await;
            // The server may have failed or answered during the waits.
            let failure = self.gate().failure(&host);
            let is_outdated = right.as_ref().is_none_or(ProbeRight::is_outdated);
            match failure.filter(|_| is_outdated) {
                None => {
                    return Ok(Permit {
                        admission: Arc::clone(self),
                        host,
                        began: Instant::now(),
                        is_settled: false,
                        right,
                        _connection: connection,
                    });
                }
                Some(failure) if right.is_some() => return Err(failure),
                Some(_) => {}
            }
        }
    }

    /// Returns the delay of the next poll for a stream that has been missing for a while: `wait`, or longer if many
    /// streams are missing.
    pub(super) fn delay_of_poll(&self, wait: Duration) -> Duration {
        let now = Instant::now();
        let earliest = now.checked_add(wait).unwrap_or(now);
        self.gate().poll(earliest).saturating_duration_since(now)
    }

    /// Waits until the server is not in its back-off, or until it may be probed.
    async fn probe_right(&self, host: &str) -> Result<Option<ProbeRight>, HostFailure> {
        let Some(backoff) = self.gate().backoff(host) else {
            return Ok(None);
        };
        match backoff.probe().await {
            Some(right) => Ok(Some(right)),
            None => self.gate().failure(host).map_or(Ok(None), Err),
        }
    }

    async fn connection(&self) -> Option<OwnedSemaphorePermit> {
        let connections = self.connections.as_ref()?;
        // Fails only if the semaphore is closed, which never happens.
        Arc::clone(connections).acquire_owned().await.ok()
    }

    fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Admission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Admission").finish_non_exhaustive()
    }
}

/// Right to one connection, until it is dropped. It reports whether the server answered.
#[derive(Debug)]
pub(super) struct Permit {
    admission: Arc<Admission>,
    host: String,
    began: Instant,
    /// Whether the success or the failure of the connection was noted.
    is_settled: bool,
    /// Held until then, if the connection is the probe of a server in its back-off.
    right: Option<ProbeRight>,
    _connection: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// Notes that the server has answered.
    pub(super) fn succeeded(&mut self) {
        self.settle(|gate, host, _| gate.succeeded(host));
    }

    /// Notes that the server cannot be reached, or did not complete the handshake.
    pub(super) fn failed(&mut self, failure: HostFailure) {
        self.settle(|gate, host, began| {
            let mut rng: StdRng = rand::make_rng();
            gate.failed(host, (began, Instant::now()), failure, &mut rng);
        });
    }

    /// Notes the first result, and ignores later ones.
    fn settle(&mut self, note: impl FnOnce(&mut Gate, &str, Instant)) {
        if !std::mem::replace(&mut self.is_settled, true) {
            note(&mut self.admission.gate(), &self.host, self.began);
            self.right = None;
        }
    }
}
