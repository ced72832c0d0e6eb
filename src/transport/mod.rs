//! A byte pipe to a host. Knows tokio, knows no RTMP.

mod stream;
mod tls;

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

pub use self::{stream::Stream, tls::Tls};

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

/// The way to a server: where it is, and what the bytes travel in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Where it listens.
    pub endpoint: Endpoint,
    /// What the bytes travel in.
    pub carrier: Carrier,
}

/// What bytes travel in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// A TCP connection, as they are.
    Tcp,
    /// TLS.
    Tls,
}

impl Carrier {
    /// Whether nobody on the way can read along.
    pub fn is_tls(self) -> bool {
        match self {
            Self::Tcp => false,
            Self::Tls => true,
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
    /// The server is there, but not with TLS that can be trusted.
    #[error("no TLS with {endpoint}: {why}")]
    Tls {
        /// What was dialled.
        endpoint: Endpoint,
        /// Which check failed.
        why: String,
    },
}

/// How connections are made, whereto ever.
///
/// Clones share what was prepared once.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    /// How long name and connection may take together, and TLS then; `None` waits for ever.
    pub connect_timeout: Option<Duration>,
    /// How TLS is spoken.
    pub tls: Tls,
}

impl Dialer {
    /// Makes a byte pipe along `route`.
    pub async fn dial(&self, route: &Route) -> Result<Stream, DialError> {
        self.pipe(&route.endpoint, route.carrier.is_tls()).await
    }

    /// Makes the pipe below any tunnel: a TCP connection to `endpoint`, or TLS on it.
    async fn pipe(&self, endpoint: &Endpoint, is_tls: bool) -> Result<Stream, DialError> {
        let tcp = connect_to(endpoint, self.connect_timeout).await?;
        if !is_tls {
            return Ok(Stream::Tcp(tcp));
        }
        let deadline = self.connect_timeout.map(Deadline::after);
        within(deadline, self.tls.connect(&endpoint.host, tcp))
            .await
            .map(|stream| Stream::Tls(Box::new(stream)))
            .map_err(|error| DialError::Tls {
                endpoint: endpoint.clone(),
                why: error.to_string(),
            })
    }
}

async fn connect_to(endpoint: &Endpoint, bound: Option<Duration>) -> Result<TcpStream, DialError> {
    let deadline = bound.map(Deadline::after);
    let lookup = lookup_host((endpoint.host.as_str(), endpoint.port));
    let addresses = match within(deadline, lookup).await {
        Ok(addresses) => addresses.collect::<Vec<SocketAddr>>(),
        Err(source) => {
            return Err(DialError::Name {
                endpoint: endpoint.clone(),
                source,
            });
        }
    };
    let mut last_error = io::Error::new(ErrorKind::NotFound, "it has no address");
    for (tried, &address) in addresses.iter().enumerate() {
        let deadline = deadline.map(|deadline| deadline.share(addresses.len() - tried));
        match within(deadline, connect(address)).await {
            Ok(stream) => return Ok(stream),
            Err(error) => {
                tracing::debug!("{address}: {error}");
                last_error = error;
            }
        }
    }
    Err(DialError::Tcp {
        endpoint: endpoint.clone(),
        source: last_error,
    })
}

/// When a wait is over, and how long it was to be.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    at: Instant,
    bound: Duration,
}

impl Deadline {
    fn after(bound: Duration) -> Self {
        Self {
            at: Instant::now() + bound,
            bound,
        }
    }

    /// Until when one address may take, where so many are left: one that leads nowhere leaves the
    /// others their part of the time.
    fn share(self, left: usize) -> Self {
        let now = Instant::now();
        let rest = self.at.saturating_duration_since(now);
        Self {
            at: now + rest / u32::try_from(left).unwrap_or(u32::MAX),
            ..self
        }
    }
}

async fn within<T>(
    deadline: Option<Deadline>,
    work: impl Future<Output = io::Result<T>>,
) -> io::Result<T> {
    let Some(Deadline { at, bound }) = deadline else {
        return work.await;
    };
    timeout_at(at, work).await.unwrap_or_else(|_| {
        let told = format!("no answer within {} s", bound.as_secs_f32());
        Err(io::Error::new(ErrorKind::TimedOut, told))
    })
}

/// Commands and acknowledgements are small and urgent: they do not wait for more to send.
async fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    fn endpoint(host: &str, port: u16) -> Endpoint {
        Endpoint {
            host: host.to_owned(),
            port,
        }
    }

    #[test]
    fn an_address_of_ipv6_is_printed_in_brackets() {
        assert_eq!(endpoint("::1", 1935).to_string(), "[::1]:1935");
        assert_eq!(endpoint("host.example", 80).to_string(), "host.example:80");
    }

    #[tokio::test]
    async fn an_address_that_refuses_leaves_the_next_its_turn() {
        // `localhost` is two addresses on most machines, and only one of them listens.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let dialer = Dialer {
            connect_timeout: Some(Duration::from_secs(5)),
            ..Dialer::default()
        };
        let dialled = dialer.pipe(&endpoint("localhost", port), false).await;
        assert_eq!(dialled.unwrap().tcp().peer_addr().unwrap().port(), port);
    }

    #[tokio::test]
    async fn nobody_listening_is_told_with_the_endpoint() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let dialled = Dialer::default()
            .pipe(&endpoint("127.0.0.1", port), false)
            .await;
        let error = dialled.unwrap_err();
        let told = error.to_string();
        assert!(
            told.starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")),
            "{told}"
        );
    }

    #[tokio::test(start_paused = true)]
    async fn what_takes_too_long_is_given_up() {
        let bound = Duration::from_secs(8);
        let start = Instant::now();
        let deadline = Deadline {
            at: start + bound,
            bound,
        };
        assert_eq!(deadline.share(4).at - start, bound / 4);
        let waited = within::<()>(Some(deadline), std::future::pending()).await;
        assert_eq!(waited.unwrap_err().to_string(), "no answer within 8 s");
        assert_eq!(Instant::now(), deadline.at);
    }
}
