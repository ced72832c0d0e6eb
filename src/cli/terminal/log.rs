//! Prints log events on the screen and writes them to the log file.

use std::{
    fmt::{self, Write},
    sync::Arc,
};

use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
    span,
};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
    registry::LookupSpan,
};

use super::screen::{Kind, Screen, Source};
use crate::{
    cli::{args::Verbosity, rtmpdump::property_log::Property},
    core::rtmp::properties,
};

/// Sends the log events that `screen` prints or logs to it.
pub fn install(screen: &Arc<Screen>) {
    let level = match screen.logged() {
        Verbosity::Quiet => LevelFilter::OFF,
        Verbosity::Normal => LevelFilter::INFO,
        Verbosity::Verbose => LevelFilter::DEBUG,
        Verbosity::Debug => LevelFilter::TRACE,
    };
    let log = LogLayer {
        screen: Arc::clone(screen),
    };
    let subscriber = tracing_subscriber::registry().with(level).with(log);
    // Fails if a subscriber is already installed, which only happens in tests.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Formats events as rtmpdump does: `LEVEL: text`.
struct LogLayer {
    screen: Arc<Screen>,
}

/// Name of the field with the name of one of several streams, in the span of its download.
pub const STREAM: &str = "stream";

/// Name of a stream, stored with its span.
struct StreamName(Arc<str>);

impl<S: Subscriber + for<'a> LookupSpan<'a>> Layer<S> for LogLayer {
    fn on_new_span(
        &self,
        attributes: &span::Attributes<'_>,
        id: &span::Id,
        context: Context<'_, S>,
    ) {
        let mut found = FoundName(None);
        attributes.record(&mut found);
        if let (Some(name), Some(span)) = (found.0, context.span(id)) {
            span.extensions_mut().insert(StreamName(name));
        }
    }

    fn on_event(&self, event: &tracing::Event<'_>, context: Context<'_, S>) {
        let stream = stream_of(event, &context);
        let metadata = event.metadata();
        let (name, verbosity) = match *metadata.level() {
            Level::ERROR => ("ERROR", Verbosity::Normal),
            Level::WARN => ("WARNING", Verbosity::Normal),
            Level::INFO => ("INFO", Verbosity::Normal),
            Level::DEBUG => ("DEBUG", Verbosity::Verbose),
            Level::TRACE => ("DEBUG2", Verbosity::Debug),
        };
        let line = || {
            if metadata.target() == properties::TARGET {
                let mut property = Property::default();
                event.record(&mut property);
                return property.line(name, &self.screen);
            }
            let stream = stream.as_ref();
            let stream = stream.map_or_else(String::new, |stream| format!(" {stream}:"));
            let mut line = Line(format!("{name}:{stream}"));
            event.record(&mut line);
            self.screen.cleaned(&line.0)
        };
        let kind = Kind {
            source: Source::Log(metadata.callsite()),
            stream: stream.clone(),
        };
        self.screen
            .print_limited(verbosity, metadata.level(), kind, line);
    }
}

/// Returns the name of the stream whose download logs the event.
fn stream_of<S: Subscriber + for<'a> LookupSpan<'a>>(
    event: &tracing::Event<'_>,
    context: &Context<'_, S>,
) -> Option<Arc<str>> {
    let mut spans = context.event_scope(event)?;
    spans.find_map(|span| {
        let extensions = span.extensions();
        Some(Arc::clone(&extensions.get::<StreamName>()?.0))
    })
}

/// The name of a stream in the fields of a span.
struct FoundName(Option<Arc<str>>);

impl Visit for FoundName {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == STREAM {
            self.0 = Some(value.into());
        }
    }

    fn record_debug(&mut self, _: &Field, _: &dyn fmt::Debug) {}
}

struct Line(String);

impl Visit for Line {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let written = match field.name() {
            "message" => write!(self.0, " {value:?}"),
            name => write!(self.0, " {name}={value:?}"),
        };
        written.expect("writing to a string never fails");
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;
    use crate::cli::terminal::screen::tests::plain;

    /// Runs `log` with its messages on `screen`.
    pub(in crate::cli) fn logged(screen: &Arc<Screen>, log: impl FnOnce()) {
        let layer = LogLayer {
            screen: Arc::clone(screen),
        };
        let subscriber = tracing_subscriber::registry().with(layer);
        tracing::subscriber::with_default(subscriber, log);
    }

    #[test]
    fn the_log_file_has_the_output_of_verbose_with_times() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        for verbosity in [Verbosity::Quiet, Verbosity::Debug] {
            let (screen, written) = plain(verbosity);
            screen.open_log_file(&file).unwrap();
            screen.line("line rtmp://me:pw@host");
            screen.status("status");
            logged(&screen, || {
                tracing::debug!("debug");
                tracing::trace!("trace");
            });
            assert_eq!(written.take().is_empty(), verbosity == Verbosity::Quiet);
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let lines: Vec<_> = text
            .lines()
            .map(|line| line.split_once("Z ").unwrap())
            .collect();
        let texts: Vec<_> = lines.iter().map(|(_, text)| *text).collect();
        assert_eq!(
            texts,
            [
                "line rtmp://***@host",
                "DEBUG: debug",
                "line rtmp://***@host",
                "DEBUG: debug",
                "DEBUG2: trace"
            ]
        );
        assert!(
            lines
                .iter()
                .all(|(time, _)| time.len() == "2026-11-22T15:04:05.678".len())
        );
    }

    #[test]
    fn a_flood_of_one_kind_does_not_hide_another_kind() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        let (screen, written) = plain(Verbosity::Normal);
        screen.open_log_file(&file).unwrap();
        logged(&screen, || {
            for _ in 0..40_000 {
                tracing::warn!("again");
                tracing::debug!("and again");
            }
            tracing::warn!("once");
            screen.report_suppressed();
        });
        let text = written.take();
        assert!(text.len() < 128 << 10, "{} bytes", text.len());
        let lines: Vec<_> = text.lines().collect();
        let [first, .., once, total] = lines.as_slice() else {
            panic!("{text}")
        };
        assert_eq!((*first, *once), ("WARNING: again", "WARNING: once"));
        let notice = "INFO: too many messages of this kind, suppressing some";
        assert_eq!(lines.iter().filter(|line| **line == notice).count(), 1);
        let suppressed = 40_000 - (lines.len() - 3);
        assert_eq!(
            *total,
            format!("INFO: {suppressed} messages were suppressed")
        );
        let log = std::fs::read_to_string(&file).unwrap();
        assert!(log.len() < 4 << 20, "{} bytes", log.len());
        assert!(log.ends_with(" messages were suppressed\n"), "{log}");
    }

    #[test]
    fn levels_have_the_names_of_rtmpdump() {
        let (screen, written) = plain(Verbosity::Debug);
        logged(&screen, || {
            tracing::error!("server said {:?}", "no\x1b");
            tracing::warn!("plain");
            tracing::info!(bytes = 5, name = "\u{9b}x", "fields");
            tracing::debug!(only = true);
            tracing::trace!("chunk");
        });
        assert_eq!(
            written.take(),
            "ERROR: server said \"no\\u{1b}\"\n\
             WARNING: plain\n\
             INFO: fields bytes=5 name=\\u{9b}x\n\
             DEBUG: only=true\n\
             DEBUG2: chunk\n"
        );
    }
}
