//! Encrypted sessions.

use rand::{SeedableRng, rngs::StdRng};

use super::*;
use crate::core::rtmp::{
    client::{config::SwfProof, facts::S2Check},
    handshake::{
        block::Block,
        digest::{self, Scheme, Side},
        encryption::{Ciphers, KeyAgreement, SignatureCipher, dh::KeyPair},
    },
};

/// The server side of the encryption.
pub(super) struct Server {
    pub(super) ciphers: Ciphers,
    s1_digest: [u8; 32],
    s1_tail: [u8; 32],
}

impl Server {
    /// Returns a server and a conversation whose handshake reply is ready to be received. The test
    /// must encrypt all later bytes to the client, and decrypt those from it.
    pub(super) fn start(seed: u64) -> (Self, Conversation) {
        let mut conversation = Conversation::start(Config {
            encryption: Encryption::Required,
            swf_proof: Some(PLAYER),
            ..config()
        });
        let mut c0_c1 = BytesMut::new();
        conversation.client.poll_transmit(&mut c0_c1).unwrap();
        let c1 = block(&c0_c1[1..]);

        let mut rng = StdRng::seed_from_u64(seed);
        let pair = KeyPair::new(&mut rng);
        let scheme = Scheme::DigestFirst;
        let mut s1 = Block::with_header(0, [5, 0, 17, 1], &mut rng);
        s1.put(scheme.key_position(&s1), *pair.public());
        let s1_digest = digest::sign(&mut s1, scheme, Side::Server);
        let c1_digest = digest::verify(&c1, Scheme::KeyFirst, Side::Client).unwrap();
        let mut s2 = Block::random(&mut rng);
        digest::sign_reply(&mut s2, &c1_digest, Side::Server, SignatureCipher::Blowfish);
        for bytes in [&[9][..], s1.as_bytes(), s2.as_bytes()] {
            conversation.to_client.extend_from_slice(bytes);
        }
        let public = c1.field(Scheme::KeyFirst.key_position(&c1));
        let server = Self {
            ciphers: KeyAgreement::new(&pair, &public).unwrap().ciphers,
            s1_digest,
            s1_tail: s1.field(1504),
        };
        (server, conversation)
    }

    /// Encrypts all bytes to the client.
    pub(super) fn encrypt(&mut self, conversation: &mut Conversation) {
        self.ciphers.outgoing.apply(&mut conversation.to_client);
    }

    /// Returns C2 and the messages after it.
    fn receive_clear(&mut self, conversation: &mut Conversation) -> (Block, Vec<Sent>) {
        conversation.events();
        let c2 = conversation.to_server.split_to(Block::LEN);
        self.ciphers.incoming.apply(&mut conversation.to_server);
        (block(&c2), conversation.sent())
    }
}

fn block(bytes: &[u8]) -> Block {
    Block::from(<[u8; Block::LEN]>::try_from(bytes).unwrap())
}

const PLAYER: SwfProof = SwfProof {
    hash: [3; 32],
    size: 12_345,
};

#[test]
fn c2_is_clear_and_everything_after_it_encrypted() {
    let (mut server, mut conversation) = Server::start(5);
    let (c2, sent) = server.receive_clear(&mut conversation);
    let cipher = SignatureCipher::Blowfish;
    assert!(digest::verify_reply(
        &c2,
        &server.s1_digest,
        Side::Client,
        cipher
    ));
    assert!(matches!(&sent[0], Sent::Command(0, command) if command.name == "connect"));
    assert!(sent.len() > 2);
}

#[test]
fn type_and_digest_of_an_encrypted_handshake_are_recorded() {
    let (_server, mut conversation) = Server::start(5);
    conversation.events();
    let handshake = conversation.client.facts().handshake.unwrap();
    assert_eq!(handshake.version, 9);
    assert_eq!(handshake.encryption, Some(SignatureCipher::Blowfish));
    assert_eq!(handshake.digest, Some(Scheme::DigestFirst));
    assert_eq!(handshake.server_version, [5, 0, 17, 1]);
    assert_eq!(handshake.s2, S2Check::Signed);
}

#[test]
fn received_bytes_are_decrypted_once_for_any_split() {
    let (mut server, mut whole) = Server::start(5);
    whole.events();
    whole.accept();
    whole.stream_created(2, 1.0);
    whole.status("NetStream.Play.Start");
    for at in 0..20 {
        whole.send(Kind::VIDEO, 1, 40 * at, &[0x27, 1, 0, 0, 0, at as u8, 7, 8]);
    }
    server.encrypt(&mut whole);
    let bytes = whole.to_client;
    for size in [1, 7, 64, bytes.len()] {
        let (_, mut conversation) = Server::start(5);
        conversation.events();
        let mut payloads = Vec::new();
        for piece in bytes.chunks(size) {
            conversation.to_client.extend_from_slice(piece);
            for event in conversation.events() {
                if let Event::Media { message, .. } = event {
                    payloads.push(message.payload[5]);
                }
            }
        }
        let expected: Vec<u8> = (0..20).collect();
        assert_eq!(payloads, expected, "in pieces of {size} bytes");
    }
}

#[test]
fn bytes_in_the_same_read_as_s2_are_decrypted() {
    let (mut server, mut conversation) = Server::start(5);
    let mut all = conversation.to_client.split();
    conversation.accept();
    server.encrypt(&mut conversation);
    all.extend_from_slice(&conversation.to_client);
    conversation.to_client = all;
    assert!(matches!(conversation.only_event(), Event::Connected));
}

/// One server key in 256 gives such a secret; 182 is the first seed.
#[test]
fn keys_may_differ_if_the_secret_starts_with_zero() {
    for (seed, is_in_doubt) in [(181, false), (182, true)] {
        let (_, mut conversation) = Server::start(seed);
        assert!(!conversation.client.keys_may_differ());
        conversation.events();
        assert_eq!(conversation.client.keys_may_differ(), is_in_doubt);
    }
}

#[test]
fn swf_verification_uses_the_end_of_s1() {
    let (mut server, mut conversation) = Server::start(5);
    conversation.events();
    // With the verification type, and without one, as some servers send it.
    conversation.send(Kind::USER_CONTROL, 0, 0, &[0, 26, 1]);
    conversation.send(Kind::USER_CONTROL, 0, 0, &[0, 26]);
    // An unknown type.
    conversation.send(Kind::USER_CONTROL, 0, 0, &[0, 26, 2]);
    server.encrypt(&mut conversation);
    let (_, sent) = server.receive_clear(&mut conversation);
    let response = PLAYER.response(&server.s1_tail);
    let expected = Sent::Control(Kind::USER_CONTROL, [&[0, 27][..], &response].concat());
    let is_proof = |sent: &&Sent| **sent == expected;
    assert_eq!(sent.iter().filter(is_proof).count(), 2);
    assert_eq!(sent.iter().rev().take_while(is_proof).count(), 2);
}
