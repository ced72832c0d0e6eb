//! Tests of encrypted handshakes.

use super::*;
use crate::core::rtmp::handshake::encryption::dh::KEY_LEN;

/// A client and the server that it talks to.
struct Conversation {
    client: Handshake,
    c1: Block,
    server: KeyPair,
}

/// A kind of server reply.
#[derive(Clone, Copy)]
struct ReplyKind {
    version: u8,
    scheme: Scheme,
}

const REPLY_KINDS: [ReplyKind; 6] = {
    const fn kind(version: u8, scheme: Scheme) -> ReplyKind {
        ReplyKind { version, scheme }
    }
    [
        kind(6, Scheme::DigestFirst),
        kind(6, Scheme::KeyFirst),
        kind(8, Scheme::DigestFirst),
        kind(8, Scheme::KeyFirst),
        kind(9, Scheme::DigestFirst),
        kind(9, Scheme::KeyFirst),
    ]
};

impl Conversation {
    fn start(encryption: Encryption) -> Self {
        let mut client = Handshake::new(Mode::Auto, encryption, TIME_MS, &mut rng());
        let c0_c1 = transmitted(&mut client);
        assert_eq!((c0_c1.len(), c0_c1[0]), (1537, 6));
        Self {
            client,
            c1: block(&c0_c1[1..]),
            server: KeyPair::new(&mut StdRng::seed_from_u64(9)),
        }
    }

    /// Returns S0, S1, S2 and the bytes after them.
    fn answer(&self, kind: ReplyKind) -> Vec<u8> {
        self.answer_with(kind, self.server.public())
    }

    fn answer_with(&self, kind: ReplyKind, public: &[u8; KEY_LEN]) -> Vec<u8> {
        let mut s1 = opening([5, 0, 17, 1]);
        s1.put(kind.scheme.key_position(&s1), *public);
        digest::sign(&mut s1, kind.scheme, Side::Server);
        let c1_digest = digest::verify(&self.c1, Scheme::KeyFirst, Side::Client).unwrap();
        let cipher = SignatureCipher::of_version(kind.version).unwrap_or_default();
        let mut s2 = Block::random(&mut StdRng::seed_from_u64(8));
        digest::sign_reply(&mut s2, &c1_digest, Side::Server, cipher);
        let mut answer = answer(&s1, &s2);
        answer[0] = kind.version;
        answer
    }

    fn receive(&mut self, answer: &[u8]) -> Result<Progress, Error> {
        self.client.receive(&mut BytesMut::from(answer))
    }

    /// Returns the server's ciphers.
    fn ciphers(&self) -> Ciphers {
        let public = self.c1.field(Scheme::KeyFirst.key_position(&self.c1));
        KeyAgreement::new(&self.server, &public).unwrap().ciphers
    }
}

#[test]
fn both_sides_derive_the_same_keys() {
    for kind in REPLY_KINDS {
        let mut conversation = Conversation::start(Encryption::Required);
        let answer = conversation.answer(kind);
        let Ok(Progress::Done(summary)) = conversation.receive(&answer) else {
            panic!("not done");
        };
        let cipher = SignatureCipher::of_version(kind.version);
        assert_eq!(summary.encryption, cipher);
        assert_eq!(summary.server_signature, ServerSignature::Verified);
        assert_eq!(summary.s1_tail, answer[1505..1537]);
        let s1_digest = summary.digest.unwrap();
        assert_eq!(s1_digest.scheme, kind.scheme);

        let c2 = block(&transmitted(&mut conversation.client));
        let is_signed = digest::verify_reply(&c2, &s1_digest.bytes, Side::Client, cipher.unwrap());
        assert!(is_signed);

        let mut ours = conversation.client.take_ciphers().unwrap();
        assert!(conversation.client.take_ciphers().is_none());
        let mut theirs = conversation.ciphers();
        for (from, to) in [
            (&mut ours.outgoing, &mut theirs.incoming),
            (&mut theirs.outgoing, &mut ours.incoming),
        ] {
            let mut bytes = *b"connect";
            from.apply(&mut bytes);
            to.apply(&mut bytes);
            assert_eq!(&bytes, b"connect");
        }
    }
}

#[test]
fn c1_contains_a_public_key() {
    let conversation = Conversation::start(Encryption::Required);
    assert_eq!(conversation.c1.version(), [128, 0, 3, 2]);
    assert_eq!(conversation.c1.time_ms(), TIME_MS);
    let found = digest::find(&conversation.c1, Scheme::KeyFirst, Side::Client);
    assert_eq!(found.unwrap().0, Scheme::KeyFirst);
    // This panics if the public key is not valid.
    conversation.ciphers();
}

