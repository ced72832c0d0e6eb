//! Messages that name the failed check of a TLS handshake.

use std::io::{self, ErrorKind};

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible, pki_types::UnixTime,
};

use super::verify::is_ca_certificate;

/// Describes why the handshake with `host` failed.
pub(in crate::transport) fn diagnose(error: &io::Error, host: &str) -> String {
    let tls = error
        .get_ref()
        .and_then(|source| source.downcast_ref::<Error>());
    match tls {
        Some(error) => tls_error(error, host),
        None => io_error(error, host),
    }
}

fn io_error(error: &io::Error, host: &str) -> String {
    match error.kind() {
        ErrorKind::UnexpectedEof => {
            "the server closed the connection during the TLS handshake".to_owned()
        }
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
            format!("the connection broke during the TLS handshake: {error}")
        }
        ErrorKind::TimedOut => {
            format!("{error} (a server without TLS on this port may stay silent)")
        }
        _ => format!("{error} ({host:?})"),
    }
}

fn tls_error(error: &Error, host: &str) -> String {
    match error {
        Error::InvalidCertificate(error) => certificate_error(error, host),
        Error::InvalidMessage(_) => {
            format!("the server does not speak TLS on this port ({error})")
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => "the server supports neither TLS 1.2 nor 1.3, only older versions".to_owned(),
        Error::AlertReceived(AlertDescription::HandshakeFailure) => "the server supports \
            no cipher suite or key exchange of the client, which needs forward secrecy"
            .to_owned(),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("the server does not know the name {host:?}")
        }
        Error::AlertReceived(alert) => format!("the server aborted with the alert {alert:?}"),
        error => error.to_string(),
    }
}

fn certificate_error(error: &CertificateError, host: &str) -> String {
    match error {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate of {host} expired {} ago",
            duration(*not_after, *time)
        ),
        CertificateError::Expired => format!("the certificate of {host} has expired"),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of {host} is not valid before {} from now; check the clock of this machine",
            duration(*time, *not_before)
        ),
        CertificateError::NotValidYet => {
            format!("the certificate of {host} is not valid yet; check the clock of this machine")
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the certificate is not for {host}, but for {}",
            names(presented)
        ),
        CertificateError::NotValidForName => format!("the certificate is not for {host}"),
        CertificateError::UnknownIssuer => {
            format!("the issuer of the certificate of {host} is not trusted (unknown issuer)")
        }
        CertificateError::BadSignature => {
            format!("the certificate of {host} is not signed by its issuer (bad signature)")
        }
        CertificateError::Revoked => format!("the certificate of {host} has been revoked"),
        error if is_ca_certificate(error) => format!(
            "the certificate of {host} is a CA certificate; use --ca-file with this certificate, or \
             --tls-pin, to trust it"
        ),
        CertificateError::Other(OtherError(error)) => error.to_string(),
        error => format!("the certificate of {host} is invalid: {error}"),
    }
}

/// Formats the names of a certificate, which the verifier returns as `DnsName("host.example")`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        inner.trim_matches(|c| matches!(c, '"' | ')')).to_owned()
    };
    let shown: Vec<String> = presented.iter().take(MAX_NAMES).map(bare).collect();
    match presented.len().saturating_sub(MAX_NAMES) {
        _ if shown.is_empty() => NO_NAME.to_owned(),
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

fn duration(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Largest number of names in a message; some certificates have hundreds.
const MAX_NAMES: usize = 5;

/// Certificates of `openssl req -x509` have no name by default.
const NO_NAME: &str = "no host (it has no subjectAltName); use --tls-pin to trust it";
