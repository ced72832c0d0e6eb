//! Redirects to another server, app or stream, and requests to reconnect.

use url::Url;

use super::route;
use crate::{
    core::rtmp::{
        client::config::{Config, Encryption},
        command::{ReconnectRequest, Redirect},
        server_text::excerpt,
        target::{Scheme, Target},
    },
    transport::Route,
};

/// Returns the route and the session that `redirect` requests, or the reason why it is not followed.
///
/// A redirect may change the scheme, but not lead out of TLS. A warning names the kinds of credentials that
/// another host receives.
pub(super) fn follow(
    redirect: &Redirect,
    session: &Config,
    from: &Route,
) -> Result<(Route, Config), String> {
    lead_to(redirect, session, from, "redirected")
}

/// Returns the route and the session of the connection that `request` names, or the reason why the request is
/// ignored. The rules are those of a redirect.
pub(super) fn reconnect(
    request: &ReconnectRequest,
    session: &Config,
    from: &Route,
) -> Result<(Route, Config), String> {
    let Some(reference) = &request.tc_url else {
        return Ok((from.clone(), session.clone()));
    };
    let tc_url = resolve(&session.connect.tc_url, reference).ok_or_else(|| {
        let shown = excerpt(reference.as_bytes());
        format!("asked to reconnect to {shown}, which is not a URL")
    })?;
    if names_host(reference) {
        let redirect = Redirect::Application(tc_url);
        return lead_to(&redirect, session, from, "asked to reconnect");
    }
    let mut session = session.clone();
    path(&tc_url).clone_into(&mut session.connect.app);
    session.connect.tc_url = tc_url;
    Ok((from.clone(), session))
}

/// Returns the absolute URL of a reference, relative to `base` (RFC 3986 5.2).
fn resolve(base: &str, reference: &str) -> Option<String> {
    if has_scheme(reference) {
        return Some(reference.to_owned());
    }
    let base = Url::parse(base).ok()?;
    let url = base.join(reference).ok()?;
    (url.has_host() && url.scheme() == base.scheme()).then(|| url.into())
}

/// Whether a reference names a host, which may be another one.
fn names_host(reference: &str) -> bool {
    has_scheme(reference) || reference.starts_with("//")
}

fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split_once("://").map(|(scheme, _)| scheme);
    scheme.is_some_and(|scheme| scheme.bytes().all(|byte| byte.is_ascii_alphanumeric()))
}

/// Returns the route and the session to which `redirect` leads. `cause` starts the messages.
fn lead_to(
    redirect: &Redirect,
    session: &Config,
    from: &Route,
    cause: &str,
) -> Result<(Route, Config), String> {
    let (Redirect::Application(url) | Redirect::Stream(url)) = redirect;
    let shown = excerpt(url.as_bytes());
    let target = Target::parse(url).map_err(|error| {
        let error = excerpt(error.to_string().as_bytes());
        format!("{cause} to {shown}: {error}")
    })?;
    let route = route::to(&target);
    if from.carrier.is_tls() && !route.carrier.is_tls() {
        return Err(format!(
            "{cause} from TLS to {shown}, which is not followed because it is not encrypted"
        ));
    }
    let (app, playpath) = match redirect {
        Redirect::Application(tc_url) => (path(tc_url).to_owned(), None),
        Redirect::Stream(url) => match app_before(url, &session.playpath) {
            Some(app) => (app.to_owned(), None),
            None => (target.split.app.clone(), target.split.playpath.clone()),
        },
    };
    let credentials = credentials(session, playpath.is_none());
    let mut session = session.clone();
    session.encryption = encryption(session.encryption, target.scheme);
    session.connect.tc_url = target.tc_url(&app);
    session.connect.app = app;
    if let Some(playpath) = playpath {
        if session.subscribe.as_ref() == Some(&session.playpath) {
            session.subscribe = Some(playpath.clone());
        }
        session.playpath = playpath;
    }
    tracing::info!("{cause} to {}", session.connect.tc_url);
    if route.endpoint.host != from.endpoint.host && !credentials.is_empty() {
        tracing::warn!(
            "{cause} to another host: {} receives {}",
            route.endpoint,
            credentials.join(", ")
        );
    }
    Ok((route, session))
}

