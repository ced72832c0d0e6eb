use super::*;
use crate::server::{Config, Pace, Server, Stream, Tunnel, TunnelConfig, TunnelFault};

#[test]
fn non_tunnel_server_is_named_and_the_file_untouched() {
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>";
    let cases = [
        (NOT_FOUND, "the server does not speak RTMPT: 404 Not Found"),
        (
            "HTTP/1.1 405 Not Allowed\r\nContent-Length: 0\r\n\r\n",
            "the server does not speak RTMPT: 405 Not Allowed",
        ),
        (
            "HTTP/1.1 301 Moved\r\nLocation: https://h/\u{202e}x\r\n\r\n",
            "the server does not speak RTMPT: 301 Moved, to https://h/",
        ),
        (
            page,
            "the server does not speak RTMPT: it answers with a web page",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n<h>",
            "its response contains no session id",
        ),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab",
            "shorter than announced",
        ),
        (
            "SSH-2.0-OpenSSH_9.2\r\n",
            "the server answers in text (`SSH-2.0-OpenSSH_9.2`), not HTTP",
        ),
        (
            "HTTP/1.1400 Bad Request\r\n\r\n",
            "the server answers in text (`HTTP/1.1400 Bad Request`), not HTTP",
        ),
        ("\x03\0\0\0\0", "the server does not speak HTTP"),
    ];
    parallel::for_each(cases, |(answer, cause)| {
        let fault = (0, TunnelFault::Answer(answer));
        download_with_fault(fault, &[])
            .0
            .assert_ended(3, "no-connection", cause)
            .assert_unchanged();
    });
}

#[test]
fn unanswered_open_times_out() {
    let (ended, front) = download_with_fault((0, TunnelFault::Silence), &ONE_SECOND_TIMEOUT);
    let cause = format!(
        "cannot open a tunnel to 127.0.0.1:{}: no answer within the connect timeout of 1 s",
        front.port()
    );
    ended
        .assert_ended(3, "no-connection", &cause)
        .assert_within(ONE_SECOND_LIMIT)
        .assert_unchanged();
}

#[test]
fn swapped_rtmp_and_rtmpt_ports_are_no_connection() {
    let server = Server::start(Config::serving(recorded_at_2x()));
    let url = format!("rtmpt://127.0.0.1:{}/app/clip", server.port());
    let ended = Invocation::new(&url).options(ONE_SECOND_TIMEOUT).run();
    ended
        .assert_ended(3, "no-connection", "cannot open a tunnel to 127.0.0.1:")
        .assert_within(ONE_SECOND_LIMIT)
        .assert_unchanged();
    let front = Tunnel::start(server.port(), TunnelConfig::default());
    let url = format!("rtmp://127.0.0.1:{}/app/clip", front.port());
    let ended = Invocation::new(&url).options(ONE_SECOND_TIMEOUT).run();
    ended
        .assert_ended(3, "no-connection", "handshake")
        .assert_within(ONE_SECOND_LIMIT)
        .assert_unchanged();
}

#[test]
fn tunnel_fault_during_the_handshake_is_no_connection() {
    let cases = HTTP_ERRORS.into_iter().chain([
        (TunnelFault::BodyTooShort, "shorter than announced"),
        (TunnelFault::Silence, "does not answer the handshake"),
    ]);
    parallel::for_each(cases, |(fault, cause)| {
        let options = ["-m", "1", "--handshake", "plain"];
        let (ended, _front) = download_with_fault((1, fault), &options);
        ended
            .assert_ended(3, "no-connection", cause)
            .assert_within(ONE_SECOND_LIMIT)
            .assert_unchanged();
    });
}

/// Only a closed connection may mean that the server rejects the handshake.
#[test]
fn http_error_during_the_handshake_tries_no_other_handshake() {
    parallel::for_each(HTTP_ERRORS, |(fault, cause)| {
        let (ended, front) = download_with_fault((1, fault), &["-m", "1"]);
        ended
            .assert_ended(3, "no-connection", cause)
            .assert_unchanged();
        assert_eq!(front.requests().opens, 1, "{fault:?}");
    });
}

