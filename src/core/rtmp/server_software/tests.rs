//! Guesses from the messages that servers send up to the start of playback.

use std::time::Instant;

use bytes::BytesMut;
use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::core::{
    amf::{Object, Value},
    rtmp::{
        chunk::Encoder,
        client::{
            Client,
            config::{Config, Connect},
        },
        command::Command,
        handshake::{
            block::Block,
            digest::{self, Scheme, Side},
        },
        message::{SetPeerBandwidth, Timestamp, UserControl, WindowAcknowledgementSize},
    },
};

/// What a scripted server sends after the handshake.
enum Sent {
    Window(u32),
    Bandwidth(u32),
    ChunkSize(u32),
    Begin(u32),
    /// The answer to `connect`.
    Connected(Value, Value),
    /// Another call or answer.
    Call(&'static str, f64, Vec<Value>),
}

use Sent::{Bandwidth, Begin, Call, ChunkSize, Connected, Window};

impl Sent {
    fn encode(&self, encoder: &mut Encoder, out: &mut BytesMut) {
        let (kind, stream, payload) = match self {
            Window(size) => (
                Kind::WINDOW_ACKNOWLEDGEMENT_SIZE,
                0,
                WindowAcknowledgementSize(*size).to_bytes().to_vec(),
            ),
            Bandwidth(window) => {
                let bandwidth = SetPeerBandwidth {
                    window: *window,
                    limit: Some(2),
                };
                (Kind::SET_PEER_BANDWIDTH, 0, bandwidth.to_bytes().to_vec())
            }
            ChunkSize(size) => (Kind::SET_CHUNK_SIZE, 0, size.to_be_bytes().to_vec()),
            Begin(stream) => {
                let event = UserControl::StreamBegin(*stream);
                (Kind::USER_CONTROL, 0, event.to_bytes())
            }
            Connected(properties, information) => {
                let arguments = vec![properties.clone(), information.clone()];
                (Kind::COMMAND, 0, command("_result", 1.0, arguments))
            }
            Call(name, transaction, arguments) => {
                let stream = u32::from(*name == "onStatus");
                let body = command(name, *transaction, arguments.clone());
                (Kind::COMMAND, stream, body)
            }
        };
        encoder
            .encode(3, kind, stream, Timestamp(0), &payload, out)
            .unwrap();
        if let ChunkSize(size) = self {
            encoder.set_chunk_size(*size);
        }
    }
}

fn command(name: &str, transaction: f64, arguments: Vec<Value>) -> Vec<u8> {
    let mut body = Vec::new();
    let command = Command {
        name: name.into(),
        transaction,
        arguments,
    };
    command.write(&mut body);
    body
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Value {
    let mut object = Object::new();
    for (name, value) in members {
        object.push(name, value);
    }
    Value::Object(object)
}

/// The properties that many servers send.
fn common_properties() -> Value {
    object([
        ("fmsVer", "FMS/3,0,1,123".into()),
        ("capabilities", 31.0.into()),
    ])
}

fn success(description: &str) -> Value {
    object([
        ("level", "status".into()),
        ("code", "NetConnection.Connect.Success".into()),
        ("description", description.into()),
        ("objectEncoding", 0.0.into()),
    ])
}

fn status(code: &str, description: &str) -> Sent {
    let information = object([
        ("level", "status".into()),
        ("code", code.into()),
        ("description", description.into()),
    ]);
    Call("onStatus", 0.0, vec![Value::Null, information])
}

fn stream_created() -> Sent {
    Call("_result", 2.0, vec![Value::Null, 1.0.into()])
}

fn config() -> Config {
    Config::new(Connect::new("live", "rtmp://host/live"), "clip")
}

/// S0, S1 and S2 with this version in S1, and with a digest in S1 if `has_digest`.
fn reply(version: [u8; 4], has_digest: bool) -> BytesMut {
    let mut rng = StdRng::seed_from_u64(7);
    let mut s1 = Block::with_header(0, version, &mut rng);
    if has_digest {
        digest::sign(&mut s1, Scheme::DigestFirst, Side::Server);
    }
    let mut reply = BytesMut::from(&[3][..]);
    reply.extend_from_slice(s1.as_bytes());
    reply.extend_from_slice(&[0; Block::LEN]);
    reply
}

/// Returns the facts of a session in which the server sends `reply` and these messages.
fn facts_after(reply: BytesMut, sent: &[Sent]) -> SessionFacts {
    let now = Instant::now();
    let mut client = Client::new(config(), now, &mut StdRng::seed_from_u64(1));
    client.keep_answers();
    let mut inbox = reply;
    let mut encoder = Encoder::new();
    for message in sent {
        message.encode(&mut encoder, &mut inbox);
    }
    let mut out = BytesMut::new();
    loop {
        client.poll_transmit(&mut out).unwrap();
        client.receive(now, &mut inbox).unwrap();
        let had_event = client.poll_event().is_some();
        while client.poll_event().is_some() {}
        if !had_event {
            break;
        }
    }
    client.facts().clone()
}

fn facts(sent: &[Sent]) -> SessionFacts {
    facts_after(reply([0; 4], false), sent)
}

fn software(sent: &[Sent]) -> Option<ServerSoftware> {
    guess(&facts(sent)).map(|guess| guess.software)
}

/// The messages of nginx-rtmp up to the start of playback.
fn nginx() -> Vec<Sent> {
    vec![
        Window(5_000_000),
        Bandwidth(5_000_000),
        ChunkSize(4096),
        Connected(common_properties(), success("Connection succeeded.")),
        stream_created(),
        status("NetStream.Play.Start", "Start live"),
    ]
}

/// The messages of Node-Media-Server up to the start of playback.
fn node_media_server(chunk_size: u32) -> Vec<Sent> {
    vec![
        Window(5_000_000),
        Bandwidth(5_000_000),
        ChunkSize(chunk_size),
        Connected(common_properties(), success("Connection succeeded.")),
        stream_created(),
        Begin(1),
        status("NetStream.Play.Reset", "Playing and resetting stream."),
        status("NetStream.Play.Start", "Started playing stream."),
    ]
}

fn srs() -> Vec<Sent> {
    let properties = object([
        ("fmsVer", "FMS/3,5,3,888".into()),
        ("capabilities", 127.0.into()),
        ("mode", 1.0.into()),
    ]);
    let data = object([
        ("version", "3,5,3,888".into()),
        ("srs_sig", "SRS".into()),
        ("srs_server", "SRS/6.0.48(Hang)".into()),
        ("srs_version", "6.0.48".into()),
        ("srs_pid", 7.0.into()),
    ]);
    let information = object([
        ("level", "status".into()),
        ("code", "NetConnection.Connect.Success".into()),
        ("description", "Connection succeeded".into()),
        ("objectEncoding", 0.0.into()),
        ("data", data),
    ]);
    vec![
        Window(2_500_000),
        Bandwidth(2_500_000),
        Connected(properties, information),
    ]
}

fn adobe(version: &str, capabilities: f64) -> Vec<Sent> {
    let properties = object([
        ("fmsVer", format!("FMS/{version}").into()),
        ("capabilities", capabilities.into()),
        ("mode", 1.0.into()),
    ]);
    let information = object([
        ("level", "status".into()),
        ("code", "NetConnection.Connect.Success".into()),
        ("description", "Connection succeeded.".into()),
        ("objectEncoding", 0.0.into()),
        ("data", object([("version", version.into())])),
    ]);
    vec![
        Window(1_250_000),
        Bandwidth(1_250_000),
        ChunkSize(4096),
        Connected(properties, information),
        Call("onBWDone", 0.0, vec![Value::Null]),
    ]
}

/// The properties and the information with members sorted by name.
fn sorted() -> Sent {
    let properties = object([
        ("capabilities", 31.0.into()),
        ("fmsVer", "FMS/3,0,1,123".into()),
    ]);
    let information = object([
        ("code", "NetConnection.Connect.Success".into()),
        ("description", "Connection succeeded.".into()),
        ("level", "status".into()),
        ("objectEncoding", 0.0.into()),
    ]);
    Connected(properties, information)
}

#[test]
fn nginx_is_recognized_by_its_statuses_or_its_handshake() {
    assert_eq!(software(&nginx()), Some(ServerSoftware::NginxRtmp));
    let connected = &nginx()[..4];
    assert_eq!(software(connected), None, "the version alone is shared");
    let guessed = guess(&facts_after(reply([13, 14, 10, 13], true), connected)).unwrap();
    assert_eq!(guessed.software, ServerSoftware::NginxRtmp);
    assert_eq!(
        guessed.version, None,
        "it claims the version of another server"
    );
    assert_eq!(
        guessed.evidence,
        [
            "fmsVer is FMS/3,0,1,123, capabilities 31",
            "S1 has version 13.14.10.13 and a digest"
        ]
    );
    let unsigned = facts_after(reply([13, 14, 10, 13], false), connected);
    assert_eq!(guess(&unsigned), None, "the bytes may be random");
}

#[test]
fn node_media_server_is_recognized_by_chunk_size_and_statuses() {
    for chunk_size in [60_000, 65_535] {
        let sent = node_media_server(chunk_size);
        assert_eq!(software(&sent), Some(ServerSoftware::NodeMediaServer));
        assert_eq!(software(&sent[..6]), None);
    }
    assert_eq!(software(&node_media_server(4096)), None);
}

#[test]
fn srs_is_recognized_by_its_members() {
    let guessed = guess(&facts(&srs())).unwrap();
    assert_eq!(guessed.software, ServerSoftware::Srs);
    assert_eq!(guessed.version.as_deref(), Some("6.0.48"));
}

#[test]
fn adobe_servers_are_recognized_by_matching_versions() {
    for (version, capabilities) in [("5,0,7,7055", 127.0), ("4,5,1,484", 255.0)] {
        let guessed = guess(&facts(&adobe(version, capabilities))).unwrap();
        assert_eq!(guessed.software, ServerSoftware::Adobe);
        assert_eq!(guessed.version.as_deref(), Some(version));
    }
    assert_eq!(software(&adobe("3,5,7,7009", 31.0)), None);
}

#[test]
fn servers_that_name_themselves_are_recognized_by_their_names() {
    for (fms_ver, expected, version) in [
        ("RED5/1,0,7,0", ServerSoftware::Red5, Some("1,0,7,0")),
        ("monibuca/v4.7.2", ServerSoftware::Monibuca, Some("v4.7.2")),
        ("LNX 9,0,124,2", ServerSoftware::MediaMtx, None),
    ] {
        let properties = object([("fmsVer", fms_ver.into()), ("capabilities", 31.0.into())]);
        let sent = [Connected(properties, success("Connection succeeded."))];
        let guessed = guess(&facts(&sent)).unwrap();
        assert_eq!(guessed.software, expected);
        assert_eq!(guessed.version.as_deref(), version);
    }
}

/// Red5 sends null instead of the properties, and its version in the information.
#[test]
fn red5_is_recognized_without_properties() {
    let information = object([
        ("level", "status".into()),
        ("code", "NetConnection.Connect.Success".into()),
        ("description", "Connection succeeded.".into()),
        (
            "data",
            object([("type", "red5".into()), ("version", "4,0,0,1121".into())]),
        ),
        ("capabilities", 31.0.into()),
        ("fmsVer", "RED5/1,0,0,0".into()),
        ("mode", 1.0.into()),
    ]);
    let sent = [Connected(Value::Null, information)];
    assert_eq!(software(&sent), Some(ServerSoftware::Red5));
}

#[test]
fn wowza_is_recognized_by_secure_token_or_client_id() {
    let properties = || {
        object([
            ("fmsVer", "FMS/3,5,7,7009".into()),
            ("capabilities", 31.0.into()),
            ("mode", 1.0.into()),
        ])
    };
    let with = |name: &str, value: Value| {
        let mut information = Object::new();
        information.push("level", "status");
        information.push("code", "NetConnection.Connect.Success");
        information.push(name, value);
        software(&[Connected(properties(), information.into())])
    };
    let wowza = Some(ServerSoftware::Wowza);
    assert_eq!(with("clientid", 1_234_567.0.into()), wowza);
    assert_eq!(with("secureToken", "0011223344556677".into()), wowza);
    assert_eq!(with("description", "Connection succeeded.".into()), None);
}

#[test]
fn windows_and_order_of_members_distinguish_servers_of_the_same_version() {
    let xiu = [
        Window(4096),
        Bandwidth(4096),
        ChunkSize(4096),
        Connected(common_properties(), success("Connection Succeeded.")),
    ];
    assert_eq!(software(&xiu), Some(ServerSoftware::Xiu));

    let crtmpserver = [Window(2_500_000), Bandwidth(2_500_000), Begin(0), sorted()];
    assert_eq!(software(&crtmpserver), Some(ServerSoftware::Crtmpserver));

    let bandwidth_check = || Call("onBWDone", 0.0, vec![Value::Null, 8192.0.into()]);
    let ffmpeg = [
        Window(2_500_000),
        Bandwidth(2_500_000),
        Begin(0),
        ChunkSize(128),
        Connected(common_properties(), success("Connection succeeded.")),
        bandwidth_check(),
    ];
    assert_eq!(software(&ffmpeg), Some(ServerSoftware::Ffmpeg));
    assert_eq!(software(&ffmpeg[..5]), None);

    let zl_media_kit = [
        ChunkSize(60_000),
        Window(5_000_000),
        Bandwidth(5_000_000),
        sorted(),
        bandwidth_check(),
    ];
    assert_eq!(software(&zl_media_kit), Some(ServerSoftware::ZlMediaKit));

    let properties = object([
        ("fmsVer", "FMS/3,0,1,123".into()),
        ("capabilities", 31.0.into()),
        ("mode", 1.0.into()),
    ]);
    let librtmp2 = [
        Window(2_500_000),
        Bandwidth(2_500_000),
        ChunkSize(4096),
        Connected(properties, success("Connection succeeded.")),
        stream_created(),
        status("NetStream.Play.Start", "Playing"),
    ];
    assert_eq!(software(&librtmp2), Some(ServerSoftware::Librtmp2));
}

#[test]
fn limelight_is_recognized_by_its_login() {
    let refusal = object([
        ("level", "error".into()),
        ("code", "NetConnection.Connect.Rejected".into()),
        (
            "description",
            "[ AccessManager.Reject ] : [ code=403 need auth; authmod=llnw ] : ".into(),
        ),
    ]);
    let sent = [Call("_error", 1.0, vec![Value::Null, refusal])];
    assert_eq!(software(&sent), Some(ServerSoftware::Limelight));
}

#[test]
fn contradicting_signs_identify_no_server() {
    let mut sent = nginx();
    sent[0] = Window(4096);
    sent[1] = Bandwidth(4096);
    assert_eq!(software(&sent), None);
}

#[test]
fn a_server_without_answers_is_unknown() {
    assert_eq!(guess(&facts_after(BytesMut::new(), &[])), None);
    assert_eq!(software(&[]), None);
    assert_eq!(software(&[Connected(Value::Null, Value::Null)]), None);
}
