use super::*;
use crate::{
    download::tests::session,
    transport::{Endpoint, Proxy},
};

fn endpoint() -> Endpoint {
    Endpoint {
        host: "host".into(),
        port: 1935,
    }
}

fn attempted() -> Attempted {
    attempted_over(Carrier::Tcp)
}

fn attempted_over(carrier: Carrier) -> Attempted {
    let route = Route {
        endpoint: endpoint(),
        carrier,
    };
    let mut session = session();
    session.connect.swf_url = Some("http://host/player.swf".into());
    session.connect.page_url = Some("http://host/".into());
    Attempted::new(&route, &Arc::new(session), handshake::Mode::Auto, false)
}

/// Returns the attempt with another session configuration.
fn with_session(mut attempted: Attempted, change: impl FnOnce(&mut Config)) -> Attempted {
    change(Arc::make_mut(&mut attempted.session));
    attempted
}

fn without_player(attempted: Attempted) -> Attempted {
    with_session(attempted, |session| {
        session.connect.swf_url = None;
        session.connect.page_url = None;
    })
}

/// The facts of a session without media.
#[derive(Debug, Clone, Copy)]
enum Stage {
    Handshake,
    Connect,
    Connected,
    Playing,
}

fn facts(stage: Stage) -> Facts {
    Facts {
        is_shaking_hands: matches!(stage, Stage::Handshake),
        is_connected: matches!(stage, Stage::Connected | Stage::Playing),
        is_playing: matches!(stage, Stage::Playing),
        ..Facts::default()
    }
}

fn closed() -> EndCause {
    EndCause::PeerClosed {
        between_messages: true,
    }
}

fn codes(cause: &EndCause, stage: Stage, attempted: &Attempted) -> Vec<&'static str> {
    let hints = hints(cause, &facts(stage), attempted, None);
    hints.iter().map(Hint::code).collect()
}

fn codes_of_dial(error: DialError, attempted: &Attempted) -> Vec<&'static str> {
    codes(&EndCause::Dial(error), Stage::Handshake, attempted)
}

fn codes_of_handshake(error: handshake::Error, attempted: &Attempted) -> Vec<&'static str> {
    let cause = EndCause::Protocol(Error::Handshake(error));
    codes(&cause, Stage::Handshake, attempted)
}

fn change(from: &'static str, to: &'static str) -> SchemeChange {
    SchemeChange { from, to }
}

#[test]
fn media_removes_all_hints() {
    let facts = Facts {
        has_media: true,
        ..facts(Stage::Playing)
    };
    assert_eq!(hints(&closed(), &facts, &attempted(), None), []);
}

#[test]
fn each_dialing_error_has_its_hints() {
    let tcp = |kind: io::ErrorKind| DialError::Tcp {
        endpoint: endpoint(),
        source: kind.into(),
    };
    let name = DialError::Name {
        endpoint: endpoint(),
        source: io::ErrorKind::NotFound.into(),
    };
    assert_eq!(codes_of_dial(name, &attempted()), ["check-host"]);
    let refused = tcp(io::ErrorKind::ConnectionRefused);
    assert_eq!(codes_of_dial(refused, &attempted()), ["check-port"]);
    let silent = tcp(io::ErrorKind::TimedOut);
    assert_eq!(
        codes_of_dial(silent, &attempted()),
        ["firewall", "check-port"]
    );
    let unreachable = tcp(io::ErrorKind::NetworkUnreachable);
    assert!(codes_of_dial(unreachable, &attempted()).is_empty());
    for (fault, expected) in [
        (tls::Fault::NotTls, &["drop-tls"][..]),
        (tls::Fault::Unanswered, &["drop-tls", "check-port"]),
        (tls::Fault::Certificate, &["trust-certificate"]),
        (tls::Fault::Other, &[]),
    ] {
        let error = DialError::Tls {
            endpoint: endpoint(),
            cause: String::new(),
            fault,
        };
        let attempted = attempted_over(Carrier::Tls);
        assert_eq!(codes_of_dial(error, &attempted), expected, "{fault:?}");
    }
    let tunnel = DialError::Tunnel {
        endpoint: endpoint(),
        source: io::ErrorKind::InvalidData.into(),
    };
    let attempted = attempted_over(Carrier::Http);
    assert_eq!(codes_of_dial(tunnel, &attempted), ["drop-tunnel"]);
}

