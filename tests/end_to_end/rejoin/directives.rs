//! Live recordings from every application setting of a real server that changes what players
//! receive: start, end, another publisher, a wait for the first publisher, and a cut.

use std::{fs, path::Path, thread, time::Duration};

use tempfile::TempDir;

use super::sources::{
    PUBLISH_LIMIT,
    Source::{self, First, Long, Second},
    Sources,
    Span::{self, Complete, Excerpt, WithoutFirstAudio},
};
use crate::{
    parallel,
    peers::{
        ffmpeg::Ffmpeg,
        nginx::{self, Nginx},
        node_media_server::{self, NodeMediaServer},
        require,
    },
    process::Process,
    program::{self, Download, Running},
    server::{CutConnection, FaultAction},
};

#[test]
fn recordings_from_nginx_hold_every_frame_with_each_directive() {
    let ffmpeg = require!(Ffmpeg::find());
    let nginx = require!(Nginx::find());
    // The only directive that applies to a server.
    let buflen = nginx.start_with(&[], "buflen 100ms;");
    let nginx = nginx.start(&[]);
    let sources = Sources::encode(&ffmpeg);
    let (sources, nginx) = (&sources, &nginx);
    type Check<'a> = Box<dyn Fn() + Send + 'a>;
    let mut checks = Vec::<Check<'_>>::new();
    let applications = nginx::LIVE_DIRECTIVES
        .iter()
        .map(|(name, _)| (nginx, *name));
    for (server, name) in applications.chain([(&buflen, "live")]) {
        let application = Application::on_nginx(server, name);
        checks.push(Box::new(move || application.record_cut(sources)));
        let application = Application::on_nginx(server, name);
        checks.push(match name {
            // Players get no status for a missing stream but are sent away.
            "idle_streams" => Box::new(move || application.record_late(sources)),
            _ => Box::new(move || application.record_publishers(sources)),
        });
    }
    checks.push(Box::new(move || dropped_publisher_ends(sources, nginx)));
    parallel::for_each(checks, |check| check());
}

#[test]
fn recordings_from_node_media_server_hold_every_frame() {
    let ffmpeg = require!(Ffmpeg::find());
    let second = require!(NodeMediaServer::find_2()).start();
    let fourth = require!(NodeMediaServer::find()).start();
    let sources = Sources::encode(&ffmpeg);
    let [second, fourth] = [Server::Node2(&second), Server::Node4(&fourth)].map(|server| {
        let name = "live";
        Application { server, name }
    });
    let checks: [&(dyn Fn() + Sync); 4] = [
        &|| second.record_publishers(&sources),
        &|| second.record_cut(&sources),
        &|| fourth.record_publishers(&sources),
        &|| fourth.record_cut(&sources),
    ];
    parallel::for_each(checks, |check| check());
}

/// `drop_idle_publisher` closes the connection of a publisher that sends nothing.
fn dropped_publisher_ends(sources: &Sources<'_>, nginx: &nginx::Instance) {
    let application = Application::on_nginx(nginx, "drop_idle_publisher");
    let _label = Label("dropped publisher".into());
    let (mut running, _log) = application.start("dropped", "1");
    let publisher = sources.publish(Long, &application.url("dropped"));
    running.wait_for_bytes(50_000);
    publisher.signal("STOP");
    let download = running.finish();
    download.assert_ended(0, "unpublished");
    sources.assert_spans(&download, &[Excerpt(Long)], 0);
}

/// Live application of a running server.
struct Application<'a> {
    server: Server<'a>,
    name: &'static str,
}

