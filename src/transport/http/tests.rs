use flate2::{Compression, write::GzEncoder};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

use super::*;

/// A server that gives each connection the next of its answers, and remembers what it was asked.
struct Server {
    url: Url,
    asked: JoinHandle<Vec<String>>,
}

/// `{0}` in an answer is the server's own address.
async fn server<T: AsRef<[u8]>>(answers: &[T]) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let url = Url::parse(&format!("http://{address}/player.swf")).unwrap();
    let answers: Vec<Vec<u8>> = answers
        .iter()
        .map(|answer| match str::from_utf8(answer.as_ref()) {
            Ok(text) => text.replace("{0}", &address).into_bytes(),
            Err(_) => answer.as_ref().to_vec(),
        })
        .collect();
    let asked = tokio::spawn(async move {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut peer, _) = listener.accept().await.unwrap();
            let mut head = Vec::new();
            while !head.ends_with(b"\r\n\r\n") {
                head.push(peer.read_u8().await.unwrap());
            }
            asked.push(String::from_utf8(head).unwrap());
            let _ = peer.write_all(&answer).await;
        }
        asked
    });
    Server { url, asked }
}

async fn fetch(server: &Server, date: Option<&str>) -> Result<Option<File>, HttpError> {
    let dialer = Dialer::default();
    let fetcher = Fetcher {
        dialer: &dialer,
        patience: Some(Duration::from_secs(5)),
        max_bytes: 1000,
    };
    fetcher.fetch(&server.url, date).await
}

/// What fetching gives from a server with these answers.
async fn fetched<T: AsRef<[u8]>>(answers: &[T]) -> Result<Vec<u8>, String> {
    let server = server(answers).await;
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

fn answer(headers: &str, body: &[u8]) -> Vec<u8> {
    [format!("HTTP/1.1 200 OK\r\n{headers}\r\n").as_bytes(), body].concat()
}

#[tokio::test]
async fn asks_as_browsers_do() {
    let mut server = server(&["HTTP/1.1 304 Not Modified\r\n\r\n"]).await;
    server.url.set_username("me@home").unwrap();
    server.url.set_password(Some("50%25")).unwrap();
    server.url.set_query(Some("v=2"));
    let date = "Sun, 01 Nov 2026 10:33:37 GMT";
    assert_eq!(fetch(&server, Some(date)).await.unwrap(), None);
    let asked = server.asked.await.unwrap();
    let address = format!("127.0.0.1:{}", server.url.port().unwrap());
    assert_eq!(
        asked,
        [format!(
            "GET /player.swf?v=2 HTTP/1.1\r\n\
             host: {address}\r\n\
             user-agent: Mozilla/5.0\r\n\
             referer: http://{address}/\r\n\
             accept: */*\r\n\
             accept-encoding: gzip\r\n\
             connection: close\r\n\
             authorization: Basic bWVAaG9tZTo1MCU=\r\n\
             if-modified-since: {date}\r\n\r\n"
        )]
    );
}

#[tokio::test]
async fn undoes_every_way_to_send_a_file() {
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
        let file = fetched(&[answer(headers, body)]).await;
        assert_eq!(file.as_deref(), Ok(&b"player"[..]), "{headers}");
    }
    let hint = [
        b"HTTP/1.1 103 Early Hints\r\n\r\n",
        &answer("", b"player")[..],
    ]
    .concat();
    assert_eq!(fetched(&[hint]).await.as_deref(), Ok(&b"player"[..]));
    let old = fetched(&["HTTP/1.0 200 OK\r\n\r\nplayer"]).await;
    assert_eq!(old.as_deref(), Ok(&b"player"[..]));
}

#[tokio::test]
async fn tells_when_the_file_was_changed() {
    let headers = "Last-Modified: yesterday\r\n";
    let server = server(&[answer(headers, b"player")]).await;
    let file = fetch(&server, None).await.unwrap().unwrap();
    assert_eq!(file.last_modified.as_deref(), Some("yesterday"));
}

