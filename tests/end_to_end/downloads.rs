//! Downloads from the test server: correct, unusual and faulty.

use std::time::Duration;

use rtmpull::core::{
    amf::Value,
    rtmp::{handshake::digest::Scheme, message::Kind},
};

use crate::{
    drop_in::RtmpdumpLink,
    parallel,
    program::download,
    server::{
        C2, Clip, Command, Config, Connection, Disconnected, EndSignal, FaultAction, FaultPoint,
        Handshake, OnConnect, OnMissing, Pace, Pipelining, ScriptedPeer, Server, Step, Stream, Tag,
        status,
    },
};

#[test]
fn recorded_stream_is_complete() {
    assert_complete_download(Config::serving(Stream::recorded_sample()), &[]);
}

#[test]
fn any_chunk_size_gives_a_complete_file() {
    for chunk_size in [1, 127, 128, 65_536, 0x7FFF_FFFF] {
        let config = Config::serving(Stream::recorded_sample());
        assert_complete_download(
            Config {
                chunk_size,
                ..config
            },
            &[],
        );
    }
}

#[test]
fn s2_sent_after_c2_completes_the_handshake() {
    let plain = [
        (Handshake::Plain, C2::Echo),
        (Handshake::Digest(Scheme::DigestFirst), C2::Signed),
        (Handshake::Digest(Scheme::KeyFirst), C2::Signed),
        (Handshake::DigestUnderVersionZero, C2::Signed),
    ];
    let encrypted = [6, 8, 9].map(|version| {
        let handshake = Handshake::encrypted(version, Scheme::DigestFirst);
        (handshake, C2::Signed)
    });
    parallel::for_each(plain.into_iter().chain(encrypted), |(handshake, c2)| {
        let server = Server::start(Config {
            handshake,
            s2_after_c2: true,
            ..Config::serving(Stream::recorded_sample())
        });
        let url = match handshake {
            Handshake::Encrypted(_) => server.encrypted_url("clip"),
            _ => server.url("clip"),
        };
        let download = download(&url, &["-m", "5"]);
        download.assert_ended(0, "ended");
        assert_eq!(
            download.clip().media().count(),
            Clip::sample().media().count()
        );
        let client = server.only_client();
        assert_eq!(client.c2, Some(c2), "{handshake:?}");
        assert_eq!(client.fault, None, "{handshake:?}");
    });
}

/// The peer answers only after everything that the client can send without an answer has arrived.
#[test]
fn start_takes_two_round_trips() {
    let peer = ScriptedPeer::start(|peer, number| {
        assert_eq!(number, 0, "one connection");
        peer.accept_plain_handshake();
        let connect = peer.expect_command("connect");
        let create = peer.expect_command("createStream");
        peer.expect_command("play");
        let _ = peer.answer_early_calls(&connect, &create);
        let _ = peer.fail::<()>(FaultAction::Fin);
    });
    let download = download(&peer.url("clip"), &["-m", "5"]);
    assert!(
        download.finished.stderr.contains("Connected..."),
        "{}",
        download.finished.stderr
    );
}

#[test]
fn any_handshake_gives_a_complete_file() {
    for (handshake, option, c2) in [
        (Handshake::Plain, "auto", C2::Echo),
        (Handshake::Plain, "plain", C2::Echo),
        (Handshake::Digest(Scheme::DigestFirst), "auto", C2::Signed),
        (Handshake::Digest(Scheme::KeyFirst), "digest", C2::Signed),
        (Handshake::Digest(Scheme::DigestFirst), "plain", C2::Echo),
        (Handshake::DigestUnderVersionZero, "auto", C2::Signed),
    ] {
        let config = Config::serving(Stream::recorded_sample());
        let server = assert_complete_download(
            Config {
                handshake,
                ..config
            },
            &["--handshake", option],
        );
        assert_eq!(
            server.only_client().c2,
            Some(c2),
            "{handshake:?} and {option}"
        );
    }
}

