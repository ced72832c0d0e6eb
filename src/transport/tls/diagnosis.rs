//! Which check of TLS failed, in words.

use std::io::{self, ErrorKind};

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible, pki_types::UnixTime,
};

use super::verify::is_ca_certificate;

/// Why TLS with `host` did not come about.
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
            format!("what comes is no TLS; perhaps there is none on this port ({error})")
        }
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => "the server offers no TLS 1.2 or 1.3, only something older".to_owned(),
        Error::AlertReceived(AlertDescription::HandshakeFailure) => "the server has no cipher or \
            key exchange in common with us; TLS 1.2 and 1.3 with forward secrecy are offered"
            .to_owned(),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => {
            format!("the server knows no {host:?}")
        }
        Error::AlertReceived(alert) => format!("the server gave up with the alert {alert:?}"),
        error => error.to_string(),
    }
}

fn certificate_error(error: &CertificateError, host: &str) -> String {
    match error {
        CertificateError::ExpiredContext { time, not_after } => format!(
            "the certificate of {host} expired {} ago",
            span(*not_after, *time)
        ),
        CertificateError::Expired => format!("the certificate of {host} has expired"),
        CertificateError::NotValidYetContext { time, not_before } => format!(
            "the certificate of {host} is valid in {} only; perhaps the clock here is wrong",
            span(*time, *not_before)
        ),
        CertificateError::NotValidYet => {
            format!("the certificate of {host} is not valid yet; perhaps the clock here is wrong")
        }
        CertificateError::NotValidForNameContext { presented, .. } => format!(
            "the certificate is not for {host} but for {}",
            names(presented)
        ),
        CertificateError::NotValidForName => format!("the certificate is not for {host}"),
        CertificateError::UnknownIssuer => format!(
            "nobody that is trusted here vouches for the certificate of {host} (unknown issuer)"
        ),
        CertificateError::BadSignature => format!(
            "the certificate of {host} is signed by somebody else than its issuer (bad signature)"
        ),
        CertificateError::Revoked => format!("the certificate of {host} has been revoked"),
        error if is_ca_certificate(error) => format!(
            "the certificate of {host} is an authority's, not a server's; to trust it all the same, \
             name its file with --ca-file, or pin it"
        ),
        CertificateError::Other(OtherError(error)) => error.to_string(),
        error => format!("the certificate of {host} does not hold: {error}"),
    }
}

/// The names of a certificate as the verifier writes them: `DnsName("host.example")`.
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

fn span(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.as_secs().saturating_sub(from.as_secs());
    let (count, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3_600 => (seconds / 60, "minute"),
        3_600..86_400 => (seconds / 3_600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// How many names of a certificate are told: some are for hundreds.
const MAX_NAMES: usize = 5;

/// What `openssl req -x509` makes where nobody tells it a name.
const NO_NAME: &str = "no host at all (it has no subjectAltName); to trust it all the same, pin it";
