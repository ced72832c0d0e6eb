//! The status page in a browser.

use std::{
    fs,
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    path::Path,
    sync::Arc,
    thread,
    time::Duration,
};

use jiff::Timestamp;
use rtmpull::{
    cli::{
        args::Verbosity,
        exit_code::NotStarted,
        metrics::MetricsServer,
        report::status::{Registry, StatusListener},
        terminal::screen::Screen,
    },
    download::{Ending, Progress, Report, Retry},
    output::{Drops, Gap},
    transport::Endpoint,
};

use crate::peers::{chromium::Chromium, require};

use super::client::get;

/// Server with streams in all states, whose names and reasons are hostile.
struct Site {
    registry: Arc<Registry>,
    _server: MetricsServer,
    address: String,
}

impl Site {
    fn start() -> Self {
        let registry = Registry::new(Arc::new(Screen::stderr(Verbosity::Quiet, false)));
        let server = MetricsServer::start(&"127.0.0.1:0".parse().expect("valid"), &registry);
        let server = server.expect("the server starts");
        let address = server.address().to_string();
        let address = address.trim_start_matches("http://").trim_end_matches('/');
        Self {
            address: address.to_owned(),
            registry,
            _server: server,
        }
    }

    fn connect(&self, name: &str) -> StatusListener {
        let mut stream = self.registry.open(name);
        stream.connecting(&Endpoint {
            host: "media.example".to_owned(),
            port: 1935,
        });
        stream
    }

    /// Plays for some seconds with a rate that varies.
    fn play(&self, names: &[&str]) {
        let mut streams: Vec<_> = names.iter().map(|name| self.connect(name)).collect();
        for (number, stream) in streams.iter_mut().enumerate() {
            stream.started(true);
            let file = format!(
                "/srv/recordings/2026-11-29/{}-0{number}0000.mp4",
                names[number]
            );
            stream.file_opened(Path::new(&file));
        }
        let mut progress = Progress::default();
        for step in 1..=14_u64 {
            for (number, stream) in (1..).zip(&mut streams) {
                progress.frames += 25;
                progress.video_frames += 15;
                progress.received_bytes += 30_000 + (step * 37 + number * 91) % 19 * 4_000;
                progress.position_ms = 3_600_000 * number + step * 400;
                let drops = Drops {
                    gaps: 1,
                    frames: 312,
                    bytes: 1 << 20,
                    length_ms: 8_200,
                };
                let drops = if number == 2 { drops } else { Drops::default() };
                stream.progress(&Progress { drops, ..progress });
            }
            thread::sleep(Duration::from_millis(400));
        }
        streams[0].gap(&Gap {
            at_ms: 0,
            began: Timestamp::now(),
            length_ms: 12_400,
            reason: "the server closed the connection".to_owned(),
        });
    }

    fn fill(&self) {
        let mut lost = self.connect("<script>document.title='hacked'</script>");
        lost.retry(&Retry {
            attempt: 1,
            limit: None,
            wait: Duration::from_secs(5),
            ending: Ending::Cut,
            reason: "<b>lost</b>".to_owned(),
        });
        self.connect("garage \u{202e}gnp.exe <img src=x onerror=alert(1)>");
        self.registry.open("waiting room");
        self.registry
            .open("a very long name of a camera that stands at the northern end of the parking lot")
            .not_started(
                NotStarted::Failed,
                "cannot write <out>: No space left on device",
            );
        self.play(&[
            "entrance",
            "lobby",
            "studio 1",
            "studio 2",
            "Übertragungswagen",
        ]);
    }
}

#[test]
fn the_page_shows_hostile_texts_as_text_and_fits_a_phone_and_a_desktop() {
    let chromium = require!(Chromium::find());
    let site = Site::start();
    site.fill();
    let url = format!("http://{}/", site.address);
    let dom = chromium.dump_dom(&url);
    for text in [
        "&lt;script&gt;document.title='hacked'&lt;/script&gt;</th>",
        "\\u{202e}gnp.exe &lt;img src=x onerror=alert(1)&gt;",
        "cannot write &lt;out&gt;: No space left on device",
        "<span class=\"state reconnecting\">reconnecting</span>",
    ] {
        assert!(dom.contains(text), "{text} in {dom}");
    }
    assert!(
        dom.contains("<title>rtmpull: 2 streams have trouble</title>"),
        "{dom}"
    );
    assert!(!dom.contains("<img"), "{dom}");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("status-page");
    fs::create_dir_all(&folder).expect("a folder");
    for (width, height) in [(390, 2_400), (1_280, 900)] {
        for scheme in ["light", "dark"] {
            let file = folder.join(format!("{width}-{scheme}.png"));
            chromium.screenshot(&url, (width, height), scheme == "dark", &file);
            let image = fs::read(&file).expect("a screenshot");
            // PNG: the width in the first chunk.
            assert_eq!(image[16..20], u32::to_be_bytes(width), "{}", file.display());
        }
    }
}

/// Forwards connections to the site, and adds a stream after the first request for the page.
fn forward(site: &Arc<Site>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("bound").port();
    let site = Arc::clone(site);
    thread::spawn(move || {
        for socket in listener.incoming().flatten() {
            let page = forward_request(&site, &socket).unwrap_or_default();
            let mut socket = &socket;
            let _browser_may_leave = socket.write_all(&page);
            site.registry.open("late");
        }
    });
    port
}

/// Returns the answer to one request.
fn forward_request(site: &Site, mut socket: &TcpStream) -> std::io::Result<Vec<u8>> {
    let mut request = [0; 4_096];
    let length = socket.read(&mut request)?;
    let mut upstream = TcpStream::connect(&site.address)?;
    upstream.write_all(&request[..length])?;
    upstream.shutdown(Shutdown::Write)?;
    let mut answer = Vec::new();
    upstream.read_to_end(&mut answer)?;
    Ok(answer)
}

#[test]
fn page_is_complete_without_scripts_and_refreshes_with_them() {
    let chromium = require!(Chromium::find());
    let site = Arc::new(Site::start());
    site.registry.open("early");
    let page = get(&site.address, "/");
    assert!(page.contains(">early</th>"), "{page}");
    let url = format!("http://127.0.0.1:{}/", forward(&site));
    let dom = chromium.dump_dom(&url);
    assert!(dom.contains(">early</th>"), "{dom}");
    assert!(dom.contains(">late</th>"), "no refresh: {dom}");
    assert!(
        dom.contains("<p id=\"stale\" role=\"alert\" hidden=\"\">"),
        "{dom}"
    );
}
