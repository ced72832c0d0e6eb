use crate::{
    program::{Download, download},
    server::{
        AfterAnswer, Authority, CannedPeer, Clip, Config, EndSignal, Server, Stream, TlsClose,
        TlsFront, Validity,
    },
};

/// Downloads through a proxy that answers with `answer`.
#[track_caller]
fn download_through(kind: &str, answer: &[u8], after: AfterAnswer) -> Download {
    let proxy = CannedPeer::start(answer, after);
    let proxy = format!("{kind}://joe:secret@127.0.0.1:{}", proxy.port());
    let options = ["--proxy", &proxy, "--connect-timeout", "1"];
    let download = download("rtmp://127.0.0.1:9/app/clip", &options);
    assert!(!download.finished.stderr.contains("secret"));
    download
}

#[test]
fn every_proxy_failure_is_named() {
    let garbage = b"\x7fELF\x02\x01\x01\0\0\0\0\0\r\n\r\n";
    for (kind, refusal, word) in [
        ("socks4", &b"\0\x5b\0\0\0\0\0\0"[..], "SOCKS 4"),
        ("socks4a", b"\0\x5b\0\0\0\0\0\0", "SOCKS 4"),
        ("socks5", b"\x05\0\x05\x02\0\x01", "SOCKS 5"),
        ("http", b"HTTP/1.1 403 Forbidden\r\n\r\n", "HTTP"),
    ] {
        let refused = download_through(kind, refusal, AfterAnswer::Open);
        refused.assert_no_connection("the proxy refused: ");
        let invalid = download_through(kind, garbage, AfterAnswer::Open);
        let cause = format!("the proxy sent an answer that is not {word}");
        invalid.assert_no_connection(&cause);
        let closed = download_through(kind, &refusal[..1], AfterAnswer::Closed);
        closed.assert_no_connection("the proxy closed the connection instead of answering");
        let hanging = download_through(kind, &refusal[..1], AfterAnswer::Open);
        hanging.assert_no_connection(
            "the request to the proxy failed: no answer within the connect timeout of 1 s",
        );
    }
}

#[test]
fn unreachable_proxy_is_named() {
    let closed_port = CannedPeer::start(b"", AfterAnswer::Open).port();
    for kind in ["socks4", "socks5", "http"] {
        let proxy = format!("{kind}://127.0.0.1:{closed_port}");
        let download = download("rtmp://127.0.0.1:9/app/clip", &["--proxy", &proxy]);
        let cause = format!(
            "cannot reach 127.0.0.1:9 through {proxy}: cannot connect to 127.0.0.1:{closed_port}: "
        );
        download.assert_no_connection(&cause);
    }
}

/// `-m` also limits each dialing step.
#[test]
fn silent_tls_server_times_out() {
    let silent = CannedPeer::start(b"", AfterAnswer::Open);
    let url = format!("rtmps://127.0.0.1:{}/app/clip", silent.port());
    let download = download(&url, &["-m", "1"]);
    let cause = format!(
        "cannot establish TLS with 127.0.0.1:{}: no answer within the connect timeout of 1 s",
        silent.port()
    );
    download.assert_no_connection(&cause);
}

#[test]
fn non_tls_server_is_named() {
    let plain = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let garbage = CannedPeer::start(b"HTTP/1.1 400 Bad Request\r\n\r\n", AfterAnswer::Closed);
    for (port, cause) in [
        (plain.port(), "cannot establish TLS with 127.0.0.1:"),
        (garbage.port(), "the server does not speak TLS on this port"),
    ] {
        let url = format!("rtmps://127.0.0.1:{port}/app/clip");
        download(&url, &["--connect-timeout", "1"]).assert_no_connection(cause);
    }
}

#[test]
fn plain_rtmp_on_a_tls_port_is_named() {
    let plain = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let identity = Authority::new("Authority").identity(Validity::Valid);
    let front = TlsFront::start(plain.port(), &identity, TlsClose::CloseNotify);
    let url = format!("rtmp://127.0.0.1:{}/app/clip", front.port());
    download(&url, &["-m", "2"]).assert_no_connection("TLS");
}

/// With TLS, a FIN is the end of the stream only after close_notify.
#[test]
fn missing_close_notify_is_a_cut() {
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let file = authority.file().display().to_string();
    let live = Stream::live_sample().ending(&[EndSignal::Fin]);
    for (close, code, word) in [
        (TlsClose::CloseNotify, 0, "closed"),
        (TlsClose::TcpOnly, 2, "cut"),
    ] {
        let server = Server::start(Config::serving(live.clone()));
        let front = TlsFront::start(server.port(), &identity, close);
        let url = format!("rtmps://localhost:{}/app/clip", front.port());
        let download = download(&url, &["-v", "--retry", "0", "--ca-file", &file]);
        download.assert_ended(code, word);
        crate::downloads::assert_same_media(&download.clip(), &Clip::sample());
        let is_named = download.finished.stderr.contains("close_notify");
        assert_eq!(is_named, close == TlsClose::TcpOnly);
    }
}

/// SIGINT ends the wait for a proxy and for a TLS handshake.
#[cfg(unix)]
#[test]
fn signal_interrupts_every_dialing_step() {
    use std::time::Duration;
    let silent = CannedPeer::start(b"", AfterAnswer::Open);
    let port = silent.port();
    let proxy_url = format!("socks5://127.0.0.1:{port}");
    for (url, options) in [
        (format!("rtmps://127.0.0.1:{port}/a/b"), &[][..]),
        ("rtmp://127.0.0.1:9/a/b".into(), &["--proxy", &proxy_url]),
    ] {
        let running = crate::program::start(&url, options);
        std::thread::sleep(Duration::from_millis(500));
        running.process.signal("INT");
        let download = running.finish();
        assert!(download.finished.took < Duration::from_secs(2));
        download.assert_ended(3, "interrupted");
    }
}

#[cfg(unix)]
#[test]
fn proxy_environment_variables_are_honored() {
    use crate::{
        process::Process,
        program,
        server::{Proxy, ProxyKind},
    };
    let server = Server::start(Config::serving(Stream::recorded(Clip::sample())));
    let proxy = Proxy::start(ProxyKind::Socks5);
    let all_proxy = format!("socks5h://127.0.0.1:{}", proxy.port());
    let run = |no_proxy: &str| {
        let mut command = program::command();
        command
            .env("ALL_PROXY", &all_proxy)
            .env("NO_PROXY", no_proxy);
        command.args([&server.url("clip"), "-q", "-o", "/dev/null"]);
        Process::start(&mut command)
            .finish(program::LIMIT)
            .succeeded();
        proxy.requested().len()
    };
    assert_eq!(run(""), 1);
    assert_eq!(run("example.com"), 2);
    assert_eq!(run("127.0.0.0/8"), 2);
}