#[test]
fn closed_digest_handshake_is_retried_as_plain() {
    let config = Config::serving(Stream::recorded_sample());
    let handshake = Handshake::ClosesOnDigest;
    let server = assert_complete_download(
        Config {
            handshake,
            ..config
        },
        &[],
    );
    let answers: Vec<_> = server.clients().iter().map(|client| client.c2).collect();
    assert_eq!(answers, [None, Some(C2::Echo)]);
}

#[test]
fn media_on_message_stream_0_is_recorded() {
    assert_complete_download(
        Config {
            media_stream_id: Some(0),
            keeps_set_data_frame: true,
            ..Config::serving(Stream::recorded_sample())
        },
        &[],
    );
}

#[test]
fn long_chunk_stream_ids_are_read() {
    for media_chunk_stream in [64, 318, 400, 65_000] {
        let config = Config::serving(Stream::recorded_sample());
        assert_complete_download(
            Config {
                media_chunk_stream,
                ..config
            },
            &[],
        );
    }
}

#[test]
fn aggregate_messages_are_split_into_tags() {
    assert_complete_download(
        Config {
            tags_per_aggregate: 7,
            ..Config::serving(Stream::recorded_sample())
        },
        &[],
    );
}

#[test]
fn amf3_message_types_are_read() {
    assert_complete_download(
        Config {
            sends_amf3: true,
            ..Config::serving(Stream::recorded_sample())
        },
        &[],
    );
}

#[test]
fn media_before_play_start_is_recorded() {
    assert_complete_download(
        Config {
            tags_before_start: 10,
            ..Config::serving(Stream::recorded_sample())
        },
        &[],
    );
}

#[test]
fn small_window_is_acknowledged() {
    let server = assert_complete_download(
        Config {
            window: 4096,
            enforces_window: true,
            ..Config::serving(Stream::recorded_sample())
        },
        &[],
    );
    assert!(server.only_client().acknowledgements.is_sorted());
}

#[test]
fn pings_are_answered() {
    let server = assert_complete_download(
        Config {
            ping_every: Some(Duration::from_millis(200)),
            ..Config::serving(Stream::recorded_sample().paced(Pace::Speed(4.0)))
        },
        &[],
    );
    assert_eq!(server.only_client().pongs[..2], [1001, 1002]);
}

/// Without a longer announcement, each refill asks for 3 s more, and the file takes 12 refills.
#[test]
fn silence_after_a_burst_announces_a_large_buffer() {
    let clip = Clip::repeated_sample(18, 3_000);
    let every = Duration::from_millis(1_500);
    let pace = Pace::Refilled {
        first_ms: 3_000,
        every,
    };
    let server = Server::start(Config::serving(Stream::recorded(clip.clone()).paced(pace)));
    let download = download(&server.url("clip"), &[]);
    download.assert_ended(0, "ended");
    assert_same_media(&download.clip(), &clip);
    let took = download.finished.took;
    assert!(took < 5 * every, "{took:?}");
    let client = server.only_client();
    let announced_ms: Vec<u32> = client.buffer_lengths.iter().map(|(_, ms)| *ms).collect();
    assert!(announced_ms.is_sorted(), "{announced_ms:?}");
    let longest_ms = announced_ms.last().copied().unwrap_or_default();
    assert!((60_000..=600_000).contains(&longest_ms), "{announced_ms:?}");
}

#[test]
fn commands_are_pipelined() {
    let server = assert_complete_download(Config::serving(Stream::recorded_sample()), &[]);
    let client = server.only_client();
    assert_eq!(client.names()[..3], ["connect", "createStream", "play"]);
    assert_eq!(client.command("play").map(|play| play.stream), Some(1));
    let start = client
        .command("play")
        .and_then(|play| play.values[2].as_number());
    assert_eq!(start, Some(-2000.0));
}

