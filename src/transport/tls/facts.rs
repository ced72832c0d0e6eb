//! Facts of a TLS handshake and of the certificate that the server presented.

use std::{net::IpAddr, time::Duration};

use sha2::{Digest, Sha256};
use x509_parser::{
    certificate::X509Certificate,
    extensions::GeneralName,
    prelude::FromDer,
    x509::{AttributeTypeAndValue, X509Name},
};

/// Facts of a TLS handshake, also of a failed one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TlsFacts {
    /// Name of the TLS version.
    pub version: Option<&'static str>,
    /// Name of the cipher suite.
    pub cipher: Option<String>,
    /// Protocol that the server selected by ALPN. The client offers none.
    pub alpn: Option<String>,
    /// Time of the handshake, or until its failure.
    pub time: Option<Duration>,
    /// Certificate of the server, if it presented one.
    pub certificate: Option<CertificateFacts>,
    /// Result of the check of the certificate; `None` if the handshake did not get that far.
    pub check: Option<CertificateCheck>,
}

/// Result of the check of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertificateCheck {
    /// Name, dates and issuer are valid.
    Verified,
    /// The certificate is the pinned one. Its name, dates and issuer are not checked.
    Pinned,
    /// The certificate is not checked.
    Unchecked,
    /// The certificate was rejected.
    Rejected,
}

impl CertificateCheck {
    /// Returns the result in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Verified => "certificate verified",
            Self::Pinned => "certificate matches the pin",
            Self::Unchecked => "certificate not checked",
            Self::Rejected => "certificate rejected",
        }
    }
}

/// Facts of the certificate of a server.
///
/// The server chose all of them. Texts are shortened to [`MAX_NAME_LEN`] bytes and not escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    /// SHA-256 of the certificate's DER.
    pub sha256: [u8; 32],
    /// Whether the certificate could be parsed. The other fields are empty if not.
    pub is_readable: bool,
    /// Common name of the subject.
    pub subject: Option<String>,
    /// Subject alternative names: DNS names and addresses. At most [`MAX_NAMES`].
    pub names: Vec<String>,
    /// Number of subject alternative names that are not in `names`.
    pub omitted_names: usize,
    /// Common name of the issuer, or its organization.
    pub issuer: Option<String>,
    /// Whether subject and issuer are equal, as in a self-signed certificate.
    pub is_self_issued: bool,
    /// Start of the validity, in seconds since 1970-01-01 UTC.
    pub not_before: Option<i64>,
    /// End of the validity, in seconds since 1970-01-01 UTC.
    pub not_after: Option<i64>,
}

impl CertificateFacts {
    /// Reads the facts of a certificate. Of a malformed certificate only the fingerprint is known.
    pub(super) fn of(der: &[u8]) -> Self {
        let mut facts = Self {
            sha256: Sha256::digest(der).into(),
            is_readable: false,
            subject: None,
            names: Vec::new(),
            omitted_names: 0,
            issuer: None,
            is_self_issued: false,
            not_before: None,
            not_after: None,
        };
        if let Ok((_, certificate)) = X509Certificate::from_der(der) {
            facts.read(&certificate);
        }
        facts
    }

    fn read(&mut self, certificate: &X509Certificate<'_>) {
        let (subject, issuer) = (certificate.subject(), certificate.issuer());
        self.is_readable = true;
        self.subject = common_name(subject);
        self.issuer = common_name(issuer).or_else(|| organization(issuer));
        self.is_self_issued = subject.as_raw() == issuer.as_raw();
        self.not_before = Some(certificate.validity().not_before.timestamp());
        self.not_after = Some(certificate.validity().not_after.timestamp());
        let Ok(Some(alternative)) = certificate.subject_alternative_name() else {
            return;
        };
        for name in &alternative.value.general_names {
            match general_name(name) {
                Some(name) if self.names.len() < MAX_NAMES => self.names.push(name),
                _ => self.omitted_names = self.omitted_names.saturating_add(1),
            }
        }
    }
}

fn common_name(name: &X509Name<'_>) -> Option<String> {
    name.iter_common_name().next().map(attribute)
}

fn organization(name: &X509Name<'_>) -> Option<String> {
    name.iter_organization().next().map(attribute)
}

fn attribute(attribute: &AttributeTypeAndValue<'_>) -> String {
    shorten(attribute.as_slice())
}

/// Returns a DNS name or an address as text; `None` for other kinds of names.
fn general_name(name: &GeneralName<'_>) -> Option<String> {
    match name {
        GeneralName::DNSName(name) => Some(shorten(name.as_bytes())),
        GeneralName::IPAddress(bytes) => {
            let v4 = <[u8; 4]>::try_from(*bytes).map(IpAddr::from);
            let address = v4.or_else(|_| <[u8; 16]>::try_from(*bytes).map(IpAddr::from));
            address.ok().map(|address| address.to_string())
        }
        _ => None,
    }
}

/// Returns the start of a text. Bytes that are not UTF-8 become U+FFFD.
fn shorten(text: &[u8]) -> String {
    let start = text.get(..MAX_NAME_LEN).unwrap_or(text);
    String::from_utf8_lossy(start).into_owned()
}

/// Largest number of subject alternative names that are kept. Shared hosts have certificates with hundreds.
pub const MAX_NAMES: usize = 64;

/// Largest length of a name in bytes: that of a DNS name (RFC 1035 2.3.4).
pub const MAX_NAME_LEN: usize = 255;
