use std::{io, sync::Arc, time::Duration};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use sha2::{Digest, Sha256};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        pki_types::PrivateKeyDer,
        sign::{CertifiedKey, SingleCertAndKey},
    },
};

use super::*;
use crate::transport::{Carrier, DialFacts, Dialer, Endpoint, Route};

/// Creates a CA.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    authority_named("Authority")
}

fn authority_named(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate with its key.
struct Identity {
    certificate: CertificateDer<'static>,
    key: KeyPair,
}

impl Identity {
    fn new(issuer: &CertifiedIssuer<'_, KeyPair>, params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, issuer).unwrap();
        Self {
            certificate: certificate.der().clone(),
            key,
        }
    }

    fn sha256(&self) -> [u8; 32] {
        Sha256::digest(&self.certificate).into()
    }

    fn acceptor(&self) -> TlsAcceptor {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let key = ring::sign::any_supported_type(&key).unwrap();
        // `CertifiedKey::new` does not check that certificate and key belong together.
        let certified = CertifiedKey::new(vec![self.certificate.clone()], key);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(certified)));
        TlsAcceptor::from(Arc::new(config))
    }
}

fn named(names: &[&str]) -> CertificateParams {
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    CertificateParams::new(names).unwrap()
}

fn trusting(issuer: &CertifiedIssuer<'_, KeyPair>) -> Tls {
    Tls::new(Trust::Roots(vec![issuer.der().clone()]))
}

/// Connects to a server with `identity` under the name `localhost`.
async fn handshake(tls: Tls, identity: &Identity) -> Result<(), String> {
    handshake_with_facts(tls, identity).await.0
}

/// Connects like [`handshake`], and returns the facts too.
async fn handshake_with_facts(tls: Tls, identity: &Identity) -> (Result<(), String>, TlsFacts) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = identity.acceptor();
    let serve = async {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(tcp).await {
            let _client_may_be_gone = stream.write_all(b"hello").await;
            let _client_may_be_gone = stream.shutdown().await;
        }
    };
    let mut facts = DialFacts::default();
    let (received, ()) = tokio::join!(read_all(tls, port, &mut facts), serve);
    let received = received.map(|text| assert_eq!(text, "hello"));
    (received, facts.tls.unwrap())
}

async fn read_all(tls: Tls, port: u16, facts: &mut DialFacts) -> Result<String, String> {
    let route = Route {
        endpoint: Endpoint {
            host: "localhost".into(),
            port,
        },
        carrier: Carrier::Tls,
    };
    let dialer = Dialer {
        connect_timeout: Some(Duration::from_secs(5)),
        tls,
        ..Dialer::default()
    };
    let mut stream = dialer
        .dial(&route, facts)
        .await
        .map_err(|error| error.to_string().replace(&port.to_string(), "PORT"))?;
    let mut text = String::new();
    let read = stream.read_to_string(&mut text).await;
    read.map_err(|error| error.to_string())?;
    Ok(text)
}

#[tokio::test]
async fn a_certificate_of_a_trusted_issuer_is_accepted() {
    let issuer = authority();
    let identity = Identity::new(&issuer, named(&["localhost"]));
    assert_eq!(handshake(trusting(&issuer), &identity).await, Ok(()));
}

