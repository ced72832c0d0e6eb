//! Relays published streams, and asks the first player to reconnect.
//!
//! `librtmp2-server ADDRESS MILLISECONDS [TC_URL]`: the request follows this long after `play`.

use std::{
    env, process, ptr,
    sync::Mutex,
    time::{Duration, Instant},
};

use librtmp2::{server::Server, types::ServerConfig};

/// Id of the first player, and the time of its `play`.
static FIRST_PLAYER: Mutex<Option<(u64, Instant)>> = Mutex::new(None);

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let [address, delay, tc_url @ ..] = &arguments[..] else {
        eprintln!("usage: librtmp2-server ADDRESS MILLISECONDS [TC_URL]");
        process::exit(1);
    };
    let delay = Duration::from_millis(delay.parse().expect("a number of milliseconds"));
    let config = ServerConfig {
        max_connections: 16,
        chunk_size: 4096,
        tls_enabled: 0,
        tls_cert_file: ptr::null(),
        tls_key_file: ptr::null(),
        tls_ca_file: ptr::null(),
        tls_insecure: 0,
        max_pending_tls_per_addr: 0,
        max_connections_per_addr: 0,
    };
    let mut server = Server::from_config(config, None).expect("a valid configuration");
    server.on_publish_cb = Some(|_, _, _| true);
    server.on_play_cb = Some(|id, _, _| {
        let mut first = FIRST_PLAYER.lock().expect("the lock is not poisoned");
        first.get_or_insert((id, Instant::now()));
        true
    });
    server.listen(address).expect("the port is free");
    let mut is_requested = false;
    loop {
        server.poll(5).expect("the server runs");
        let first = *FIRST_PLAYER.lock().expect("the lock is not poisoned");
        if let Some((id, since)) = first
            && since.elapsed() >= delay
            && !is_requested
        {
            is_requested = true;
            let tc_url = tc_url.first().map(String::as_str);
            if let Err(error) = server.request_reconnect(id, tc_url, Some("maintenance")) {
                eprintln!("no request sent: {error:?}");
            }
        }
    }
}
