//! An RTMP URL taken apart: where to connect, and what to ask for there.
//!
//! ```text
//! rtmp://user:password@host:port/app/instance/name.flv?query#name
//! └scheme┘└── user info ──┘└ endpoint ┘└─ app ────┘└── playpath ──┘
//! ```
//!
//! Nothing in the URL says where the app ends and the playpath begins. The rule is a convention:
//! the first two directory levels are the app if the path has three or more, else the first one.
//! What is written in the path goes before it:
//!
//! * `ondemand/…` is Akamai's app, and `slist=` in a query names the playpath;
//! * a part with a stream type (`mp4:`, `mp3:`, `flv:` …) begins the playpath;
//! * `_definst_`, the name of an app's default instance, ends the app, and so does `//`;
//! * a fragment is the name of the stream, and path and query are then the app.
//!
//! The url crate reads the endpoint alone. To it `rtmp:` is one of the schemes that it knows
//! nothing of, and it would escape and collapse what servers compare byte by byte.

#[cfg(test)]
mod tests;

use std::{borrow::Cow, fmt, str::FromStr};

use percent_encoding::percent_decode_str;
use thiserror::Error;
use url::{Host, Url};

/// Why a text is not an RTMP URL.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is no `://` in it.
    #[error("not a URL: it has to look like rtmp://host/app/stream")]
    NoScheme,
    /// The scheme belongs to something else, or has a typing error.
    #[error("unknown scheme {0:?}: rtmp, rtmpe, rtmps, rtmpt, rtmpte and rtmpts are known")]
    Scheme(String),
    /// Nothing stands between `://` and the path.
    #[error("no host in the URL")]
    NoHost,
    /// What stands between `://` and the path has a space in it, or worse.
    #[error("white space or a control character before the path of the URL")]
    Whitespace,
    /// The url crate's complaint about host, port or user info.
    #[error("{0} in the URL")]
    Authority(url::ParseError),
}

/// How RTMP travels to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Over TCP.
    Rtmp,
    /// Tunnelled through HTTP.
    Rtmpt,
    /// Encrypted by Adobe's own means.
    Rtmpe,
    /// Encrypted by Adobe's own means and tunnelled through HTTP.
    Rtmpte,
    /// Over TLS.
    Rtmps,
    /// Tunnelled through HTTPS.
    Rtmpts,
}

impl Scheme {
    /// The port that is meant where the URL names none.
    pub fn default_port(self) -> u16 {
        match self {
            Self::Rtmp | Self::Rtmpe => 1935,
            Self::Rtmpt | Self::Rtmpte => 80,
            Self::Rtmps | Self::Rtmpts => 443,
        }
    }

    /// The name as it stands in a URL.
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

/// What an RTMP URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    /// How to travel.
    pub scheme: Scheme,
    /// A name or an address; an IPv6 address without its brackets.
    pub host: String,
    /// The port, or the scheme's own where none (or 0) is given.
    pub port: u16,
    /// Whether the port is given.
    pub has_explicit_port: bool,
    /// Who asks.
    pub user_info: Option<UserInfo>,
    /// App and playpath by the rule of the module.
    pub split: Split,
    /// Where else the app could end, likelier first: after three levels, after one.
    pub other_splits: Vec<Split>,
    resource: Resource,
}

impl Target {
    /// Takes `url` apart.
    pub fn parse(url: &str) -> Result<Self, Error> {
        let (scheme, rest) = url.split_once("://").ok_or(Error::NoScheme)?;
        let scheme: Scheme = scheme.parse()?;
        let (authority, resource) = split_before(rest, ['/', '?', '#']);
        let authority = parse_authority(authority)?;
        let resource = Resource::parse(resource);
        let (split, other_splits) = resource.splits();
        let port = port(&authority);
        Ok(Self {
            scheme,
            host: host(&authority)?,
            port: port.unwrap_or_else(|| scheme.default_port()),
            has_explicit_port: port.is_some(),
            user_info: UserInfo::of(&authority),
            split,
            other_splits,
            resource,
        })
    }

    /// The same target, reached over `scheme`: a port that is not given changes with it.
    pub fn over(mut self, scheme: Scheme) -> Self {
        self.scheme = scheme;
        if !self.has_explicit_port {
            self.port = scheme.default_port();
        }
        self
    }

    /// The `tcUrl` of connect: scheme, host, port and app, never the user info. The port is always
    /// there, as rtmpdump and ffmpeg write it.
    pub fn tc_url(&self, app: &str) -> String {
        format!("{}:{}/{app}", self.scheme_and_host(), self.port)
    }

    /// The `tcUrl` as librtmp makes it of a URL: without a port where none is given.
    pub fn librtmp_tc_url(&self, app: &str) -> String {
        if self.has_explicit_port {
            self.tc_url(app)
        } else {
            format!("{}/{app}", self.scheme_and_host())
        }
    }

