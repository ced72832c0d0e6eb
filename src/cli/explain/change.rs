//! Changes of a request that may make the stream play, derived from the hints of a failed attempt.

use super::{
    attempt::{Progress, Reached},
    request::Request,
};
use crate::{
    core::{
        amf::raw_bytes,
        rtmp::{
            client::config::{Encryption, Start},
            handshake::Mode,
            target::Scheme,
        },
    },
    download::{Candidate, Hint, Job},
    transport::Carrier,
};

/// A change of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// Another protocol or port on the same host.
    Server { scheme: Scheme, port: u16 },
    /// Another split of the URL path.
    Split { app: String, playpath: String },
    /// With or without `--live`.
    Live(bool),
    /// Without `--start`.
    NoStart,
    /// Another handshake.
    Handshake(Mode),
    /// URLs of a player and of a web page on the server's host.
    Player { swf_url: String, page_url: String },
    /// Without Enhanced RTMP.
    NoEnhanced,
    /// Without the proxy of the environment.
    NoProxy,
}

impl Change {
    /// Stable word for scripts.
    pub(super) fn code(&self) -> &'static str {
        match self {
            Self::Server { .. } => "server",
            Self::Split { .. } => "split",
            Self::Live(_) => "live",
            Self::NoStart => "start",
            Self::Handshake(_) => "handshake",
            Self::Player { .. } => "player",
            Self::NoEnhanced => "enhanced",
            Self::NoProxy => "proxy",
        }
    }

    /// Description for people. Texts of the URL in it are not escaped.
    pub(super) fn text(&self) -> String {
        match self {
            Self::Server { scheme, port } => format!("{scheme} on port {port}"),
            Self::Split { app, playpath } => format!("stream {playpath:?} in app {app:?}"),
            Self::Live(true) => "with --live".to_owned(),
            Self::Live(false) => "without --live".to_owned(),
            Self::NoStart => "without --start".to_owned(),
            Self::Handshake(Mode::Auto) => "without --handshake".to_owned(),
            Self::Handshake(Mode::Plain) => "plain handshake".to_owned(),
            Self::Handshake(Mode::Digest) => "digest handshake".to_owned(),
            Self::Player { .. } => "with swfUrl and pageUrl".to_owned(),
            Self::NoEnhanced => "without Enhanced RTMP".to_owned(),
            Self::NoProxy => "without the proxy".to_owned(),
        }
    }

    /// Whether the change does all that the hint suggests.
    pub(super) fn follows(&self, hint: &Hint) -> bool {
        match (hint, self) {
            (
                Hint::UseTls(change)
                | Hint::DropTls(change)
                | Hint::UseTunnel(change)
                | Hint::DropTunnel(change)
                | Hint::DropEncryption(change),
                Self::Server { scheme, .. },
            ) => change.to == scheme.name(),
            (Hint::AnyHandshake, Self::Handshake(Mode::Auto))
            | (Hint::UseLive, Self::Live(true))
            | (Hint::DropLive, Self::Live(false))
            | (Hint::DropStart, Self::NoStart) => true,
            _ => false,
        }
    }

    /// Applies the change to a request.
    pub(super) fn apply(&self, request: &mut Request) {
        match self {
            Self::Server { scheme, port } => request.set_server(*scheme, *port),
            Self::Split { app, playpath } => {
                request.set("app", app);
                request.set("playpath", playpath);
            }
            Self::Live(true) => request.add_flag("live"),
            Self::Live(false) => request.remove("live"),
            Self::NoStart => request.remove("start"),
            Self::Handshake(Mode::Auto) => request.remove("handshake"),
            Self::Handshake(Mode::Plain) => request.set("handshake", "plain"),
            Self::Handshake(Mode::Digest) => request.set("handshake", "digest"),
            Self::Player { swf_url, page_url } => {
                request.set_if_missing("swfUrl", swf_url);
                request.set_if_missing("pageUrl", page_url);
            }
            Self::NoEnhanced => request.add_flag("no-enhanced"),
            Self::NoProxy => request.set("proxy", ""),
        }
    }
}

