//! Certificates for servers that tests start.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use sha2::{Digest, Sha256};
use tempfile::TempDir;

/// Somebody who vouches for servers, in a file that clients can be given.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

/// A certificate and its key, as PEM files and as DER.
pub struct Identity {
    pub certificate_der: Vec<u8>,
    pub key_der: Vec<u8>,
    folder: TempDir,
}

/// For whom and when a certificate is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validity {
    /// For `localhost` and 127.0.0.1, now.
    Valid,
    /// For another host.
    WrongName,
    /// For `localhost`, some years ago.
    Expired,
}

impl Authority {
    /// A new one, called `name`.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).expect("no names are fine");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("a certificate");
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("a small file");
        Self { issuer, folder }
    }

    /// The file that makes clients trust it.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Vouches for a server.
    pub fn identity(&self, validity: Validity) -> Identity {
        let names = match validity {
            Validity::Valid | Validity::Expired => vec!["localhost".into(), "127.0.0.1".into()],
            Validity::WrongName => vec!["wrong.example".into()],
        };
        let mut params = CertificateParams::new(names).expect("names that can be");
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
    /// A server called `name` that vouches for itself, as `openssl req -x509` makes it: with the mark of
    /// an authority.
    pub fn self_signed(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("a name that can be");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        Self::new(&certificate, &key)
    }

    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: String| {
            std::fs::write(folder.path().join(name), text).expect("a small file");
        };
        write("certificate.pem", certificate.pem());
        write("key.pem", key.serialize_pem());
        Self {
            certificate_der: certificate.der().to_vec(),
            key_der: key.serialize_der(),
            folder,
        }
    }

    /// The folder with `certificate.pem` and `key.pem`.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The certificate's SHA-256 in hex.
    pub fn sha256(&self) -> String {
        let hash = Sha256::digest(&self.certificate_der);
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}
