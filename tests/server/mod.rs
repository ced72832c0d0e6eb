//! An RTMP server on loopback, shared by tests, benches and the demo.
//!
//! [`Server`] serves [`Clip`]s as recorded or live streams the way servers do, well or with a
//! [`Fault`], and keeps what clients said ([`ClientRecord`]). [`ScriptedPeer`] is a peer that a test
//! scripts message by message. [`Replay`] sends prepared bytes as fast as the socket takes them.
//! Everything is ended by dropping it.
//!
//! It is made of blocking sockets and threads, so that it shares as little as possible with what it
//! tests; the chunk and AMF codecs, the digests of the handshake and its signatures are rtmpull's own,
//! which `tests/end_to_end` holds against players that others wrote.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each target that includes this uses a part of it"
)]

mod broadcast;
mod certificates;
mod clip;
mod config;
mod connection;
mod cut_connection;
mod delayed_connection;
mod encryption;
mod front;
mod listener;
mod login;
mod playback;
mod replay;
mod scripted_peer;
mod session;

pub use self::{
    broadcast::{Broadcast, PublisherClock, SentFrame},
    certificates::{Authority, Identity, Validity},
    clip::{Clip, Tag},
    config::{
        Config, Encryption, EndSignal, Fault, FaultAction, FaultPoint, Handshake, HandshakeFlaw,
        OnConnect, OnMissing, Pace, Pipelining, SecureToken, SeekTo, Seeking, Source, Step, Stream,
    },
    connection::{C2, ClientRecord, Command, Connection, Disconnected, command_payload},
    cut_connection::CutConnection,
    delayed_connection::DelayedConnection,
    encryption::prime_plus,
    front::{
        AfterAnswer, CannedPeer, Framing, Headers, OnPipelined, Proxy, ProxyKind, RequestCounts,
        TlsClose, TlsFront, Tunnel, TunnelConfig, TunnelFault,
    },
    listener::Listener,
    login::{Login, LoginScheme},
    replay::Replay,
    scripted_peer::ScriptedPeer,
    session::{object, status},
};

use std::sync::{Arc, Mutex};

use self::session::Session;

/// A running server.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    clients: Arc<Mutex<Vec<Arc<Mutex<ClientRecord>>>>>,
}

impl Server {
    /// Starts a server on a free loopback port.
    pub fn start(config: Config) -> Self {
        let clients = Arc::new(Mutex::new(Vec::new()));
        let all = clients.clone();
        let listener = Listener::start(move |number, socket| {
            let clients = Arc::new(Mutex::new(ClientRecord::default()));
            all.lock()
                .expect("nobody panics with it")
                .push(clients.clone());
            let is_faulty = number < config.faulty_connections;
            let fault = config.fault.filter(|_| is_faulty);
            Session::new(&config, Connection::new(number, socket, clients, fault)).serve(is_faulty);
        });
        Self {
            listener: listener.expect("loopback has a free port"),
            clients,
        }
    }

    /// The URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        format!("rtmp://127.0.0.1:{}/app/{name}", self.listener.port())
    }

    /// The same, to be asked for with encryption.
    pub fn encrypted_url(&self, name: &str) -> String {
        format!("rtmpe://127.0.0.1:{}/app/{name}", self.listener.port())
    }

    /// The port.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// What each client said so far.
    pub fn clients(&self) -> Vec<ClientRecord> {
        let clients = self.clients.lock().expect("nobody panics with it");
        let copy = |clients: &Arc<Mutex<ClientRecord>>| {
            clients.lock().expect("nobody panics with it").clone()
        };
        clients.iter().map(copy).collect()
    }

    /// What the only client said so far; panics where there were none or several.
    #[track_caller]
    pub fn only_client(&self) -> ClientRecord {
        let mut clients = self.clients();
        assert_eq!(clients.len(), 1, "clients");
        clients.remove(0)
    }
}
