//! Standard error, one line at a time: the only way out for what the report and the log have to say.

use std::{
    fmt::{self, Write as _},
    io::{self, IsTerminal, Write},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use indicatif::{ProgressBar, ProgressDrawTarget};
use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    filter::LevelFilter,
    layer::{Context, Layer, SubscriberExt},
};

use super::{
    args::Verbosity,
    terminal::{escaped, redacted},
};

/// What people and front ends look at. On a terminal a bar stays below the lines; elsewhere a status
/// line is written over and over.
pub struct Screen {
    is_quiet: bool,
    has_bar: bool,
    bar: ProgressBar,
    out: Mutex<Out>,
}

struct Out {
    sink: Box<dyn Write + Send>,
    /// Whether the last thing written has no line end.
    is_in_status: bool,
}

impl Screen {
    /// Standard error, as `verbosity` wants it.
    pub fn stderr(verbosity: Verbosity) -> Self {
        let stderr = io::stderr();
        let has_bar = stderr.is_terminal();
        Self::new(verbosity, has_bar, Box::new(stderr))
    }

    fn new(verbosity: Verbosity, has_bar: bool, sink: Box<dyn Write + Send>) -> Self {
        Self {
            is_quiet: verbosity == Verbosity::Quiet,
            has_bar,
            // The bar is not drawn before there is something to show.
            bar: ProgressBar::hidden(),
            out: Mutex::new(Out {
                sink,
                is_in_status: false,
            }),
        }
    }

    /// Prints a line, without secrets, no longer than anybody reads, and escaped.
    pub fn line(&self, text: &str) {
        if self.is_quiet {
            return;
        }
        let mut text = redacted(text);
        if text.len() > LINE_BYTES {
            text.truncate(text.floor_char_boundary(LINE_BYTES));
            text.push_str(" …");
        }
        let text = escaped(&text);
        self.bar.suspend(|| self.write(&text, Ending::Line));
    }

    /// Prints a line of status, which the next one overwrites.
    pub fn status(&self, text: &str) {
        self.write(text, Ending::Status);
    }

    /// The bar to show instead of status lines, if there is one.
    pub fn bar(&self) -> Option<&ProgressBar> {
        (self.has_bar && !self.is_quiet).then_some(&self.bar)
    }

    /// Draws the bar from now on.
    pub fn show_bar(&self) {
        if let Some(bar) = self.bar() {
            bar.set_draw_target(ProgressDrawTarget::stderr_with_hz(BAR_HZ));
        }
    }

    /// A screen that nobody sees any more is no reason to stop: errors are ignored.
    fn write(&self, text: &str, ending: Ending) {
        if self.is_quiet {
            return;
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match (ending, out.is_in_status) {
            (Ending::Line, false) => format!("{text}\n"),
            (Ending::Line, true) => format!("\n{text}\n"),
            (Ending::Status, _) => format!("\r{text}"),
        };
        out.is_in_status = ending == Ending::Status;
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
}

/// Sends what the program logs to `screen`, as much as `verbosity` wants.
pub fn log_to(screen: &Arc<Screen>, verbosity: Verbosity) {
    let level = match verbosity {
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
    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let level = match *event.metadata().level() {
            Level::ERROR => "ERROR",
            Level::WARN => "WARNING",
            Level::INFO => "INFO",
            Level::DEBUG => "DEBUG",
            Level::TRACE => "DEBUG2",
        };
        if *event.metadata().level() <= Level::INFO {
            match self.unasked.fetch_add(1, Ordering::Relaxed) {
                0..UNASKED_LINES => {}
                UNASKED_LINES => return self.screen.line("INFO: more messages are not printed"),
                _ => return,
            }
        }
        let mut line = Line(format!("{level}:"));
        event.record(&mut line);
        self.screen.line(&line.0);
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

/// A server may put 16 MiB into a single status.
const LINE_BYTES: usize = 8192;

/// Messages without -V: more than any honest download brings about.
const UNASKED_LINES: usize = 1000;

/// How often the bar is drawn at the most.
const BAR_HZ: u8 = 10;

#[cfg(test)]
pub(super) mod tests {
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
            "a\\u{1b}[2Jb\\nc rtmp://me:***@host/?token=***\n"
        );
    }

    #[test]
    fn cuts_what_nobody_reads_after_the_secrets_are_out() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.line(&format!("rtmp://me:{}@host/", "pw".repeat(LINE_BYTES)));
        assert_eq!(written.take(), "rtmp://me:***@host/\n");
        screen.line(&format!("{}é", "x".repeat(LINE_BYTES - 1)));
        assert_eq!(
            written.take(),
            format!("{} …\n", "x".repeat(LINE_BYTES - 1))
        );
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
