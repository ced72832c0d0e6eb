//! What may be printed: text from servers made harmless, secrets taken out.

use std::fmt::Write;

/// `text` with everything spelt out that would move the cursor, change colours, answer as if typed,
/// or show words in another order than they have. Tabs stay.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text);
    out
}

/// [`escaped`] for what should be UTF-8: other bytes become `\xff`.
pub fn escaped_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        push_escaped(&mut out, chunk.valid());
        for byte in chunk.invalid() {
            write!(out, "\\x{byte:02x}").expect("a string takes everything");
        }
    }
    out
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        if is_harmful(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

fn is_harmful(c: char) -> bool {
    match c {
        '\t' => false,
        // Line and paragraph separator; marks, embeddings, overrides and isolates of direction.
        '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // C0, DEL and C1: a terminal may take U+009B for ESC [.
        c => c.is_control(),
    }
}

/// `text` with the passwords of the URLs in it replaced, and the values of those parameters of their
/// queries that grant access.
pub fn redacted(text: &str) -> String {
    redact_queries(&redact_passwords(text))
}

fn redact_passwords(text: &str) -> String {
    let mut pieces = text.split("://");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str("://");
        match password_range(piece) {
            Some((before, after)) => out.extend([before, REDACTED, after]),
            None => out.push_str(piece),
        }
    }
    out
}

/// What stands before and behind the password of a URL whose scheme is cut off.
fn password_range(url: &str) -> Option<(&str, &str)> {
    let end = url
        .find(|c: char| is_end_of_value(c) || "/?".contains(c))
        .unwrap_or(url.len());
    let at = url[..end].rfind('@')?;
    let colon = url[..at].find(':')?;
    Some((&url[..=colon], &url[at..]))
}

fn redact_queries(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(mark) = rest.find(['?', '&']) {
        let (before, parameter) = rest.split_at(mark + 1);
        out.push_str(before);
        rest = parameter;
        let name_end = parameter.find(|c: char| !is_name(c));
        let Some((name, value)) = name_end.map(|end| parameter.split_at(end)) else {
            continue;
        };
        if value.starts_with('=') && grants_access(name) {
            out.extend([name, "=", REDACTED]);
            rest = value.trim_start_matches(|c| c != '&' && !is_end_of_value(c));
        }
    }
    out.push_str(rest);
    out
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.[]".contains(c)
}

fn is_end_of_value(c: char) -> bool {
    c.is_whitespace() || "#\"'<>".contains(c)
}

fn grants_access(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// What stands where a secret stood.
const REDACTED: &str = "***";

/// What the names of such parameters contain.
const SECRET_NAMES: [&str; 13] = [
    "auth",
    "token",
    "key",
    "sig",
    "pass",
    "pwd",
    "secret",
    "hash",
    "hmac",
    "ticket",
    "session",
    "credential",
    "policy",
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spells_out_what_a_terminal_would_obey() {
        let cases = [
            ("NetStream.Play.Stop", "NetStream.Play.Stop"),
            ("größer\tübel 日本", "größer\tübel 日本"),
            ("C:\\video", "C:\\video"),
            ("\x1b]0;owned\x07", "\\u{1b}]0;owned\\u{7}"),
            ("two\r\nlines\0", "two\\r\\nlines\\u{0}"),
            (
                "\u{9b}31m\u{80}\u{9f}\x7f",
                "\\u{9b}31m\\u{80}\\u{9f}\\u{7f}",
            ),
            ("a\u{202e}vlf.exe\u{2066}", "a\\u{202e}vlf.exe\\u{2066}"),
            (
                "a\u{200f}b\u{61c}c\u{2028}",
                "a\\u{200f}b\\u{61c}c\\u{2028}",
            ),
        ];
        for (text, expected) in cases {
            assert_eq!(escaped(text), expected);
            assert_eq!(escaped_bytes(text.as_bytes()), expected);
        }
    }

    #[test]
    fn spells_out_lone_bytes() {
        let cases: [(&[u8], &str); 4] = [
            (b"caf\xe9!", "caf\\xe9!"),
            (b"\x9b31m", "\\x9b31m"),
            (b"\xe2\x82", "\\xe2\\x82"),
            (b"\xed\xa0\x80\xff\n", "\\xed\\xa0\\x80\\xff\\n"),
        ];
        for (bytes, expected) in cases {
            assert_eq!(escaped_bytes(bytes), expected);
        }
    }

    #[test]
    fn takes_secrets_out() {
        let cases = [
            ("rtmp://host/app/name", "rtmp://host/app/name"),
            ("rtmp://me:pw@host:1/app", "rtmp://me:***@host:1/app"),
            ("rtmp://me:p@:w@host/a@b:c", "rtmp://me:***@host/a@b:c"),
            ("rtmp://me@host/a:b@c", "rtmp://me@host/a:b@c"),
            (
                "from rtmp://a:b@c to rtmp://d:e@f",
                "from rtmp://a:***@c to rtmp://d:***@f",
            ),
            (
                "no rtmp://host here: me@home",
                "no rtmp://host here: me@home",
            ),
            ("name?token=abc", "name?token=***"),
            ("name?Token=abc&x=1", "name?Token=***&x=1"),
            ("name?x=1&wsSecret=a/b?c&y", "name?x=1&wsSecret=***&y"),
            (
                "\"rtmp://h/a?auth=b\" refused",
                "\"rtmp://h/a?auth=***\" refused",
            ),
            ("a?auth=b#stream", "a?auth=***#stream"),
            (
                "name?channel=0&user=admin&password=",
                "name?channel=0&user=admin&password=***",
            ),
            ("name?token", "name?token"),
            ("what? keys & tokens", "what? keys & tokens"),
            ("?", "?"),
        ];
        for (text, expected) in cases {
            assert_eq!(redacted(text), expected);
        }
    }

    proptest! {
        #[test]
        fn lets_nothing_harmful_through(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!escaped_bytes(&bytes).contains(is_harmful));
        }

        #[test]
        fn redacts_any_text(text in ".*", url in "[a:/@?&=# é]{0,20}") {
            let _ = redacted(&text);
            let _ = redacted(&format!("://{url}"));
        }
    }
}
