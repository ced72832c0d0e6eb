//! Connection to one client: socket, chunk streams of both directions, and a record of the received
//! messages.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex, Weak},
    thread,
    time::{Duration, Instant},
};

use bytes::BytesMut;
use rtmpull::core::{
    amf::{Value, amf0},
    rtmp::{
        chunk::{Decoder, Encoder},
        handshake::{
            block::Block,
            digest::{self, Scheme, Side},
            encryption::SignatureCipher,
        },
        message::{Kind, Message, Timestamp},
    },
};

use super::{
    config::{Encryption, Fault, FaultAction, FaultPoint, Handshake, Step},
    encryption::{EncryptedReply, Rc4, signature_cipher},
};

/// Connection to one client.
pub struct Connection {
    number: usize,
    socket: Arc<TcpStream>,
    record: Arc<Mutex<ClientRecord>>,
    inbox: BytesMut,
    decoder: Decoder,
    encoder: Encoder,
    out: BytesMut,
    written: u64,
    fault: Option<Fault>,
    /// Session ciphers of an encrypted session, set after the handshake.
    incoming: Option<Rc4>,
    outgoing: Option<Rc4>,
    s1_tail: [u8; 32],
    sends_s2_after_c2: bool,
}

/// Messages received from one client, in order.
#[derive(Debug, Clone, Default)]
pub struct ClientRecord {
    /// Handshake version requested in C0.
    pub c0: Option<u8>,
    /// Contents of C2.
    pub c2: Option<C2>,
    pub commands: Vec<Command>,
    /// Set Buffer Length events: message stream id and milliseconds.
    pub buffer_lengths: Vec<(u32, u32)>,
    /// Byte counts of the acknowledgements.
    pub acknowledgements: Vec<u32>,
    /// Announced acknowledgement window sizes.
    pub windows: Vec<u32>,
    /// Values of the ping responses.
    pub pongs: Vec<u32>,
    /// Payload of the SWF verification response.
    pub swf_proof: Option<Vec<u8>>,
    /// Error of the chunk decoder.
    pub fault: Option<String>,
    /// Whether the client closed the connection.
    pub has_closed: bool,
}

/// Command message.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub name: String,
    pub transaction: f64,
    /// Message stream id.
    pub stream: u32,
    /// Values after the transaction id, starting with the command object.
    pub values: Vec<Value>,
}

/// Contents of C2.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum C2 {
    /// Copy of S1.
    Echo,
    /// Signature over the digest of S1.
    Signed,
    Other,
}

/// The connection is closed or unusable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

impl Connection {
    /// Creates a connection that records the received messages in `record`.
    pub fn new(
        number: usize,
        socket: Arc<TcpStream>,
        record: Arc<Mutex<ClientRecord>>,
        fault: Option<Fault>,
    ) -> Self {
        let _ = socket.set_nodelay(true);
        Self {
            number,
            socket,
            record,
            inbox: BytesMut::new(),
            decoder: Decoder::new(),
            encoder: Encoder::new(),
            out: BytesMut::new(),
            written: 0,
            fault,
            incoming: None,
            outgoing: None,
            s1_tail: [0; 32],
            sends_s2_after_c2: false,
        }
    }

    /// Sends S2 only after C2 in the following handshake.
    pub fn withhold_s2(&mut self) {
        self.sends_s2_after_c2 = true;
    }

