//! Hints for people: one line for each.

use crate::{cli::terminal::sanitize::redacted, download::Hint};

/// Formats a hint: `hint: check the port: RTMP usually has 1935, ...`
pub(super) fn line(hint: &Hint) -> String {
    format!("hint: {}", redacted(&text(hint)))
}

/// Describes what would probably help. The text may contain secrets.
pub(in crate::cli) fn text(hint: &Hint) -> String {
    let text = match hint {
        Hint::CheckHost => "check the spelling of the host name and the network connection",
        Hint::CheckPort => {
            "check the port: servers usually have 1935 for rtmp, 443 for rtmps, and 80 for rtmpt"
        }
        Hint::Firewall { port } => {
            return format!(
                "a firewall may block port {port}: try rtmpt:// (port 80) or rtmps:// (port 443)"
            );
        }
        Hint::UseTls(change) => {
            return format!(
                "the port may expect TLS: try {}:// instead of {}://",
                change.to, change.from
            );
        }
        Hint::DropTls(change) => {
            return format!(
                "the port may not use TLS: try {}:// instead of {}://",
                change.to, change.from
            );
        }
        Hint::TrustCertificate => {
            "if this is the right server, --ca-file or --tls-pin makes rtmpull trust its certificate"
        }
        Hint::UseTunnel(change) => {
            return format!(
                "the port answers in HTTP: try {}:// instead of {}://",
                change.to, change.from
            );
        }
        Hint::DropTunnel(change) => {
            return format!(
                "the port may not serve RTMPT: try {}:// instead of {}://",
                change.to, change.from
            );
        }
        Hint::DropEncryption(change) => {
            return format!(
                "the server may not support encryption: try {}:// instead of {}://",
                change.to, change.from
            );
        }
        Hint::AnyHandshake => "the server may require another handshake: try without --handshake",
        Hint::CheckProxy => "check the host and port of the proxy, and whether the proxy runs",
        Hint::ProxyProtocol => {
            "the proxy may use another protocol: check its scheme (http, socks4, socks4a or socks5)"
        }
        Hint::ProxyLogin => {
            "set the right user and password in the proxy URL: SCHEME://USER:PASSWORD@HOST:PORT"
        }
        Hint::ProxyPort { port } => {
            return format!(
                "the proxy may not allow port {port}: try rtmps:// (port 443) or rtmpt:// (port 80)"
            );
        }
        Hint::LogIn => "the server requires a login: use --user and --password",
        Hint::CheckLogin => "check the user name and the password of the login",
        Hint::VerifySwf => {
            "the server requested SWF verification: set the URL of its player with --swfVfy"
        }
        Hint::NamePlayer {
            lacks_swf_url: true,
            lacks_page_url: false,
        } => "the server may accept only its own player: set the URL of the player with --swfUrl",
        Hint::NamePlayer {
            lacks_swf_url: false,
            ..
        } => "the server may accept only its own web page: set the URL of the page with --pageUrl",
        Hint::NamePlayer { .. } => {
            "the server may accept only its own player: set --swfUrl and --pageUrl"
        }
        Hint::CheckApp { app, tc_url } => {
            return format!("check the app {app:?} (--app) and the tcUrl {tc_url:?} (--tcUrl)");
        }
        Hint::CheckPlaypath { playpath } => {
            return format!("check the stream name {playpath:?} (--playpath)");
        }
        Hint::OtherSplit { app, playpath } => {
            return format!(
                "the URL may be split differently: try --app {app:?} --playpath {playpath:?}"
            );
        }
        Hint::NotPublished { waited: false } => {
            "the stream may not be published: --wait waits for its publisher"
        }
        Hint::NotPublished { waited: true } => {
            "the stream was not published while rtmpull waited: a longer --wait may help"
        }
        Hint::UseLive => "the stream may be live: try --live",
        Hint::DropLive => "the stream may be recorded: try without --live",
        Hint::DropStart => "the stream may be live or end before --start: try without --start",
    };
    text.to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::SchemeChange;

    const MANUAL: &str = include_str!("../../generate/manual.md");

    fn all() -> Vec<Hint> {
        let change = SchemeChange {
            from: "rtmp",
            to: "rtmps",
        };
        let text = || "x".to_owned();
        vec![
            Hint::CheckHost,
            Hint::CheckPort,
            Hint::Firewall { port: 1935 },
            Hint::UseTls(change),
            Hint::DropTls(change),
            Hint::TrustCertificate,
            Hint::UseTunnel(change),
            Hint::DropTunnel(change),
            Hint::DropEncryption(change),
            Hint::AnyHandshake,
            Hint::CheckProxy,
            Hint::ProxyProtocol,
            Hint::ProxyLogin,
            Hint::ProxyPort { port: 1935 },
            Hint::LogIn,
            Hint::CheckLogin,
            Hint::VerifySwf,
            Hint::NamePlayer {
                lacks_swf_url: true,
                lacks_page_url: true,
            },
            Hint::CheckApp {
                app: text(),
                tc_url: text(),
            },
            Hint::CheckPlaypath { playpath: text() },
            Hint::OtherSplit {
                app: text(),
                playpath: text(),
            },
            Hint::NotPublished { waited: false },
            Hint::UseLive,
            Hint::DropLive,
            Hint::DropStart,
        ]
    }

    #[test]
    fn the_manual_documents_every_code() {
        let (_, section) = MANUAL.split_once("\n# Hints\n").unwrap();
        let (section, _) = section.split_once("\n# ").unwrap();
        for hint in all() {
            let code = format!("`{}`", hint.code());
            assert_eq!(section.matches(&code).count(), 1, "{code}");
        }
    }

    #[test]
    fn each_hint_is_one_short_line() {
        for hint in all() {
            let line = line(&hint);
            assert!(line.starts_with("hint: ") && line.len() < 110, "{line}");
        }
    }

    #[test]
    fn the_missing_url_of_the_player_is_named() {
        let text = |lacks_swf_url, lacks_page_url| {
            text(&Hint::NamePlayer {
                lacks_swf_url,
                lacks_page_url,
            })
        };
        assert!(text(true, false).ends_with("with --swfUrl"));
        assert!(text(false, true).ends_with("with --pageUrl"));
        assert!(text(true, true).ends_with("--swfUrl and --pageUrl"));
    }

    #[test]
    fn secrets_in_names_are_masked() {
        let hint = Hint::CheckApp {
            app: "live?token=s3cret".to_owned(),
            tc_url: "rtmp://joe:s3cret@host/live?token=s3cret".to_owned(),
        };
        let line = line(&hint);
        assert!(!line.contains("s3cret"), "{line}");
        assert!(line.contains("rtmp://***@host/live"), "{line}");
    }
}
