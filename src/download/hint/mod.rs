//! Hints: what would probably help after a session that failed before any media.

use std::{fmt, io, sync::Arc};

use super::{
    Candidate, Ending,
    outcome::{EndCause, Facts},
};
use crate::{
    core::rtmp::{
        challenge::LoginError,
        client::{
            Client, End, Timeout,
            config::{Config, Encryption, Start},
        },
        error::Error,
        handshake,
    },
    transport::{Carrier, DialError, Route, proxy, tls},
};

/// A probable remedy, derived from the behavior of the server. Text in it is not escaped.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Hint {
    /// The name was not found: check it.
    CheckHost,
    /// Nothing useful listens on the port: check it.
    CheckPort,
    /// The connection to the port was not answered: a firewall may block it.
    Firewall {
        /// The blocked port.
        port: u16,
    },
    /// The port serves TLS, or closed without TLS.
    UseTls(SchemeChange),
    /// The port does not serve TLS.
    DropTls(SchemeChange),
    /// The certificate was rejected.
    TrustCertificate,
    /// A web server answered on the port.
    UseTunnel(SchemeChange),
    /// The port does not serve RTMPT.
    DropTunnel(SchemeChange),
    /// The server did not complete an encrypted handshake.
    DropEncryption(SchemeChange),
    /// The server did not complete the handshake that `--handshake` selects.
    AnyHandshake,
    /// The proxy cannot be reached, or does not answer.
    CheckProxy,
    /// The proxy closed the connection, or answered in another protocol.
    ProxyProtocol,
    /// The proxy requires a login or rejected it.
    ProxyLogin,
    /// The proxy does not open a connection to this port.
    ProxyPort {
        /// The requested port.
        port: u16,
    },
    /// The server requires a login, and the request contained none.
    LogIn,
    /// The server rejected the login.
    CheckLogin,
    /// The server requested SWF verification, and the request contained no player.
    VerifySwf,
    /// The server closed or rejected the session of a client that named no player or no web page.
    NamePlayer {
        /// Whether the URL of the player was missing.
        lacks_swf_url: bool,
        /// Whether the URL of the web page was missing.
        lacks_page_url: bool,
    },
    /// The server closed or rejected `connect`.
    CheckApp {
        /// The app as sent.
        app: String,
        /// The `tcUrl` as sent.
        tc_url: String,
    },
    /// The server does not have the stream, or does not play it.
    CheckPlaypath {
        /// The playpath as sent.
        playpath: String,
    },
    /// An untried split of the URL path.
    OtherSplit {
        /// The app of the split.
        app: String,
        /// The playpath of the split.
        playpath: String,
    },
    /// The stream has no publisher.
    NotPublished {
        /// Whether the request already waited for a publisher.
        waited: bool,
    },
    /// The stream may be live, but was not requested as live.
    UseLive,
    /// The stream may be recorded, but was requested as live.
    DropLive,
    /// The stream may not contain the requested start.
    DropStart,
}

/// A change of the URL scheme.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SchemeChange {
    /// Scheme of the failed request.
    pub from: &'static str,
    /// Scheme to try.
    pub to: &'static str,
}

impl Hint {
    /// Returns the stable code of the hint for scripts.
    pub fn code(&self) -> &'static str {
        match self {
            Self::CheckHost => "check-host",
            Self::CheckPort => "check-port",
            Self::Firewall { .. } => "firewall",
            Self::UseTls(_) => "use-tls",
            Self::DropTls(_) => "drop-tls",
            Self::TrustCertificate => "trust-certificate",
            Self::UseTunnel(_) => "use-tunnel",
            Self::DropTunnel(_) => "drop-tunnel",
            Self::DropEncryption(_) => "drop-encryption",
            Self::AnyHandshake => "any-handshake",
            Self::CheckProxy => "check-proxy",
            Self::ProxyProtocol => "proxy-protocol",
            Self::ProxyLogin => "proxy-login",
            Self::ProxyPort { .. } => "proxy-port",
            Self::LogIn => "log-in",
            Self::CheckLogin => "check-login",
            Self::VerifySwf => "verify-swf",
            Self::NamePlayer { .. } => "name-player",
            Self::CheckApp { .. } => "check-app",
            Self::CheckPlaypath { .. } => "check-playpath",
            Self::OtherSplit { .. } => "other-split",
            Self::NotPublished { .. } => "not-published",
            Self::UseLive => "use-live",
            Self::DropLive => "drop-live",
            Self::DropStart => "drop-start",
        }
    }
}

