//! Standard error, one line at a time: the only way out for what the report and the log have to say.
//! A log file may stand beside it.

use std::{
    fmt::{self, Write as _},
    fs::File,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressDrawTarget};
use jiff::Timestamp;
use tracing::{
    Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
};

use super::sanitize::{escaped, grants_access, hidden, redacted};
use crate::cli::{
    args::Verbosity,
    report::json::event::{Event, EventWriter},
};
use crate::core::rtmp::properties;

/// What people and front ends look at. On a terminal a bar stays below the lines; elsewhere a status
/// line is written over and over.
pub struct Screen {
    verbosity: Verbosity,
    has_bar: bool,
    bar: ProgressBar,
    out: Mutex<Out>,
    log: OnceLock<Mutex<File>>,
    secrets: Mutex<Vec<String>>,
    /// Lines are events, and nothing else is written.
    teller: Option<Arc<EventWriter>>,
}

struct Out {
    sink: Box<dyn Write + Send>,
    /// Whether the last thing written has no line end.
    is_in_status: bool,
}

impl Screen {
    /// Standard error, as `verbosity` wants it; `may_have_bar` where it is a terminal.
    pub fn stderr(verbosity: Verbosity, may_have_bar: bool) -> Self {
        let stderr = io::stderr();
        let has_bar = may_have_bar && stderr.is_terminal();
        Self::new(verbosity, has_bar, Box::new(stderr))
    }

    /// Standard error for scripts: each line is an event.
    pub fn events(verbosity: Verbosity, teller: Arc<EventWriter>) -> Self {
        Self {
            teller: Some(teller),
            ..Self::new(verbosity, false, Box::new(io::sink()))
        }
    }

    fn new(verbosity: Verbosity, has_bar: bool, sink: Box<dyn Write + Send>) -> Self {
        Self {
            verbosity,
            has_bar,
            // The bar is not drawn before there is something to show.
            bar: ProgressBar::hidden(),
            out: Mutex::new(Out {
                sink,
                is_in_status: false,
            }),
            log: OnceLock::new(),
            secrets: Mutex::default(),
            teller: None,
        }
    }

    /// Whether each line is an event.
    pub fn is_for_scripts(&self) -> bool {
        self.teller.is_some()
    }

    /// Adds each line to `file` from now on, with the time, whatever is printed.
    pub fn log_into(&self, file: &Path) -> io::Result<()> {
        let file = File::options().append(true).create(true).open(file)?;
        self.log.get_or_init(|| Mutex::new(file));
        Ok(())
    }

    /// Has these words printed nowhere from now on.
    pub fn hide(&self, secrets: impl IntoIterator<Item = String>) {
        let mut hidden = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        hidden.extend(secrets);
    }

    /// Prints a line, without secrets, no longer than anybody reads, and escaped.
    pub fn line(&self, text: &str) {
        self.print(Verbosity::Normal, &Level::INFO, &self.cleaned(text));
    }

    /// `text` without secrets and no longer than anybody reads, but not escaped.
    pub fn redacted(&self, text: &str) -> String {
        cut(&self.without_secrets(text))
    }

    fn cleaned(&self, text: &str) -> String {
        shown(&self.without_secrets(text))
    }

    fn without_secrets(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        redacted(&hidden(text, &secrets))
    }

    /// Prints what is asked for by `verbosity`, and logs what is worth logging.
    fn print(&self, verbosity: Verbosity, level: &Level, text: &str) {
        match &self.teller {
            _ if verbosity > self.verbosity => {}
            Some(teller) => teller.tell(&Event::Log {
                level: &level.as_str().to_ascii_lowercase(),
                text,
            }),
            None => self.bar.suspend(|| self.write(text, Ending::Line)),
        }
        if verbosity <= self.verbosity.max(LOGGED)
            && let Some(log) = self.log.get()
        {
            let line = format!("{} {text}\n", clock(Timestamp::now()));
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = log.write_all(line.as_bytes());
        }
    }

    /// Prints a line of status, which the next one overwrites.
    pub fn status(&self, text: &str) {
        self.write(text, Ending::Status);
    }

