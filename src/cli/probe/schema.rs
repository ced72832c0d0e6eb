//! Members of the JSON object, as the manual documents them.

use crate::cli::generate::MANUAL;

/// A documented member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Member {
    /// Names from the outermost object on, as in `tracks[].codec`.
    pub(super) path: &'static str,
    pub(super) kind: Kind,
}

/// Type of a value. Each value may be null instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Number,
    Text,
    Boolean,
    List,
    Object,
    /// A number, a text or a boolean.
    Any,
}

/// Returns the documented members.
pub(super) fn members() -> impl Iterator<Item = Member> + Clone {
    let (_, section) = MANUAL.split_once(SECTION).unwrap_or_default();
    let section = section.split("\n# ").next().unwrap_or_default();
    section.lines().filter_map(member)
}

/// Parses an item such as "- `tracks[].codec` (text): codec of the track".
fn member(line: &'static str) -> Option<Member> {
    let (path, rest) = line.strip_prefix("- `")?.split_once("` (")?;
    let (kind, _) = rest.split_once("): ")?;
    let kind = match kind {
        "number" => Kind::Number,
        "text" => Kind::Text,
        "boolean" => Kind::Boolean,
        "list" => Kind::List,
        "object" => Kind::Object,
        "value" => Kind::Any,
        _ => return None,
    };
    Some(Member { path, kind })
}

/// Returns the name most similar to `name`, if any is similar.
pub(super) fn most_similar<'a>(
    name: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let rated = names
        .into_iter()
        .map(|other| (strsim::jaro(name, other), other));
    let best = rated.max_by(|(one, _), (other, _)| one.total_cmp(other));
    best.filter(|(similarity, _)| *similarity > LEAST_SIMILARITY)
        .map(|(_, other)| other)
}

/// Heading of the section that lists the members.
const SECTION: &str = "\n# JSON of a probe\n";

/// Similarity from which a name counts as a misspelling, the same as in clap.
const LEAST_SIMILARITY: f64 = 0.7;
