//! Makes text safe to print: escapes control characters and masks secrets.

use std::{fmt::Write, ops::Range};

use crate::core::{amf::raw_bytes, rtmp::secret::Secret};

/// Escapes all characters that a terminal interprets: control characters other than tabs, and marks that
/// change the direction of text.
pub fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    push_escaped(&mut out, text);
    out
}

/// Escapes text that should be UTF-8 as [`escaped`] does. Bytes that are not UTF-8 become `\xff`.
pub fn escaped_bytes(bytes: &[u8]) -> String {
    let mut out = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        push_escaped(&mut out, chunk.valid());
        chunk
            .invalid()
            .iter()
            .for_each(|byte| push_byte(&mut out, *byte));
    }
    out
}

/// Escapes characters that a terminal interprets in a JSON text. They occur only in its strings. JSON
/// itself escapes neither DEL nor C1 controls nor direction marks.
pub fn escaped_json(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        if must_escape(c) {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                write!(out, "\\u{unit:04x}").expect("writing to a string never fails");
            }
        } else {
            out.push(c);
        }
    }
    out
}

/// Returns the longest start of `text` that has at most `limit` bytes after [`escaped`].
pub fn start_of_escaped(text: &str, limit: usize) -> &str {
    start_of(text, limit, |c| match must_escape(c) {
        true => c.escape_default().len(),
        false => c.len_utf8(),
    })
}

/// Returns the longest start of `text` that has at most `limit` bytes in a JSON string after
/// [`escaped_json`].
pub fn start_of_json(text: &str, limit: usize) -> &str {
    start_of(text, limit, |c| match c {
        '"' | '\\' => 2,
        _ if c.is_control() || must_escape(c) => 6 * c.len_utf16(),
        _ => c.len_utf8(),
    })
}

fn start_of(text: &str, limit: usize, escaped_len: impl Fn(char) -> usize) -> &str {
    let mut bytes = 0;
    let is_too_long = |c| {
        bytes += escaped_len(c);
        bytes > limit
    };
    &text[..text.find(is_too_long).unwrap_or(text.len())]
}