    /// Prints a mark behind those that stand there already.
    pub fn mark(&self, text: &str) {
        self.write(text, Ending::Mark);
    }

    /// The bar to show instead of status lines, if there is one.
    pub fn bar(&self) -> Option<&ProgressBar> {
        (self.has_bar && self.verbosity > Verbosity::Quiet).then_some(&self.bar)
    }

    /// Draws the bar from now on.
    pub fn show_bar(&self) {
        if let Some(bar) = self.bar() {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(BAR_HZ));
        }
    }

    /// A screen that nobody sees any more is no reason to stop: errors are ignored.
    fn write(&self, text: &str, ending: Ending) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match (ending, out.is_in_status) {
            (Ending::Line, false) => format!("{text}\n"),
            (Ending::Line, true) => format!("\n{text}\n"),
            (Ending::Status, _) => format!("\r{text}"),
            (Ending::Mark, _) => text.to_owned(),
        };
        out.is_in_status = ending != Ending::Line;
        let _ = out.sink.write_all(text.as_bytes());
        let _ = out.sink.flush();
    }
}

impl fmt::Debug for Screen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Screen").finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    Line,
    Status,
    Mark,
}

fn shown(text: &str) -> String {
    escaped(&cut(text))
}

fn cut(text: &str) -> String {
    if text.len() <= LINE_BYTES {
        return text.to_owned();
    }
    let (start, _) = text.split_at(text.floor_char_boundary(LINE_BYTES));
    start.to_owned() + " …"
}

/// The time in Greenwich as RFC 3339 has it: `2026-11-22T15:04:05.678Z`.
pub(in crate::cli) fn clock(now: Timestamp) -> String {
    format!("{now:.3}")
}

/// Sends what the program logs to `screen`, as much as it shows and logs.
pub fn log_to(screen: &Arc<Screen>) {
    let wanted = match screen.log.get() {
        Some(_) => screen.verbosity.max(LOGGED),
        None => screen.verbosity,
    };
    let level = match wanted {
        Verbosity::Quiet => LevelFilter::OFF,
        Verbosity::Normal => LevelFilter::INFO,
        Verbosity::Verbose => LevelFilter::DEBUG,
        Verbosity::Debug => LevelFilter::TRACE,
    };
    let log = Log::on(Arc::clone(screen));
    let subscriber = tracing_subscriber::registry().with(level).with(log);
    // Fails where there is a log already, which then stays.
    let _ = tracing::subscriber::set_global_default(subscriber);
}

/// Events as rtmpdump's lines: `LEVEL: text`. A server can cause them without end, so those that
/// nobody asked for have a limit.
struct Log {
    screen: Arc<Screen>,
    unasked: AtomicUsize,
}

impl Log {
    fn on(screen: Arc<Screen>) -> Self {
        Self {
            screen,
            unasked: AtomicUsize::new(0),
        }
    }
}

impl<S: Subscriber> Layer<S> for Log {
    fn on_event(&self, event: &tracing::Event<'_>, _: Context<'_, S>) {
        let metadata = event.metadata();
        let (name, verbosity) = match *metadata.level() {
            Level::ERROR => ("ERROR", Verbosity::Normal),
            Level::WARN => ("WARNING", Verbosity::Normal),
            Level::INFO => ("INFO", Verbosity::Normal),
            Level::DEBUG => ("DEBUG", Verbosity::Verbose),
            Level::TRACE => ("DEBUG2", Verbosity::Debug),
        };
        if verbosity == Verbosity::Normal {
            match self.unasked.fetch_add(1, Ordering::Relaxed) {
                0..UNASKED_LINES => {}
                UNASKED_LINES => return self.screen.line("INFO: more messages are not printed"),
                _ => return,
            }
        }
        if metadata.target() == properties::TARGET {
            let mut property = Property::default();
            event.record(&mut property);
            return self.screen.print(
                verbosity,
                metadata.level(),
                &property.line(name, &self.screen),
            );
        }
        let mut line = Line(format!("{name}:"));
        event.record(&mut line);
        let line = self.screen.cleaned(&line.0);
        self.screen.print(verbosity, metadata.level(), &line);
    }
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
        written.expect("a string takes everything");
    }
}

