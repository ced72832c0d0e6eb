use proptest::prelude::*;

use super::*;

/// URLs from the wiki page that first described the protocol: URL, host, port, app, playpath.
const PAGE: [(&str, &str, u16, &str, &str); 17] = [
    (
        "rtmp://cp9950.edgefcs.net/ondemand/comedystor/_!/com/dailyshow/TDS/season_03/episode_100/ds_03100_08_blm_480.flv",
        "cp9950.edgefcs.net",
        1935,
        "ondemand",
        "comedystor/_!/com/dailyshow/TDS/season_03/episode_100/ds_03100_08_blm_480",
    ),
    (
        "rtmp://wdiguk.fcod.llnwd.net:1935/a2334/d1/xd/disneyxd.co.uk/JIMMY_2_SHOES_SHORTS_S1_E1_sw.flv",
        "wdiguk.fcod.llnwd.net",
        1935,
        "a2334/d1",
        "xd/disneyxd.co.uk/JIMMY_2_SHOES_SHORTS_S1_E1_sw",
    ),
    (
        "rtmp://directv.fcod.llnwd.net/a517/d1/com/lp/testdrive/active_channel-hack.flv",
        "directv.fcod.llnwd.net",
        1935,
        "a517/d1",
        "com/lp/testdrive/active_channel-hack",
    ),
    (
        "rtmp://ciena.fv.miisolutions.net/ciena/flash/LynneMilton_256l.flv",
        "ciena.fv.miisolutions.net",
        1935,
        "ciena/flash",
        "LynneMilton_256l",
    ),
    (
        "rtmp://flvideo.wwe.com/wwevideo/flv/kids/2008/october8-14/kids_cena_wiffle_large.flv",
        "flvideo.wwe.com",
        1935,
        "wwevideo/flv",
        "kids/2008/october8-14/kids_cena_wiffle_large",
    ),
    (
        "rtmp://advancedmethod.flashsvc.vitalstreamcdn.com/advancedmethod_vitalstream_com/_definst_/airtime/Q4.flv",
        "advancedmethod.flashsvc.vitalstreamcdn.com",
        1935,
        "advancedmethod_vitalstream_com/_definst_",
        "airtime/Q4",
    ),
    (
        "rtmp://fsapfs.fplive.net/fsap/Videos/foie_gras_uk_high.flv",
        "fsapfs.fplive.net",
        1935,
        "fsap/Videos",
        "foie_gras_uk_high",
    ),
    (
        "rtmp://fms.04C7.edgecastcdn.net/0004C7/t-mobilemytouch/videos/home/phil_video",
        "fms.04C7.edgecastcdn.net",
        1935,
        "0004C7/t-mobilemytouch",
        "videos/home/phil_video",
    ),
    (
        "rtmp://sony.flash.internapcdn.net/sony_vitalstream_com/_definst_/mp4:NAB2009-Video/Sony_Professional_Media.f4v",
        "sony.flash.internapcdn.net",
        1935,
        "sony_vitalstream_com/_definst_",
        "mp4:NAB2009-Video/Sony_Professional_Media.f4v",
    ),
    (
        "rtmp://flowplayer.org:1935/fastplay/video/buffalo.srt",
        "flowplayer.org",
        1935,
        "fastplay/video",
        "buffalo.srt",
    ),
    (
        "rtmp://fl9.maelstrom.jet-stream.nl:80/vod/vdoxadmin/jeroen/bunny.mp3",
        "fl9.maelstrom.jet-stream.nl",
        80,
        "vod/vdoxadmin",
        "mp3:jeroen/bunny",
    ),
    (
        "rtmp://cp72151.live.edgefcs.net/live/WCHB-AM@10665",
        "cp72151.live.edgefcs.net",
        1935,
        "live",
        "WCHB-AM@10665",
    ),
    (
        "rtmp://video-12.radioradicale.it/store-51/mp4:FL532501.f4v",
        "video-12.radioradicale.it",
        1935,
        "store-51",
        "mp4:FL532501.f4v",
    ),
    (
        "rtmpe://akafms-music01.myspacecdn.com/ondemand/mp3:86/std_e647631bd0c6e9197654c64dce7e4e12",
        "akafms-music01.myspacecdn.com",
        1935,
        "ondemand",
        "mp3:86/std_e647631bd0c6e9197654c64dce7e4e12",
    ),
    (
        "rtmp://viacom.fcod.llnwd.net/a1624/e17/gsp.thencomstor/the-n.com/the_assistants/tn_ass_112_fle_o5g_rt162572_480x360_700.flv",
        "viacom.fcod.llnwd.net",
        1935,
        "a1624/e17",
        "gsp.thencomstor/the-n.com/the_assistants/tn_ass_112_fle_o5g_rt162572_480x360_700",
    ),
    (
        "rtmp://flash1.bpmnetworks.com/live/ktv",
        "flash1.bpmnetworks.com",
        1935,
        "live",
        "ktv",
    ),
    (
        "rtmp://kanald.tbt.com.tr:80/cnnturk/CNNTurk1",
        "kanald.tbt.com.tr",
        80,
        "cnnturk",
        "CNNTurk1",
    ),
];

