//! One client: its socket, the chunk streams of both directions, and what it was heard to say.

use std::{
    io::{self, ErrorKind, Read, Write},
    net::TcpStream,
    sync::{Arc, Mutex},
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

/// A client's connection.
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
    /// What an encrypted session is encrypted with, once hands are shaken.
    incoming: Option<Rc4>,
    outgoing: Option<Rc4>,
    s1_tail: [u8; 32],
}

/// What a client said, in order.
#[derive(Debug, Clone, Default)]
pub struct ClientRecord {
    /// The version that it asked for.
    pub c0: Option<u8>,
    /// How it answered S1.
    pub c2: Option<C2>,
    pub commands: Vec<Command>,
    /// Set Buffer Length: the stream and the milliseconds.
    pub buffer_lengths: Vec<(u32, u32)>,
    /// The byte counts of its acknowledgements.
    pub acknowledgements: Vec<u32>,
    /// Window Acknowledgement Size.
    pub windows: Vec<u32>,
    /// What its ping responses carried.
    pub pongs: Vec<u32>,
    /// What it said to prove which player it is.
    pub swf_proof: Option<Vec<u8>>,
    /// Why its bytes could not be read.
    pub fault: Option<String>,
    /// Whether it closed the connection.
    pub has_closed: bool,
}

/// A command message.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    pub name: String,
    pub transaction: f64,
    /// The message stream that it came on.
    pub stream: u32,
    /// What follows the transaction id, the command object first.
    pub values: Vec<Value>,
}

/// What C2 is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum C2 {
    /// S1, byte for byte.
    Echo,
    /// Signed in answer to the digest of S1.
    Signed,
    Other,
}

/// The connection is no more, or no more of use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Disconnected;

