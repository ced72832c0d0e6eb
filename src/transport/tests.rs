use tokio::net::TcpListener;

use super::{
    dial_facts::{AddressResult, DialStep},
    *,
};

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint {
        host: host.to_owned(),
        port,
    }
}

#[test]
fn ipv6_addresses_are_printed_in_brackets() {
    assert_eq!(endpoint("::1", 1935).to_string(), "[::1]:1935");
    assert_eq!(endpoint("host.example", 80).to_string(), "host.example:80");
}

#[tokio::test]
async fn a_refusing_address_falls_back_to_the_next() {
    // `localhost` has two addresses on most machines, and only one of them listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialer = Dialer {
        connect_timeout: Some(Duration::from_secs(5)),
        ..Dialer::default()
    };
    let stream = dialer
        .connect(
            &endpoint("localhost", port),
            false,
            &mut DialFacts::default(),
        )
        .await;
    assert_eq!(stream.unwrap().tcp().peer_addr().unwrap().port(), port);
}

#[tokio::test]
async fn a_refused_connection_names_the_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let stream = Dialer::default()
        .connect(
            &endpoint("127.0.0.1", port),
            false,
            &mut DialFacts::default(),
        )
        .await;
    let error = stream.unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")),
        "{error}"
    );
}

#[tokio::test]
async fn a_silent_proxy_times_out_unless_the_host_bypasses_it() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut dialer = Dialer {
        connect_timeout: Some(Duration::from_millis(50)),
        proxy: format!("socks5://joe:secret@127.0.0.1:{port}").parse().ok(),
        ..Dialer::default()
    };
    let server = endpoint("127.0.0.1", port);
    let error = dialer
        .connect(&server, false, &mut DialFacts::default())
        .await
        .unwrap_err()
        .to_string();
    assert_eq!(
        error,
        format!(
            "cannot reach {server} through socks5://127.0.0.1:{port}: the request to the proxy failed: \
             no answer within the connect timeout of 0.05 s"
        )
    );
    dialer.bypass = Bypass::parse("127.0.0.0/8");
    dialer
        .connect(&server, false, &mut DialFacts::default())
        .await
        .unwrap();
}

#[tokio::test]
async fn a_dial_records_its_steps() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let route = Route {
        endpoint: endpoint("127.0.0.1", address.port()),
        carrier: Carrier::Tcp,
    };
    let mut facts = DialFacts {
        is_replay: true,
        ..DialFacts::default()
    };
    let stream = Dialer::default().dial(&route, &mut facts).await.unwrap();
    assert!(!facts.is_replay, "facts of an earlier dial are removed");
    assert_eq!(facts.lookup.unwrap().addresses, [address]);
    assert_eq!(facts.tried.len(), 1);
    assert_eq!(facts.tried[0].address, address);
    assert_eq!(facts.tried[0].result, AddressResult::Connected);
    assert_eq!(facts.remote, Some(address));
    assert_eq!(facts.local, stream.tcp().local_addr().ok());
    assert!(facts.time >= facts.tcp_time.unwrap());
    assert_eq!(facts.failure, None);
    assert_eq!(
        (facts.proxy, facts.tls, facts.tunnel_time),
        (None, None, None)
    );
}

#[tokio::test]
async fn a_failed_dial_keeps_the_facts_of_its_steps() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let route = Route {
        endpoint: endpoint("127.0.0.1", address.port()),
        carrier: Carrier::Tls,
    };
    let mut facts = DialFacts::default();
    let error = Dialer::default()
        .dial(&route, &mut facts)
        .await
        .unwrap_err();
    let failure = facts.failure.unwrap();
    assert_eq!(failure.step, DialStep::Tcp);
    assert_eq!(failure.reason, error.to_string());
    assert_eq!(facts.tried.len(), 1);
    assert!(matches!(
        facts.tried[0].result,
        AddressResult::Failed { .. }
    ));
    assert_eq!((facts.remote, facts.tls), (None, None));
}

#[tokio::test]
async fn a_proxy_is_recorded_without_its_login() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = silent.local_addr().unwrap();
    let dialer = Dialer {
        connect_timeout: Some(Duration::from_millis(50)),
        proxy: format!("socks5://joe:secret@{address}").parse().ok(),
        ..Dialer::default()
    };
    let route = Route {
        endpoint: endpoint("server.example", 1935),
        carrier: Carrier::Tcp,
    };
    let mut facts = DialFacts::default();
    dialer.dial(&route, &mut facts).await.unwrap_err();
    assert_eq!(facts.failure.as_ref().unwrap().step, DialStep::Proxy);
    assert_eq!(
        facts.remote,
        Some(address),
        "the address is that of the proxy"
    );
    let proxy = facts.proxy.as_ref().unwrap();
    assert_eq!(proxy.protocol, proxy::Protocol::Socks5);
    assert_eq!(proxy.endpoint, endpoint("127.0.0.1", address.port()));
    assert!(proxy.time.unwrap() >= Duration::from_millis(50));
    let text = format!("{facts:?}");
    assert!(!text.contains("joe") && !text.contains("secret"), "{text}");
}
