//! Proxy that delays the bytes of both directions, to imitate a distant server.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::listener::Listener;

/// Port that relays to a server with a delay in each direction. Connecting is not delayed, so the
/// round trip time applies from the first byte on.
#[derive(Debug)]
pub struct DelayedConnection {
    listener: Listener,
}

impl DelayedConnection {
    /// Starts a relay to `port` on loopback that delays each direction by `one_way`.
    pub fn start(port: u16, one_way: Duration) -> Self {
        let listener = Listener::start(move |_, client| {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(Arc::new) else {
                return;
            };
            let there = copy_delayed(client.clone(), server.clone(), one_way);
            let back = copy_delayed(server, client, one_way);
            for thread in there.into_iter().chain(back) {
                thread.join().expect("the relay thread does not panic");
            }
        });
        Self {
            listener: listener.expect("a loopback port is free"),
        }
    }

    /// Returns the port that clients connect to.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }
}

/// Starts one thread that stamps the read bytes with their due time and one that writes them when
/// they are due.
fn copy_delayed(
    from: Arc<TcpStream>,
    to: Arc<TcpStream>,
    one_way: Duration,
) -> [thread::JoinHandle<()>; 2] {
    let (stamped, due) = mpsc::sync_channel::<(Instant, Vec<u8>)>(QUEUE_LEN);
    let reader = thread::spawn(move || {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = (&*from).read(&mut buffer) {
            let item = (Instant::now() + one_way, buffer[..count].to_vec());
            if stamped.send(item).is_err() {
                return;
            }
        }
    });
    let writer = thread::spawn(move || {
        for (at, bytes) in due {
            thread::sleep(at.saturating_duration_since(Instant::now()));
            if (&*to).write_all(&bytes).is_err() {
                break;
            }
        }
        let _already_closed = to.shutdown(Shutdown::Both);
    });
    [reader, writer]
}

/// Largest number of reads in flight in one direction.
const QUEUE_LEN: usize = 256;