impl Connection {
    /// Speaks over `socket` and writes down in `record` what comes.
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
        }
    }

    /// Shakes hands. Where `drops_early_bytes`, whatever came in one read with C1 is thrown away.
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

    /// Sends S0, S1 and S2, and hears C2.
    fn exchange(
        &mut self,
        s0: u8,
        s1: &Block,
        s2: &Block,
        cipher: SignatureCipher,
    ) -> Result<(), Disconnected> {
        self.s1_tail = *s1.as_bytes().last_chunk().expect("more than 32");
        self.send(&[&[s0], s1.as_bytes().as_slice(), s2.as_bytes()].concat())?;
        self.fill(Block::LEN)?;
        let c2 = Block::from(self.take_array::<{ Block::LEN }>());
        self.update_record(|record| record.c2 = Some(classify_c2(s1, &c2, cipher)));
        Ok(())
    }

    /// The next message, if one comes within `timeout`.
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

    /// The next command with this name; whatever comes before it is skipped. Panics where none
    /// comes: for the scripts of conversations.
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
                Ok(None) => panic!("no {name} came within {EXPECT_TIMEOUT:?}"),
                Err(Disconnected) => panic!("the client was gone before {name}"),
            }
        }
    }

    /// Queues a message.
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
        encoded.expect("a chunk stream id and a length that exist");
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

    /// Queues bytes that are no concern of the chunk encoder's.
    pub fn queue_bytes(&mut self, bytes: &[u8]) {
        self.out.extend_from_slice(bytes);
    }

    /// Queues a protocol control message.
    pub fn queue_control(&mut self, kind: Kind, payload: &[u8]) -> Result<(), Disconnected> {
        self.queue(CONTROL, kind, 0, 0, payload)
    }

    /// Queues a user control event about `value`.
    pub fn queue_event(&mut self, event: u16, value: u32) -> Result<(), Disconnected> {
        let payload = [&event.to_be_bytes()[..], &value.to_be_bytes()].concat();
        self.queue_control(Kind::USER_CONTROL, &payload)
    }

    /// Queues Set Chunk Size and goes by it from then on.
    pub fn queue_chunk_size(&mut self, chunk_size: u32) -> Result<(), Disconnected> {
        self.queue_control(Kind::SET_CHUNK_SIZE, &chunk_size.to_be_bytes())?;
        self.encoder.set_chunk_size(chunk_size);
        Ok(())
    }

    /// Queues a command message of type 20.
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

    /// Sends `bytes` behind whatever is queued.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        self.queue_bytes(bytes);
        self.flush()
    }

    /// Sends `bytes`, uncopied, behind whatever is queued.
    pub fn send_prepared(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        self.flush()?;
        self.write(bytes)
    }

    /// Sends what is queued.
    pub fn flush(&mut self) -> Result<(), Disconnected> {
        let out = self.out.split();
        self.write(&out)
    }

    /// Has the network take no more than a little of what the client says before it is heard.
    pub fn shrink_receive_buffer(&self) {
        let _ = socket2::SockRef::from(&*self.socket).set_recv_buffer_size(4096);
    }

    /// Reads all that the client has said.
    pub fn receive_pending(&mut self) -> Result<(), Disconnected> {
        while self.receive(Duration::ZERO)?.is_some() {}
        Ok(())
    }

    /// Lets happen what was planned for `step`.
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

    /// How many bytes were sent or are queued, S0 the first.
    pub fn sent(&self) -> u64 {
        self.written + self.out.len() as u64
    }

    /// The last bytes of S1.
    pub fn s1_tail(&self) -> [u8; 32] {
        self.s1_tail
    }

    /// The server's port.
    pub fn port(&self) -> u16 {
        self.socket.local_addr().map_or(0, |address| address.port())
    }

    /// Its number among those of the server, from 0.
    pub fn number(&self) -> usize {
        self.number
    }

    /// What the client said so far.
    pub fn record(&self) -> ClientRecord {
        self.record.lock().expect("nobody panics with it").clone()
    }

    /// Ends the connection as `then` says, and keeps up what it says until the client leaves.
    pub fn fail<T>(&mut self, then: FaultAction) -> Result<T, Disconnected> {
        self.fault = None;
        match then {
            FaultAction::Fin => {
                let _ = self.socket.shutdown(std::net::Shutdown::Write);
                self.wait_for_close()
            }
            FaultAction::Rst => {
                // What was sent shall arrive: a reset throws away what is still under way.
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

    /// Hears the client out until it closes.
    pub fn wait_for_close<T>(&mut self) -> Result<T, Disconnected> {
        loop {
            self.read_until(Instant::now() + Duration::from_secs(1))?;
            self.inbox.clear();
        }
    }

    /// Writes `bytes`, up to the byte where a fault waits.
    fn write(&mut self, bytes: &[u8]) -> Result<(), Disconnected> {
        let start = self.written;
        self.written += bytes.len() as u64;
        match self.fault {
            Some(Fault {
                at: FaultPoint::Byte(at),
                then,
            }) if self.written >= at => {
                let whole = at.saturating_sub(start) as usize;
                self.write_encrypted(&bytes[..whole])?;
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
        for part in bytes.chunks(FLUSH_AT) {
            let encrypted = &mut encrypted[..part.len()];
            encrypted.copy_from_slice(part);
            cipher.apply(encrypted);
            (&*self.socket)
                .write_all(encrypted)
                .map_err(|_| Disconnected)?;
        }
        Ok(())
    }

    /// Decrypts what is in the inbox from byte `start` on, if it is encrypted.
    fn decrypt(&mut self, start: usize) {
        if let Some(cipher) = &mut self.incoming {
            cipher.apply(&mut self.inbox[start..]);
        }
    }

    /// Reads until `count` bytes are in the inbox.
    fn fill(&mut self, count: usize) -> Result<(), Disconnected> {
        while self.inbox.len() < count {
            self.read_until(Instant::now() + Duration::from_secs(1))?;
        }
        Ok(())
    }

    fn take_array<const N: usize>(&mut self) -> [u8; N] {
        let bytes = self.inbox.split_to(N);
        bytes[..].try_into().expect("so many bytes were split off")
    }

    /// Reads what there is; whether anything came before `deadline`.
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
        write(&mut self.record.lock().expect("nobody panics with it"));
    }
}

impl ClientRecord {
    /// The first command with this name.
    pub fn command(&self, name: &str) -> Option<&Command> {
        self.commands.iter().find(|command| command.name == name)
    }

    /// The names of all commands, in order.
    pub fn names(&self) -> Vec<&str> {
        self.commands.iter().map(|command| &*command.name).collect()
    }
}

impl Command {
    /// Reads a message of type 20 or 17; nothing from any other.
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

/// A command's payload in AMF0.
pub fn command_payload(name: &str, transaction: f64, values: &[Value]) -> Vec<u8> {
    let mut payload = Vec::new();
    amf0::encode(&name.into(), &mut payload);
    amf0::encode(&transaction.into(), &mut payload);
    for value in values {
        amf0::encode(value, &mut payload);
    }
    payload
}

/// S1 and S2.
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

/// Chunk streams, as most servers choose them.
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

/// C0 of those who ask for encryption.
const C0_ENCRYPTED: u8 = 6;

/// How long a script waits for what it expects.
const EXPECT_TIMEOUT: Duration = Duration::from_secs(10);

/// How much is gathered before it is written.
const FLUSH_AT: usize = 1 << 16;
