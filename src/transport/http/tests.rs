use flate2::{Compression, write::GzEncoder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// Server that sends one response per connection and records the requests.
struct Server {
    url: Url,
    requests: JoinHandle<Vec<String>>,
}

/// Starts a server. `{0}` in a response stands for its address.
async fn server<T: AsRef<[u8]>>(responses: &[T]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = Url::parse(&format!("http://{address}/player.swf")).unwrap();
    let responses: Vec<Vec<u8>> = responses
        .iter()
        .map(|response| match str::from_utf8(response.as_ref()) {
            Ok(text) => text.replace("{0}", &address).into_bytes(),
            Err(_) => response.as_ref().to_vec(),
        })
        .collect();
    let requests = tokio::spawn(async move {
        let mut requests = Vec::new();
        for response in responses {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(peer.read_u8().await.unwrap());
            }
            requests.push(String::from_utf8(head).unwrap());
            let _ = peer.write_all(&response).await;
        }
        requests
    });
    Server { url, requests }
}

async fn fetch(server: &Server, date: Option<&str>) -> Result<Option<File>, HttpError> {
    let dialer = Dialer::default();
    let fetcher = Fetcher {
        dialer: &dialer,
        timeout: Some(Duration::from_secs(5)),
        total_timeout: None,
        max_bytes: 1000,
    };
    fetcher.fetch(&server.url, date).await
}

/// Fetches a file from a server with these responses.
async fn fetch_from<T: AsRef<[u8]>>(responses: &[T]) -> Result<Vec<u8>, String> {
    let server = server(responses).await;
    match fetch(&server, None).await {
        Ok(file) => Ok(file.expect("a file").bytes),
        Err(error) => Err(error.to_string()),
    }
}

fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

fn ok(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), body].concat()
}

#[tokio::test]
async fn the_request_looks_like_one_of_a_browser() {
    let mut server = server(&["HTTP/1.1 304 Not Modified\r\n\r\n"]).await;
    server.url.set_username("me@home").unwrap();
    server.url.set_password(Some("50%25")).unwrap();
    server.url.set_query(Some("v=2"));
    let date = "Sun, 01 Nov 2026 10:33:37 GMT";
    assert_eq!(fetch(&server, Some(date)).await.unwrap(), None);
    let requests = server.requests.await.unwrap();
    let address = format!("127.0.0.1:{}", server.url.port().unwrap());
    assert_eq!(
        requests,
        [format!(
            "GET /player.swf?v=2 HTTP/1.1\r\n\
             Host: {address}\r\n\
             User-Agent: Mozilla/5.0\r\n\
             Referer: http://{address}/\r\n\
             Accept: */*\r\n\
             Accept-Encoding: gzip\r\n\
             Connection: close\r\n\
             Authorization: Basic bWVAaG9tZTo1MCU=\r\n\
             If-Modified-Since: {date}\r\n\r\n"
        )]
    );
}

#[tokio::test]
async fn every_framing_and_coding_is_decoded() {
    let gzip = gzipped(b"player");
    let chunked = [
        format!("{:x}\r\n", gzip.len()).as_bytes(),
        &gzip,
        b"\r\n0\r\n\r\n",
    ]
    .concat();
    for (headers, body) in [
        ("Content-Length: 6\r\n", &b"player"[..]),
        (
            "content-length:6\r\nContent-Encoding: identity\r\n",
            b"player",
        ),
        ("", b"player"),
        (
            "Transfer-Encoding: chunked\r\n",
            b"2;x=y\r\npl\r\n4\r\nayer\r\n0\r\nTrailer: x\r\n\r\n",
        ),
        ("Content-Encoding: gzip\r\n", &gzip),
        ("Content-Encoding: X-GZip\r\n", &gzip),
        (
            "Content-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n",
            &chunked,
        ),
        ("Transfer-Encoding: gzip, chunked\r\n", &chunked),
    ] {
        let file = fetch_from(&[ok(headers, body)]).await;
        assert_eq!(file.as_deref(), Ok(&b"player"[..]), "{headers}");
    }
    let hint = [b"HTTP/1.1 103 Early Hints\r\n\r\n", &ok("", b"player")[..]].concat();
    assert_eq!(fetch_from(&[hint]).await.as_deref(), Ok(&b"player"[..]));
    let old = fetch_from(&["HTTP/1.0 200 OK\r\n\r\nplayer"]).await;
    assert_eq!(old.as_deref(), Ok(&b"player"[..]));
}

#[tokio::test]
async fn the_last_modified_field_is_returned() {
    let headers = "Last-Modified: yesterday\r\n";
    let server = server(&[ok(headers, b"player")]).await;
    let file = fetch(&server, None).await.unwrap().unwrap();
    assert_eq!(file.last_modified.as_deref(), Some("yesterday"));
}

