//! Where a redirect leads.

use super::route;
use crate::{
    core::rtmp::{
        client::config::{Config, Encryption},
        command::Redirect,
        target::{Scheme, Target},
    },
    transport::{Carrier, Route},
};

/// The way and the session that `redirect` asks for, or why it is not followed.
///
/// Any scheme that works will do, but who asked for TLS is not led out of it.
pub(super) fn follow(
    redirect: &Redirect,
    session: &Config,
    carrier: Carrier,
) -> Result<(Route, Config), String> {
    let (Redirect::Application(url) | Redirect::Stream(url)) = redirect;
    let target = Target::parse(url).map_err(|error| format!("redirected to {url}: {error}"))?;
    let route = route::to(&target);
    if carrier.is_tls() && !route.carrier.is_tls() {
        return Err(format!(
            "redirected from TLS to {url}, which is not followed since others could read along"
        ));
    }
    let (app, playpath) = match redirect {
        Redirect::Application(tc_url) => (path(tc_url).to_owned(), None),
        Redirect::Stream(url) => match app_before(url, &session.playpath) {
            Some(app) => (app.to_owned(), None),
            None => (target.split.app.clone(), target.split.playpath.clone()),
        },
    };
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
    tracing::info!("redirected to {}", session.connect.tc_url);
    Ok((route, session))
}

/// What was encrypted stays so, by its own means or by TLS.
fn encryption(before: Encryption, scheme: Scheme) -> Encryption {
    match (scheme, before) {
        (Scheme::Rtmps | Scheme::Rtmpts, _) => Encryption::None,
        (Scheme::Rtmpe | Scheme::Rtmpte, Encryption::None) => Encryption::Required,
        _ => before,
    }
}

/// What follows the host.
fn path(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split_once('/').map_or("", |(_, path)| path)
}

/// The app of a URL that ends with the stream that we play already.
fn app_before<'a>(url: &'a str, playpath: &str) -> Option<&'a str> {
    path(url).strip_suffix(playpath)?.strip_suffix('/')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::download::tests::session;

    fn followed(redirect: Redirect) -> (Route, Config) {
        follow(&redirect, &session(), Carrier::Tcp).unwrap()
    }

    #[test]
    fn a_tc_url_names_server_and_app_and_the_playpath_stays() {
        let (route, session) = followed(Redirect::Application(
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
    fn a_url_of_the_same_stream_is_split_before_it() {
        let (_, session) = followed(Redirect::Stream("rtmp://other.example/a/b/c/stream".into()));
        assert_eq!(session.connect.app, "a/b/c");
        assert_eq!(session.playpath, "stream");
    }

    #[test]
    fn a_url_of_another_stream_is_split_by_the_usual_rule() {
        let (_, session) = followed(Redirect::Stream("rtmp://other.example/live/again".into()));
        assert_eq!(session.connect.app, "live");
        assert_eq!(session.playpath, "again");
    }

    #[test]
    fn a_redirect_leads_into_tls_and_never_out_of_it() {
        let to = |url: &str, carrier| {
            let redirect = Redirect::Application(url.into());
            follow(&redirect, &session(), carrier).map(|(route, _)| route.carrier)
        };
        let (plain, secret) = ("rtmp://other.example/live", "rtmps://other.example/live");
        assert_eq!(to(secret, Carrier::Tcp), Ok(Carrier::Tls));
        assert_eq!(to(secret, Carrier::Tls), Ok(Carrier::Tls));
        let refused = to(plain, Carrier::Tls).unwrap_err();
        assert!(refused.starts_with("redirected from TLS to rtmp://"));
    }

    #[test]
    fn a_redirect_can_ask_for_encryption_and_not_against_it() {
        let encryption_after = |url: &str, before| {
            let session = Config {
                encryption: before,
                ..session()
            };
            let redirect = Redirect::Application(url.into());
            let (_, next) = follow(&redirect, &session, Carrier::Tcp).unwrap();
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
    fn what_is_no_rtmp_url_is_not_followed() {
        for url in ["http://other.example/live", "nonsense"] {
            let redirect = Redirect::Application(url.into());
            assert!(
                follow(&redirect, &session(), Carrier::Tcp).is_err(),
                "{url}"
            );
        }
    }
}
