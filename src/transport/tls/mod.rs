//! TLS 1.2 and 1.3, and the certificates that it trusts.

mod diagnosis;
mod facts;
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
        ClientConfig, ClientConnection, ProtocolVersion, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

pub(super) use self::diagnosis::{diagnose, explain};
use self::verify::{TrustVerifier, keep_rejected};
pub use self::{
    diagnosis::Fault,
    facts::{CertificateCheck, CertificateFacts, MAX_NAME_LEN, MAX_NAMES, TlsFacts},
};

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
    /// Returns the check of the certificate, after it has succeeded.
    fn check(&self) -> CertificateCheck {
        match self {
            Self::Roots(_) => CertificateCheck::Verified,
            Self::Pin(_) => CertificateCheck::Pinned,
            Self::Any => CertificateCheck::Unchecked,
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

    /// Performs the handshake with `host` over `tcp`, and fills `facts`.
    pub(super) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
        facts: &mut TlsFacts,
    ) -> io::Result<TlsStream<BufReader<TcpStream>>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(self.config()?);
        let tcp = BufReader::with_capacity(READ_AHEAD_BYTES, tcp);
        let (connected, rejected) = keep_rejected(connector.connect(name, tcp)).await;
        if let Some(rejected) = rejected {
            facts.certificate = Some(CertificateFacts::of(&rejected));
            facts.check = Some(CertificateCheck::Rejected);
        }
        let stream = connected?;
        self.describe(stream.get_ref().1, facts);
        tracing::debug!(
            "TLS with {host}: {}, {}, {}",
            facts.version.unwrap_or_default(),
            facts.cipher.as_deref().unwrap_or_default(),
            self.trust.check().name()
        );
        Ok(stream)
    }

    /// Fills `facts` from a session after its handshake.
    fn describe(&self, session: &ClientConnection, facts: &mut TlsFacts) {
        facts.version = session.protocol_version().map(version_name);
        facts.cipher = session.negotiated_cipher_suite().map(|suite| {
            let name = suite.suite().as_str().unwrap_or("unknown cipher");
            // RFC 8446 B.4: the prefix of a TLS 1.3 suite is TLS_, which rustls extends.
            name.replacen("TLS13_", "TLS_", 1)
        });
        let alpn = session.alpn_protocol();
        facts.alpn = alpn.map(|name| String::from_utf8_lossy(name).into_owned());
        let chain = session.peer_certificates();
        let certificate = chain.and_then(|chain| chain.first());
        facts.certificate = certificate.map(|der| CertificateFacts::of(der));
        facts.check = Some(self.trust.check());
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
