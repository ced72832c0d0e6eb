//! Downloads through RTMPT, from the test server behind an RTMPT front.

use std::time::Duration;

use crate::{
    parallel,
    peers::{nginx, require},
    program::{Download, download},
    server::{
        Clip, Config, DelayedConnection, EndSignal, Framing, Headers, OnConnect, OnPipelined, Pace,
        Server, Stream, Tag, Tunnel, TunnelConfig, TunnelFault,
    },
};

#[test]
fn streams_pass_through_every_http_variant() {
    let usual = TunnelConfig::default;
    let closing = |answers, announces_close| TunnelConfig {
        answers_per_connection: Some(answers),
        announces_close,
        ..usual()
    };
    let fronts = [
        usual(),
        TunnelConfig {
            headers: Headers::Bare,
            interval: 0,
            ..usual()
        },
        TunnelConfig {
            headers: Headers::OddCase,
            bytes_per_answer: 50,
            ..usual()
        },
        TunnelConfig {
            headers: Headers::OddCase,
            framing: Framing::Chunked,
            continues: true,
            ..usual()
        },
        TunnelConfig {
            framing: Framing::Close,
            ..usual()
        },
        TunnelConfig {
            pipelined: OnPipelined::Closed,
            bytes_per_answer: 1000,
            ..usual()
        },
        TunnelConfig {
            pipelined: OnPipelined::Refused,
            bytes_per_answer: 1000,
            ..usual()
        },
        TunnelConfig {
            delay: Duration::from_millis(5),
            interval: 9,
            ..usual()
        },
        closing(1, true),
        closing(1, false),
        closing(2, true),
        closing(2, false),
        closing(7, true),
        closing(7, false),
    ];
    parallel::for_each(fronts, |front| {
        for stream in [Stream::recorded_sample(), live_without_close()] {
            let context = format!("{front:?}");
            let is_live = stream.pace != Pace::Unbounded;
            let (download, front) = download_through_tunnel(stream, front.clone(), is_live);
            assert_complete(&download, is_live);
            let requests = front.requests();
            assert_eq!(requests.opens, 1, "{context} {requests:?}");
            assert_eq!(requests.closes, 1, "{context} {requests:?}");
            assert_eq!(requests.altered, 0, "{context} {requests:?}");
            assert!(requests.most_at_once <= 4, "{context} {requests:?}");
        }
    });
}

#[test]
fn server_without_pipelining_serves_one_session() {
    let variants = [
        OnPipelined::Closed,
        OnPipelined::Refused,
        OnPipelined::AllRefused,
        OnPipelined::RefusedAndClosed,
    ];
    // Small answers fill the window of requests during the handshake.
    let sizes = [300, 1000, 4000];
    let cases = variants.map(|variant| sizes.map(|size| (variant, size)));
    parallel::for_each(cases.as_flattened(), |&(pipelined, bytes_per_answer)| {
        let config = TunnelConfig {
            pipelined,
            bytes_per_answer,
            delay: Duration::from_millis(1),
            ..TunnelConfig::default()
        };
        let (download, front) = download_through_tunnel(Stream::recorded_sample(), config, false);
        assert_complete(&download, false);
        let requests = front.requests();
        assert_eq!(
            (requests.opens, requests.altered),
            (1, 0),
            "{pipelined:?} {bytes_per_answer} {requests:?}"
        );
    });
}

#[test]
fn lost_request_is_repeated_unchanged() {
    parallel::for_each([1, 2, 3, 5, 8], |number| {
        let config = TunnelConfig {
            fault: Some((number, TunnelFault::LoseAnswer)),
            bytes_per_answer: 4_000,
            ..TunnelConfig::default()
        };
        let (download, front) = download_through_tunnel(Stream::recorded_sample(), config, false);
        assert_complete(&download, false);
        let requests = front.requests();
        assert!(requests.repeats >= 1, "{requests:?}");
        assert_eq!((requests.altered, requests.jumps), (0, 0), "{requests:?}");
    });
}

