//! Writing of capture files.

use std::{
    fmt,
    fs::File,
    io::{self, BufWriter, Write},
    time::SystemTime,
};

use etherparse::PacketBuilder;
use pcap_file::{
    DataLink,
    pcapng::{
        PcapNgWriteError, PcapNgWriter,
        blocks::{
            enhanced_packet::EnhancedPacketBlock,
            interface_description::InterfaceDescriptionBlock,
            opt_common::CommonOption,
            section_header::{SectionHeaderBlock, SectionHeaderOption},
        },
    },
};

use super::RTMP_PORT;

/// Writes the connections of one run to a file of limited size.
///
/// Each call writes complete packets, so the file is valid whenever the program ends.
pub struct Writer {
    file: PcapNgWriter<BufWriter<File>>,
    /// Number of bytes that may still be written.
    left: u64,
    /// Client port of the next connection.
    port: u16,
}

/// One TCP connection in the file.
#[derive(Debug)]
pub struct Connection {
    port: u16,
    /// Next sequence numbers of the client and of the server.
    next: [u32; 2],
}

/// The side that sent some bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sender {
    /// The side that connected.
    Client,
    /// The side that accepted the connection.
    Server,
}

/// Flags of a packet without data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Flag {
    None,
    Syn,
    Fin,
}

impl Writer {
    /// Starts a capture in an empty file of at most `limit` bytes. Analyzers show `comment` as a property of the
    /// file.
    pub fn new(file: File, limit: u64, comment: &str) -> io::Result<Self> {
        let header = SectionHeaderBlock {
            options: vec![
                SectionHeaderOption::UserApplication(PROGRAM.into()),
                SectionHeaderOption::Common(CommonOption::Comment(comment.into())),
            ],
            ..SectionHeaderBlock::default()
        };
        let mut file =
            PcapNgWriter::with_section_header(BufWriter::new(file), header).map_err(io_error)?;
        let interface = InterfaceDescriptionBlock::new(DataLink::RAW, 0);
        file.write_pcapng_block(interface).map_err(io_error)?;
        file.get_mut().flush()?;
        let written = file.get_ref().get_ref().metadata()?.len();
        Ok(Self {
            left: limit.saturating_sub(written),
            file,
            port: FIRST_CLIENT_PORT,
        })
    }

    /// Adds a connection.
    ///
    /// # Errors
    ///
    /// Fails if the file cannot be written, or with [`io::ErrorKind::FileTooLarge`] if the limit is reached. This
    /// holds for all methods.
    pub fn connect(&mut self, now: SystemTime) -> io::Result<Connection> {
        let mut connection = Connection {
            port: self.port,
            next: [0; 2],
        };
        self.port = self.port.checked_add(1).unwrap_or(FIRST_CLIENT_PORT);
        self.packet(&mut connection, Sender::Client, Flag::Syn, &[], now)?;
        self.packet(&mut connection, Sender::Server, Flag::Syn, &[], now)?;
        self.packet(&mut connection, Sender::Client, Flag::None, &[], now)?;
        self.file.get_mut().flush()?;
        Ok(connection)
    }

    /// Adds bytes that `sender` sent on a connection.
    pub fn write(
        &mut self,
        connection: &mut Connection,
        sender: Sender,
        bytes: &[u8],
        now: SystemTime,
    ) -> io::Result<()> {
        for data in bytes.chunks(MAX_DATA) {
            // Bytes up to the limit are written: the start of a session explains more than its rest.
            let fitting = self.left.saturating_sub(PACKET_OVERHEAD);
            let fitting = usize::try_from(fitting).unwrap_or(usize::MAX);
            match data.split_at_checked(fitting) {
                Some((start, rest)) if !rest.is_empty() => {
                    self.packet(connection, sender, Flag::None, start, now)?;
                    self.file.get_mut().flush()?;
                    return Err(io::ErrorKind::FileTooLarge.into());
                }
                _ => self.packet(connection, sender, Flag::None, data, now)?,
            }
        }
        self.file.get_mut().flush()
    }