#[tokio::test]
async fn follows_redirects() {
    for status in [301, 302, 303, 307, 308] {
        let redirect = format!(
            "HTTP/1.1 {status} Elsewhere\r\nLocation: http://{{0}}/there?a=b#c\r\n\
             Content-Length: 4\r\n\r\nthis"
        );
        let further = "HTTP/1.1 302 Found\r\nLocation: again\r\n\r\n".to_owned();
        let file = "HTTP/1.1 200 OK\r\n\r\nplayer".to_owned();
        let server = server(&[redirect, further, file]).await;
        let fetched = fetch(&server, Some("date")).await.unwrap().unwrap();
        assert_eq!(fetched.bytes, b"player");
        let asked = server.asked.await.unwrap();
        let paths = asked.iter().map(|head| head.split(' ').nth(1));
        let paths: Vec<_> = paths.flatten().collect();
        assert_eq!(paths, ["/player.swf", "/there?a=b", "/again"]);
        let dated = asked.iter().filter(|head| head.contains("since: date"));
        assert_eq!(dated.count(), 3);
    }
}

#[tokio::test]
async fn keeps_the_password_from_other_servers() {
    let there = server(&["HTTP/1.1 200 OK\r\n\r\nplayer"]).await;
    let redirect = format!("HTTP/1.1 302 Found\r\nLocation: {}\r\n\r\n", there.url);
    let mut here = server(&[redirect]).await;
    here.url.set_username("me").unwrap();
    assert!(fetch(&here, None).await.is_ok());
    assert!(here.asked.await.unwrap()[0].contains("authorization: "));
    assert!(!there.asked.await.unwrap()[0].contains("authorization: "));
}

#[tokio::test]
async fn redirects_have_an_end() {
    let circle = ["HTTP/1.1 302 Found\r\nLocation: /player.swf\r\n\r\n"; MAX_REDIRECTS + 1];
    let error = fetched(&circle).await.unwrap_err();
    assert_eq!(error, "redirected more than 10 times");
    for location in [
        "",
        "Location: ftp://127.0.0.1/x\r\n",
        "Location: http://\r\n",
        "Location: file:///etc/passwd\r\n",
    ] {
        let redirect = format!("HTTP/1.1 302 Found\r\n{location}\r\n");
        let error = fetched(&[redirect]).await.unwrap_err();
        assert_eq!(error, "the server redirects to no address of the web");
    }
}

#[tokio::test]
async fn says_what_is_wrong() {
    let broken_gzip = [&gzipped(b"player")[..12], &[0xff; 20]].concat();
    let cases: [(&[u8], &str); 16] = [
        (
            b"HTTP/1.1 404 Nope\r\n\r\n",
            "the server answers 404 Not Found",
        ),
        (
            b"HTTP/1.1 204 No Content\r\n\r\n",
            "the server answers 204 No Content",
        ),
        (
            b"HTTP/1.1 206 Part\r\n\r\n",
            "the server answers 206 Partial Content",
        ),
        (
            b"HTTP/1.1 503 x\r\n\r\n",
            "the server answers 503 Service Unavailable",
        ),
        (b"", "the answer is cut off"),
        (b"HTTP/1.1 200 OK\r\n", "the answer is cut off"),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\nplayer",
            "the answer is cut off",
        ),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nplayer\r\n",
            "the answer is cut off",
        ),
        (
            &answer("Content-Encoding: gzip\r\n", &gzipped(b"player")[..20]),
            "the answer's coding cannot be undone",
        ),
        (
            &answer("Content-Encoding: gzip\r\n", &broken_gzip),
            "the answer's coding cannot be undone",
        ),
        (
            &answer("Content-Encoding: gzip\r\n", b"no such thing at all"),
            "the answer's coding cannot be undone",
        ),
        (
            &answer("Content-Encoding: br\r\n", b"player"),
            "the answer's coding cannot be undone",
        ),
        (
            &answer(
                "Content-Encoding: gzip, gzip\r\n",
                &gzipped(&gzipped(b"player")),
            ),
            "the answer's coding cannot be undone",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1048577\r\n\r\nplayer",
            "the answer has more than 0 MiB",
        ),
        (&answer("", &[0; 1001]), "the answer has more than 0 MiB"),
        (
            &answer("Content-Encoding: gzip\r\n", &gzipped(&[0; 1_000_000])),
            "the answer has more than 0 MiB",
        ),
    ];
    for (answer, expected) in cases {
        let error = fetched(&[answer]).await.unwrap_err();
        assert_eq!(error, expected, "{}", answer.escape_ascii());
    }
    let error = fetched(&["220 smtp.example ready\r\n\r\n"])
        .await
        .unwrap_err();
    assert!(
        error.starts_with("the server does not speak HTTP: "),
        "{error}"
    );
    let largest = fetched(&[answer("", &[0; 1000])]).await;
    assert_eq!(largest.map(|file| file.len()), Ok(1000));
}