#[test]
fn each_proxy_error_has_its_hints() {
    let refused = || DialError::Tcp {
        endpoint: endpoint(),
        source: io::ErrorKind::ConnectionRefused.into(),
    };
    for (source, expected) in [
        (
            proxy::Error::Unreachable(Box::new(refused())),
            &["check-proxy"][..],
        ),
        (
            proxy::Error::Io(io::ErrorKind::TimedOut.into()),
            &["check-proxy", "proxy-protocol"],
        ),
        (
            proxy::Error::Io(io::ErrorKind::ConnectionReset.into()),
            &["proxy-protocol"],
        ),
        (proxy::Error::Closed, &["proxy-protocol"]),
        (proxy::Error::Malformed("HTTP"), &["proxy-protocol"]),
        (proxy::Error::Refused("no".into()), &["proxy-port"]),
        (proxy::Error::Login("requires it"), &["proxy-login"]),
        (proxy::Error::Lookup(Box::new(refused())), &["check-host"]),
        (proxy::Error::Unsupported("IPv6"), &[]),
    ] {
        let name = format!("{source:?}");
        let proxy: Proxy = "socks5://proxy:1080".parse().unwrap();
        let error = DialError::Proxy {
            endpoint: endpoint(),
            proxy: Box::new(proxy),
            source,
        };
        assert_eq!(codes_of_dial(error, &attempted()), expected, "{name}");
    }
}

#[test]
fn each_invalid_handshake_has_its_hints() {
    for (error, expected) in [
        (handshake::Error::Tls, &["use-tls"][..]),
        (
            handshake::Error::Text("HTTP/1.1 400".into()),
            &["use-tunnel", "check-port"],
        ),
        (
            handshake::Error::Text("<html>".into()),
            &["use-tunnel", "check-port"],
        ),
        (handshake::Error::Text("SSH-2.0".into()), &["check-port"]),
        (handshake::Error::Version(6), &["check-port"]),
        (handshake::Error::Type(7), &["check-port"]),
        (handshake::Error::NoDigest, &[]),
    ] {
        let name = format!("{error:?}");
        assert_eq!(codes_of_handshake(error, &attempted()), expected, "{name}");
    }
    let forced = Attempted {
        handshake: handshake::Mode::Digest,
        ..attempted()
    };
    let no_digest = || handshake::Error::NoDigest;
    assert_eq!(codes_of_handshake(no_digest(), &forced), ["any-handshake"]);
    let encrypted = with_session(attempted(), |session| {
        session.encryption = Encryption::Required;
    });
    for error in [no_digest(), handshake::Error::NotEncrypted] {
        assert_eq!(codes_of_handshake(error, &encrypted), ["drop-encryption"]);
    }
}

#[test]
fn unanswered_handshake_suggests_other_transports() {
    let silent = EndCause::Session(End::TimedOut(Timeout::Handshake));
    for cause in [
        closed(),
        EndCause::Broken(io::ErrorKind::ConnectionReset.into()),
        silent,
    ] {
        let codes = |attempted: &Attempted| codes(&cause, Stage::Handshake, attempted);
        assert_eq!(codes(&attempted()), ["use-tls", "check-port"]);
        assert_eq!(codes(&attempted_over(Carrier::Tls)), ["check-port"]);
        let forced = Attempted {
            handshake: handshake::Mode::Digest,
            ..attempted()
        };
        let special = with_session(forced, |session| {
            session.encryption = Encryption::AllowPlain;
        });
        let expected = ["any-handshake", "drop-encryption", "use-tls"];
        assert_eq!(codes(&special), expected);
    }
}

#[test]
fn scheme_changes_keep_the_other_properties() {
    let tunnel = attempted_over(Carrier::Http);
    let encrypted = with_session(tunnel.clone(), |session| {
        session.encryption = Encryption::Required;
    });
    let tls = attempted_over(Carrier::Https);
    assert_eq!(
        tunnel.use_tls(),
        Some(Hint::UseTls(change("rtmpt", "rtmpts")))
    );
    assert_eq!(
        encrypted.drop_tunnel(),
        Hint::DropTunnel(change("rtmpte", "rtmpe"))
    );
    assert_eq!(
        encrypted.drop_encryption(),
        Some(Hint::DropEncryption(change("rtmpte", "rtmpt")))
    );
    assert_eq!(tls.drop_tls(), Hint::DropTls(change("rtmpts", "rtmpt")));
    assert_eq!(
        tls.drop_tunnel(),
        Hint::DropTunnel(change("rtmpts", "rtmps"))
    );
    assert_eq!(
        attempted_over(Carrier::Tls).use_tunnel(),
        Some(Hint::UseTunnel(change("rtmps", "rtmpts")))
    );
}

