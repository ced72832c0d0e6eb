//! The table of an explanation for people.

use super::{Explanation, attempt::What, change::Change};
use crate::cli::terminal::screen::Screen;

/// Returns the table, and what to do. Texts of the server are escaped, and secrets are masked.
pub(super) fn table(explanation: &Explanation, screen: &Screen) -> String {
    let heads = ["#", "tried", "reached", "ending", "time", "reason"];
    let mut rows = vec![heads.map(str::to_owned)];
    for (number, tried) in (1..).zip(&explanation.tried) {
        let number: u32 = number;
        rows.push([
            number.to_string(),
            screen.cleaned(&changes(&tried.changes)),
            tried.progress.reached.word().to_owned(),
            tried.word(),
            format!("{:.1} s", tried.time.as_secs_f64()),
            screen.cleaned(&tried.reason()),
        ]);
    }
    let request = explanation.tried.first().map(|tried| request(&tried.what));
    let mut text = match request {
        Some(request) => format!("{}\n\n", screen.cleaned(&request)),
        None => String::new(),
    };
    text.push_str(&aligned(&rows));
    text.push('\n');
    text.push_str(&conclusion(explanation, screen));
    text
}

/// Describes the original request.
fn request(what: &What) -> String {
    let What {
        scheme,
        endpoint,
        app,
        playpath,
        ..
    } = what;
    format!("{scheme}://{endpoint}, stream {playpath:?} in app {app:?}")
}

fn conclusion(explanation: &Explanation, screen: &Screen) -> String {
    if let Some(command) = explanation.command_line(screen) {
        let intro = match explanation.tried.len() {
            1 => "The request plays unchanged:",
            _ => "This request plays:",
        };
        return format!("{intro}\n  {command}\n");
    }
    let mut text = match (explanation.is_stopped, explanation.untried) {
        (true, _) => "Stopped before a request played.\n".to_owned(),
        (false, 0) => "No request plays.\n".to_owned(),
        (false, untried) => format!("No request plays; {untried} more changes were not tried.\n"),
    };
    for (_, remedy) in explanation.remedies() {
        text.push_str(&format!("  hint: {}\n", screen.cleaned(&remedy)));
    }
    text
}

/// Describes the changes of an attempt. The text is neither escaped nor without secrets.
pub(super) fn changes(changes: &[Change]) -> String {
    match changes {
        [] => "unchanged request".to_owned(),
        changes => {
            let texts: Vec<String> = changes.iter().map(Change::text).collect();
            texts.join(", ")
        }
    }
}

/// Aligns all columns except for the last one.
fn aligned<const COLUMNS: usize>(rows: &[[String; COLUMNS]]) -> String {
    let mut text = String::new();
    let mut widths = [0; COLUMNS];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = cell.chars().count().max(*width);
        }
    }
    for row in rows {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}
