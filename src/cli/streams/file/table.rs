//! Tables of the file: keys and values as words of a command line.

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{
    options::{Options, Values, takes_values},
    problem::{Lines, Problems},
};

/// An option in a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    /// Name in the file.
    pub(super) key: String,
    /// Identity of the option, which may have several names.
    pub(super) id: String,
    /// Line of the key.
    pub(super) line: usize,
    /// Words of a command line. Empty for `false`.
    pub(super) words: Vec<String>,
}

/// Returns the options of a table in the order of their lines, without the name.
pub(super) fn entries(
    table: &DeTable<'_>,
    options: &Options,
    lines: &Lines,
    problems: &mut Problems,
) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut members: Vec<_> = table.iter().collect();
    members.sort_by_key(|(key, _)| key.span().start);
    for (key, value) in members {
        let (line, key) = (lines.number(key.span().start), key.get_ref().as_ref());
        if key == NAME {
            continue;
        }
        let arg = options.find(key);
        let entry = arg.and_then(|arg| {
            let id = arg.get_id().to_string();
            if let Some(other) = entries.iter().find(|other| other.id == id) {
                return Err(format!("{key}: line {} sets the same option", other.line));
            }
            let words = words(key, value.get_ref(), takes_values(arg));
            let words = words.map_err(|why| format!("{key}: {why}"))?;
            Ok(Entry {
                key: key.to_owned(),
                id,
                line,
                words,
            })
        });
        match entry {
            Ok(entry) => entries.push(entry),
            Err(why) => problems.add(line, why),
        }
    }
    entries
}

fn words(key: &str, value: &DeValue<'_>, values: Values) -> Result<Vec<String>, String> {
    let flag = || format!("--{key}");
    let with = |value: &DeValue<'_>| Ok(format!("--{key}={}", text(value)?));
    match (value, values) {
        (DeValue::Boolean(is_set), Values::None | Values::Optional) => {
            Ok(is_set.then(flag).into_iter().collect())
        }
        (_, Values::None) => Err("the value must be true or false".to_owned()),
        (DeValue::Array(values), Values::Many) => {
            values.iter().map(|value| with(value.get_ref())).collect()
        }
        (DeValue::Array(_), _) => Err("the option takes one value, not a list".to_owned()),
        _ => Ok(vec![with(value)?]),
    }
}

/// Returns a value as the command line would contain it.
fn text(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) if text.contains('\0') => Err("the text contains NUL".to_owned()),
        DeValue::String(text) => Ok(text.clone().into_owned()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().to_owned()),
        DeValue::Integer(number) => match i64::from_str_radix(number.as_str(), number.radix()) {
            Ok(number) => Ok(number.to_string()),
            Err(_) => Err("the number is too large".to_owned()),
        },
        DeValue::Float(number) => Ok(number.as_str().to_owned()),
        DeValue::Datetime(time) => Ok(time.to_string()),
        DeValue::Boolean(_) => Err("the option needs a value, not true or false".to_owned()),
        DeValue::Array(_) | DeValue::Table(_) => {
            Err("the value must be a text, a number or a time".to_owned())
        }
    }
}

/// Returns the name of a stream and its line.
pub(super) fn name(
    table: &DeTable<'_>,
    table_line: usize,
    lines: &Lines,
    problems: &mut Problems,
) -> Option<(String, usize)> {
    let is_name = |key: &Spanned<_>| key.get_ref() == NAME;
    let Some((key, value)) = table.iter().find(|(key, _)| is_name(key)) else {
        problems.add(table_line, "the stream has no name".to_owned());
        return None;
    };
    let line = lines.number(key.span().start);
    match value.get_ref() {
        DeValue::String(name) if is_valid(name) => Some((name.clone().into_owned(), line)),
        DeValue::String(_) => {
            let why = "name: a name has up to 60 letters, digits, dots, hyphens and underscores, and starts \
                       with a letter or digit";
            problems.add(line, why.to_owned());
            None
        }
        _ => {
            problems.add(line, "name: the value must be a text".to_owned());
            None
        }
    }
}

/// Whether a name can be part of a file name, of a URL and of a command on each system.
fn is_valid(name: &str) -> bool {
    let is_allowed = |c: char| c.is_alphanumeric() || "-_.".contains(c);
    name.chars().all(is_allowed)
        && name.starts_with(char::is_alphanumeric)
        && !name.ends_with('.')
        && name.chars().count() <= MAX_LENGTH
}

/// Key of the name of a stream.
const NAME: &str = "name";

/// Characters of a name. File systems accept 255 bytes, and a character has up to four.
const MAX_LENGTH: usize = 60;