/// Returns the kinds of credentials that the next server receives or may request.
fn credentials(session: &Config, keeps_playpath: bool) -> Vec<&'static str> {
    [
        (
            !session.connect.arguments.is_empty(),
            "the arguments of connect (auth, conn)",
        ),
        (session.login.is_some(), "a proof of the login"),
        (
            session.secure_token.is_some(),
            "a proof of the secure token",
        ),
        (session.usher_token.is_some(), "the usher token"),
        (
            keeps_playpath && session.playpath.contains('?'),
            "the parameters of the playpath",
        ),
    ]
    .into_iter()
    .filter_map(|(is_sent, kind)| is_sent.then_some(kind))
    .collect()
}

/// Returns the encryption after a redirect. An encrypted session stays encrypted, by RTMPE or TLS.
fn encryption(before: Encryption, scheme: Scheme) -> Encryption {
    match (scheme, before) {
        (Scheme::Rtmps | Scheme::Rtmpts, _) => Encryption::None,
        (Scheme::Rtmpe | Scheme::Rtmpte, Encryption::None) => Encryption::Required,
        _ => before,
    }
}

/// Returns the part after the host.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path)
}

/// Returns the app of a URL that ends with the current playpath.
fn app_before<'a>(url: &'a str, playpath: &str) -> Option<&'a str> {
    path(url).strip_suffix(playpath)?.strip_suffix('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        core::rtmp::client::config::Login,
        download::tests::session,
        transport::{Carrier, Endpoint},
    };

    fn from(carrier: Carrier) -> Route {
        Route {
            endpoint: Endpoint {
                host: "first.example".into(),
                port: 1935,
            },
            carrier,
        }
    }

    fn follow_redirect(redirect: Redirect) -> (Route, Config) {
        follow(&redirect, &session(), &from(Carrier::Tcp)).unwrap()
    }

    #[test]
    fn a_tc_url_replaces_server_and_app_only() {
        let (route, session) = follow_redirect(Redirect::Application(
            "rtmp://other.example:1936/live/inst".into(),
        ));
        assert_eq!(route.endpoint.to_string(), "other.example:1936");
        assert_eq!(session.connect.app, "live/inst");
        assert_eq!(
            session.connect.tc_url,
            "rtmp://other.example:1936/live/inst"
        );
        assert_eq!(session.playpath, "stream");
    }

    #[test]
    fn a_url_with_the_same_playpath_is_split_before_it() {
        let (_, session) =
            follow_redirect(Redirect::Stream("rtmp://other.example/a/b/c/stream".into()));
        assert_eq!(session.connect.app, "a/b/c");
        assert_eq!(session.playpath, "stream");
    }

    #[test]
    fn a_url_with_another_playpath_is_split_by_the_usual_rule() {
        let (_, session) =
            follow_redirect(Redirect::Stream("rtmp://other.example/live/again".into()));
        assert_eq!(session.connect.app, "live");
        assert_eq!(session.playpath, "again");
    }

    /// The session's tcUrl is `rtmp://server.example/live`.
    #[test]
    fn reconnect_resolves_the_tc_url_against_the_current_one() {
        for (reference, endpoint, tc_url) in [
            (None, "first.example:1935", "rtmp://server.example/live"),
            (
                Some("rtmp://b.example/x"),
                "b.example:1935",
                "rtmp://b.example:1935/x",
            ),
            (
                Some("//192.0.2.10/realtimeapp"),
                "192.0.2.10:1935",
                "rtmp://192.0.2.10:1935/realtimeapp",
            ),
            (
                Some("/app2/inst"),
                "first.example:1935",
                "rtmp://server.example/app2/inst",
            ),
            (
                Some("backup?key=1"),
                "first.example:1935",
                "rtmp://server.example/backup?key=1",
            ),
            (
                Some("../../other"),
                "first.example:1935",
                "rtmp://server.example/other",
            ),
        ] {
            let request = ReconnectRequest {
                tc_url: reference.map(str::to_owned),
                ..ReconnectRequest::default()
            };
            let (route, session) =
                reconnect(&request, &session(), &from(Carrier::Tcp)).expect("a valid request");
            assert_eq!(route.endpoint.to_string(), endpoint, "{reference:?}");
            assert_eq!(session.connect.tc_url, tc_url, "{reference:?}");
            let app = tc_url.splitn(4, '/').nth(3);
            assert_eq!(Some(&*session.connect.app), app, "{reference:?}");
            assert_eq!(session.playpath, "stream");
        }
    }

    #[test]
    fn reconnect_never_leads_out_of_tls_or_to_another_protocol() {
        let to = |reference: &str| {
            let request = ReconnectRequest {
                tc_url: Some(reference.to_owned()),
                ..ReconnectRequest::default()
            };
            let mut session = session();
            session.connect.tc_url = "rtmps://server.example/live".into();
            reconnect(&request, &session, &from(Carrier::Tls)).map(|(route, _)| route.carrier)
        };
        assert_eq!(to("rtmps://b.example/live"), Ok(Carrier::Tls));
        assert_eq!(to("//b.example/live"), Ok(Carrier::Tls));
        assert_eq!(to("/app2"), Ok(Carrier::Tls));
        let refused = to("rtmp://b.example/live").unwrap_err();
        assert!(refused.starts_with("asked to reconnect from TLS to rtmp://"));
        for reference in [
            "http://b.example/live",
            "file:///etc/passwd",
            "mailto:x",
            "http:b",
        ] {
            assert!(to(reference).is_err(), "{reference}");
        }
    }

    #[test]
    fn the_kinds_of_shared_credentials_are_named() {
        assert!(credentials(&session(), true).is_empty());
        let mut session = session();
        session.connect.arguments.push("s3cret".into());
        session.login = Some(Login {
            user: "joe".into(),
            password: "s3cret".into(),
        });
        session.secure_token = Some("s3cret".into());
        session.usher_token = Some("s3cret".into());
        session.playpath = "stream?key=s3cret".into();
        let kinds = credentials(&session, true);
        assert_eq!(kinds.len(), 5);
        assert!(!kinds.concat().contains("s3cret"));
        // A redirect with its own playpath replaces the old one.
        assert_eq!(credentials(&session, false).len(), 4);
    }

    #[test]
    fn a_redirect_never_leads_out_of_tls() {
        let to = |url: &str, carrier| {
            let redirect = Redirect::Application(url.into());
            follow(&redirect, &session(), &from(carrier)).map(|(route, _)| route.carrier)
        };
        let (plain, encrypted) = ("rtmp://other.example/live", "rtmps://other.example/live");
        assert_eq!(to(encrypted, Carrier::Tcp), Ok(Carrier::Tls));
        assert_eq!(to(encrypted, Carrier::Tls), Ok(Carrier::Tls));
        let refused = to(plain, Carrier::Tls).unwrap_err();
        assert!(refused.starts_with("redirected from TLS to rtmp://"));
    }

    #[test]
    fn a_redirect_can_add_encryption_but_not_remove_it() {
        let encryption_after = |url: &str, before| {
            let session = Config {
                encryption: before,
                ..session()
            };
            let redirect = Redirect::Application(url.into());
            let (_, next) = follow(&redirect, &session, &from(Carrier::Tcp)).unwrap();
            next.encryption
        };
        for (url, before, after) in [
            ("rtmp://h/a", Encryption::None, Encryption::None),
            ("rtmpe://h/a", Encryption::None, Encryption::Required),
            ("rtmp://h/a", Encryption::Required, Encryption::Required),
            ("rtmpt://h/a", Encryption::Required, Encryption::Required),
            ("rtmpte://h/a", Encryption::None, Encryption::Required),
            ("rtmps://h/a", Encryption::Required, Encryption::None),
            (
                "rtmpe://h/a",
                Encryption::AllowPlain,
                Encryption::AllowPlain,
            ),
        ] {
            assert_eq!(encryption_after(url, before), after, "{url} {before:?}");
        }
    }

    #[test]
    fn a_url_that_is_not_rtmp_is_not_followed() {
        for url in ["http://other.example/live", "nonsense"] {
            let redirect = Redirect::Application(url.into());
            assert!(
                follow(&redirect, &session(), &from(Carrier::Tcp)).is_err(),
                "{url}"
            );
        }
    }
}
