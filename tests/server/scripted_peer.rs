//! A peer that says what a test has it say, byte for byte: for all that no server of the usual kind
//! would do.

use std::sync::{Arc, Mutex};

use rtmpull::core::amf::Value;

use super::{
    config::Handshake,
    connection::{ClientRecord, Connection, Disconnected, STREAM_BEGIN},
    listener::Listener,
    session::status,
};

/// A scripted peer. Dropping it fails the test where the script did not come to its end.
#[derive(Debug)]
pub struct ScriptedPeer {
    listener: Listener,
}

impl ScriptedPeer {
    /// Runs `script` for each client, with the client's number from 0. The script starts before the
    /// handshake; [`Connection::accept_plain_handshake`] and [`Connection::start_playing`] shorten the way.
    pub fn start(script: impl Fn(&mut Connection, usize) + Send + Sync + 'static) -> Self {
        let listener = Listener::start(move |number, socket| {
            let record = Arc::new(Mutex::new(ClientRecord::default()));
            script(&mut Connection::new(number, socket, record, None), number);
        });
        Self {
            listener: listener.expect("loopback has a free port"),
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
}

impl Connection {
    /// A plain handshake.
    #[track_caller]
    pub fn accept_plain_handshake(&mut self) {
        self.handshake(Handshake::Plain, false)
            .expect("a client that shakes hands");
    }

    /// Everything up to Play.Start, on message stream 1.
    #[track_caller]
    pub fn start_playing(&mut self) {
        self.accept_plain_handshake();
        self.answer_up_to_play().expect("a client that plays");
    }

    #[track_caller]
    fn answer_up_to_play(&mut self) -> Result<(), Disconnected> {
        let connect = self.expect_command("connect");
        let success = status("status", "NetConnection.Connect.Success", "Welcome.");
        self.queue_command(
            0,
            "_result",
            connect.transaction,
            &[Value::Null, success.into()],
        )?;
        self.flush()?;
        let create = self.expect_command("createStream");
        self.queue_command(0, "_result", create.transaction, &[Value::Null, 1.0.into()])?;
        self.flush()?;
        self.expect_command("play");
        self.queue_event(STREAM_BEGIN, 1)?;
        let start = status("status", "NetStream.Play.Start", "Here it comes.");
        self.queue_command(1, "onStatus", 0.0, &[Value::Null, start.into()])?;
        self.flush()
    }
}