fn push_escaped(out: &mut String, text: &str) {
    for c in text.chars() {
        if let Some(byte) = raw_bytes::byte_of(c) {
            push_byte(out, byte);
        } else if must_escape(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
}

fn push_byte(out: &mut String, byte: u8) {
    write!(out, "\\x{byte:02x}").expect("writing to a string never fails");
}

fn must_escape(c: char) -> bool {
    match c {
        '\t' => false,
        // Line and paragraph separators; direction marks, embeddings, overrides and isolates.
        '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => true,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => true,
        // C0, DEL and C1: terminals may interpret U+009B as ESC [.
        c => c.is_control(),
    }
}

/// Masks the user info of URLs in `text`, and the values of parameters with secret names: in queries, in
/// options that follow a librtmp URL, and in items of `--conn`.
pub fn redacted(text: &str) -> String {
    redact_items(&redact_queries(&redact_user_info(text)))
}

/// Removes the numbers of system errors, which Rust appends to their descriptions.
pub fn without_error_numbers(text: &str) -> String {
    let mut pieces = text.split(OS_ERROR);
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        match piece.split_once(')') {
            Some((number, rest)) if number.parse::<i32>().is_ok() => out.push_str(rest),
            _ => out.extend([OS_ERROR, piece]),
        }
    }
    out
}

/// Masks `secrets` in `text`. A secret of up to three characters is only masked as a separate word, since
/// it may occur in any word; the value of a parameter is only masked after its name.
pub fn without_secrets(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets {
        text = match secret {
            Secret::Parameter { .. } => without_parameter(text, secret),
            Secret::Text(secret) => match secret.chars().count() {
                0 => continue,
                1..=3 => without_word(&text, secret),
                _ => text.replace(secret.as_str(), REDACTED),
            },
        };
    }
    text
}

fn without_parameter(mut text: String, parameter: &Secret) -> String {
    for range in parameter.parameter_positions(&text).into_iter().rev() {
        text.replace_range(range, REDACTED);
    }
    text
}

fn without_word(text: &str, word: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for (at, _) in text.match_indices(word) {
        let is_bound = |c: Option<char>| c.is_none_or(|c| !c.is_alphanumeric());
        let (before, after) = (&text[..at], &text[at + word.len()..]);
        if is_bound(before.chars().next_back()) && is_bound(after.chars().next()) {
            out.extend([&text[end..at], REDACTED]);
            end = at + word.len();
        }
    }
    out + &text[end..]
}

/// Returns whether a value of this name is a credential.
pub fn is_secret_name(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

/// Masks the secrets in a complete URL. Unlike a URL in running text, it may contain spaces and quotes.
pub fn redacted_url(url: &str) -> String {
    match url.split_once("://") {
        Some((scheme, rest)) if let Some(info) = user_info(rest) => {
            let rest = redact_queries(&rest[info.len()..]);
            format!("{scheme}://{REDACTED}{rest}")
        }
        _ => redact_queries(url),
    }
}

/// Returns the texts in an argument that a server may repeat and that must not be printed then: user info
/// of URLs, and secret values in queries. A value of less than [`MIN_ECHOED_LENGTH`] bytes may occur in ordinary
/// words, and is only secret after its name.
pub fn secrets_in(argument: &str) -> Vec<Secret> {
    let mut urls = argument.split("://").skip(1);
    let infos = urls.by_ref().filter_map(user_info);
    let infos = infos.filter(|info| info.contains(':'));
    let values = secret_values(argument).into_iter().map(|range| {
        let name = argument[..range.start].trim_end_matches('=');
        let start = name.rfind(|c| !is_name(c)).map_or(0, |at| at + 1);
        parameter(&name[start..], &argument[range])
    });
    let infos = infos.map(|info| Secret::Text(info.to_owned()));
    infos.chain(values).collect()
}

/// Returns the secret value of a parameter, which is secret wherever it occurs if it is long.
pub fn parameter(name: &str, value: &str) -> Secret {
    match value.len() {
        MIN_ECHOED_LENGTH.. => Secret::Text(value.to_owned()),
        _ => Secret::Parameter {
            name: name.to_owned(),
            value: value.to_owned(),
        },
    }
}

/// Returns the positions of the secrets in a complete URL or stream name: user info, and secret values in
/// queries.
pub fn secret_ranges(text: &str) -> Vec<Range<usize>> {
    let info = text.split_once("://").and_then(|(scheme, rest)| {
        let start = scheme.len() + "://".len();
        user_info(rest).map(|info| start..start + info.len())
    });
    info.into_iter().chain(secret_values(text)).collect()
}

fn redact_user_info(text: &str) -> String {
    let mut pieces = text.split("://");
    let mut out = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        out.push_str("://");
        let end = piece.find(is_end_of_word).unwrap_or(piece.len());
        match user_info(&piece[..end]) {
            Some(info) => out.extend([REDACTED, &piece[info.len()..]]),
            None => out.push_str(piece),
        }
    }
    out
}

/// Returns the user info at the start of `url`, which is a URL without its scheme.
///
/// An unescaped password may contain `@`, `/`, `?` and `#`, which makes the URL ambiguous. After a colon,
/// everything up to the last `@` before a host is user info: a path that contains `@` is masked too, but no
/// password is ever shown.
fn user_info(url: &str) -> Option<&str> {
    let authority = &url[..url.find(['/', '?', '#']).unwrap_or(url.len())];
    let before_host = |(at, _): &(usize, &str)| is_host(&url[at + 1..]);
    let at = match authority.contains(':') {
        true => url.rmatch_indices('@').find(before_host),
        false => None,
    };
    let at = at.map(|(at, _)| at).or_else(|| authority.rfind('@'))?;
    (at > 0).then(|| &url[..at])
}

/// Returns whether `text` starts with a host and perhaps a port, and then a path, a query or nothing.
fn is_host(text: &str) -> bool {
    let authority = text.split(['/', '?', '#', ';']).next().unwrap_or_default();
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (authority, ""),
    };
    let is_name = |c: char| c.is_alphanumeric() || "-._[]:%".contains(c);
    !host.is_empty() && host.chars().all(is_name) && port.bytes().all(|c| c.is_ascii_digit())
}

