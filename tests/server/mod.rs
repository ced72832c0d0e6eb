//! An RTMP server on loopback, shared by tests, benches and the demo.
//!
//! [`Server`] serves [`Clip`]s as recorded or live streams the way servers do, well or with a
//! [`Fault`], and keeps what clients said ([`Heard`]). [`Conversation`] is a peer that a test
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
mod conversation;
mod cut_connection;
mod delayed_connection;
mod encryption;
mod front;
mod listener;
mod login;
mod playback;
mod replay;
mod session;

pub use self::{
    broadcast::{Broadcast, PublisherClock, Sent},
    certificates::{Authority, Identity, Validity},
    clip::{Clip, Tag},
    config::{
        Config, Encryption, Ending, Fault, Flaw, Handshake, OnConnect, OnMissing, Pace, Pipelining,
        Point, SecureToken, SeekTo, Seeking, Source, Step, Stream, Then,
    },
    connection::{C2, Command, Connection, Heard, Over, command_payload},
    conversation::Conversation,
    cut_connection::CutConnection,
    delayed_connection::DelayedConnection,
    encryption::prime_and,
    front::{
        Canned, Framing, Goodbye, Headers, OnAhead, Proxy, ProxyKind, Requests, Silence, TlsFront,
        Tunnel, TunnelConfig, TunnelFault,
    },
    listener::Listener,
    login::{Login, LoginScheme},
    replay::Replay,
    session::{object, status},
};

use std::sync::{Arc, Mutex};

use self::session::Session;

/// A running server.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    heard: Arc<Mutex<Vec<Arc<Mutex<Heard>>>>>,
}

impl Server {
    /// Starts a server on a free loopback port.
    pub fn start(config: Config) -> Self {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let all = heard.clone();
        let listener = Listener::start(move |number, socket| {
            let heard = Arc::new(Mutex::new(Heard::default()));
            all.lock()
                .expect("nobody panics with it")
                .push(heard.clone());
            let is_faulty = number < config.faulty_connections;
            let fault = config.fault.filter(|_| is_faulty);
            Session::new(&config, Connection::new(number, socket, heard, fault)).serve(is_faulty);
        });
        Self {
            listener: listener.expect("loopback has a free port"),
            heard,
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
    pub fn heard(&self) -> Vec<Heard> {
        let heard = self.heard.lock().expect("nobody panics with it");
        let copy = |heard: &Arc<Mutex<Heard>>| heard.lock().expect("nobody panics with it").clone();
        heard.iter().map(copy).collect()
    }

    /// What the only client said so far; panics where there were none or several.
    #[track_caller]
    pub fn only_client(&self) -> Heard {
        let mut heard = self.heard();
        assert_eq!(heard.len(), 1, "clients");
        heard.remove(0)
    }
}