/// The latest attempt: what it requested, and what the server requested in turn.
#[derive(Clone)]
pub(super) struct Attempted {
    carrier: Carrier,
    port: u16,
    session: Arc<Config>,
    /// The handshake that the user selected, not the one that a fallback selected.
    handshake: handshake::Mode,
    waits: bool,
    login_error: Option<LoginError>,
    /// Whether the server requested SWF verification, and the client did not answer.
    lacks_swf_proof: bool,
}

impl Attempted {
    /// Describes a connection to `route` with this session.
    pub(super) fn new(
        route: &Route,
        session: &Arc<Config>,
        handshake: handshake::Mode,
        waits: bool,
    ) -> Self {
        Self {
            carrier: route.carrier,
            port: route.endpoint.port,
            session: Arc::clone(session),
            handshake,
            waits,
            login_error: None,
            lacks_swf_proof: false,
        }
    }

    /// Adds what the server requested.
    pub(super) fn observe(&mut self, client: &Client) {
        self.lacks_swf_proof = client.lacks_swf_proof();
        self.login_error = client.login_error().cloned();
    }

    /// Returns the change from the current scheme to one with these properties.
    fn scheme_change(&self, carrier: Carrier, is_encrypted: bool) -> SchemeChange {
        SchemeChange {
            from: scheme(self.carrier, self.is_encrypted()),
            to: scheme(carrier, is_encrypted),
        }
    }

    fn is_encrypted(&self) -> bool {
        self.session.encryption != Encryption::None
    }

    fn use_tls(&self) -> Option<Hint> {
        let carrier = match self.carrier {
            Carrier::Tcp => Carrier::Tls,
            Carrier::Http => Carrier::Https,
            Carrier::Tls | Carrier::Https => return None,
        };
        Some(Hint::UseTls(self.scheme_change(carrier, false)))
    }

    fn drop_tls(&self) -> Hint {
        let carrier = match self.carrier {
            Carrier::Tcp | Carrier::Tls => Carrier::Tcp,
            Carrier::Http | Carrier::Https => Carrier::Http,
        };
        Hint::DropTls(self.scheme_change(carrier, false))
    }

    fn use_tunnel(&self) -> Option<Hint> {
        let carrier = match self.carrier {
            Carrier::Tcp => Carrier::Http,
            Carrier::Tls => Carrier::Https,
            Carrier::Http | Carrier::Https => return None,
        };
        let is_encrypted = self.is_encrypted();
        Some(Hint::UseTunnel(self.scheme_change(carrier, is_encrypted)))
    }

    fn drop_tunnel(&self) -> Hint {
        let carrier = match self.carrier {
            Carrier::Tcp | Carrier::Http => Carrier::Tcp,
            Carrier::Tls | Carrier::Https => Carrier::Tls,
        };
        Hint::DropTunnel(self.scheme_change(carrier, self.is_encrypted()))
    }

    fn drop_encryption(&self) -> Option<Hint> {
        self.is_encrypted()
            .then(|| Hint::DropEncryption(self.scheme_change(self.carrier, false)))
    }

    fn any_handshake(&self) -> Option<Hint> {
        (self.handshake != handshake::Mode::Auto).then_some(Hint::AnyHandshake)
    }

    fn verify_swf(&self) -> Option<Hint> {
        self.lacks_swf_proof.then_some(Hint::VerifySwf)
    }

    fn name_player(&self) -> Option<Hint> {
        let connect = &self.session.connect;
        let lacks_swf_url = connect.swf_url.is_none();
        let lacks_page_url = connect.page_url.is_none();
        (lacks_swf_url || lacks_page_url).then_some(Hint::NamePlayer {
            lacks_swf_url,
            lacks_page_url,
        })
    }

    fn check_app(&self) -> Hint {
        Hint::CheckApp {
            app: self.session.connect.app.clone(),
            tc_url: self.session.connect.tc_url.clone(),
        }
    }

    fn check_playpath(&self) -> Hint {
        Hint::CheckPlaypath {
            playpath: self.session.playpath.clone(),
        }
    }

    fn not_published(&self) -> Option<Hint> {
        let waited = self.waits;
        let may_be_live = !matches!(self.session.start, Start::At { ms: 1.. });
        may_be_live.then_some(Hint::NotPublished { waited })
    }

