//! Standard error, one line at a time, and the log file. Reports and log messages both go through it.

use std::{
    env, fmt,
    fs::File,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressDrawTarget};
use jiff::{Timestamp, Zoned};
use tracing::{Level, callsite::Identifier};

use super::{
    queued_terminal::QueuedTerminal,
    rate_limit::{Admission, Budget, RateLimits},
    sanitize::{
        escaped, redacted, start_of_escaped, start_of_json, without_error_numbers, without_secrets,
    },
    time_format::{time_of_day, utc},
};
use crate::{
    cli::{
        args::Verbosity,
        report::json::{
            descriptor,
            event::EventWriter,
            line_writer::{LineWriter, Priority},
        },
    },
    core::rtmp::secret::Secret,
};

/// Standard error for people and front ends. On a terminal, a bar stays below the lines; otherwise a
/// status line is rewritten in place.
pub struct Screen {
    verbosity: Verbosity,
    charset: Charset,
    has_bar: bool,
    /// Whether each line starts with the time of day.
    has_times: bool,
    bar: ProgressBar,
    out: Mutex<Out>,
    /// Queue of a thread that writes to standard error instead of `out`.
    queue: OnceLock<Arc<LineWriter>>,
    log: OnceLock<Mutex<File>>,
    secrets: Mutex<Vec<Secret>>,
    limits: RateLimits<(Verbosity, Kind)>,
    /// If set, each line becomes a log event, and nothing else is written.
    events: Option<Arc<EventWriter>>,
}

/// Characters that the output may contain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Charset {
    /// All characters.
    Utf8,
    /// ASCII only, because the locale has another encoding.
    Ascii,
}

impl Charset {
    /// Returns the character set of the locale. Windows converts from UTF-8 itself.
    fn of_locale() -> Self {
        let variables = ["LC_ALL", "LC_CTYPE", "LANG"].map(env::var_os);
        let mut values = variables
            .into_iter()
            .flatten()
            .filter(|value| !value.is_empty());
        let locale = values.next().unwrap_or_default();
        let locale = locale.to_string_lossy().to_ascii_lowercase();
        match cfg!(windows) || locale.contains("utf-8") || locale.contains("utf8") {
            true => Self::Utf8,
            false => Self::Ascii,
        }
    }
}

/// Kind of line that is limited separately.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Kind {
    pub(super) source: Source,
    /// Name of one of several streams, so that no stream hides the lines of another one.
    pub(super) stream: Option<Arc<str>>,
}

/// Source of a line.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Source {
    /// A log message from one place in the code.
    Log(Identifier),
    /// An event in a report.
    Report(&'static str),
}

struct Out {
    sink: Box<dyn Write + Send>,
    /// Whether the last output did not end a line.
    is_in_status: bool,
}

impl Screen {
    /// Creates a screen on standard error, with a bar if `may_have_bar` and standard error is a terminal that
    /// can move its cursor.
    pub fn stderr(verbosity: Verbosity, may_have_bar: bool) -> Self {
        let stderr = io::stderr();
        let has_bar = may_have_bar && stderr.is_terminal() && !console::is_dumb();
        Self {
            charset: Charset::of_locale(),
            ..Self::new(verbosity, has_bar, Box::new(stderr))
        }
    }

    /// Returns the characters that lines may contain.
    pub fn charset(&self) -> Charset {
        self.charset
    }

    /// Creates a screen whose lines become log events.
    pub fn events(verbosity: Verbosity, events: Arc<EventWriter>) -> Self {
        Self {
            events: Some(events),
            ..Self::new(verbosity, false, Box::new(io::sink()))
        }
    }

    fn new(verbosity: Verbosity, has_bar: bool, sink: Box<dyn Write + Send>) -> Self {
        Self {
            verbosity,
            charset: Charset::Utf8,
            has_bar,
            has_times: false,
            // `show_bar` makes it visible.
            bar: ProgressBar::hidden(),
            out: Mutex::new(Out {
                sink,
                is_in_status: false,
            }),
            queue: OnceLock::new(),
            log: OnceLock::new(),
            secrets: Mutex::default(),
            limits: RateLimits::default(),
            events: None,
        }
    }

