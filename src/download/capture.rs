//! Captures of the bytes of all sessions of a download (`--capture`).

use std::{
    fs::File,
    io, mem,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Instant, SystemTime},
};

use rand::rngs::StdRng;

use crate::{
    core::rtmp::{
        client::{Client, Observer, config::Config},
        redaction::{Redactor, Rules},
    },
    transport::capture::{Connection, Sender, Writer},
};

/// Creates the client of a session, which the capture of the download observes, if any.
pub(super) fn observed_client(
    config: impl Into<Arc<Config>>,
    now: Instant,
    capture: Option<&Arc<Capture>>,
) -> Client {
    let mut rng: StdRng = rand::make_rng();
    let mut client = Client::new(config, now, &mut rng);
    if let Some(observer) = capture.and_then(Capture::session) {
        client.observe(observer);
    }
    client
}

/// Records sessions in a capture file. The first error ends the capture and never the download.
#[derive(Debug)]
pub struct Capture {
    rules: Rules,
    /// `None` after the end of the capture.
    writer: Mutex<Option<Writer>>,
}

impl Capture {
    /// Starts a capture in an empty file of at most `limit` bytes. Analyzers show `comment` as a property of the file.
    pub fn new(file: File, limit: u64, comment: &str, rules: Rules) -> io::Result<Self> {
        Ok(Self {
            rules,
            writer: Mutex::new(Some(Writer::new(file, limit, comment)?)),
        })
    }

    fn session(self: &Arc<Self>) -> Option<Box<dyn Observer>> {
        let connection = self.write(|writer| writer.connect(SystemTime::now()))?;
        Some(Box::new(Session {
            capture: Arc::clone(self),
            connection,
            client: Redactor::new(self.rules.clone()),
            server: Redactor::new(self.rules.clone()),
            redacted: Vec::new(),
        }))
    }

    /// Writes to the file, if the capture has not ended. An error ends it.
    fn write<T>(&self, write: impl FnOnce(&mut Writer) -> io::Result<T>) -> Option<T> {
        let mut writer = self.lock();
        match write(writer.as_mut()?) {
            Ok(done) => Some(done),
            Err(error) => {
                *writer = None;
                match error.kind() {
                    io::ErrorKind::FileTooLarge => {
                        tracing::info!(
                            "the capture has reached its size (--capture-size) and ends"
                        );
                    }
                    _ => tracing::warn!(
                        "the capture ends, because its file cannot be written: {error}"
                    ),
                }
                None
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Writer>> {
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One session in the capture.
#[derive(Debug)]
struct Session {
    capture: Arc<Capture>,
    connection: Connection,
    client: Redactor,
    server: Redactor,
    /// A buffer for redacted bytes.
    redacted: Vec<u8>,
}

impl Session {
    /// Redacts and writes bytes of one side. `None` stands for the end of the session.
    fn record(&mut self, sender: Sender, bytes: Option<&[u8]>) {
        let redactor = match sender {
            Sender::Client => &mut self.client,
            Sender::Server => &mut self.server,
        };
        let mut redacted = mem::take(&mut self.redacted);
        match bytes {
            Some(bytes) => redactor.redact(bytes, &mut redacted),
            None => redactor.finish(&mut redacted),
        }
        if !redacted.is_empty() {
            let connection = &mut self.connection;
            self.capture
                .write(|writer| writer.write(connection, sender, &redacted, SystemTime::now()));
        }
        redacted.clear();
        self.redacted = redacted;
    }
}

impl Observer for Session {
    fn received(&mut self, bytes: &[u8]) {
        self.record(Sender::Server, Some(bytes));
    }

    fn sent(&mut self, bytes: &[u8]) {
        self.record(Sender::Client, Some(bytes));
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.record(Sender::Client, None);
        self.record(Sender::Server, None);
        let connection = &mut self.connection;
        self.capture
            .write(|writer| writer.close(connection, SystemTime::now()));
    }
}
