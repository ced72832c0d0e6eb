//! A long line: a proxy that holds back what goes over it, in each direction.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use super::listener::Listener;

/// A port behind which a server is far away. Connecting to it is quick all the same: round trips
/// count from the first byte on.
#[derive(Debug)]
pub struct DelayedConnection {
    listener: Listener,
}

impl DelayedConnection {
    /// Starts a line to `port` on loopback that takes `one_way` in each direction.
    pub fn start(port: u16, one_way: Duration) -> Self {
        let listener = Listener::start(move |_, client| {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(Arc::new) else {
                return;
            };
            let there = copy_delayed(client.clone(), server.clone(), one_way);
            let back = copy_delayed(server, client, one_way);
            for thread in there.into_iter().chain(back) {
                thread.join().expect("carrying bytes does not panic");
            }
        });
        Self {
            listener: listener.expect("loopback has a free port"),
        }
    }

    /// The port of the near end.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }
}

/// A thread that stamps what comes, and one that lets it go when its time has come.
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

/// Reads under way at a time.
const QUEUE_LEN: usize = 256;