    /// Performs the handshake. With `drops_early_bytes`, bytes read together with C1 are discarded.
    pub fn handshake(
        &mut self,
        handshake: Handshake,
        drops_early_bytes: bool,
    ) -> Result<(), Disconnected> {
        self.fill(1 + Block::LEN)?;
        let [version, c1 @ ..] = self.take_array::<{ 1 + Block::LEN }>();
        self.update_record(|record| record.c0 = Some(version));
        if drops_early_bytes {
            self.inbox.clear();
        }
        let c1 = Block::from(c1);
        match handshake {
            Handshake::Encrypted(encryption) if version == C0_ENCRYPTED => {
                let answer = EncryptedReply::new(encryption, &c1);
                let cipher = signature_cipher(encryption.version);
                self.exchange(encryption.version, &answer.s1, &answer.s2, cipher)?;
                self.incoming = Some(answer.incoming);
                self.outgoing = Some(answer.outgoing);
                self.decrypt(0);
                Ok(())
            }
            _ => {
                let digest = digest::find(&c1, Scheme::DigestFirst, Side::Client);
                if handshake == Handshake::ClosesOnDigest && digest.is_some() {
                    return self.fail(FaultAction::Fin);
                }
                let (s1, s2) = answer(handshake, &c1, digest.map(|(_, digest)| digest));
                self.exchange(3, &s1, &s2, SignatureCipher::None)
            }
        }
    }

    /// Sends S0, S1 and S2, and reads C2 after S1 or S2.
    fn exchange(
        &mut self,
        s0: u8,
        s1: &Block,
        s2: &Block,
        cipher: SignatureCipher,
    ) -> Result<(), Disconnected> {
        self.s1_tail = *s1
            .as_bytes()
            .last_chunk()
            .expect("S1 has more than 32 bytes");
        let mut reply = [&[s0], s1.as_bytes().as_slice(), s2.as_bytes()].concat();
        let withheld = match self.sends_s2_after_c2 {
            true => reply.split_off(1 + Block::LEN),
            false => Vec::new(),
        };
        self.send(&reply)?;
        self.fill(Block::LEN)?;
        let c2 = Block::from(self.take_array::<{ Block::LEN }>());
        self.send(&withheld)?;
        self.update_record(|record| record.c2 = Some(classify_c2(s1, &c2, cipher)));
        Ok(())
    }

    /// Returns the next message, or `None` after `timeout`.
    pub fn receive(&mut self, timeout: Duration) -> Result<Option<Message>, Disconnected> {
        let deadline = Instant::now() + timeout;
        loop {
            match self.decoder.decode(&mut self.inbox) {
                Ok(Some(message)) => {
                    self.record_message(&message);
                    return Ok(Some(message));
                }
                Ok(None) => {}
                Err(error) => {
                    self.update_record(|record| record.fault = Some(error.to_string()));
                    return Err(Disconnected);
                }
            }
            if !self.read_until(deadline)? {
                return Ok(None);
            }
        }
    }

    /// Returns the next command called `name` and skips all messages before it.
    ///
    /// # Panics
    ///
    /// Panics if the command does not arrive within 10 s.
    #[track_caller]
    pub fn expect_command(&mut self, name: &str) -> Command {
        let deadline = Instant::now() + EXPECT_TIMEOUT;
        loop {
            let timeout = deadline.saturating_duration_since(Instant::now());
            match self.receive(timeout) {
                Ok(Some(message)) => {
                    if let Some(command) = Command::read(&message)
                        && command.name == name
                    {
                        return command;
                    }
                }
                Ok(None) => panic!("no {name} within {EXPECT_TIMEOUT:?}"),
                Err(Disconnected) => panic!("the client disconnected before {name}"),
            }
        }
    }

    /// Queues a message, and applies a [`FaultPoint::Boundary`] fault.
    pub fn queue(
        &mut self,
        chunk_stream: u32,
        kind: Kind,
        stream: u32,
        timestamp_ms: u32,
        payload: &[u8],
    ) -> Result<(), Disconnected> {
        let timestamp = Timestamp(timestamp_ms);
        let encoded = self.encoder.encode(
            chunk_stream,
            kind,
            stream,
            timestamp,
            payload,
            &mut self.out,
        );
        encoded.expect("valid chunk stream id and length");
        match self.fault {
            Some(Fault {
                at: FaultPoint::Boundary(at),
                then,
            }) if self.sent() >= at => {
                self.flush()?;
                self.fail(then)
            }
            _ if self.out.len() >= FLUSH_AT => self.flush(),
            _ => Ok(()),
        }
    }