    /// Writes all further output from a thread of its own. If standard error is not read, output is left out, and
    /// nothing waits. Call it before [`Screen::show_bar`], and [`Screen::finish`] at the end.
    pub fn queue_output(&self) -> io::Result<()> {
        // Old consoles of Windows do not understand the control sequences of a queued terminal.
        let is_direct = self.has_bar && cfg!(not(unix));
        if is_direct || self.writes_events() {
            return Ok(());
        }
        let queue = LineWriter::start(descriptor::stderr)?;
        self.queue.get_or_init(|| Arc::new(queue));
        Ok(())
    }

    /// Waits a moment until the queued output is written.
    pub fn finish(&self) {
        let Some(queue) = self.queue.get() else {
            return;
        };
        let left_out = queue.left_out();
        // Drawings of the bar count, too.
        if left_out > 0 && !self.has_bar {
            let line =
                format!("INFO: standard error was not read, {left_out} lines are left out\n");
            queue.push(line, Priority::Final);
        }
        queue.finish(QUEUE_TIMEOUT);
    }

    /// Starts each line with the time of day if --verbose or --debug is given.
    pub fn with_times(self) -> Self {
        Self {
            has_times: self.verbosity >= Verbosity::Verbose,
            ..self
        }
    }

    /// Returns whether lines become log events.
    pub fn writes_events(&self) -> bool {
        self.events.is_some()
    }

    /// Appends each further line to `file` with the time, whatever is printed.
    pub fn open_log_file(&self, file: &Path) -> io::Result<()> {
        let file = File::options().append(true).create(true).open(file)?;
        self.log.get_or_init(|| Mutex::new(file));
        Ok(())
    }

    /// The most detailed messages that are printed or written to the log file.
    pub(super) fn logged(&self) -> Verbosity {
        match self.log.get() {
            Some(_) => self.verbosity.max(LOGGED),
            None => self.verbosity,
        }
    }

    /// Masks these texts in all further output.
    pub fn add_secrets(&self, secrets: impl IntoIterator<Item = impl Into<Secret>>) {
        let mut known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        for secret in secrets.into_iter().map(Into::into) {
            if !known.contains(&secret) {
                known.push(secret);
            }
        }
    }

    /// Prints a line, shortened, escaped and without secrets.
    pub fn line(&self, text: &str) {
        self.print(Verbosity::Normal, &Level::INFO, None, &self.cleaned(text));
    }

    /// Prints a line with --verbose only, and writes it to the log file.
    pub fn verbose_line(&self, text: &str) {
        self.print(Verbosity::Verbose, &Level::INFO, None, &self.cleaned(text));
    }

    /// Returns `text` shortened and without secrets, but not escaped.
    pub fn redacted(&self, text: &str) -> String {
        let text = self.redact(text);
        let start = start_of_json(&text, LINE_BYTES);
        start.to_owned() + ellipsis(&text, start)
    }

    /// Returns `text` shortened, escaped and without secrets.
    pub(in crate::cli) fn cleaned(&self, text: &str) -> String {
        cut_and_escape(&self.redact(text))
    }

    fn redact(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        redacted(&without_secrets(&without_error_numbers(text), &secrets))
    }

    /// Prints a line about an event that a server can cause repeatedly. Each kind of event has a limit.
    pub fn event_line(&self, kind: &'static str, text: &str) {
        self.stream_line(None, kind, text);
    }

    /// Prints a line as [`Screen::event_line`] does. The limit is that of one of several streams.
    pub fn stream_line(&self, stream: Option<&Arc<str>>, kind: &'static str, text: &str) {
        let line = || self.cleaned(text);
        let kind = Kind {
            source: Source::Report(kind),
            stream: stream.cloned(),
        };
        self.print_limited(Verbosity::Normal, &Level::INFO, kind, line);
    }

    /// Prints the line that `line` returns, unless there were too many lines of its kind.
    pub(super) fn print_limited(
        &self,
        verbosity: Verbosity,
        level: &Level,
        kind: Kind,
        line: impl FnOnce() -> String,
    ) {
        let budget = match verbosity {
            _ if kind.stream.is_some() => STREAM_BUDGET,
            Verbosity::Quiet | Verbosity::Normal => DEFAULT_BUDGET,
            Verbosity::Verbose => VERBOSE_BUDGET,
            Verbosity::Debug => DEBUG_BUDGET,
        };
        let kind = (verbosity, kind);
        match self.limits.admit(kind.clone(), budget, Instant::now()) {
            Admission::Admitted => {
                let line = line();
                self.print(verbosity, level, kind.1.stream.as_deref(), &line);
                self.limits.charge(&kind, line.len());
            }
            Admission::FirstSuppressed => {
                let notice = "INFO: too many messages of this kind, suppressing some";
                self.print(verbosity, &Level::INFO, kind.1.stream.as_deref(), notice);
            }
            Admission::Suppressed => {}
        }
    }

