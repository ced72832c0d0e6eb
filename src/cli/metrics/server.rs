//! Connections of the metrics server.

use std::{convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{sleep, timeout},
};
#[cfg(unix)]
use {
    std::{fs, os::unix::fs::FileTypeExt, path::Path},
    tokio::net::UnixListener,
};

use super::{address::MetricsAddress, response::Site};

/// Socket that accepts connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    #[cfg(unix)]
    Unix(UnixListener),
}

impl Listener {
    /// Listens on `address`. Returns the address with the chosen port. Must be called within a runtime.
    pub(super) fn bind(address: &MetricsAddress) -> io::Result<(Self, MetricsAddress)> {
        match address {
            MetricsAddress::Tcp(address) => {
                let listener = std::net::TcpListener::bind(address)?;
                listener.set_nonblocking(true)?;
                let bound = listener.local_addr()?;
                let listener = TcpListener::from_std(listener)?;
                Ok((Self::Tcp(listener), MetricsAddress::Tcp(bound)))
            }
            #[cfg(unix)]
            MetricsAddress::Unix(path) => {
                remove_stale_socket(path)?;
                let listener = UnixListener::bind(path)?;
                Ok((Self::Unix(listener), address.clone()))
            }
            #[cfg(not(unix))]
            MetricsAddress::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    /// Answers requests. Never returns.
    pub(super) async fn serve(self, site: Arc<Site>) {
        let slots = Arc::new(Semaphore::new(MAX_CONNECTIONS));
        loop {
            // Further connections wait in the queue of the system.
            let Ok(slot) = Arc::clone(&slots).acquire_owned().await else {
                return;
            };
            if let Err(error) = self.accept(&site, slot).await {
                tracing::debug!("cannot accept a connection for metrics: {error}");
                // Probably too many files are open. The connection stays in the queue.
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }

    async fn accept(&self, site: &Arc<Site>, slot: OwnedSemaphorePermit) -> io::Result<()> {
        let site = Arc::clone(site);
        match self {
            Self::Tcp(listener) => {
                let (socket, _) = listener.accept().await?;
                tokio::spawn(answer(socket, site, slot));
            }
            #[cfg(unix)]
            Self::Unix(listener) => {
                let (socket, _) = listener.accept().await?;
                tokio::spawn(answer(socket, site, slot));
            }
        }
        Ok(())
    }
}

/// Answers one request. The limits of time free the slot of a client that does not send or read.
async fn answer(
    socket: impl AsyncRead + AsyncWrite + Unpin,
    site: Arc<Site>,
    _slot: OwnedSemaphorePermit,
) {
    let service = service_fn(|request| {
        let response = site.respond(request.method(), request.uri().path());
        async { Ok::<_, Infallible>(response) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .max_buf_size(MAX_HEADER_BYTES)
        .keep_alive(false)
        .serve_connection(TokioIo::new(socket), service);
    match timeout(CONNECTION_TIMEOUT, connection).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!("a connection for metrics failed: {error}"),
        Err(_) => tracing::debug!("a connection for metrics took too long"),
    }
}

/// Removes the socket of a process that was killed.
///
/// # Errors
///
/// Fails if another process listens on the socket. A file of another type is left for `bind` to report.
#[cfg(unix)]
fn remove_stale_socket(path: &Path) -> io::Result<()> {
    let is_socket = fs::symlink_metadata(path).is_ok_and(|facts| facts.file_type().is_socket());
    if !is_socket {
        return Ok(());
    }
    match std::os::unix::net::UnixStream::connect(path) {
        Ok(_) => Err(io::ErrorKind::AddrInUse.into()),
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => fs::remove_file(path),
        Err(error) => Err(error),
    }
}

/// Number of connections at a time: more than the scrapers, health checks and viewers of one process need.
const MAX_CONNECTIONS: usize = 32;

/// Time for a request to arrive.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);

/// Time for a request and its answer.
const CONNECTION_TIMEOUT: Duration = Duration::from_secs(10);

/// Largest size of a request.
const MAX_HEADER_BYTES: usize = 16 << 10;

/// Pause after a connection could not be accepted.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);