#[test]
fn published_urls_split_as_documented() {
    for (url, host, port, app, playpath) in PAGE {
        let target = Target::parse(url).unwrap();
        assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
        assert_eq!(target.split, split(app, playpath), "{url}");
        assert_eq!(target.user_info, None, "{url}");
        assert!(url.starts_with(&format!("{}://", target.scheme)), "{url}");
        let tc_url = format!("{}://{host}:{port}/{app}", target.scheme);
        assert_eq!(target.tc_url(&target.split.app), tc_url, "{url}");
    }
}

/// rtmpdump's current parser, or a server, may place the end of the app elsewhere.
#[test]
fn alternatives_are_three_components_then_one() {
    let others = |url| Target::parse(url).unwrap().other_splits;
    assert_eq!(
        others("rtmp://h/a517/d1/com/lp/active.flv"),
        [
            split("a517/d1/com", "lp/active"),
            split("a517", "d1/com/lp/active")
        ]
    );
    assert_eq!(others("rtmp://h/a/b/c"), [split("a", "b/c")]);
    assert_eq!(others("rtmp://h/a/b/c?x=/y"), [split("a", "b/c?x=/y")]);
    for unambiguous in [
        "rtmp://h/live/stream",
        "rtmp://h",
        "rtmp://h/ondemand/a/b/c/d",
        "rtmp://h/a/b/c?slist=x",
        "rtmp://h/a/b/c#stream",
        "rtmp://h/a/_definst_/c/d/e",
        "rtmp://h/a/b/mp4:c/d/e",
    ] {
        assert_eq!(others(unambiguous), [], "{unambiguous}");
    }
}

#[test]
fn path_and_query_split_into_app_and_playpath() {
    let cases = [
        ("/a/b/c/d/e", "a/b", "c/d/e"),
        ("/app/mp4:dir/file.mp4", "app", "mp4:dir/file.mp4"),
        ("/app/inst/sub/mp4:dir/file", "app/inst/sub", "mp4:dir/file"),
        ("/app/smil:dir/all.smil", "app", "smil:dir/all.smil"),
        ("/app/_definst_/play", "app/_definst_", "play"),
        ("/app/a/_definst_/b/c", "app/a/_definst_", "b/c"),
        ("/_definst_/b/c", "_definst_", "b/c"),
        ("/live/stream?token=a%2Fb", "live", "stream?token=a/b"),
        ("/app/file?a=b/c/d", "app", "file?a=b/c/d"),
        ("/a/b/c?d=e/f#", "a/b", "c?d=e/f"),
        ("/app?slist=foo.mp4&x=1", "app?slist=foo.mp4&x=1", "mp4:foo"),
        ("/app?slist=foo.flv", "app?slist=foo.flv", "foo.flv"),
        ("/a/b/c?xslist=d", "a/b", "c?xslist=d"),
        (
            "/ondemand?auth=x&slist=a/b.mp4;mp4:x",
            "ondemand?auth=x&slist=a/b.mp4;mp4:x",
            "a/b.mp4;mp4:x",
        ),
        ("/ondemand/a/b.mp4?c=d", "ondemand", "mp4:a/b?c=d"),
        ("/live/a%20b.mp4", "live", "mp4:a b"),
        (
            "/bcs/channel0_main.bcs?channel=0&stream=0&user=admin",
            "bcs",
            "channel0_main.bcs?channel=0&stream=0&user=admin",
        ),
        ("/live/a/../b c", "live/a", "../b c"),
        ("/live/x@y:z", "live", "x@y:z"),
        ("/app//play", "app", "play"),
        ("/app/inst//play", "app/inst", "play"),
        ("/app/inst/dir//file", "app/inst", "dir//file"),
        ("//app/play", "", "app/play"),
        ("/app#stream", "app", "stream"),
        // The notation of SRS: the stream follows the query.
        ("/live?vhost=x.net/stream", "live?vhost=x.net", "stream"),
        ("/live/?vhost=x.net/stream", "live?vhost=x.net", "stream"),
        ("/app?a=b/c&d=e/name.mp4", "app?a=b/c&d=e", "mp4:name"),
        ("/app/_definst_?x=1/play", "app/_definst_?x=1", "play"),
        ("/app/inst?a=b#str%65am.flv", "app/inst?a=b", "stream.flv"),
        ("#stream", "", "stream"),
    ];
    for (resource, app, playpath) in cases {
        let target = Target::parse(&format!("rtmp://host{resource}")).unwrap();
        assert_eq!(target.split, split(app, playpath), "{resource}");
    }
}

