//! Proxy that cuts each connection after a given number of bytes.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{config::FaultAction, listener::Listener};

/// Port that relays to a server and cuts the connections after a number of server bytes.
#[derive(Debug)]
pub struct CutConnection {
    listener: Listener,
    relayed: Arc<Mutex<Vec<u64>>>,
}

impl CutConnection {
    /// Starts a relay to `port` on loopback.
    ///
    /// Connection N is cut after the bytes of `cuts[N]`; connections after the last entry are not
    /// cut.
    pub fn start(port: u16, cuts: Vec<(u64, FaultAction)>) -> Self {
        let relayed = Arc::new(Mutex::new(Vec::new()));
        let all = relayed.clone();
        let listener = Listener::start(move |number, client| {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(Arc::new) else {
                return;
            };
            // Without this option, a reset could discard bytes that wait for an acknowledgement.
            let _ = client.set_nodelay(true);
            let (from, to) = (client.clone(), server.clone());
            let upstream = thread::spawn(move || {
                copy_up_to(&from, &to, u64::MAX);
                let _already_closed = to.shutdown(Shutdown::Both);
            });
            let (bytes, then) = cuts
                .get(number)
                .copied()
                .unwrap_or((u64::MAX, FaultAction::Fin));
            let bytes = copy_up_to(&server, &client, bytes);
            let mut all = all.lock().expect("the lock is not poisoned");
            all.push(bytes);
            drop(all);
            let _already_closed = server.shutdown(Shutdown::Both);
            // Unread client bytes turn the close into a reset, which discards all bytes that the
            // system has not sent yet.
            wait_until_sent(&client);
            // SO_LINGER 0 makes the close send RST instead of FIN.
            let directions = if then == FaultAction::Rst {
                let _ = socket2::SockRef::from(&*client).set_linger(Some(Duration::ZERO));
                Shutdown::Read
            } else {
                Shutdown::Both
            };
            let _already_closed = client.shutdown(directions);
            upstream.join().expect("the relay thread does not panic");
        });
        Self {
            listener: listener.expect("a loopback port is free"),
            relayed,
        }
    }

    /// Returns the URL of stream `name` through the relay.
    pub fn url(&self, name: &str) -> String {
        self.listener.url("rtmp", name)
    }

    /// Returns the number of server bytes relayed by each finished connection. If connections
    /// follow one another, the order equals that of the server's connection numbers.
    pub fn relayed(&self) -> Vec<u64> {
        self.relayed
            .lock()
            .expect("the lock is not poisoned")
            .clone()
    }
}

/// Copies up to `bytes` bytes and returns the number of copied bytes.
fn copy_up_to(mut from: &TcpStream, mut to: &TcpStream, bytes: u64) -> u64 {
    let mut buffer = vec![0; 16 * 1024];
    let mut left = bytes;
    while left > 0 {
        let most = buffer
            .len()
            .min(usize::try_from(left).unwrap_or(usize::MAX));
        let Ok(count @ 1..) = from.read(&mut buffer[..most]) else {
            break;
        };
        if to.write_all(&buffer[..count]).is_err() {
            break;
        }
        left -= count as u64;
    }
    bytes - left
}

/// Waits until the peer has acknowledged everything that was written.
fn wait_until_sent(socket: &TcpStream) {
    let start = Instant::now();
    while start.elapsed() < ACK_TIMEOUT && unacknowledged(socket) != Some(0) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the number of unacknowledged bytes as listed by Linux in /proc/net/tcp
/// (proc_net_tcp(5)).
fn unacknowledged(socket: &TcpStream) -> Option<u64> {
    let local = format!(":{:04X}", socket.local_addr().ok()?.port());
    let remote = format!(":{:04X}", socket.peer_addr().ok()?.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let queues = table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_this = fields.next()?.ends_with(&local) && fields.next()?.ends_with(&remote);
        fields.nth(1).filter(|_| is_this)
    })?;
    let (to_be_sent, _) = queues.split_once(':')?;
    u64::from_str_radix(to_be_sent, 16).ok()
}

/// Upper bound for delayed acknowledgements.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