/// What is known about a failed attempt.
pub(super) struct Failed<'a> {
    /// The request, without the splits that follow the first one.
    pub(super) job: &'a Job,
    /// The other splits of the URL path.
    pub(super) splits: &'a [Candidate],
    /// Hints of the download.
    pub(super) hints: &'a [Hint],
    /// How far the attempt got.
    pub(super) progress: Progress,
    /// Number of connections that it made.
    pub(super) connections: u32,
    /// Whether the environment names the proxy.
    pub(super) has_environment_proxy: bool,
    /// Whether the request contains a password, a token or a key.
    pub(super) has_secrets: bool,
}

impl Failed<'_> {
    /// Returns the changes to try next, the most probable first.
    pub(super) fn changes(&self) -> Vec<Change> {
        let mut changes: Vec<Change> = Vec::new();
        let of_hints = self.hints.iter().flat_map(|hint| self.after(hint));
        for change in of_hints.chain(self.after_step()) {
            if self.is_allowed(&change) && !changes.contains(&change) {
                changes.push(change);
            }
        }
        changes
    }

    fn after(&self, hint: &Hint) -> Vec<Change> {
        match hint {
            Hint::UseTls(change)
            | Hint::DropTls(change)
            | Hint::UseTunnel(change)
            | Hint::DropTunnel(change)
            | Hint::DropEncryption(change) => match change.to.parse() {
                Ok(scheme) => self.over(scheme),
                Err(_) => Vec::new(),
            },
            Hint::CheckPort => {
                let schemes = match self.job.session.encryption {
                    Encryption::None => [Scheme::Rtmp, Scheme::Rtmps, Scheme::Rtmpt],
                    _ => [Scheme::Rtmpe, Scheme::Rtmps, Scheme::Rtmpte],
                };
                schemes.map(default_server).to_vec()
            }
            Hint::Firewall { .. } => [Scheme::Rtmps, Scheme::Rtmpt].map(default_server).to_vec(),
            Hint::ProxyPort { .. } => [Scheme::Rtmps, Scheme::Rtmpt]
                .map(default_server)
                .into_iter()
                .chain([Change::NoProxy])
                .collect(),
            Hint::CheckProxy | Hint::ProxyProtocol | Hint::ProxyLogin => vec![Change::NoProxy],
            Hint::AnyHandshake => vec![Change::Handshake(Mode::Auto)],
            Hint::CheckApp { .. } | Hint::CheckPlaypath { .. } | Hint::OtherSplit { .. } => {
                self.other_splits()
            }
            Hint::NamePlayer { .. } => vec![self.player()],
            Hint::UseLive => vec![Change::Live(true)],
            Hint::DropLive => vec![Change::Live(false)],
            Hint::DropStart => vec![Change::NoStart],
            // Only the user can act on these hints.
            Hint::CheckHost
            | Hint::TrustCertificate
            | Hint::LogIn
            | Hint::CheckLogin
            | Hint::VerifySwf
            | Hint::NotPublished { .. } => Vec::new(),
        }
    }

    /// Returns less probable changes, which depend only on the step that failed.
    fn after_step(&self) -> Vec<Change> {
        match self.progress {
            Progress {
                is_dialed: true,
                reached: Reached::Tcp | Reached::Proxy | Reached::Tls | Reached::Tunnel,
            } => self.after_handshake(),
            Progress {
                reached: Reached::Handshake,
                ..
            } if self.job.session.enhanced => vec![Change::NoEnhanced],
            _ => Vec::new(),
        }
    }

    /// Returns the changes after a failed handshake: a web server may wait for the end of a request, and a server of
    /// RTMP may not accept a digest.
    fn after_handshake(&self) -> Vec<Change> {
        let (session, endpoint) = (&self.job.session, &self.job.route.endpoint);
        let tunnel = match scheme_of(self.job) {
            Scheme::Rtmp => Some(Scheme::Rtmpt),
            Scheme::Rtmpe => Some(Scheme::Rtmpte),
            Scheme::Rtmps => Some(Scheme::Rtmpts),
            Scheme::Rtmpt | Scheme::Rtmpte | Scheme::Rtmpts => None,
        };
        let tunnel = tunnel.map(|scheme| Change::Server {
            scheme,
            port: endpoint.port,
        });
        let is_http = |hint: &Hint| matches!(hint, Hint::UseTunnel(_));
        // If the server closes the connection, the download itself tries a plain handshake on a second one.
        let is_plain_untried = session.handshake == Mode::Auto
            && session.encryption == Encryption::None
            && self.connections == 1
            && !self.hints.iter().any(is_http);
        let plain = is_plain_untried.then_some(Change::Handshake(Mode::Plain));
        tunnel.into_iter().chain(plain).collect()
    }

    /// Returns the server with another scheme: on the same port, then on the scheme's default port.
    fn over(&self, scheme: Scheme) -> Vec<Change> {
        let port = self.job.route.endpoint.port;
        vec![Change::Server { scheme, port }, default_server(scheme)]
    }

    fn other_splits(&self) -> Vec<Change> {
        // A command line cannot represent these bytes portably.
        let is_text = |text: &str| !text.contains(|c| raw_bytes::byte_of(c).is_some());
        let splits = self.splits.iter();
        splits
            .filter(|split| is_text(&split.app) && is_text(&split.playpath))
            .map(|split| Change::Split {
                app: split.app.clone(),
                playpath: split.playpath.clone(),
            })
            .collect()
    }

    fn player(&self) -> Change {
        let host = self.job.route.endpoint.host_without_zone();
        let host = match host.contains(':') {
            true => format!("[{host}]"),
            false => host.to_owned(),
        };
        Change::Player {
            swf_url: format!("http://{host}/player.swf"),
            page_url: format!("http://{host}/"),
        }
    }

    /// Whether the change is permitted: it sends no secret with weaker encryption, does not bypass a proxy of the
    /// command line, and changes the request.
    fn is_allowed(&self, change: &Change) -> bool {
        let session = &self.job.session;
        match change {
            Change::Server { scheme, port } => {
                let current = scheme_of(self.job);
                let is_same = (current, self.job.route.endpoint.port) == (*scheme, *port);
                !is_same && (!self.has_secrets || protection(*scheme) >= protection(current))
            }
            Change::NoProxy => self.has_environment_proxy && self.job.dialer.proxy.is_some(),
            Change::Live(is_live) => (session.start == Start::Live) != *is_live,
            Change::Handshake(mode) => session.handshake != *mode,
            _ => true,
        }
    }
}

fn default_server(scheme: Scheme) -> Change {
    let port = scheme.default_port();
    Change::Server { scheme, port }
}

/// Returns the URL scheme of a request.
pub(super) fn scheme_of(job: &Job) -> Scheme {
    let is_encrypted = job.session.encryption != Encryption::None;
    match (job.route.carrier, is_encrypted) {
        (Carrier::Tcp, false) => Scheme::Rtmp,
        (Carrier::Tcp, true) => Scheme::Rtmpe,
        (Carrier::Http, false) => Scheme::Rtmpt,
        (Carrier::Http, true) => Scheme::Rtmpte,
        (Carrier::Tls, _) => Scheme::Rtmps,
        (Carrier::Https, _) => Scheme::Rtmpts,
    }
}

/// How well a scheme protects secrets on the network: not at all, by rtmpe, or by TLS.
fn protection(scheme: Scheme) -> u8 {
    match scheme {
        Scheme::Rtmp | Scheme::Rtmpt => 0,
        Scheme::Rtmpe | Scheme::Rtmpte => 1,
        Scheme::Rtmps | Scheme::Rtmpts => 2,
    }
}
