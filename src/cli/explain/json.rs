//! An explanation as one JSON object.

use serde::Serialize;

use super::{
    Explanation,
    attempt::{Tried, What},
    change::Change,
};
use crate::{
    cli::terminal::{sanitize::escaped_json, screen::Screen},
    core::rtmp::{client::config::Start, handshake::Mode},
    download::Hint,
};

/// Version of the members; it changes if a member changes its meaning.
const SCHEMA_VERSION: u32 = 1;

#[derive(Serialize)]
struct Document {
    schema_version: u32,
    plays: bool,
    command: Option<String>,
    remedies: Vec<Remedy>,
    untried: usize,
    exit_code: u8,
    attempts: Vec<Attempt>,
}

#[derive(Serialize)]
struct Remedy {
    code: &'static str,
    text: String,
}

#[derive(Serialize)]
struct Attempt {
    number: usize,
    changes: Vec<&'static str>,
    description: String,
    request: Request,
    connections: u32,
    reached: &'static str,
    plays: bool,
    ending: String,
    reason: String,
    ms: u64,
    hints: Vec<&'static str>,
}

#[derive(Serialize)]
struct Request {
    scheme: &'static str,
    host: String,
    port: u16,
    app: String,
    playpath: String,
    tc_url: String,
    live: bool,
    start_ms: Option<u32>,
    handshake: &'static str,
    swf_url: Option<String>,
    page_url: Option<String>,
    enhanced: bool,
    proxy: bool,
}

/// Returns the object on one line. Secrets are masked, and control characters are escaped.
pub(super) fn document(explanation: &Explanation, screen: &Screen) -> String {
    let clean = |text: &str| screen.redacted(text);
    let remedies = explanation.remedies();
    let document = Document {
        schema_version: SCHEMA_VERSION,
        plays: explanation.plays(),
        command: explanation.command_line(screen),
        remedies: remedies
            .map(|(code, text)| Remedy {
                code,
                text: clean(&text),
            })
            .collect(),
        untried: explanation.untried,
        exit_code: explanation.exit() as u8,
        attempts: (1..)
            .zip(&explanation.tried)
            .map(|(number, tried)| attempt(number, tried, &clean))
            .collect(),
    };
    // Serializing texts and numbers cannot fail.
    let json = serde_json::to_string(&document).unwrap_or_default();
    format!("{}\n", escaped_json(&json))
}

fn attempt(number: usize, tried: &Tried, clean: &impl Fn(&str) -> String) -> Attempt {
    Attempt {
        number,
        changes: tried.changes.iter().map(Change::code).collect(),
        description: clean(&super::text::changes(&tried.changes)),
        request: request(&tried.what, clean),
        connections: tried.connections,
        reached: tried.progress.reached.word(),
        plays: tried.plays(),
        ending: tried.word(),
        reason: clean(&tried.reason()),
        ms: u64::try_from(tried.time.as_millis()).unwrap_or(u64::MAX),
        hints: tried.outcome.hints.iter().map(Hint::code).collect(),
    }
}

fn request(what: &What, clean: &impl Fn(&str) -> String) -> Request {
    Request {
        scheme: what.scheme.name(),
        host: what.endpoint.host.clone(),
        port: what.endpoint.port,
        app: clean(&what.app),
        playpath: clean(&what.playpath),
        tc_url: clean(&what.tc_url),
        live: what.start == Start::Live,
        start_ms: match what.start {
            Start::At { ms } => Some(ms),
            Start::Live | Start::LiveElseRecorded => None,
        },
        handshake: match what.handshake {
            Mode::Auto => "auto",
            Mode::Plain => "plain",
            Mode::Digest => "digest",
        },
        swf_url: what.swf_url.as_deref().map(clean),
        page_url: what.page_url.as_deref().map(clean),
        enhanced: what.is_enhanced,
        proxy: what.has_proxy,
    }
}
