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
use crate::transport::{Carrier, Dialer, Endpoint, Route};

/// Somebody who vouches for servers.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    called("Authority")
}

fn called(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// A certificate with its key, vouched for by `issuer`.
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
        // Whether the two belong together is not asked.
        let shown = CertifiedKey::new(vec![self.certificate.clone()], key);
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
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

/// What comes of a handshake with `identity`, called `localhost`.
async fn shaken(tls: Tls, identity: &Identity) -> Result<(), String> {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let acceptor = identity.acceptor();
    let serve = async {
        let (tcp, _) = listener.accept().await.unwrap();
        if let Ok(mut stream) = acceptor.accept(tcp).await {
            let _peer_may_be_gone = stream.write_all(b"hello").await;
            let _peer_may_be_gone = stream.shutdown().await;
        }
    };
    let (dialled, ()) = tokio::join!(read_all(tls, port), serve);
    dialled.map(|text| assert_eq!(text, "hello"))
}

async fn read_all(tls: Tls, port: u16) -> Result<String, String> {
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
        .dial(&route)
        .await
        .map_err(|error| error.to_string().replace(&port.to_string(), "PORT"))?;
    let mut text = String::new();
    let read = stream.read_to_string(&mut text).await;
    read.map_err(|error| error.to_string())?;
    Ok(text)
}

#[tokio::test]
async fn a_server_that_somebody_trusted_vouches_for_passes() {
    let issuer = authority();
    let identity = Identity::new(&issuer, named(&["localhost"]));
    assert_eq!(shaken(trusting(&issuer), &identity).await, Ok(()));
}

#[tokio::test]
async fn each_check_that_fails_is_named() {
    let issuer = authority();
    let mut expired = named(&["localhost"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut early = named(&["localhost"]);
    early.not_before = date_time_ymd(4000, 1, 1);
    let mut of_authority = named(&["localhost"]);
    of_authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
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
            "the certificate of localhost is valid in ",
            " days only; perhaps the clock here is wrong",
        ),
        (
            named(&["wrong.example", "*.other.example", "127.0.0.1"]),
            "the certificate is not for localhost but for ",
            "wrong.example, *.other.example, 127.0.0.1",
        ),
        (
            named(&many),
            "the certificate is not for localhost but for ",
            "4.example and 2 more",
        ),
        (
            named(&[]),
            "the certificate is not for localhost but for ",
            "no host at all (it has no subjectAltName); to trust it all the same, pin it",
        ),
        (
            of_authority,
            "the certificate of localhost is an authority's, ",
            "name its file with --ca-file, or pin it",
        ),
    ] {
        let identity = Identity::new(&issuer, params);
        let told = shaken(trusting(&issuer), &identity).await.unwrap_err();
        let start = format!("no TLS with localhost:PORT: {start}");
        assert!(told.starts_with(&start) && told.ends_with(end), "{told}");
        let anything = Tls::new(Trust::Any);
        assert_eq!(shaken(anything, &identity).await, Ok(()));
        let pinned = Tls::new(Trust::Pin(identity.sha256()));
        assert_eq!(shaken(pinned, &identity).await, Ok(()));
    }
}

/// A server that vouches for itself, as `openssl req -x509` makes them: with the mark of an authority.
fn alone(mut params: CertificateParams) -> Identity {
    params.distinguished_name.push(DnType::CommonName, "Alone");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    Identity {
        certificate: params.self_signed(&key).unwrap().der().clone(),
        key,
    }
}

fn trusting_alone(identity: &Identity) -> Tls {
    Tls::new(Trust::Roots(vec![identity.certificate.clone()]))
}

#[tokio::test]
async fn a_server_that_vouches_for_itself_passes_where_its_very_certificate_is_trusted() {
    let identity = alone(named(&["localhost"]));
    assert_eq!(shaken(trusting_alone(&identity), &identity).await, Ok(()));
    // The same names, and the same issuer by name.
    let another = alone(named(&["localhost"]));
    let told = shaken(trusting_alone(&another), &identity).await;
    let told = told.unwrap_err();
    assert!(told.contains("is an authority's, not a server's"), "{told}");
    assert!(shaken(Tls::default(), &identity).await.is_err());
}

#[tokio::test]
async fn name_and_date_of_a_server_that_vouches_for_itself_are_checked() {
    let mut expired = named(&["localhost"]);
    expired.not_before = date_time_ymd(2020, 1, 1);
    expired.not_after = date_time_ymd(2021, 1, 1);
    let mut early = named(&["localhost"]);
    early.not_before = date_time_ymd(4000, 1, 1);
    for (params, cause) in [
        (expired, "the certificate of localhost expired "),
        (early, "the certificate of localhost is valid in "),
        (
            named(&["wrong.example"]),
            "the certificate is not for localhost but for wrong.example",
        ),
        (
            named(&[]),
            "the certificate is not for localhost but for no host at all",
        ),
    ] {
        let identity = alone(params);
        let told = shaken(trusting_alone(&identity), &identity).await;
        let told = told.unwrap_err();
        assert!(told.contains(cause), "{told}");
    }
}

/// Who shows a trusted certificate without its key has copied it.
#[tokio::test]
async fn a_server_without_the_key_of_its_certificate_does_not_pass() {
    let identity = alone(named(&["localhost"]));
    let thief = Identity {
        certificate: identity.certificate.clone(),
        key: KeyPair::generate().unwrap(),
    };
    let told = shaken(trusting_alone(&identity), &thief).await.unwrap_err();
    assert!(told.contains("bad signature"), "{told}");
}

#[tokio::test]
async fn a_stranger_does_not_pass() {
    let identity = Identity::new(&authority(), named(&["localhost"]));
    for (name, expected) in [
        (
            "Another",
            "nobody that is trusted here vouches for the certificate of localhost (unknown issuer)",
        ),
        (
            "Authority",
            "the certificate of localhost is signed by somebody else than its issuer (bad signature)",
        ),
    ] {
        let told = shaken(trusting(&called(name)), &identity).await;
        let expected = format!("no TLS with localhost:PORT: {expected}");
        assert_eq!(told, Err(expected));
    }
}

#[tokio::test]
async fn another_certificate_than_the_pinned_one_is_told_with_its_fingerprint() {
    let issuer = authority();
    let identity = Identity::new(&issuer, named(&["localhost"]));
    let pinned = Tls::new(Trust::Pin([7; 32]));
    let told = shaken(pinned, &identity).await.unwrap_err();
    let seen: String = identity
        .sha256()
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    assert_eq!(
        told,
        format!(
            "no TLS with localhost:PORT: its certificate is not the pinned one: \
             it has the SHA-256 {seen}"
        )
    );
}

/// What is told of a server that answers the first bytes with `answer` and closes.
async fn answered(answer: &[u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let serve = async {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut hello = vec![0; 16 * 1024];
        assert!(tcp.read(&mut hello).await.unwrap() > 0);
        tcp.write_all(answer).await.unwrap();
    };
    let (dialled, ()) = tokio::join!(read_all(Tls::default(), port), serve);
    let told = dialled.unwrap_err();
    told.replace("no TLS with localhost:PORT: ", "")
}

#[tokio::test]
async fn servers_without_our_tls_are_told_apart() {
    let alert = |code: u8| [0x15, 3, 1, 0, 2, 2, code];
    assert_eq!(
        answered(&alert(70)).await,
        "the server offers no TLS 1.2 or 1.3, only something older"
    );
    assert!(
        answered(&alert(40))
            .await
            .starts_with("the server has no cipher or key exchange in common")
    );
    assert_eq!(
        answered(&alert(112)).await,
        "the server knows no \"localhost\""
    );
    assert_eq!(
        answered(&alert(80)).await,
        "the server gave up with the alert InternalError"
    );
    assert_eq!(
        answered(&[]).await,
        "the server closed the connection during the TLS handshake"
    );
    let told = answered(b"\x03RTMP is spoken here").await;
    assert!(told.starts_with("what comes is no TLS"), "{told}");
}

/// The bytes that came are given out before the missing end is told, at whatever byte it is missing.
#[tokio::test]
async fn an_end_without_close_notify_is_an_error_behind_the_bytes() {
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
        let mut stream = dialer.pipe(&endpoint, true).await.unwrap();
        let mut bytes = Vec::new();
        let error = stream.read_to_end(&mut bytes).await.unwrap_err();
        (bytes, error)
    };
    let ((bytes, error), _tcp) = tokio::join!(read, serve);
    assert_eq!(bytes.len(), 100_000);
    assert_eq!(error.kind(), io::ErrorKind::UnexpectedEof);
    assert_eq!(
        error.to_string(),
        "it ended without TLS's own end (close_notify)"
    );
}

#[test]
fn roots_are_read_from_pem() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("roots.pem");
    let read = |text: &str| {
        std::fs::write(&file, text).unwrap();
        read_roots(&file).map_err(|error| error.to_string())
    };
    let (one, two) = (authority(), authority());
    let both = format!("# two of them\n{}{}", one.pem(), two.pem());
    let ders = vec![one.der().clone(), two.der().clone()];
    assert_eq!(read(&both), Ok(ders));
    assert_eq!(
        read("nothing").unwrap_err(),
        "no certificate in it (it has to be PEM)"
    );
    let odd = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let told = read(&format!("{}{odd}", one.pem())).unwrap_err();
    assert!(told.starts_with("certificate 2 of it is none: "), "{told}");
    assert!(read_roots(&folder.path().join("none")).is_err());
}
