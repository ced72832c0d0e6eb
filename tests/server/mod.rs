//! An RTMP server on loopback, shared by tests, benches and the demo.
//!
//! [`Server`] serves [`Clip`]s as recorded or live streams, correctly or with a [`Fault`], and
//! records the messages of its clients ([`ClientRecord`]). [`ScriptedPeer`] runs a script of a test
//! for each client. [`Replay`] sends prepared bytes at full speed. Dropping any of them ends it.
//!
//! The server uses blocking sockets and threads and shares little code with the client. It reuses
//! the chunk codec, the AMF codec and the handshake digests of rtmpull;
//! `tests/end_to_end/test_server.rs` verifies them with other players.

#![allow(
    dead_code,
    unreachable_pub,
    unused_imports,
    reason = "each target that includes this module uses only some of it"
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
mod live_replay;
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
        OnConnect, OnMissing, Pace, Pipelining, Reconnect, SecureToken, SeekTo, Seeking, Source,
        Step, Stream,
    },
    connection::{
        C2, ClientRecord, Command, Connection, Disconnected, STREAM_BEGIN, STREAM_EOF,
        STREAM_IS_RECORDED, command_payload,
    },
    cut_connection::CutConnection,
    delayed_connection::DelayedConnection,
    encryption::prime_plus,
    front::{
        AfterAnswer, CannedPeer, Framing, Headers, OnPipelined, Proxy, ProxyKind, RequestCounts,
        TlsClose, TlsFront, Tunnel, TunnelConfig, TunnelFault,
    },
    listener::Listener,
    live_replay::LiveReplay,
    login::{Login, LoginScheme},
    replay::Replay,
    scripted_peer::ScriptedPeer,
    session::{object, status},
};

use std::sync::{Arc, Mutex};

use self::session::Session;

/// Running RTMP server.
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
                .expect("the lock is not poisoned")
                .push(clients.clone());
            let is_faulty = number < config.faulty_connections;
            let fault = config.fault.filter(|_| is_faulty);
            Session::new(&config, Connection::new(number, socket, clients, fault)).serve(is_faulty);
        });
        Self {
            listener: listener.expect("a loopback port is free"),
            clients,
        }
    }

    /// Returns the URL of stream `name`.
    pub fn url(&self, name: &str) -> String {
        self.listener.url("rtmp", name)
    }

    /// Returns the rtmpe URL of stream `name`.
    pub fn encrypted_url(&self, name: &str) -> String {
        self.listener.url("rtmpe", name)
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// Returns a copy of the record of each client.
    pub fn clients(&self) -> Vec<ClientRecord> {
        let clients = self.clients.lock().expect("the lock is not poisoned");
        let copy = |clients: &Arc<Mutex<ClientRecord>>| {
            clients.lock().expect("the lock is not poisoned").clone()
        };
        clients.iter().map(copy).collect()
    }

    /// Returns the record of the only client.
    ///
    /// # Panics
    ///
    /// Panics if the number of clients is not 1.
    #[track_caller]
    pub fn only_client(&self) -> ClientRecord {
        let mut clients = self.clients();
        assert_eq!(clients.len(), 1, "clients");
        clients.remove(0)
    }
}
