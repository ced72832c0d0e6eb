//! Components between a client and a server: TLS, proxies and tunnels.

mod proxy;
mod tls;
mod tunnel;

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpStream},
    thread,
};

pub use self::{
    proxy::{AfterAnswer, CannedPeer, Proxy, ProxyKind},
    tls::{TlsClose, TlsFront},
    tunnel::{Framing, Headers, OnPipelined, RequestCounts, Tunnel, TunnelConfig, TunnelFault},
};

/// Relays bytes in both directions until both sides have closed.
fn relay(client: &TcpStream, server: &TcpStream) {
    thread::scope(|scope| {
        scope.spawn(|| relay_one_way(client, server));
        relay_one_way(server, client);
    });
}

fn relay_one_way(mut from: &TcpStream, mut to: &TcpStream) {
    let mut buffer = vec![0; 64 * 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer) {
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
    }
    let _already_closed = to.shutdown(Shutdown::Write);
    let _already_closed = from.shutdown(Shutdown::Read);
}