    /// Queues bytes that bypass the chunk encoder.
    pub fn queue_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Queues a protocol control message.
    pub fn queue_control(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Disconnected> {
        self.queue(CONTROL, kind, 0, 0, payload)
    }

    /// Queues a user control event with the argument `value`.
    pub fn queue_event(&mut self, event: u16, value: u32) -> Result<(), Disconnected> {
        let payload = [&event.to_be_bytes()[..], &value.to_be_bytes()].concat();
        self.queue_control(Kind::USER_CONTROL, &payload)
    }

    /// Queues Set Chunk Size and uses the new size for all later messages.
    pub fn queue_chunk_size(&mut self, chunk_size: u32) -> Result<(), Disconnected> {
        self.queue_control(Kind::SET_CHUNK_SIZE, &chunk_size.to_be_bytes())?;
        self.encoder.set_chunk_size(chunk_size);
        Ok(())
    }

    /// Queues a command message of type 20 (AMF0).
    pub fn queue_command(
        &mut self,
        stream: u32,
        name: &str,
        transaction: f64,
        values: &[Value],
    ) -> Result<(), Disconnected> {
        let payload = command_payload(name, transaction, values);
        self.queue(COMMANDS, Kind::COMMAND, stream, 0, &payload)
    }

    /// Queues `bytes` and flushes the queue.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        self.queue_bytes(bytes);
        self.flush()
    }

    /// Flushes the queue, then writes `bytes` without copying them.
    pub fn send_prepared(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        self.flush()?;
        self.write(bytes)
    }

    /// Writes all queued bytes.
    pub fn flush(&mut self) -> Result<(), Disconnected> {
        let out = self.out.split();
        self.write(&out)
    }

    /// Shrinks the receive buffer of the socket, so that unread client bytes soon block the client.
    pub fn shrink_receive_buffer(&self) {
        let _ = socket2::SockRef::from(&*self.socket).set_recv_buffer_size(4096);
    }

    /// Receives all messages that have already arrived.
    pub fn receive_pending(&mut self) -> Result<(), Disconnected> {
        while self.receive(Duration::ZERO)?.is_some() {}
        Ok(())
    }

    /// Applies the fault configured for `step`, if any.
    pub fn trigger_fault_at(&mut self, step: Step) -> Result<(), Disconnected> {
        match self.fault {
            Some(Fault {
                at: FaultPoint::Step(at),
                then,
            }) if at == step => {
                self.flush()?;
                self.fail(then)
            }
            _ => Ok(()),
        }
    }

    /// Returns the number of sent and queued bytes, counted from S0.
    pub fn sent(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    /// Returns the last 32 bytes of S1.
    pub fn s1_tail(&self) -> [u8; 32] {
        self.s1_tail
    }

    /// Returns the socket, which does not stay open for this reference.
    pub fn weak_socket(&self) -> Weak<TcpStream> {
        Arc::downgrade(&self.socket)
    }

    /// Returns the server's port.
    pub fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    /// Returns the number of this connection at its server, starting at 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// Returns a copy of the record.
    pub fn record(&self) -> ClientRecord {
        self.record
            .lock()
            .expect("the lock is not poisoned")
            .clone()
    }

    /// Performs the fault action `then` and returns after the client has disconnected.
    pub fn fail<T>(&mut self, then: FaultAction) -> Result<T, Disconnected> {
        self.fault = None;
        match then {
            FaultAction::Fin => {
                let _ = self.socket.shutdown(std::net::Shutdown::Write);
                self.wait_for_close()
            }
            FaultAction::Rst => {
                // A reset discards bytes in flight, so wait until the client has received them.
                thread::sleep(Duration::from_millis(50));
                let _ = socket2::SockRef::from(&*self.socket).set_linger(Some(Duration::ZERO));
                Err(Disconnected)
            }
            FaultAction::Silence => self.wait_for_close(),
            FaultAction::PingsOnly(every) => loop {
                self.queue_event(PING_REQUEST, self.written as u32)?;
                self.flush()?;
                self.receive(every)?;
            },
        }
    }

    /// Discards received bytes until the client closes the connection.
    pub fn wait_for_close<T>(&mut self) -> Result<T, Disconnected> {
        loop {
            self.read_until(Instant::now() + Duration::from_secs(1))?;
            self.inbox.clear();
        }
    }

    /// Writes `bytes`, up to the byte of a [`FaultPoint::Byte`] fault.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        let start = self.written;
        self.written += bytes.len() as u64;
        match self.fault {
            Some(Fault {
                at: FaultPoint::Byte(at),
                then,
            }) if self.written >= at => {
                let allowed = at.saturating_sub(start) as usize;
                self.write_encrypted(&bytes[..allowed])?;
                self.fail(then)
            }
            _ => self.write_encrypted(bytes),
        }
    }

