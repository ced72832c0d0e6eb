//! Layout of the progress bar: one line that fits the terminal.

use std::time::{Duration, Instant};

use crate::cli::terminal::{screen::Charset, time_format::hms, units::size};

/// Facts that the bar shows.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct BarFacts {
    /// Position in the recording, in milliseconds.
    pub(super) position_ms: u64,
    /// Expected duration of the recording in milliseconds, if known.
    pub(super) total_ms: Option<u64>,
    /// Bytes written.
    pub(super) bytes: u64,
    /// Average rate in bytes per second, if known.
    pub(super) rate: Option<u64>,
    /// Estimate of the remaining time in milliseconds, if known.
    pub(super) rest_ms: Option<u64>,
    /// The attempt that follows a lost connection, until media arrives.
    pub(super) outage: Option<Outage>,
    /// Whether rtmpull opens a connection that the server requested.
    pub(super) is_reconnecting: bool,
}

/// An attempt to reconnect.
#[derive(Debug, Clone, Copy)]
pub(super) struct Outage {
    /// Number of the attempt.
    pub(super) attempt: u32,
    /// Maximum number of attempts; `None` is unlimited.
    pub(super) limit: Option<u32>,
    /// Time at which the attempt starts.
    pub(super) starts: Instant,
}

/// A part of the line that is shown completely or not at all.
struct Field {
    text: String,
    /// Whether the field belongs to the one on its left, and is only separated by its own text.
    is_attached: bool,
}

/// Formats the line for a terminal with `width` columns. If the fields do not fit, the least important ones
/// are left out: first the bar, then the remaining time, percent, the word for a requested connection, rate,
/// size and position.
pub(super) fn line(facts: &BarFacts, now: Instant, width: usize, charset: Charset) -> String {
    match facts.outage {
        Some(outage) => outage_line(facts, outage, now, width),
        None => progress_line(facts, width, charset),
    }
}

fn progress_line(facts: &BarFacts, width: usize, charset: Charset) -> String {
    let total_ms = facts.total_ms.filter(|total_ms| *total_ms > 0);
    let percent = total_ms.map(|total_ms| {
        let percent = u128::from(facts.position_ms) * 100 / u128::from(total_ms);
        percent.min(100) as u64
    });
    // In order of importance. Percent is left of all others.
    let mut room = width;
    let mut is_full = false;
    let mut fitting = |text: Option<String>, gap: usize| {
        let text = text.filter(|_| !is_full)?;
        let columns = if room == width { 0 } else { gap } + text.len();
        is_full = columns > room;
        room = room.checked_sub(columns)?;
        Some(text)
    };
    let position = fitting(Some(hms(facts.position_ms)), 0);
    let size_text = fitting(Some(size(facts.bytes)), GAP);
    let rate = fitting(facts.rate.map(|rate| format!("{}/s", size(rate))), GAP);
    let reconnecting = facts.is_reconnecting.then(|| "reconnecting".to_owned());
    let reconnecting = fitting(reconnecting, GAP);
    let percent_text = fitting(percent.map(|percent| format!("{percent:>3}%")), GAP);
    let rest = fitting(facts.rest_ms.map(|ms| format!("{} left", hms(ms))), GAP);
    let total = fitting(total_ms.map(|ms| format!(" of {}", hms(ms))), 0);
    let bar = percent
        .filter(|_| !is_full && room >= MIN_BAR + GAP)
        .map(|percent| bar((room - GAP).min(MAX_BAR), percent, charset));
    joined([
        bar.map(Field::new),
        percent_text.map(Field::new),
        position.map(Field::new),
        total.map(Field::attached),
        size_text.map(Field::new),
        rate.map(Field::new),
        rest.map(Field::new),
        reconnecting.map(Field::new),
    ])
}