/// A member of what a server sent, in the layout of rtmpdump's: front ends look for `redirect`.
#[derive(Default)]
struct Property {
    message: Option<String>,
    name: Option<String>,
    kind: String,
    value: Option<String>,
}

impl Property {
    fn line(self, level: &str, screen: &Screen) -> String {
        if let Some(message) = self.message {
            return format!("{level}: {message}");
        }
        if self.kind == "NULL" {
            return format!("{level}: Property: NULL");
        }
        let name = self.name.unwrap_or_default();
        let value = match self.value {
            // Where the server sends us is the one thing that a front end cannot do without.
            Some(value) if name == "redirect" => format!(":\t{}", shown(&value)),
            Some(_) if self.kind == "STRING" && grants_access(&name) => ":\t***".to_owned(),
            Some(value) => format!(":\t{}", screen.cleaned(&value)),
            None => String::new(),
        };
        let name = escaped(&name);
        format!(
            "{level}: Property: <Name: {name:>18.18}, {}{value}>",
            self.kind
        )
    }

    fn set(&mut self, kind: &str, value: String) {
        kind.clone_into(&mut self.kind);
        self.value = Some(value);
    }
}

impl Visit for Property {
    fn record_f64(&mut self, _: &Field, value: f64) {
        self.set("NUMBER", format!("{value:.2}"));
    }

    fn record_bool(&mut self, _: &Field, value: bool) {
        self.set("BOOLEAN", if value { "TRUE" } else { "FALSE" }.to_owned());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "kind" => value.clone_into(&mut self.kind),
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = Some(value),
            "name" => self.name = Some(value),
            _ => self.set("STRING", value),
        }
    }
}

/// A server may put 16 MiB into a single status.
const LINE_BYTES: usize = 8192;

/// Messages without -V: more than any honest download brings about.
const UNASKED_LINES: usize = 1000;

/// How often the bar is drawn at the most.
const BAR_HZ: u8 = 10;