    fn scheme_and_host(&self) -> String {
        let Self { scheme, host, .. } = self;
        if host.contains(':') {
            format!("{scheme}://[{host}]")
        } else {
            format!("{scheme}://{host}")
        }
    }

    /// The playpath where the app is known and the path begins with it.
    pub fn playpath_after(&self, app: &str) -> Option<String> {
        self.resource.playpath_after(app)
    }
}

/// The host of `text`, without the brackets of an IPv6 address, and the port if there is one other
/// than 0.
pub fn host_and_port(text: &str) -> Result<(String, Option<u16>), Error> {
    let authority = parse_authority(text)?;
    Ok((host(&authority)?, port(&authority)))
}

/// One way to divide a URL's path and query.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Split {
    /// The application to connect to, as it stands in the URL.
    pub app: String,
    /// The stream to play, unescaped; none if nothing is left for it.
    pub playpath: Option<String>,
}

/// The user info of a URL, unescaped.
#[derive(Clone, PartialEq, Eq)]
pub struct UserInfo {
    /// What stands before the first colon.
    pub user: String,
    /// What stands behind it.
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

/// Everything behind host and port, raw, and the slash in front of it gone.
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
        let mut others: Vec<Split> = Vec::new();
        for split in [3, 1].map(|levels| self.split_at_level(levels)) {
            if split.playpath.is_some() && split != first && !others.contains(&split) {
                others.push(split);
            }
        }
        (first, others)
    }

    /// The split of a URL that leaves no choice.
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

    /// Akamai's `slist=`, in a query whose path is then all app.
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

    /// The query belongs to the playpath where there is one.
    fn split(&self, app: &str, name: &str) -> Split {
        if name.is_empty() {
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

/// How many of `parts` are the app, if it may have `levels` of them.
fn app_len(parts: &[&str], levels: usize) -> usize {
    let max_len = parts.len().saturating_sub(1).max(1);
    let end = app_end(parts).unwrap_or_else(|| levels.min(max_len));
    let border = parts.iter().position(|part| part.is_empty());
    border.map_or(end, |border| end.min(border))
}

/// Where the path itself says that the app ends.
fn app_end(parts: &[&str]) -> Option<usize> {
    parts.iter().enumerate().find_map(|(index, part)| {
        if *part == DEFAULT_INSTANCE {
            return index.checked_add(1);
        }
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

/// A file name out of a URL, as servers call it: MP4 and MP3 files by a prefix, FLV files by no
/// extension, %-escapes undone. The extension stands before the query.
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

/// A name that has the prefix already is complete with its extension.
fn prefixed(prefix: &str, stem: &str, bare: &str) -> String {
    if stem.starts_with(prefix) {
        stem.to_owned()
    } else {
        format!("{prefix}{bare}")
    }
}

fn parse_authority(text: &str) -> Result<Url, Error> {
    // The url crate would silently drop tabs and line ends.
    if text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err(Error::Whitespace);
    }
    if text.is_empty() {
        return Err(Error::NoHost);
    }
    Url::parse(&format!("rtmp://{text}/")).map_err(|error| match error {
        url::ParseError::EmptyHost => Error::NoHost,
        error => Error::Authority(error),
    })
}

fn port(authority: &Url) -> Option<u16> {
    authority.port().filter(|port| *port != 0)
}

fn host(authority: &Url) -> Result<String, Error> {
    match authority.host() {
        None | Some(Host::Domain("")) => Err(Error::NoHost),
        // Letters beyond ASCII come back %-escaped; the resolver wants them in Punycode.
        Some(Host::Domain(name)) if name.contains('%') => Host::parse(name)
            .map(|host| host.to_string())
            .map_err(Error::Authority),
        Some(Host::Domain(name)) => Ok(name.to_owned()),
        Some(Host::Ipv4(address)) => Ok(address.to_string()),
        Some(Host::Ipv6(address)) => Ok(address.to_string()),
    }
}

/// Undoes %-escapes. One without two hex digits stays as it is, and so do all of them where the
/// result would be no text.
fn percent_decoded(text: &str) -> String {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Cow::into_owned)
}

/// `text` up to the first of `marks`, and the rest with it.
fn split_before<const N: usize>(text: &str, marks: [char; N]) -> (&str, &str) {
    text.find(marks)
        .and_then(|end| text.split_at_checked(end))
        .unwrap_or((text, ""))
}

/// Every scheme, at the place of rtmpdump's number for it.
pub const SCHEMES: [Scheme; 6] = [
    Scheme::Rtmp,
    Scheme::Rtmpt,
    Scheme::Rtmpe,
    Scheme::Rtmpte,
    Scheme::Rtmps,
    Scheme::Rtmpts,
];

/// What FMS calls the instance of an app that has no other.
const DEFAULT_INSTANCE: &str = "_definst_";

/// The stream types of FMS, and those that Wowza added.
const STREAM_TYPES: [&str; 9] = [
    "mp4", "mp3", "flv", "f4v", "id3", "raw", "smil", "ngrp", "amlst",
];
