//! The packets of a capture file, in order.

use std::{
    fs::File,
    io::{self, Read, Seek},
    path::Path,
};

use pcap_file::{
    DataLink,
    pcap::{PcapReadError, PcapReader},
    pcapng::{Block, PcapNgReadError, PcapNgReader},
};

/// Reads the packets of a pcap or pcapng file.
#[derive(Debug)]
pub(super) struct Packets {
    reader: Reader,
    packet: Vec<u8>,
}

#[derive(Debug)]
enum Reader {
    Pcap(Box<PcapReader<File>>),
    PcapNg(Box<PcapNgReader<File>>),
}

impl Packets {
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let mut file = File::open(path)?;
        let mut magic = [0; 4];
        file.read_exact(&mut magic)
            .map_err(|_| damaged("not a capture file"))?;
        file.rewind()?;
        let reader = if magic == SECTION_HEADER {
            let reader = PcapNgReader::with_capacity(file, BUFFER_BYTES).map_err(pcapng_error)?;
            Reader::PcapNg(Box::new(reader))
        } else if PCAP_MAGICS.contains(&magic) {
            let reader = PcapReader::with_capacity(file, BUFFER_BYTES).map_err(pcap_error)?;
            Reader::Pcap(Box::new(reader))
        } else {
            return Err(damaged("not a pcapng or pcap file"));
        };
        Ok(Self {
            reader,
            packet: Vec::new(),
        })
    }

    /// Returns the next packet, and the link type of its interface. A file may end inside a packet: the program
    /// that wrote it was stopped.
    pub(super) fn next(&mut self) -> io::Result<Option<(DataLink, &[u8])>> {
        self.packet.clear();
        let link = match &mut self.reader {
            Reader::Pcap(reader) => {
                let link = reader.header().datalink;
                match reader.next_packet() {
                    None => return Ok(None),
                    Some(Ok(packet)) => self.packet.extend_from_slice(packet.data()),
                    Some(Err(error)) => return end_or(pcap_error(error)),
                }
                link
            }
            Reader::PcapNg(reader) => match next_of_pcapng(reader, &mut self.packet) {
                Ok(Some(link)) => link,
                Ok(None) => return Ok(None),
                Err(error) => return end_or(error),
            },
        };
        Ok(Some((link, &self.packet)))
    }
}

fn next_of_pcapng(
    reader: &mut PcapNgReader<File>,
    packet: &mut Vec<u8>,
) -> io::Result<Option<DataLink>> {
    while let Some(block) = reader.next_block() {
        let (block, state) = block.map_err(pcapng_error)?;
        let (interface, data) = match &block {
            Block::EnhancedPacket(block) => (block.interface_id, &block.data),
            Block::SimplePacket(block) => (0, &block.data),
            Block::Packet(block) => (block.interface_id.into(), &block.data),
            _ => continue,
        };
        let interface = usize::try_from(interface).unwrap_or(usize::MAX);
        if let Some(interface) = state.interfaces().get(interface) {
            packet.extend_from_slice(data);
            return Ok(Some(interface.linktype));
        }
    }
    Ok(None)
}

/// Treats an unexpected end of the file as its end.
fn end_or<T>(error: io::Error) -> io::Result<Option<T>> {
    match error.kind() {
        io::ErrorKind::UnexpectedEof => Ok(None),
        _ => Err(error),
    }
}

fn pcap_error(error: PcapReadError) -> io::Error {
    match error {
        PcapReadError::Io(error) => error,
        error => damaged(error),
    }
}

fn pcapng_error(error: PcapNgReadError) -> io::Error {
    match error {
        PcapNgReadError::Io(error) => error,
        error => damaged(error),
    }
}

fn damaged(cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, cause)
}

/// Start of a pcapng file: the type of a Section Header Block.
const SECTION_HEADER: [u8; 4] = [0x0A, 0x0D, 0x0D, 0x0A];

/// Starts of pcap files: times in microseconds or nanoseconds, in both byte orders.
const PCAP_MAGICS: [[u8; 4]; 4] = [
    [0xA1, 0xB2, 0xC3, 0xD4],
    [0xD4, 0xC3, 0xB2, 0xA1],
    [0xA1, 0xB2, 0x3C, 0x4D],
    [0x4D, 0x3C, 0xB2, 0xA1],
];

/// Size of the read buffer, and the largest packet.
const BUFFER_BYTES: usize = 1 << 20;
