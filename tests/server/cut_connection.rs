//! A line that breaks: a proxy that cuts each connection after so many bytes.

use std::{
    fs,
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpStream},
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use super::{config::FaultAction, listener::Listener};

/// A port that leads to a server, over connections that end after so many bytes of the server's.
#[derive(Debug)]
pub struct CutConnection {
    listener: Listener,
    carried: Arc<Mutex<Vec<u64>>>,
}

impl CutConnection {
    /// Starts a line to `port` on loopback. The first connection ends after the first number of `cuts`,
    /// and so on; those behind the last one go on.
    pub fn start(port: u16, cuts: Vec<(u64, FaultAction)>) -> Self {
        let carried = Arc::new(Mutex::new(Vec::new()));
        let all = carried.clone();
        let listener = Listener::start(move |number, client| {
            let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).map(Arc::new) else {
                return;
            };
            // What waits to be sent would be lost in a reset.
            let _ = client.set_nodelay(true);
            let (from, to) = (client.clone(), server.clone());
            let there = thread::spawn(move || {
                copy_up_to(&from, &to, u64::MAX);
                let _already_closed = to.shutdown(Shutdown::Both);
            });
            let (bytes, then) = cuts
                .get(number)
                .copied()
                .unwrap_or((u64::MAX, FaultAction::Fin));
            let bytes = copy_up_to(&server, &client, bytes);
            let mut all = all.lock().expect("nobody panics with it");
            all.push(bytes);
            drop(all);
            let _already_closed = server.shutdown(Shutdown::Both);
            // A reset, for which it is enough that something was not read here, takes with it what the
            // system has not sent yet.
            wait_until_sent(&client);
            // With a reset there is no FIN, but a close that does not linger.
            let ways = if then == FaultAction::Rst {
                let _ = socket2::SockRef::from(&*client).set_linger(Some(Duration::ZERO));
                Shutdown::Read
            } else {
                Shutdown::Both
            };
            let _already_closed = client.shutdown(ways);
            there.join().expect("carrying bytes does not panic");
        });
        Self {
            listener: listener.expect("loopback has a free port"),
            carried,
        }
    }

    /// The port of the near end.
    pub fn port(&self) -> u16 {
        self.listener.port()
    }

    /// How many bytes of the server's came through, connection by connection that is over. Whoever
    /// makes one after the other finds them in that order, here and at the server.
    pub fn carried(&self) -> Vec<u64> {
        self.carried.lock().expect("nobody panics with it").clone()
    }
}

/// Carries so many bytes, or all there are; how many there were.
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

/// Waits until the other end has acknowledged all that was written.
fn wait_until_sent(socket: &TcpStream) {
    let began = Instant::now();
    while began.elapsed() < ACK_TIMEOUT && unacknowledged(socket) != Some(0) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// How many bytes there are that the other end has not acknowledged, as Linux tells (proc_net_tcp(5)).
fn unacknowledged(socket: &TcpStream) -> Option<u64> {
    let client = format!(":{:04X}", socket.local_addr().ok()?.port());
    let server = format!(":{:04X}", socket.peer_addr().ok()?.port());
    let table = fs::read_to_string("/proc/net/tcp").ok()?;
    let queues = table.lines().find_map(|line| {
        let mut fields = line.split_whitespace().skip(1);
        let is_this = fields.next()?.ends_with(&client) && fields.next()?.ends_with(&server);
        fields.nth(1).filter(|_| is_this)
    })?;
    let (to_be_sent, _) = queues.split_once(':')?;
    u64::from_str_radix(to_be_sent, 16).ok()
}

/// Longer than acknowledgements are delayed.
const ACK_TIMEOUT: Duration = Duration::from_secs(1);
