//! Capture files of network analyzers: the bytes of sessions as TCP packets.
//!
//! A written file has synthetic IP and TCP headers, so that an analyzer dissects sessions that were encrypted or
//! tunneled on the network. A read file may also be a capture of real packets. Written files are
//! [pcapng]; pcap files can be read as well.
//!
//! [pcapng]: https://www.ietf.org/archive/id/draft-ietf-opsawg-pcapng-03.html

mod packet;
mod packets;
mod reassembly;
mod sessions;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{
    sessions::{ReadError, Replay, Sessions},
    writer::{Connection, Sender, Writer},
};

/// Port of RTMP, by which analyzers recognize the protocol.
const RTMP_PORT: u16 = 1935;
