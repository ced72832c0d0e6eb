//! Challenges that servers issue before a client may play: Wowza's secure token, the logins of
//! Adobe (`authmod=adobe`) and Limelight (`authmod=llnw`), and SWF verification.

use std::fmt;

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};
use thiserror::Error;

use super::{command::Connect, handshake::hmac::hmac_sha256, server_text::excerpt};

/// A user name and a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Login {
    /// The user name.
    pub user: String,
    /// The password. It is never sent itself.
    pub password: String,
}

/// The hash and size that identify a player's SWF file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SwfProof {
    /// HMAC-SHA256 of the uncompressed file.
    pub hash: [u8; 32],
    /// Size of the uncompressed file in bytes.
    pub size: u32,
}

impl SwfProof {
    /// Returns the 42-byte answer to SWF verification of type 1 (user control event 26). `s1_tail`
    /// is the last 32 bytes of S1.
    ///
    /// ```text
    /// ┌──────┬─────────┬──────┬──────┬─────────────────────────────────┐
    /// │ type │ version │ size │ size │ HMAC-SHA256 of hash and s1_tail │
    /// │ 1    │ 1       │ 4    │ 4    │ 32                              │
    /// └──────┴─────────┴──────┴──────┴─────────────────────────────────┘
    /// ```
    pub fn response(&self, s1_tail: &[u8; 32]) -> [u8; 42] {
        let mut response = [1; 42];
        let size = self.size.to_be_bytes();
        let proof = hmac_sha256(s1_tail, &self.hash);
        let fields = size.into_iter().chain(size).chain(proof);
        for (to, from) in response.iter_mut().skip(2).zip(fields) {
            *to = from;
        }
        response
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").finish_non_exhaustive()
    }
}

/// Reasons why a login fails. They contain neither the user name nor the password.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The server requires a login and none was given.
    #[error("the server requires a user name and a password (authmod={0})")]
    Missing(String),
    /// The server requests a scheme other than `adobe` and `llnw`.
    #[error("the server requires a login scheme that is not supported (authmod={0})")]
    UnknownScheme(String),
    /// The server reported `nosuchuser`.
    #[error("login failed: the server has no such user")]
    NoSuchUser,
    /// The server reported `authfailed`.
    #[error("login failed: user name and password do not match")]
    Failed,
    /// The server requests the login again after it has received the response.
    #[error("login failed: the server rejected the response and requests it again")]
    AskedAgain,
}

/// Returns true if a server that rejects `connect` with this description requests a login.
pub fn is_login_required(description: &str) -> bool {
    description.contains(AUTHMOD)
}

/// Returns the scheme of the login that a rejection with `description` requests, for example `adobe`.
pub fn login_scheme(description: &str) -> &str {
    LoginChallenge::read(description).scheme
}

/// Returns the `connect` that answers a rejection of `connect` with `description`. Two rounds are
/// needed: the first answer names the user, and its rejection contains the challenge for the
/// second. `nonce` must be random and different for each answer.
pub fn answer_login(
    connect: &Connect,
    login: Option<&Login>,
    description: &str,
    nonce: u32,
) -> Result<Connect, LoginError> {
    let request = LoginChallenge::read(description);
    let scheme = match request.scheme {
        "adobe" => Scheme::Adobe,
        "llnw" => Scheme::Limelight,
        scheme => return Err(LoginError::UnknownScheme(excerpt(scheme.as_bytes()))),
    };
    let login = login.ok_or_else(|| LoginError::Missing(request.scheme.to_owned()))?;
    let (app, login_query) = split_login(&connect.app);
    let user = escaped(&login.user);
    let named = format!("{AUTHMOD}{}&user={user}", request.scheme);
    let query = match request.value("reason") {
        "nosuchuser" => return Err(LoginError::NoSuchUser),
        "authfailed" => return Err(LoginError::Failed),
        "needauth" if login_query.contains("&response=") => return Err(LoginError::AskedAgain),
        "needauth" => {
            let nonce = format!("{nonce:08x}");
            let answer = match scheme {
                Scheme::Adobe => adobe_answer(login, &request, &nonce),
                Scheme::Limelight => limelight_answer(login, &request, &nonce, app),
            };
            format!("{named}&{answer}")
        }
        _ if !login_query.is_empty() => return Err(LoginError::AskedAgain),
        _ => named,
    };
    let tc_url = split_login(&connect.tc_url).0;
    Ok(Connect {
        app: with_query(app, &query),
        tc_url: with_query(tc_url, &query),
        ..connect.clone()
    })
}

/// Returns the answer to Wowza's `secureToken`: the hexadecimal token, decrypted by XXTEA with the
/// first 16 bytes of `key`. Returns `None` if the token is not hexadecimal.
pub fn secure_token_answer(key: &str, token: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(token.len() / 2);
    for digits in token.chunks(2) {
        let digits = str::from_utf8(digits).ok()?;
        let is_whole = digits.len() == 2 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        bytes.push(u8::from_str_radix(digits, 16).ok().filter(|_| is_whole)?);
    }
    let mut words: Vec<u32> = bytes.chunks(4).map(little_endian).collect();
    let mut key = key.as_bytes().chunks(4).map(little_endian);
    let key = [(); 4].map(|()| key.next().unwrap_or(0));
    decipher(&mut words, key);
    let plain = words.into_iter().flat_map(u32::to_le_bytes);
    Some(plain.take(bytes.len()).collect())
}

/// The supported login schemes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Adobe,
    Limelight,
}

/// The login challenge in the description of a rejection. The first rejection reads `[
/// AccessManager.Reject ] : [ code=403 need auth; authmod=adobe ] : `, the second `[
/// AccessManager.Reject ] : [ authmod=adobe ] : ?reason=needauth&user=…&salt=…&challenge=…`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct LoginChallenge<'a> {
    scheme: &'a str,
    /// The names and values, starting with `reason`.
    query: &'a str,
}

