use std::{
    io,
    net::{Ipv6Addr, Shutdown, TcpListener, TcpStream},
    thread,
};

use crate::{
    downloads::assert_same_media,
    program::download,
    server::{Clip, Config, Server, Stream},
};

#[test]
fn recorded_stream_is_complete_over_ipv6() {
    assert_complete_over_ipv6(Stream::recorded(Clip::sample()), &[], "ended");
}

#[test]
fn live_stream_is_complete_over_ipv6() {
    assert_complete_over_ipv6(Stream::live(Clip::sample()), &["-v"], "unpublished");
}

#[track_caller]
fn assert_complete_over_ipv6(stream: Stream, options: &[&str], word: &str) {
    let server = Server::start(Config::serving(stream));
    let port = match start_ipv6_relay(server.port()) {
        Ok(port) => port,
        Err(error) => return println!("skipped: no IPv6 on loopback here ({error})"),
    };
    let url = format!("rtmp://[::1]:{port}/app/clip");
    for family in [&[][..], &["-6"]] {
        let download = download(&url, &[options, family].concat());
        download.assert_ended(0, word);
        assert_same_media(&download.clip(), &Clip::sample());
    }
    let refused = download(&url, &[options, &["-4"]].concat());
    refused.assert_ended(3, "no-connection");
    let stderr = &refused.finished.stderr;
    assert!(stderr.contains("it has no IPv4 address"), "{stderr}");
    for client in server.clients() {
        let connect = client.command("connect").expect("the client sends connect");
        let tc_url = connect.values[0]
            .member("tcUrl")
            .and_then(|url| url.as_text());
        let expected = format!("rtmp://[::1]:{port}/app");
        assert_eq!(tc_url.map(ToString::to_string), Some(expected));
    }
}

/// Opens a port on `::1` that relays to `port` on 127.0.0.1 until the test process ends.
fn start_ipv6_relay(port: u16) -> io::Result<u16> {
    let listener = TcpListener::bind((Ipv6Addr::LOCALHOST, 0))?;
    let relay_port = listener.local_addr()?.port();
    thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else {
                return;
            };
            for (mut from, mut to) in [
                (client.try_clone(), server.try_clone()),
                (Ok(server), Ok(client)),
            ]
            .map(|(from, to)| (from.expect("a socket"), to.expect("a socket")))
            {
                thread::spawn(move || {
                    let _ = io::copy(&mut from, &mut to);
                    let _ = to.shutdown(Shutdown::Write);
                });
            }
        }
    });
    Ok(relay_port)
}

/// Linux does not answer connections while the backlog of the listener is full.
#[cfg(target_os = "linux")]
#[test]
fn unanswered_tcp_connect_times_out() {
    let (port, _waiting) = port_with_full_backlog();
    for options in [["-m", "1"], ["--connect-timeout", "1"]] {
        let url = format!("rtmp://127.0.0.1:{port}/app/clip");
        let proxy = format!("--proxy=socks5://127.0.0.1:{port}");
        let no_answer = "no answer within the connect timeout of 1 s";
        for (options, cause) in [
            (
                options.to_vec(),
                format!("cannot connect to 127.0.0.1:{port}: {no_answer}"),
            ),
            (
                [&options[..], &[&proxy]].concat(),
                format!("{proxy}: cannot connect to 127.0.0.1:{port}: {no_answer}")
                    .replace("--proxy=", "through "),
            ),
        ] {
            let download = download(&url, &options);
            download.assert_ended(3, "no-connection");
            let stderr = &download.finished.stderr;
            assert!(stderr.contains(&cause), "no {cause:?} in {stderr}");
            assert!(download.finished.took.as_secs() < 3);
        }
    }
}

/// Returns a port with a full backlog and the sockets that keep it full.
#[cfg(target_os = "linux")]
fn port_with_full_backlog() -> (u16, (socket2::Socket, Vec<socket2::Socket>)) {
    use socket2::{Domain, Socket, Type};
    let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    let any_port = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = socket();
    listener.bind(&any_port.into()).expect("a free port");
    listener.listen(0).expect("a listener");
    let address = listener.local_addr().expect("an address");
    let waiting = (0..4).map(|_| {
        let socket = socket();
        socket.set_nonblocking(true).expect("a socket");
        let _ = socket.connect(&address);
        socket
    });
    let waiting = waiting.collect();
    let port = address.as_socket().map_or(0, |address| address.port());
    (port, (listener, waiting))
}
