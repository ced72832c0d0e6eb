//! The TOML file of `--streams`. Its keys are the long options of the command line, and the parser of the command
//! line checks their values.

mod options;
mod problem;
mod table;

#[cfg(test)]
mod tests;

use std::{
    collections::HashMap,
    ffi::OsString,
    fs,
    io::{self, Read},
    path::Path,
    sync::Arc,
};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

pub(super) use self::problem::Problems;
use self::{
    options::Options,
    problem::Lines,
    table::{Entry, entries},
};
use crate::cli::args::{Args, STDOUT};

/// One stream of the file.
#[derive(Debug, Clone)]
pub(super) struct StreamTable {
    /// Name of the stream, which is unique.
    pub(super) name: Arc<str>,
    /// Options as words of a command line.
    pub(super) words: Vec<OsString>,
    /// The parsed words.
    pub(super) args: Box<Args>,
    /// Line of the table.
    pub(super) line: usize,
    /// Line of each option, by its long name.
    lines: HashMap<String, usize>,
}

impl StreamTable {
    /// Returns the line of the option that `reason` names, or else that of the table.
    pub(super) fn line_of(&self, reason: &str) -> usize {
        let named = reason
            .split(|c: char| c.is_whitespace() || ",:;".contains(c))
            .filter_map(|word| word.strip_prefix("--"));
        let mut lines = named.filter_map(|option| self.lines.get(option));
        lines.next().copied().unwrap_or(self.line)
    }
}

/// Reads the text of the file. `-` is standard input.
pub(super) fn read(path: &Path) -> io::Result<String> {
    if path != Path::new(STDOUT) {
        return fs::read_to_string(path);
    }
    let mut text = String::new();
    io::stdin().read_to_string(&mut text)?;
    Ok(text)
}

/// Parses the file. The order of the streams is that of the file.
///
/// # Errors
///
/// Returns all errors, in the order of their lines.
pub(super) fn parse(text: &str) -> Result<Vec<StreamTable>, Problems> {
    let lines = Lines::of(text);
    let mut problems = Problems::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    for error in &errors {
        let start = error.span().map_or(0, |span| span.start);
        problems.add(lines.number(start), error.message().replace('\n', ", "));
    }
    if !errors.is_empty() {
        return Err(problems);
    }
    let options = Options::default();
    let document = document.get_ref();
    let (defaults, tables) = tables(document, &lines, &mut problems);
    let defaults = match defaults {
        Some(table) => entries(table, &options, &lines, &mut problems),
        None => Vec::new(),
    };
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut streams = Vec::new();
    for table in tables {
        let line = lines.number(table.span().start);
        let DeValue::Table(members) = table.get_ref() else {
            problems.add(line, "stream is not a table: write [[stream]]".to_owned());
            continue;
        };
        let own = entries(members, &options, &lines, &mut problems);
        let name = table::name(members, line, &lines, &mut problems);
        let Some((name, name_line)) = name else {
            continue;
        };
        if let Some(first) = names.insert(name.clone(), name_line) {
            let why = format!("name: line {first} has the same name \"{name}\"");
            problems.add(name_line, why);
        }
        streams.extend(stream(
            (name, line),
            &defaults,
            own,
            &options,
            &mut problems,
        ));
    }
    if streams.is_empty() && problems.is_empty() {
        problems.add(1, "the file has no table [[stream]]".to_owned());
    }
    match problems.is_empty() {
        true => Ok(streams),
        false => Err(problems),
    }
}

/// Returns the table of the defaults and those of the streams. Other top-level keys are errors.
fn tables<'a, 'i>(
    document: &'a DeTable<'i>,
    lines: &Lines,
    problems: &mut Problems,
) -> (Option<&'a DeTable<'i>>, Vec<&'a Spanned<DeValue<'i>>>) {
    let (mut defaults, mut streams) = (None, Vec::new());
    for (key, value) in document {
        let line = lines.number(key.span().start);
        match (key.get_ref().as_ref(), value.get_ref()) {
            (DEFAULTS, DeValue::Table(table)) => defaults = Some(table),
            (STREAM, DeValue::Array(tables)) => streams.extend(tables.iter()),
            (STREAM, DeValue::Table(_)) => {
                problems.add(line, "write [[stream]], with two brackets".to_owned());
            }
            (key, _) => {
                let why = format!("{key}: options belong into [defaults] or [[stream]]");
                problems.add(line, why);
            }
        }
    }
    streams.sort_by_key(|table| table.span().start);
    (defaults, streams)
}

/// Parses the options of one stream. An option of its own replaces the default.
fn stream(
    (name, line): (String, usize),
    defaults: &[Entry],
    own: Vec<Entry>,
    options: &Options,
    problems: &mut Problems,
) -> Option<StreamTable> {
    let is_replaced = |default: &&Entry| own.iter().any(|entry| entry.id == default.id);
    let inherited = defaults.iter().filter(|entry| !is_replaced(entry)).cloned();
    let mut entries: Vec<Entry> = inherited.collect();
    entries.extend(own);
    let mut parsed = None;
    // Each round removes a rejected option, so that the next round finds the next error.
    while let Err(rejected) =
        Args::of_stream(words(&entries, &name)).map(|args| parsed = Some(args))
    {
        let option = rejected.option.as_deref();
        let position = entries.iter().position(|entry| {
            option.is_some_and(|option| options.id(option) == Some(entry.id.as_str()))
        });
        let Some(position) = position else {
            problems.add(line, format!("stream {name}: {}", rejected.reason));
            return None;
        };
        let entry = entries.remove(position);
        problems.add(entry.line, format!("{}: {}", entry.key, rejected.reason));
    }
    Some(StreamTable {
        words: words(&entries, &name).collect(),
        args: Box::new(parsed?),
        line,
        lines: entries
            .iter()
            .flat_map(|entry| options.names(&entry.id).map(|name| (name, entry.line)))
            .collect(),
        name: name.into(),
    })
}

fn words<'a>(entries: &'a [Entry], name: &'a str) -> impl Iterator<Item = OsString> + 'a {
    let words = entries.iter().flat_map(|entry| &entry.words);
    words.map(move |word| word.replace(NAME_FIELD, name).into())
}

/// Key of the table with the options of all streams.
const DEFAULTS: &str = "defaults";

/// Key of the tables of the streams.
const STREAM: &str = "stream";

/// Field that stands for the name of the stream.
const NAME_FIELD: &str = "{name}";