#[test]
fn reply_may_be_split_anywhere() {
    let mut whole = Conversation::start(Encryption::Required);
    let answer = whole.answer(REPLY_KINDS[3]);
    let done = whole.receive(&answer).unwrap();
    let c2 = transmitted(&mut whole.client);
    assert!(matches!(done, Progress::Done(_)));

    // Byte by byte: nothing is consumed or decided before the reply is complete. C2 is sent after S1.
    let mut sent = Vec::new();
    let mut conversation = Conversation::start(Encryption::Required);
    let mut inbox = BytesMut::new();
    for (at, byte) in answer[..REPLY_LEN].iter().enumerate() {
        assert_eq!(inbox.len(), at);
        assert_eq!(
            conversation.client.receive(&mut inbox),
            Ok(Progress::NeedsMore)
        );
        sent.extend(transmitted(&mut conversation.client));
        let is_sent = at > Block::LEN;
        assert_eq!(sent.len(), if is_sent { Block::LEN } else { 0 }, "{at}");
        inbox.extend_from_slice(&[*byte]);
    }
    assert_eq!(conversation.client.receive(&mut inbox), Ok(done));
    assert!(inbox.is_empty());
    assert_eq!(transmitted(&mut conversation.client), [0_u8; 0]);
    assert_eq!(sent, c2);

    for cut in [0, 1, 2, 1536, 1537, 1538, 3072, REPLY_LEN, REPLY_LEN + 1] {
        let mut conversation = Conversation::start(Encryption::Required);
        let mut inbox = BytesMut::from(&answer[..cut]);
        let first = conversation.client.receive(&mut inbox).unwrap();
        assert_eq!(first == done, cut >= REPLY_LEN, "cut at {cut}");
        inbox.extend_from_slice(&answer[cut..]);
        assert_eq!(conversation.client.receive(&mut inbox), Ok(done));
        assert_eq!(inbox, CHUNKS);
        assert_eq!(transmitted(&mut conversation.client), c2);
    }
}

#[test]
fn one_wrong_byte_is_an_error() {
    let sound = Conversation::start(Encryption::Required).answer(REPLY_KINDS[4]);
    // Inside S1, its last byte, inside S2, and inside its signature.
    for (at, error) in [
        (900, Error::NoDigest),
        (1536, Error::NoDigest),
        (1537, Error::Signature),
        (3072, Error::Signature),
    ] {
        let mut answer = sound.clone();
        answer[at] ^= 1;
        let mut conversation = Conversation::start(Encryption::Required);
        assert_eq!(conversation.receive(&answer), Err(error), "at {at}");
        assert!(conversation.client.take_ciphers().is_none());
        assert_eq!(transmitted(&mut conversation.client), [0_u8; 0]);
    }
}

#[test]
fn signature_of_another_type_is_rejected() {
    for (kind, version) in [
        (REPLY_KINDS[0], 8),
        (REPLY_KINDS[2], 9),
        (REPLY_KINDS[4], 6),
    ] {
        let mut conversation = Conversation::start(Encryption::Required);
        let mut answer = conversation.answer(kind);
        answer[0] = version;
        assert_eq!(conversation.receive(&answer), Err(Error::Signature));
    }
}

#[test]
fn invalid_public_key_is_an_error() {
    let zero = [0; KEY_LEN];
    let one = std::array::from_fn(|at| u8::from(at == KEY_LEN - 1));
    for public in [zero, one, [0xFF; KEY_LEN]] {
        for kind in REPLY_KINDS {
            let mut conversation = Conversation::start(Encryption::AllowPlain);
            let answer = conversation.answer_with(kind, &public);
            assert_eq!(conversation.receive(&answer), Err(Error::PublicKey));
        }
    }
}

#[test]
fn unknown_type_fails_on_the_first_byte() {
    for version in [0, 1, 4, 5, 7, 10, 128, 255] {
        for encryption in [Encryption::Required, Encryption::AllowPlain] {
            let mut conversation = Conversation::start(encryption);
            assert_eq!(conversation.receive(&[version]), Err(Error::Type(version)));
        }
    }
    let mut conversation = Conversation::start(Encryption::Required);
    let text = Error::Text("HTTP/1.1 400".to_owned());
    assert_eq!(conversation.receive(b"HTTP/1.1 400\r\n"), Err(text));
    assert_eq!(conversation.receive(&[0x15, 3, 1]), Err(Error::Tls));
}

#[test]
fn plain_reply_is_an_error_if_encryption_is_required() {
    let mut conversation = Conversation::start(Encryption::Required);
    assert_eq!(conversation.receive(&[3]), Err(Error::NotEncrypted));
    assert_eq!(transmitted(&mut conversation.client), [0_u8; 0]);
}

#[test]
fn plain_reply_is_accepted_if_allowed() {
    for s1 in [
        opening([0; 4]),
        signed_opening([5, 0, 17, 1], Scheme::KeyFirst),
    ] {
        let mut conversation = Conversation::start(Encryption::AllowPlain);
        let answer = answer(&s1, &conversation.c1);
        let Ok(Progress::Done(summary)) = conversation.receive(&answer) else {
            panic!("not done");
        };
        assert_eq!(summary.encryption, None);
        assert!(conversation.client.take_ciphers().is_none());
        let c2 = block(&transmitted(&mut conversation.client));
        match summary.digest {
            Some(found) => {
                let cipher = SignatureCipher::None;
                assert!(digest::verify_reply(
                    &c2,
                    &found.bytes,
                    Side::Client,
                    cipher
                ));
            }
            None => assert_eq!(c2, s1),
        }
    }
}

#[test]
fn unrequested_encrypted_reply_is_a_version_error() {
    for version in [6, 8, 9] {
        let mut plain = client(Mode::Auto);
        let mut inbox = BytesMut::from(&[version][..]);
        assert_eq!(plain.receive(&mut inbox), Err(Error::Version(version)));
    }
}

#[test]
fn error_texts_are_complete() {
    let lines = [
        (
            Error::Type(10),
            "the server answered with unknown handshake type 10 (0x0a); known types are 6, 8 and 9",
        ),
        (
            Error::NotEncrypted,
            "the server does not encrypt: it answered with a plain handshake",
        ),
        (
            Error::Signature,
            "the handshake signature of the server is invalid",
        ),
        (Error::PublicKey, "the public key of the server is invalid"),
    ];
    for (error, line) in lines {
        assert_eq!(error.to_string(), line);
    }
}