    /// Prints how many lines were suppressed, on the screen and in the log file.
    pub fn report_suppressed(&self) {
        let is_printed = |(verbosity, _): &(Verbosity, Kind)| *verbosity <= self.verbosity;
        let printed = self.limits.suppressed(is_printed);
        let logged = self.limits.suppressed(|kind| !is_printed(kind));
        for (suppressed, verbosity) in [(printed, Verbosity::Normal), (logged, LOGGED)] {
            if suppressed > 0 {
                let total = format!("INFO: {suppressed} messages were suppressed");
                self.print(verbosity, &Level::INFO, None, &total);
            }
        }
    }

    /// Prints a clean line if the verbosity includes it, and writes it to the log file.
    pub(super) fn print(
        &self,
        verbosity: Verbosity,
        level: &Level,
        stream: Option<&str>,
        text: &str,
    ) {
        match &self.events {
            _ if verbosity > self.verbosity => {}
            Some(events) => events.log(&level.as_str().to_ascii_lowercase(), stream, text),
            None if self.has_times => {
                let line = format!("{} {text}", time_of_day(&Zoned::now()));
                self.bar.suspend(|| self.write(&line, LineEnd::Line));
            }
            None => self.bar.suspend(|| self.write(text, LineEnd::Line)),
        }
        if verbosity <= self.verbosity.max(LOGGED)
            && let Some(log) = self.log.get()
        {
            let line = format!("{} {text}\n", utc(Timestamp::now()));
            let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = log.write_all(line.as_bytes());
        }
    }

    /// Prints a status line, which the next one overwrites.
    pub fn status(&self, text: &str) {
        self.write(text, LineEnd::Status);
    }

    /// Prints a progress mark after the previous ones.
    pub fn mark(&self, text: &str) {
        self.write(text, LineEnd::Mark);
    }

    /// Returns the bar to show instead of status lines, if any.
    pub fn bar(&self) -> Option<&ProgressBar> {
        (self.has_bar && self.verbosity > Verbosity::Quiet).then_some(&self.bar)
    }

    /// Makes the bar visible, and draws it regularly until it is finished.
    pub fn show_bar(&self) {
        if let Some(bar) = self.bar() {
            bar.set_draw_target(match self.queue.get() {
                Some(queue) => {
                    let terminal = QueuedTerminal::new(Arc::clone(queue));
                    ProgressDrawTarget::term_like_with_hz(Box::new(terminal), BAR_HZ)
                }
                None => ProgressDrawTarget::stderr_with_hz(BAR_HZ),
            });
            bar.enable_steady_tick(BAR_INTERVAL);
        }
    }

    /// Writes to standard error. Errors are ignored: the download continues if the terminal is closed.
    fn write(&self, text: &str, ending: LineEnd) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let text = &match self.charset {
            Charset::Utf8 => text.to_owned(),
            Charset::Ascii => text.replace('…', "..."),
        };
        let text = match (ending, out.is_in_status) {
            (LineEnd::Line, false) => format!("{text}\n"),
            (LineEnd::Line, true) => format!("\n{text}\n"),
            (LineEnd::Status, _) => format!("\r{text}"),
            (LineEnd::Mark, _) => text.to_owned(),
        };
        out.is_in_status = ending != LineEnd::Line;
        if let Some(queue) = self.queue.get() {
            return queue.push(text, Priority::Normal);
        }
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
enum LineEnd {
    Line,
    Status,
    Mark,
}

pub(in crate::cli) fn cut_and_escape(text: &str) -> String {
    let start = start_of_escaped(text, LINE_BYTES);
    escaped(start) + ellipsis(text, start)
}

/// Returns a mark that `text` continues after `start`.
fn ellipsis(text: &str, start: &str) -> &'static str {
    match start.len() < text.len() {
        true => " …",
        false => "",
    }
}

/// Output of each kind of line that is printed by default: some hundred lines.
const DEFAULT_BUDGET: Budget = Budget {
    burst: 64 << 10,
    per_second: 1 << 10,
};