    fn write_encrypted(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        let Some(cipher) = &mut self.outgoing else {
            return (&*self.socket).write_all(bytes).map_err(|_| Disconnected);
        };
        let mut encrypted = [0; FLUSH_AT];
        for piece in bytes.chunks(FLUSH_AT) {
            let encrypted = &mut encrypted[..piece.len()];
            encrypted.copy_from_slice(piece);
            cipher.apply(encrypted);
            (&*self.socket)
                .write_all(encrypted)
                .map_err(|_| Disconnected)?;
        }
        Ok(())
    }

    /// Decrypts the inbox from byte `start` on in an encrypted session.
    fn decrypt(&mut self, start: usize) {
        if let Some(cipher) = &mut self.incoming {
            cipher.apply(&mut self.inbox[start..]);
        }
    }

    /// Reads until the inbox contains `count` bytes.
    fn fill(&mut self, count: usize) -> Result<(), Disconnected> {
        while self.inbox.len() < count {
            self.read_until(Instant::now() + Duration::from_secs(1))?;
        }
        Ok(())
    }

    fn take_array<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.inbox.split_to(N);
        bytes[..].try_into().expect("N bytes were split off")
    }

    /// Reads available bytes into the inbox; returns whether any arrived before `deadline`.
    fn read_until(&mut self, deadline: Instant) -> Result<bool, Disconnected> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        let _ = self.socket.set_nonblocking(timeout.is_zero());
        if !timeout.is_zero() {
            let _ = self
                .socket
                .set_read_timeout(Some(timeout.max(Duration::from_millis(1))));
        }
        let mut bytes = [0; 16384];
        let read = (&*self.socket).read(&mut bytes);
        let _ = self.socket.set_nonblocking(false);
        match read {
            Ok(0) => {
                self.update_record(|record| record.has_closed = true);
                Err(Disconnected)
            }
            Ok(count) => {
                let start = self.inbox.len();
                self.inbox.extend_from_slice(&bytes[..count]);
                self.decrypt(start);
                Ok(true)
            }
            Err(error) if is_timeout(&error) => Ok(false),
            Err(_) => Err(Disconnected),
        }
    }

    fn record_message(&self, message: &Message) {
        let number = |at: usize| {
            let field = message.payload.get(at..at + 4)?;
            Some(u32::from_be_bytes(field.try_into().ok()?))
        };
        let event = message
            .payload
            .first_chunk()
            .map(|event| u16::from_be_bytes(*event));
        self.update_record(|record| match (message.kind, event) {
            (Kind::ACKNOWLEDGEMENT, _) => record.acknowledgements.extend(number(0)),
            (Kind::WINDOW_ACKNOWLEDGEMENT_SIZE, _) => record.windows.extend(number(0)),
            (Kind::USER_CONTROL, Some(SET_BUFFER_LENGTH)) => {
                record.buffer_lengths.extend(number(2).zip(number(6)));
            }
            (Kind::USER_CONTROL, Some(PING_RESPONSE)) => record.pongs.extend(number(2)),
            (Kind::USER_CONTROL, Some(SWF_VERIFICATION_RESPONSE)) => {
                record.swf_proof = Some(message.payload[2..].to_vec());
            }
            _ => record.commands.extend(Command::read(message)),
        });
    }

    fn update_record(&self, write: impl FnOnce(&mut ClientRecord)) {
        write(&mut self.record.lock().expect("the lock is not poisoned"));
    }
}

