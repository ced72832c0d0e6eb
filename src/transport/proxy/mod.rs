//! Connections through SOCKS 4, 4a and 5 proxies and HTTP CONNECT.

mod address;
mod bypass;
mod connect;
mod socks;

use std::{fmt, io};

use thiserror::Error;
use tokio::net::TcpStream;

pub use self::{address::AddressError, bypass::Bypass};
use super::{DialError, DialFacts, Endpoint, Family, Timeout, dial_facts::ProxyFacts, tcp};

/// Proxy address and login.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// Proxy protocol.
    pub protocol: Protocol,
    /// Host and port of the proxy.
    pub endpoint: Endpoint,
    /// User and password. SOCKS 4 sends only the user.
    pub login: Option<Login>,
}

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// User name.
    pub user: String,
    /// Password; may be empty.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(redacted)")
    }
}

/// Proxy protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SOCKS 4, which takes only IPv4 addresses. The client looks up names.
    Socks4,
    /// SOCKS 4a. The proxy looks up names.
    Socks4a,
    /// SOCKS 5 (RFC 1928, 1929). The proxy looks up names.
    Socks5,
    /// HTTP CONNECT (RFC 9110 9.3.6). The proxy looks up names.
    Http,
}

impl Protocol {
    /// Returns the scheme of a proxy URL.
    pub fn name(self) -> &'static str {
        match self {
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
            Self::Socks5 => "socks5",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Proxy {
    /// Writes the address without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol.name(), self.endpoint)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}, {:?})", self.login)
    }
}

/// Reason why a proxy did not open a connection.
#[derive(Debug, Error)]
pub enum Error {
    /// The proxy cannot be reached.
    #[error("{0}")]
    Unreachable(Box<DialError>),
    /// The connection to the proxy broke, or the proxy timed out.
    #[error("the request to the proxy failed: {0}")]
    Io(io::Error),
    /// The proxy closed the connection.
    #[error("the proxy closed the connection instead of answering")]
    Closed,
    /// The proxy rejected the request for this reason.
    #[error("the proxy refused: {0}")]
    Refused(String),
    /// The proxy requires a login, or rejected it.
    #[error("the proxy {0}")]
    Login(&'static str),
    /// The answer does not follow the protocol.
    #[error("the proxy sent an answer that is not {0}")]
    Malformed(&'static str),
    /// The protocol cannot express the request.
    #[error("{0}")]
    Unsupported(&'static str),
    /// SOCKS 4 needs an address, and the lookup failed.
    #[error("{0}")]
    Lookup(Box<DialError>),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Opens a TCP connection to `endpoint` through `proxy`.
///
/// The timeout applies separately to the lookup of the proxy, the TCP connection and its answer.
pub(super) async fn connect_through(
    proxy: &Proxy,
    endpoint: &Endpoint,
    family: Family,
    timeout: Timeout,
    facts: &mut DialFacts,
) -> Result<TcpStream, DialError> {
    facts.proxy = Some(ProxyFacts::from(proxy));
    connect(proxy, endpoint, family, timeout, facts)
        .await
        .map_err(|source| DialError::Proxy {
            endpoint: endpoint.clone(),
            proxy: Box::new(proxy.clone()),
            source,
        })
}

async fn connect(
    proxy: &Proxy,
    endpoint: &Endpoint,
    family: Family,
    timeout: Timeout,
    facts: &mut DialFacts,
) -> Result<TcpStream, Error> {
    let address = match proxy.protocol {
        Protocol::Socks4 => Some(socks::lookup_ipv4(endpoint, timeout).await?),
        _ => None,
    };
    let mut tcp = tcp::connect(&proxy.endpoint, family, timeout, facts)
        .await
        .map_err(|error| Error::Unreachable(Box::new(error)))?;
    let login = proxy.login.as_ref();
    let request = async {
        Ok(match (proxy.protocol, address) {
            (Protocol::Http, _) => connect::request(&mut tcp, endpoint, login).await,
            (Protocol::Socks5, _) => socks::request_v5(&mut tcp, endpoint, login).await,
            (Protocol::Socks4 | Protocol::Socks4a, address) => {
                socks::request_v4(&mut tcp, endpoint, address, login).await
            }
        })
    };
    let mut time = None;
    let answered = timeout
        .run_timed("proxy answered", &mut time, request)
        .await;
    if let Some(proxy) = &mut facts.proxy {
        proxy.time = time;
    }
    answered??;
    Ok(tcp)
}
