//! The status page. It works without scripts; a script reloads its content.

mod html;
mod sparkline;
#[cfg(test)]
mod tests;

use std::{fmt, sync::LazyLock, time::Instant};

use base64::{Engine, engine::general_purpose::STANDARD};
use jiff::Timestamp;
use sha2::{Digest, Sha256};

use self::{html::escaped, sparkline::sparkline};
use crate::cli::{
    report::status::{LastGap, Registry, State, StreamStatus, Totals},
    terminal::{time_format::hms, units::size},
};

/// Returns the page with the current status of all streams.
pub(super) fn render(registry: &Registry, now: Instant) -> String {
    let mut streams = Vec::new();
    registry.for_each(|stream| streams.push(stream.clone()));
    // Stable, so that each group stays in the order of the names.
    streams.sort_by_key(|stream| !stream.has_trouble(now));
    let view = View {
        streams: &streams,
        totals: registry.totals(now),
        now,
        second: registry.second(now),
        time: Timestamp::now(),
    };
    view.to_string()
}

/// Returns the policy that permits the style and the script of the page and nothing else.
pub(super) fn content_security_policy() -> &'static str {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = |text: &str| STANDARD.encode(Sha256::digest(text));
        format!(
            "default-src 'none'; style-src 'sha256-{}'; script-src 'sha256-{}'; connect-src 'self'; \
             base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            hash(STYLE),
            hash(SCRIPT)
        )
    });
    &POLICY
}

/// Content of the page.
struct View<'a> {
    streams: &'a [StreamStatus],
    totals: Totals,
    now: Instant,
    second: u64,
    time: Timestamp,
}

impl fmt::Display for View<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let title = match self.totals.trouble {
            0 => "no stream has trouble".to_owned(),
            1 => "1 stream has trouble".to_owned(),
            count => format!("{count} streams have trouble"),
        };
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>rtmpull: {title}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n\
             <p id=\"stale\" role=\"alert\" hidden>No answer from rtmpull. The values below are old.</p>\n<main>\n"
        )?;
        self.write_header(f)?;
        self.write_table(f)?;
        write!(f, "</main>\n<footer>")?;
        writeln!(
            f,
            "<noscript>Reload the page for new values. </noscript>rtmpull {} · <a href=\"metrics\">metrics</a> · \
             <a href=\"healthz\">health</a> · <a href=\"readyz\">readiness</a></footer>",
            env!("CARGO_PKG_VERSION")
        )?;
        writeln!(f, "<script>{SCRIPT}</script>\n</body>\n</html>")
    }
}

