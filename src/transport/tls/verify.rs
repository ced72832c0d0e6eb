//! Certificate verifier with a policy for each kind of [`Trust`].

use std::{cell::RefCell, fmt, sync::Arc};

use rustls_platform_verifier::Verifier;
use sha2::{Digest, Sha256};
use thiserror::Error;
use tokio_rustls::rustls::{
    CertificateError, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
    client::{
        WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_name,
    },
    crypto::{
        CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::ParsedCertificate,
};

use super::Trust;

/// Verifier of server certificates.
#[derive(Debug)]
pub(super) struct TrustVerifier {
    policy: Policy,
    provider: Arc<CryptoProvider>,
}

#[derive(Debug)]
enum Policy {
    /// Chain, name and date are valid, with a root of the platform.
    Platform(Verifier),
    /// Chain, name and date are valid, with a root of the list or of the platform.
    Listed {
        roots: Vec<CertificateDer<'static>>,
        /// The same on every system. The platform's verifier supports other roots only on some versions of
        /// Windows, and reports other errors on each system.
        verifier: Arc<WebPkiServerVerifier>,
        /// `None` if the platform has no roots.
        platform: Option<Verifier>,
    },
    /// The certificate has this SHA-256.
    Pin([u8; 32]),
    /// Every certificate is accepted, including malformed ones.
    Any,
}

impl TrustVerifier {
    /// Creates a verifier. Reads the platform's roots if `trust` needs them.
    pub(super) fn new(trust: &Trust, provider: Arc<CryptoProvider>) -> Result<Self, Error> {
        let policy = match trust {
            Trust::Roots(roots) => {
                let platform = Verifier::new(Arc::clone(&provider));
                if roots.is_empty() {
                    Policy::Platform(platform.map_err(name_missing_roots)?)
                } else {
                    Policy::Listed {
                        roots: roots.clone(),
                        verifier: verifier(roots, Arc::clone(&provider))?,
                        platform: platform.ok(),
                    }
                }
            }
            Trust::Pin(sha256) => Policy::Pin(*sha256),
            Trust::Any => Policy::Any,
        };
        Ok(Self { policy, provider })
    }
}

impl TrustVerifier {
    /// Verifies a certificate by the policy.
    fn verify(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verify = |verifier: &dyn ServerCertVerifier| {
            verifier.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now)
        };
        match &self.policy {
            Policy::Platform(platform) => return verify(platform).map_err(name_windows_error),
            Policy::Listed {
                roots,
                verifier,
                platform,
            } => match (verify(&**verifier), platform) {
                // `openssl req -x509` creates CA certificates, which the verifier rejects for servers
                // (RFC 5280 4.2.1.9). Accepting a trusted one is safe, because its key could also issue a
                // certificate for the server.
                (Err(Error::InvalidCertificate(error)), _)
                    if is_ca_certificate(&error) && roots.contains(end_entity) =>
                {
                    verify_server_name(&ParsedCertificate::try_from(end_entity)?, server_name)?;
                }
                (Err(error), Some(platform)) => {
                    return verify(platform).map_err(|platform_error| match error {
                        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
                            name_windows_error(platform_error)
                        }
                        // A listed root issued the certificate, so its error is the cause.
                        error => error,
                    });
                }
                (verified, _) => return verified,
            },
            Policy::Pin(pin) => {
                let sha256 = Sha256::digest(end_entity).into();
                if sha256 != *pin {
                    let mismatch = OtherError(Arc::new(PinMismatch { sha256 }));
                    return Err(CertificateError::Other(mismatch).into());
                }
            }
            Policy::Any => {}
        }
        Ok(ServerCertVerified::assertion())
    }

    /// Checks a signature of the handshake with `check`.
    fn verify_signature(
        &self,
        check: impl FnOnce(&WebPkiSupportedAlgorithms) -> Result<HandshakeSignatureValid, Error>,
    ) -> Result<HandshakeSignatureValid, Error> {
        // A malformed certificate has no key with which a signature could be checked.
        if matches!(self.policy, Policy::Any) {
            return Ok(HandshakeSignatureValid::assertion());
        }
        check(&self.provider.signature_verification_algorithms)
    }
}