/// Formats the line while no media arrives: `reconnecting 3/5 in 4 s  1:00  6.4 MiB`
fn outage_line(facts: &BarFacts, outage: Outage, now: Instant, width: usize) -> String {
    let limit = outage.limit.map_or_else(String::new, |n| format!("/{n}"));
    let rest = outage.starts.saturating_duration_since(now);
    let wait = (!rest.is_zero()).then(|| format!(" in {} s", seconds_rounded_up(rest)));
    let fields = [
        Some(Field::new("reconnecting".to_owned())),
        Some(Field::attached(format!(" {}{limit}", outage.attempt))),
        wait.map(Field::attached),
        Some(Field::new(hms(facts.position_ms))),
        Some(Field::new(size(facts.bytes))),
    ];
    let mut line = String::new();
    for field in fields.into_iter().flatten() {
        if line.len() + field.columns(line.is_empty()) > width {
            break;
        }
        field.push_to(&mut line);
    }
    line
}

fn seconds_rounded_up(time: Duration) -> u64 {
    time.as_millis().div_ceil(1000) as u64
}

fn bar(columns: usize, percent: u64, charset: Charset) -> String {
    let (done, rest) = match charset {
        Charset::Utf8 => ("█", "░"),
        Charset::Ascii => ("#", "-"),
    };
    let filled = columns * percent as usize / 100;
    done.repeat(filled) + &rest.repeat(columns - filled)
}

fn joined<const N: usize>(fields: [Option<Field>; N]) -> String {
    let mut line = String::new();
    for field in fields.into_iter().flatten() {
        field.push_to(&mut line);
    }
    line
}

impl Field {
    fn new(text: String) -> Self {
        Self {
            text,
            is_attached: false,
        }
    }

    fn attached(text: String) -> Self {
        Self {
            text,
            is_attached: true,
        }
    }

    fn gap(&self, is_first: bool) -> usize {
        if is_first || self.is_attached { 0 } else { GAP }
    }

    fn columns(&self, is_first: bool) -> usize {
        self.gap(is_first) + self.text.len()
    }

    fn push_to(&self, line: &mut String) {
        *line += &" ".repeat(self.gap(line.is_empty()));
        *line += &self.text;
    }
}

/// Columns between two fields.
const GAP: usize = 2;

