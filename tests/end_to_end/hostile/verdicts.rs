//! Probes of hostile servers: each one ends within its limits of time and memory, with one verdict.

use std::time::Instant;

use rtmpull::core::amf::Value;

use super::*;
use crate::server::{
    AfterAnswer, CannedPeer, Config, FaultAction, OnConnect, Server, object, status,
};

type Script = fn(&mut Connection) -> Result<(), Disconnected>;

/// Exit code and start of the verdict.
type Verdict = (i32, &'static str);

const PLAYS: Verdict = (0, "plays");
const REFUSED: Verdict = (1, "refused");
const STOPPED: Verdict = (2, "media stopped (");
const NO_CONNECTION: Verdict = (3, "no connection: ");

#[test]
fn a_probe_of_a_server_without_media_ends_in_time() {
    let cases: [(&str, Script, Verdict); 15] = [
        ("silence", |_| Ok(()), NO_CONNECTION),
        (
            "one byte of the handshake per second",
            |peer| {
                (0..60).try_for_each(|_| {
                    peer.send(&[3])?;
                    thread::sleep(Duration::from_secs(1));
                    Ok(())
                })
            },
            NO_CONNECTION,
        ),
        (
            "endless text",
            |peer| {
                loop {
                    peer.send(&[b'x'; 65_536])?;
                }
            },
            NO_CONNECTION,
        ),
        (
            "garbage in place of a handshake",
            |peer| peer.send(&garbage(4_000)),
            NO_CONNECTION,
        ),
        (
            "garbage after the handshake",
            |peer| {
                peer.accept_plain_handshake();
                loop {
                    peer.send(&garbage(65_536))?;
                }
            },
            REFUSED,
        ),
        (
            "silence after the handshake",
            |peer| {
                peer.accept_plain_handshake();
                Ok(())
            },
            REFUSED,
        ),
        (
            "silence after connect",
            |peer| {
                peer.accept_plain_handshake();
                let connect = peer.expect_command("connect");
                peer.accept_connect(&connect)
            },
            REFUSED,
        ),
        (
            "silence after play",
            |peer| {
                peer.accept_play();
                Ok(())
            },
            REFUSED,
        ),
        (
            "silence after Play.Start",
            |peer| {
                peer.start_playing();
                Ok(())
            },
            REFUSED,
        ),
        (
            "an unfinished message of 16 MiB in one chunk",
            |peer| {
                peer.start_playing();
                peer.queue_chunk_size(0x00FF_FFFF)?;
                peer.send(&[6, 0, 0, 0, 0xFF, 0xFF, 0xFF, 9, 1, 0, 0, 0, 1, 2, 3])
            },
            REFUSED,
        ),
        (
            "4,000 unfinished messages of 16 MiB",
            |peer| {
                peer.start_playing();
                peer.queue_chunk_size(1)?;
                let chunks = (0..4_000_u16).map(|stream| {
                    let [low, high] = stream.to_le_bytes();
                    [1, low, high, 0, 0, 0, 0xFF, 0xFF, 0xFF, 8, 1, 0, 0, 0, 1]
                });
                peer.send(&chunks.collect::<Vec<_>>().concat())
            },
            REFUSED,
        ),
        (
            "empty frames at full speed",
            |peer| {
                peer.start_playing();
                loop {
                    peer.queue(6, Kind::AUDIO, 1, 0, &[])?;
                    peer.queue(7, Kind::VIDEO, 1, 0, &[])?;
                }
            },
            REFUSED,
        ),
        (
            "statuses at full speed",
            |peer| {
                peer.start_playing();
                for number in 0.. {
                    let code = format!("NetStream.Play.{number}");
                    let info = status("warning", &code, "again");
                    peer.queue_command(1, "onStatus", 0.0, &[Value::Null, info.into()])?;
                }
                Ok(())
            },
            REFUSED,
        ),
        (
            "metadata at full speed",
            |peer| {
                peer.start_playing();
                let members: Object = (0..2_000)
                    .map(|number| (format!("field {number}"), f64::from(number)))
                    .collect();
                loop {
                    send_metadata(peer, members.clone())?;
                }
            },
            REFUSED,
        ),
        (
            "pings",
            |peer| {
                peer.start_playing();
                peer.fail(FaultAction::PingsOnly(Duration::from_millis(10)))
            },
            REFUSED,
        ),
    ];
    parallel::for_each(cases, |(name, script, verdict)| {
        assert_script_is_probed(name, script, verdict);
    });
}

#[test]
fn a_probe_of_a_server_with_hostile_media_ends_in_time() {
    let cases: [(&str, Script, Verdict); 12] = [
        (
            "silence after media",
            |peer| send_tags(peer, &sample_media()[..10]),
            STOPPED,
        ),
        (
            "a close in the middle of a message",
            |peer| {
                send_tags(peer, &sample_media()[..10])?;
                peer.send(&[6, 0, 0, 0, 0, 1, 0, 8, 1, 0, 0, 0, 0xAF])?;
                peer.fail(FaultAction::Fin)
            },
            STOPPED,
        ),
        (
            "a reset",
            |peer| {
                send_tags(peer, &sample_media()[..10])?;
                peer.fail(FaultAction::Rst)
            },
            STOPPED,
        ),
        (
            "nested values",
            |peer| {
                for level in [&b"\x03\0\x01a"[..], b"\x0a\0\0\0\x01", b"\x11\x09\x03\x01"] {
                    send_raw_metadata(peer, &level.repeat(200_000))?;
                }
                play_on(peer, |_| {})
            },
            PLAYS,
        ),
        (
            "false lengths of values",
            |peer| {
                for value in [
                    &b"\x0a\xff\xff\xff\xff"[..],
                    b"\x0c\xff\xff\xff\xffx",
                    b"\x02\xff\xff",
                ] {
                    send_raw_metadata(peer, value)?;
                }
                play_on(peer, |_| {})
            },
            PLAYS,
        ),
        (
            "impossible numbers in metadata",
            |peer| {
                for number in [
                    f64::NAN,
                    f64::INFINITY,
                    f64::NEG_INFINITY,
                    -1.0,
                    1e300,
                    5e-324,
                ] {
                    let names = [
                        "duration",
                        "width",
                        "height",
                        "framerate",
                        "videodatarate",
                        "audiodatarate",
                        "audiosamplerate",
                        "videocodecid",
                        "audiocodecid",
                    ];
                    let members = names.map(|name| (name, Value::Number(number)));
                    send_metadata(peer, object(members))?;
                }
                play_on(peer, |_| {})
            },
            PLAYS,
        ),
        (
            "terminal escapes",
            |peer| {
                let escapes = "\u{1b}]0;owned\u{7}\u{1b}[2J\u{9b}31m\u{202e}\r\n";
                let info = status("warning", escapes, escapes);
                peer.queue_command(1, "onStatus", 0.0, &[Value::Null, info.into()])?;
                peer.queue_command(0, escapes, 0.0, &[Value::Null, escapes.into()])?;
                let members = [
                    ("title", escapes.into()),
                    ("encoder", escapes.into()),
                    (escapes, 1.0.into()),
                ];
                send_metadata(peer, object(members))?;
                play_on(peer, |_| {})
            },
            PLAYS,
        ),
        (
            "leaping timestamps",
            |peer| {
                let mut seed = 1_u32;
                play_on(peer, move |tag| {
                    seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                    tag.timestamp_ms = seed;
                })
            },
            PLAYS,
        ),
        (
            "undecodable frames",
            |peer| {
                let mut first = 0_u8;
                play_on(peer, move |tag| {
                    first = first.wrapping_add(7);
                    tag.body = vec![first; usize::from(first)];
                })
            },
            PLAYS,
        ),
        (
            "false sequence headers",
            |peer| {
                for length in 0..64 {
                    let header = [&[0x17, 0, 0, 0, 0, 1][..], &vec![0xFF; length]].concat();
                    peer.queue(7, Kind::VIDEO, 1, 0, &header)?;
                    let hevc = [&b"\x90hvc1\x01"[..], &vec![0xFF; length]].concat();
                    peer.queue(7, Kind::VIDEO, 1, 0, &hevc)?;
                    let aac = [&[0xAF, 0][..], &vec![0xFF; length]].concat();
                    peer.queue(6, Kind::AUDIO, 1, 0, &aac)?;
                }
                play_on(peer, |_| {})
            },
            PLAYS,
        ),
        (
            "a million tracks in one message",
            |peer| {
                peer.queue_chunk_size(0x00FF_FFFF)?;
                // Multitrack video (E-RTMP): many tracks of one codec, each without data.
                let tracks = (0..1_000_000_u32).map(|number| [number as u8, 0, 0, 0]);
                let tracks = tracks.collect::<Vec<_>>().concat();
                let message = [&b"\x96\x11avc1"[..], &tracks].concat();
                peer.queue(7, Kind::VIDEO, 1, 0, &message)?;
                play_on(peer, |_| {})
            },
            PLAYS,
        ),
        (
            "keyframes of 16 MiB",
            |peer| {
                peer.queue_chunk_size(0x00FF_FFFF)?;
                let mut keyframe = vec![0x65; 0x00FF_FFFE];
                keyframe[..5].copy_from_slice(&[0x17, 1, 0, 0, 0]);
                for number in 0.. {
                    peer.queue(7, Kind::VIDEO, 1, number * 40, &keyframe)?;
                }
                Ok(())
            },
            PLAYS,
        ),
    ];
    parallel::for_each(cases, |(name, script, verdict)| {
        let peer = ScriptedPeer::start(move |peer, _| {
            peer.start_playing();
            let _ = script(peer).and_then(|()| peer.wait_for_close::<()>());
        });
        assert_probed(name, &peer.url("clip"), verdict);
    });
}

#[test]
fn a_probe_of_a_hostile_transport_ends_in_time() {
    // A TLS record with a ServerHello of random bytes.
    let record = [&[0x16, 3, 3, 0, 100, 2, 0, 0, 96][..], &garbage(96)].concat();
    let tls = CannedPeer::start(&record, AfterAnswer::Open);
    let tls_url = format!("rtmps://127.0.0.1:{}/app/clip", tls.port());
    let tunnel = CannedPeer::start(b"", AfterAnswer::Open);
    let tunnel_url = format!("rtmpt://127.0.0.1:{}/app/clip", tunnel.port());
    let circle = Server::start(Config {
        connect: OnConnect::RedirectToItself,
        ..Config::default()
    });
    let cases = [
        ("a garbage certificate", tls_url, NO_CONNECTION),
        ("a silent tunnel", tunnel_url, NO_CONNECTION),
        ("redirects in a circle", circle.url("clip"), REFUSED),
    ];
    parallel::for_each(cases, |(name, url, verdict)| {
        assert_probed(name, &url, verdict)
    });
}

/// Plays the sample at its own pace again and again, with the change `mangle` of each tag.
fn play_on(peer: &mut Connection, mut mangle: impl FnMut(&mut Tag)) -> Result<(), Disconnected> {
    let (media, began) = (sample_media(), Instant::now());
    let length_ms = media.last().map_or(0, |tag| tag.timestamp_ms) + 40;
    for round in 0.. {
        for tag in &media {
            let mut tag = tag.clone();
            tag.timestamp_ms += round * length_ms;
            let at = Duration::from_millis(tag.timestamp_ms.into());
            thread::sleep(at.saturating_sub(began.elapsed()));
            mangle(&mut tag);
            send_tags(peer, &[tag])?;
        }
    }
    Ok(())
}

/// Sends `onMetaData` with this encoded value.
fn send_raw_metadata(peer: &mut Connection, value: &[u8]) -> Result<(), Disconnected> {
    let payload = [&b"\x02\0\x0aonMetaData"[..], value].concat();
    peer.queue(4, Kind::DATA, 1, 0, &payload)?;
    peer.flush()
}

/// Returns pseudo-random bytes.
fn garbage(count: usize) -> Vec<u8> {
    let states = std::iter::successors(Some(7_u32), |state| {
        Some(state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223))
    });
    states
        .take(count)
        .map(|state| (state >> 24) as u8)
        .collect()
}