#[tokio::test]
async fn redirects_are_followed() {
    for status in [301, 302, 303, 307, 308] {
        let redirect = format!(
            "HTTP/1.1 {status} Elsewhere\r\nLocation: http://{{0}}/there?a=b#c\r\n\
             Content-Length: 4\r\n\r\nthis"
        );
        let further = "HTTP/1.1 302 Found\r\nLocation: again\r\n\r\n".to_owned();
        let file = "HTTP/1.1 200 OK\r\n\r\nplayer".to_owned();
        let server = server(&[redirect, further, file]).await;
        let file = fetch(&server, Some("date")).await.unwrap().unwrap();
        assert_eq!(file.bytes, b"player");
        let requests = server.requests.await.unwrap();
        let paths = requests.iter().map(|head| head.split(' ').nth(1));
        let paths: Vec<_> = paths.flatten().collect();
        assert_eq!(paths, ["/player.swf", "/there?a=b", "/again"]);
        let dated = requests.iter().filter(|head| head.contains("Since: date"));
        assert_eq!(dated.count(), 3);
    }
}

#[tokio::test]
async fn credentials_are_not_sent_to_other_servers() {
    let target = server(&["HTTP/1.1 200 OK\r\n\r\nplayer"]).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\n\r\n", target.url);
    let mut origin = server(&[redirect]).await;
    origin.url.set_username("me").unwrap();
    assert!(fetch(&origin, None).await.is_ok());
    assert!(origin.requests.await.unwrap()[0].contains("Authorization: "));
    assert!(!target.requests.await.unwrap()[0].contains("Authorization: "));
}

#[tokio::test]
async fn redirect_loops_and_invalid_targets_are_errors() {
    let redirects = ["HTTP/1.1 302 Found\r\nLocation: /player.swf\r\n\r\n"; MAX_REDIRECTS + 1];
    let error = fetch_from(&redirects).await.unwrap_err();
    assert_eq!(error, "redirected more than 10 times");
    for location in [
        "",
        "Location: ftp://127.0.0.1/x\r\n",
        "Location: http://\r\n",
        "Location: file:///etc/passwd\r\n",
    ] {
        let redirect = format!("HTTP/1.1 302 Found\r\n{location}\r\n");
        let error = fetch_from(&[redirect]).await.unwrap_err();
        assert_eq!(error, "the server redirects to an invalid address");
    }
}

#[tokio::test]
async fn each_failure_has_its_message() {
    let broken_gzip = [&gzipped(b"player")[..12], &[0xff; 20]].concat();
    let cases: [(&[u8], &str); 16] = [
        (b"HTTP/1.1 404 Nope\r\n\r\n", "the server answers 404 Nope"),
        (
            b"HTTP/1.1 204 No Content\r\n\r\n",
            "the server answers 204 No Content",
        ),
        (b"HTTP/1.1 206 Part\r\n\r\n", "the server answers 206 Part"),
        (b"HTTP/1.1 503 x\r\n\r\n", "the server answers 503 x"),
        (b"", "the response is cut off"),
        (b"HTTP/1.1 200 OK\r\n", "the response is cut off"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplayer",
            "the response is cut off",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nplayer\r\n",
            "the response is cut off",
        ),
        (
            &ok("Content-Encoding: gzip\r\n", &gzipped(b"player")[..20]),
            "the content of the response cannot be decoded",
        ),
        (
            &ok("Content-Encoding: gzip\r\n", &broken_gzip),
            "the content of the response cannot be decoded",
        ),
        (
            &ok("Content-Encoding: gzip\r\n", b"no such thing at all"),
            "the content of the response cannot be decoded",
        ),
        (
            &ok("Content-Encoding: br\r\n", b"player"),
            "the content of the response cannot be decoded",
        ),
        (
            &ok(
                "Content-Encoding: gzip, gzip\r\n",
                &gzipped(&gzipped(b"player")),
            ),
            "the content of the response cannot be decoded",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\nplayer",
            "the response has more than 0 MiB",
        ),
        (&ok("", &[0; 1001]), "the response has more than 0 MiB"),
        (
            &ok("Content-Encoding: gzip\r\n", &gzipped(&[0; 1_000_000])),
            "the response has more than 0 MiB",
        ),
    ];
    for (response, expected) in cases {
        let error = fetch_from(&[response]).await.unwrap_err();
        assert_eq!(error, expected, "{}", response.escape_ascii());
    }
    let error = fetch_from(&["220 smtp.example ready\r\n\r\n"])
        .await
        .unwrap_err();
    let cause = "the server answers in text (`220 smtp.example ready`), not HTTP";
    assert_eq!(error, cause);
    let largest = fetch_from(&[ok("", &[0; 1000])]).await;
    assert_eq!(largest.map(|file| file.len()), Ok(1000));
}

#[tokio::test]
async fn an_endless_head_is_an_error() {
    let head = format!(
        "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
        "y".repeat(16 * MAX_HEAD)
    );
    let error = fetch_from(&[head]).await.unwrap_err();
    assert_eq!(error, "the head of the server's HTTP response is too long");
}

