//! RTMP URLs: the server, and the app and playpath to request.
//!
//! ```text
//! rtmp://user:password@host:port/app/instance/name.flv?query#name
//! └scheme┘└── user info ──┘└ endpoint ┘└─ app ────┘└── playpath ──┘
//! ```
//!
//! Nothing in the URL marks the end of the app. By convention the app is the first two path
//! components if the path has three or more, and otherwise the first one. The following marks take
//! precedence:
//!
//! * `ondemand/…` is Akamai's app, and `slist=` in a query names the playpath;
//! * a component with a stream type (`mp4:`, `mp3:`, `flv:` …) starts the playpath;
//! * in a query that follows the app, the last slash ends the app (`/live?vhost=x.net/stream`, SRS);
//! * `_definst_`, the name of the default instance of an app, ends the app, and so does `//`;
//! * a fragment is the name of the stream, and path and query are then the app.
//!
//! The url crate parses only the authority. It treats `rtmp:` as an unknown scheme, and it would escape
//! and normalize paths, which servers compare byte by byte.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, iter, str::FromStr};

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::{Host, Url};

/// Reasons why a text is not an RTMP URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// The text contains no `://`.
    #[error("not a URL: the form is rtmp://host/app/stream")]
    NoScheme,
    /// The scheme is unknown.
    #[error("unknown scheme {0:?}: known schemes are rtmp, rtmpe, rtmps, rtmpt, rtmpte and rtmpts")]
    Scheme(String),
    /// The host is empty.
    #[error("no host in the URL")]
    NoHost,
    /// White space or a control character in the authority.
    #[error("white space or a control character before the path of the URL")]
    Whitespace,
    /// The url crate rejects host, port or user info.
    #[error("{0} in the URL")]
    Authority(url::ParseError),
}

/// The URL scheme, which selects transport and encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// RTMP over TCP.
    Rtmp,
    /// RTMP tunneled through HTTP.
    Rtmpt,
    /// Adobe's encryption over TCP.
    Rtmpe,
    /// Adobe's encryption, tunneled through HTTP.
    Rtmpte,
    /// RTMP over TLS.
    Rtmps,
    /// RTMP tunneled through HTTPS.
    Rtmpts,
}

impl Scheme {
    /// Returns the port used if the URL has none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Rtmp | Self::Rtmpe => 1935,
            Self::Rtmpt | Self::Rtmpte => 80,
            Self::Rtmps | Self::Rtmpts => 443,
        }
    }

    /// Returns the name in lower case.
    pub fn name(self) -> &'static str {
        match self {
            Self::Rtmp => "rtmp",
            Self::Rtmpt => "rtmpt",
            Self::Rtmpe => "rtmpe",
            Self::Rtmpte => "rtmpte",
            Self::Rtmps => "rtmps",
            Self::Rtmpts => "rtmpts",
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Scheme {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        SCHEMES
            .into_iter()
            .find(|scheme| scheme.name().eq_ignore_ascii_case(text))
            .ok_or_else(|| Error::Scheme(text.to_owned()))
    }
}

/// A parsed RTMP URL.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// The scheme.
    pub scheme: Scheme,
    /// The host name or address; an IPv6 address without brackets, with its zone as `fe80::1%eth0`.
    pub host: String,
    /// The port; the default port of the scheme if the URL has none or 0.
    pub port: u16,
    /// Whether the URL has a port.
    pub has_explicit_port: bool,
    /// The user info.
    pub user_info: Option<UserInfo>,
    /// App and playpath by the rules in the module documentation.
    pub split: Split,
    /// Other possible splits, the most likely first: an app of three components, then of one.
    pub other_splits: Vec<Split>,
    resource: Resource,
}

