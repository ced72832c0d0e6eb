//! Messages for TLS errors. They name the failed check and contain no names of Rust types.

use std::{
    fmt,
    io::{self, ErrorKind},
};

use tokio_rustls::rustls::{
    AlertDescription, CertificateError, Error, OtherError, PeerIncompatible, pki_types::UnixTime,
};

use super::verify::{PinMismatch, is_ca_certificate};
use crate::transport::http::response::shorten;

/// Kind of a failed handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The answer is not TLS.
    NotTls,
    /// The server closed the connection or stayed silent.
    Unanswered,
    /// The certificate was rejected.
    Certificate,
    /// Every other failure.
    Other,
}

impl Fault {
    /// Classifies an error of the handshake.
    pub(in crate::transport) fn of(error: &io::Error) -> Self {
        match inner(error) {
            Some(Error::InvalidMessage(_)) => Self::NotTls,
            Some(Error::InvalidCertificate(_)) => Self::Certificate,
            Some(_) => Self::Other,
            None => match error.kind() {
                ErrorKind::UnexpectedEof
                | ErrorKind::ConnectionReset
                | ErrorKind::BrokenPipe
                | ErrorKind::TimedOut => Self::Unanswered,
                _ => Self::Other,
            },
        }
    }
}

/// Describes why the handshake with `host` failed.
pub(in crate::transport) fn diagnose(error: &io::Error, host: &str) -> String {
    match inner(error) {
        Some(error) => tls_error(error, host),
        None => io_error(error, host),
    }
}

/// Replaces the text of an error that occurred after the handshake.
pub(in crate::transport) fn explain(error: io::Error) -> io::Error {
    let text = match inner(&error) {
        Some(error) => tls_error(error, "the server"),
        // Without close_notify, the data may be truncated.
        None if error.kind() == ErrorKind::UnexpectedEof => NO_CLOSE_NOTIFY.to_owned(),
        None => return error,
    };
    io::Error::new(error.kind(), text)
}

fn inner(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref::<Error>()
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
    let text = match error {
        Error::InvalidCertificate(error) => return certificate_error(error, host),
        Error::AlertReceived(alert) => return alert_received(*alert, host),
        Error::PeerIncompatible(
            PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
            | PeerIncompatible::ServerDoesNotSupportTls12Or13,
        ) => OLD_VERSION,
        Error::PeerIncompatible(
            PeerIncompatible::NoCipherSuitesInCommon
            | PeerIncompatible::NoKxGroupsInCommon
            | PeerIncompatible::NoEcPointFormatsInCommon,
        ) => NOTHING_IN_COMMON,
        Error::PeerIncompatible(cause) => {
            return format!("the server's TLS is not compatible ({})", variant(cause));
        }
        Error::PeerMisbehaved(cause) => {
            return format!("the server violates the TLS protocol ({})", variant(cause));
        }
        Error::InvalidMessage(cause) => {
            return format!(
                "the server does not speak TLS on this port ({})",
                variant(cause)
            );
        }
        Error::InappropriateMessage { .. } | Error::InappropriateHandshakeMessage { .. } => {
            "the server sent an unexpected TLS message"
        }
        Error::NoCertificatesPresented => "the server sent no certificate",
        Error::UnsupportedNameType => "TLS does not support this kind of host name",
        Error::DecryptError => "the data of the server cannot be decrypted",
        Error::PeerSentOversizedRecord => "the server sent a TLS record that is too large",
        Error::NoApplicationProtocol => "the server supports no protocol of the client",
        Error::FailedToGetCurrentTime => "the clock of this machine cannot be read",
        Error::FailedToGetRandomBytes => "the system provides no random bytes",
        Error::General(text) => return text.clone(),
        Error::Other(OtherError(error)) => return words(&error.to_string()),
        error => return format!("TLS failed ({})", variant(error)),
    };
    text.to_owned()
}

fn alert_received(alert: AlertDescription, host: &str) -> String {
    match alert {
        AlertDescription::ProtocolVersion => OLD_VERSION.to_owned(),
        AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity => {
            NOTHING_IN_COMMON.to_owned()
        }
        AlertDescription::UnrecognisedName => {
            format!("the server does not recognize the name {host:?}")
        }
        AlertDescription::CertificateRequired => {
            "the server requires a client certificate, which is not supported".to_owned()
        }
        AlertDescription::Unknown(code) => {
            format!("the server aborted with the unknown alert {code}")
        }
        alert => format!(
            "the server aborted with the alert {} ({})",
            u8::from(alert),
            variant(&alert)
        ),
    }
}

