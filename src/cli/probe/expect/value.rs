//! Values of conditions, and how they compare with the values of a probe.

use std::{cmp::Ordering, time::Duration};

use serde_json::Value;

use super::{Error, Kind, Operator};
use crate::cli::args::values;

/// The value that a condition compares with.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Literal {
    Number {
        value: f64,
        /// Number of digits after the decimal point, to which measured values are rounded; `None` does not round.
        decimals: Option<usize>,
    },
    Boolean(bool),
    Text(String),
}

impl Literal {
    /// Parses the value that is compared with the member at `path`.
    pub(super) fn parse(
        path: &str,
        kind: Kind,
        operator: Operator,
        text: &str,
    ) -> Result<Self, Error> {
        let error = |kind, why: String| Error::Type {
            path: path.to_owned(),
            kind,
            why,
        };
        let is_equality = matches!(operator, Operator::Equal | Operator::NotEqual);
        match kind {
            Kind::Number if operator == Operator::Contains => {
                Err(error("a number", "~ applies to texts and lists".to_owned()))
            }
            Kind::Number => {
                number(path, text).ok_or_else(|| error("a number", format!("not {text:?}")))
            }
            Kind::Boolean if !is_equality => Err(error("true or false", "use = or !=".to_owned())),
            Kind::Boolean => match text {
                "true" | "yes" => Ok(Self::Boolean(true)),
                "false" | "no" => Ok(Self::Boolean(false)),
                _ => Err(error("true or false", format!("not {text:?}"))),
            },
            Kind::Text if !is_equality && operator != Operator::Contains => {
                Err(error("a text", "use =, != or ~".to_owned()))
            }
            Kind::List if operator != Operator::Contains => {
                Err(error("a list", "use ~ for \"contains\"".to_owned()))
            }
            Kind::Text | Kind::List => Ok(Self::Text(unquoted(text).to_lowercase())),
            Kind::Any => Ok(any(path, operator, text)),
            Kind::Object => Err(error("an object", "name one of its members".to_owned())),
        }
    }

    /// Whether `actual` compares with the value as the operator requires.
    pub(super) fn is_met(&self, operator: Operator, actual: &Value) -> bool {
        let is_equal = |is_equal: bool| match operator {
            Operator::Equal => is_equal,
            Operator::NotEqual => !is_equal,
            _ => false,
        };
        match (self, actual) {
            (Self::Number { value, decimals }, Value::Number(actual)) => {
                let Some(actual) = actual.as_f64() else {
                    return false;
                };
                match actual.total_cmp(value) {
                    _ if is_rounded_equal(actual, *value, *decimals) => matches!(
                        operator,
                        Operator::Equal | Operator::LessOrEqual | Operator::GreaterOrEqual
                    ),
                    Ordering::Less => matches!(
                        operator,
                        Operator::NotEqual | Operator::Less | Operator::LessOrEqual
                    ),
                    _ => matches!(
                        operator,
                        Operator::NotEqual | Operator::Greater | Operator::GreaterOrEqual
                    ),
                }
            }
            (Self::Boolean(expected), Value::Bool(actual)) => is_equal(expected == actual),
            (Self::Text(expected), Value::String(actual)) => {
                let actual = actual.to_lowercase();
                match operator {
                    Operator::Contains => actual.contains(expected),
                    _ => is_equal(actual == *expected),
                }
            }
            (Self::Text(_), Value::Array(elements)) => elements
                .iter()
                .any(|element| self.is_met(Operator::Contains, element)),
            _ => false,
        }
    }
}

/// Whether a measured value equals `expected` in the digits that the user wrote: 29.97 equals 30000/1001.
fn is_rounded_equal(actual: f64, expected: f64, decimals: Option<usize>) -> bool {
    match decimals {
        None => actual == expected,
        Some(decimals) => format!("{actual:.decimals$}") == format!("{expected:.decimals$}"),
    }
}

/// Parses a number with an optional unit. Times are compared in the unit of the member.
fn number(path: &str, text: &str) -> Option<Literal> {
    let end = text
        .find(|c: char| c.is_ascii_alphabetic() || c == '%')
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(end);
    let digits = digits.trim();
    let plain = digits.parse::<f64>().ok().filter(|value| value.is_finite());
    let decimals = Some(digits.split_once('.').map_or(0, |(_, digits)| digits.len()));
    let scaled = |factor: f64| {
        Some(Literal::Number {
            value: plain? * factor,
            decimals: None,
        })
    };
    let is_time = path.ends_with("_ms");
    match unit {
        "" => plain.map(|value| Literal::Number { value, decimals }),
        _ if is_time => {
            let time: Duration = values::interval(text).ok()?;
            Some(Literal::Number {
                value: time.as_secs_f64() * 1000.0,
                decimals: None,
            })
        }
        "k" | "K" => scaled(1e3),
        "M" => scaled(1e6),
        "G" => scaled(1e9),
        _ => None,
    }
}

/// Parses a value of any type.
fn any(path: &str, operator: Operator, text: &str) -> Literal {
    let as_type = |kind| Literal::parse(path, kind, operator, text).ok();
    let typed = as_type(Kind::Number).or_else(|| as_type(Kind::Boolean));
    typed.unwrap_or_else(|| Literal::Text(unquoted(text).to_lowercase()))
}

fn unquoted(text: &str) -> &str {
    ['"', '\'']
        .into_iter()
        .find_map(|quote| text.strip_prefix(quote)?.strip_suffix(quote))
        .unwrap_or(text)
}

/// Returns a value as a failed condition prints it.
pub(super) fn text(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}