/// Masks the values of items such as `NS:name:text`, up to the next space or quote.
fn redact_items(text: &str) -> String {
    let mut pieces = text.split_inclusive(['"', '\'', ' ']);
    let mut out = String::with_capacity(text.len());
    for piece in &mut pieces {
        let mut parts = piece.splitn(3, ':');
        let (kind, name, value) = (parts.next(), parts.next(), parts.next());
        match (kind, name, value) {
            (Some("NS" | "NN"), Some(name), Some(value)) if is_secret_name(name) => {
                let end = value.chars().next_back().filter(|c| "\"' ".contains(*c));
                out.extend([&piece[..4 + name.len()], REDACTED]);
                out.extend(end);
            }
            _ => out.push_str(piece),
        }
    }
    out
}

fn redact_queries(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut end = 0;
    for range in secret_values(text) {
        out.extend([&text[end..range.start], REDACTED]);
        end = range.end;
    }
    out + &text[end..]
}

/// Finds the values of secret parameters in queries and in options that follow a librtmp URL.
fn secret_values(text: &str) -> Vec<Range<usize>> {
    let mut values = Vec::new();
    let mut at = 0;
    while let Some(mark) = text[at..].find(['?', '&', ';', ' ']) {
        let is_option = text[at + mark..].starts_with(' ');
        at += mark + 1;
        let parameter = &text[at..];
        let name = &parameter[..parameter.find(|c| !is_name(c)).unwrap_or(0)];
        let Some(value) = parameter[name.len()..].strip_prefix('=') else {
            continue;
        };
        let is_end = |c| is_end_of_word(c) || !is_option && "&;#".contains(c);
        let value = &value[..value.find(is_end).unwrap_or(value.len())];
        let is_secret = match is_option {
            true => SECRET_KEYS.iter().any(|key| name.eq_ignore_ascii_case(key)),
            false => is_secret_name(name) || is_random(value),
        };
        if is_secret {
            let start = at + name.len() + 1;
            at = start + value.len();
            values.push(start..at);
        }
    }
    values
}

/// Returns whether a value looks like a generated token: long, and either without a word boundary or with
/// frequent changes between letters and digits or from lower to upper case, unlike words and numbers.
fn is_random(value: &str) -> bool {
    let is_url_safe = |c: u8| c.is_ascii_alphanumeric() || b"-._~%+/=".contains(&c);
    if value.len() < MIN_TOKEN_LENGTH || !value.bytes().all(is_url_safe) {
        return false;
    }
    if value.len() >= 2 * MIN_TOKEN_LENGTH && value.bytes().all(|c| c.is_ascii_alphanumeric()) {
        return true;
    }
    let letters: Vec<u8> = value.bytes().filter(u8::is_ascii_alphanumeric).collect();
    let is_change = |pair: &&[u8]| {
        pair[0].is_ascii_digit() != pair[1].is_ascii_digit()
            || pair[0].is_ascii_lowercase() && pair[1].is_ascii_uppercase()
    };
    let changes = letters.windows(2).filter(is_change).count();
    changes * 5 >= letters.len()
}

fn is_name(c: char) -> bool {
    c.is_ascii_alphanumeric() || "_-.[]".contains(c)
}

/// Returns whether a URL or a value ends before `c` in running text.
fn is_end_of_word(c: char) -> bool {
    c.is_whitespace() || "\"'<>".contains(c)
}

/// Start of the number of a system error in its description.
const OS_ERROR: &str = " (os error ";

/// Replacement for a secret.
const REDACTED: &str = "***";