fn certificate_error(error: &CertificateError, host: &str) -> String {
    let fault = match error {
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names = names(presented);
            return format!("the certificate is not for {host}, but for {names}");
        }
        CertificateError::NotValidForName => return format!("the certificate is not for {host}"),
        CertificateError::UnknownIssuer => {
            return format!(
                "the issuer of the certificate of {host} is not trusted (unknown issuer)"
            );
        }
        CertificateError::InvalidOcspResponse => {
            return format!("the OCSP response for the certificate of {host} is invalid");
        }
        CertificateError::ExpiredContext { time, not_after } => {
            &format!("expired {} ago", duration(*not_after, *time))
        }
        CertificateError::Expired => "has expired",
        CertificateError::NotValidYetContext { time, not_before } => &format!(
            "is not valid before {} from now; check the clock of this machine",
            duration(*time, *not_before)
        ),
        CertificateError::NotValidYet => "is not valid yet; check the clock of this machine",
        CertificateError::BadSignature => "is not signed by its issuer (bad signature)",
        CertificateError::Revoked => "has been revoked",
        CertificateError::BadEncoding => "is malformed",
        CertificateError::UnhandledCriticalExtension => "has an unsupported critical extension",
        CertificateError::UnknownRevocationStatus => "has an unknown revocation status",
        CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            "cannot be checked, because the revocation list of its issuer has expired"
        }
        CertificateError::UnsupportedSignatureAlgorithmContext { .. } => {
            "uses a signature algorithm that is not supported, such as SHA-1"
        }
        CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            "uses a signature algorithm that is not supported for its type of key"
        }
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            "is not intended for TLS servers"
        }
        CertificateError::ApplicationVerificationFailure => "is rejected by the system",
        error if is_ca_certificate(error) => {
            "is a CA certificate; use --ca-file with this certificate, or --tls-pin, to trust it"
        }
        CertificateError::Other(OtherError(error)) => match error.downcast_ref::<PinMismatch>() {
            Some(mismatch) => return mismatch.to_string(),
            None => &format!("is invalid: {}", words(&error.to_string())),
        },
        error => &format!("is invalid: {}", variant(error)),
    };
    format!("the certificate of {host} {fault}")
}

/// Returns the name of an enum variant as words, without its fields.
fn variant(value: &impl fmt::Debug) -> String {
    words(&format!("{value:?}"))
}

/// Splits a text that starts with the name of a variant, such as `UnknownCA(…)`, into words. Returns other
/// text unchanged: rustls-webpki prints variants, the verifiers of other systems print sentences.
fn words(text: &str) -> String {
    let name: Vec<char> = text
        .chars()
        .take_while(char::is_ascii_alphanumeric)
        .collect();
    let rest = text.get(name.len()..).unwrap_or_default();
    if !rest.is_empty() && !rest.starts_with('(') && !rest.starts_with(" {") {
        return text.to_owned();
    }
    let is_upper = |letter: Option<&char>| letter.is_some_and(char::is_ascii_uppercase);
    let is_lower = |letter: Option<&char>| letter.is_some_and(char::is_ascii_lowercase);
    let mut words = String::new();
    let mut before = None;
    for (index, letter) in name.iter().enumerate() {
        let after = name.get(index.saturating_add(1));
        let is_in_acronym = is_upper(after) || is_upper(before) && !is_lower(after);
        if is_upper(Some(letter)) && before.is_some() && (!is_upper(before) || is_lower(after)) {
            words.push(' ');
        }
        words.push(match is_in_acronym {
            true => *letter,
            false => letter.to_ascii_lowercase(),
        });
        before = Some(letter);
    }
    words
}