#[test]
fn url_without_a_stream_has_no_playpath() {
    let cases = [
        ("", ""),
        ("/", ""),
        ("?a=b", "?a=b"),
        ("/live", "live"),
        ("/live/", "live"),
        ("/app/_definst_", "app/_definst_"),
        ("/app/_definst_/", "app/_definst_"),
        ("/app?x=1/", "app?x=1/"),
        ("/ondemand?x=1", "ondemand?x=1"),
        ("/ondemand/", "ondemand"),
        ("/a?slist=", "a?slist="),
        ("/mp4:file", "mp4:file"),
    ];
    for (resource, app) in cases {
        let target = Target::parse(&format!("rtmp://host{resource}")).unwrap();
        let expected = Split {
            app: app.to_owned(),
            playpath: None,
        };
        assert_eq!(target.split, expected, "{resource}");
    }
}

/// Cameras and MediaMTX publish streams with a path of one component, which ffmpeg sends as app.
#[test]
fn single_component_is_an_app_with_an_empty_playpath_or_the_reverse() {
    for resource in ["mystream", "mystream?user=a&pass=b"] {
        let target = Target::parse(&format!("rtmp://h/{resource}")).unwrap();
        assert!(target.is_single_component());
        assert_eq!(target.split.app, resource);
        assert_eq!(target.other_splits, [split("", resource)]);
    }
    for url in [
        "rtmp://h",
        "rtmp://h/",
        "rtmp://h/live/",
        "rtmp://h/live/stream",
        "rtmp://h/live?vhost=x/stream",
        "rtmp://h/live#stream",
        "rtmp://h/?a=b",
    ] {
        let target = Target::parse(url).unwrap();
        assert!(!target.is_single_component(), "{url}");
        assert_eq!(target.other_splits, [], "{url}");
    }
}

#[test]
fn path_with_a_final_slash_names_an_app() {
    let app = |url| Target::parse(url).unwrap().app_with_slash();
    assert_eq!(app("rtmp://h/live/").as_deref(), Some("live/"));
    assert_eq!(app("rtmp://h/a/b/c/").as_deref(), Some("a/b/c/"));
    assert_eq!(app("rtmp://h/live/?x=1").as_deref(), Some("live/?x=1"));
    for url in ["rtmp://h", "rtmp://h/", "rtmp://h/live", "rtmp://h/a/b"] {
        assert_eq!(app(url), None, "{url}");
    }
}

#[test]
fn extensions_and_prefixes_follow_rtmpdump() {
    let cases = [
        ("file.mp4", "mp4:file"),
        ("file.f4v", "mp4:file"),
        ("file.mp3", "mp3:file"),
        ("file.flv", "file"),
        ("mp4:file.mp4", "mp4:file.mp4"),
        ("mp4:file.f4v", "mp4:file.f4v"),
        ("mp3:file.mp3", "mp3:file.mp3"),
        ("flv:file.flv", "flv:file"),
        ("flv:file.mp4", "mp4:flv:file"),
        ("file.mp4?a=b", "mp4:file?a=b"),
        ("file?a=b.mp4", "file?a=b.mp4"),
        ("file.MP4", "file.MP4"),
        ("file.m4v", "file.m4v"),
        ("file.mov", "file.mov"),
        (".mp4", "mp4:"),
        ("mp4", "mp4"),
    ];
    for (name, expected) in cases {
        assert_eq!(playpath(name, FlvExtension::Drop), expected, "{name}");
    }
}