    /// Ends a connection.
    pub fn close(&mut self, connection: &mut Connection, now: SystemTime) -> io::Result<()> {
        self.packet(connection, Sender::Server, Flag::Fin, &[], now)?;
        self.packet(connection, Sender::Client, Flag::Fin, &[], now)?;
        self.file.get_mut().flush()
    }

    fn packet(
        &mut self,
        connection: &mut Connection,
        sender: Sender,
        flag: Flag,
        data: &[u8],
        now: SystemTime,
    ) -> io::Result<()> {
        let packet = connection.packet(sender, flag, data);
        let size = (packet.len() as u64)
            .next_multiple_of(4)
            .saturating_add(BLOCK_OVERHEAD);
        self.left = match self.left.checked_sub(size) {
            Some(left) => left,
            None => {
                self.left = 0;
                return Err(io::ErrorKind::FileTooLarge.into());
            }
        };
        let block = EnhancedPacketBlock {
            interface_id: 0,
            timestamp: now
                .duration_since(SystemTime::UNIX_EPOCH)
                .unwrap_or_default(),
            original_len: u32::try_from(packet.len()).unwrap_or(u32::MAX),
            data: packet.into(),
            options: Vec::new(),
        };
        self.file.write_pcapng_block(block).map_err(io_error)?;
        Ok(())
    }
}

impl fmt::Debug for Writer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writer")
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Returns an IP packet, and advances the sequence number of the sender.
    fn packet(&mut self, sender: Sender, flag: Flag, data: &[u8]) -> Vec<u8> {
        let (from, to, ports) = match sender {
            Sender::Client => (CLIENT, SERVER, (self.port, RTMP_PORT)),
            Sender::Server => (SERVER, CLIENT, (RTMP_PORT, self.port)),
        };
        let [client, server] = &mut self.next;
        let (sequence, acknowledged) = match sender {
            Sender::Client => (client, server),
            Sender::Server => (server, client),
        };
        let tcp = PacketBuilder::ipv4(from, to, TIME_TO_LIVE);
        let mut tcp = tcp.tcp(ports.0, ports.1, *sequence, WINDOW);
        let is_first = flag == Flag::Syn && sender == Sender::Client;
        if !is_first {
            tcp = tcp.ack(*acknowledged);
        }
        match flag {
            Flag::None if data.is_empty() => {}
            Flag::None => tcp = tcp.psh(),
            Flag::Syn => tcp = tcp.syn(),
            Flag::Fin => tcp = tcp.fin(),
        }
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let counted = length.wrapping_add(u32::from(flag != Flag::None));
        *sequence = sequence.wrapping_add(counted);
        let mut packet = Vec::with_capacity(tcp.size(data.len()));
        // Writing fails only for more data than an IP packet can contain, see MAX_DATA.
        let _ = tcp.write_to_vec(&mut packet, data);
        packet
    }
}

fn io_error(error: PcapNgWriteError) -> io::Error {
    match error {
        PcapNgWriteError::Io(error) => error,
        error => io::Error::other(error),
    }
}

const PROGRAM: &str = concat!("rtmpull ", env!("CARGO_PKG_VERSION"));

/// Addresses that are reserved for documentation (RFC 5737).
const CLIENT: [u8; 4] = [192, 0, 2, 1];
const SERVER: [u8; 4] = [192, 0, 2, 2];

/// First of the ports that clients use (RFC 6335 6).
const FIRST_CLIENT_PORT: u16 = 49_152;

const TIME_TO_LIVE: u8 = 64;
const WINDOW: u16 = u16::MAX;

/// Largest amount of data in one packet. An IPv4 packet has at most 65,535 bytes.
const MAX_DATA: usize = 32 * 1024;

/// Number of bytes of an Enhanced Packet Block besides the padded packet.
const BLOCK_OVERHEAD: u64 = 32;

/// Number of bytes of a block besides the data of its packet: IPv4 and TCP headers, and padding.
const PACKET_OVERHEAD: u64 = BLOCK_OVERHEAD + 20 + 20 + 3;
