use std::fs::File;

use super::*;
use crate::server::{Config, FaultAction, FaultPoint, Pace, Server, Step, Stream};

#[test]
fn signal_interrupts_every_session_step() {
    let steps = [
        (Step::Handshake, "INT", 3),
        (Step::Connect, "TERM", 1),
        (Step::CreateStream, "HUP", 1),
        (Step::Media, "INT", 1),
    ];
    parallel::for_each(steps, |(step, signal, code)| {
        let fault = FaultPoint::Step(step);
        let server = Server::start(
            Config::serving(live_in_real_time()).with_fault(fault, FaultAction::Silence),
        );
        let running = Invocation::new(&server.url("clip")).options(LIVE).start();
        thread::sleep(STEP_DELAY);
        running
            .interrupt(signal)
            .assert_ended(code, "interrupted", "stopped by the user")
            .assert_unchanged();
    });
}

#[test]
#[cfg(target_os = "linux")]
fn signal_interrupts_connecting() {
    use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};

    // Nothing is accepted, and two connections fill the backlog: the next one is not answered.
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
    socket2::SockRef::from(&listener)
        .listen(0)
        .expect("the backlog can be shortened");
    let address: SocketAddr = listener.local_addr().expect("an address");
    let queue = [(); 2].map(|()| TcpStream::connect_timeout(&address, STEP_DELAY));
    let url = format!("rtmp://{address}/app/clip");
    let running = Invocation::new(&url).options(LIVE).start();
    thread::sleep(STEP_DELAY);
    running
        .interrupt("INT")
        .assert_ended(3, "interrupted", "stopped by the user")
        .assert_unchanged();
    let ended = Invocation::new(&url).options(ONE_SECOND_TIMEOUT).run();
    let cause = format!("cannot connect to {address}: no answer within the connect timeout of 1 s");
    ended
        .assert_ended(3, "no-connection", &cause)
        .assert_within(ONE_SECOND_LIMIT);
    drop(queue);
}

#[test]
fn signal_finishes_the_file() {
    let cases = [
        (live_in_real_time(), &LIVE[..], "INT", 0),
        (live_in_real_time(), &LIVE, "TERM", 0),
        (live_in_real_time(), &LIVE, "HUP", 0),
        (live_in_real_time(), &LIVE, "QUIT", 0),
        (recorded_in_real_time(), &[], "INT", 2),
        (recorded_in_real_time(), &[], "TERM", 2),
    ];
    parallel::for_each(cases, |(stream, options, signal, code)| {
        let server = Server::start(Config::serving(stream));
        let running = Invocation::new(&server.url("clip"))
            .options(options)
            .start();
        running.wait_for(5_000);
        thread::sleep(STEP_DELAY);
        let ended = running.interrupt(signal);
        ended.assert_ended(code, "interrupted", "stopped by the user");
        let tags = ended.tags();
        assert!(
            tags == sample_media()[..tags.len()],
            "exactly the received tags"
        );
        let last_ms = tags.iter().map(|tag| tag.timestamp_ms).max();
        let duration = ended.metadata().get("duration").and_then(Value::as_number);
        let duration_ms = duration.map(|seconds| (seconds * 1000.0) as u32);
        let excess_ms = duration_ms.unwrap_or(0).checked_sub(last_ms.unwrap_or(0));
        assert!(
            excess_ms.is_some_and(|excess_ms| excess_ms < 100),
            "{duration_ms:?} for {last_ms:?}"
        );
    });
}

#[test]
fn second_signal_exits_at_once() {
    // The FIFO has no reader, so finishing takes time.
    let server = Server::start(Config::serving(live_in_real_time()));
    let running = into_fifo(Invocation::new(&server.url("clip")).options(["-v"])).start();
    thread::sleep(STEP_DELAY);
    running.process.signal("INT");
    thread::sleep(Duration::from_millis(100));
    running.process.signal("INT");
    let ended = running.finish();
    assert_eq!(ended.finished.code(), Some(2), "{}", ended.finished);
    ended.assert_safe_output();
}

#[test]
fn missing_and_blocked_readers_do_not_delay_a_signal() {
    let server = Server::start(Config::serving(live_in_real_time()));
    for has_reader in [false, true] {
        let running = into_fifo(Invocation::new(&server.url("clip")).options(["-v"])).start();
        let fifo = running.output.clone();
        let reader = has_reader.then(|| File::open(fifo).expect("the FIFO exists"));
        thread::sleep(STEP_DELAY);
        running
            .interrupt("INT")
            .assert_ended(0, "interrupted", "stopped by the user");
        drop(reader);
    }
}

#[test]
fn kill_loses_at_most_the_write_interval() {
    parallel::for_each([0, 70, 150, 210], |more_ms| {
        let server = Server::start(Config::serving(live_in_real_time()));
        let mut running = Invocation::new(&server.url("clip")).start();
        running.wait_for(0);
        let written_ms = last_ms(&running.output);
        thread::sleep(Duration::from_millis(PLAYED_MS + more_ms));
        assert!(running.process.is_running());
        let killed = running.process.kill();
        assert_eq!(killed.code(), None);
        let more_ms = last_ms(&running.output) - written_ms;
        assert!(u64::from(more_ms) + 900 > PLAYED_MS, "{more_ms} ms more");
    });
}

impl Running {
    /// Waits until the file has `bytes` after the head.
    #[track_caller]
    fn wait_for(&self, bytes: u64) {
        let has_bytes = || {
            let file = fs::metadata(&self.output);
            file.is_ok_and(|file| file.len() > HEAD_LEN + bytes)
        };
        for _ in 0..LIMIT.as_millis() / 10 {
            if has_bytes() {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the file did not reach {bytes} bytes");
    }

    /// Sends `signal`. Panics unless the program ends within two seconds; it needs less than one on
    /// an idle machine.
    #[track_caller]
    fn interrupt(self, signal: &str) -> Ended {
        self.process.signal(signal);
        let ended = self.finish();
        ended.assert_within(Duration::from_secs(2));
        ended
    }
}

/// Returns the timestamp of the last complete tag. Panics unless the tags are those of the sample.
#[track_caller]
fn last_ms(output: &Path) -> u32 {
    let file = fs::read(output).expect("the stream plays");
    let mut tags = Clip::parse(Clip::complete_part(&file)).tags;
    assert_eq!(tags.remove(0).kind, Tag::SCRIPT);
    assert!(
        tags == sample_media()[..tags.len()],
        "exactly the received tags"
    );
    tags.last().map_or(0, |tag| tag.timestamp_ms)
}

fn live_in_real_time() -> Stream {
    Stream::live(Clip::sample())
}

fn recorded_in_real_time() -> Stream {
    Stream::recorded(Clip::sample()).paced(Pace::Speed(1.0))
}

/// Records live and replaces the existing file.
const LIVE: [&str; 2] = ["-v", "--overwrite"];

/// Delay after which the program waits in the tested step.
const STEP_DELAY: Duration = Duration::from_millis(400);

/// Playing time before the kill, in milliseconds, longer than tags wait in the write queue.
const PLAYED_MS: u64 = 1_200;

/// Length of the head. A shorter file is still being created.
const HEAD_LEN: u64 = rtmpull::core::flv::head::LENGTH as u64;