#[test]
fn refused_pipelining_reconnects_without_it_for_the_rest_of_the_run() {
    let config = Config {
        pipelining: Pipelining::Refused,
        faulty_connections: 2,
        ..Config::serving(Stream::recorded_sample())
    };
    let server = Server::start(config.with_fault(FaultPoint::Byte(25_000), FaultAction::Fin));
    let download = download(&server.url("clip"), &["--retry", "1"]);
    download.assert_ended(0, "ended");
    assert_same_media(&download.clip(), &Clip::sample());
    // The first connection is refused, the second is cut, and the third is complete.
    let plays = server
        .clients()
        .iter()
        .map(|client| client.command("play").is_some())
        .collect::<Vec<_>>();
    assert_eq!(plays, [false, true, true]);
}

/// One connection replaces the failed one, whatever the failure and whatever the name of the program.
#[test]
fn any_failure_before_the_answer_to_connect_is_retried_without_pipelining() {
    type Failure = fn(&mut Connection) -> Result<(), Disconnected>;
    let failures: [(&str, Failure); 4] = [
        ("garbage", |peer| {
            peer.send(&[0xFF; 3_000])?;
            peer.wait_for_close()
        }),
        ("silence", |peer| peer.wait_for_close()),
        ("close", |peer| peer.fail(FaultAction::Fin)),
        ("reset", |peer| peer.fail(FaultAction::Rst)),
    ];
    let cases = failures
        .into_iter()
        .flat_map(|failure| [(failure, false), (failure, true)]);
    parallel::for_each(cases, |((name, failure), is_rtmpdump)| {
        let peer = ScriptedPeer::start(move |peer, number| {
            peer.accept_plain_handshake();
            let connect = peer.expect_command("connect");
            let _client_left = match number {
                0 => {
                    peer.expect_command("createStream");
                    failure(peer)
                }
                1 => play_in_turn(peer, &connect),
                _ => panic!("connection {number}"),
            };
        });
        let options = ["-V", "-m", "4"];
        let (finished, clip) = if is_rtmpdump {
            let rtmpdump = RtmpdumpLink::new();
            let url = peer.url("clip");
            let line = [&["-r", &url, "-o", "out.flv"][..], &options].concat();
            let finished = rtmpdump.run(&line);
            (finished, Clip::read(&rtmpdump.file("out.flv")))
        } else {
            let download = download(&peer.url("clip"), &options);
            let clip = download.clip();
            (download.finished, clip)
        };
        assert_eq!(finished.code(), Some(0), "{name}: {finished}");
        let reconnects = finished.stderr.matches("to send one command at a time");
        assert_eq!(reconnects.count(), 1, "{name}: {finished}");
        assert!(
            clip.media().eq(Clip::sample().media_with_content()),
            "{name}"
        );
    });
}

/// Plays the sample to a client that must wait for each answer.
fn play_in_turn(peer: &mut Connection, connect: &Command) -> Result<(), Disconnected> {
    while let Some(message) = peer.receive(Duration::from_millis(200))? {
        let early = Command::read(&message).map(|command| command.name);
        assert_eq!(early, None, "a command before the answer to connect");
    }
    peer.accept_connect(connect)?;
    let create = peer.expect_command("createStream");
    peer.accept_create_stream(&create)?;
    peer.expect_command("play");
    peer.start_stream()?;
    for tag in Clip::sample().media_with_content() {
        peer.queue(6, Kind(tag.kind), 1, tag.timestamp_ms, &tag.body)?;
    }
    let stop = status("status", "NetStream.Play.Stop", "");
    peer.queue_command(1, "onStatus", 0.0, &[Value::Null, stop.into()])?;
    peer.flush()?;
    peer.wait_for_close()
}

#[test]
fn dropped_pipelined_commands_are_sent_again() {
    parallel::for_each(
        [
            Pipelining::Dropped,
            Pipelining::DroppedAfterC1,
            Pipelining::Rejected,
        ],
        |pipelining| {
            let config = Config::serving(Stream::recorded_sample());
            assert_complete_download(
                Config {
                    pipelining,
                    ..config
                },
                &[],
            );
        },
    );
}

