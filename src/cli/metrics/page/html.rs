//! Text in HTML.

use std::fmt::{self, Write as _};

use crate::cli::terminal::sanitize;

/// Returns `text` for an element or a quoted attribute. Control characters and those that change the direction of
/// text become visible, as on a terminal.
pub(super) fn escaped(text: &str) -> impl fmt::Display {
    Escaped(sanitize::escaped(text))
}

struct Escaped(String);

impl fmt::Display for Escaped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| match character {
            '&' => f.write_str("&amp;"),
            '<' => f.write_str("&lt;"),
            '>' => f.write_str("&gt;"),
            '"' => f.write_str("&quot;"),
            '\'' => f.write_str("&#39;"),
            other => f.write_char(other),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn markup_stays_text() {
        let text = escaped("<script>alert('a' + \"b\") && 1</script>\n\u{202e}").to_string();
        assert_eq!(
            text,
            "&lt;script&gt;alert(&#39;a&#39; + &quot;b&quot;) &amp;&amp; 1&lt;/script&gt;\\n\\u{202e}"
        );
    }

    proptest! {
        #[test]
        fn no_text_contains_markup(text in "\\PC*|.*") {
            let escaped = escaped(&text).to_string();
            prop_assert!(!escaped.contains(['<', '>', '"', '\'']), "{escaped}");
        }
    }
}