#[tokio::test]
async fn the_failed_check_is_named() {
    let issuer = authority();
    let mut expired = named(&["localhost"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut early = named(&["localhost"]);
    early.not_before = date_time_ymd(4000, 1, 1);
    let mut of_ca = named(&["localhost"]);
    of_ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let many: Vec<String> = (0..7).map(|number| format!("{number}.example")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for (params, start, end) in [
        (
            expired,
            "the certificate of localhost expired ",
            " days ago",
        ),
        (
            early,
            "the certificate of localhost is not valid before ",
            " days from now; check the clock of this machine",
        ),
        (
            named(&["wrong.example", "*.other.example", "127.0.0.1"]),
            "the certificate is not for localhost, but for ",
            "wrong.example, *.other.example, 127.0.0.1",
        ),
        (
            named(&many),
            "the certificate is not for localhost, but for ",
            "4.example and 2 more",
        ),
        (
            named(&[]),
            "the certificate is not for localhost, but for ",
            "no host (it has no subjectAltName); use --tls-pin to trust it",
        ),
        (
            of_ca,
            "the certificate of localhost is a CA certificate; ",
            "use --ca-file with this certificate, or --tls-pin, to trust it",
        ),
    ] {
        let identity = Identity::new(&issuer, params);
        let error = handshake(trusting(&issuer), &identity).await.unwrap_err();
        let start = format!("cannot establish TLS with localhost:PORT: {start}");
        assert!(error.starts_with(&start) && error.ends_with(end), "{error}");
        let any = Tls::new(Trust::Any);
        assert_eq!(handshake(any, &identity).await, Ok(()));
        let pinned = Tls::new(Trust::Pin(identity.sha256()));
        assert_eq!(handshake(pinned, &identity).await, Ok(()));
    }
}

/// Creates a self-signed CA certificate, as `openssl req -x509` does.
fn self_signed(mut params: CertificateParams) -> Identity {
    params
        .distinguished_name
        .push(DnType::CommonName, "Self-signed");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    Identity {
        certificate: params.self_signed(&key).unwrap().der().clone(),
        key,
    }
}

fn trusting_certificate(identity: &Identity) -> Tls {
    Tls::new(Trust::Roots(vec![identity.certificate.clone()]))
}

#[tokio::test]
async fn a_trusted_self_signed_certificate_is_accepted() {
    let identity = self_signed(named(&["localhost"]));
    assert_eq!(
        handshake(trusting_certificate(&identity), &identity).await,
        Ok(())
    );
    // A different certificate with the same names and the same issuer name.
    let another = self_signed(named(&["localhost"]));
    let error = handshake(trusting_certificate(&another), &identity).await;
    let error = error.unwrap_err();
    assert!(error.contains("is a CA certificate"), "{error}");
    assert!(handshake(Tls::default(), &identity).await.is_err());
}

#[tokio::test]
async fn name_and_date_of_a_trusted_self_signed_certificate_are_checked() {
    let mut expired = named(&["localhost"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut early = named(&["localhost"]);
    early.not_before = date_time_ymd(4000, 1, 1);
    for (params, cause) in [
        (expired, "the certificate of localhost expired "),
        (early, "the certificate of localhost is not valid before "),
        (
            named(&["wrong.example"]),
            "the certificate is not for localhost, but for wrong.example",
        ),
        (
            named(&[]),
            "the certificate is not for localhost, but for no host",
        ),
    ] {
        let identity = self_signed(params);
        let error = handshake(trusting_certificate(&identity), &identity).await;
        let error = error.unwrap_err();
        assert!(error.contains(cause), "{error}");
    }
}

#[tokio::test]
async fn a_server_without_the_key_of_its_certificate_is_rejected() {
    let identity = self_signed(named(&["localhost"]));
    let thief = Identity {
        certificate: identity.certificate.clone(),
        key: KeyPair::generate().unwrap(),
    };
    let error = handshake(trusting_certificate(&identity), &thief)
        .await
        .unwrap_err();
    assert!(error.contains("bad signature"), "{error}");
}

#[tokio::test]
async fn an_untrusted_issuer_is_rejected() {
    let identity = Identity::new(&authority(), named(&["localhost"]));
    for (name, expected) in [
        (
            "Another",
            "the issuer of the certificate of localhost is not trusted (unknown issuer)",
        ),
        (
            "Authority",
            "the certificate of localhost is not signed by its issuer (bad signature)",
        ),
    ] {
        let error = handshake(trusting(&authority_named(name)), &identity).await;
        let expected = format!("cannot establish TLS with localhost:PORT: {expected}");
        assert_eq!(error, Err(expected));
    }
}

#[tokio::test]
async fn a_pin_mismatch_reports_the_fingerprint() {
    let issuer = authority();
    let identity = Identity::new(&issuer, named(&["localhost"]));
    let pinned = Tls::new(Trust::Pin([7; 32]));
    let error = handshake(pinned, &identity).await.unwrap_err();
    let sha256: String = identity
        .sha256()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        error,
        format!(
            "cannot establish TLS with localhost:PORT: its certificate is not the pinned one; \
             its SHA-256 is {sha256}"
        )
    );
}

/// Returns the diagnosis for a server that answers the ClientHello with `answer` and closes.
async fn diagnosis_of(answer: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 16 * 1024];
        assert!(tcp.read(&mut hello).await.unwrap() > 0);
        tcp.write_all(answer).await.unwrap();
    };
    let mut facts = DialFacts::default();
    let (received, ()) = tokio::join!(read_all(Tls::default(), port, &mut facts), serve);
    let error = received.unwrap_err();
    error.replace("cannot establish TLS with localhost:PORT: ", "")
}

#[tokio::test]
async fn servers_without_compatible_tls_are_described() {
    let alert = |code: u8| [0x15, 3, 1, 0, 2, 2, code];
    assert_eq!(
        diagnosis_of(&alert(70)).await,
        "the server supports neither TLS 1.2 nor 1.3, only older versions"
    );
    assert!(
        diagnosis_of(&alert(40))
            .await
            .starts_with("the server supports no cipher suite or key exchange of the client")
    );
    assert_eq!(
        diagnosis_of(&alert(112)).await,
        "the server does not recognize the name \"localhost\""
    );
    assert_eq!(
        diagnosis_of(&alert(80)).await,
        "the server aborted with the alert 80 (internal error)"
    );
    assert_eq!(
        diagnosis_of(&[]).await,
        "the server closed the connection during the TLS handshake"
    );
    let error = diagnosis_of(b"\x03RTMP is spoken here").await;
    assert!(
        error.starts_with("the server does not speak TLS on this port"),
        "{error}"
    );
}

#[tokio::test]
async fn a_missing_close_notify_is_reported_after_the_bytes() {
    let issuer = authority();
    let identity = Identity::new(&issuer, named(&["localhost"]));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint {
        host: "localhost".into(),
        port: listener.local_addr().unwrap().port(),
    };
    let acceptor = identity.acceptor();
    let serve = async {
        let (tcp, _) = listener.accept().await.unwrap();
        let mut stream = acceptor.accept(tcp).await.unwrap();
        stream.write_all(&[7; 100_000]).await.unwrap();
        stream.flush().await.unwrap();
        let (mut tcp, _) = stream.into_inner();
        tcp.shutdown().await.unwrap();
        tcp
    };
    let dialer = Dialer {
        tls: trusting(&issuer),
        ..Dialer::default()
    };
    let read = async {
        let mut stream = dialer
            .connect(&endpoint, true, &mut DialFacts::default())
            .await
            .unwrap();
        let mut bytes = Vec::new();
        let error = stream.read_to_end(&mut bytes).await.unwrap_err();
        (bytes, error)
    };
    let ((bytes, error), _tcp) = tokio::join!(read, serve);
    assert_eq!(bytes.len(), 100_000);
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(
        error.to_string(),
        "the connection ended without a TLS close_notify"
    );
}

#[test]
fn root_certificates_are_read_from_pem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        read_roots(&file).map_err(|error| error.to_string())
    };
    let (one, two) = (authority(), authority());
    let both = format!("# two certificates\n{}{}", one.pem(), two.pem());
    let ders = vec![one.der().clone(), two.der().clone()];
    assert_eq!(read(&both), Ok(ders));
    assert_eq!(
        read("nothing").unwrap_err(),
        "it contains no PEM certificate"
    );
    let malformed = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = read(&format!("{}{malformed}", one.pem())).unwrap_err();
    assert!(
        error.starts_with("certificate 2 in it is invalid: "),
        "{error}"
    );
    assert!(read_roots(&folder.path().join("none")).is_err());
}

