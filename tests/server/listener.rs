//! Accepting clients on loopback, a thread for each, all ended with the listener.

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

/// A port that clients are accepted on until this is dropped.
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
    /// Listens on a free loopback port. `serve` is called for each client, with its number from 0,
    /// in a thread of its own.
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

    /// The port.
    pub fn port(&self) -> u16 {
        self.address.port()
    }
}

impl Drop for Listener {
    /// Disconnects everybody. A thread that panicked fails the test.
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
            .expect("nobody panics with it")
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
        let mut clients = shared.clients.lock().expect("nobody panics with it");
        clients.push((weak, thread));
    }
}
