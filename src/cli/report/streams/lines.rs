//! Lines of the display of many streams.

use std::time::Instant;

use console::{measure_text_width, pad_str, truncate_str};

use crate::cli::{
    report::status::{Registry, State, StreamStatus, Totals},
    terminal::{sanitize::escaped, screen::Charset, time_format::hms, units::size},
};

/// Size of a terminal in characters.
#[derive(Debug, Clone, Copy)]
pub(super) struct Size {
    pub(super) rows: usize,
    pub(super) columns: usize,
}

/// How important the line of a stream is, the most important first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Trouble,
    Running,
    Ended,
}

impl Rank {
    fn of(stream: &StreamStatus, now: Instant) -> Self {
        match stream.state {
            _ if stream.has_trouble(now) => Self::Trouble,
            State::Ended => Self::Ended,
            _ => Self::Running,
        }
    }
}

/// Returns one line per stream, as many as fit, and the totals. If streams are left out, a line counts them by
/// state.
pub(super) fn lines(
    registry: &Registry,
    now: Instant,
    terminal: Size,
    charset: Charset,
) -> Vec<String> {
    let mut ranks = Vec::new();
    let mut name_columns = 0;
    registry.for_each(|stream| {
        ranks.push(Rank::of(stream, now));
        name_columns = name_columns.max(measure_text_width(&stream.name));
    });
    let is_shown = shown(&ranks, terminal.rows.saturating_sub(MARGIN));
    let second = registry.second(now);
    let (mut totals, mut folded) = (Totals::default(), Totals::default());
    let mut lines = Vec::new();
    let mut index = 0;
    registry.for_each(|stream| {
        totals.add(stream, now, second);
        // Streams that were added since the ranks were determined are shown next time.
        match is_shown.get(index) {
            Some(true) => {
                let columns = name_columns.min(MAX_NAME_COLUMNS);
                lines.push(stream_line(stream, columns, second, charset));
            }
            _ => folded.add(stream, now, second),
        }
        index += 1;
    });
    if folded.streams() > 0 {
        let more = states(&folded);
        let ellipsis = ellipsis(charset);
        lines.push(format!("{ellipsis} {} more: {more}", folded.streams()));
    }
    lines.push(totals_line(&totals));
    let cut = |line: &String| truncate_str(line, terminal.columns, ellipsis(charset)).into_owned();
    lines.iter().map(cut).collect()
}

/// Formats the totals: `3 streams: 2 playing, 1 failed  2.4 MiB/s  3 gaps (12.5 s)`
pub(super) fn totals_line(totals: &Totals) -> String {
    let streams = match totals.streams() {
        1 => "1 stream".to_owned(),
        count => format!("{count} streams"),
    };
    let states = match totals.streams() {
        0 => String::new(),
        _ => format!(": {}", states(totals)),
    };
    let (rate, gaps) = (size(totals.rate), gaps(totals.gaps, totals.gaps_ms));
    format!("{streams}{states}  {rate}/s  {gaps}")
}

/// Returns for each stream whether its line is shown in `rows` rows. The last row shows the totals, and the row
/// above it counts the streams that are left out.
fn shown(ranks: &[Rank], rows: usize) -> Vec<bool> {
    let fit = rows.saturating_sub(1);
    let fit = match ranks.len() <= fit {
        true => fit,
        false => fit.saturating_sub(1),
    };
    let mut order: Vec<_> = ranks.iter().enumerate().collect();
    order.sort_by_key(|(_, rank)| **rank);
    let mut is_shown = vec![false; ranks.len()];
    for (index, _) in order.into_iter().take(fit) {
        is_shown[index] = true;
    }
    is_shown
}

fn stream_line(
    stream: &StreamStatus,
    name_columns: usize,
    second: u64,
    charset: Charset,
) -> String {
    let name = escaped(&stream.name);
    let name = truncate_str(&name, name_columns, ellipsis(charset));
    let name = pad_str(&name, name_columns, console::Alignment::Left, None);
    let (state, position) = (stream.state, hms(stream.position_ms));
    let rate = size(stream.rate.current(second));
    let mut line = format!("{name}  {state:12}  {position:>8}  {rate:>9}/s");
    if stream.gaps > 0 {
        line += &format!("  {}", gaps(stream.gaps, stream.gaps_ms));
    }
    if let Some(end) = stream
        .end
        .as_ref()
        .filter(|_| stream.state == State::Failed)
    {
        line += &format!("  {}: {}", end.word, escaped(&end.reason));
    }
    line
}

/// Formats the number of streams by state: `2 playing, 1 failed`
fn states(totals: &Totals) -> String {
    let counts = State::ALL.map(|state| (state, totals.of(state)));
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    let counts: Vec<_> = counts
        .map(|(state, count)| format!("{count} {state}"))
        .collect();
    counts.join(", ")
}

