//! Facts of one dial: what each step found, and how long it took.

use std::{io::ErrorKind, net::SocketAddr, time::Duration};

use super::{
    Endpoint,
    proxy::{Protocol, Proxy},
    tls::TlsFacts,
};

/// Facts of one dial. A failed dial keeps the facts of the steps that it reached.
///
/// They contain no login of the proxy. Texts that a peer chose are not escaped.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct DialFacts {
    /// Name lookup of the server, or of the proxy on the route.
    pub lookup: Option<Lookup>,
    /// Addresses of the server or of the proxy that were tried, in the order of their starts. At most
    /// [`MAX_ADDRESSES`].
    pub tried: Vec<TriedAddress>,
    /// Time from the start of the first address to the connection, or to the failure.
    pub tcp_time: Option<Duration>,
    /// Local address of the connection.
    pub local: Option<SocketAddr>,
    /// Remote address of the connection: that of the server, or that of the proxy.
    pub remote: Option<SocketAddr>,
    /// Proxy on the route.
    pub proxy: Option<ProxyFacts>,
    /// TLS handshake.
    pub tls: Option<TlsFacts>,
    /// Time until the RTMPT session was open, or until its failure.
    pub tunnel_time: Option<Duration>,
    /// Whether a captured session was returned instead of a connection.
    pub is_replay: bool,
    /// Time of the complete dial.
    pub time: Duration,
    /// Step that failed; `None` if the dial succeeded or was cancelled.
    pub failure: Option<DialFailure>,
}

/// Name lookup.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Lookup {
    /// Addresses in the order in which they are tried; empty after a failure. At most [`MAX_ADDRESSES`].
    pub addresses: Vec<SocketAddr>,
    /// Time of the lookup.
    pub time: Duration,
}

/// Address to which a TCP connection was tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TriedAddress {
    /// The address.
    pub address: SocketAddr,
    /// Time from the start of the first address to the start of this one.
    pub start: Duration,
    /// Time from the start of this address to its result, or to the end of the step.
    pub time: Duration,
    /// Result.
    pub result: AddressResult,
}

/// Result of a tried address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AddressResult {
    /// The connection was established.
    Connected,
    /// The connection failed.
    Failed {
        /// Kind of the system's error.
        kind: ErrorKind,
        /// Text of the system's error.
        reason: String,
    },
    /// There was no answer before another address answered or the step ended.
    Unanswered,
}

/// Proxy on a route, without its login.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyFacts {
    /// Proxy protocol.
    pub protocol: Protocol,
    /// Host and port of the proxy.
    pub endpoint: Endpoint,
    /// Time from the TCP connection to the answer of the proxy, or to the failure.
    pub time: Option<Duration>,
}

impl From<&Proxy> for ProxyFacts {
    fn from(proxy: &Proxy) -> Self {
        Self {
            protocol: proxy.protocol,
            endpoint: proxy.endpoint.clone(),
            time: None,
        }
    }
}

/// Failure of a dial.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DialFailure {
    /// Step that failed.
    pub step: DialStep,
    /// Error in words, as [`DialError`](super::DialError) prints it. Text of a peer in it is not escaped.
    pub reason: String,
}

/// Step of a dial, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DialStep {
    /// Name lookup.
    Lookup,
    /// TCP connection.
    Tcp,
    /// Request to the proxy, with its lookup and its TCP connection.
    Proxy,
    /// TLS handshake.
    Tls,
    /// Opening of the RTMPT session.
    Tunnel,
    /// Reading of a captured session.
    Replay,
}

impl DialStep {
    /// Returns the name in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Lookup => "name lookup",
            Self::Tcp => "TCP",
            Self::Proxy => "proxy",
            Self::Tls => "TLS",
            Self::Tunnel => "tunnel",
            Self::Replay => "replay",
        }
    }
}

/// Largest number of addresses that the facts keep.
pub const MAX_ADDRESSES: usize = 64;