    /// Returns the hint to request another kind of stream or another start.
    fn other_start(&self) -> Hint {
        match self.session.start {
            Start::Live => Hint::DropLive,
            Start::LiveElseRecorded | Start::At { ms: 0 } => Hint::UseLive,
            Start::At { .. } => Hint::DropStart,
        }
    }
}

impl fmt::Debug for Attempted {
    /// Omits values that may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Attempted")
            .field("carrier", &self.carrier)
            .field("port", &self.port)
            .finish_non_exhaustive()
    }
}

/// Returns at most [`MAX_HINTS`] hints, the most probable first. `untried` is the next candidate that was
/// not tried.
pub(super) fn hints(
    cause: &EndCause,
    facts: &Facts,
    attempted: &Attempted,
    untried: Option<&Candidate>,
) -> Vec<Hint> {
    if facts.has_media {
        return Vec::new();
    }
    let mut hints = match cause {
        EndCause::Dial(error) => after_dial(error, attempted),
        EndCause::Protocol(Error::Handshake(error)) => after_invalid_handshake(error, attempted),
        EndCause::Session(End::TimedOut(Timeout::Handshake)) => after_handshake(attempted),
        EndCause::Session(end) if facts.is_connected => {
            after_connect(Some(end), facts, attempted, untried)
        }
        EndCause::Session(_) => match &attempted.login_error {
            Some(error) => after_login(error),
            None => after_unanswered_connect(attempted, untried),
        },
        cause if cause.is_disconnect() && facts.is_shaking_hands => after_handshake(attempted),
        cause if cause.is_disconnect() && facts.is_connected => {
            after_connect(None, facts, attempted, untried)
        }
        cause if cause.is_disconnect() => after_unanswered_connect(attempted, untried),
        _ => Vec::new(),
    };
    hints.truncate(MAX_HINTS);
    hints
}

/// Whether hints belong to this ending. The user or the output caused the others.
pub(super) fn has_hints(ending: Ending) -> bool {
    match ending {
        Ending::Cut
        | Ending::Stalled
        | Ending::Refused
        | Ending::NotFound
        | Ending::NoConnection => true,
        Ending::Ended
        | Ending::Unpublished
        | Ending::Limit
        | Ending::Closed
        | Ending::ReaderGone
        | Ending::Interrupted
        | Ending::Mismatch
        | Ending::DiskFull
        | Ending::OutputFailed
        | Ending::NoPlayer => false,
    }
}

fn after_dial(error: &DialError, attempted: &Attempted) -> Vec<Hint> {
    match error {
        DialError::Name { .. } => vec![Hint::CheckHost],
        DialError::Tcp { source, .. } => match source.kind() {
            io::ErrorKind::ConnectionRefused => vec![Hint::CheckPort],
            io::ErrorKind::TimedOut => vec![
                Hint::Firewall {
                    port: attempted.port,
                },
                Hint::CheckPort,
            ],
            _ => Vec::new(),
        },
        DialError::Proxy { source, .. } => after_proxy(source, attempted),
        DialError::Tls { fault, .. } => match fault {
            tls::Fault::NotTls => vec![attempted.drop_tls()],
            tls::Fault::Unanswered => vec![attempted.drop_tls(), Hint::CheckPort],
            tls::Fault::Certificate => vec![Hint::TrustCertificate],
            tls::Fault::Other => Vec::new(),
        },
        DialError::Tunnel { .. } => vec![attempted.drop_tunnel()],
        DialError::Replay(_) | DialError::ReplayEnded => Vec::new(),
    }
}

fn after_proxy(error: &proxy::Error, attempted: &Attempted) -> Vec<Hint> {
    match error {
        proxy::Error::Unreachable(_) => vec![Hint::CheckProxy],
        proxy::Error::Io(error) if error.kind() == io::ErrorKind::TimedOut => {
            vec![Hint::CheckProxy, Hint::ProxyProtocol]
        }
        proxy::Error::Io(_) | proxy::Error::Closed | proxy::Error::Malformed(_) => {
            vec![Hint::ProxyProtocol]
        }
        proxy::Error::Refused(_) => vec![Hint::ProxyPort {
            port: attempted.port,
        }],
        proxy::Error::Login(_) => vec![Hint::ProxyLogin],
        proxy::Error::Lookup(_) => vec![Hint::CheckHost],
        proxy::Error::Unsupported(_) => Vec::new(),
    }
}

