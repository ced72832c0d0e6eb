use std::path::Path;

use crate::{
    fixtures,
    peers::{
        ffmpeg::Ffmpeg,
        nginx::{self, Nginx, TlsInstance},
        require,
    },
    program::{Download, download},
    server::{Authority, Clip, Config, Identity, Server, Stream, TlsClose, TlsFront, Validity},
    verify::{self, Media},
};

/// TLS 1.3 sends session tickets after the handshake, which rtmpdump mistakes for the end.
#[test]
fn nginx_plays_over_tls_1_2_and_1_3() {
    let (ffmpeg, nginx) = (require!(Ffmpeg::find()), require!(Nginx::find()));
    let source = fixtures::avc_aac_flv(&ffmpeg);
    let server = nginx.start(&[&source]);
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    for directives in [
        "ssl_protocols TLSv1.2;",
        "ssl_protocols TLSv1.2; ssl_session_tickets off;",
        "ssl_protocols TLSv1.3; ssl_session_tickets on;",
    ] {
        let front = require!(start_tls_front(&server, &identity, directives));
        for host in ["localhost", "127.0.0.1"] {
            let url = format!("rtmps://{host}:{}/vod/avc_aac.flv", front.port);
            let download = download_trusting(&authority, &url);
            download.assert_ended(0, "ended");
            verify::assert_complete_copy(&ffmpeg, &source, &download.file());
            Media::read(&ffmpeg, url.as_ref()).assert_equals(&Media::read(&ffmpeg, &source));
        }
    }
}

#[test]
fn invalid_certificate_ends_before_the_handshake() {
    let nginx = require!(Nginx::find());
    let server = nginx.start(&[]);
    let (authority, another) = (Authority::new("Authority"), Authority::new("Another"));
    for (issuer, validity, cause) in [
        (
            &authority,
            Validity::WrongName,
            "the certificate is not for localhost, but for wrong.example",
        ),
        (
            &authority,
            Validity::Expired,
            "the certificate of localhost expired ",
        ),
        (
            &another,
            Validity::Valid,
            "the issuer of the certificate of localhost is not trusted (unknown issuer)",
        ),
    ] {
        let identity = issuer.identity(validity);
        let front = require!(start_tls_front(&server, &identity, ""));
        let url = format!("rtmps://localhost:{}/vod/clip.flv", front.port);
        download_trusting(&authority, &url).assert_no_connection(cause);
        // With a pin or --insecure, the download reaches the server, which has no such file.
        let pinned = download(&url, &["--tls-pin", &identity.sha256()]);
        pinned.assert_ended(1, "not-found");
        let insecure = download(&url, &["--insecure"]);
        insecure.assert_ended(1, "not-found");
        assert!(insecure.finished.stderr.contains("WARNING: --insecure: "));
        let pin = "ab".repeat(32);
        let seen = format!("its SHA-256 is {}", identity.sha256());
        download(&url, &["--tls-pin", &pin, "--insecure"]).assert_no_connection(&seen);
    }
}

#[test]
fn self_signed_certificate_can_be_trusted() {
    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    for (name, cause) in [
        ("localhost", None),
        (
            "other.example",
            Some("the certificate is not for localhost, but for other.example"),
        ),
    ] {
        let identity = Identity::self_signed(name);
        let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
        let file = identity.folder().join("certificate.pem");
        let url = format!("rtmps://localhost:{}/app/clip", front.port());
        let download_trusting = download(&url, &["--ca-file", &file.display().to_string()]);
        match cause {
            None => download_trusting.assert_ended(0, "ended"),
            Some(cause) => download_trusting.assert_no_connection(cause),
        }
        download(&url, &[]).assert_no_connection(
            "is a CA certificate; use --ca-file with this certificate, or --tls-pin, to trust it",
        );
    }
}

/// Minimal containers have no root certificates.
#[cfg(target_os = "linux")]
#[test]
fn missing_root_certificates_are_named() {
    use crate::{process::Process, program};

    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let front = TlsFront::start(server.port(), &identity, TlsClose::CloseNotify);
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |scheme: &str, options: &[&str]| {
        let mut command = program::command();
        command
            .arg(format!("{scheme}://localhost:{}/app/clip", front.port()))
            .args(["-o", "out.flv"])
            .args(options)
            .current_dir(folder.path())
            .env("SSL_CERT_FILE", "/nonexistent")
            .env("SSL_CERT_DIR", "/nonexistent");
        Process::start(&mut command).finish(program::LIMIT)
    };
    for scheme in ["rtmps", "rtmpts"] {
        let finished = run(scheme, &[]);
        finished.assert_ended(3, "no-connection");
        let stderr = &finished.stderr;
        for words in ["no root certificates", "ca-certificates", "--ca-file"] {
            assert!(stderr.contains(words), "no {words:?} in {stderr}");
        }
        assert_eq!(stderr.matches("ERROR").count(), 1, "{stderr}");
    }
    let file = authority.file().display().to_string();
    for options in [
        &["--ca-file", &*file][..],
        &["--tls-pin", &identity.sha256()],
        &["--insecure"],
    ] {
        run("rtmps", options).assert_ended(0, "ended");
    }
}

#[test]
fn tls_1_1_is_rejected() {
    let nginx = require!(Nginx::find());
    let server = nginx.start(&[]);
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let old = "ssl_protocols TLSv1 TLSv1.1; ssl_ciphers DEFAULT@SECLEVEL=0;";
    let front = require!(start_tls_front(&server, &identity, old));
    let url = format!("rtmps://localhost:{}/vod/clip.flv", front.port);
    download_trusting(&authority, &url)
        .assert_no_connection("the server supports neither TLS 1.2 nor 1.3, only older versions");
}

/// On the TLS port, nginx answers plain RTMP with an HTTP error and closes; nginx-rtmp waits for a
/// complete C1.
#[test]
fn swapped_tls_and_plain_ports_are_named() {
    let nginx = require!(Nginx::find());
    let server = nginx.start(&[]);
    let identity = Authority::new("Authority").identity(Validity::Valid);
    let front = require!(start_tls_front(&server, &identity, ""));
    let plain = format!("rtmp://localhost:{}/vod/clip.flv", front.port);
    let refused = download(&plain, &["-m", "2"]);
    refused.assert_ended(3, "no-connection");
    let tls_url = server.url("vod", "clip.flv").replace("rtmp:", "rtmps:");
    download(&tls_url, &["--connect-timeout", "1"]).assert_no_connection("no answer within the connect timeout of 1 s (a server without TLS on this port may stay silent)");
}

fn start_tls_front(
    server: &nginx::Instance,
    identity: &Identity,
    directives: &str,
) -> Option<TlsInstance> {
    let nginx = Nginx::find()?;
    nginx.start_tls(server.port(), identity.folder(), directives)
}

#[track_caller]
fn download_trusting(authority: &Authority, url: &str) -> Download {
    let file = authority.file();
    let file: &Path = file.as_ref();
    download(url, &["--ca-file", &file.display().to_string()])
}
