//! Connections of the metrics server.

use std::{collections::VecDeque, convert::Infallible, io, sync::Arc, time::Duration};

use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::AbortHandle,
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
        let mut connections: VecDeque<AbortHandle> = VecDeque::new();
        loop {
            match self.accept(&site).await {
                Ok(connection) => {
                    connections.retain(|connection| !connection.is_finished());
                    // The oldest one is closed, or clients that send nothing would delay the health checks.
                    if connections.len() >= MAX_CONNECTIONS
                        && let Some(oldest) = connections.pop_front()
                    {
                        oldest.abort();
                    }
                    connections.push_back(connection);
                }
                Err(error) => {
                    tracing::debug!("cannot accept a connection for metrics: {error}");
                    // Probably too many files are open. The connection stays in the queue of the system.
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    async fn accept(&self, site: &Arc<Site>) -> io::Result<AbortHandle> {
        let site = Arc::clone(site);
        let answering = match self {
            Self::Tcp(listener) => tokio::spawn(answer(listener.accept().await?.0, site)),
            #[cfg(unix)]
            Self::Unix(listener) => tokio::spawn(answer(listener.accept().await?.0, site)),
        };
        Ok(answering.abort_handle())
    }
}

/// Answers one request. Timeouts close the connection of a client that does not send or read.
async fn answer(socket: impl AsyncRead + AsyncWrite + Unpin, site: Arc<Site>) {
    let service = service_fn(|request| {
        let response = site.respond(&request);
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
