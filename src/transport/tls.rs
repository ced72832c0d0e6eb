//! TLS, and whom it trusts.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use rustls_platform_verifier::ConfigVerifierExt;
use tokio::net::TcpStream;
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{ClientConfig, pki_types::ServerName},
};

/// How TLS is spoken. Clones share the prepared configuration, and with it the sessions to resume.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    config: Arc<OnceLock<Arc<ClientConfig>>>,
}

impl Tls {
    /// Shakes hands with `host`, whose certificate has to be trusted by the platform.
    pub(super) async fn connect(
        &self,
        host: &str,
        tcp: TcpStream,
    ) -> io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from(host.to_owned()).map_err(io::Error::other)?;
        let config = self.config()?;
        TlsConnector::from(config).connect(name, tcp).await
    }

    fn config(&self) -> io::Result<Arc<ClientConfig>> {
        if let Some(config) = self.config.get() {
            return Ok(Arc::clone(config));
        }
        let config = ClientConfig::with_platform_verifier().map_err(io::Error::other)?;
        Ok(Arc::clone(self.config.get_or_init(|| Arc::new(config))))
    }
}
