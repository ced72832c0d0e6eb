//! Proxies: SOCKS 4, 4a and 5, and HTTP's CONNECT.

mod address;
mod bypass;
mod connect;
mod socks;

use std::{fmt, io};

use thiserror::Error;
use tokio::net::TcpStream;

pub use self::{address::AddressError, bypass::Bypass};
use super::{DialError, Endpoint, Family, Timeout, tcp};

/// Somebody who makes connections for us.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy {
    /// How it is asked.
    pub protocol: Protocol,
    /// Where it listens.
    pub endpoint: Endpoint,
    /// Who asks. SOCKS 4 takes the user alone.
    pub login: Option<Login>,
}

/// User and password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user.
    pub user: String,
    /// The password, perhaps empty.
    pub password: String,
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(redacted)")
    }
}

/// How a proxy is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// SOCKS 4: IPv4 addresses alone, so that names are looked up here.
    Socks4,
    /// SOCKS 4a: names are looked up by the proxy.
    Socks4a,
    /// SOCKS 5 (RFC 1928, 1929): names are looked up by the proxy.
    Socks5,
    /// CONNECT of HTTP (RFC 9110 9.3.6): names are looked up by the proxy.
    Http,
}

impl Protocol {
    fn name(self) -> &'static str {
        match self {
            Self::Socks4 => "socks4",
            Self::Socks4a => "socks4a",
            Self::Socks5 => "socks5",
            Self::Http => "http",
        }
    }
}

impl fmt::Display for Proxy {
    /// Without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.protocol.name(), self.endpoint)
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self}, {:?})", self.login)
    }
}

/// What a proxy did instead of letting us through.
#[derive(Debug, Error)]
pub enum Error {
    /// It is not there.
    #[error("{0}")]
    Unreachable(Box<DialError>),
    /// The connection to it broke, or it took too long.
    #[error("asking the proxy: {0}")]
    Io(io::Error),
    /// It hung up.
    #[error("the proxy closed the connection instead of answering")]
    Closed,
    /// It says no, in this word.
    #[error("the proxy refuses: {0}")]
    Refused(String),
    /// It wants to know who asks, or does not believe it.
    #[error("the proxy {0}")]
    Login(&'static str),
    /// It speaks something else.
    #[error("the proxy answers with something that is no {0}")]
    Malformed(&'static str),
    /// The protocol cannot say it.
    #[error("{0}")]
    Unsupported(&'static str),
    /// SOCKS 4 wants an address, and there is none.
    #[error("{0}")]
    Name(Box<DialError>),
}

impl From<io::Error> for Error {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::UnexpectedEof => Self::Closed,
            _ => Self::Io(error),
        }
    }
}

/// Makes a TCP connection to `endpoint` by way of `proxy`. The proxy's name, its TCP and its answer
/// are waited for one by one.
pub(super) async fn connect_through(
    proxy: &Proxy,
    endpoint: &Endpoint,
    family: Family,
    wait: Timeout,
) -> Result<TcpStream, DialError> {
    through(proxy, endpoint, family, wait)
        .await
        .map_err(|source| DialError::Proxy {
            endpoint: endpoint.clone(),
            proxy: Box::new(proxy.clone()),
            source,
        })
}

async fn through(
    proxy: &Proxy,
    endpoint: &Endpoint,
    family: Family,
    wait: Timeout,
) -> Result<TcpStream, Error> {
    let address = match proxy.protocol {
        Protocol::Socks4 => Some(socks::lookup_ipv4(endpoint, wait).await?),
        _ => None,
    };
    let mut tcp = tcp::connect(&proxy.endpoint, family, wait)
        .await
        .map_err(|error| Error::Unreachable(Box::new(error)))?;
    let login = proxy.login.as_ref();
    let asked = async {
        Ok(match (proxy.protocol, address) {
            (Protocol::Http, _) => connect::ask(&mut tcp, endpoint, login).await,
            (Protocol::Socks5, _) => socks::request_v5(&mut tcp, endpoint, login).await,
            (Protocol::Socks4 | Protocol::Socks4a, address) => {
                socks::request_v4(&mut tcp, endpoint, address, login).await
            }
        })
    };
    wait.on(asked).await??;
    Ok(tcp)
}
