//! TLS front of a server.

use std::{net::Ipv4Addr, sync::Arc, thread};

use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    runtime,
    sync::oneshot,
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{
        ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
        version::{TLS12, TLS13},
    },
    server::TlsStream,
};

use super::super::certificates::Identity;

/// Loopback port that terminates TLS and relays the plaintext.
#[derive(Debug)]
pub struct TlsFront {
    port: u16,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<thread::JoinHandle<()>>,
}

/// Close of a TLS connection after the server has closed its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsClose {
    /// With close_notify.
    CloseNotify,
    /// Only with the FIN of TCP.
    TcpOnly,
}

impl TlsFront {
    /// Starts a front for `port`.
    pub fn start(port: u16, identity: &Identity, close: TlsClose) -> Self {
        let certificate = CertificateDer::from(identity.certificate_der.clone());
        let key = PrivateKeyDer::try_from(identity.key_der.clone()).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_protocol_versions(&[&TLS12, &TLS13])
            .expect("supported TLS versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate], key)
            .expect("the certificate matches its key");
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
        let listener = listener.expect("a loopback port is free");
        let client = listener.local_addr().expect("the listener is bound").port();
        let (stop, stopped) = oneshot::channel();
        let thread = thread::spawn(move || {
            let runtime = runtime::Builder::new_current_thread().enable_all().build();
            runtime.expect("a runtime").block_on(async {
                tokio::select! {
                    () = accept(listener, acceptor, port, close) => {}
                    _ = stopped => {}
                }
            });
        });
        Self {
            port: client,
            stop: Some(stop),
            thread: Some(thread),
        }
    }

    /// Returns the port.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl Drop for TlsFront {
    fn drop(&mut self) {
        self.stop.take();
        if let Some(thread) = self.thread.take() {
            let _it_panicked_loudly = thread.join();
        }
    }
}

async fn accept(
    listener: std::net::TcpListener,
    acceptor: TlsAcceptor,
    port: u16,
    close: TlsClose,
) {
    listener.set_nonblocking(true).expect("a socket");
    let listener = TcpListener::from_std(listener).expect("a socket");
    while let Ok((tcp, _)) = listener.accept().await {
        let acceptor = acceptor.clone();
        tokio::spawn(async move {
            // The client disconnects if it rejects the certificate.
            let Ok(client) = acceptor.accept(tcp).await else {
                return;
            };
            let server = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await;
            if let Ok(server) = server {
                relay_tls(client, server, close).await;
            }
        });
    }
}

async fn relay_tls(mut client: TlsStream<TcpStream>, mut server: TcpStream, close: TlsClose) {
    if close == TlsClose::CloseNotify {
        let _either_may_be_gone = copy_bidirectional(&mut client, &mut server).await;
        return;
    }
    let (mut far_reader, mut far_writer) = server.split();
    let (mut near_reader, mut near_writer) = tokio::io::split(client);
    let there = async {
        let _either_may_be_gone = tokio::io::copy(&mut near_reader, &mut far_writer).await;
        std::future::pending::<()>().await;
    };
    let back = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(count @ 1..) = read(&mut far_reader, &mut buffer).await {
            if near_writer.write_all(&buffer[..count]).await.is_err() {
                break;
            }
        }
        let _peer_may_be_gone = near_writer.flush().await;
    };
    // Dropping the stream closes TCP without a close_notify.
    tokio::select! {
        () = there => {}
        () = back => {}
    }
}

async fn read(reader: &mut (impl AsyncRead + Unpin), buffer: &mut [u8]) -> std::io::Result<usize> {
    reader.read(buffer).await
}
