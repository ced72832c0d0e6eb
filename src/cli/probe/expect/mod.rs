//! Conditions of `--expect`: a member of the JSON object, an operator, and a value.

mod value;

#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;
use thiserror::Error;

use self::value::Literal;
use super::schema::{self, Kind, Member};
use crate::{core::analysis::Code, probe::file::FileCode};

/// Reason why a condition is rejected.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// No operator.
    #[error("no operator: a condition is a member, one of = != < <= > >= ~, and a value")]
    Operator,
    /// Not a member of the JSON object.
    #[error("a probe has no member {path:?}{}", suggestion(.similar.as_deref()))]
    Member {
        /// The unknown path.
        path: String,
        /// A known path that may be meant.
        similar: Option<String>,
    },
    /// A member that is an object or a list, or that has another type than the value.
    #[error("{path} is {kind}: {why}")]
    Type {
        /// The path.
        path: String,
        /// Type of the member.
        kind: &'static str,
        /// What does not fit.
        why: String,
    },
}

fn suggestion(similar: Option<&str>) -> String {
    similar.map_or_else(
        || "; the manual lists all members".to_owned(),
        |path| format!("; did you mean {path:?}?"),
    )
}

/// A condition that a probe must meet.
#[derive(Debug, Clone, PartialEq)]
pub struct Condition {
    /// The condition as the user wrote it.
    text: String,
    path: String,
    operator: Operator,
    literal: Literal,
}

/// How the value of a member is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `=`
    Equal,
    /// `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `~`: the text, or an element of the list, contains the value.
    Contains,
}

/// A condition that a probe did not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The condition.
    pub condition: String,
    /// The value of the member; `None` if it is missing.
    pub actual: Option<String>,
}

impl Condition {
    /// Parses a condition such as `video.height>=720`.
    ///
    /// # Errors
    ///
    /// Fails if the member does not exist, or if the operator or the value does not fit its type.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (path, operator, value) = split(text).ok_or(Error::Operator)?;
        let member = member(path)?;
        let literal = Literal::parse(path, member.kind, operator, value)?;
        Ok(Self {
            text: text.to_owned(),
            path: path.to_owned(),
            operator,
            literal,
        })
    }

    /// Returns why `probe`, a JSON object, does not meet the condition. A missing value meets no condition.
    pub fn check(&self, probe: &Value) -> Result<(), Failure> {
        let actual = resolve(probe, &self.path);
        let is_met = actual
            .as_ref()
            .is_some_and(|actual| self.literal.is_met(self.operator, actual));
        match is_met {
            true => Ok(()),
            false => Err(Failure {
                condition: self.text.clone(),
                actual: actual.map(|actual| value::text(&actual)),
            }),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.actual {
            Some(actual) => write!(f, "{} failed: the value is {actual}", self.condition),
            None if self.condition.contains(INTERVAL) => write!(
                f,
                "{} failed: the value is unknown (try a longer time, such as --probe-time 10s)",
                self.condition
            ),
            None => write!(f, "{} failed: the value is unknown", self.condition),
        }
    }
}

/// Splits a condition at its operator.
fn split(text: &str) -> Option<(&str, Operator, &str)> {
    let at = text.find(|c| "=!<>~".contains(c))?;
    let (path, rest) = text.split_at(at);
    let (sign, operator) = OPERATORS
        .into_iter()
        .find(|(sign, _)| rest.starts_with(sign))?;
    let value = rest.strip_prefix(sign)?;
    Some((path.trim(), operator, value.trim()))
}

/// Returns the documented member at `path`.
fn member(path: &str) -> Result<Member, Error> {
    let documented = documented(path);
    let is_count = documented
        .strip_prefix(FINDINGS)
        .is_some_and(|code| codes().any(|known| known == code));
    if is_count {
        return Ok(Member {
            path: FINDINGS,
            kind: Kind::Number,
        });
    }
    let mut members = schema::members();
    members
        .find(|member| member.path == documented)
        .ok_or_else(|| Error::Member {
            path: path.to_owned(),
            similar: similar(path),
        })
}

fn similar(path: &str) -> Option<String> {
    if let Some(code) = path.strip_prefix(FINDINGS) {
        let code = schema::most_similar(code, codes())?;
        return Some(format!("{FINDINGS}{code}"));
    }
    let members = schema::members().map(|member| member.path);
    let Some((kind, name)) = main_track(path) else {
        return schema::most_similar(path, members).map(str::to_owned);
    };
    let names = members.filter_map(|path| path.strip_prefix(TRACK));
    Some(format!("{kind}.{}", schema::most_similar(name, names)?))
}

/// Returns `path` as the manual writes it: without indexes, and with `tracks[]` for a main track.
fn documented(path: &str) -> String {
    if let Some((_, name)) = main_track(path) {
        return format!("{TRACK}{name}");
    }
    let is_index = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    let mut out = String::with_capacity(path.len());
    for piece in path.split_inclusive('[') {
        match piece.split_once(']') {
            Some((index, rest)) if is_index(index) && !index.is_empty() => {
                out.extend(["]", rest]);
            }
            _ => out.push_str(piece),
        }
    }
    out
}

/// Returns the kind of the main track that `path` starts with, and the rest of the path.
fn main_track(path: &str) -> Option<(&str, &str)> {
    let (kind, name) = path.split_once('.')?;
    ["video", "audio"].contains(&kind).then_some((kind, name))
}

/// Returns the codes of all findings.
fn codes() -> impl Iterator<Item = &'static str> {
    let of_files = FileCode::ALL.iter().map(|code| code.as_str());
    Code::ALL.iter().map(|code| code.as_str()).chain(of_files)
}

/// Returns the value at `path`; `None` if it is missing or null.
fn resolve(probe: &Value, path: &str) -> Option<Value> {
    if let Some(code) = path.strip_prefix(FINDINGS) {
        let findings = probe.get("findings")?.as_array()?;
        let counts = findings
            .iter()
            .filter(|finding| finding.get("code").is_some_and(|found| found == code))
            .map(|finding| finding.get("count").and_then(Value::as_u64).unwrap_or(1));
        return Some(counts.sum::<u64>().into());
    }
    let (mut value, names) = match main_track(path) {
        Some((kind, name)) => {
            let tracks = probe.get("tracks")?.as_array()?;
            let is_kind = |track: &&Value| track.get("kind").is_some_and(|found| found == kind);
            (tracks.iter().find(is_kind)?, name)
        }
        None => (probe, path),
    };
    for name in names.split(['.', '[']) {
        value = match name.strip_suffix(']') {
            Some(index) => value.get(index.parse::<usize>().ok()?)?,
            None => value.get(name)?,
        };
    }
    (!value.is_null()).then(|| value.clone())
}

/// Longer operators precede their prefixes.
const OPERATORS: [(&str, Operator); 8] = [
    ("!=", Operator::NotEqual),
    ("<=", Operator::LessOrEqual),
    (">=", Operator::GreaterOrEqual),
    ("==", Operator::Equal),
    ("=", Operator::Equal),
    ("<", Operator::Less),
    (">", Operator::Greater),
    ("~", Operator::Contains),
];

/// Name of members that are only known after a complete GOP.
const INTERVAL: &str = "keyframe_interval";

/// Start of a path that counts the findings with a code.
const FINDINGS: &str = "findings.";

/// Start of the documented paths of a track.
const TRACK: &str = "tracks[].";
