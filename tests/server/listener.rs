//! Accepts clients on loopback, one thread per client; dropping the listener ends all of them.

use std::{
    io,
    net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream},
    panic,
    sync::{
        Arc, Mutex, Weak,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

/// Loopback port that accepts clients until it is dropped.
#[derive(Debug)]
pub struct Listener {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepting: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    is_over: AtomicBool,
    clients: Mutex<Vec<(Weak<TcpStream>, JoinHandle<()>)>>,
}

impl Listener {
    /// Listens on a free loopback port and calls `serve` in a new thread for each client.
    ///
    /// `serve` receives the number of the client, starting at 0.
    pub fn start(
        serve: impl Fn(usize, Arc<TcpStream>) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let accepting = thread::spawn({
            let shared = shared.clone();
            let serve = Arc::new(serve);
            move || accept(&listener, &shared, &serve)
        });
        Ok(Self {
            address,
            shared,
            accepting: Some(accepting),
        })
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    /// Returns the URL of stream `name` on this port.
    pub fn url(&self, scheme: &str, name: &str) -> String {
        format!("{scheme}://127.0.0.1:{}/app/{name}", self.port())
    }
}

impl Drop for Listener {
    /// Disconnects all clients and joins their threads. A panic in a client thread fails the test.
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
        let mut threads = Vec::new();
        if let Some(accepting) = self.accepting.take() {
            let _ = accepting.join();
        }
        for (socket, thread) in self
            .shared
            .clients
            .lock()
            .expect("the lock is not poisoned")
            .drain(..)
        {
            if let Some(socket) = socket.upgrade() {
                let _ = socket.shutdown(Shutdown::Both);
            }
            threads.push(thread);
        }
        for thread in threads {
            if let Err(cause) = thread.join()
                && !thread::panicking()
            {
                panic::resume_unwind(cause);
            }
        }
    }
}

fn accept<F: Fn(usize, Arc<TcpStream>) + Send + Sync + 'static>(
    listener: &TcpListener,
    shared: &Shared,
    serve: &Arc<F>,
) {
    for (number, socket) in listener.incoming().enumerate() {
        if shared.is_over.load(Ordering::SeqCst) {
            return;
        }
        let Ok(socket) = socket.map(Arc::new) else {
            continue;
        };
        let weak = Arc::downgrade(&socket);
        let serve = serve.clone();
        let thread = thread::spawn(move || serve(number, socket));
        let mut clients = shared.clients.lock().expect("the lock is not poisoned");
        clients.push((weak, thread));
    }
}
