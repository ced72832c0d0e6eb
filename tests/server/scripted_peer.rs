//! Peer that sends exactly the bytes of a test's script, for behavior that no regular server shows.

use std::sync::{Arc, Mutex};

use rtmpull::core::amf::Value;

use super::{
    config::Handshake,
    connection::{ClientRecord, Command, Connection, Disconnected, STREAM_BEGIN},
    listener::Listener,
    session::status,
};

/// Scripted peer. Dropping it fails the test if the script panicked.
#[derive(Debug)]
pub struct ScriptedPeer {
    listener: Listener,
}

impl ScriptedPeer {
    /// Runs `script` for each client, with the number of the client, starting at 0.
    ///
    /// The script starts before the handshake. [`Connection::accept_plain_handshake`] and
    /// [`Connection::start_playing`] perform the usual first steps.
    pub fn start(script: impl Fn(&mut Connection, usize) + Send + Sync + 'static) -> Self {
        let listener = Listener::start(move |number, socket| {
            let record = Arc::new(Mutex::new(ClientRecord::default()));
            script(&mut Connection::new(number, socket, record, None), number);
        });
        Self {
            listener: listener.expect("a loopback port is free"),
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
}

impl Connection {
    /// Performs a plain handshake.
    #[track_caller]
    pub fn accept_plain_handshake(&mut self) {
        self.handshake(Handshake::Plain, false)
            .expect("the client completes the handshake");
    }

    /// Performs all steps up to Play.Start, with message stream 1.
    #[track_caller]
    pub fn start_playing(&mut self) {
        self.accept_play();
        self.start_stream().expect("the client is connected");
    }

    /// Performs all steps up to `play`, which it leaves unanswered, with message stream 1.
    #[track_caller]
    pub fn accept_play(&mut self) {
        self.accept_plain_handshake();
        self.answer_up_to_play().expect("the client sends play");
    }

    #[track_caller]
    fn answer_up_to_play(&mut self) -> Result<(), Disconnected> {
        let connect = self.expect_command("connect");
        self.accept_connect(&connect)?;
        let create = self.expect_command("createStream");
        self.accept_create_stream(&create)?;
        self.expect_command("play");
        Ok(())
    }

    /// Answers calls that were sent without waiting for answers, up to Play.Start.
    pub fn answer_early_calls(
        &mut self,
        connect: &Command,
        create_stream: &Command,
    ) -> Result<(), Disconnected> {
        self.accept_connect(connect)?;
        self.accept_create_stream(create_stream)?;
        self.start_stream()
    }

    /// Answers `connect`.
    pub fn accept_connect(&mut self, connect: &Command) -> Result<(), Disconnected> {
        let success = status("status", "NetConnection.Connect.Success", "Welcome.");
        self.queue_command(
            0,
            "_result",
            connect.transaction,
            &[Value::Null, success.into()],
        )?;
        self.flush()
    }

    /// Answers `createStream` with message stream 1.
    pub fn accept_create_stream(&mut self, create: &Command) -> Result<(), Disconnected> {
        self.queue_command(0, "_result", create.transaction, &[Value::Null, 1.0.into()])?;
        self.flush()
    }

    /// Answers `play`.
    pub fn start_stream(&mut self) -> Result<(), Disconnected> {
        self.queue_event(STREAM_BEGIN, 1)?;
        let start = status("status", "NetStream.Play.Start", "Started playing.");
        self.queue_command(1, "onStatus", 0.0, &[Value::Null, start.into()])?;
        self.flush()
    }
}