/// What a log file has in it, however little is printed.
const LOGGED: Verbosity = Verbosity::Verbose;

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;

    /// What a screen wrote.
    #[derive(Clone, Default)]
    pub(in crate::cli) struct Written(Arc<Mutex<Vec<u8>>>);

    impl Written {
        pub(in crate::cli) fn take(&self) -> String {
            String::from_utf8(std::mem::take(&mut self.0.lock().unwrap())).unwrap()
        }
    }

    impl Write for Written {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    pub(in crate::cli) fn plain(verbosity: Verbosity) -> (Arc<Screen>, Written) {
        let written = Written::default();
        let screen = Screen::new(verbosity, false, Box::new(written.clone()));
        (Arc::new(screen), written)
    }

    #[test]
    fn writes_status_lines_over_each_other_and_lines_below() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.line("one");
        screen.status("1.000 kB");
        screen.status("2.000 kB");
        screen.line("two");
        screen.line("three");
        assert_eq!(written.take(), "one\n\r1.000 kB\r2.000 kB\ntwo\nthree\n");
    }

    #[test]
    fn lets_neither_commands_nor_secrets_through() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.line("a\x1b[2Jb\nc rtmp://me:pw@host/?token=t");
        assert_eq!(
            written.take(),
            "a\\u{1b}[2Jb\\nc rtmp://***@host/?token=***\n"
        );
    }

    #[test]
    fn cuts_what_nobody_reads_after_the_secrets_are_out() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.line(&format!("rtmp://me:{}@host/", "pw".repeat(LINE_BYTES)));
        assert_eq!(written.take(), "rtmp://***@host/\n");
        screen.line(&format!("{}é", "x".repeat(LINE_BYTES - 1)));
        assert_eq!(
            written.take(),
            format!("{} …\n", "x".repeat(LINE_BYTES - 1))
        );
    }

    #[test]
    fn hides_what_it_is_told_to() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.hide(vec!["s3cret".to_owned()]);
        screen.line("no s3cret here");
        assert_eq!(written.take(), "no *** here\n");
    }

    #[test]
    fn marks_stand_in_a_row() {
        let (screen, written) = plain(Verbosity::Normal);
        (0..3).for_each(|_| screen.mark("#"));
        screen.line("done");
        assert_eq!(written.take(), "###\ndone\n");
    }

    #[test]
    fn logs_what_verbose_prints_with_the_time() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("log");
        for verbosity in [Verbosity::Quiet, Verbosity::Debug] {
            let (screen, written) = plain(verbosity);
            screen.log_into(&file).unwrap();
            screen.line("line rtmp://me:pw@host");
            screen.status("status");
            let log = tracing_subscriber::registry().with(Log::on(screen));
            tracing::subscriber::with_default(log, || {
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
    fn knows_the_date() {
        let at = |seconds: i64| clock(Timestamp::from_millisecond(seconds * 1000 + 7).unwrap());
        assert_eq!(at(0), "1970-01-01T00:00:00.007Z");
        assert_eq!(at(951_782_400), "2000-02-29T00:00:00.007Z");
        assert_eq!(at(253_402_200_000), "9999-12-30T20:00:00.007Z");
    }

    #[test]
    fn says_nothing_where_it_is_quiet() {
        let (screen, written) = plain(Verbosity::Quiet);
        screen.line("one");
        screen.status("two");
        screen.show_bar();
        assert!(screen.bar().is_none());
        assert_eq!(written.take(), "");
    }

    #[test]
    fn a_server_that_warns_and_warns_is_not_listened_to_for_ever() {
        let (screen, written) = plain(Verbosity::Normal);
        let log = tracing_subscriber::registry().with(Log::on(screen));
        tracing::subscriber::with_default(log, || {
            (0..5 * UNASKED_LINES).for_each(|_| tracing::warn!("again"));
        });
        let lines = written.take();
        assert_eq!(lines.lines().count(), UNASKED_LINES + 1);
        assert!(lines.ends_with("INFO: more messages are not printed\n"));
    }

    #[test]
    fn tells_of_properties_as_rtmpdump_does() {
        let (screen, written) = plain(Verbosity::Verbose);
        screen.hide(["s3cret".to_owned()]);
        let log = tracing_subscriber::registry().with(Log::on(screen));
        tracing::subscriber::with_default(log, || {
            let url = "rtmp://me:pw@h/a?token=s3cret\x1b";
            tracing::debug!(target: properties::TARGET, "(object begin)");
            tracing::debug!(target: properties::TARGET, name = "code", number = 302.0);
            tracing::debug!(target: properties::TARGET, name = "fpad", boolean = false);
            tracing::debug!(target: properties::TARGET, name = "ex", kind = "OBJECT");
            tracing::debug!(target: properties::TARGET, name = "redirect", string = %url);
            tracing::debug!(target: properties::TARGET, name = "redirect2", string = %url);
            tracing::debug!(target: properties::TARGET, name = "secureToken", string = "x");
            tracing::debug!(target: properties::TARGET, name = "a name of many letters", string = "");
            tracing::debug!(target: properties::TARGET, kind = "NULL");
            tracing::trace!(target: properties::TARGET, name = "no-name.", number = 1.0);
        });
        assert_eq!(
            written.take(),
            "DEBUG: (object begin)\n\
             DEBUG: Property: <Name:               code, NUMBER:\t302.00>\n\
             DEBUG: Property: <Name:               fpad, BOOLEAN:\tFALSE>\n\
             DEBUG: Property: <Name:                 ex, OBJECT>\n\
             DEBUG: Property: <Name:           redirect, STRING:\trtmp://me:pw@h/a?token=s3cret\\u{1b}>\n\
             DEBUG: Property: <Name:          redirect2, STRING:\trtmp://***@h/a?token=***>\n\
             DEBUG: Property: <Name:        secureToken, STRING:\t***>\n\
             DEBUG: Property: <Name: a name of many let, STRING:\t>\n\
             DEBUG: Property: NULL\n"
        );
    }

    #[test]
    fn names_levels_as_rtmpdump_does() {
        let (screen, written) = plain(Verbosity::Debug);
        let log = tracing_subscriber::registry().with(Log::on(screen));
        tracing::subscriber::with_default(log, || {
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
