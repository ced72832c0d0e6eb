//! Options for the connection and the session.

use clap::Args;

use super::values;
use crate::{core::rtmp::handshake::Mode, transport::Endpoint};

/// Options for the connection and the session.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connection")]
pub struct ConnectionArgs {
    /// Connect over IPv4 only
    #[arg(short = '4', long, overrides_with = "ipv6")]
    pub ipv4: bool,

    /// Connect over IPv6 only
    #[arg(short = '6', long, overrides_with = "ipv4")]
    pub ipv6: bool,

    /// Announce a buffer of this length in milliseconds [default: a few seconds, growing]
    ///
    /// Servers send about this much media ahead of real time. If the buffer is large, some servers drop
    /// frames that a slow connection cannot carry.
    #[arg(short, long, value_name = "MS")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub buffer: Option<u32>,

    /// Receive a recorded stream at the pace of the server, without pause/unpause
    #[arg(short = 'R', long)]
    pub realtime: bool,

    /// Connect through this SOCKS4 proxy [default port: 1080]
    #[arg(short = 'S', long, value_name = "HOST[:PORT]")]
    #[arg(allow_hyphen_values = true, overrides_with = "proxy", value_parser = values::socks)]
    pub socks: Option<Endpoint>,

    /// Connect through this proxy, such as socks5://USER:PASSWORD@HOST:PORT (also socks4a, socks4 and http)
    ///
    /// With http://, rtmpull uses the CONNECT method. The proxy looks up host names, except with socks4://.
    /// Without --proxy and --socks, ALL_PROXY names the proxy and NO_PROXY the hosts that need none; an empty
    /// value of --proxy disables both. The process list shows --proxy to other users, but not ALL_PROXY.
    /// [default port: 1080]
    #[arg(
        long,
        value_name = "URL",
        allow_hyphen_values = true,
        overrides_with = "socks"
    )]
    pub proxy: Option<String>,

    /// Offer this kind of RTMP handshake
    #[arg(long, value_name = "KIND", default_value = "auto", value_parser = values::handshake())]
    pub handshake: Mode,

    /// Continue without encryption if an rtmpe server does not encrypt
    ///
    /// Without this option, the download fails. With it, rtmpull logs a warning and continues.
    #[arg(long)]
    pub allow_plain: bool,

    /// Wait for each answer before sending the next command, for servers that cannot handle pipelining
    #[arg(long)]
    pub no_pipelining: bool,
}
