//! TLS 1.2 and 1.3, and the certificates that it trusts.

mod diagnosis;
mod verify;

#[cfg(test)]
mod tests;

use std::{
    io,
    path::Path,
    sync::{Arc, OnceLock},
};

use thiserror::Error;
use tokio::{io::BufReader, net::TcpStream};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, ProtocolVersion, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

pub use self::diagnosis::Fault;
pub(super) use self::diagnosis::{diagnose, explain};
use self::verify::TrustVerifier;

/// Rule for accepting the certificate of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// The certificate is valid for the name and the date, and issued by a root of the platform or of
    /// this list, or it is in the list itself.
    Roots(Vec<CertificateDer<'static>>),
    /// The SHA-256 of the certificate's DER is this one. Name, date and issuer are not checked.
    Pin([u8; 32]),
    /// Every certificate is accepted, so the server is not authenticated.
    Any,
}

impl Trust {
    /// Returns the check of the certificate in words, after it has succeeded.
    fn description(&self) -> &'static str {
        match self {
            Self::Roots(_) => "certificate verified",
            Self::Pin(_) => "certificate matches the pin",
            Self::Any => "certificate not checked",
        }
    }
}

/// Returns the usual name of a TLS version.
fn version_name(version: ProtocolVersion) -> &'static str {
    match version {
        ProtocolVersion::TLSv1_2 => "TLS 1.2",
        ProtocolVersion::TLSv1_3 => "TLS 1.3",
        _ => "another version",
    }
}

impl Default for Trust {
    fn default() -> Self {
        Self::Roots(Vec::new())
    }
}

/// Error of reading root certificates from a file.
#[derive(Debug, Error)]
pub enum RootsError {
    /// The file cannot be read, or its PEM is malformed.
    #[error("{0}")]
    Pem(String),
    /// The file contains no certificate.
    #[error("it contains no PEM certificate")]
    None,
    /// A certificate is malformed.
    #[error("certificate {number} in it is invalid: {cause}")]
    Certificate {
        /// Position in the file, from 1.
        number: usize,
        /// Cause.
        cause: String,
    },
}

/// Reads root certificates from a PEM file.
pub fn read_roots(file: &Path) -> Result<Vec<CertificateDer<'static>>, RootsError> {
    let pem = |error: &dyn std::fmt::Display| RootsError::Pem(error.to_string());
    let bytes = std::fs::read(file).map_err(|error| pem(&error))?;
    let mut roots = Vec::new();
    for (number, root) in (1..).zip(CertificateDer::pem_slice_iter(&bytes)) {
        let root = root.map_err(|error| pem(&error))?;
        RootCertStore::empty()
            .add(root.clone())
            .map_err(|error| RootsError::Certificate {
                number,
                cause: error.to_string(),
            })?;
        roots.push(root);
    }
    if roots.is_empty() {
        return Err(RootsError::None);
    }
    Ok(roots)
}

/// TLS client. Clones share the prepared configuration and the session cache.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    trust: Trust,
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Tls {
    /// Creates a client that accepts certificates by `trust`.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            config: Arc::default(),
        }
    }

    /// Returns the rule for accepting certificates.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Performs the handshake with `host` over `tcp`.
    pub(super) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> io::Result<TlsStream<BufReader<TcpStream>>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.config()?);
        let tcp = BufReader::with_capacity(READ_AHEAD_BYTES, tcp);
        let stream = connector.connect(name, tcp).await?;
        let session = stream.get_ref().1;
        if let (Some(version), Some(suite)) = (
            session.protocol_version(),
            session.negotiated_cipher_suite(),
        ) {
            let cipher = suite.suite().as_str().unwrap_or("unknown cipher");
            // RFC 8446 B.4: the prefix of a TLS 1.3 suite is TLS_, which rustls extends.
            tracing::debug!(
                "TLS with {host}: {}, {}, {}",
                version_name(version),
                cipher.replacen("TLS13_", "TLS_", 1),
                self.trust.description()
            );
        }
        Ok(stream)
    }

    /// Returns the configuration. The first call reads the platform's roots, which takes a while.
    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let provider = Arc::new(ring::default_provider());
        let verifier = TrustVerifier::new(&self.trust, Arc::clone(&provider));
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier.map_err(io::Error::other)?))
            .with_no_client_auth();
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}

/// Capacity of the buffer between the socket and rustls, which reads only 4 KiB at a time.
const READ_AHEAD_BYTES: usize = 128 * 1024;