#[test]
fn invalid_escapes_stay_unchanged() {
    let cases = [
        ("100%", "100%"),
        ("%4", "%4"),
        ("%zz%41", "%zzA"),
        ("%+1", "%+1"),
        ("%%41", "%A"),
        ("%é1", "%é1"),
        ("%c3%a9", "é"),
        ("%c3 %41", "%c3 %41"),
    ];
    for (text, expected) in cases {
        assert_eq!(percent_decoded(text), expected, "{text}");
    }
}

#[test]
fn host_and_port_are_parsed() {
    let cases = [
        ("rtmp://host/a/b", "host", 1935),
        ("RTMP://Host/a/b", "Host", 1935),
        ("rtmpe://host/a/b", "host", 1935),
        ("rtmpt://host/a/b", "host", 80),
        ("rtmpte://host/a/b", "host", 80),
        ("rtmps://host/a/b", "host", 443),
        ("rtmpts://host/a/b", "host", 443),
        ("rtmp://host:80/a/b", "host", 80),
        ("rtmp://host:/a/b", "host", 1935),
        ("rtmp://host:0/a/b", "host", 1935),
        ("rtmp://host?a/b", "host", 1935),
        ("rtmp://127.0.0.1:1936/a/b", "127.0.0.1", 1936),
        ("rtmp://[::1]/a/b", "::1", 1935),
        ("rtmp://[2001:db8::1]:1936/a/b", "2001:db8::1", 1936),
        ("rtmp://user:p%40ss@[::1]:1936/a/b", "::1", 1936),
        ("rtmp://[fe80::1%25eth0]/a/b", "fe80::1%eth0", 1935),
        (
            "rtmp://u:[p@[fe80::1%eth0.2]:1936/a/b",
            "fe80::1%eth0.2",
            1936,
        ),
        ("rtmp://[fe80::1%257]/a/b", "fe80::1%7", 1935),
        ("rtmp://my_camera/a/b", "my_camera", 1935),
        ("rtmp://müller.example/a/b", "xn--mller-kva.example", 1935),
    ];
    for (url, host, port) in cases {
        let target = Target::parse(url).unwrap();
        assert_eq!((target.host.as_str(), target.port), (host, port), "{url}");
    }
}

#[test]
fn tc_url_has_a_port_and_no_user_info() {
    let target = Target::parse("rtmp://user:secret@[::1]/app/inst/name?x").unwrap();
    assert_eq!(
        target.tc_url(&target.split.app),
        "rtmp://[::1]:1935/app/inst"
    );
    assert_eq!(target.librtmp_tc_url("app"), "rtmp://[::1]/app");
    // A zone means nothing to the server (RFC 6874 4).
    let target = Target::parse("rtmp://[fe80::1%25eth0]/app/name").unwrap();
    assert_eq!(target.tc_url("app"), "rtmp://[fe80::1]:1935/app");
    let target = Target::parse("rtmp://me@host:1936/app/name").unwrap();
    assert_eq!(target.librtmp_tc_url("app"), "rtmp://host:1936/app");
}

#[test]
fn default_port_follows_the_scheme() {
    let over = |url, scheme| Target::parse(url).unwrap().over(scheme);
    let target = over("rtmp://host/app/name", Scheme::Rtmpt);
    assert_eq!(target.tc_url("app"), "rtmpt://host:80/app");
    let target = over("rtmpt://host:1935/app/name", Scheme::Rtmps);
    assert_eq!(target.tc_url("app"), "rtmps://host:1935/app");
    assert_eq!(over("rtmps://host:0/a/b", Scheme::Rtmp).port, 1935);
}

#[test]
fn host_without_a_url_is_parsed() {
    let cases = [
        ("host", Ok(("host".to_owned(), None))),
        ("[::1]:8", Ok(("::1".to_owned(), Some(8)))),
        ("host:0", Ok(("host".to_owned(), None))),
        ("", Err(Error::NoHost)),
        ("a b", Err(Error::Whitespace)),
    ];
    for (text, expected) in cases {
        assert_eq!(host_and_port(text), expected, "{text}");
    }
}

#[test]
fn user_info_is_decoded_and_the_password_never_printed() {
    let target = Target::parse("rtmp://me%40home:p:a%2Fss@host/app/name").unwrap();
    let expected = UserInfo {
        user: "me@home".to_owned(),
        password: Some("p:a/ss".to_owned()),
    };
    assert_eq!(target.user_info, Some(expected));
    assert!(!format!("{target:?}").contains("p:a"));
    assert_eq!(Target::parse("rtmp://@host/a").unwrap().user_info, None);
}