impl Target {
    /// Parses `url`.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or(Error::NoScheme)?;
        let scheme: Scheme = scheme.parse()?;
        let (authority, resource) = split_before(rest, ['/', '?', '#']);
        let (authority, host) = parse_authority(authority)?;
        let resource = Resource::parse(resource);
        let (split, other_splits) = resource.splits();
        let port = port(&authority);
        Ok(Self {
            scheme,
            host,
            port: port.unwrap_or_else(|| scheme.default_port()),
            has_explicit_port: port.is_some(),
            user_info: UserInfo::of(&authority),
            split,
            other_splits,
            resource,
        })
    }

    /// Returns the same target with another scheme. A default port changes with the scheme.
    pub fn over(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        if !self.has_explicit_port {
            self.port = scheme.default_port();
        }
        self
    }

    /// Returns the `tcUrl` of `connect`: scheme, host, port and app, never the user info. The port
    /// is always present, as in rtmpdump and ffmpeg.
    pub fn tc_url(&self, app: &str) -> String {
        format!("{}:{}/{app}", self.scheme_and_host(), self.port)
    }

    /// Returns the `tcUrl` that librtmp builds from a URL: without a port if the URL has none.
    pub fn librtmp_tc_url(&self, app: &str) -> String {
        if self.has_explicit_port {
            self.tc_url(app)
        } else {
            format!("{}/{app}", self.scheme_and_host())
        }
    }

    fn scheme_and_host(&self) -> String {
        let Self { scheme, host, .. } = self;
        // RFC 6874 4: a zone has no meaning outside of this machine.
        let host = host.split('%').next().unwrap_or_default();
        if host.contains(':') {
            format!("{scheme}://[{host}]")
        } else {
            format!("{scheme}://{host}")
        }
    }

    /// Returns true if the path has one component and does not mark a stream. ffmpeg then sends the
    /// component as app and an empty playpath, which MediaMTX and some cameras expect.
    pub fn is_single_component(&self) -> bool {
        self.resource.is_single_component()
    }

    /// Returns the path as app, with its final slash and the query, if it ends in a slash.
    pub fn app_with_slash(&self) -> Option<String> {
        self.resource.app_with_slash()
    }

    /// Returns the playpath if the path starts with `app`.
    pub fn playpath_after(&self, app: &str) -> Option<String> {
        self.resource.playpath_after(app)
    }
}

/// Parses `text` as host and optional port. The host has no brackets; port 0 counts as no port.
pub fn host_and_port(text: &str) -> Result<(String, Option<u16>), Error> {
    let (authority, host) = parse_authority(text)?;
    Ok((host, port(&authority)))
}

/// One split of the path and query of a URL into app and playpath.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The app, as written in the URL.
    pub app: String,
    /// The playpath, percent-decoded; `None` if nothing is left for it.
    pub playpath: Option<String>,
}

/// The user info of a URL, percent-decoded.
#[derive(Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// The text before the first colon.
    pub user: String,
    /// The text after the first colon.
    pub password: Option<String>,
}

impl UserInfo {
    fn of(authority: &Url) -> Option<Self> {
        let password = authority.password().map(percent_decoded);
        let user = percent_decoded(authority.username());
        (!user.is_empty() || password.is_some()).then_some(Self { user, password })
    }
}

impl fmt::Debug for UserInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UserInfo")
            .field("user", &self.user)
            .field("password", &self.password.as_ref().map(|_| "(redacted)"))
            .finish()
    }
}

/// The part of a URL after host and port, as written and without the leading slash.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Resource {
    path: String,
    query: Option<String>,
    fragment: Option<String>,
}

impl Resource {
    fn parse(text: &str) -> Self {
        let text = text.strip_prefix('/').unwrap_or(text);
        let (text, fragment) = text.split_once('#').unwrap_or((text, ""));
        let (path, query) = text
            .split_once('?')
            .map_or((text, None), |(path, query)| (path, Some(query)));
        Self {
            path: path.to_owned(),
            query: query.map(str::to_owned),
            fragment: (!fragment.is_empty()).then(|| percent_decoded(fragment)),
        }
    }

    fn splits(&self) -> (Split, Vec<Split>) {
        if let Some(split) = self.explicit_split() {
            return (split, Vec::new());
        }
        let first = self.split_at_level(2);
        if self.is_single_component() {
            let playpath_only = Split {
                app: String::new(),
                playpath: Some(playpath(&self.with_query(&self.path), FlvExtension::Drop)),
            };
            return (first, vec![playpath_only]);
        }
        let mut others: Vec<Split> = Vec::new();
        for split in [3, 1].map(|levels| self.split_at_level(levels)) {
            if split.playpath.is_some() && split != first && !others.contains(&split) {
                others.push(split);
            }
        }
        (first, others)
    }