/// Columns of the bar. A shorter one shows less than the percentage does.
const MIN_BAR: usize = 8;
const MAX_BAR: usize = 40;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const FACTS: BarFacts = BarFacts {
        position_ms: 30_000,
        total_ms: Some(90_000),
        bytes: 3 << 20,
        rate: Some(194_560),
        rest_ms: Some(60_000),
        outage: None,
        is_reconnecting: false,
    };

    fn at(facts: &BarFacts, width: usize) -> String {
        line(facts, Instant::now(), width, Charset::Ascii)
    }

    #[test]
    fn fields_are_left_out_in_order_of_importance() {
        let cases = [
            (3, ""),
            (4, "0:30"),
            (12, "0:30"),
            (13, "0:30  3.0 MiB"),
            (20, "0:30  3.0 MiB"),
            (24, "0:30  3.0 MiB  190 KiB/s"),
            (29, "0:30  3.0 MiB  190 KiB/s"),
            (30, " 33%  0:30  3.0 MiB  190 KiB/s"),
            (41, " 33%  0:30  3.0 MiB  190 KiB/s  1:00 left"),
            (49, " 33%  0:30 of 1:30  3.0 MiB  190 KiB/s  1:00 left"),
            (58, " 33%  0:30 of 1:30  3.0 MiB  190 KiB/s  1:00 left"),
            (
                59,
                "##------   33%  0:30 of 1:30  3.0 MiB  190 KiB/s  1:00 left",
            ),
            (
                79,
                "#########-------------------   33%  0:30 of 1:30  3.0 MiB  190 KiB/s  1:00 left",
            ),
            (
                200,
                "#############---------------------------   33%  0:30 of 1:30  3.0 MiB  190 KiB/s  1:00 left",
            ),
        ];
        for (width, expected) in cases {
            assert_eq!(at(&FACTS, width), expected, "{width} columns");
        }
    }

    #[test]
    fn without_a_duration_there_is_neither_bar_nor_percent() {
        let facts = BarFacts {
            total_ms: None,
            rest_ms: None,
            ..FACTS
        };
        assert_eq!(at(&facts, 200), "0:30  3.0 MiB  190 KiB/s");
        let facts = BarFacts {
            total_ms: Some(0),
            rate: None,
            ..facts
        };
        assert_eq!(at(&facts, 200), "0:30  3.0 MiB");
    }

    #[test]
    fn a_requested_connection_is_shown_beside_the_progress() {
        let facts = BarFacts {
            total_ms: None,
            rest_ms: None,
            is_reconnecting: true,
            ..FACTS
        };
        assert_eq!(at(&facts, 38), "0:30  3.0 MiB  190 KiB/s  reconnecting");
        assert_eq!(at(&facts, 37), "0:30  3.0 MiB  190 KiB/s");
    }

    #[test]
    fn an_outage_shows_the_attempt_and_the_wait() {
        let now = Instant::now();
        let outage = |limit, wait_ms| BarFacts {
            outage: Some(Outage {
                attempt: 3,
                limit,
                starts: now + Duration::from_millis(wait_ms),
            }),
            ..FACTS
        };
        let line = |facts, width| line(&facts, now, width, Charset::Utf8);
        let facts = outage(Some(5), 3_100);
        assert_eq!(line(facts, 20), "reconnecting 3/5");
        assert_eq!(line(facts, 23), "reconnecting 3/5 in 4 s");
        assert_eq!(line(facts, 40), "reconnecting 3/5 in 4 s  0:30  3.0 MiB");
        assert_eq!(line(outage(None, 0), 80), "reconnecting 3  0:30  3.0 MiB");
    }

    #[test]
    fn the_bar_is_full_at_the_end() {
        let facts = BarFacts {
            position_ms: 95_000,
            ..FACTS
        };
        let line = line(&facts, Instant::now(), 80, Charset::Utf8);
        assert!(line.contains("█  100%  1:35 of 1:30"), "{line}");
        assert!(!line.contains('░'), "{line}");
    }

    proptest! {
        #[test]
        fn at_every_width_the_line_fits_and_no_field_is_cut(
            position_ms in 0..360_000_000_u64,
            total_ms in prop::option::of(0..360_000_000_u64),
            bytes: u64,
            rate in prop::option::of(any::<u64>()),
            rest_ms in prop::option::of(0..360_000_000_u64),
            outage in prop::option::of((0..1000_u32, prop::option::of(0..1000_u32), 0..60_000_u64)),
        ) {
            let now = Instant::now();
            let outage = outage.map(|(attempt, limit, wait_ms)| Outage {
                attempt,
                limit,
                starts: now + Duration::from_millis(wait_ms),
            });
            let facts = BarFacts { position_ms, total_ms, bytes, rate, rest_ms, outage, is_reconnecting: false };
            let complete = line(&facts, now, 1000, Charset::Utf8);
            let complete: Vec<_> = words(&complete).collect();
            let mut count = 0;
            for width in 20..=200 {
                for charset in [Charset::Utf8, Charset::Ascii] {
                    let line = line(&facts, now, width, charset);
                    prop_assert!(line.chars().count() <= width, "{line:?}");
                    prop_assert!(!line.is_empty());
                    prop_assert!(words(&line).all(|word| complete.contains(&word)), "{line:?}");
                    prop_assert!(words(&line).count() >= count, "{line:?}");
                    count = words(&line).count();
                    prop_assert!(charset == Charset::Utf8 || line.is_ascii(), "{line:?}");
                }
            }
        }
    }

    /// Returns the fields of a line except the bar, whose length varies.
    fn words(line: &str) -> impl Iterator<Item = String> {
        let fields = line
            .split("  ")
            .map(str::trim)
            .filter(|field| !field.is_empty());
        let fields = fields.filter(|field| !field.starts_with(['█', '░', '#', '-']));
        let parts = fields.flat_map(|field| {
            let (of, rest) = field.split_once(" of ").unwrap_or((field, ""));
            let (attempt, wait) = of.split_once(" in ").unwrap_or((of, ""));
            [attempt, wait, rest].map(str::to_owned)
        });
        parts.filter(|part| !part.is_empty())
    }
}