#[test]
fn no_pipelining_waits_for_each_answer() {
    let config = Config::serving(Stream::recorded_sample());
    let pipelining = Pipelining::Refused;
    assert_complete_download(
        Config {
            pipelining,
            ..config
        },
        &["--no-pipelining"],
    );
}

#[test]
fn message_stream_ids_other_than_1_are_played() {
    for stream_id in [5, 4_000_000] {
        assert_complete_download(
            Config {
                stream_id,
                ..Config::serving(Stream::recorded_sample())
            },
            &[],
        );
    }
}

#[test]
fn redirects_are_followed() {
    let target = Server::start(Config::serving(Stream::recorded_sample()));
    let application = target.url("").trim_end_matches('/').to_owned();
    for connect in [
        OnConnect::RedirectInError {
            redirect: application.clone(),
        },
        OnConnect::RedirectInStatus {
            redirect: application,
            redirect2: target.url("clip"),
        },
    ] {
        let server = Server::start(Config {
            connect,
            ..Config::default()
        });
        let download = download(&server.url("clip"), &[]);
        download.assert_ended(0, "ended");
        assert_same_media(&download.clip(), &Clip::sample());
    }
    assert_eq!(target.clients().len(), 2);
}

#[test]
fn redirect_to_another_host_names_the_shared_credentials() {
    let target = Server::start(Config::serving(Stream::recorded_sample()));
    let server = Server::start(Config {
        connect: OnConnect::RedirectInError {
            redirect: target.url("").trim_end_matches('/').to_owned(),
        },
        ..Config::default()
    });
    let warning = |url: &str| {
        let download = download(url, &["--conn", "S:s3cret"]);
        download.assert_ended(0, "ended");
        let stderr = &download.finished.stderr;
        let line = stderr.lines().find(|line| line.starts_with("WARNING"));
        line.map(str::to_owned)
    };
    let url = server.url("clip");
    assert_eq!(warning(&url), None, "the host is the same");
    assert_eq!(
        warning(&url.replace("127.0.0.1", "localhost")),
        Some(format!(
            "WARNING: redirected to another host: 127.0.0.1:{} receives the arguments of connect (auth, conn)",
            target.port()
        ))
    );
}

#[test]
fn redirect_loop_ends_after_five_hops() {
    let server = Server::start(Config {
        connect: OnConnect::RedirectToItself,
        ..Config::default()
    });
    let download = download(&server.url("clip"), &[]);
    download.assert_ended(1, "refused");
    assert_eq!(
        server.clients().len(),
        6,
        "the first connection and five hops"
    );
}

#[test]
fn rejection_shows_the_escaped_server_text() {
    let server = Server::start(Config {
        connect: OnConnect::Reject {
            code: "NetConnection.Connect.InvalidApp",
            description: "no application\u{1b}[31m here",
        },
        ..Config::default()
    });
    let download = download(&server.url("clip"), &[]);
    download.assert_ended(1, "refused");
    let stderr = &download.finished.stderr;
    assert!(
        stderr.contains("NetConnection.Connect.InvalidApp"),
        "{stderr}"
    );
    assert!(stderr.contains("no application"), "{stderr}");
    assert!(!stderr.contains('\u{1b}'), "{stderr:?}");
    assert!(!download.file().exists());
}

#[test]
fn missing_stream_ends_with_the_matching_word() {
    let cases = [
        (OnMissing::StreamNotFound, "not-found"),
        (OnMissing::Silence, "stalled"),
        (OnMissing::StartThenSilence, "stalled"),
        (OnMissing::StartThenFin, "cut"),
    ];
    parallel::for_each(cases, |(missing, word)| {
        let server = Server::start(Config {
            missing,
            ..Config::default()
        });
        let download = download(&server.url("nothing"), &["-m", "1"]);
        download.assert_ended(1, word);
        assert!(!download.file().exists());
    });
}

