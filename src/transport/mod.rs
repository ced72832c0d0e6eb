//! Byte streams to a host: TCP, TLS, proxies and the HTTP tunnel. Depends on tokio, not on RTMP.
//!
//! [`Dialer::dial`] connects in up to five steps: name lookup, TCP, proxy, TLS and tunnel. The connect
//! timeout applies to each step separately, and [`DialError`] names the step that failed. [`DialFacts`]
//! records what each step found and how long it took, also if a later step fails.

#![cfg_attr(
    not(test),
    warn(
        clippy::indexing_slicing,
        clippy::arithmetic_side_effects,
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic
    )
)]

pub mod capture;
pub mod dial_facts;
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

use std::{
    fmt, io,
    sync::Arc,
    time::{Duration, Instant},
};

#[cfg(fuzzing)]
pub use self::tunnel::fuzzing as tunnel_fuzzing;
use self::{
    capture::Sessions, dial_facts::DialFailure, proxy::connect_through, stream::BufferedTls,
    timeout::Timeout, tls::TlsFacts,
};
pub use self::{
    dial_facts::DialFacts,
    error::DialError,
    proxy::{Bypass, Proxy},
    stream::Stream,
    tcp::Family,
    tls::Tls,
    tunnel::{Tunnel, TunnelFacts},
};

/// Host and port of a server or proxy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    /// Name or address. IPv6 addresses have no brackets, and may have a zone as in `fe80::1%eth0`.
    pub host: String,
    /// TCP port.
    pub port: u16,
}

impl Endpoint {
    /// Returns the host without the zone of an IPv6 address, which has no meaning for other machines
    /// (RFC 6874 4).
    pub(crate) fn host_without_zone(&self) -> &str {
        self.host.split('%').next().unwrap_or_default()
    }
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

/// Endpoint of a server and the carrier that reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Host and port of the server.
    pub endpoint: Endpoint,
    /// Protocol that carries the bytes.
    pub carrier: Carrier,
}

/// Protocol that carries the bytes of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Carrier {
    /// Plain TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// RTMPT: bodies of HTTP requests and responses.
    Http,
    /// RTMPT inside TLS.
    Https,
}

impl Carrier {
    /// Returns whether TLS protects the bytes.
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

/// Settings for connections to any host.
///
/// Clones share the prepared TLS configuration.
#[derive(Debug, Clone, Default)]
pub struct Dialer {
    /// Limit of each dialing step; `None` means no limit.
    pub connect_timeout: Option<Duration>,
    /// Address families to try.
    pub family: Family,
    /// Proxy for all hosts that are not in `bypass`.
    pub proxy: Option<Proxy>,
    /// Hosts that are reached without the proxy.
    pub bypass: Bypass,
    /// TLS configuration.
    pub tls: Tls,
    /// Captured sessions to return, in order, instead of connections.
    pub replay: Option<Arc<Sessions>>,
}

impl Dialer {
    /// Connects along `route`, and sets `facts` to the facts of the steps, also after a failure.
    pub async fn dial(&self, route: &Route, facts: &mut DialFacts) -> Result<Stream, DialError> {
        *facts = DialFacts::default();
        let start = Instant::now();
        let dialed = self.dial_steps(route, facts).await;
        facts.time = start.elapsed();
        facts.failure = dialed.as_ref().err().map(|error| DialFailure {
            step: error.step(),
            reason: error.to_string(),
        });
        dialed
    }

    async fn dial_steps(&self, route: &Route, facts: &mut DialFacts) -> Result<Stream, DialError> {
        if let Some(sessions) = &self.replay {
            facts.is_replay = true;
            let replay = sessions.next().map_err(DialError::Replay)?;
            return replay
                .map(|replay| Stream::Replay(Box::new(replay)))
                .ok_or(DialError::ReplayEnded);
        }
        let stream = self
            .connect(&route.endpoint, route.carrier.is_tls(), facts)
            .await?;
        if route.carrier.is_tunnel() {
            self.open_tunnel(route, stream, facts).await
        } else {
            Ok(stream)
        }
    }

    /// Opens a tunnel over `stream`. The tunnel dials a new connection when the server closes one.
    async fn open_tunnel(
        &self,
        route: &Route,
        stream: Stream,
        facts: &mut DialFacts,
    ) -> Result<Stream, DialError> {
        let redial = (self.clone(), route.clone());
        let dial = move || -> tunnel::Dialing<Stream> {
            let (dialer, Route { endpoint, carrier }) = redial.clone();
            Box::pin(async move {
                let mut facts = DialFacts::default();
                let stream = dialer.connect(&endpoint, carrier.is_tls(), &mut facts);
                stream.await.map_err(io::Error::other)
            })
        };
        let host = Endpoint {
            host: route.endpoint.host_without_zone().to_owned(),
            port: route.endpoint.port,
        };
        let open = Tunnel::open(stream, host.to_string(), Box::new(dial));
        let timeout = self.timeout();
        let time = &mut facts.tunnel_time;
        match timeout.run_timed("tunnel opened", time, open).await {
            Ok(tunnel) => Ok(Stream::Tunnel(Box::new(tunnel))),
            Err(source) => Err(DialError::Tunnel {
                endpoint: route.endpoint.clone(),
                source,
            }),
        }
    }

    /// Connects to `endpoint` through the proxy if one applies, and adds TLS if `is_tls`.
    async fn connect(
        &self,
        endpoint: &Endpoint,
        is_tls: bool,
        facts: &mut DialFacts,
    ) -> Result<Stream, DialError> {
        let timeout = self.timeout();
        let proxy = self.proxy.as_ref();
        let tcp = match proxy.filter(|_| !self.bypass.contains(endpoint.host_without_zone())) {
            Some(proxy) => {
                tracing::debug!("connecting to {endpoint} through {proxy}");
                connect_through(proxy, endpoint, self.family, timeout, facts).await?
            }
            None => tcp::connect(endpoint, self.family, timeout, facts).await?,
        };
        if !is_tls {
            return Ok(Stream::Tcp(tcp));
        }
        let (mut tls, mut time) = (TlsFacts::default(), None);
        let handshake = self
            .tls
            .connect(endpoint.host_without_zone(), tcp, &mut tls);
        let done = timeout
            .run_timed("TLS handshake done", &mut time, handshake)
            .await;
        tls.time = time;
        facts.tls = Some(tls);
        match done {
            Ok(stream) => Ok(Stream::Tls(Box::new(BufferedTls::new(stream)))),
            Err(error) => Err(DialError::Tls {
                endpoint: endpoint.clone(),
                cause: tls::diagnose(&error, &endpoint.host),
                fault: tls::Fault::of(&error),
            }),
        }
    }

    fn timeout(&self) -> Timeout {
        Timeout {
            limit: self.connect_timeout,
        }
    }
}
