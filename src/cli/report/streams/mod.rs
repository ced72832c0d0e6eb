//! Display of many streams: one line per stream on a terminal, and otherwise a line of totals from time to time.

mod lines;

use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use console::Term;
use indicatif::{ProgressState, ProgressStyle};

use self::lines::{Size, lines, totals_line};
use super::status::Registry;
use crate::cli::terminal::screen::Screen;

/// Shows the state of all streams.
#[derive(Debug)]
pub struct StreamsDisplay {
    screen: Arc<Screen>,
    registry: Arc<Registry>,
    /// Time of the latest line of totals.
    printed: Instant,
    hides_progress: bool,
}

impl StreamsDisplay {
    /// Starts to draw the streams on a terminal. `hides_progress` is whether the user wants to see events only.
    pub fn start(screen: Arc<Screen>, registry: Arc<Registry>, hides_progress: bool) -> Self {
        if let Some(bar) = screen.bar().filter(|_| !hides_progress) {
            bar.set_style(style(&screen, Arc::clone(&registry)));
            screen.show_bar();
        }
        Self {
            screen,
            registry,
            printed: Instant::now(),
            hides_progress,
        }
    }

    /// Prints the line of totals if it is due and there is no terminal. Call it about once per second.
    pub fn tick(&mut self, now: Instant) {
        let is_due = now.saturating_duration_since(self.printed) >= TOTALS_INTERVAL;
        if is_due && !self.hides_progress && self.screen.bar().is_none() {
            self.printed = now;
            let totals = totals_line(&self.registry.totals(now));
            self.screen.line(&format!("INFO: {totals}"));
        }
    }

    /// Removes the lines of the streams from the terminal.
    pub fn finish(&self) {
        if let Some(bar) = self.screen.bar() {
            bar.finish_and_clear();
        }
    }
}

/// Returns a style that draws the current state of the streams.
fn style(screen: &Screen, registry: Arc<Registry>) -> ProgressStyle {
    let charset = screen.charset();
    let write = move |_: &ProgressState, out: &mut dyn fmt::Write| {
        let (rows, columns) = Term::stderr().size();
        let size = Size {
            rows: rows.into(),
            columns: columns.into(),
        };
        let lines = lines(&registry, Instant::now(), size, charset);
        let _ = out.write_str(&lines.join("\n"));
    };
    ProgressStyle::with_template("{streams}")
        .expect("the template is valid")
        .with_key("streams", write)
}

/// Time between two lines of totals.
const TOTALS_INTERVAL: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{args::Verbosity, terminal::screen::tests::plain};

    #[test]
    fn totals_are_printed_every_minute_without_a_terminal() {
        let (screen, written) = plain(Verbosity::Normal);
        let registry = Registry::new(Arc::clone(&screen));
        registry.open("cam");
        let start = Instant::now();
        for hides_progress in [false, true] {
            let mut display =
                StreamsDisplay::start(Arc::clone(&screen), Arc::clone(&registry), hides_progress);
            for second in [0, 59, 61, 90, 122] {
                display.tick(start + Duration::from_secs(second));
            }
            display.finish();
            let expected = match hides_progress {
                true => String::new(),
                false => "INFO: 1 stream: 1 waiting  0 B/s  no gaps\n".repeat(2),
            };
            assert_eq!(written.take(), expected);
        }
    }
}
