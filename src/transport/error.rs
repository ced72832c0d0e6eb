//! Why no byte pipe came about.

use std::io;

use thiserror::Error;

use super::{Endpoint, Proxy, proxy};

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
    /// The proxy does not let us through.
    #[error("no way to {endpoint} through {proxy}: {source}")]
    Proxy {
        /// What was dialled.
        endpoint: Endpoint,
        /// Who was to carry it there.
        proxy: Box<Proxy>,
        /// What it did.
        source: proxy::Error,
    },
    /// The server is there, but not with TLS that can be trusted.
    #[error("no TLS with {endpoint}: {why}")]
    Tls {
        /// What was dialled.
        endpoint: Endpoint,
        /// Which check failed.
        why: String,
    },
    /// The server is there, but carries nothing through HTTP.
    #[error("cannot open a tunnel to {endpoint}: {source}")]
    Tunnel {
        /// What was dialled.
        endpoint: Endpoint,
        /// What it answered.
        source: io::Error,
    },
}
