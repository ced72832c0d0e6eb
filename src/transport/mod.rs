//! A byte pipe to a host. Knows tokio, knows no RTMP.

use std::{
    fmt,
    io::{self, ErrorKind},
    net::SocketAddr,
    time::Duration,
};

use thiserror::Error;
use tokio::{
    net::{TcpStream, lookup_host},
    time::{Instant, timeout_at},
};

/// Where a server listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// A name or an address; an IPv6 one without brackets.
    pub host: String,
    /// The TCP port.
    pub port: u16,
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// Why no byte pipe came about.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no address, or nobody could be asked.
    #[error("cannot find {endpoint}: {source}")]
    Name {
        /// What was dialled.
        endpoint: Endpoint,
        /// The system's word.
        source: io::Error,
    },
    /// No address of the host took the connection; the word is the last one's.
    #[error("cannot connect to {endpoint}: {source}")]
    Tcp {
        /// What was dialled.
        endpoint: Endpoint,
        /// The system's word.
        source: io::Error,
    },
    /// The name or the host did not answer in time.
    #[error("cannot connect to {endpoint}: no answer within {} s", .bound.as_secs_f32())]
    TimedOut {
        /// What was dialled.
        endpoint: Endpoint,
        /// How long was waited.
        bound: Duration,
    },
}

/// Connects to `endpoint`, trying each of its addresses in turn. Name and connection together take
/// `bound` at the most; `None` waits for ever.
pub async fn dial(endpoint: &Endpoint, bound: Option<Duration>) -> Result<TcpStream, DialError> {
    let Some(bound) = bound else {
        return connect(endpoint).await;
    };
    match timeout_at(Instant::now() + bound, connect(endpoint)).await {
        Ok(connected) => connected,
        Err(_) => Err(DialError::TimedOut {
            endpoint: endpoint.clone(),
            bound,
        }),
    }
}

async fn connect(endpoint: &Endpoint) -> Result<TcpStream, DialError> {
    let name_error = |source| DialError::Name {
        endpoint: endpoint.clone(),
        source,
    };
    let addresses = lookup_host((endpoint.host.as_str(), endpoint.port))
        .await
        .map_err(name_error)?;
    let mut last_error = None;
    for address in addresses {
        match connect_to(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                tracing::debug!("{address}: {error}");
                last_error = Some(error);
            }
        }
    }
    Err(match last_error {
        Some(source) => DialError::Tcp {
            endpoint: endpoint.clone(),
            source,
        },
        None => name_error(io::Error::new(ErrorKind::NotFound, "no address")),
    })
}

/// Commands and acknowledgements are small and urgent: they do not wait for more to send.
async fn connect_to(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}