    /// Returns the split of a URL that marks the end of the app unambiguously.
    fn explicit_split(&self) -> Option<Split> {
        if let Some(name) = &self.fragment {
            return Some(Split {
                app: self.with_query(&self.path),
                playpath: Some(name.clone()),
            });
        }
        if let Some(name) = self.slist() {
            return Some(Split {
                app: self.with_query(&self.path),
                playpath: Some(playpath(name, FlvExtension::Keep)).filter(|name| !name.is_empty()),
            });
        }
        let name = self.path.strip_prefix("ondemand/")?;
        Some(self.split("ondemand", name))
    }

    /// Returns the value of Akamai's `slist=` in the query. Path and query are then the app.
    fn slist(&self) -> Option<&str> {
        self.query
            .as_deref()?
            .split('&')
            .find_map(|pair| pair.strip_prefix("slist="))
    }

    fn split_at_level(&self, levels: usize) -> Split {
        let parts: Vec<&str> = self.path.split('/').collect();
        let (app, name) = parts
            .split_at_checked(app_len(&parts, levels))
            .unwrap_or((&parts, &[]));
        self.split(&app.join("/"), name.join("/").trim_start_matches('/'))
    }

    fn is_single_component(&self) -> bool {
        let is_marked = self.explicit_split().is_some() || self.split_in_query().is_some();
        !is_marked && !self.path.is_empty() && !self.path.contains('/')
    }

    fn app_with_slash(&self) -> Option<String> {
        let ends_in_slash = self.path.len() > 1 && self.path.ends_with('/');
        ends_in_slash.then(|| self.with_query(&self.path))
    }

    /// Splits the query at its last slash into the end of the app and the name of the stream.
    fn split_in_query(&self) -> Option<(&str, &str)> {
        let (query, name) = self.query.as_deref()?.rsplit_once('/')?;
        (!name.is_empty()).then_some((query, name))
    }

    /// Builds a split. The query belongs to the playpath, or to the app if no playpath is left.
    fn split(&self, app: &str, name: &str) -> Split {
        if name.is_empty() {
            if let Some((query, name)) = self.split_in_query() {
                return Split {
                    app: format!("{app}?{query}"),
                    playpath: Some(playpath(name, FlvExtension::Drop)),
                };
            }
            return Split {
                app: self.with_query(app),
                playpath: None,
            };
        }
        Split {
            app: app.to_owned(),
            playpath: Some(playpath(&self.with_query(name), FlvExtension::Drop)),
        }
    }

    fn playpath_after(&self, app: &str) -> Option<String> {
        if let Some(split) = self.explicit_split() {
            return split.playpath;
        }
        if app.contains('?') {
            let (first, others) = self.splits();
            let split = iter::once(first)
                .chain(others)
                .find(|split| split.app == app);
            return split?.playpath;
        }
        let name = self.path.strip_prefix(app)?.strip_prefix('/')?;
        self.split(app, name.trim_start_matches('/')).playpath
    }

    fn with_query(&self, text: &str) -> String {
        match &self.query {
            Some(query) => format!("{text}?{query}"),
            None => text.to_owned(),
        }
    }
}

/// Returns the number of path components in the app. Without a mark, the app has up to `levels`
/// components and leaves at least one of several components for the playpath.
fn app_len(parts: &[&str], levels: usize) -> usize {
    let max_len = parts.len().saturating_sub(1).max(1);
    let end = app_end(parts).unwrap_or_else(|| levels.min(max_len));
    let border = parts.iter().position(|part| part.is_empty());
    // An empty component, as in `//`, also ends the app.
    border.map_or(end, |border| end.min(border))
}

/// Returns the end of the app if a component marks it.
fn app_end(parts: &[&str]) -> Option<usize> {
    parts.iter().enumerate().find_map(|(index, part)| {
        if *part == DEFAULT_INSTANCE {
            return index.checked_add(1);
        }
        // The app has at least one component.
        (index > 0 && has_stream_type(part)).then_some(index)
    })
}

