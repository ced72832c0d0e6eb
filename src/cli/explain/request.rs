//! A request as a command line, which can be changed.

use std::ffi::OsString;

use anyhow::{Result, anyhow};

use crate::{
    cli::{
        args::{Args, GivenOption, NoDownload},
        job::{self, Environment},
        rtmpdump::librtmp,
        terminal::sanitize::secret_ranges,
    },
    core::{amf::raw_bytes, rtmp::target::Scheme},
    download::Job,
};

/// The options of a command line. A changed request is parsed and resolved like any other, so that the printed
/// command line makes the same request as the attempt.
#[derive(Debug, Clone)]
pub(super) struct Request {
    options: Vec<GivenOption>,
}

impl Request {
    pub(super) fn of(args: &Args) -> Self {
        let given = args.explain.given.iter();
        let options = given.filter(|option| !["explain", "json"].contains(&option.id.as_str()));
        Self {
            options: options.cloned().collect(),
        }
    }

    /// Sets the value of an option, and removes its other values.
    pub(super) fn set(&mut self, long: &str, value: &str) {
        self.remove(long);
        self.add(long, Some(value.into()));
    }

    /// Sets the value of an option that has none.
    pub(super) fn set_if_missing(&mut self, long: &str, value: &str) {
        if !self.has(long) {
            self.add(long, Some(value.into()));
        }
    }

    /// Adds an option without a value.
    pub(super) fn add_flag(&mut self, long: &str) {
        if !self.has(long) {
            self.add(long, None);
        }
    }

    /// Removes an option.
    pub(super) fn remove(&mut self, long: &str) {
        let is_other = |option: &GivenOption| option.long.as_deref() != Some(long);
        self.options.retain(is_other);
    }

    /// Replaces scheme and port, in the URL or in the options that override it.
    pub(super) fn set_server(&mut self, scheme: Scheme, port: u16) {
        let has_host = self.has("host");
        let url = self.url_mut().map(|url| {
            let text = raw_bytes::decode(url.as_encoded_bytes());
            let changed = with_server(&text, scheme, port);
            if let Some(changed) = &changed {
                *url = changed.into();
            }
            changed.is_some()
        });
        let is_in_url = url == Some(true);
        if self.has("protocol") || !is_in_url {
            self.set("protocol", scheme.name());
        }
        if self.has("port") || !is_in_url || has_host {
            self.set("port", &port.to_string());
        }
    }

    fn has(&self, long: &str) -> bool {
        let mut options = self.options.iter();
        options.any(|option| option.long.as_deref() == Some(long))
    }

    fn add(&mut self, long: &str, value: Option<OsString>) {
        self.options.push(GivenOption {
            id: id_of(long).to_owned(),
            long: Some(long.to_owned()),
            value,
        });
    }

    /// Returns the URL. Text that cannot be represented as it is stays unchanged.
    fn url_mut(&mut self) -> Option<&mut OsString> {
        let is_url = |option: &GivenOption| ["stream", "rtmp", "url"].contains(&option.id.as_str());
        let option = self.options.iter_mut().find(|option| is_url(option))?;
        option.value.as_mut()
    }

    /// Whether the request may contain a secret: a login, a token, or a query, whose meaning depends on the server.
    pub(super) fn has_secrets(&self) -> bool {
        self.options.iter().any(|option| {
            let value = option.value.as_ref().map(|value| value.to_string_lossy());
            let value = value.unwrap_or_default();
            SECRET.contains(&option.id.as_str())
                || value.contains('?')
                || !secret_ranges(&value).is_empty()
        })
    }

    /// Resolves the request. Steps without a timeout get a short one.
    pub(super) fn resolve(&self, environment: &Environment) -> Result<(Args, Job)> {
        let words = ["rtmpull".into(), "--flv=-".into()].into_iter();
        let options = self.options.iter().filter(|option| option.is_of_request());
        let (urls, options): (Vec<_>, Vec<_>) = options.partition(|option| option.long.is_none());
        let words = words
            .chain(options.into_iter().map(word))
            .chain(["--".into()])
            .chain(urls.into_iter().map(word));
        let args = Args::read(words).map_err(|no_download| match no_download {
            NoDownload::Usage(message) => anyhow!(message),
            _ => anyhow!("the options start no download"),
        })?;
        let mut args = librtmp::apply_url_options(&args)?;
        args.timeout.get_or_insert(DEFAULT_TIMEOUT_SECONDS);
        let job = job::resolve(&args, environment)?;
        Ok((args, job))
    }

    /// Returns the command line for a shell. `clean` removes secrets and control characters from a word.
    pub(super) fn command_line(&self, clean: impl Fn(&str) -> String) -> String {
        let (urls, options): (Vec<_>, Vec<_>) = self
            .options
            .iter()
            .partition(|option| option.long.is_none());
        let mut words = vec!["rtmpull".to_owned()];
        for option in urls.into_iter().chain(options) {
            let value = option.value.as_ref().map(|value| value.to_string_lossy());
            words.extend(option.long.as_ref().map(|long| format!("--{long}")));
            words.extend(value.map(|value| clean(&value)));
        }
        shell_words::join(words)
    }
}

