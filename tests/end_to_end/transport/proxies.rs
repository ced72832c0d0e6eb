use crate::{
    downloads::assert_same_media,
    peers::{
        proxies::{Dante, Microsocks, Tinyproxy},
        require,
    },
    program::{Download, download},
    server::{Clip, Config, Proxy, ProxyKind, Server, Stream},
};

fn server() -> Server {
    Server::start(Config::serving(Stream::recorded(Clip::sample())))
}

/// Downloads from `localhost`, so that the proxy may have to resolve the name.
#[track_caller]
fn download_through_proxy(proxy: &str, server: &Server) -> Download {
    let url = server.url("clip").replace("127.0.0.1", "localhost");
    let (option, value) = proxy.split_once(' ').expect("an option and its value");
    download(&url, &[option, value])
}

#[track_caller]
fn assert_complete_through(proxy: &str) {
    let server = server();
    let download = download_through_proxy(proxy, &server);
    download.assert_ended(0, "ended");
    assert_same_media(&download.clip(), &Clip::sample());
    assert_eq!(server.clients().len(), 1);
}

#[track_caller]
fn assert_proxy_refuses(proxy: &str, server: &Server, cause: &str) {
    let download = download_through_proxy(proxy, server);
    download.assert_no_connection(cause);
    let stderr = &download.finished.stderr;
    assert!(!stderr.contains("secret"), "{stderr}");
    assert!(server.clients().is_empty());
}

#[test]
fn microsocks_relays_socks_5() {
    let proxy = require!(Microsocks::find()).start(None);
    assert_complete_through(&format!("--proxy socks5://127.0.0.1:{}", proxy.port));
    let no_streams = Config::default();
    let port = Server::start(no_streams).port();
    let download = download(
        &format!("rtmp://127.0.0.1:{port}/app/clip"),
        &["--proxy", &format!("socks5h://localhost:{}", proxy.port)],
    );
    download.assert_ended(3, "no-connection");
    assert!(download.finished.stderr.contains("the proxy refused: "));
}

#[test]
fn microsocks_requires_the_login() {
    let proxy = require!(Microsocks::find()).start(Some(("joe", "s@cret")));
    let port = proxy.port;
    assert_complete_through(&format!("--proxy socks5://joe:s%40cret@127.0.0.1:{port}"));
    let server = server();
    assert_proxy_refuses(
        &format!("--proxy socks5://127.0.0.1:{port}"),
        &server,
        "through socks5://127.0.0.1:",
    );
    assert_proxy_refuses(
        &format!("--proxy socks5://joe:secret@127.0.0.1:{port}"),
        &server,
        "the proxy does not accept this user and password",
    );
}

#[test]
fn dante_relays_socks_4_and_5() {
    let forbidden = server();
    let proxy = require!(Dante::find()).start(forbidden.port());
    let port = proxy.port;
    // Dante treats the names of SOCKS 4a as addresses.
    for prefix in ["-S ", "--proxy socks4://", "--proxy socks5://"] {
        assert_complete_through(&format!("{prefix}127.0.0.1:{port}"));
    }
    for (kind, cause) in [
        (
            "socks4",
            "the proxy refused: request rejected or failed (91)",
        ),
        ("socks5", "the proxy refused: not allowed by its rules (2)"),
    ] {
        let proxy = format!("--proxy {kind}://127.0.0.1:{port}");
        assert_proxy_refuses(&proxy, &forbidden, cause);
    }
}

#[test]
fn socks_4_sends_addresses_and_4a_sends_names() {
    for (prefix, host) in [
        ("-S ", "127.0.0.1"),
        ("--proxy socks4://", "127.0.0.1"),
        ("--proxy socks4a://", "localhost"),
    ] {
        let proxy = Proxy::start(ProxyKind::Socks4);
        let server = server();
        download_through_proxy(&format!("{prefix}127.0.0.1:{}", proxy.port()), &server)
            .assert_ended(0, "ended");
        assert_eq!(proxy.requested(), [format!("{host}:{}", server.port())]);
    }
}

#[test]
fn tinyproxy_relays_connect() {
    let tinyproxy = require!(Tinyproxy::find());
    let proxy = tinyproxy.start("");
    assert_complete_through(&format!("--proxy http://127.0.0.1:{}", proxy.port));
    let strict = tinyproxy.start("ConnectPort 443");
    let server = server();
    assert_proxy_refuses(
        &format!("--proxy http://127.0.0.1:{}", strict.port),
        &server,
        "the proxy refused: 403 Access violation",
    );
}

#[test]
fn tinyproxy_requires_the_login() {
    let proxy = require!(Tinyproxy::find()).start("BasicAuth joe topsecret");
    let port = proxy.port;
    assert_complete_through(&format!("--proxy http://joe:topsecret@127.0.0.1:{port}"));
    let server = server();
    for (login, cause) in [
        ("", "the proxy requires user and password"),
        (
            "joe:secret@",
            "the proxy does not accept this user and password",
        ),
    ] {
        let proxy = format!("--proxy http://{login}127.0.0.1:{port}");
        assert_proxy_refuses(&proxy, &server, cause);
    }
}