fn has_stream_type(part: &str) -> bool {
    part.split_once(':')
        .is_some_and(|(name, _)| STREAM_TYPES.contains(&name))
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FlvExtension {
    Drop,
    Keep,
}

/// Converts a file name in a URL to the name that servers use: MP4 and MP3 files get a prefix and
/// lose the extension, FLV files lose the extension, and percent escapes are decoded. The extension
/// is before the query.
fn playpath(name: &str, flv: FlvExtension) -> String {
    let (stem, query) = split_before(name, ['?']);
    let stem = if let Some(bare) = strip_extension(stem, &[".mp4", ".f4v"]) {
        prefixed("mp4:", stem, bare)
    } else if let Some(bare) = strip_extension(stem, &[".mp3"]) {
        prefixed("mp3:", stem, bare)
    } else if flv == FlvExtension::Drop {
        stem.strip_suffix(".flv").unwrap_or(stem).to_owned()
    } else {
        stem.to_owned()
    };
    percent_decoded(&(stem + query))
}

fn strip_extension<'a>(stem: &'a str, extensions: &[&str]) -> Option<&'a str> {
    extensions
        .iter()
        .find_map(|extension| stem.strip_suffix(extension))
}

/// Adds the prefix to the bare name. A name that already has the prefix keeps its extension.
fn prefixed(prefix: &str, stem: &str, bare: &str) -> String {
    if stem.starts_with(prefix) {
        stem.to_owned()
    } else {
        format!("{prefix}{bare}")
    }
}

/// Parses host, port and user info. Returns the host separately, because [`Url`] does not support zones.
fn parse_authority(text: &str) -> Result<(Url, String), Error> {
    // The url crate would silently remove tabs and line breaks.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Error::Whitespace);
    }
    if text.is_empty() {
        return Err(Error::NoHost);
    }
    let (text, zone) = split_zone(text);
    let authority = Url::parse(&format!("rtmp://{text}/")).map_err(|error| match error {
        url::ParseError::EmptyHost => Error::NoHost,
        error => Error::Authority(error),
    })?;
    let host = host(&authority)? + &zone;
    Ok((authority, host))
}

/// Splits the zone off an IPv6 address: `[fe80::1%25eth0]` (RFC 6874) or `[fe80::1%eth0]`. Returns it
/// decoded, after a `%`. An invalid zone stays in the text, where it is a syntax error.
fn split_zone(text: &str) -> (Cow<'_, str>, String) {
    let split = text.rsplit_once('[').and_then(|(before, rest)| {
        let (address, after) = rest.split_once(']')?;
        let (address, zone) = address.split_once('%')?;
        let zone = percent_decoded(zone.strip_prefix("25").unwrap_or(zone));
        let is_valid = |c: char| c.is_ascii_alphanumeric() || "-._~".contains(c);
        let is_zone = !zone.is_empty() && zone.chars().all(is_valid);
        is_zone.then(|| (format!("{before}[{address}]{after}"), zone))
    });
    match split {
        Some((text, zone)) => (text.into(), format!("%{zone}")),
        None => (text.into(), String::new()),
    }
}

fn port(authority: &Url) -> Option<u16> {
    authority.port().filter(|port| *port != 0)
}

fn host(authority: &Url) -> Result<String, Error> {
    match authority.host() {
        None | Some(Host::Domain("")) => Err(Error::NoHost),
        // The url crate percent-encodes non-ASCII names; the resolver needs Punycode.
        Some(Host::Domain(name)) if name.contains('%') => Host::parse(name)
            .map(|host| host.to_string())
            .map_err(Error::Authority),
        Some(Host::Domain(name)) => Ok(name.to_owned()),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
    }
}

/// Decodes percent escapes. An escape without two hexadecimal digits stays unchanged, and all
/// escapes stay unchanged if the result is not UTF-8.
fn percent_decoded(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Cow::into_owned)
}

/// Splits `text` before the first of `marks`.
fn split_before<const N: usize>(text: &str, marks: [char; N]) -> (&str, &str) {
    text.find(marks)
        .and_then(|end| text.split_at_checked(end))
        .unwrap_or((text, ""))
}

/// All schemes, indexed by rtmpdump's protocol number.
pub const SCHEMES: [Scheme; 6] = [
    Scheme::Rtmp,
    Scheme::Rtmpt,
    Scheme::Rtmpe,
    Scheme::Rtmpte,
    Scheme::Rtmps,
    Scheme::Rtmpts,
];

/// Name that FMS gives to the default instance of an app.
const DEFAULT_INSTANCE: &str = "_definst_";

/// The stream types of FMS, and those that Wowza adds.
const STREAM_TYPES: [&str; 9] = [
    "mp4", "mp3", "flv", "f4v", "id3", "raw", "smil", "ngrp", "amlst",
];
