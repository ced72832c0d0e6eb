use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

use rtmpull::core::amf::Value;

use super::*;
use crate::server::{Config, OnConnect, Server, object, status};

#[test]
fn endless_redirects_stop_after_five_hops() {
    let address = Arc::new(OnceLock::<String>::new());
    let clients = Arc::new(AtomicUsize::new(0));
    let peer = ScriptedPeer::start({
        let (address, clients) = (address.clone(), clients.clone());
        move |peer, _| {
            clients.fetch_add(1, Ordering::SeqCst);
            let _ = redirect(peer, address.wait());
        }
    });
    address
        .set(peer.url("clip"))
        .expect("the address is set once");
    let ended = Invocation::new(&peer.url("clip")).run();
    ended
        .assert_ended(1, "refused", "redirected more than 5 times")
        .assert_unchanged();
    assert_eq!(
        clients.load(Ordering::SeqCst),
        6,
        "the first connection and five hops"
    );
}

#[test]
fn unsupported_redirect_targets_are_refused() {
    let long = "x".repeat(60_000);
    for target in [
        "rtmfp://elsewhere.example/app",
        "http://elsewhere.example/app",
        "file:///etc/passwd",
        "rtmp://",
        "rtmp:///app",
        "rtmp://host:99999/app",
        "no URL at all",
        "://",
        &long,
    ] {
        let server = Server::start(Config {
            connect: OnConnect::RedirectInError {
                redirect: target.to_owned(),
            },
            ..Config::default()
        });
        let ended = Invocation::new(&server.url("clip")).run();
        let message = &target[..target.len().min(100)];
        ended
            .assert_ended(1, "refused", &format!("redirected to {message}"))
            .assert_unchanged();
    }
}

#[test]
fn redirect_to_a_closed_port_is_no_connection() {
    let closed_port = ScriptedPeer::start(|_, _| {}).port();
    let server = Server::start(Config {
        connect: OnConnect::RedirectInError {
            redirect: format!("rtmp://127.0.0.1:{closed_port}/app"),
        },
        ..Config::default()
    });
    let ended = Invocation::new(&server.url("clip")).run();
    let cause = format!("cannot connect to 127.0.0.1:{closed_port}");
    ended
        .assert_ended(3, "no-connection", &cause)
        .assert_unchanged();
}

/// Answers `connect` with a redirect to `url`.
fn redirect(peer: &mut Connection, url: &str) -> Result<(), Disconnected> {
    peer.accept_plain_handshake();
    let call = peer.expect_command("connect");
    let target = object([("code", 302.0.into()), ("redirect2", url.into())]);
    let mut info = status("error", "NetConnection.Connect.Rejected", "Elsewhere.");
    info.insert("ex", target);
    peer.queue_command(0, "_error", call.transaction, &[Value::Null, info.into()])?;
    peer.flush()?;
    peer.wait_for_close()
}