#[tokio::test]
async fn the_session_and_the_certificate_are_recorded() {
    let issuer = authority();
    let mut params = named(&["localhost", "other.example", "127.0.0.1"]);
    params.distinguished_name.push(DnType::CommonName, "Server");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2100, 1, 1);
    let identity = Identity::new(&issuer, params);
    let (result, facts) = handshake_with_facts(trusting(&issuer), &identity).await;
    assert_eq!(result, Ok(()));
    assert_eq!(facts.version, Some("TLS 1.3"));
    assert_eq!(facts.cipher.as_deref(), Some("TLS_AES_256_GCM_SHA384"));
    assert_eq!(facts.alpn, None);
    assert!(facts.time.is_some());
    assert_eq!(facts.check, Some(CertificateCheck::Verified));
    let expected = CertificateFacts {
        sha256: identity.sha256(),
        is_readable: true,
        subject: Some("Server".into()),
        names: ["localhost", "other.example", "127.0.0.1"]
            .map(str::to_owned)
            .into(),
        omitted_names: 0,
        issuer: Some("Authority".into()),
        is_self_issued: false,
        not_before: Some(1_577_836_800),
        not_after: Some(4_102_444_800),
    };
    assert_eq!(facts.certificate, Some(expected));

    for (trust, check) in [
        (Trust::Any, CertificateCheck::Unchecked),
        (Trust::Pin(identity.sha256()), CertificateCheck::Pinned),
    ] {
        let (result, facts) = handshake_with_facts(Tls::new(trust), &identity).await;
        assert_eq!((result, facts.check), (Ok(()), Some(check)));
    }
}

