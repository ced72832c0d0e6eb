//! Two probes side by side.

use serde::Serialize;
use serde_json::Value;

use super::{
    document::{Document, SCHEMA_VERSION},
    health::Stated,
    table::{Section, columns_of, padded},
    text::{has_own_times, sections},
};

/// Two probes and the members that differ.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Comparison<'a> {
    schema_version: u32,
    sources: [&'a Document; 2],
    differences: Vec<Difference>,
}

/// A member that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
struct Difference {
    path: String,
    values: [Value; 2],
}

impl<'a> Comparison<'a> {
    pub(super) fn of(sources: [&'a Document; 2]) -> Self {
        let values = sources.map(|source| serde_json::to_value(source).unwrap_or_default());
        let mut differences = Vec::new();
        let [first, second] = &values;
        compare("", first, second, &mut differences);
        Self {
            schema_version: SCHEMA_VERSION,
            sources,
            differences,
        }
    }
}

/// Adds the differences between two values at `path`.
fn compare(path: &str, first: &Value, second: &Value, differences: &mut Vec<Difference>) {
    let is_ignored = IGNORED.contains(&path);
    match (first, second) {
        _ if is_ignored || first == second => {}
        (Value::Object(first), Value::Object(second)) => {
            let only_second = second.keys().filter(|name| !first.contains_key(*name));
            for name in first.keys().chain(only_second) {
                let path = match path {
                    "" => name.clone(),
                    _ => format!("{path}.{name}"),
                };
                let [first, second] =
                    [first, second].map(|members| members.get(name).unwrap_or(&Value::Null));
                compare(&path, first, second, differences);
            }
        }
        (Value::Array(first), Value::Array(second)) if path == "tracks" => {
            for index in 0..first.len().max(second.len()) {
                let [first, second] =
                    [first, second].map(|items| items.get(index).unwrap_or(&Value::Null));
                compare(&format!("{path}[{index}]"), first, second, differences);
            }
        }
        _ => differences.push(Difference {
            path: path.to_owned(),
            values: [first.clone(), second.clone()],
        }),
    }
}

/// A field of both probes; `None` for a probe without it.
struct Row<'a> {
    label: &'a str,
    values: [Option<&'a str>; 2],
}

/// Returns the lines of two probes: field, first source, second source. `!` marks the fields that differ.
pub(super) fn lines(documents: [&Document; 2]) -> Vec<String> {
    let [first, second] =
        documents.map(|document| sections(document, Stated::section(&document.metadata)));
    let pairs = pairs(&first, &second);
    let rows: Vec<(&str, Vec<Row<'_>>)> = pairs
        .into_iter()
        .map(|(title, sections)| (title, rows(sections)))
        .collect();
    let all = || rows.iter().flat_map(|(_, rows)| rows);
    let label_width = all().map(|row| columns_of(row.label)).max();
    let values = all().filter_map(|row| row.values[0]);
    let value_width = values
        .map(columns_of)
        .filter(|width| *width <= WIDEST_VALUE)
        .max();
    let [label_width, value_width] =
        [label_width, value_width].map(|width| width.unwrap_or_default());
    let mut lines = Vec::new();
    for (title, rows) in rows.iter().filter(|(_, rows)| !rows.is_empty()) {
        lines.push((*title).to_owned());
        for row in rows {
            let [first, second] = row.values.map(|value| value.unwrap_or("-"));
            let differs = row.values[0] != row.values[1] && !has_own_times(title);
            let mark = if differs { '!' } else { ' ' };
            let (label, first) = (padded(row.label, label_width), padded(first, value_width));
            lines.push(format!("{mark} {label}  {first}  {second}"));
        }
        lines.push(String::new());
    }
    for (name, document) in ["first", "second"].into_iter().zip(documents) {
        let verdict = document.verdict.lines();
        lines.extend(verdict.into_iter().map(|line| format!("{name}: {line}")));
    }
    lines
}

/// Returns the sections of both probes with the same title, in the order of the first one.
fn pairs<'a>(
    first: &'a [Section],
    second: &'a [Section],
) -> Vec<(&'a str, [Option<&'a Section>; 2])> {
    let find = |sections: &'a [Section], title: &str| {
        sections.iter().find(|section| section.title == title)
    };
    let only_second = second
        .iter()
        .filter(|section| find(first, &section.title).is_none());
    let titles = first.iter().chain(only_second);
    titles
        .map(|section| {
            let title = section.title.as_str();
            (title, [find(first, title), find(second, title)])
        })
        .collect()
}

/// Returns the rows of two sections. Rows with the same label are paired in their order.
fn rows<'a>(sections: [Option<&'a Section>; 2]) -> Vec<Row<'a>> {
    let [first, second] = sections.map(|section| section.map_or(&[][..], |section| &section.rows));
    let mut is_paired = vec![false; second.len()];
    let mut rows = Vec::new();
    for row in first {
        let found = second
            .iter()
            .enumerate()
            .find(|(at, other)| !is_paired[*at] && other.label == row.label);
        if let Some((at, _)) = found {
            is_paired[at] = true;
        }
        rows.push(Row {
            label: &row.label,
            values: [
                Some(row.value.as_str()),
                found.map(|(_, row)| row.value.as_str()),
            ],
        });
    }
    let unpaired = second.iter().zip(is_paired);
    rows.extend(
        unpaired
            .filter(|(_, is_paired)| !is_paired)
            .map(|(row, _)| Row {
                label: &row.label,
                values: [None, Some(row.value.as_str())],
            }),
    );
    rows
}

/// Members that differ between any two probes.
const IGNORED: [&str; 4] = ["source", "times", "connection", "session"];

/// Width of a value that may widen its column.
const WIDEST_VALUE: usize = 48;
