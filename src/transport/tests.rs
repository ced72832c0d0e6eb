use tokio::net::TcpListener;

use super::*;

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