#[test]
fn refused_pipelined_request_does_not_end_the_stream() {
    let refused = "HTTP/1.1 503 Slow Down\r\nContent-Length: 0\r\n\r\n";
    let config = TunnelConfig {
        fault: Some((20, TunnelFault::Answer(refused))),
        bytes_per_answer: 1_000,
        delay: Duration::from_millis(2),
        ..TunnelConfig::default()
    };
    let (download, front) = download_through_tunnel(Stream::recorded_sample(), config, false);
    assert_complete(&download, false);
    assert_eq!(front.requests().altered, 0);
}

#[test]
fn closed_tunnel_session_ends_the_stream() {
    let stream = live_without_close().ending(&[EndSignal::Fin]);
    let (download, _front) = download_through_tunnel(stream, TunnelConfig::default(), true);
    download.assert_ended(0, "closed");
    assert_eq!(
        media_with_content(&download.clip()),
        media_with_content(&Clip::sample())
    );
}

#[test]
fn tunnel_over_a_slow_connection_is_complete() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let front = Tunnel::start(server.port(), TunnelConfig::default());
    let line = DelayedConnection::start(front.port(), Duration::from_millis(50));
    let url = format!("rtmpt://127.0.0.1:{}/app/clip", line.port());
    assert_complete(&download(&url, &[]), false);
    let requests = front.requests();
    assert_eq!((requests.opens, requests.closes), (1, 1), "{requests:?}");
}

#[test]
fn streams_pass_through_a_web_proxy_that_closes_connections() {
    let nginx = require!(nginx::Nginx::find());
    for directives in [
        "keepalive_timeout 0;",
        "keepalive_requests 3;",
        "keepalive_requests 40;",
    ] {
        let config = TunnelConfig {
            bytes_per_answer: 2_000,
            ..TunnelConfig::default()
        };
        for stream in [Stream::recorded_sample(), live_without_close()] {
            let is_live = stream.pace != Pace::Unbounded;
            let server = Server::start(Config::serving(stream));
            let front = Tunnel::start(server.port(), config.clone());
            let proxy = nginx.start_proxy(front.port(), directives);
            let url = format!("rtmpt://127.0.0.1:{}/app/clip", proxy.port());
            let line = DelayedConnection::start(proxy.port(), Duration::from_millis(5));
            let far = format!("rtmpt://127.0.0.1:{}/app/clip", line.port());
            for url in [url, far] {
                assert_complete(&download(&url, live_option(is_live)), is_live);
            }
            let requests = front.requests();
            assert_eq!(requests.altered, 0, "{directives} {requests:?}");
            assert_eq!(requests.closes, 2, "{directives} {requests:?}");
        }
    }
}

#[test]
fn redirect_into_a_tunnel_is_followed() {
    let server = Server::start(Config::serving(Stream::recorded_sample()));
    let front = Tunnel::start(server.port(), TunnelConfig::default());
    let redirect = format!("rtmpt://127.0.0.1:{}/app", front.port());
    let first = Server::start(Config {
        connect: OnConnect::RedirectInError { redirect },
        ..Config::default()
    });
    assert_complete(&download(&first.url("clip"), &[]), false);
    assert_eq!(front.requests().opens, 1);
}

/// Downloads `stream` through an RTMPT front.
fn download_through_tunnel(
    stream: Stream,
    config: TunnelConfig,
    is_live: bool,
) -> (Download, Tunnel) {
    let server = Server::start(Config::serving(stream));
    let front = Tunnel::start(server.port(), config);
    let download = download(&front.url("clip"), live_option(is_live));
    (download, front)
}

/// Panics unless the file has all tags of the sample in order.
#[track_caller]
fn assert_complete(download: &Download, is_live: bool) {
    let word = if is_live { "unpublished" } else { "ended" };
    download.assert_ended(0, word);
    assert_eq!(
        media_with_content(&download.clip()),
        media_with_content(&Clip::sample())
    );
}

fn media_with_content(clip: &Clip) -> Vec<&Tag> {
    clip.media_with_content().collect()
}

fn live_option(is_live: bool) -> &'static [&'static str] {
    if is_live {
        &["-v", "--republish-wait", "0"]
    } else {
        &[]
    }
}

fn live_without_close() -> Stream {
    // The server leaves the session open, so that rtmpull closes it.
    Stream::live(Clip::sample())
        .paced(Pace::Speed(4.0))
        .ending(&[EndSignal::UnpublishNotify])
}
