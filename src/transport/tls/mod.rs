//! TLS 1.2 and 1.3, and whom it trusts.

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
        ClientConfig, RootCertStore,
        client::danger::ServerCertVerifier,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

pub(super) use self::diagnosis::diagnose;
use self::verify::{NoVerifier, PinVerifier, RootVerifier};
use super::stream::READ_AHEAD_BYTES;

/// Which certificate a server may show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trust {
    /// One for its name, within its time, that these or a root of the platform vouch for, or that
    /// is one of these.
    Roots(Vec<CertificateDer<'static>>),
    /// The one whose DER has this SHA-256, whatever name, time and issuer it has.
    Pin([u8; 32]),
    /// Any: nobody knows who the server is.
    Any,
}

impl Default for Trust {
    fn default() -> Self {
        Self::Roots(Vec::new())
    }
}

/// Why a file holds no roots.
#[derive(Debug, Error)]
pub enum RootsError {
    /// It cannot be read, or is no PEM.
    #[error("{0}")]
    Pem(String),
    /// There is none in it.
    #[error("no certificate in it (it has to be PEM)")]
    None,
    /// One of them is none.
    #[error("certificate {number} of it is none: {why}")]
    Certificate {
        /// Which, from 1.
        number: usize,
        /// What is wrong.
        why: String,
    },
}

/// The certificates of a PEM file, to be trusted as roots.
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
                why: error.to_string(),
            })?;
        roots.push(root);
    }
    if roots.is_empty() {
        return Err(RootsError::None);
    }
    Ok(roots)
}

/// How TLS is spoken. Clones share the prepared configuration, and with it the sessions to resume.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    trust: Trust,
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Tls {
    /// TLS with servers that `trust` lets pass.
    pub fn new(trust: Trust) -> Self {
        Self {
            trust,
            config: Arc::default(),
        }
    }

    /// Which certificate a server may show.
    pub fn trust(&self) -> &Trust {
        &self.trust
    }

    /// Shakes hands with `host`.
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
            tracing::debug!("TLS with {host}: {version:?}, {:?}", suite.suite());
        }
        Ok(stream)
    }

    /// The platform's roots are read when they are needed first, and once.
    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let provider = Arc::new(ring::default_provider());
        let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .dangerous()
            .with_custom_certificate_verifier(self.verifier(provider)?)
            .with_no_client_auth();
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }

    fn verifier(&self, provider: Arc<CryptoProvider>) -> io::Result<Arc<dyn ServerCertVerifier>> {
        Ok(match &self.trust {
            Trust::Roots(more) => {
                Arc::new(RootVerifier::new(more, provider).map_err(io::Error::other)?)
            }
            Trust::Pin(sha256) => Arc::new(PinVerifier::new(*sha256, provider)),
            Trust::Any => Arc::new(NoVerifier::new(provider)),
        })
    }
}
