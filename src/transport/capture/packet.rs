//! TCP segments in the packets of a capture.

use std::net::{IpAddr, SocketAddr};

use etherparse::{EtherType, LaxNetSlice, LaxSlicedPacket, TransportSlice};
use pcap_file::DataLink;

/// One TCP segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Segment<'a> {
    pub(super) from: SocketAddr,
    pub(super) to: SocketAddr,
    pub(super) sequence: u32,
    pub(super) is_syn: bool,
    pub(super) is_ack: bool,
    pub(super) is_fin: bool,
    pub(super) is_reset: bool,
    pub(super) data: &'a [u8],
}

impl<'a> Segment<'a> {
    /// Returns the segment in a packet of an interface of type `link`; `None` for other packets.
    pub(super) fn parse(link: DataLink, packet: &'a [u8]) -> Option<Self> {
        let sliced = slice(link, packet)?;
        let (from, to) = match sliced.net? {
            LaxNetSlice::Ipv4(ip) => {
                let header = ip.header();
                (
                    IpAddr::V4(header.source_addr()),
                    IpAddr::V4(header.destination_addr()),
                )
            }
            LaxNetSlice::Ipv6(ip) => {
                let header = ip.header();
                (
                    IpAddr::V6(header.source_addr()),
                    IpAddr::V6(header.destination_addr()),
                )
            }
            LaxNetSlice::Arp(_) => return None,
        };
        let Some(TransportSlice::Tcp(tcp)) = sliced.transport else {
            return None;
        };
        Some(Self {
            from: SocketAddr::new(from, tcp.source_port()),
            to: SocketAddr::new(to, tcp.destination_port()),
            sequence: tcp.sequence_number(),
            is_syn: tcp.syn(),
            is_ack: tcp.ack(),
            is_fin: tcp.fin(),
            is_reset: tcp.rst(),
            data: tcp.payload(),
        })
    }
}

fn slice(link: DataLink, packet: &[u8]) -> Option<LaxSlicedPacket<'_>> {
    match link {
        DataLink::ETHERNET => LaxSlicedPacket::from_ethernet(packet).ok(),
        DataLink::LINUX_SLL => after_type(packet, SLL_TYPE, SLL_HEADER),
        DataLink::LINUX_SLL2 => after_type(packet, SLL2_TYPE, SLL2_HEADER),
        DataLink::NULL | DataLink::LOOP => LaxSlicedPacket::from_ip(packet.get(4..)?).ok(),
        DataLink::RAW | DataLink::IPV4 | DataLink::IPV6 => LaxSlicedPacket::from_ip(packet).ok(),
        _ => None,
    }
}

/// Slices a packet after a header that contains the type of its content.
fn after_type(packet: &[u8], position: usize, header: usize) -> Option<LaxSlicedPacket<'_>> {
    let kind = packet.get(position..)?.first_chunk()?;
    let kind = EtherType(u16::from_be_bytes(*kind));
    Some(LaxSlicedPacket::from_ether_type(
        kind,
        packet.get(header..)?,
    ))
}

/// Headers of packets that were captured on all interfaces of Linux (LINKTYPE_LINUX_SLL, LINKTYPE_LINUX_SLL2).
const SLL_TYPE: usize = 14;
const SLL_HEADER: usize = 16;
const SLL2_TYPE: usize = 0;
const SLL2_HEADER: usize = 20;