/// Length from which a value may be a generated token.
const MIN_TOKEN_LENGTH: usize = 16;

/// Length from which a value is also masked outside the parameter it was given for.
pub const MIN_ECHOED_LENGTH: usize = 8;

/// Parts of the names of secret parameters.
const SECRET_NAMES: [&str; 24] = [
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
    "user",
    "login",
    "nonce",
    "response",
    "challenge",
    "opaque",
    "jtv",
    "jwt",
    "hdnea",
    "hdntl",
    "hdnts",
];

/// Secret options that may follow a librtmp URL.
const SECRET_KEYS: [&str; 4] = ["token", "jtv", "pubUser", "pubPasswd"];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn control_characters_are_escaped() {
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
            ("caf\u{10ffe9}", "caf\\xe9"),
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
    fn escaped_json_has_the_same_value() {
        let text = "C1 \u{9b}31m, DEL \x7f, ESC \x1b, mark \u{202e}, \u{1f600}, \"quote\\";
        let json = escaped_json(&serde_json::to_string(text).unwrap());
        assert!(!json.contains(must_escape), "{json}");
        assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
    }

    #[test]
    fn invalid_utf8_is_escaped() {
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
    fn secret_parameters_and_user_info_are_masked() {
        let cases = [
            ("rtmp://host/app/name", "rtmp://host/app/name"),
            ("rtmp://me:pw@host:1/app", "rtmp://***@host:1/app"),
            ("rtmp://me:p@:w@host/a@b:c", "rtmp://***@host/a@b:c"),
            ("rtmp://me@host/a:b@c", "rtmp://***@host/a:b@c"),
            ("rtmp://@host/a", "rtmp://@host/a"),
            (
                "from rtmp://a:b@c to rtmp://d:e@f",
                "from rtmp://***@c to rtmp://***@f",
            ),
            (
                "rtmp://h/a/b token=t live=1 pubPasswd=p",
                "rtmp://h/a/b token=*** live=1 pubPasswd=***",
            ),
            (
                "?authmod=adobe&user=u&challenge=c&response=r&opaque=o",
                "?authmod=***&user=***&challenge=***&response=***&opaque=***",
            ),
            (
                "\"NS:password:x:y\" and NN:key:5",
                "\"NS:password:***\" and NN:key:***",
            ),
            ("size=5 signature=6", "size=5 signature=6"),
            ("NS:page:key:5 N:key", "NS:page:key:5 N:key"),
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
                "name?channel=0&user=***&password=***",
            ),
            ("rtmp://me:p#w@host/app", "rtmp://***@host/app"),
            ("rtmp://me:p/w@host/app", "rtmp://***@host/app"),
            ("rtmp://me:p?w@host/app", "rtmp://***@host/app"),
            (
                "rtmp://me:p@s/w@host:1/app?x=1",
                "rtmp://***@host:1/app?x=1",
            ),
            ("rtmp://me:1935/w@host", "rtmp://***@host"),
            ("rtmp://h/a/b;token=abc;x=1", "rtmp://h/a/b;token=***;x=1"),
            ("b?hdnts=st=1~exp=2~hmac=3&x=1", "b?hdnts=***&x=1"),
            (
                "b?hdnea=st=1;hdntl=2&jwt=a.b.c",
                "b?hdnea=***;hdntl=***&jwt=***",
            ),
            ("b?x=Zm9vYmFyMTIzNDU2Nzg&y=1", "b?x=***&y=1"),
            ("b?x=4bf92f3577b34da6a3ce929d0e0e4736", "b?x=***"),
            ("b;x=123e4567-e89b-12d3-a456-426614174000", "b;x=***"),
            (
                "b?file=some-long-movie-name-2019.mp4",
                "b?file=some-long-movie-name-2019.mp4",
            ),
            (
                "b?vhost=media.example.com/stream",
                "b?vhost=media.example.com/stream",
            ),
            (
                "b?t=1699999999999123&size=1920x1080",
                "b?t=1699999999999123&size=1920x1080",
            ),
            ("name?token", "name?token"),
            ("what? keys & tokens", "what? keys & tokens"),
            ("?", "?"),
        ];
        for (text, expected) in cases {
            assert_eq!(redacted(text), expected);
        }
    }

    #[test]
    fn known_secrets_are_masked_everywhere() {
        let without_secrets = |text, secret: &str| {
            without_secrets(text, &[String::new(), secret.to_owned()].map(Secret::Text))
        };
        assert_eq!(without_secrets("xs3crety s3cret", "s3cret"), "x***y ***");
        assert_eq!(
            without_secrets("a pass, ab, (a)", "a"),
            "*** pass, ab, (***)"
        );
        assert_eq!(without_secrets("aa aé éa é", "é"), "aa aé éa ***");
        assert_eq!(without_secrets("", "x"), "");
    }

    #[test]
    fn short_parameters_are_masked_after_their_names() {
        let secrets = secrets_in("rtmp://host/app/cam?token=1&user=app");
        let cases = [
            (
                "token 1 of user 'app' in app 1",
                "token *** of user '***' in app 1",
            ),
            ("{\"Token\":\"1\",\"n\":1}", "{\"Token\":\"***\",\"n\":1}"),
            ("rtmp://host/app/1?token=1", "rtmp://host/app/1?token=***"),
        ];
        for (text, expected) in cases {
            assert_eq!(redacted(&without_secrets(text, &secrets)), expected);
        }
    }

    #[test]
    fn complete_urls_may_contain_spaces_and_quotes() {
        let cases = [
            (
                "rtmp://me:p w\"x@host/a b?token=t",
                "rtmp://***@host/a b?token=***",
            ),
            ("rtmp://host/a/b c", "rtmp://host/a/b c"),
            ("no url?key=a b", "no url?key=*** b"),
        ];
        for (url, expected) in cases {
            assert_eq!(redacted_url(url), expected);
        }
    }

    #[test]
    fn secrets_that_a_server_may_echo_are_found() {
        let text = |text: &str| Secret::Text(text.to_owned());
        let cases = [
            (
                "rtmp://me:p w@host/a?token=long-enough&key=short",
                vec![
                    text("me:p w"),
                    text("long-enough"),
                    parameter("key", "short"),
                ],
            ),
            ("rtmp://me@host/a", vec![]),
            (
                "rtmp://h/a/b token=a&b;c-long swfUrl=http://me:pw@h/ jtv=j",
                vec![text("me:pw"), text("a&b;c-long"), parameter("jtv", "j")],
            ),
            (
                "name?x=Zm9vYmFyMTIzNDU2Nzg",
                vec![text("Zm9vYmFyMTIzNDU2Nzg")],
            ),
        ];
        for (argument, expected) in cases {
            assert!(secrets_in(argument) == expected, "{argument}");
        }
    }

    proptest! {
        #[test]
        fn escaped_text_has_no_control_characters(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            prop_assert!(!escaped_bytes(&bytes).contains(must_escape));
        }

        #[test]
        fn starts_keep_to_their_limit(text in ".{0,40}", limit in 0..40_usize) {
            let start = start_of_escaped(&text, limit);
            prop_assert!(escaped(start).len() <= limit && text.starts_with(start));
            let start = start_of_json(&text, limit);
            let json = escaped_json(&serde_json::to_string(start).unwrap());
            prop_assert!(json.len() <= limit + 2, "{json}");
        }

        #[test]
        fn redacting_arbitrary_text_never_panics(text in ".*", url in "[a:/@?&=# é]{0,20}") {
            let _ = redacted(&text);
            let _ = redacted(&format!("://{url}"));
            let _ = (redacted_url(&text), secrets_in(&text), secrets_in(&format!("://{url}")));
            let _ = redacted(&format!("NS:key:{url}"));
            let _ = without_secrets(&text, &[parameter(&text, &url), Secret::Text(url)]);
        }
    }
}