/// The head of the next answer is read as the missing bytes, until the remaining bytes are not
/// valid HTTP.
#[test]
fn short_answer_on_an_open_connection_is_detected() {
    let wrong_length = "does not have the announced length";
    parallel::for_each([1, 5, 12], |missing| {
        let fault = TunnelFault::BytesMissing(missing);
        let (ended, _front) = download_with_fault((1, fault), &["-m", "1"]);
        ended
            .assert_ended(3, "no-connection", "does not answer the handshake")
            .assert_within(ONE_SECOND_LIMIT)
            .assert_unchanged();
        let (ended, _front) = download_with_fault((20, fault), &["-m", "2"]);
        ended.assert_ended(2, "cut", wrong_length);
        let kept = ended.tags();
        assert!(!kept.is_empty() && kept.len() < sample_media().len());
        // The last tag may contain bytes of the next head.
        let intact = kept.len() - 1;
        assert!(
            kept[..intact] == sample_media()[..intact],
            "the received tags"
        );
    });
}

#[test]
fn tunnel_fault_keeps_the_received_media() {
    let errors = HTTP_ERRORS.map(|(fault, cause)| (fault, "cut", cause));
    let cases = errors.into_iter().chain([
        (TunnelFault::BodyTooShort, "cut", "shorter than announced"),
        (TunnelFault::Silence, "stalled", "no more media arrived"),
    ]);
    parallel::for_each(cases, |(fault, word, cause)| {
        let (ended, _front) = download_with_fault((20, fault), &["-m", "2"]);
        ended.assert_ended(2, word, cause);
        let kept = ended.tags();
        assert!(!kept.is_empty() && kept.len() < sample_media().len());
        assert!(
            kept == sample_media()[..kept.len()],
            "exactly the received tags"
        );
    });
}

#[test]
#[cfg(unix)]
fn signal_interrupts_every_tunnel_step() {
    // The handshake may end with the third or the fourth answer.
    let steps = [
        (0, &[3][..]),
        (1, &[3]),
        (2, &[1, 3]),
        (3, &[1, 3]),
        (4, &[1, 3]),
        (20, &[0]),
    ];
    parallel::for_each(steps, |(number, codes)| {
        let stream = Stream::live(Clip::sample());
        let server = Server::start(Config::serving(stream));
        let front = Tunnel::start(server.port(), faulty_config((number, TunnelFault::Silence)));
        let live = ["-v", "--overwrite"];
        let running = Invocation::new(&front.url("clip")).options(live).start();
        thread::sleep(Duration::from_millis(600));
        running.process.signal("INT");
        let ended = running.finish();
        let code = ended.finished.code().filter(|code| codes.contains(code));
        let code = code.unwrap_or_else(|| panic!("{number}: {}", ended.finished));
        ended
            .assert_ended(code, "interrupted", "stopped by the user")
            .assert_within(Duration::from_secs(2));
        drop(front);
    });
}

/// Downloads through a front with a fault.
fn download_with_fault(fault: (u64, TunnelFault), options: &[&str]) -> (Ended, Tunnel) {
    download_through_tunnel(faulty_config(fault), options)
}

fn download_through_tunnel(config: TunnelConfig, options: &[&str]) -> (Ended, Tunnel) {
    let server = Server::start(Config::serving(recorded_at_2x()));
    let front = Tunnel::start(server.port(), config);
    let invocation = Invocation::new(&front.url("clip")).options(options);
    (invocation.run(), front)
}

fn faulty_config(fault: (u64, TunnelFault)) -> TunnelConfig {
    TunnelConfig {
        fault: Some(fault),
        bytes_per_answer: 3_000,
        ..TunnelConfig::default()
    }
}

/// Slow enough that the fault occurs before the end.
fn recorded_at_2x() -> Stream {
    Stream::recorded(Clip::sample()).paced(Pace::Speed(2.0))
}

const NOT_FOUND: &str = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n";

/// Faults that end the session at once, and the named causes.
const HTTP_ERRORS: [(TunnelFault, &str); 3] = [
    (TunnelFault::ForgetSessions, "404 Not Found"),
    (
        TunnelFault::Answer("nonsense"),
        "does not have the announced length",
    ),
    (
        TunnelFault::BodyTooLong,
        "does not have the announced length",
    ),
];