#[derive(Clone, Copy)]
enum Server<'a> {
    Nginx(&'a nginx::Instance),
    Node2(&'a node_media_server::Instance),
    /// Does not report that a publisher left, and continues its clock for the next one.
    Node4(&'a node_media_server::Instance),
}

impl<'a> Application<'a> {
    fn on_nginx(nginx: &'a nginx::Instance, name: &'static str) -> Self {
        let server = Server::Nginx(nginx);
        Self { server, name }
    }

    fn port(&self) -> u16 {
        match self.server {
            Server::Nginx(nginx) => nginx.port(),
            Server::Node2(node) | Server::Node4(node) => node.port(),
        }
    }

    fn reports_end(&self) -> bool {
        !matches!(self.server, Server::Node4(_))
    }

    /// Returns the name of a stream that no other check uses.
    fn stream(&self, check: &str) -> String {
        format!("{}-{check}", self.name)
    }

    fn url(&self, stream: &str) -> String {
        format!("rtmp://127.0.0.1:{}/{}/{stream}", self.port(), self.name)
    }

    /// Starts to record before the publisher starts. Returns after the server has received `play`.
    fn start(&self, stream: &str, republish_wait: &str) -> (Running, TempDir) {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let log = folder.path().join("log");
        let log_option = log.to_str().expect("the path is UTF-8");
        let options = ["--republish-wait", republish_wait, "--log-file", log_option];
        let options = [&WAIT_OPTIONS[..], &options].concat();
        let running = program::start(&self.url(stream), &options);
        match self.server {
            Server::Nginx(nginx) => nginx.wait_for_log(&format!("play: name='{stream}'")),
            Server::Node2(_) | Server::Node4(_) => wait_for_answer(&log),
        }
        (running, folder)
    }

    /// Starts to publish. Returns after the server has received `publish`.
    fn publish(&self, source: Source, sources: &Sources<'_>, stream: &str) -> Process {
        let publisher = sources.publish(source, &self.url(stream));
        match self.server {
            Server::Nginx(nginx) => nginx.wait_for_log(&format!("publish: name='{stream}'")),
            Server::Node2(_) | Server::Node4(_) => thread::sleep(Duration::from_millis(600)),
        }
        publisher
    }

    /// Records two publishers, one after the other.
    fn record_publishers(&self, sources: &Sources<'_>) {
        let _label = Label(self.stream("publishers"));
        let (running, _log) = self.start(&self.stream("publishers"), "5");
        for source in [First, Second] {
            let publisher = sources.publish(source, &self.url(&self.stream("publishers")));
            publisher.finish(PUBLISH_LIMIT).succeeded();
        }
        let download = if self.reports_end() {
            let download = running.finish();
            download.assert_ended(0, "unpublished");
            download
        } else {
            sources.interrupt_after(Second, running)
        };
        let gaps = usize::from(self.reports_end());
        let span = match self.name {
            // nginx-rtmp sends no audio before the first video frame.
            "wait_video" | "interleave" => WithoutFirstAudio,
            _ => Complete,
        };
        sources.assert_spans(&download, &[span(First), span(Second)], gaps);
    }

    /// Records a publisher that starts while rtmpull polls.
    fn record_late(&self, sources: &Sources<'_>) {
        let _label = Label(self.stream("late"));
        let (mut running, _log) = self.start(&self.stream("late"), "1");
        let publisher = sources.publish(Long, &self.url(&self.stream("late")));
        running.wait_for_bytes(50_000);
        publisher.kill();
        self.finish(running, sources, &[Excerpt(Long)], 0);
    }

    /// Records across a lost connection.
    fn record_cut(&self, sources: &Sources<'_>) {
        let stream = self.stream("cut");
        let _label = Label(stream.clone());
        let cuts = vec![(60_000, FaultAction::Rst)];
        let connection = CutConnection::start(self.port(), cuts);
        let options = ["--republish-wait", "1", "-a", self.name, "-y", &stream];
        let options = [&WAIT_OPTIONS[..], &options].concat();
        let publisher = self.publish(Long, sources, &stream);
        let mut running = program::start(&connection.url(&stream), &options);
        running.wait_for_bytes(160_000);
        publisher.kill();
        self.finish(running, sources, &[Excerpt(Long), Excerpt(Long)], 1);
    }

    /// Ends a recording whose publisher has left, and compares it with its source.
    #[track_caller]
    fn finish(&self, running: Running, sources: &Sources<'_>, spans: &[Span], gaps: usize) {
        let (download, word): (Download, _) = if self.reports_end() {
            (running.finish(), "unpublished")
        } else {
            (running.interrupt(), "interrupted")
        };
        download.assert_ended(0, word);
        sources.assert_spans(&download, spans, gaps);
    }
}

/// Printed if its check panics.
struct Label(String);

impl Drop for Label {
    fn drop(&mut self) {
        if thread::panicking() {
            println!("failed check: {}", self.0);
        }
    }
}

/// Waits until the server has answered `play`.
#[track_caller]
fn wait_for_answer(log: &Path) {
    for _ in 0..1000 {
        let text = fs::read_to_string(log).unwrap_or_default();
        if text.contains("NetStream.Play.") {
            return;
        }
        thread::sleep(Duration::from_millis(20));
    }
    panic!("no answer to play: {:?}", fs::read_to_string(log));
}

const WAIT_OPTIONS: [&str; 4] = ["-v", "--wait", "-m", "60"];
