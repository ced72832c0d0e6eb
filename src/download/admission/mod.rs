//! Admission of connections when many downloads run in one process: their number, the time between them, and
//! one shared back-off per server.

mod gate;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use rand::rngs::StdRng;
use tokio::{
    sync::{Notify, OwnedSemaphorePermit, Semaphore},
    time::sleep_until,
};

pub use self::gate::HostFailure;
use self::gate::{Gate, Seen, Verdict};
use crate::transport::Endpoint;

/// Limits of the connections of all downloads that share it.
///
/// While a server cannot be reached, one download at a time tries it. The result applies to all downloads that
/// wait for the same server, so that a restarted server is not overloaded.
pub struct Admission {
    connections: Option<Arc<Semaphore>>,
    gate: Mutex<Gate>,
    /// Notified if a server has answered or failed.
    changed: Notify,
}

impl Admission {
    /// Creates limits: at most `connections` at a time, if given, and `stagger` between two of them.
    pub fn new(connections: Option<usize>, stagger: Duration) -> Self {
        let permits = |connections: usize| Semaphore::new(connections.min(Semaphore::MAX_PERMITS));
        Self {
            connections: connections.map(|connections| Arc::new(permits(connections))),
            gate: Mutex::new(Gate::new(stagger)),
            changed: Notify::new(),
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
        let mut seen = Seen::default();
        loop {
            self.wait_for(&host, &mut seen).await?;
            let connection = self.connection().await;
            let slot = self.gate().slot(Instant::now());
            sleep_until(slot.into()).await;
            // The server may have failed during the waits.
            match self.gate().ask(&host, Instant::now(), &mut seen) {
                Verdict::Admitted => {
                    return Ok(Permit {
                        admission: Arc::clone(self),
                        host,
                        began: Instant::now(),
                        is_settled: false,
                        _connection: connection,
                    });
                }
                Verdict::Failed(failure) => return Err(failure),
                Verdict::NotBefore(_) | Verdict::AfterProbe => {}
            }
        }
    }

    /// Waits until the server is not in its back-off, or until a probe of it may be made.
    async fn wait_for(&self, host: &str, seen: &mut Seen) -> Result<(), HostFailure> {
        loop {
            // Registered before the check, so that no notification is lost in between.
            let changed = self.changed.notified();
            let verdict = self.gate().peek(host, Instant::now(), seen);
            match verdict {
                Verdict::Admitted => return Ok(()),
                Verdict::Failed(failure) => return Err(failure),
                Verdict::AfterProbe => changed.await,
                Verdict::NotBefore(time) => {
                    tokio::select! {
                        () = changed => {}
                        () = sleep_until(time.into()) => {}
                    }
                }
            }
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
    _connection: Option<OwnedSemaphorePermit>,
}

impl Permit {
    /// Notes that the server has answered.
    pub(super) fn succeeded(&mut self) {
        if !self.is_settled {
            self.is_settled = true;
            self.settle(|gate, host| gate.succeeded(host));
        }
    }

    /// Notes that the server cannot be reached, or did not complete the handshake.
    pub(super) fn failed(&mut self, failure: HostFailure) {
        if !self.is_settled {
            self.is_settled = true;
            let (began, now) = (self.began, Instant::now());
            let mut rng: StdRng = rand::make_rng();
            self.settle(|gate, host| gate.failed(host, (began, now), failure, &mut rng));
        }
    }

    fn settle(&self, note: impl FnOnce(&mut Gate, &str)) {
        note(&mut self.admission.gate(), &self.host);
        self.admission.changed.notify_waiters();
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        if !self.is_settled {
            self.settle(Gate::abandoned);
        }
    }
}