impl ServerCertVerifier for TrustVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let verified = self.verify(end_entity, intermediates, server_name, ocsp_response, now);
        if verified.is_err() {
            // Outside of `keep_rejected`, the certificate is not needed.
            let _ = REJECTED.try_with(|rejected| {
                *rejected.borrow_mut() = Some(end_entity.clone().into_owned());
            });
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(|algorithms| verify_tls12_signature(message, cert, dss, algorithms))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.verify_signature(|algorithms| verify_tls13_signature(message, cert, dss, algorithms))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        let algorithms = &self.provider.signature_verification_algorithms;
        algorithms.supported_schemes()
    }
}

tokio::task_local! {
    /// Certificate that was rejected in the handshake of this task. rustls does not return it, and one
    /// verifier serves many handshakes at a time.
    static REJECTED: RefCell<Option<CertificateDer<'static>>>;
}

/// Runs a handshake, and also returns the certificate that its verifier rejected.
pub(super) async fn keep_rejected<T>(
    handshake: impl Future<Output = T>,
) -> (T, Option<CertificateDer<'static>>) {
    let run = async {
        let done = handshake.await;
        (done, REJECTED.with(RefCell::take))
    };
    REJECTED.scope(RefCell::default(), run).await
}

/// Returns a verifier that trusts only `roots`.
fn verifier(
    roots: &[CertificateDer<'static>],
    provider: Arc<CryptoProvider>,
) -> Result<Arc<WebPkiServerVerifier>, Error> {
    let mut store = RootCertStore::empty();
    for root in roots {
        store.add(root.clone())?;
    }
    WebPkiServerVerifier::builder_with_provider(Arc::new(store), provider)
        .build()
        .map_err(|error| Error::General(error.to_string()))
}

/// Replaces the text of the platform verifier for a system without root certificates, which gives no advice.
fn name_missing_roots(error: Error) -> Error {
    match error {
        Error::General(text) if text.starts_with("No CA certificates") => {
            Error::Other(OtherError(Arc::new(MissingRoots)))
        }
        error => error,
    }
}

/// Replaces errors of Windows that the platform verifier returns only as a text with their number.
fn name_windows_error(error: Error) -> Error {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) = &error else {
        return error;
    };
    let cause = cause.to_string();
    // The issuer is missing if the server sends only its own certificate and its root is not installed.
    if cause.contains(CERT_E_CHAINING) {
        return CertificateError::UnknownIssuer.into();
    }
    if cause.contains(CERT_E_REVOCATION_FAILURE) {
        return CertificateError::UnknownRevocationStatus.into();
    }
    error
}

const CERT_E_CHAINING: &str = "-2146762486";
const CERT_E_REVOCATION_FAILURE: &str = "-2146762482";

/// Error for a system without root certificates, such as a minimal container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the system has no root certificates: install its package ca-certificates, check SSL_CERT_FILE and \
     SSL_CERT_DIR, or use --ca-file"
)]
struct MissingRoots;

/// Returns whether the server presented a CA certificate. The verifier reports this error only after it
/// checked the date.
pub(super) fn is_ca_certificate(error: &CertificateError) -> bool {
    matches!(error, CertificateError::Other(OtherError(cause))
        if cause.to_string().contains("CaUsedAsEndEntity"))
}

/// Error for a certificate other than the pinned one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("its certificate is not the pinned one; its SHA-256 is {}", Hex(.sha256))]
pub(super) struct PinMismatch {
    sha256: [u8; 32],
}

/// Bytes printed as hexadecimal digits.
struct Hex<'a>(&'a [u8]);

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_windows_are_named() {
        for (text, expected) in [
            (
                "A certificate chain could not be built. (os error -2146762486)",
                CertificateError::UnknownIssuer,
            ),
            (
                "OS Error -2146762482 (FormatMessageW() returned error 317)",
                CertificateError::UnknownRevocationStatus,
            ),
        ] {
            let cause = OtherError(Arc::from(Box::from(text.to_owned())));
            let error = name_windows_error(CertificateError::Other(cause).into());
            assert_eq!(error, Error::InvalidCertificate(expected));
        }
        for error in [
            Error::from(CertificateError::Expired),
            Error::General("-2146762486".to_owned()),
        ] {
            assert_eq!(name_windows_error(error.clone()), error);
        }
    }
}
