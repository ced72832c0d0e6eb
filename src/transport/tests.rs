use tokio::net::TcpListener;

use super::*;

fn endpoint(host: &str, port: u16) -> Endpoint {
    Endpoint {
        host: host.to_owned(),
        port,
    }
}

#[test]
fn an_address_of_ipv6_is_printed_in_brackets() {
    assert_eq!(endpoint("::1", 1935).to_string(), "[::1]:1935");
    assert_eq!(endpoint("host.example", 80).to_string(), "host.example:80");
}

#[tokio::test]
async fn an_address_that_refuses_leaves_the_next_its_turn() {
    // `localhost` is two addresses on most machines, and only one of them listens.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let dialer = Dialer {
        connect_timeout: Some(Duration::from_secs(5)),
        ..Dialer::default()
    };
    let dialled = dialer.pipe(&endpoint("localhost", port), false).await;
    assert_eq!(dialled.unwrap().tcp().peer_addr().unwrap().port(), port);
}

#[tokio::test]
async fn nobody_listening_is_told_with_the_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    drop(listener);
    let dialled = Dialer::default()
        .pipe(&endpoint("127.0.0.1", port), false)
        .await;
    let told = dialled.unwrap_err().to_string();
    assert!(
        told.starts_with(&format!("cannot connect to 127.0.0.1:{port}: ")),
        "{told}"
    );
}

/// A proxy that takes connections and says nothing.
#[tokio::test]
async fn a_silent_proxy_is_given_up_by_name_unless_it_is_bypassed() {
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = silent.local_addr().unwrap().port();
    let mut dialer = Dialer {
        connect_timeout: Some(Duration::from_millis(50)),
        proxy: format!("socks5://joe:secret@127.0.0.1:{port}").parse().ok(),
        ..Dialer::default()
    };
    let to = endpoint("127.0.0.1", port);
    let told = dialer.pipe(&to, false).await.unwrap_err().to_string();
    assert_eq!(
        told,
        format!(
            "no way to {to} through socks5://127.0.0.1:{port}: asking the proxy: \
             no answer within the connect timeout of 0.05 s"
        )
    );
    dialer.bypass = Bypass::parse("127.0.0.0/8");
    dialer.pipe(&to, false).await.unwrap();
}