#[tokio::test]
async fn a_head_without_end_is_not_read_for_ever() {
    let head = format!(
        "HTTP/1.1 200 OK\r\nx: {}\r\n\r\n",
        "y".repeat(16 * HEAD_BYTES)
    );
    let error = fetched(&[head]).await.unwrap_err();
    assert!(
        error.starts_with("the server does not speak HTTP: "),
        "{error}"
    );
}

#[tokio::test]
async fn a_server_that_speaks_first_speaks_no_http() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let dialer = Dialer::default();
    let fetcher = Fetcher {
        dialer: &dialer,
        patience: None,
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
    let told = error.to_string();
    assert_eq!(told, "received unexpected message from connection");
}

#[tokio::test]
async fn silence_is_given_up() {
    for said in ["", "HTTP/1.1 200 OK\r\n\r\nplay"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/", listener.local_addr().unwrap());
        let dialer = Dialer::default();
        let patience = Duration::from_millis(50);
        let fetcher = Fetcher {
            dialer: &dialer,
            patience: Some(patience),
            max_bytes: 1000,
        };
        let url = Url::parse(&url).unwrap();
        let server = async {
            let (mut peer, _) = listener.accept().await.unwrap();
            peer.read_u8().await.unwrap();
            peer.write_all(said.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        };
        let error = tokio::select! {
            fetched = fetcher.fetch(&url, None) => fetched.unwrap_err(),
            () = server => unreachable!(),
        };
        let told = error.to_string();
        assert_eq!(told, "no answer within 0.05 s", "behind {said:?}");
    }
}

#[test]
fn knows_the_way_to_a_url() {
    let way = |text: &str| {
        let Route { endpoint, carrier } = route(&Url::parse(text).unwrap()).ok()?;
        Some((endpoint.to_string(), carrier))
    };
    for (text, endpoint, carrier) in [
        ("http://host/", "host:80", Carrier::Tcp),
        ("https://host/", "host:443", Carrier::Tls),
        ("https://[::1]:8443/", "[::1]:8443", Carrier::Tls),
        ("HTTP://127.0.0.1:80/", "127.0.0.1:80", Carrier::Tcp),
    ] {
        assert_eq!(way(text), Some((endpoint.to_owned(), carrier)), "{text}");
    }
    assert_eq!(way("ftp://host/"), None);
    assert_eq!(way("data:x"), None);
}

#[test]
fn a_login_has_no_escapes() {
    let login = |url| login(&Url::parse(url).unwrap());
    let encoded = |text| Some(format!("Basic {}", BASE64_STANDARD.encode(text)));
    let cases: [(_, &[u8]); 4] = [
        ("http://a%40b:c%2F%2f@host/", b"a@b:c//"),
        ("http://50%:%+1%4%zz@host/", b"50%:%+1%4%zz"),
        ("http://caf%e9@host/", b"caf\xe9:"),
        ("http://:secret@host/", b":secret"),
    ];
    for (url, expected) in cases {
        assert_eq!(login(url), encoded(expected), "{url}");
    }
    assert_eq!(login("http://host/"), None);
}