/// Returns an option and its value as one word, so that no value is taken for an option.
fn word(option: &GivenOption) -> OsString {
    let value = option.value.as_ref();
    match (&option.long, value) {
        (Some(long), Some(value)) => {
            let mut word = OsString::from(format!("--{long}="));
            word.push(value);
            word
        }
        (Some(long), None) => format!("--{long}").into(),
        (None, value) => value.cloned().unwrap_or_default(),
    }
}

/// Returns the field of an option that a change adds.
fn id_of(long: &str) -> &str {
    match long {
        "swfUrl" => "swf_url",
        "pageUrl" => "page_url",
        "no-enhanced" => "no_enhanced",
        long => long,
    }
}

/// Returns `url` with another scheme and port. A default port is left out. `None` if the text is not a URL, or
/// contains bytes that a string cannot represent.
fn with_server(url: &str, scheme: Scheme, port: u16) -> Option<String> {
    let (_, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?', '#', ' ']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at(end);
    let (user, server) = match authority.rsplit_once('@') {
        Some((user, server)) => (format!("{user}@"), server),
        None => (String::new(), authority),
    };
    let host = match server.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => host,
        _ => server,
    };
    let port = match port == scheme.default_port() {
        true => String::new(),
        false => format!(":{port}"),
    };
    let is_text = !url.contains(|c| raw_bytes::byte_of(c).is_some());
    is_text.then(|| format!("{scheme}://{user}{host}{port}{path}"))
}

/// Options whose values are secrets.
const SECRET: [&str; 7] = [
    "auth",
    "token",
    "jtv",
    "user",
    "password",
    "password_file",
    "conn",
];

/// Timeout of each step if the user sets none: an explanation makes several attempts.
const DEFAULT_TIMEOUT_SECONDS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn request(line: &[&str]) -> Request {
        let words = ["rtmpull", "--explain"].iter().chain(line);
        Request::of(&Args::read(words.map(OsString::from)).unwrap())
    }

    fn shown(request: &Request) -> String {
        request.command_line(str::to_owned)
    }

    #[test]
    fn the_command_line_contains_every_option_once_in_full() {
        let line = [
            "-vo",
            "out file.flv",
            "--swfU",
            "http://h/a b",
            "rtmp://h/a/b",
            "-m",
            "3",
            "-m",
            "4",
        ];
        assert_eq!(
            shown(&request(&line)),
            "rtmpull rtmp://h/a/b --live --flv 'out file.flv' --swfUrl 'http://h/a b' --timeout 4"
        );
    }

    #[test]
    fn options_of_the_recording_are_shown_but_not_resolved() {
        let folder = tempfile::tempdir().unwrap();
        let (file, manifest) = (folder.path().join("old.flv"), folder.path().join("list"));
        std::fs::write(&file, "old").unwrap();
        let names = [file.to_str().unwrap(), manifest.to_str().unwrap()];
        let line = [
            "--live",
            "rtmp://h/a/b",
            "-o",
            names[0],
            "--manifest",
            names[1],
        ];
        let request = request(&line);
        request.resolve(&Environment::default()).unwrap();
        assert!(shown(&request).contains("--manifest"));
        assert!(!manifest.exists());
    }

    #[test]
    fn scheme_and_port_are_replaced_where_they_are_given() {
        let mut cases = [
            (vec!["rtmp://h/a/b"], "rtmpull rtmps://h:1935/a/b"),
            (
                vec!["rtmp://joe:p@[::1]:80/a/b?c"],
                "rtmpull 'rtmps://joe:p@[::1]:1935/a/b?c'",
            ),
            (
                vec!["rtmp://h:1/a/b", "--port", "2"],
                "rtmpull rtmps://h:1935/a/b --port 1935",
            ),
            (
                vec!["rtmp://h/a/b", "--protocol", "rtmpt"],
                "rtmpull rtmps://h:1935/a/b --protocol rtmps",
            ),
            (
                vec!["--host", "h", "--app", "a", "--playpath", "b"],
                "rtmpull --host h --app a --playpath b --protocol rtmps --port 1935",
            ),
        ];
        for (line, expected) in &mut cases {
            let mut request = request(line);
            request.set_server(Scheme::Rtmps, 1935);
            assert_eq!(shown(&request), *expected);
            let (_, job) = request.resolve(&Environment::default()).unwrap();
            assert_eq!(job.route.endpoint.port, 1935);
            assert!(job.route.carrier.is_tls());
        }
    }

    #[test]
    fn an_unset_timeout_is_short() {
        let timeout = |line: &[&str]| {
            request(line)
                .resolve(&Environment::default())
                .unwrap()
                .0
                .timeout
        };
        assert_eq!(timeout(&["rtmp://h/a/b"]), Some(DEFAULT_TIMEOUT_SECONDS));
        assert_eq!(timeout(&["rtmp://h/a/b", "-m", "0"]), Some(0));
    }
}
