//! Probes of hostile servers: each one ends in time, prints a result, and prints nothing that a terminal interprets.

use super::*;
use crate::{
    process::Process,
    program,
    server::{
        AfterAnswer, CannedPeer, Config, EndSignal, FaultAction, FaultPoint, Handshake, OnConnect,
        OnMissing, Server, Step, Stream,
    },
};

/// Probes `url` as text and as JSON.
fn assert_probe_ends(url: &str) {
    for option in ["--json", "--nagios", "-v"] {
        let mut command = program::command();
        command.args(["--probe", url, "--probe-time", "1s", "-m", "1", option]);
        let finished = Process::start(&mut command).finish(Duration::from_secs(20));
        assert!(matches!(finished.code(), Some(0..=3)), "{finished}");
        assert!(finished.took < Duration::from_secs(10), "{finished}");
        assert!(!finished.stdout.is_empty(), "{finished}");
        let text = String::from_utf8(finished.stdout).expect("UTF-8");
        let is_control = |c: char| c.is_control() && c != '\n';
        assert!(!text.contains(is_control), "{text:?}");
    }
}

#[test]
fn probes_of_servers_without_rtmp_end() {
    let answers: [&[u8]; 9] = [
        b"",
        b"\x03",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"SSH-2.0-OpenSSH\r\n",
        &[3; 4000],
        &[0; 4000],
        &[0xFF; 100_000],
        &[0x15, 3, 1, 0, 2, 2, 10],
        b"\x1b[2J\x1b]0;title\x07",
    ];
    parallel::for_each(answers, |answer| {
        for after in [AfterAnswer::Open, AfterAnswer::Closed] {
            let peer = CannedPeer::start(answer, after);
            assert_probe_ends(&format!("rtmp://127.0.0.1:{}/app/clip", peer.port()));
        }
    });
}

#[test]
fn probes_of_failing_sessions_end() {
    let sample = || Config::serving(Stream::live_sample());
    let steps = [
        Step::Handshake,
        Step::Connect,
        Step::CreateStream,
        Step::Play,
        Step::Media,
    ];
    let actions = [FaultAction::Silence, FaultAction::Rst];
    let faults = steps
        .into_iter()
        .flat_map(|step| actions.map(|action| sample().with_fault(FaultPoint::Step(step), action)));
    let others = [
        sample().with_fault(FaultPoint::Byte(20_001), FaultAction::Silence),
        sample().with_fault(
            FaultPoint::Boundary(5000),
            FaultAction::PingsOnly(Duration::from_millis(50)),
        ),
        Config::serving(Stream::live_sample().ending(&[EndSignal::UnpublishNotify])),
        Config {
            handshake: Handshake::ClosesOnDigest,
            ..sample()
        },
        Config {
            connect: OnConnect::RedirectToItself,
            ..sample()
        },
        Config {
            connect: OnConnect::Reject {
                code: "\x1b[31m|'x'=1;;;;\n",
                description: "\u{202e}\u{9b}31m",
            },
            ..sample()
        },
        Config {
            missing: OnMissing::StartThenFin,
            ..Config::default()
        },
    ];
    parallel::for_each(faults.chain(others), |config| {
        let server = Server::start(config);
        assert_probe_ends(&server.url("clip"));
    });
}
