//! Server side of the Adobe and Limelight logins.

use base64::{Engine, engine::general_purpose::STANDARD};
use md5::{Digest, Md5};

/// The only user of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Login {
    pub scheme: LoginScheme,
    pub user: &'static str,
    pub password: &'static str,
}

/// Scheme that proves knowledge of the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LoginScheme {
    Adobe,
    /// With an opaque value, which replaces the challenge.
    AdobeOpaque,
    Limelight,
}

impl Login {
    /// Returns the reason to reject a client that connects to `app`, or `None` to accept it.
    pub fn refusal(&self, app: &str) -> Option<String> {
        let authmod = match self.scheme {
            LoginScheme::Adobe | LoginScheme::AdobeOpaque => "adobe",
            LoginScheme::Limelight => "llnw",
        };
        let reject = "[ AccessManager.Reject ] :";
        let (path, query) = app.split_once('?').unwrap_or((app, ""));
        let value = |name: &str| {
            let mut pairs = query.split('&').filter_map(|pair| pair.split_once('='));
            pairs
                .find(|(this, _)| *this == name)
                .map(|(_, value)| value)
        };
        if value("authmod") != Some(authmod) {
            return Some(format!(
                "{reject} [ code=403 need auth; authmod={authmod} ] : "
            ));
        }
        let reason = match (value("user"), value("response")) {
            (user, _) if user != Some(self.user) => "nosuchuser".to_owned(),
            (_, None) => format!("needauth&user={}&{}", self.user, self.challenge()),
            (_, Some(response)) if response == self.response(path, value) => return None,
            (_, Some(_)) => "authfailed&opaque=x".to_owned(),
        };
        Some(format!("{reject} [ authmod={authmod} ] : ?reason={reason}"))
    }

    fn challenge(&self) -> &str {
        match self.scheme {
            LoginScheme::Adobe => "salt=c2FsdA==&challenge=Y2hhbA==",
            LoginScheme::AdobeOpaque => "salt=c2FsdA==&challenge=Y2hhbA==&opaque=b3BhcXVl",
            LoginScheme::Limelight => "nonce=4294967296",
        }
    }

    /// Returns the response of a client with the correct password.
    fn response<'a>(&self, path: &str, value: impl Fn(&str) -> Option<&'a str>) -> String {
        let param = |name| value(name).unwrap_or_default();
        let base64 = |text: String| STANDARD.encode(Md5::digest(text));
        let secret = base64(format!("{}c2FsdA=={}", self.user, self.password));
        match self.scheme {
            LoginScheme::Adobe => base64(format!("{secret}Y2hhbA=={}", param("challenge"))),
            LoginScheme::AdobeOpaque if param("opaque") == "b3BhcXVl" => {
                base64(format!("{secret}b3BhcXVl{}", param("challenge")))
            }
            LoginScheme::AdobeOpaque => "no opaque value was returned".to_owned(),
            LoginScheme::Limelight => {
                let secret = hexadecimal(format!("{}:live:{}", self.user, self.password));
                let target = match path.contains('/') {
                    true => hexadecimal(format!("publish:/{path}")),
                    false => hexadecimal(format!("publish:/{path}/_definst_")),
                };
                let [count, nonce] = [param("nc"), param("cnonce")];
                hexadecimal(format!("{secret}:4294967296:{count}:{nonce}:auth:{target}"))
            }
        }
    }
}

fn hexadecimal(text: String) -> String {
    let digest = Md5::digest(text);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