#[tokio::test]
async fn a_rejected_certificate_is_recorded() {
    let issuer = authority();
    let mut expired = named(&["localhost"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let identity = Identity::new(&issuer, expired);
    let (result, facts) = handshake_with_facts(trusting(&issuer), &identity).await;
    assert!(result.unwrap_err().contains("expired"));
    assert_eq!(facts.check, Some(CertificateCheck::Rejected));
    assert_eq!(facts.version, None);
    let certificate = facts.certificate.unwrap();
    assert_eq!(certificate.sha256, identity.sha256());
    assert_eq!(certificate.not_after, Some(1_609_459_200));
}

#[test]
fn names_of_a_certificate_are_bounded() {
    let names: Vec<String> = (0..MAX_NAMES + 9)
        .map(|number| format!("n{number}.example"))
        .collect();
    let mut params = CertificateParams::new(names.clone()).unwrap();
    let long = "x".repeat(10_000);
    params
        .distinguished_name
        .push(DnType::CommonName, long.as_str());
    let key = KeyPair::generate().unwrap();
    let facts = CertificateFacts::of(params.self_signed(&key).unwrap().der());
    assert_eq!(facts.names, names[..MAX_NAMES]);
    assert_eq!(facts.omitted_names, 9);
    assert_eq!(facts.subject.unwrap(), long[..MAX_NAME_LEN]);
    assert!(facts.is_self_issued);
}

#[test]
fn a_malformed_certificate_has_only_a_fingerprint() {
    let issuer = authority();
    let identity = Identity::new(&issuer, named(&["localhost", "127.0.0.1"]));
    let der = &identity.certificate[..];
    for cut in 0..der.len() {
        let facts = CertificateFacts::of(&der[..cut]);
        assert!(!facts.is_readable && facts.names.is_empty(), "cut at {cut}");
        let sha256: [u8; 32] = Sha256::digest(&der[..cut]).into();
        assert_eq!(facts.sha256, sha256);
    }
    // Any other change must not panic either.
    for at in 0..der.len() {
        for value in [0, 0x7F, 0x80, 0xFF] {
            let mut changed = der.to_vec();
            changed[at] = value;
            let facts = CertificateFacts::of(&changed);
            assert!(facts.names.len() <= MAX_NAMES);
        }
    }
}
