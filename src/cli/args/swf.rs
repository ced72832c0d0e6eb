//! Options for SWF verification.

use clap::{Args, builder::ValueHint};

use super::values;

/// Options for SWF verification.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authentication")]
pub struct SwfArgs {
    /// Answer SWF verification with this hash of the player, 64 hex digits; needs --swfsize
    #[arg(short = 'w', long = "swfhash", value_name = "HEX")]
    #[arg(allow_hyphen_values = true, value_parser = values::sha256)]
    pub swf_hash: Option<[u8; 32]>,

    /// Answer SWF verification with this size of the uncompressed player in bytes; needs --swfhash
    #[arg(short = 'x', long = "swfsize", value_name = "BYTES")]
    #[arg(allow_hyphen_values = true, value_parser = values::positive_number)]
    pub swf_size: Option<u32>,

    /// Answer SWF verification with hash and size of the player at this URL or in this file
    ///
    /// The player may be compressed. rtmpull caches the hash and size of a URL in ~/.swfinfo, as rtmpdump does. If
    /// that file does not exist and XDG_CACHE_HOME is set, the cache is $XDG_CACHE_HOME/rtmpull/swfinfo. rtmpull
    /// also sends the URL as swfUrl, unless --swfUrl names another one.
    #[arg(short = 'W', long = "swfVfy", value_name = "URL", value_hint = ValueHint::Url)]
    #[arg(allow_hyphen_values = true)]
    pub swf_vfy: Option<String>,

    /// Check a cached SWF player for changes after this many days; 0 checks it every time [default: 30]
    #[arg(short = 'X', long = "swfAge", value_name = "DAYS")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub swf_age: Option<u32>,
}
