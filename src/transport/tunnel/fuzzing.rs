//! Access to the state machine for the fuzz targets.

use std::time::Duration;

use bytes::BytesMut;
use tokio::time::Instant;

use super::session::Session;

/// RTMPT session whose connection is the fuzz target.
#[derive(Debug)]
pub struct Client {
    session: Session,
    now: Instant,
    inbox: BytesMut,
    /// Tunnel data from the server.
    pub received: Vec<u8>,
}

impl Client {
    /// Creates a session whose `open` request is due.
    pub fn start() -> Self {
        let now = Instant::now();
        Self {
            session: Session::new("h:80".into(), now),
            now,
            inbox: BytesMut::new(),
            received: Vec::new(),
        }
    }

    /// Queues bytes for the server, and returns how many were accepted.
    pub fn write(&mut self, bytes: &[u8]) -> usize {
        self.session.write(bytes)
    }

    /// Requests the end of the session.
    pub fn close(&mut self) {
        self.session.close();
    }

    /// Lets time pass.
    pub fn wait(&mut self, time: Duration) {
        self.now += time;
    }

    /// Returns the time until the next request is due without a response.
    pub fn timeout(&self) -> Option<Duration> {
        let due = self.session.timeout()?;
        Some(due.saturating_duration_since(self.now))
    }

    /// Returns the requests that are due.
    pub fn requests(&mut self) -> Vec<u8> {
        let mut out = BytesMut::new();
        self.session.prepare(self.now);
        self.session.transmit(&mut out);
        out.to_vec()
    }

    /// Takes bytes of the server. Returns whether the client closes the connection.
    pub fn receive(&mut self, bytes: &[u8]) -> Result<bool, String> {
        self.inbox.extend_from_slice(bytes);
        loop {
            let advanced = self.session.advance(&mut self.inbox, self.now);
            advanced.map_err(|error| error.to_string())?;
            if self.session.is_connection_over() {
                self.disconnect()?;
                return Ok(true);
            }
            let left = usize::try_from(self.session.data_left()).unwrap_or(usize::MAX);
            let count = left.min(self.inbox.len());
            if count == 0 {
                return Ok(false);
            }
            self.received.extend_from_slice(&self.inbox.split_to(count));
            self.session.consume_data(count as u64);
        }
    }

    /// Handles the end of the connection.
    pub fn disconnect(&mut self) -> Result<(), String> {
        self.inbox.clear();
        self.session
            .disconnected(self.now)
            .map_err(|error| error.to_string())
    }

    /// Returns the number of received bytes that wait for more.
    pub fn waiting(&self) -> usize {
        self.inbox.len()
    }

    /// Returns whether the server has opened the session.
    pub fn is_open(&self) -> bool {
        self.session.is_open()
    }

    /// Returns whether the session has ended.
    pub fn is_over(&self) -> bool {
        self.session.is_over()
    }
}