#[test]
fn silence_at_every_step_times_out() {
    let pings = FaultAction::PingsOnly(Duration::from_millis(100));
    let cases = [
        (Step::Handshake, FaultAction::Silence, 3, "no-connection"),
        (Step::Connect, FaultAction::Silence, 1, "stalled"),
        (Step::Connect, pings, 1, "stalled"),
        (Step::CreateStream, FaultAction::Silence, 1, "stalled"),
        (Step::CreateStream, pings, 1, "stalled"),
        (Step::Play, FaultAction::Silence, 1, "stalled"),
        (Step::Play, pings, 1, "stalled"),
        (Step::Media, FaultAction::Silence, 1, "stalled"),
        (Step::Media, pings, 1, "stalled"),
    ];
    parallel::for_each(cases, |(step, then, code, word)| {
        let config =
            Config::serving(Stream::recorded_sample()).with_fault(FaultPoint::Step(step), then);
        let server = Server::start(config);
        let download = download(&server.url("clip"), &["-m", "1"]);
        download.assert_ended(code, word);
        assert!(
            download.finished.took < Duration::from_secs(4),
            "{}",
            download.finished
        );
        assert!(!download.file().exists());
    });
}

#[test]
fn stalled_stream_keeps_the_received_media() {
    let pings = FaultAction::PingsOnly(Duration::from_millis(100));
    let cases = [
        (FaultPoint::Byte(25_000), FaultAction::Silence),
        (FaultPoint::Boundary(25_000), FaultAction::Silence),
        (FaultPoint::Boundary(25_000), pings),
    ];
    parallel::for_each(cases, |(at, then)| {
        assert_keeps_received(Stream::recorded_sample(), at, then, 2, "stalled")
    });
}

#[test]
fn cut_stream_keeps_the_received_media() {
    for stream in [Stream::recorded_sample(), Stream::live_sample()] {
        assert_keeps_received(
            stream.clone(),
            FaultPoint::Byte(25_001),
            FaultAction::Fin,
            2,
            "cut",
        );
        assert_keeps_received(
            stream.clone(),
            FaultPoint::Byte(25_001),
            FaultAction::Rst,
            2,
            "cut",
        );
        assert_keeps_received(
            stream.clone(),
            FaultPoint::Boundary(25_000),
            FaultAction::Rst,
            2,
            "cut",
        );
    }
    // The announced duration shows that the recorded stream is not over.
    assert_keeps_received(
        Stream::recorded_sample(),
        FaultPoint::Boundary(25_000),
        FaultAction::Fin,
        2,
        "cut",
    );
}

#[test]
fn close_at_the_announced_end_is_closed() {
    let stream = Stream::recorded_sample().ending(&[EndSignal::Fin]);
    let server = Server::start(Config::serving(stream));
    let download = download(&server.url("clip"), &[]);
    download.assert_ended(0, "closed");
    assert_same_media(&download.clip(), &Clip::sample());
}

#[test]
fn every_live_end_signal_has_its_ending() {
    let cases = [
        (&[EndSignal::UnpublishNotify][..], "2", 0, "unpublished"),
        (
            &[
                EndSignal::StreamEof,
                EndSignal::PlayStop,
                EndSignal::UnpublishNotify,
            ],
            "2",
            0,
            "unpublished",
        ),
        (&[EndSignal::PlayComplete], "2", 0, "unpublished"),
        (&[EndSignal::Fin], "0", 0, "closed"),
        (&[EndSignal::Fin], "2", 0, "closed"),
        (&[EndSignal::Rst], "0", 2, "cut"),
        (&[EndSignal::Rst], "2", 2, "cut"),
        (&[], "0", 2, "stalled"),
        // The next connection is silent too, so the publisher has left.
        (&[], "2", 0, "unpublished"),
    ];
    parallel::for_each(cases, |(end, retry, code, word)| {
        let server = Server::start(Config::serving(Stream::live_sample().ending(end)));
        let options = ["-v", "-m", "1", "--retry", retry];
        let download = download(&server.url("clip"), &options);
        download.assert_ended(code, word);
        assert_same_media(&download.clip(), &Clip::sample());
    });
}

