//! Proxies: a working one, and a peer with a fixed answer.

use std::{
    io::{self, Read, Write},
    net::{Ipv4Addr, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use super::{super::listener::Listener, relay};

/// Loopback proxy that connects only to `localhost` and 127.0.0.1 and records the requested
/// targets.
#[derive(Debug)]
pub struct Proxy {
    listener: Listener,
    requested: Arc<Mutex<Vec<String>>>,
}

/// Protocol of a proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProxyKind {
    /// SOCKS 4 and 4a.
    Socks4,
    /// SOCKS 5 without a login.
    Socks5,
    /// HTTP CONNECT.
    Connect,
}

impl Proxy {
    /// Starts a proxy.
    pub fn start(kind: ProxyKind) -> Self {
        let requested = Arc::new(Mutex::new(Vec::new()));
        let all = requested.clone();
        let listener = Listener::start(move |_, client| {
            let Ok(target) = read_request(kind, &client) else {
                return;
            };
            let port = target.rsplit(':').next().and_then(|port| port.parse().ok());
            all.lock().expect("the lock is not poisoned").push(target);
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port.unwrap_or(0)));
            let _it_may_be_gone = (&*client).write_all(answer(kind, server.is_ok()));
            if let Ok(server) = server {
                relay(&client, &server);
            }
        });
        Self {
            listener: listener.expect("a loopback port is free"),
            requested,
        }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// Returns the requested targets as `host:port`.
    pub fn requested(&self) -> Vec<String> {
        self.requested
            .lock()
            .expect("the lock is not poisoned")
            .clone()
    }
}

fn read_request(kind: ProxyKind, mut client: &TcpStream) -> io::Result<String> {
    match kind {
        ProxyKind::Socks4 => {
            let head: [u8; 8] = read(client)?;
            assert_eq!(head[..2], [4, 1], "SOCKS 4, CONNECT");
            read_until(client, b"\0")?;
            let port = u16::from_be_bytes([head[2], head[3]]);
            let [.., a, b, c, d] = head;
            Ok(match [a, b, c, d] {
                [0, 0, 0, _] => {
                    let name = read_until(client, b"\0")?;
                    format!("{}:{port}", name.trim_end_matches('\0'))
                }
                _ => format!("{}:{port}", Ipv4Addr::new(a, b, c, d)),
            })
        }
        ProxyKind::Socks5 => {
            assert_eq!(read::<3>(client)?, [5, 1, 0], "SOCKS 5 without login");
            client.write_all(&[5, 0])?;
            let head: [u8; 4] = read(client)?;
            assert_eq!(head[..3], [5, 1, 0], "SOCKS 5, CONNECT");
            let host = match head[3] {
                1 => Ipv4Addr::from(read::<4>(client)?).to_string(),
                _ => {
                    let [length] = read(client)?;
                    let mut name = vec![0; length.into()];
                    client.read_exact(&mut name)?;
                    String::from_utf8_lossy(&name).into_owned()
                }
            };
            Ok(format!("{host}:{}", u16::from_be_bytes(read(client)?)))
        }
        ProxyKind::Connect => {
            let head = read_until(client, b"\r\n\r\n")?;
            let target = head.strip_prefix("CONNECT ").expect("CONNECT");
            let end = target.find(' ').expect("a space after the target");
            Ok(target[..end].to_owned())
        }
    }
}

fn answer(kind: ProxyKind, is_granted: bool) -> &'static [u8] {
    match (kind, is_granted) {
        (ProxyKind::Socks4, true) => &[0, 90, 0, 0, 0, 0, 0, 0],
        (ProxyKind::Socks4, false) => &[0, 91, 0, 0, 0, 0, 0, 0],
        (ProxyKind::Socks5, true) => &[5, 0, 0, 1, 0, 0, 0, 0, 0, 0],
        (ProxyKind::Socks5, false) => &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0],
        (ProxyKind::Connect, true) => b"HTTP/1.1 200 Connection established\r\n\r\n",
        (ProxyKind::Connect, false) => b"HTTP/1.1 502 Bad Gateway\r\n\r\n",
    }
}

fn read<const N: usize>(mut from: &TcpStream) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes)?;
    Ok(bytes)
}

fn read_until(from: &TcpStream, end: &[u8]) -> io::Result<String> {
    let mut bytes = Vec::new();
    while !bytes.ends_with(end) {
        bytes.extend(read::<1>(from)?);
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Peer that sends a fixed answer after the first received bytes.
#[derive(Debug)]
pub struct CannedPeer {
    listener: Listener,
}

/// State of the connection after the fixed answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterAnswer {
    /// The connection stays open.
    Open,
    /// The connection is closed.
    Closed,
}

impl CannedPeer {
    /// Starts a peer.
    pub fn start(answer: &[u8], after: AfterAnswer) -> Self {
        let answer = answer.to_vec();
        let listener = Listener::start(move |_, peer| {
            let mut question = [0; 4096];
            let _it_may_be_gone = (&*peer).read(&mut question);
            let _it_may_be_gone = (&*peer).write_all(&answer);
            if after == AfterAnswer::Closed {
                // A close with unread bytes would reset the connection and discard the answer.
                let _ = peer.shutdown(std::net::Shutdown::Write);
                thread::sleep(Duration::from_millis(50));
                return;
            }
            while let Ok(1..) = (&*peer).read(&mut question) {}
        });
        Self {
            listener: listener.expect("a loopback port is free"),
        }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }
}
