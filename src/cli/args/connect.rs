//! Members and arguments of the `connect` command, and commands before playing.

use clap::{ArgAction, Args};

use super::values;

/// Members and arguments of the `connect` command, and commands before playing.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Connect parameters")]
pub struct ConnectArgs {
    /// Send this URL of the SWF player as swfUrl
    #[arg(short, long = "swfUrl", value_name = "URL", allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub swf_url: Option<String>,

    /// Send this URL of the web page as pageUrl
    #[arg(
        short,
        long = "pageUrl",
        value_name = "URL",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = values::text())]
    pub page_url: Option<String>,

    /// Send this URL of the app as tcUrl [default: derived from the stream URL]
    #[arg(short, long = "tcUrl", value_name = "URL", allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub tc_url: Option<String>,

    /// Send this version of Flash Player [default: "LNX 10,0,32,18" on Linux]
    #[arg(
        short,
        long = "flashVer",
        value_name = "VERSION",
        allow_hyphen_values = true
    )]
    #[arg(value_parser = values::text())]
    pub flash_ver: Option<String>,

    /// Send FCSubscribe with this stream name before playing [default: the playpath with --live]
    #[arg(short = 'd', long, value_name = "NAME", allow_hyphen_values = true)]
    #[arg(value_parser = values::text())]
    pub subscribe: Option<String>,

    /// Send set_playlist with the stream name before playing
    #[arg(short = 'Y', long)]
    pub playlist: bool,

    /// Append an argument to the connect command, such as S:text (repeatable)
    ///
    /// The types are B (boolean, 0 or 1), N (number), S (string) and Z (null, without data). O:1 starts an
    /// object and O:0 ends it. Members of an object have a name: NB:name:1, NN:name:5, NS:name:text, and
    /// NO:name:1 for a nested object.
    #[arg(short = 'C', long = "conn", value_name = "TYPE:DATA", action = ArgAction::Append)]
    #[arg(allow_hyphen_values = true, value_parser = values::text())]
    pub conn: Vec<String>,

    /// Do not announce Enhanced RTMP in the connect command, for servers that reject it
    #[arg(long)]
    pub no_enhanced: bool,
}
