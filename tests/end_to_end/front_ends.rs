//! tmp

use crate::{peers::{require, rtmpdump::Rtmpdump}, server::{Clip, Config, Server, Stream, OnConnect}, program::LIMIT};

#[test]
fn tmp() {
    let rtmpdump = require!(Rtmpdump::find());
    for (opt, connect) in [("-V", OnConnect::Accept), ("-z", OnConnect::Accept), ("-V", OnConnect::RedirectInError{redirect: "rtmp://other.example/app?token=xyz".into()})] {
    let server = Server::start(Config { connect, ..Config::serving(Stream::recorded(Clip::sample())) });
    let folder = tempfile::tempdir().unwrap();
    let said = rtmpdump.play(&server.url("clip"), &folder.path().join("f"), &[opt]).finish(LIMIT);
    println!("{}", said.stderr);
    for c in server.only_client().commands { println!("{c:?}"); }
    }
}
