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
    rc::Rc,
    sync::Arc,
    vec,
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

/// The streams of the file, in its order. Each step of the iterator parses the options of one stream, or returns
/// its errors. Parsed options are large: if those of all streams lived at once, they would leave large holes in the
/// memory.
#[derive(Debug)]
pub(super) struct Streams {
    tables: vec::IntoIter<UncheckedTable>,
    options: Options,
}

impl Iterator for Streams {
    type Item = Result<(StreamTable, Args), Problems>;

    fn next(&mut self) -> Option<Self::Item> {
        Some(self.tables.next()?.check(&self.options))
    }
}

/// One stream of the file.
#[derive(Debug, Clone)]
pub(super) struct StreamTable {
    /// Name of the stream, which is unique.
    pub(super) name: Arc<str>,
    /// Options as words of a command line.
    pub(super) words: Vec<OsString>,
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

/// Parses the tables of the file. Returns its streams, and the errors that were found before their options are
/// parsed. There are no streams if the syntax of the file is invalid.
pub(super) fn parse(text: &str) -> (Streams, Problems) {
    let lines = Lines::of(text);
    let options = Options::default();
    let (document, errors) = DeTable::parse_recoverable(text);
    let mut problems = Problems::default();
    for error in &errors {
        let start = error.span().map_or(0, |span| span.start);
        problems.add(lines.number(start), error.message().replace('\n', ", "));
    }
    let tables = match errors.is_empty() {
        true => unchecked_tables(document.get_ref(), &options, &lines, &mut problems),
        false => Vec::new(),
    };
    if tables.is_empty() && problems.is_empty() {
        problems.add(1, "the file has no table [[stream]]".to_owned());
    }
    let tables = tables.into_iter();
    (Streams { tables, options }, problems)
}

fn unchecked_tables(
    document: &DeTable<'_>,
    options: &Options,
    lines: &Lines,
    problems: &mut Problems,
) -> Vec<UncheckedTable> {
    let (defaults, tables) = tables(document, lines, problems);
    let mut of_defaults = Problems::default();
    let defaults = defaults.map(|table| entries(table, options, lines, &mut of_defaults));
    let defaults: Vec<Rc<Entry>> = defaults.into_iter().flatten().map(Rc::new).collect();
    let mut names: HashMap<String, usize> = HashMap::new();
    let mut streams = Vec::new();
    for table in tables {
        let line = lines.number(table.span().start);
        let DeValue::Table(members) = table.get_ref() else {
            problems.add(line, "stream is not a table: write [[stream]]".to_owned());
            continue;
        };
        let mut found = Problems::default();
        let own = entries(members, options, lines, &mut found);
        if let Some((name, name_line)) = table::name(members, line, lines, &mut found) {
            if let Some(first) = names.insert(name.clone(), name_line) {
                let why = format!("name: line {first} has the same name \"{name}\"");
                found.add(name_line, why);
            }
            streams.push(UncheckedTable {
                name,
                line,
                entries: with_defaults(own, &defaults),
                is_complete: found.is_empty() && of_defaults.is_empty(),
            });
        }
        problems.extend(found);
    }
    problems.extend(of_defaults);
    streams
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
                let why = format!("{key}: options belong in [defaults] or [[stream]]");
                problems.add(line, why);
            }
        }
    }
    streams.sort_by_key(|table| table.span().start);
    (defaults, streams)
}

/// Returns the options of a stream. An option of its own replaces the default.
fn with_defaults(own: Vec<Entry>, defaults: &[Rc<Entry>]) -> Vec<Rc<Entry>> {
    let is_replaced = |default: &&Rc<Entry>| own.iter().any(|entry| entry.id == default.id);
    let inherited = defaults.iter().filter(|entry| !is_replaced(entry));
    let mut entries: Vec<_> = inherited.cloned().collect();
    entries.extend(own.into_iter().map(Rc::new));
    entries
}

/// The table of a stream, before its options are parsed.
#[derive(Debug)]
struct UncheckedTable {
    name: String,
    line: usize,
    entries: Vec<Rc<Entry>>,
    /// Whether no error was found in the table and in the defaults.
    is_complete: bool,
}

impl UncheckedTable {
    /// Parses the options. Returns all errors in them, or no errors if the table is not complete.
    fn check(mut self, options: &Options) -> Result<(StreamTable, Args), Problems> {
        let mut problems = Problems::default();
        // Each round removes a rejected option, so that the next round finds the next error.
        let args = loop {
            let rejected = match Args::of_stream(self.words()) {
                Ok(args) => break args,
                Err(rejected) => rejected,
            };
            let option = rejected.option.as_deref();
            let position = self.entries.iter().position(|entry| {
                option.is_some_and(|option| options.id(option) == Some(entry.id.as_str()))
            });
            let Some(position) = position else {
                let why = format!("stream {}: {}", self.name, rejected.reason);
                problems.add(self.line, why);
                return Err(problems);
            };
            let entry = self.entries.remove(position);
            problems.add(entry.line, format!("{}: {}", entry.key, rejected.reason));
        };
        match self.is_complete && problems.is_empty() {
            true => Ok((self.into_stream(options), args)),
            false => Err(problems),
        }
    }

    fn words(&self) -> impl Iterator<Item = OsString> + '_ {
        let words = self.entries.iter().flat_map(|entry| &entry.words);
        words.map(|word| word.replace(NAME_FIELD, &self.name).into())
    }

    fn into_stream(self, options: &Options) -> StreamTable {
        let lines = self.entries.iter();
        let lines = lines.flat_map(|entry| options.names(&entry.id).map(|name| (name, entry.line)));
        StreamTable {
            words: self.words().collect(),
            line: self.line,
            lines: lines.collect(),
            name: self.name.into(),
        }
    }
}

/// Key of the table with the options of all streams.
const DEFAULTS: &str = "defaults";

/// Key of the tables of the streams.
const STREAM: &str = "stream";

/// Field that stands for the name of the stream.
const NAME_FIELD: &str = "{name}";
