//! Commands between `connect` and `play`, as configured by the user.

use super::*;

/// Answers everything up to `play`. Returns the messages of the client.
fn sent_up_to_play(config: Config) -> Vec<Sent> {
    let mut conversation = Conversation::connecting(config);
    let mut sent = conversation.sent();
    conversation.accept();
    sent.extend(conversation.sent());
    conversation.stream_created(2, 1.0);
    sent.extend(conversation.sent());
    sent
}

fn names(sent: &[Sent]) -> Vec<String> {
    let calls = sent.iter().filter_map(Sent::summary);
    calls
        .map(|call| String::from_utf8_lossy(call.0).into_owned())
        .collect()
}

/// Returns the arguments of the first command with this name.
fn arguments(sent: &[Sent], name: &str) -> Vec<Value> {
    let call = sent.iter().find_map(|sent| match sent {
        Sent::Command(_, command) if command.name == name => Some(command.arguments.clone()),
        _ => None,
    });
    call.unwrap_or_else(|| panic!("no {name} among {sent:?}"))
}

#[test]
fn play_sends_start_and_length_in_milliseconds() {
    let play = |start, length_ms| {
        let config = Config {
            start,
            length_ms,
            ..config()
        };
        arguments(&sent_up_to_play(config), "play")
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
fn playlist_is_set_before_play() {
    let sent = sent_up_to_play(Config {
        playlist: true,
        ..config()
    });
    let calls: Vec<_> = sent.iter().filter_map(Sent::summary).collect();
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
        arguments(&sent, "set_playlist"),
        [Value::Null, Value::EcmaArray(playlist)]
    );
}

#[test]
fn usher_token_is_sent_before_fc_subscribe() {
    let sent = sent_up_to_play(Config {
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
    assert_eq!(names(&sent), expected);
    assert_eq!(
        arguments(&sent, "NetStream.Authenticate.UsherToken"),
        [Value::Null, "{\"channel\":1}".into()]
    );
}

#[test]
fn steps_between_connect_and_play_disable_pipelining() {
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
        let mut conversation = Conversation::connecting(config);
        assert_eq!(names(&conversation.sent()), ["connect"]);
        conversation.accept();
        assert!(!names(&conversation.sent()).contains(&"play".to_owned()));
    }
}

#[test]
fn repeated_create_stream_repeats_fc_subscribe() {
    let mut conversation = Conversation::connecting(live());
    conversation.sent();
    conversation.accept();
    conversation.advance(SECOND * 21 / 10);
    let sent = conversation.sent();
    assert_eq!(names(&sent), ["createStream", "FCSubscribe"]);
}

#[test]
fn connect_without_enhanced_rtmp_equals_that_of_rtmpdump() {
    let sent = sent_up_to_play(Config {
        enhanced: false,
        ..config()
    });
    let connect = arguments(&sent, "connect");
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
fn playpath_may_have_any_length() {
    for length in [10_000, 65_535, 65_536, 200_000] {
        let playpath = "p".repeat(length);
        let sent = sent_up_to_play(Config {
            playpath: playpath.clone(),
            subscribe: Some(playpath.clone()),
            playlist: true,
            ..config()
        });
        let playpath = Value::from(playpath.as_str());
        assert_eq!(arguments(&sent, "play")[1], playpath, "{length}");
        assert_eq!(arguments(&sent, "FCSubscribe")[1], playpath, "{length}");
        let playlist = &arguments(&sent, "set_playlist")[1];
        assert_eq!(playlist.member("0"), Some(&playpath), "{length}");
    }
}

#[test]
fn debug_output_hides_secrets() {
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
