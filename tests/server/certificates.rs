//! Certificates for the TLS servers of tests.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Certificate authority with its certificate in a PEM file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// Certificate and key, as PEM files and as DER.
pub struct Identity {
    pub certificate_der: Vec<u8>,
    pub key_der: Vec<u8>,
    folder: TempDir,
}

/// Host names and validity period of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// Valid now, for `localhost` and 127.0.0.1.
    Valid,
    /// Valid now, for another host name.
    WrongName,
    /// Expired, for `localhost`.
    Expired,
}

impl Authority {
    /// Creates an authority with the common name `name`.
    pub fn new(name: &str) -> Self {
        let mut params =
            CertificateParams::new(Vec::new()).expect("an empty list of names is valid");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem())
            .expect("the file can be written");
        Self { issuer, folder }
    }

    /// Returns the path of the authority's certificate, for `--ca-file`.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Issues a certificate.
    pub fn identity(&self, validity: Validity) -> Identity {
        let names = match validity {
            Validity::Valid | Validity::Expired => vec!["localhost".into(), "127.0.0.1".into()],
            Validity::WrongName => vec!["wrong.example".into()],
        };
        let mut params = CertificateParams::new(names).expect("valid host names");
        if validity == Validity::Expired {
            params.not_before = date_time_ymd(2020, 1, 1);
            params.not_after = date_time_ymd(2021, 1, 1);
        }
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Identity::new(&certificate, &key)
    }
}

impl Identity {
    /// Creates a self-signed certificate for `name` that is marked as a CA certificate, like the
    /// output of `openssl req -x509`.
    pub fn self_signed(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a valid host name");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self::new(&certificate, &key)
    }

    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("the file can be written");
        };
        write("certificate.pem", certificate.pem());
        write("key.pem", key.serialize_pem());
        Self {
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
            folder,
        }
    }

    /// Returns the folder with `certificate.pem` and `key.pem`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the SHA-256 of the certificate in hexadecimal.
    pub fn sha256(&self) -> String {
        let hash = Sha256::digest(&self.certificate_der);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