fn gaps(count: u64, total_ms: u64) -> String {
    let seconds = total_ms as f64 / 1000.0;
    match count {
        0 => "no gaps".to_owned(),
        1 => format!("1 gap ({seconds:.1} s)"),
        _ => format!("{count} gaps ({seconds:.1} s)"),
    }
}

fn ellipsis(charset: Charset) -> &'static str {
    match charset {
        Charset::Utf8 => "…",
        Charset::Ascii => "...",
    }
}

/// Rows of the terminal that the display leaves empty for the cursor and the latest message.
const MARGIN: usize = 2;

/// Largest width of the names.
const MAX_NAME_COLUMNS: usize = 24;

#[cfg(test)]
mod tests {
    use std::{sync::Arc, time::Duration};

    use proptest::prelude::*;

    use super::*;
    use crate::{
        cli::{args::Verbosity, exit_code::NotStarted, terminal::screen::tests::plain},
        download::{Progress, Report},
        transport::Endpoint,
    };

    fn play(registry: &Arc<Registry>, name: &str) {
        let mut listener = registry.open(name);
        listener.connecting(&Endpoint {
            host: "host".to_owned(),
            port: 1935,
        });
        listener.progress(&Progress {
            frames: 1,
            received_bytes: 2_048,
            position_ms: 83_000,
            ..Progress::default()
        });
    }

    fn drawn(registry: &Registry, rows: usize, columns: usize) -> Vec<String> {
        let terminal = Size { rows, columns };
        lines(registry, Instant::now(), terminal, Charset::Utf8)
    }

    #[test]
    fn each_stream_has_a_line_and_the_totals_follow() {
        let registry = Registry::new(plain(Verbosity::Normal).0);
        play(&registry, "lobby");
        registry
            .open("a")
            .not_started(NotStarted::Usage, "no <out>\n");
        let lines = drawn(&registry, 24, 100);
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(
            lines[0],
            "a      failed            0:00        0 B/s  usage: no <out>\\n"
        );
        assert!(
            lines[1].starts_with("lobby  playing           1:23  "),
            "{lines:?}"
        );
        assert!(
            lines[2].starts_with("2 streams: 1 playing, 1 failed  ")
                && lines[2].ends_with("no gaps"),
            "{lines:?}"
        );
    }

    #[test]
    fn healthy_streams_are_folded_and_failed_ones_stay() {
        let registry = Registry::new(plain(Verbosity::Normal).0);
        for number in 0..30 {
            play(&registry, &format!("cam {number:02}"));
        }
        registry.open("z").not_started(NotStarted::Failed, "x");
        let lines = drawn(&registry, 10, 80);
        assert_eq!(lines.len(), 8, "{lines:?}");
        assert!(lines[0].starts_with("cam 00 ") && lines[4].starts_with("cam 04 "));
        assert!(lines[5].starts_with("z       failed"), "{lines:?}");
        assert_eq!(lines[6], "… 25 more: 25 playing");
        assert!(lines[7].starts_with("31 streams: 30 playing, 1 failed"));
    }

    #[test]
    fn long_names_and_lines_are_cut() {
        let registry = Registry::new(plain(Verbosity::Normal).0);
        registry.open(&"字".repeat(40));
        let lines = drawn(&registry, 24, 30);
        assert!(lines[0].contains('…'), "{lines:?}");
        assert!(
            lines.iter().all(|line| measure_text_width(line) <= 30),
            "{lines:?}"
        );
    }

    proptest! {
        #[test]
        fn the_lines_always_fit(ranks in prop::collection::vec(0..3_u8, 0..60), rows in 3..40_usize) {
            let ranks: Vec<_> = ranks
                .into_iter()
                .map(|rank| [Rank::Trouble, Rank::Running, Rank::Ended][usize::from(rank)])
                .collect();
            let is_shown = shown(&ranks, rows);
            let count = is_shown.iter().filter(|shown| **shown).count();
            let is_folded = count < ranks.len();
            prop_assert!(count + usize::from(is_folded) < rows);
            prop_assert!(is_folded || count == ranks.len());
            let worst_shown = ranks.iter().zip(&is_shown).filter(|(_, shown)| **shown).map(|(rank, _)| rank).max();
            let best_folded = ranks.iter().zip(&is_shown).filter(|(_, shown)| !**shown).map(|(rank, _)| rank).min();
            prop_assert!(worst_shown.zip(best_folded).is_none_or(|(shown, folded)| shown <= folded));
        }
    }

    #[test]
    fn drawing_many_streams_is_cheap() {
        let registry = Registry::new(plain(Verbosity::Normal).0);
        for number in 0..2_000 {
            registry.open(&number.to_string());
        }
        let start = Instant::now();
        drawn(&registry, 24, 80);
        assert!(start.elapsed() < Duration::from_millis(200));
    }
}