impl<'a> LoginChallenge<'a> {
    fn read(description: &'a str) -> Self {
        let after = |mark| description.split_once(mark).map_or("", |(_, rest)| rest);
        let word = |text: &'a str, is_end: fn(char) -> bool| text.split(is_end).next();
        let scheme = word(after(AUTHMOD), |c| !c.is_ascii_alphanumeric());
        let at = description.find("reason=").unwrap_or(description.len());
        let query = description.get(at..).unwrap_or_default();
        Self {
            scheme: scheme.unwrap_or_default(),
            query: word(query, char::is_whitespace).unwrap_or_default(),
        }
    }

    /// Returns the value of `name`, or an empty string. A Base64 value may end with `=`.
    fn value(&self, name: &str) -> &'a str {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(this, _)| *this == name)
            .map_or("", |(_, value)| value)
    }
}

/// Computes Adobe's response: Base64 of the MD5 of user, salt and password, then Base64 of the MD5
/// of that text, the server's challenge and the client's challenge. An opaque value replaces the
/// server's challenge.
fn adobe_answer(login: &Login, request: &LoginChallenge<'_>, nonce: &str) -> String {
    let digest = |parts: &[&str]| STANDARD.encode(md5(&parts.concat()));
    let secret = digest(&[&login.user, request.value("salt"), &login.password]);
    let opaque = request.value("opaque");
    let challenge = match opaque {
        "" => request.value("challenge"),
        opaque => opaque,
    };
    let response = digest(&[&secret, challenge, nonce]);
    let echo = match opaque {
        "" => String::new(),
        opaque => format!("&opaque={opaque}"),
    };
    format!("challenge={nonce}&response={response}{echo}")
}

/// Computes Limelight's response: HTTP digest authentication (RFC 2617, section 3.2.2.1) with
/// quality of protection `auth`, realm `live` and method `publish`, which applies to players too.
fn limelight_answer(login: &Login, request: &LoginChallenge<'_>, nonce: &str, app: &str) -> String {
    let digest = |text: String| hexadecimal(&md5(&text));
    let path = app.split('?').next().unwrap_or_default();
    // An app without an instance means its default instance.
    let instance = if path.contains('/') { "" } else { "/_definst_" };
    let secret = digest(format!("{}:live:{}", login.user, login.password));
    let uri = digest(format!("publish:/{path}{instance}"));
    let server_nonce = request.value("nonce");
    let response = digest(format!(
        "{secret}:{server_nonce}:{FIRST}:{nonce}:auth:{uri}"
    ));
    format!("nonce={server_nonce}&cnonce={nonce}&nc={FIRST}&response={response}")
}

/// Splits an app or a tcUrl from the login that was appended to it.
fn split_login(address: &str) -> (&str, &str) {
    let at = [format!("?{AUTHMOD}"), format!("&{AUTHMOD}")]
        .iter()
        .find_map(|mark| address.find(mark.as_str()));
    address
        .split_at_checked(at.unwrap_or(address.len()))
        .unwrap_or((address, ""))
}

fn with_query(address: &str, query: &str) -> String {
    let mark = if address.contains('?') { '&' } else { '?' };
    format!("{address}{mark}{query}")
}

/// Percent-encodes the characters that would end a name inside a query.
fn escaped(name: &str) -> String {
    let mut escaped = String::with_capacity(name.len());
    for character in name.chars() {
        match character {
            '%' | '&' | '?' | '#' | '+' | ' ' | '\0'..='\x1F' | '\x7F' => {
                escaped.push_str(&format!("%{:02X}", u32::from(character)));
            }
            _ => escaped.push(character),
        }
    }
    escaped
}

fn md5(text: &str) -> [u8; 16] {
    Md5::digest(text).into()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Returns up to four bytes as a little-endian number.
fn little_endian(bytes: &[u8]) -> u32 {
    let byte = |at: usize| bytes.get(at).copied().unwrap_or(0);
    u32::from_le_bytes([byte(0), byte(1), byte(2), byte(3)])
}

/// Decrypts Corrected Block TEA, also known as XXTEA (Wheeler and Needham, "Correction to xtea",
/// 1998).
fn decipher(words: &mut [u32], key: [u32; 4]) {
    let Some(rounds) = 52_usize.checked_div(words.len()) else {
        return;
    };
    let rounds = rounds as u32;
    for round in (1..=rounds.saturating_add(6)).rev() {
        let sum = round.wrapping_mul(GOLDEN_RATIO);
        let mut after = words.first().copied().unwrap_or(0);
        for index in (0..words.len()).rev() {
            let before = match index.checked_sub(1) {
                Some(before) => words.get(before),
                None => words.last(),
            };
            let before = before.copied().unwrap_or(0);
            let part = (index as u32 ^ sum >> 2) & 3;
            let part = key.get(part as usize).copied().unwrap_or(0);
            let shifts = (before >> 5 ^ after << 2).wrapping_add(after >> 3 ^ before << 4);
            let mixed = shifts ^ (sum ^ after).wrapping_add(part ^ before);
            if let Some(word) = words.get_mut(index) {
                *word = word.wrapping_sub(mixed);
                after = *word;
            }
        }
    }
}

/// Marker in front of the name of a login scheme.
pub(in crate::core::rtmp) const AUTHMOD: &str = "authmod=";

/// Nonce count: each nonce of the server is used once.
const FIRST: &str = "00000001";

/// 2³² ÷ φ.
const GOLDEN_RATIO: u32 = 0x9E37_79B9;

#[cfg(test)]
mod tests;