/// Hints after a server that closed the connection during the handshake, or did not answer it.
fn after_handshake(attempted: &Attempted) -> Vec<Hint> {
    [
        attempted.any_handshake(),
        attempted.drop_encryption(),
        attempted.use_tls(),
        Some(Hint::CheckPort),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn after_invalid_handshake(error: &handshake::Error, attempted: &Attempted) -> Vec<Hint> {
    let hint = match error {
        handshake::Error::Tls => attempted.use_tls(),
        handshake::Error::Text(text) if is_http(text) => {
            let tunnel = attempted.use_tunnel();
            return tunnel.into_iter().chain([Hint::CheckPort]).collect();
        }
        handshake::Error::Text(_) | handshake::Error::Version(_) | handshake::Error::Type(_) => {
            Some(Hint::CheckPort)
        }
        handshake::Error::NotEncrypted
        | handshake::Error::Signature
        | handshake::Error::PublicKey => attempted.drop_encryption(),
        handshake::Error::NoDigest => attempted
            .drop_encryption()
            .or_else(|| attempted.any_handshake()),
    };
    hint.into_iter().collect()
}

/// Whether an answer in text is that of a web server.
fn is_http(text: &str) -> bool {
    text.starts_with("HTTP/") || text.starts_with('<')
}

fn after_login(error: &LoginError) -> Vec<Hint> {
    match error {
        LoginError::Missing(_) => vec![Hint::LogIn],
        LoginError::UnknownScheme(_) => Vec::new(),
        LoginError::NoSuchUser | LoginError::Failed | LoginError::AskedAgain => {
            vec![Hint::CheckLogin]
        }
    }
}

/// Hints after a server that rejected `connect`, closed the connection or did not answer.
fn after_unanswered_connect(attempted: &Attempted, untried: Option<&Candidate>) -> Vec<Hint> {
    [
        attempted.verify_swf(),
        Some(attempted.check_app()),
        untried.map(other_split),
        attempted.name_player(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Hints after a session that ended between the accepted `connect` and the first media. `end` is `None` if
/// the server closed the connection without giving a reason.
fn after_connect(
    end: Option<&End>,
    facts: &Facts,
    attempted: &Attempted,
    untried: Option<&Candidate>,
) -> Vec<Hint> {
    let is_refused = matches!(end, Some(End::Refused(_)));
    let is_missing = matches!(end, Some(End::NotFound(_)));
    let has_started = facts.is_playing || facts.is_recorded;
    // A server that has started the stream has accepted the stream name and the client.
    let check_playpath = (!has_started).then(|| attempted.check_playpath());
    let not_published = attempted.not_published();
    let not_published = not_published.filter(|_| !facts.is_recorded && !is_refused);
    let name_player = attempted.name_player();
    let name_player = name_player.filter(|_| !is_missing && !has_started);
    let other_split = untried.filter(|_| !has_started).map(other_split);
    let other_start = Some(attempted.other_start()).filter(|_| !is_refused);
    let hints = match end {
        Some(End::Refused(_)) | None => [
            attempted.verify_swf(),
            check_playpath,
            name_player,
            not_published,
            other_split,
            other_start,
        ],
        Some(End::NotFound(_)) => [
            attempted.verify_swf(),
            check_playpath,
            not_published,
            other_split,
            other_start,
            name_player,
        ],
        Some(_) => [
            attempted.verify_swf(),
            not_published,
            other_split,
            other_start,
            check_playpath,
            name_player,
        ],
    };
    hints.into_iter().flatten().collect()
}

fn other_split(candidate: &Candidate) -> Hint {
    Hint::OtherSplit {
        app: candidate.app.clone(),
        playpath: candidate.playpath.clone(),
    }
}

fn scheme(carrier: Carrier, is_encrypted: bool) -> &'static str {
    match (carrier, is_encrypted) {
        (Carrier::Tcp, false) => "rtmp",
        (Carrier::Tcp, true) => "rtmpe",
        (Carrier::Http, false) => "rtmpt",
        (Carrier::Http, true) => "rtmpte",
        (Carrier::Tls, _) => "rtmps",
        (Carrier::Https, _) => "rtmpts",
    }
}

/// Largest number of hints. More would hide the probable one.
const MAX_HINTS: usize = 3;

#[cfg(test)]
mod tests;
