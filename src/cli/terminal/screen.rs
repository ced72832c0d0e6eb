//! Standard error, one line at a time: the only way out for what the report and the log have to say.
//! A log file may stand beside it.

use std::{
    fmt,
    fs::File,
    io::{self, IsTerminal, Write},
    path::Path,
    sync::{Arc, Mutex, OnceLock, PoisonError},
};

use indicatif::{ProgressBar, ProgressDrawTarget};
use jiff::Timestamp;
use tracing::Level;

use super::{
    sanitize::{escaped, redacted, without_secrets},
    time_format::utc,
};
use crate::cli::{
    args::Verbosity,
    report::json::event::{Event, EventWriter},
};

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
    events: Option<Arc<EventWriter>>,
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
    pub fn events(verbosity: Verbosity, events: Arc<EventWriter>) -> Self {
        Self {
            events: Some(events),
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
            events: None,
        }
    }

    /// Whether each line is an event.
    pub fn writes_events(&self) -> bool {
        self.events.is_some()
    }

    /// Adds each line to `file` from now on, with the time, whatever is printed.
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

    /// Has these words printed nowhere from now on.
    pub fn add_secrets(&self, secrets: impl IntoIterator<Item = String>) {
        let mut known = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        known.extend(secrets);
    }

    /// Prints a line, without secrets, no longer than anybody reads, and escaped.
    pub fn line(&self, text: &str) {
        self.print(Verbosity::Normal, &Level::INFO, &self.cleaned(text));
    }

    /// `text` without secrets and no longer than anybody reads, but not escaped.
    pub fn redacted(&self, text: &str) -> String {
        cut(&self.redact(text))
    }

    /// Without secrets, no longer than anybody reads, and escaped.
    pub(in crate::cli) fn cleaned(&self, text: &str) -> String {
        cut_and_escape(&self.redact(text))
    }

    fn redact(&self, text: &str) -> String {
        let secrets = self.secrets.lock().unwrap_or_else(PoisonError::into_inner);
        redacted(&without_secrets(text, &secrets))
    }

    /// Prints what is asked for by `verbosity`, and logs what is worth logging.
    pub(super) fn print(&self, verbosity: Verbosity, level: &Level, text: &str) {
        match &self.events {
            _ if verbosity > self.verbosity => {}
            Some(events) => events.write(&Event::Log {
                level: &level.as_str().to_ascii_lowercase(),
                text,
            }),
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

    /// Prints a line of status, which the next one overwrites.
    pub fn status(&self, text: &str) {
        self.write(text, LineEnd::Status);
    }

    /// Prints a mark behind those that stand there already.
    pub fn mark(&self, text: &str) {
        self.write(text, LineEnd::Mark);
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
    fn write(&self, text: &str, ending: LineEnd) {
        if self.verbosity == Verbosity::Quiet {
            return;
        }
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        let text = match (ending, out.is_in_status) {
            (LineEnd::Line, false) => format!("{text}\n"),
            (LineEnd::Line, true) => format!("\n{text}\n"),
            (LineEnd::Status, _) => format!("\r{text}"),
            (LineEnd::Mark, _) => text.to_owned(),
        };
        out.is_in_status = ending != LineEnd::Line;
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
    escaped(&cut(text))
}

fn cut(text: &str) -> String {
    if text.len() <= LINE_BYTES {
        return text.to_owned();
    }
    let (start, _) = text.split_at(text.floor_char_boundary(LINE_BYTES));
    start.to_owned() + " …"
}

/// A server may put 16 MiB into a single status.
const LINE_BYTES: usize = 8192;

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
        screen.add_secrets(vec!["s3cret".to_owned()]);
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
    fn says_nothing_where_it_is_quiet() {
        let (screen, written) = plain(Verbosity::Quiet);
        screen.line("one");
        screen.status("two");
        screen.show_bar();
        assert!(screen.bar().is_none());
        assert_eq!(written.take(), "");
    }
}