/// Formats the names of a certificate, which the verifier returns as `DnsName("host.example")`.
fn names(presented: &[String]) -> String {
    let bare = |name: &String| {
        let inner = name.split_once('(').map_or(name.as_str(), |(_, rest)| rest);
        shorten(inner.trim_matches(|c| matches!(c, '"' | ')')).as_bytes())
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

const OLD_VERSION: &str = "the server supports neither TLS 1.2 nor 1.3, only older versions";

const NOTHING_IN_COMMON: &str = "the server supports no cipher suite or key exchange of the client, which \
    needs forward secrecy";

const NO_CLOSE_NOTIFY: &str = "the connection ended without a TLS close_notify";

#[cfg(test)]
mod tests {
    use std::{fmt, sync::Arc};

    use tokio_rustls::rustls::{
        CertRevocationListError, ContentType, ExtendedKeyPurpose, HandshakeType, InconsistentKeys,
        InvalidMessage, PeerMisbehaved,
    };

    use super::*;

    /// Error that prints itself like rustls-webpki, with the name of a variant.
    #[derive(Debug)]
    struct Text(&'static str);

    impl fmt::Display for Text {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl std::error::Error for Text {}

    fn other(text: &'static str) -> OtherError {
        OtherError(Arc::new(Text(text)))
    }

    fn diagnosis(error: Error) -> String {
        diagnose(&io::Error::new(ErrorKind::InvalidData, error), "host")
    }

    /// Whether the text contains Rust syntax or the name of a variant.
    fn is_debug_text(text: &str) -> bool {
        let letters: Vec<char> = text.chars().collect();
        let is_camel_case = |pair: &[char]| pair[0].is_lowercase() && pair[1].is_uppercase();
        text.contains(['{', '[', '_']) || letters.windows(2).any(is_camel_case)
    }

    #[test]
    fn every_certificate_error_is_described() {
        let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
        #[expect(deprecated, reason = "a verifier may still return it")]
        let unsupported = CertificateError::UnsupportedSignatureAlgorithm;
        for error in [
            CertificateError::BadEncoding,
            CertificateError::Expired,
            CertificateError::NotValidYet,
            CertificateError::Revoked,
            CertificateError::UnhandledCriticalExtension,
            CertificateError::UnknownIssuer,
            CertificateError::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationList,
            CertificateError::ExpiredRevocationListContext {
                time,
                next_update: time,
            },
            CertificateError::BadSignature,
            unsupported,
            CertificateError::UnsupportedSignatureAlgorithmContext {
                signature_algorithm_id: vec![1],
                supported_algorithms: Vec::new(),
            },
            CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext {
                signature_algorithm_id: vec![1],
                public_key_algorithm_id: vec![2],
            },
            CertificateError::NotValidForName,
            CertificateError::InvalidPurpose,
            CertificateError::InvalidPurposeContext {
                required: ExtendedKeyPurpose::ServerAuth,
                presented: vec![ExtendedKeyPurpose::ClientAuth],
            },
            CertificateError::InvalidOcspResponse,
            CertificateError::ApplicationVerificationFailure,
            CertificateError::Other(other("PathLenConstraintViolated")),
            CertificateError::Other(other("TrailingData(DerTypeId::Certificate)")),
            CertificateError::Other(other("the system does not trust it")),
        ] {
            let text = diagnosis(error.clone().into());
            assert!(!is_debug_text(&text), "{error:?}: {text}");
            assert!(text.contains("certificate"), "{error:?}: {text}");
        }
    }

    #[test]
    fn every_tls_error_is_described() {
        let mut errors: Vec<Error> = vec![
            Error::InappropriateMessage {
                expect_types: vec![ContentType::Handshake],
                got_type: ContentType::ApplicationData,
            },
            Error::InappropriateHandshakeMessage {
                expect_types: vec![HandshakeType::ServerHello],
                got_type: HandshakeType::ClientHello,
            },
            Error::InvalidMessage(InvalidMessage::InvalidContentType),
            Error::InvalidMessage(InvalidMessage::MissingData("ServerHelloPayload")),
            Error::NoCertificatesPresented,
            Error::UnsupportedNameType,
            Error::DecryptError,
            Error::EncryptError,
            Error::PeerIncompatible(PeerIncompatible::NoCipherSuitesInCommon),
            Error::PeerIncompatible(PeerIncompatible::ServerRejectedEncryptedClientHello(None)),
            Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedCipherSuite),
            Error::InvalidCertRevocationList(CertRevocationListError::BadSignature),
            Error::General("a provider error".into()),
            Error::FailedToGetCurrentTime,
            Error::FailedToGetRandomBytes,
            Error::HandshakeNotComplete,
            Error::PeerSentOversizedRecord,
            Error::NoApplicationProtocol,
            Error::BadMaxFragmentSize,
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch),
            Error::Other(other("ProviderFailure")),
        ];
        errors.extend((0..=u8::MAX).map(|code| Error::AlertReceived(code.into())));
        for error in errors {
            let text = diagnosis(error.clone());
            assert!(!is_debug_text(&text), "{error:?}: {text}");
        }
    }

    #[test]
    fn names_of_variants_become_words() {
        assert_eq!(variant(&AlertDescription::InternalError), "internal error");
        assert_eq!(variant(&AlertDescription::UnknownCA), "unknown CA");
        assert_eq!(
            variant(&AlertDescription::UnknownPSKIdentity),
            "unknown PSK identity"
        );
        assert_eq!(variant(&InvalidMessage::MissingData("X")), "missing data");
    }
}
