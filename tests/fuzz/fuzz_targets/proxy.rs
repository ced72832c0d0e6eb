//! Answers of SOCKS and HTTP proxies: no answer delays the end of the request, and the bytes after an
//! answer belong to the server.

#![no_main]

use std::{cell::RefCell, net::Ipv4Addr, time::Duration};

use arbitrary::Arbitrary;
use libfuzzer_sys::fuzz_target;
use rtmpull::transport::{
    Carrier, DialFacts, Dialer, Endpoint, Route,
    proxy::{Login, Protocol, Proxy},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    runtime::{Builder, Runtime},
    time::timeout,
};

#[derive(Debug, Arbitrary)]
struct Input<'a> {
    protocol: Kind,
    has_login: bool,
    has_address: bool,
    cut: u8,
    answer: Vec<Piece<'a>>,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Kind {
    Socks4,
    Socks4a,
    Socks5,
    Http,
}

/// Piece of an answer, valid or arbitrary.
#[derive(Debug, Arbitrary)]
enum Piece<'a> {
    Bytes(&'a [u8]),
    Socks4(u8),
    Socks5Method(u8),
    Socks5Login(u8, u8),
    Socks5Reply {
        code: u8,
        kind: u8,
        address: &'a [u8],
    },
    HttpStatus {
        code: u16,
        reason: &'a str,
    },
    HttpField {
        name: &'a str,
        value: &'a str,
    },
    HttpEnd,
}

fuzz_target!(|input: Input<'_>| {
    let answer = input
        .answer
        .iter()
        .flat_map(Piece::bytes)
        .collect::<Vec<u8>>();
    let left = RUNTIME.with_borrow(|(runtime, listener)| {
        let exchange = exchange(&input, listener, &answer);
        runtime.block_on(async { timeout(LIMIT, exchange).await.expect("a prompt end") })
    });
    let Some(left) = left else { return };
    assert!(answer.ends_with(&left), "bytes of the server are lost");
    let head = &answer[..answer.len() - left.len()];
    match input.protocol {
        Kind::Socks4 | Kind::Socks4a => assert!(head.len() == 8 && head.starts_with(&[0, 90])),
        Kind::Socks5 => assert!(head[0] == 5 && head.len() >= 10),
        Kind::Http => assert!(head.ends_with(b"\n")),
    }
});

/// Dials through a proxy with this answer. Returns the bytes after the answer if the proxy accepts.
async fn exchange(input: &Input<'_>, listener: &TcpListener, answer: &[u8]) -> Option<Vec<u8>> {
    let protocol = match input.protocol {
        Kind::Socks4 => Protocol::Socks4,
        Kind::Socks4a => Protocol::Socks4a,
        Kind::Socks5 => Protocol::Socks5,
        Kind::Http => Protocol::Http,
    };
    // SOCKS 4 looks names up, which would leave this machine.
    let is_address = input.has_address || matches!(protocol, Protocol::Socks4);
    let host = if is_address {
        "192.0.2.1"
    } else {
        "host.example"
    };
    let dialer = Dialer {
        proxy: Some(Proxy {
            protocol,
            endpoint: Endpoint {
                host: Ipv4Addr::LOCALHOST.to_string(),
                port: listener.local_addr().expect("an address").port(),
            },
            login: input.has_login.then(|| Login {
                user: "user".into(),
                password: "password".into(),
            }),
        }),
        ..Dialer::default()
    };
    let route = Route {
        endpoint: Endpoint {
            host: host.to_owned(),
            port: 1935,
        },
        carrier: Carrier::Tcp,
    };
    let client = async {
        let mut stream = dialer.dial(&route, &mut DialFacts::default()).await.ok()?;
        let mut left = Vec::new();
        stream.read_to_end(&mut left).await.expect("a clean end");
        Some(left)
    };
    let server = async {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        // Closed connections must not occupy ports, which would run out.
        stream.set_zero_linger().expect("a socket option");
        let step = usize::from(input.cut).max(1);
        for piece in answer.chunks(step * step) {
            if stream.write_all(piece).await.is_err() {
                return;
            }
            tokio::task::yield_now().await;
        }
        let _ = stream.shutdown().await;
        let mut requests = Vec::new();
        let _ = stream.read_to_end(&mut requests).await;
    };
    tokio::join!(client, server).0
}

impl Piece<'_> {
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Bytes(bytes) => bytes.to_vec(),
            Self::Socks4(code) => vec![0, *code, 0, 0, 0, 0, 0, 0],
            Self::Socks5Method(method) => vec![5, *method],
            Self::Socks5Login(version, status) => vec![*version, *status],
            Self::Socks5Reply {
                code,
                kind,
                address,
            } => [&[5, *code, 0, *kind][..], address, &[0, 0]].concat(),
            Self::HttpStatus { code, reason } => {
                format!("HTTP/1.1 {code} {reason}\r\n").into_bytes()
            }
            Self::HttpField { name, value } => format!("{name}: {value}\r\n").into_bytes(),
            Self::HttpEnd => b"\r\n".to_vec(),
        }
    }
}

/// Time in which any complete answer must end the request.
const LIMIT: Duration = Duration::from_secs(5);

thread_local! {
    static RUNTIME: RefCell<(Runtime, TcpListener)> = {
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let listener = runtime.block_on(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
        RefCell::new((runtime, listener.expect("a free port")))
    };
}
