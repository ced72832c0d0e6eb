//! `rtmpull` pulls recorded and live RTMP streams and writes them to FLV.
//!
//! # The map
//!
//! Four floors; arrows point down only, and `.ci/run` checks them.
//!
//! | floor | module | what it knows |
//! | --- | --- | --- |
//! | 4 | [`cli`] | people and scripts: flags, what is told while it runs, exit codes |
//! | 3 | [`download`] | the only place where sockets meet protocol and files |
//! | 3 | [`repair`] | files of ours and of others made whole and seekable; knows no network |
//! | 2 | [`transport`] | a byte pipe to a host; knows tokio, knows no RTMP |
//! | 2 | [`rtmp`] | the protocol; knows no tokio, no clock, no socket |
//! | 1 | [`amf`] | AMF0 and AMF3 values ⇄ bytes |
//! | 1 | [`flv`] | FLV tags ⇄ bytes, codec configuration, keyframes |
//! | 1 | [`swf`] | a player's file → what proves that we have it |
//! | 0 | [`wire`], [`payload`] | checked reading; the buffer that a message is kept in |
//!
//! `flv` and `transport` know no `rtmp`. The core (`rtmp`, `amf`, `flv`, `swf`, `wire`,
//! `payload`) never asks for the time or for random bytes: both are arguments.
//!
//! # The way of a byte
//!
//! The socket is read into one inbox. The chunk decoder moves a message's bytes from there into a
//! [`payload::Payload`], which has the room of a tag header in front: the one copy in user space.
//! [`flv::Tag`] puts 11 bytes before and 4 after them in place, and the tag is written from where it
//! stands. The buffer then goes back to the decoder's pool, so that a warm download allocates
//! nothing per message.
//!
//! # Specifications cited
//!
//! | name | document |
//! | --- | --- |
//! | RTMP | Adobe's Real Time Messaging Protocol 1.0, 2012 |
//! | ERR | RTMP Errata and Addenda, M. Thornburgh, 2024 |
//! | AMF0, AMF3 | Adobe's Action Message Format, 2007 and 2013 |
//! | FLV | Adobe's Flash Video File Format 10.1, Annex E, 2010 |
//! | E-RTMP | Enhanced RTMP v2, Veovera Software Organization, 2026 |

pub mod cli;
pub mod core;
pub mod download;
pub mod output;
pub mod repair;
pub mod transport;