#[test]
fn rejected_connect_names_app_and_player() {
    let rejected = EndCause::Session(End::Refused("NetConnection.Connect.Rejected".into()));
    let silent = EndCause::Session(End::TimedOut(Timeout::Connect));
    let bare = without_player(attempted());
    for cause in [closed(), rejected, silent] {
        let codes = |attempted: &Attempted| codes(&cause, Stage::Connect, attempted);
        assert_eq!(codes(&attempted()), ["check-app"]);
        assert_eq!(codes(&bare), ["check-app", "name-player"]);
        let unproved = Attempted {
            lacks_swf_proof: true,
            ..bare.clone()
        };
        assert_eq!(codes(&unproved), ["verify-swf", "check-app", "name-player"]);
    }
}

#[test]
fn each_login_error_has_its_hint() {
    let refused = EndCause::Session(End::Refused("authmod=adobe".into()));
    for (error, expected) in [
        (LoginError::Missing("adobe".into()), &["log-in"][..]),
        (LoginError::UnknownScheme("x".into()), &[]),
        (LoginError::NoSuchUser, &["check-login"]),
        (LoginError::Failed, &["check-login"]),
        (LoginError::AskedAgain, &["check-login"]),
    ] {
        let attempted = Attempted {
            login_error: Some(error),
            ..attempted()
        };
        assert_eq!(codes(&refused, Stage::Connect, &attempted), expected);
    }
}

#[test]
fn silence_suggests_a_publisher_and_another_kind_of_stream() {
    let silent = EndCause::Session(End::TimedOut(Timeout::FirstMedia));
    for (start, stage, expected) in [
        (
            Start::LiveElseRecorded,
            Stage::Connected,
            ["not-published", "use-live", "check-playpath"],
        ),
        (
            Start::Live,
            Stage::Connected,
            ["not-published", "drop-live", "check-playpath"],
        ),
    ] {
        let attempted = with_session(attempted(), |session| session.start = start);
        assert_eq!(codes(&silent, stage, &attempted), expected);
    }
    let live = with_session(attempted(), |session| session.start = Start::Live);
    assert_eq!(
        codes(&silent, Stage::Playing, &live),
        ["not-published", "drop-live"],
        "the stream exists under this name"
    );
    let late_start = with_session(attempted(), |session| {
        session.start = Start::At { ms: 5_000 };
    });
    assert_eq!(codes(&silent, Stage::Playing, &late_start), ["drop-start"]);
    let recorded = Facts {
        is_recorded: true,
        ..facts(Stage::Playing)
    };
    assert_eq!(hints(&silent, &recorded, &live, None), [Hint::DropLive]);
}

#[test]
fn missing_stream_suggests_its_name_first() {
    let missing = EndCause::Session(End::NotFound("NetStream.Play.StreamNotFound".into()));
    let waiting = Attempted {
        waits: true,
        ..attempted()
    };
    let live = with_session(waiting, |session| session.start = Start::Live);
    let hints = hints(&missing, &facts(Stage::Connected), &live, None);
    let playpath = "stream".to_owned();
    assert_eq!(
        hints,
        [
            Hint::CheckPlaypath { playpath },
            Hint::NotPublished { waited: true },
            Hint::DropLive
        ]
    );
}

#[test]
fn untried_candidate_is_suggested() {
    let candidate = Candidate {
        app: "a".into(),
        playpath: "b/c".into(),
        tc_url: "rtmp://host/a".into(),
    };
    let silent = EndCause::Session(End::TimedOut(Timeout::FirstMedia));
    for (stage, is_suggested) in [(Stage::Connected, true), (Stage::Playing, false)] {
        let hints = hints(&silent, &facts(stage), &attempted(), Some(&candidate));
        let expected = Hint::OtherSplit {
            app: "a".into(),
            playpath: "b/c".into(),
        };
        assert_eq!(hints.contains(&expected), is_suggested, "{hints:?}");
    }
}

#[test]
fn no_cause_has_more_than_three_hints() {
    let crowded = without_player(Attempted {
        lacks_swf_proof: true,
        ..attempted()
    });
    let refused = EndCause::Session(End::Refused("NetStream.Play.Failed".into()));
    for (cause, stage) in [
        (closed(), Stage::Connected),
        (closed(), Stage::Connect),
        (refused, Stage::Connected),
    ] {
        assert_eq!(
            codes(&cause, stage, &crowded).len(),
            3,
            "{cause:?} in {stage:?}"
        );
    }
}

#[test]
fn causes_of_the_user_and_the_output_have_no_hints() {
    for cause in [
        EndCause::Stopped,
        EndCause::Limit,
        EndCause::NoMatch,
        EndCause::Output(io::ErrorKind::StorageFull.into()),
    ] {
        for stage in [Stage::Handshake, Stage::Connect, Stage::Connected] {
            let codes = codes(&cause, stage, &attempted());
            assert!(codes.is_empty(), "{cause:?}");
        }
    }
}
