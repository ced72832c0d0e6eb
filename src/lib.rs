//! `rtmpull` downloads recorded and live RTMP streams and writes them to FLV or MP4.
//!
//! This library is not a public API. The package is a program; its library exists for the program,
//! the tests, the benchmarks and the fuzz targets. Any item may change in any release.
//!
//! # Modules
//!
//! | layer | module | content |
//! | --- | --- | --- |
//! | 5 | [`cli`] | options, output for people and scripts, exit codes |
//! | 4 | [`probe`] | description of a stream or a file without a recording |
//! | 3 | [`download`] | the main loop: connects network, protocol and output; reconnects, resumes, changes sources |
//! | 3 | [`remux`] | conversion of FLV files or standard input to recordings in files or a pipe |
//! | 3 | [`repair`] | repair of FLV and MP4 files |
//! | 2 | [`output`] | recordings: segments in files, a pipe, or both |
//! | 1 | [`transport`] | byte streams to a host: TCP, TLS, proxies, HTTP tunnel; capture files |
//! | 1 | [`core`] | protocol and formats, without I/O |
//!
//! A module depends only on modules of lower layers: `cli` on all of them, `probe` on `download` and its
//! modules, `download` on `transport`, `output` and `core`, `remux` and `repair` on `output` and `core`, `output`
//! on `core` without [`core::rtmp`]. `transport` depends on no other module of the crate.
//!
//! Inside `cli`, [`args`](cli::args) defines the options, [`job`](cli::job) resolves them to a download, and
//! [`report`](cli::report) prints its events. [`streams`](cli::streams) runs the downloads of many streams in one
//! process, and [`metrics`](cli::metrics) serves their status over HTTP.
//!
//! Inside `core`, [`rtmp`](core::rtmp) (the protocol) depends on [`flv`](core::flv) (the file format), and
//! both depend on [`amf`](core::amf) (values). [`mp4`](core::mp4), the other file format, depends on `flv`.
//! [`analysis`](core::analysis) describes the messages of a stream and depends on these four.
//! [`swf`](core::swf) hashes players for SWF verification. [`wire`](core::wire) and
//! [`payload`](core::payload) provide checked reading and message buffers. `output_clock` assigns output
//! times, and `rejoin` compares a stream with written frames. `core` never reads a clock, a socket, a file
//! or a global random generator: the current time and the random generator are arguments.
//! `.ci/run` checks these rules.
//!
//! # Data path
//!
//! 1. The pump ([`download`]) reads from the connection into one buffer.
//! 2. The client ([`core::rtmp::client`]) decodes the chunks. It copies each message into a
//!    [`Payload`](core::payload::Payload), which reserves space for a tag header. This is the only copy in
//!    user space, except with `--tee`.
//! 3. The client parses the [`FrameInfo`](core::flv::FrameInfo) of each frame once. Later stages use it and
//!    do not parse the frame again.
//! 4. The output clock assigns an output time to the frame.
//! 5. The recording ([`output`]) chooses the segment. The muxer adds the tag header and the
//!    PreviousTagSize to the payload, in place. The muxer for MP4 copies the frames of one second into a fragment.
//! 6. The write queue collects tags and writes many of them with one system call. The buffers then
//!    return to a pool, which the decoders of all downloads in a thread use, so that a running download allocates
//!    nothing per message.
//!
//! A probe receives the messages of step 3, and its output discards the frames. [`remux`] reads the tags of a file
//! and continues with step 4.
//!
//! # Glossary
//!
//! | term | meaning |
//! | --- | --- |
//! | session | everything from the handshake to the close of one connection |
//! | attempt | one try to connect and play; several attempts form a series |
//! | message | an RTMP message: type, timestamp, message stream id, payload |
//! | frame | an audio or video message that carries media |
//! | sequence header | the codec configuration that a decoder needs before the first frame |
//! | recording | everything that one download writes: one or more segments in files, or a pipe |
//! | segment | one file of a recording |
//! | output clock | the 64-bit clock that assigns output times, independent of the server's clock |
//! | rejoin | finding where a new stream continues an existing recording, by comparing frames |
//! | source | a URL that delivers the stream of a recording; the sources after the first one are fallbacks |
//! | ending | the word for how a download ended, which determines the exit code |
//! | hint | a likely remedy after a failed download, with a stable code |
//! | finding | an irregularity of a stream or a file that a probe reports, with a stable code |
//!
//! # Specifications
//!
//! Comments cite these documents by their short names:
//!
//! | name | document |
//! | --- | --- |
//! | RTMP | Adobe's Real Time Messaging Protocol 1.0, 2012 |
//! | ERR | RTMP Errata and Addenda, M. Thornburgh, 2024 |
//! | AMF0, AMF3 | Adobe's Action Message Format, 2007 and 2013 |
//! | FLV | Adobe's Flash Video File Format 10.1, Annex E, 2010 |
//! | ISO 14496-12 | ISO base media file format, 2022 |
//! | E-RTMP | Enhanced RTMP v2, Veovera Software Organization, 2026 |

pub mod cli;
pub mod core;
pub mod download;
pub mod output;
pub mod probe;
pub mod remux;
pub mod repair;
pub mod transport;
