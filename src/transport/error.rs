//! Errors of dialing.

use std::io;

use thiserror::Error;

use super::{Endpoint, Proxy, dial_facts::DialStep, proxy, tls};

/// Dialing step that failed, and the cause.
#[derive(Debug, Error)]
pub enum DialError {
    /// The name has no usable address, or the lookup failed.
    #[error("cannot find {endpoint}: {source}")]
    Name {
        /// Dialed endpoint.
        endpoint: Endpoint,
        /// Error of the system's resolver.
        source: io::Error,
    },
    /// No address of the host accepted the connection.
    #[error("cannot connect to {endpoint}: {source}")]
    Tcp {
        /// Dialed endpoint.
        endpoint: Endpoint,
        /// Error of the last address that failed.
        source: io::Error,
    },
    /// The proxy did not open a connection to the endpoint.
    #[error("cannot reach {endpoint} through {proxy}: {source}")]
    Proxy {
        /// Dialed endpoint.
        endpoint: Endpoint,
        /// Proxy on the route.
        proxy: Box<Proxy>,
        /// Cause.
        source: proxy::Error,
    },
    /// The TLS handshake failed, or the certificate was rejected.
    #[error("cannot establish TLS with {endpoint}: {cause}")]
    Tls {
        /// Dialed endpoint.
        endpoint: Endpoint,
        /// Diagnosis that names the failed check.
        cause: String,
        /// Kind of the failure.
        fault: tls::Fault,
    },
    /// The replayed capture cannot be read.
    #[error("cannot read the capture: {0}")]
    Replay(io::Error),
    /// The replayed capture contains no further session.
    #[error("the capture contains no further session")]
    ReplayEnded,
    /// The server did not open an RTMPT session.
    #[error("cannot open a tunnel to {endpoint}: {source}")]
    Tunnel {
        /// Dialed endpoint.
        endpoint: Endpoint,
        /// Cause.
        source: io::Error,
    },
}

impl DialError {
    /// Returns the step that failed.
    pub fn step(&self) -> DialStep {
        match self {
            Self::Name { .. } => DialStep::Lookup,
            Self::Tcp { .. } => DialStep::Tcp,
            Self::Proxy { .. } => DialStep::Proxy,
            Self::Tls { .. } => DialStep::Tls,
            Self::Replay(_) | Self::ReplayEnded => DialStep::Replay,
            Self::Tunnel { .. } => DialStep::Tunnel,
        }
    }
}
