//! Log lines for the members of server messages, in rtmpdump's layout.

use std::fmt;

use tracing::field::{Field, Visit};

use crate::cli::terminal::{
    sanitize::{escaped, is_secret_name},
    screen::{Screen, cut_and_escape},
};

/// Log event about one member of a server message. Front ends parse these lines for `redirect`.
#[derive(Default)]
pub(in crate::cli) struct Property {
    message: Option<String>,
    name: Option<String>,
    kind: String,
    value: Option<String>,
}

impl Property {
    /// Formats the log line, without secrets and escaped.
    pub(in crate::cli) fn line(self, level: &str, screen: &Screen) -> String {
        if let Some(message) = self.message {
            return format!("{level}: {message}");
        }
        if self.kind == "NULL" {
            return format!("{level}: Property: NULL");
        }
        let name = self.name.unwrap_or_default();
        let value = match self.value {
            // Front ends connect to this URL themselves, so its secrets stay.
            Some(value) if name == "redirect" => format!(":\t{}", cut_and_escape(&value)),
            Some(_) if self.kind == "STRING" && is_secret_name(&name) => ":\t***".to_owned(),
            Some(value) => format!(":\t{}", screen.cleaned(&value)),
            None => String::new(),
        };
        let name = escaped(&name);
        format!(
            "{level}: Property: <Name: {name:>18.18}, {}{value}>",
            self.kind
        )
    }

    fn set(&mut self, kind: &str, value: String) {
        kind.clone_into(&mut self.kind);
        self.value = Some(value);
    }
}

impl Visit for Property {
    fn record_f64(&mut self, _: &Field, value: f64) {
        self.set("NUMBER", format!("{value:.2}"));
    }

    fn record_bool(&mut self, _: &Field, value: bool) {
        self.set("BOOLEAN", if value { "TRUE" } else { "FALSE" }.to_owned());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "kind" => value.clone_into(&mut self.kind),
            _ => self.record_debug(field, &format_args!("{value}")),
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let value = format!("{value:?}");
        match field.name() {
            "message" => self.message = Some(value),
            "name" => self.name = Some(value),
            _ => self.set("STRING", value),
        }
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        cli::{
            args::Verbosity,
            terminal::{log::tests::logged, screen::tests::plain},
        },
        core::rtmp::properties,
    };

    #[test]
    fn properties_are_logged_in_the_layout_of_rtmpdump() {
        let (screen, written) = plain(Verbosity::Verbose);
        screen.add_secrets(["s3cret".to_owned()]);
        logged(&screen, || {
            let url = "rtmp://me:pw@h/a?token=s3cret\x1b";
            tracing::debug!(target: properties::TARGET, "(object begin)");
            tracing::debug!(target: properties::TARGET, name = "code", number = 302.0);
            tracing::debug!(target: properties::TARGET, name = "fpad", boolean = false);
            tracing::debug!(target: properties::TARGET, name = "ex", kind = "OBJECT");
            tracing::debug!(target: properties::TARGET, name = "redirect", string = %url);
            tracing::debug!(target: properties::TARGET, name = "redirect2", string = %url);
            tracing::debug!(target: properties::TARGET, name = "secureToken", string = "x");
            tracing::debug!(target: properties::TARGET, name = "a name of many letters", string = "");
            tracing::debug!(target: properties::TARGET, kind = "NULL");
            tracing::trace!(target: properties::TARGET, name = "no-name.", number = 1.0);
        });
        assert_eq!(
            written.take(),
            "DEBUG: (object begin)\n\
             DEBUG: Property: <Name:               code, NUMBER:\t302.00>\n\
             DEBUG: Property: <Name:               fpad, BOOLEAN:\tFALSE>\n\
             DEBUG: Property: <Name:                 ex, OBJECT>\n\
             DEBUG: Property: <Name:           redirect, STRING:\trtmp://me:pw@h/a?token=s3cret\\u{1b}>\n\
             DEBUG: Property: <Name:          redirect2, STRING:\trtmp://***@h/a?token=***>\n\
             DEBUG: Property: <Name:        secureToken, STRING:\t***>\n\
             DEBUG: Property: <Name: a name of many let, STRING:\t>\n\
             DEBUG: Property: NULL\n"
        );
    }
}
