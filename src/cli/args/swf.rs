//! Options for SWF verification.

use clap::{Args, builder::ValueHint};

use super::values;

/// Options for SWF verification.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Authentication")]
pub struct SwfArgs {
    /// Hash of the SWF player for SWF verification, as 64 hex digits; needs --swfsize
    #[arg(short = 'w', long = "swfhash", value_name = "HEX")]
    #[arg(allow_hyphen_values = true, value_parser = values::sha256)]
    pub swf_hash: Option<[u8; 32]>,

    /// Size of the uncompressed SWF player in bytes; needs --swfhash
    #[arg(short = 'x', long = "swfsize", value_name = "BYTES")]
    #[arg(allow_hyphen_values = true, value_parser = values::positive_number)]
    pub swf_size: Option<u32>,

    /// URL or file of the SWF player; rtmpull computes its hash and size for SWF verification
    ///
    /// The player may be compressed. The result for a URL is cached in ~/.swfinfo, as rtmpdump does; if that
    /// file does not exist and XDG_CACHE_HOME is set, in $XDG_CACHE_HOME/rtmpull/swfinfo. The URL is also
    /// sent as swfUrl, unless --swfUrl names another one.
    #[arg(short = 'W', long = "swfVfy", value_name = "URL", value_hint = ValueHint::Url)]
    #[arg(allow_hyphen_values = true)]
    pub swf_vfy: Option<String>,

    /// Days until a cached SWF player is checked for changes; 0 checks it every time [default: 30]
    #[arg(short = 'X', long = "swfAge", value_name = "DAYS")]
    #[arg(allow_hyphen_values = true, value_parser = values::number)]
    pub swf_age: Option<u32>,
}
