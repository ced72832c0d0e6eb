//! What is said between `connect` and `play`, as the user wants it.

use super::*;

/// Answers everything up to `play`, and gathers what was said.
fn said_up_to_play(config: Config) -> Vec<Said> {
    let mut conversation = Conversation::with(config);
    let mut said = conversation.said();
    conversation.accept();
    said.extend(conversation.said());
    conversation.created(2, 1.0);
    said.extend(conversation.said());
    said
}

fn names(said: &[Said]) -> Vec<String> {
    let calls = said.iter().filter_map(Said::call);
    calls
        .map(|call| String::from_utf8_lossy(call.0).into_owned())
        .collect()
}

/// The arguments of the first call with this name.
fn arguments(said: &[Said], name: &str) -> Vec<Value> {
    let call = said.iter().find_map(|said| match said {
        Said::Command(_, command) if command.name == name => Some(command.arguments.clone()),
        _ => None,
    });
    call.unwrap_or_else(|| panic!("no {name} among {said:?}"))
}

#[test]
fn start_and_length_are_played_in_milliseconds() {
    let play = |start, length_ms| {
        let config = Config {
            start,
            length_ms,
            ..config()
        };
        arguments(&said_up_to_play(config), "play")
    };
    let number = Value::Number;
    let at = Start::At { ms: 61_500 };
    let [null, name] = [Value::Null, "clip".into()];
    assert_eq!(
        play(at, Some(2_250)),
        [
            null.clone(),
            name.clone(),
            number(61_500.0),
            number(2_250.0)
        ]
    );
    assert_eq!(
        play(Start::At { ms: 0 }, None),
        [null.clone(), name.clone(), number(0.0)]
    );
    assert_eq!(
        play(Start::Live, Some(0)),
        [null, name, number(-1000.0), number(0.0)]
    );
}

#[test]
fn a_playlist_of_one_is_set_on_the_stream_before_it_is_played() {
    let said = said_up_to_play(Config {
        playlist: true,
        ..config()
    });
    let calls: Vec<_> = said.iter().filter_map(Said::call).collect();
    let expected: [(&[u8], f64, u32); 4] = [
        (b"connect", 1.0, 0),
        (b"createStream", 2.0, 0),
        (b"set_playlist", 0.0, 1),
        (b"play", 3.0, 1),
    ];
    assert_eq!(calls, expected);
    let mut playlist = Object::new();
    playlist.push("0", "clip");
    assert_eq!(
        arguments(&said, "set_playlist"),
        [Value::Null, Value::EcmaArray(playlist)]
    );
}

#[test]
fn a_usher_token_is_shown_before_the_stream_is_subscribed_to() {
    let said = said_up_to_play(Config {
        usher_token: Some("{\"channel\":1}".into()),
        ..live()
    });
    let expected = [
        "connect",
        "createStream",
        "NetStream.Authenticate.UsherToken",
        "FCSubscribe",
        "play",
    ];
    assert_eq!(names(&said), expected);
    assert_eq!(
        arguments(&said, "NetStream.Authenticate.UsherToken"),
        [Value::Null, "{\"channel\":1}".into()]
    );
}

#[test]
fn what_has_to_come_between_is_waited_for() {
    let some = || Some("x".to_owned());
    let login = config::Login {
        user: "u".into(),
        password: "p".into(),
    };
    for config in [
        Config {
            playlist: true,
            ..config()
        },
        Config {
            secure_token: some(),
            ..config()
        },
        Config {
            usher_token: some(),
            ..config()
        },
        Config {
            login: Some(login),
            ..config()
        },
    ] {
        let mut conversation = Conversation::with(config);
        assert_eq!(names(&conversation.said()), ["connect"]);
        conversation.accept();
        assert!(!names(&conversation.said()).contains(&"play".to_owned()));
    }
}

#[test]
fn a_stream_that_is_asked_for_again_is_subscribed_to_again() {
    let mut conversation = Conversation::with(live());
    conversation.said();
    conversation.accept();
    conversation.wait(SECOND * 21 / 10);
    let said = conversation.said();
    assert_eq!(names(&said), ["createStream", "FCSubscribe"]);
}

#[test]
fn without_enhanced_rtmp_connect_says_what_rtmpdump_says() {
    let said = said_up_to_play(Config {
        enhanced: false,
        ..config()
    });
    let connect = arguments(&said, "connect");
    let object = connect[0].as_object().unwrap();
    let members: Vec<String> = object.iter().map(|(name, _)| name.to_string()).collect();
    let expected = [
        "app",
        "flashVer",
        "tcUrl",
        "fpad",
        "capabilities",
        "audioCodecs",
        "videoCodecs",
        "videoFunction",
    ];
    assert_eq!(members, expected);
    assert_eq!(object.get("videoFunction"), Some(&Value::Number(1.0)));
}

#[test]
fn a_playpath_may_be_of_any_length() {
    for length in [10_000, 65_535, 65_536, 200_000] {
        let playpath = "p".repeat(length);
        let said = said_up_to_play(Config {
            playpath: playpath.clone(),
            subscribe: Some(playpath.clone()),
            playlist: true,
            ..config()
        });
        let playpath = Value::from(playpath.as_str());
        assert_eq!(arguments(&said, "play")[1], playpath, "{length}");
        assert_eq!(arguments(&said, "FCSubscribe")[1], playpath, "{length}");
        let playlist = &arguments(&said, "set_playlist")[1];
        assert_eq!(playlist.member("0"), Some(&playpath), "{length}");
    }
}

#[test]
fn secrets_are_not_printed() {
    let secret = || "hush".to_owned();
    let config = Config {
        connect: Connect {
            app: "vod?authmod=adobe&user=hush".into(),
            tc_url: "rtmp://server.example/vod?auth=hush".into(),
            arguments: vec!["hush".into()],
            ..config().connect
        },
        playpath: "clip?token=hush".into(),
        subscribe: Some("clip?token=hush".into()),
        secure_token: Some(secret()),
        usher_token: Some(secret()),
        login: Some(config::Login {
            user: secret(),
            password: secret(),
        }),
        ..config()
    };
    let printed = format!("{config:?} {:?}", config.login);
    assert!(!printed.contains("hush"), "{printed}");
}