#[track_caller]
fn assert_script_is_probed(name: &str, script: Script, verdict: Verdict) {
    let peer = ScriptedPeer::start(move |peer, _| {
        let _ = script(peer).and_then(|()| peer.wait_for_close::<()>());
    });
    assert_probed(name, &peer.url("clip"), verdict);
}

/// Panics unless probes of `url` end in time and within their memory, with this verdict as text and as JSON.
#[track_caller]
fn assert_probed(name: &str, url: &str, (code, words): Verdict) {
    let text = probed(name, url, &[]);
    assert_eq!(text.code(), Some(code), "{name}: {text}");
    let stdout = String::from_utf8_lossy(&text.stdout);
    let verdicts = stdout
        .lines()
        .filter_map(|line| line.strip_prefix("verdict: "));
    let verdicts: Vec<_> = verdicts.collect();
    assert!(
        verdicts.len() == 1 && verdicts[0].starts_with(words),
        "{name}: {stdout}"
    );
    let json = probed(name, url, &["--json", "--probe-time", "0"]);
    let document: serde_json::Value = serde_json::from_slice(&json.stdout)
        .unwrap_or_else(|error| panic!("{name}: {error}: {json}"));
    let exit_code = document["verdict"]["exit_code"].as_i64();
    assert_eq!(exit_code, json.code().map(i64::from), "{name}: {document}");
    // A probe that ends as soon as everything is known may end before the media stops.
    let is_early = code == 2 && json.code() == Some(0);
    assert!(json.code() == Some(code) || is_early, "{name}: {document}");
}

