//! Protocols, each with a recorded and a live stream, directly and through proxies.

/// TLS with nginx, and invalid certificates.
mod tls;

/// Real proxies.
mod proxies;

/// IPv6 and unresponsive addresses.
mod addresses;

/// Faulty proxies and servers.
mod failures;

use std::{any::Any, thread};

use rtmpull::core::rtmp::handshake::digest::Scheme;

use crate::{
    downloads::assert_same_media,
    program::download,
    server::{
        Authority, Clip, Config, Handshake, Pace, Proxy, ProxyKind, Server, Stream, TlsClose,
        TlsFront, Tunnel, TunnelConfig, Validity,
    },
};

#[test]
fn rtmp_works_directly_and_through_proxies() {
    assert_works_with_proxies("rtmp", no_front);
}

#[test]
fn rtmps_works_directly_and_through_proxies() {
    assert_works_with_proxies("rtmps", tls_front);
}

#[test]
fn rtmpt_works_directly_and_through_proxies() {
    assert_works_with_proxies("rtmpt", http_front);
}

#[test]
fn rtmpts_works_directly_and_through_proxies() {
    assert_works_with_proxies("rtmpts", https_front);
}

#[test]
fn rtmpe_works_directly_and_through_proxies() {
    assert_works_with_proxies("rtmpe", no_front);
}

#[test]
fn rtmpte_works_directly_and_through_proxies() {
    assert_works_with_proxies("rtmpte", http_front);
}

/// Component in front of a plain server.
struct Front {
    port: u16,
    /// Options that a client needs for it.
    options: Vec<String>,
    _running: Box<dyn Any + Sync>,
}

fn no_front(port: u16) -> Front {
    Front {
        port,
        options: Vec::new(),
        _running: Box::new(()),
    }
}

fn tls_front(port: u16) -> Front {
    let authority = Authority::new("Authority");
    let identity = authority.identity(Validity::Valid);
    let front = TlsFront::start(port, &identity, TlsClose::CloseNotify);
    Front {
        port: front.port(),
        options: vec!["--ca-file".into(), authority.file().display().to_string()],
        _running: Box::new((front, authority)),
    }
}

fn http_front(port: u16) -> Front {
    let front = Tunnel::start(port, TunnelConfig::default());
    Front {
        port: front.port(),
        options: Vec::new(),
        _running: Box::new(front),
    }
}

fn https_front(port: u16) -> Front {
    let web = http_front(port);
    let tls = tls_front(web.port);
    Front {
        port: tls.port,
        options: tls.options,
        _running: Box::new((tls._running, web)),
    }
}

/// Downloads a recorded and a live stream directly, through SOCKS 5 and through CONNECT.
fn assert_works_with_proxies(scheme: &str, front: fn(u16) -> Front) {
    let clip = Clip::sample();
    let recorded = Stream::recorded(clip.clone());
    let live = Stream::live(clip.clone()).paced(Pace::Unbounded);
    thread::scope(|scope| {
        for (stream, live_option) in [(recorded, None), (live, Some("-v"))] {
            for proxy_kind in [None, Some(ProxyKind::Socks5), Some(ProxyKind::Connect)] {
                let (stream, clip) = (stream.clone(), &clip);
                scope.spawn(move || {
                    let server = Server::start(Config {
                        // Used by the encrypted protocols.
                        handshake: Handshake::encrypted(8, Scheme::KeyFirst),
                        ..Config::serving(stream)
                    });
                    let front = front(server.port());
                    assert_downloads_through(scheme, &front, proxy_kind, live_option, clip);
                    let c0 = if scheme.ends_with('e') { 6 } else { 3 };
                    assert!(server.clients().iter().all(|client| client.c0 == Some(c0)));
                });
            }
        }
    });
}

fn assert_downloads_through(
    scheme: &str,
    front: &Front,
    proxy_kind: Option<ProxyKind>,
    live_option: Option<&str>,
    clip: &Clip,
) {
    let proxy = proxy_kind.map(Proxy::start);
    let kind = match proxy_kind {
        Some(ProxyKind::Connect) => "http",
        _ => "socks5",
    };
    let mut options: Vec<String> = front.options.clone();
    options.extend(live_option.map(str::to_owned));
    if let Some(proxy) = &proxy {
        options.push(format!("--proxy={kind}://127.0.0.1:{}", proxy.port()));
    }
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let address = format!("localhost:{}", front.port);
    let download = download(&format!("{scheme}://{address}/app/clip"), &options);
    download.assert_ended(
        0,
        if live_option.is_some() {
            "unpublished"
        } else {
            "ended"
        },
    );
    assert_same_media(&download.clip(), clip);
    if let Some(proxy) = proxy {
        // The proxy resolves the name. A tunnel may open several connections.
        let requested = proxy.requested();
        assert!(!requested.is_empty() && requested.iter().all(|requested| *requested == address));
    }
}