#[tokio::test]
async fn a_server_that_sends_first_does_not_speak_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let dialer = Dialer::default();
    let fetcher = Fetcher {
        dialer: &dialer,
        timeout: None,
        total_timeout: None,
        max_bytes: 1000,
    };
    let url = Url::parse(&url).unwrap();
    let server = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"SSH-2.0-server\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let error = tokio::select! {
        biased;
        () = server => unreachable!(),
        fetched = fetcher.fetch(&url, None) => fetched.unwrap_err(),
    };
    let cause = "the server answers in text (`SSH-2.0-server`), not HTTP";
    assert_eq!(error.to_string(), cause);
}

#[tokio::test]
async fn raw_bytes_count_towards_the_limit() {
    let empty_members = gzipped(b"").repeat(100);
    let trailing = [&gzipped(b"player")[..], &[0; 2000]].concat();
    for body in [empty_members, trailing] {
        let error = fetch_from(&[ok("Content-Encoding: gzip\r\n", &body)])
            .await
            .unwrap_err();
        assert_eq!(error, "the response has more than 0 MiB");
    }
    let hints = b"HTTP/1.1 103 Early Hints\r\n\r\n".repeat(1000);
    let error = fetch_from(&[hints]).await.unwrap_err();
    assert_eq!(error, "the response has more than 0 MiB");
}

#[tokio::test]
async fn bytes_after_the_gzip_member_are_ignored() {
    let body = [&gzipped(b"player")[..], b"extra"].concat();
    let file = fetch_from(&[ok("Content-Encoding: gzip\r\n", &body)]).await;
    assert_eq!(file.as_deref(), Ok(&b"player"[..]));
}

#[tokio::test]
async fn a_trickling_server_exceeds_the_total_timeout() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let dialer = Dialer::default();
    let fetcher = Fetcher {
        dialer: &dialer,
        timeout: Some(Duration::from_secs(5)),
        total_timeout: Some(Duration::from_millis(200)),
        max_bytes: 1000,
    };
    let server = async {
        let (mut peer, _) = listener.accept().await.unwrap();
        peer.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        loop {
            peer.write_all(b"x").await.unwrap();
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    let error = tokio::select! {
        fetched = fetcher.fetch(&url, None) => fetched.unwrap_err(),
        () = server => unreachable!(),
    };
    assert_eq!(error.to_string(), "no complete answer within 0.2 s");
}

#[tokio::test]
async fn a_silent_server_times_out() {
    for sent in ["", "HTTP/1.1 200 OK\r\n\r\nplay"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let dialer = Dialer::default();
        let timeout = Duration::from_millis(50);
        let fetcher = Fetcher {
            dialer: &dialer,
            timeout: Some(timeout),
            total_timeout: None,
            max_bytes: 1000,
        };
        let url = Url::parse(&url).unwrap();
        let server = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.read_u8().await.unwrap();
            peer.write_all(sent.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            fetched = fetcher.fetch(&url, None) => fetched.unwrap_err(),
            () = server => unreachable!(),
        };
        let error = error.to_string();
        assert_eq!(error, "no complete answer within 0.05 s", "after {sent:?}");
    }
}

#[test]
fn a_url_determines_endpoint_and_carrier() {
    let route_of = |text: &str| {
        let Route { endpoint, carrier } = route(&Url::parse(text).unwrap()).ok()?;
        Some((endpoint.to_string(), carrier))
    };
    for (text, endpoint, carrier) in [
        ("http://host/", "host:80", Carrier::Tcp),
        ("https://host/", "host:443", Carrier::Tls),
        ("https://[::1]:8443/", "[::1]:8443", Carrier::Tls),
        ("HTTP://127.0.0.1:80/", "127.0.0.1:80", Carrier::Tcp),
    ] {
        assert_eq!(
            route_of(text),
            Some((endpoint.to_owned(), carrier)),
            "{text}"
        );
    }
    assert_eq!(route_of("ftp://host/"), None);
    assert_eq!(route_of("data:x"), None);
}

#[test]
fn credentials_are_percent_decoded() {
    let credentials = |url| credentials(&Url::parse(url).unwrap());
    let encoded = |text| Some(format!("Basic {}", BASE64_STANDARD.encode(text)));
    let cases: [(_, &[u8]); 4] = [
        ("http://a%40b:c%2F%2f@host/", b"a@b:c//"),
        ("http://50%:%+1%4%zz@host/", b"50%:%+1%4%zz"),
        ("http://caf%e9@host/", b"caf\xe9:"),
        ("http://:secret@host/", b":secret"),
    ];
    for (url, expected) in cases {
        assert_eq!(credentials(url), encoded(expected), "{url}");
    }
    assert_eq!(credentials("http://host/"), None);
}