#[test]
fn playpath_follows_a_given_app() {
    let after = |url, app| Target::parse(url).unwrap().playpath_after(app);
    let url = "rtmp://h/a/b/c/d.flv?e=f";
    assert_eq!(after(url, "a/b/c").as_deref(), Some("d?e=f"));
    assert_eq!(after(url, "a").as_deref(), Some("b/c/d?e=f"));
    assert_eq!(after(url, "x"), None);
    assert_eq!(after(url, "a/b/c/d.flv"), None);
    assert_eq!(after("rtmp://h/ab/c", "a"), None);
    assert_eq!(after("rtmp://h/a/b#c", "a").as_deref(), Some("c"));
}

#[test]
fn playpath_follows_an_app_of_three_components_that_ends_in_the_query() {
    let target = Target::parse("rtmp://h/a/b/c:/?d/e").unwrap();
    let split = Split {
        app: "a/b/c:?d".to_owned(),
        playpath: Some("e".to_owned()),
    };
    assert!(target.other_splits.contains(&split));
    assert_eq!(target.playpath_after(&split.app), split.playpath);
}

#[test]
fn error_texts_name_the_problem() {
    let cases = [
        (
            "host/app/play",
            "not a URL: the form is rtmp://host/app/stream",
        ),
        ("", "not a URL: the form is rtmp://host/app/stream"),
        (
            "rtmpse://host/a/b",
            "unknown scheme \"rtmpse\": known schemes are rtmp, rtmpe, rtmps, rtmpt, rtmpte and rtmpts",
        ),
        (
            "http://host/a/b",
            "unknown scheme \"http\": known schemes are rtmp, rtmpe, rtmps, rtmpt, rtmpte and rtmpts",
        ),
        ("rtmp:///app/p", "no host in the URL"),
        ("rtmp://", "no host in the URL"),
        ("rtmp://:1935/app/p", "no host in the URL"),
        ("rtmp://user@/app/p", "no host in the URL"),
        ("rtmp://host:99999/a/b", "invalid port number in the URL"),
        ("rtmp://host:19x/a/b", "invalid port number in the URL"),
        ("rtmp://host:-1/a/b", "invalid port number in the URL"),
        ("rtmp://[::1/a/b", "invalid IPv6 address in the URL"),
        ("rtmp://[fe80::1%25]/a/b", "invalid IPv6 address in the URL"),
        (
            "rtmp://[fe80::1%25a%00]/a/b",
            "invalid IPv6 address in the URL",
        ),
        (
            "rtmp://[fe80::x%25eth0]/a/b",
            "invalid IPv6 address in the URL",
        ),
        ("rtmp://[::g]/a/b", "invalid IPv6 address in the URL"),
        (
            "rtmp://ho st/a/b",
            "white space or a control character before the path of the URL",
        ),
        (
            "rtmp://ho\tst/a/b",
            "white space or a control character before the path of the URL",
        ),
    ];
    for (url, expected) in cases {
        let error = Target::parse(url).unwrap_err();
        assert_eq!(error.to_string(), expected, "{url:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn any_text_is_parsed_without_panic(text in ".*", rest in "[a-z@:/?#%.\\[\\]_=&é\\\\ 0-9]{0,40}") {
        let _ = Target::parse(&text);
        for url in [format!("rtmp://{text}"), format!("rtmp://{rest}"), format!("rtmp://h/{rest}")] {
            let Ok(target) = Target::parse(&url) else { continue };
            prop_assert!(!target.host.is_empty());
            prop_assert_ne!(target.port, 0);
            let _ = target.playpath_after(&target.split.app);
        }
    }

    /// App and playpath join to the original resource if it has no escapes and no extension.
    #[test]
    fn app_and_playpath_join_to_the_resource(parts in proptest::collection::vec("[a-z]{1,3}", 1..7), query in "(\\?[a-z/=&]{1,9})?") {
        let resource = parts.join("/") + &query;
        let target = Target::parse(&format!("rtmp://h/{resource}")).unwrap();
        prop_assume!(!query.contains("slist="));
        for split in target.other_splits.iter().chain([&target.split]) {
            let joined = match &split.playpath {
                Some(playpath) if split.app.is_empty() => playpath.clone(),
                Some(playpath) => format!("{}/{playpath}", split.app),
                None => split.app.clone(),
            };
            prop_assert_eq!(&joined, &resource);
        }
    }
}

fn split(app: &str, playpath: &str) -> Split {
    Split {
        app: app.to_owned(),
        playpath: Some(playpath.to_owned()),
    }
}
