//! A byte pipe to a host. Knows tokio, knows no RTMP.
//!
//! A connection is made in steps, each with the whole connect timeout to itself: the name is looked
//! up, TCP connects, a proxy is asked, TLS shakes hands, a tunnel is opened. The error says which of
//! them failed.

mod error;
pub mod http;
pub mod proxy;
mod stream;
mod tcp;
mod timeout;
pub mod tls;
mod tunnel;

#[cfg(test)]
mod tests;

use std::{fmt, io, time::Duration};

pub use self::{
    error::DialError,
    proxy::{Bypass, Proxy},
    stream::Stream,
    tcp::Family,
    tls::Tls,
    tunnel::Tunnel,
};
use self::{proxy::connect_through, stream::BufferedTls, timeout::Timeout};

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
    /// The bodies of HTTP requests and of the answers to them.
    Http,
    /// The same inside TLS.
    Https,
}

impl Carrier {
    /// Whether nobody on the way can read along.
    pub fn is_tls(self) -> bool {
        match self {
            Self::Tcp | Self::Http => false,
            Self::Tls | Self::Https => true,
        }
    }

    fn is_tunnel(self) -> bool {
        matches!(self, Self::Http | Self::Https)
    }
}

/// How connections are made, whereto ever.
///
/// Clones share what was prepared once.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    /// How long each step may take; `None` waits for ever.
    pub connect_timeout: Option<Duration>,
    /// Which addresses are tried.
    pub family: Family,
    /// Whom to go through.
    pub proxy: Option<Proxy>,
    /// Which hosts are reached without the proxy.
    pub bypass: Bypass,
    /// How TLS is spoken.
    pub tls: Tls,
}

impl Dialer {
    /// Makes a byte pipe along `route`.
    pub async fn dial(&self, route: &Route) -> Result<Stream, DialError> {
        let pipe = self.pipe(&route.endpoint, route.carrier.is_tls()).await?;
        if route.carrier.is_tunnel() {
            self.tunnel(route, pipe).await
        } else {
            Ok(pipe)
        }
    }

    /// Opens a tunnel over `pipe`, which is made again when it is used up.
    async fn tunnel(&self, route: &Route, pipe: Stream) -> Result<Stream, DialError> {
        let again = (self.clone(), route.clone());
        let dial = move || -> tunnel::Dialing<Stream> {
            let (dialer, Route { endpoint, carrier }) = again.clone();
            Box::pin(async move {
                let pipe = dialer.pipe(&endpoint, carrier.is_tls()).await;
                pipe.map_err(io::Error::other)
            })
        };
        let wait = Timeout {
            bound: self.connect_timeout,
        };
        let open = Tunnel::open(pipe, route.endpoint.to_string(), Box::new(dial));
        match wait.on(open).await {
            Ok(tunnel) => Ok(Stream::Tunnel(Box::new(tunnel))),
            Err(source) => Err(DialError::Tunnel {
                endpoint: route.endpoint.clone(),
                source,
            }),
        }
    }

    /// Makes the pipe below any tunnel: a TCP connection to `endpoint`, or TLS on it.
    async fn pipe(&self, endpoint: &Endpoint, is_tls: bool) -> Result<Stream, DialError> {
        let wait = Timeout {
            bound: self.connect_timeout,
        };
        let proxy = self.proxy.as_ref();
        let tcp = match proxy.filter(|_| !self.bypass.contains(&endpoint.host)) {
            Some(proxy) => {
                tracing::debug!("to {endpoint} through {proxy}");
                connect_through(proxy, endpoint, self.family, wait).await?
            }
            None => tcp::connect(endpoint, self.family, wait).await?,
        };
        if !is_tls {
            return Ok(Stream::Tcp(tcp));
        }
        let shaken = self.tls.connect(&endpoint.host, tcp);
        match wait.on(shaken).await {
            Ok(stream) => Ok(Stream::Tls(Box::new(BufferedTls::new(stream)))),
            Err(error) => Err(DialError::Tls {
                endpoint: endpoint.clone(),
                why: tls::diagnose(&error, &endpoint.host),
            }),
        }
    }
}