impl View<'_> {
    fn write_header(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let totals = &self.totals;
        write!(f, "<header>\n<h1>rtmpull</h1>\n<ul class=\"totals\">\n")?;
        for state in State::ALL {
            let count = totals.of(state);
            let class = match state {
                State::Failed if count > 0 => " class=\"bad\"",
                _ => "",
            };
            if count > 0 || state == State::Playing {
                writeln!(f, "<li{class}><strong>{count}</strong> {state}</li>")?;
            }
        }
        writeln!(f, "<li><strong>{}/s</strong></li>", size(totals.rate))?;
        writeln!(
            f,
            "<li><strong>{}</strong> {} ({:.1} s)</li>",
            totals.gaps,
            if totals.gaps == 1 { "gap" } else { "gaps" },
            totals.gaps_ms as f64 / 1000.0
        )?;
        writeln!(
            f,
            "<li>{}</li>\n</ul>\n</header>",
            time(self.time, DATE_AND_TIME)
        )
    }

    fn write_table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.streams.is_empty() {
            return writeln!(f, "<p class=\"empty\">There are no streams.</p>");
        }
        write!(
            f,
            "<table role=\"table\">\n<caption>Streams</caption>\n<thead role=\"rowgroup\">\n<tr role=\"row\">"
        )?;
        for column in [
            "Stream",
            "State",
            "Rate, last minute",
            "Position",
            "Gaps",
            "File",
        ] {
            write!(f, "<th scope=\"col\" role=\"columnheader\">{column}</th>")?;
        }
        write!(f, "</tr>\n</thead>\n<tbody role=\"rowgroup\">\n")?;
        for stream in self.streams {
            self.write_row(f, stream)?;
        }
        write!(f, "</tbody>\n</table>\n")
    }

    fn write_row(&self, f: &mut fmt::Formatter<'_>, stream: &StreamStatus) -> fmt::Result {
        let name = escaped(&stream.name);
        writeln!(
            f,
            "<tr role=\"row\">\n<th scope=\"row\" role=\"rowheader\">{name}</th>"
        )?;
        self.write_state(f, stream)?;
        let samples: Vec<u32> = stream.rate.samples(self.second).collect();
        writeln!(
            f,
            "<td role=\"cell\" class=\"rate-cell\" data-label=\"Rate, last minute\"><span class=\"rate\">{}<span>{}/s</span></span></td>",
            sparkline(&samples),
            size(stream.rate.current(self.second))
        )?;
        let received = size(stream.received_bytes);
        writeln!(
            f,
            "<td role=\"cell\" data-label=\"Position\">{}<small>{received}</small></td>",
            hms(stream.position_ms)
        )?;
        write_gaps(f, stream)?;
        write_file(f, stream)?;
        writeln!(f, "</tr>")
    }

    fn write_state(&self, f: &mut fmt::Formatter<'_>, stream: &StreamStatus) -> fmt::Result {
        let state = stream.state;
        let is_silent =
            !state.is_over() && state != State::Reconnecting && stream.has_trouble(self.now);
        let class = if is_silent { "silent" } else { state.word() };
        write!(
            f,
            "<td role=\"cell\" class=\"state-cell\"><span class=\"state {class}\">{state}</span>"
        )?;
        if let Some(end) = &stream.end {
            let (word, reason) = (escaped(&end.word), escaped(&end.reason));
            write!(f, "<small>{word}: {reason}</small>")?;
        } else {
            let since = self.now.saturating_duration_since(stream.since);
            write!(f, "<small>for {}", hms(milliseconds(since)))?;
            if let Some(silence) = stream.silence(self.now).filter(|_| is_silent) {
                write!(f, ", no media for {}", hms(milliseconds(silence)))?;
            }
            if stream.attempts > 1 {
                write!(f, ", attempt {}", stream.attempts)?;
            }
            write!(f, "</small>")?;
        }
        writeln!(f, "</td>")
    }
}

fn write_gaps(f: &mut fmt::Formatter<'_>, stream: &StreamStatus) -> fmt::Result {
    write!(f, "<td role=\"cell\" data-label=\"Gaps\">")?;
    match &stream.last_gap {
        None => write!(f, "<span class=\"none\">none</span>")?,
        Some(gap) => {
            let total = stream.gaps_ms as f64 / 1000.0;
            write!(f, "{} ({total:.1} s)", stream.gaps)?;
            write_last_gap(f, gap)?;
        }
    }
    if stream.drops.gaps > 0 {
        write!(
            f,
            "<small>the pipe lacks {} frames ({:.1} s)</small>",
            stream.drops.frames,
            stream.drops.length_ms as f64 / 1000.0
        )?;
    }
    writeln!(f, "</td>")
}

fn write_last_gap(f: &mut fmt::Formatter<'_>, gap: &LastGap) -> fmt::Result {
    write!(
        f,
        "<small>last: {:.1} s, {}, {}</small>",
        gap.length_ms as f64 / 1000.0,
        time(gap.began, TIME),
        escaped(&gap.reason)
    )
}

fn write_file(f: &mut fmt::Formatter<'_>, stream: &StreamStatus) -> fmt::Result {
    write!(f, "<td role=\"cell\" class=\"file\" data-label=\"File\">")?;
    match &stream.current_file {
        None => write!(f, "<span class=\"none\">none</span>")?,
        Some(file) => write!(f, "{}", escaped(file))?,
    }
    if stream.segments > 0 {
        write!(f, "<small>{} complete</small>", stream.segments)?;
    }
    writeln!(f, "</td>")
}

/// Formats a time in UTC as an element that also contains it in the form of RFC 3339.
fn time(at: Timestamp, format: &str) -> String {
    format!("<time datetime=\"{at:.0}\">{}</time>", at.strftime(format))
}

fn milliseconds(duration: std::time::Duration) -> u64 {
    duration.as_millis().try_into().unwrap_or(u64::MAX)
}

const DATE_AND_TIME: &str = "%Y-%m-%d %H:%M:%S UTC";

const TIME: &str = "%H:%M:%S UTC";

const STYLE: &str = include_str!("style.css");

const SCRIPT: &str = include_str!("refresh.js");