#[track_caller]
fn probed(name: &str, url: &str, options: &[&str]) -> Finished {
    let mut command = crate::program::command();
    command.args(["--probe", url, "--probe-time", "2", "-m", "1"]);
    let mut process = Process::start(command.args(options));
    let (began, mut memory) = (Instant::now(), 0);
    while process.is_running() && began.elapsed() < PROBE_LIMIT {
        memory = peak_memory(&process).max(memory);
        thread::sleep(Duration::from_millis(20));
    }
    let finished = process.finish(Duration::from_millis(100));
    assert!(memory < MEMORY_LIMIT, "{name}: {memory} bytes of memory");
    for output in [
        &String::from_utf8_lossy(&finished.stdout),
        &*finished.stderr,
    ] {
        let is_raw =
            |c: char| c.is_control() && c != '\n' || ('\u{202a}'..='\u{202e}').contains(&c);
        assert!(!output.contains(is_raw), "{name}: {output:?}");
        assert!(output.len() < 1 << 20, "{name}: {} bytes", output.len());
    }
    assert!(!finished.stderr.contains("panicked"), "{name}: {finished}");
    finished
}

/// Returns the peak memory of the process so far in bytes; 0 on systems without /proc.
#[cfg(target_os = "linux")]
fn peak_memory(process: &Process) -> u64 {
    process.peak_memory()
}

#[cfg(not(target_os = "linux"))]
fn peak_memory(_: &Process) -> u64 {
    0
}

/// Time of a probe with a media time of 2 s and timeouts of one second, with all the steps that may use them, on a
/// busy machine.
const PROBE_LIMIT: Duration = Duration::from_secs(15);

/// Memory of a debug build that holds several messages of the largest size.
const MEMORY_LIMIT: u64 = 160 << 20;