impl ClientRecord {
    /// Returns the first command called `name`.
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// Returns the names of all commands, in order.
    pub fn names(&self) -> Vec<&str> {
        self.commands.iter().map(|command| &*command.name).collect()
    }
}

impl Command {
    /// Parses a message of type 20 or 17; returns `None` for other types.
    pub fn read(message: &Message) -> Option<Self> {
        let mut payload = message.payload.to_vec();
        match message.kind {
            Kind::COMMAND => {}
            Kind::COMMAND_AMF3 => drop(payload.remove(0)),
            _ => return None,
        }
        let (values, _) = amf0::decode_all(payload.into());
        let mut values = values.into_iter();
        Some(Self {
            name: values.next()?.as_text()?.to_string(),
            transaction: values.next()?.as_number()?,
            stream: message.message_stream,
            values: values.collect(),
        })
    }
}

/// Encodes a command message in AMF0.
pub fn command_payload(name: &str, transaction: f64, values: &[Value]) -> Vec<u8> {
    let mut payload = Vec::new();
    amf0::encode(&name.into(), &mut payload);
    amf0::encode(&transaction.into(), &mut payload);
    for value in values {
        amf0::encode(value, &mut payload);
    }
    payload
}

/// Creates S1 and S2 of an unencrypted session.
fn answer(
    handshake: Handshake,
    c1: &Block,
    digest: Option<[u8; digest::DIGEST_LEN]>,
) -> (Block, Block) {
    let mut rng = rand::rng();
    let (scheme, version) = match handshake {
        Handshake::Digest(scheme) | Handshake::Encrypted(Encryption { scheme, .. }) => {
            (scheme, [5, 0, 17, 1])
        }
        _ => (Scheme::DigestFirst, [0; 4]),
    };
    let signs = matches!(
        handshake,
        Handshake::Digest(_) | Handshake::DigestUnderVersionZero | Handshake::Encrypted(_)
    );
    match digest.filter(|_| signs) {
        Some(client_digest) => {
            let mut s1 = Block::with_header(0, version, &mut rng);
            digest::sign(&mut s1, scheme, Side::Server);
            let mut s2 = Block::random(&mut rng);
            digest::sign_reply(&mut s2, &client_digest, Side::Server, SignatureCipher::None);
            (s1, s2)
        }
        None => (Block::with_header(0, [0; 4], &mut rng), c1.clone()),
    }
}

fn classify_c2(s1: &Block, c2: &Block, cipher: SignatureCipher) -> C2 {
    let found = digest::find(s1, Scheme::DigestFirst, Side::Server);
    let is_signed = |digest| digest::verify_reply(c2, &digest, Side::Client, cipher);
    if c2 == s1 {
        C2::Echo
    } else if found.is_some_and(|(_, digest)| is_signed(digest)) {
        C2::Signed
    } else {
        C2::Other
    }
}

fn is_timeout(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}

/// Chunk streams used by most servers.
pub const CONTROL: u32 = 2;
pub const COMMANDS: u32 = 3;
pub const STATUS: u32 = 5;

/// User control events (RTMP 7.1.7).
pub const STREAM_BEGIN: u16 = 0;
pub const STREAM_EOF: u16 = 1;
pub const SET_BUFFER_LENGTH: u16 = 3;
pub const STREAM_IS_RECORDED: u16 = 4;
pub const BUFFER_EMPTY: u16 = 31;
pub const PING_REQUEST: u16 = 6;
pub const PING_RESPONSE: u16 = 7;
pub const SWF_VERIFICATION_REQUEST: u16 = 26;
const SWF_VERIFICATION_RESPONSE: u16 = 27;

/// C0 of a client that requests encryption.
const C0_ENCRYPTED: u8 = 6;

/// Time limit of [`Connection::expect_command`].
const EXPECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Number of queued bytes that triggers a flush.
const FLUSH_AT: usize = 1 << 16;