/// Output of each kind of line of one of several streams: some dozen lines, and then about one in two minutes.
const STREAM_BUDGET: Budget = Budget {
    burst: 8 << 10,
    per_second: 1,
};

/// Output of each kind of line in the log file.
const VERBOSE_BUDGET: Budget = Budget {
    burst: 1 << 20,
    per_second: 16 << 10,
};

/// Output of each kind of line that describes single messages.
const DEBUG_BUDGET: Budget = Budget {
    burst: 16 << 20,
    per_second: 256 << 10,
};

/// Maximum length of a line after escaping: a server may put 16 MiB into a single status.
const LINE_BYTES: usize = 8192;

/// Time for the queued lines to be written at the end.
const QUEUE_TIMEOUT: Duration = Duration::from_millis(300);

/// Maximum number of times per second that the bar is drawn.
const BAR_HZ: u8 = 10;

/// Time between two drawings of the bar.
const BAR_INTERVAL: Duration = Duration::from_millis(200);

/// Verbosity of the log file.
const LOGGED: Verbosity = Verbosity::Verbose;

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::*;

    /// Collects the output of a screen.
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
    fn a_status_line_overwrites_the_previous_one() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.line("one");
        screen.status("1.000 kB");
        screen.status("2.000 kB");
        screen.line("two");
        screen.line("three");
        assert_eq!(written.take(), "one\n\r1.000 kB\r2.000 kB\ntwo\nthree\n");
    }

    #[test]
    fn lines_are_escaped_and_without_secrets() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.line("a\x1b[2Jb\nc rtmp://me:pw@host/?token=t");
        assert_eq!(
            written.take(),
            "a\\u{1b}[2Jb\\nc rtmp://***@host/?token=***\n"
        );
    }

    #[test]
    fn lines_are_shortened_after_secrets_are_masked() {
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
    fn lines_are_shortened_after_escaping() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.line(&"\x1b".repeat(LINE_BYTES));
        let line = written.take();
        assert!(line.starts_with("\\u{1b}") && line.ends_with(" …\n"));
        assert!(
            line.len() <= LINE_BYTES + " …\n".len(),
            "{} bytes",
            line.len()
        );
    }

    #[test]
    fn error_numbers_of_the_system_are_removed() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.line("cannot write x: No space left on device (os error 28) (keep it)");
        screen.line("a (os error x) (os error 1");
        let expected = "cannot write x: No space left on device (keep it)\n\
                        a (os error x) (os error 1\n";
        assert_eq!(written.take(), expected);
    }

    #[test]
    fn added_secrets_are_masked() {
        let (screen, written) = plain(Verbosity::Normal);
        screen.add_secrets(vec!["s3cret".to_owned()]);
        screen.line("no s3cret here");
        assert_eq!(written.take(), "no *** here\n");
    }

    #[test]
    fn lines_of_verbose_start_with_the_time() {
        for (verbosity, has_times) in [
            (Verbosity::Normal, false),
            (Verbosity::Verbose, true),
            (Verbosity::Debug, true),
        ] {
            let written = Written::default();
            let screen = Screen::new(verbosity, false, Box::new(written.clone())).with_times();
            screen.line("text");
            let line = written.take();
            let (time, text) = line.split_at(line.len() - "text\n".len());
            assert_eq!(text, "text\n");
            assert_eq!(
                time.len(),
                if has_times { "15:04:05.678 ".len() } else { 0 }
            );
        }
    }

    #[test]
    fn marks_form_a_row() {
        let (screen, written) = plain(Verbosity::Normal);
        (0..3).for_each(|_| screen.mark("#"));
        screen.line("done");
        assert_eq!(written.take(), "###\ndone\n");
    }

    #[test]
    fn ellipses_are_ascii_in_other_locales() {
        let written = Written::default();
        let screen = Screen {
            charset: Charset::Ascii,
            ..Screen::new(Verbosity::Normal, false, Box::new(written.clone()))
        };
        screen.line(&"x".repeat(LINE_BYTES + 1));
        assert!(written.take().ends_with("x ...\n"));
    }

    #[test]
    fn a_quiet_screen_writes_nothing() {
        let (screen, written) = plain(Verbosity::Quiet);
        screen.line("one");
        screen.status("two");
        screen.show_bar();
        assert!(screen.bar().is_none());
        assert_eq!(written.take(), "");
    }
}
