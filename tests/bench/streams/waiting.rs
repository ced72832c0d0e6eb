//! Streams without media.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    thread,
    time::{Duration, Instant},
};

use super::{
    folder,
    program::{Processes, RTMPULL, recorder, start_time, write_streams},
    server_process::{Missing, ServerProcess},
};

/// Measures `count` streams that wait for `seconds`.
pub(crate) fn measure(count: u64, seconds: u64) {
    println!("{count} streams without media for {seconds} s\n");
    println!(
        "| streams | connected | CPU % of a core | PSS MiB | peak RSS MiB | KiB of peak per stream |"
    );
    println!("| --- | --- | --- | --- | --- | --- |");
    // In the first minute, rtmpull polls missing streams more often.
    let servers = [
        ("missing", Missing::NotFound, seconds * 3 / 2),
        ("silent", Missing::Silence, 0),
    ];
    for (name, missing, settling) in servers {
        let server = ServerProcess::start(seconds, missing);
        let settling = Duration::from_secs(settling);
        print_row(name, server.port(), count, (settling, seconds));
    }
    let dead =
        TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|listener| listener.local_addr());
    let port = dead.expect("a free port").port();
    print_row("of a dead server", port, count, (Duration::ZERO, seconds));
    println!();
}

/// Prints the cost of `count` streams of the server at a port, from `settling` after their start on.
fn print_row(name: &str, port: u16, count: u64, (settling, seconds): (Duration, u64)) {
    let folder = folder();
    let url = format!("url = \"rtmp://127.0.0.1:{port}/app/{{name}}\"");
    let defaults = format!("{url}\nlive = true\nwait = true\nretry = \"forever\"");
    let streams = write_streams(folder.path(), &defaults, count, "");
    let mut processes = Processes::of(&mut recorder(RTMPULL.as_ref(), &streams));
    thread::sleep(2 * start_time(count) + settling);
    let (start, before) = (Instant::now(), processes.cpu_seconds());
    thread::sleep(Duration::from_secs(seconds));
    let cpu = 100.0 * (processes.cpu_seconds() - before) / start.elapsed().as_secs_f64();
    let (memory, peak) = (processes.memory_mib(), processes.peak_mib());
    assert!(processes.all_run(), "rtmpull has ended");
    println!(
        "| {name} | {} | {cpu:.2} | {memory:.1} | {peak:.1} | {:.1} |",
        connections_to(port),
        peak * 1024.0 / count as f64
    );
}

/// Returns the number of established TCP connections to a port.
fn connections_to(port: u16) -> usize {
    let table = fs::read_to_string("/proc/net/tcp").expect("Linux provides /proc");
    // The third column is the remote address, and the fourth one the state: 01 is ESTABLISHED.
    let peer = format!(":{port:04X} 01 ");
    table.lines().filter(|line| line.contains(&peer)).count()
}