/// Some servers send Stream EOF in mid-session too, so only the following silence makes it an end.
#[test]
fn stream_eof_then_silence_ends_a_live_stream() {
    let stream = Stream::live_sample().ending(&[EndSignal::StreamEof]);
    let server = Server::start(Config::serving(stream));
    let download = download(&server.url("clip"), &["-v"]);
    download.assert_ended(0, "unpublished");
    assert_same_media(&download.clip(), &Clip::sample());
}

#[test]
fn late_join_starts_at_time_0() {
    for clock_ms in [900_000, 0x00FF_FFFF, 0x7FFF_FF00, 0xFFFF_FF00] {
        let stream = Stream::live_joined(Clip::sample(), clock_ms, 1100);
        let server = Server::start(Config::serving(stream.paced(Pace::Unbounded)));
        let download = download(&server.url("clip"), &["-v"]);
        download.assert_ended(0, "unpublished");
        let (ours, source) = (download.clip(), Clip::sample());
        let ours: Vec<_> = ours
            .media()
            .filter(|tag| !tag.is_sequence_header())
            .collect();
        assert_eq!(ours[0].timestamp_ms, 0);
        let last = ours.iter().map(|tag| tag.timestamp_ms).max();
        let last = last.expect("the clip has media");
        let expected = source.last_timestamp_ms() - 1100;
        assert!(
            last.abs_diff(expected) < 50,
            "ends at {last}, not {expected} ms"
        );
    }
}

#[test]
#[cfg(unix)]
fn signal_finishes_the_file() {
    for (stream, options, code) in [
        (Stream::live_sample(), &["-v"][..], 0),
        (Stream::recorded_sample(), &[], 2),
    ] {
        let stream = stream.paced(Pace::Speed(1.0));
        let server = Server::start(Config::serving(stream));
        let mut running = crate::program::start(&server.url("clip"), options);
        // The head alone has 49,159 bytes.
        running.wait_for_bytes(53_000);
        running.process.signal("INT");
        let download = running.finish();
        download.assert_ended(code, "interrupted");
        assert!(download.finished.took < Duration::from_secs(2));
        assert_starts_like(&download.clip(), &Clip::sample(), 5);
    }
}

/// Downloads `clip` from a server with this configuration and compares the file with the source.
#[track_caller]
fn assert_complete_download(config: Config, options: &[&str]) -> Server {
    let server = Server::start(config);
    let download = download(&server.url("clip"), options);
    download.assert_ended(0, "ended");
    assert_same_media(&download.clip(), &Clip::sample());
    for client in server.clients() {
        assert_eq!(client.fault, None);
    }
    server
}

/// Downloads `stream` with a fault and checks that the file starts like the source.
#[track_caller]
fn assert_keeps_received(stream: Stream, at: FaultPoint, then: FaultAction, code: i32, word: &str) {
    let server = Server::start(Config::serving(stream).with_fault(at, then));
    let download = download(&server.url("clip"), &["-m", "1"]);
    download.assert_ended(code, word);
    assert_starts_like(&download.clip(), &Clip::sample(), 100);
}

/// Panics unless `ours` has the audio and video tags of `source`, starting at time 0.
#[track_caller]
pub fn assert_same_media(ours: &Clip, source: &Clip) {
    assert_starts_like(ours, source, source.media().count());
}

/// Panics unless `ours` has at least `at_least` tags and all of them equal the first tags of
/// `source`.
#[track_caller]
pub fn assert_starts_like(ours: &Clip, source: &Clip, at_least: usize) {
    let ours: Vec<_> = ours.media().collect();
    assert!(
        ours.len() >= at_least,
        "{} tags, not {at_least}",
        ours.len()
    );
    for (index, (ours, source)) in ours.iter().zip(source.media()).enumerate() {
        // An end-of-sequence tag takes the time of its neighbor.
        let time = |tag: &Tag| (!tag.is_end_of_sequence()).then_some(tag.timestamp_ms);
        let header = |tag: &Tag| (tag.kind, time(tag), tag.body.len());
        assert_eq!(header(ours), header(source), "tag {index}");
        assert!(ours.body == source.body, "tag {index} has other bytes");
    }
}
