//! Observation of the bytes of a session.

use std::{cell::RefCell, rc::Rc};

use super::{encrypted::Server, *};

/// The bytes of both directions.
#[derive(Debug, Clone, Default)]
struct Observed(Rc<RefCell<[Vec<u8>; 2]>>);

impl Observer for Observed {
    fn received(&mut self, bytes: &[u8]) {
        self.0.borrow_mut()[0].extend_from_slice(bytes);
    }

    fn sent(&mut self, bytes: &[u8]) {
        self.0.borrow_mut()[1].extend_from_slice(bytes);
    }
}

#[test]
fn all_bytes_are_observed_once_for_any_split() {
    for size in [1, 100, 1536, 10_000] {
        let observed = Observed::default();
        let mut conversation = Conversation::start(config());
        conversation.client.observe(Box::new(observed.clone()));
        let mut sent = BytesMut::new();
        conversation.client.poll_transmit(&mut sent).unwrap();
        let mut bytes = vec![3];
        bytes.extend_from_slice(&[0; 1536]);
        bytes.extend_from_slice(&sent[1..]);
        conversation.accept();
        conversation.stream_created(2, 1.0);
        conversation.status("NetStream.Play.Start");
        conversation.send(Kind::VIDEO, 1, 0, &[0x17; 1000]);
        bytes.extend_from_slice(&conversation.to_client.split());
        for piece in bytes.chunks(size) {
            conversation.to_client.extend_from_slice(piece);
            conversation.events();
        }
        sent.extend_from_slice(&conversation.to_server);
        let observed = observed.0.take();
        assert_eq!(observed[0], bytes, "in pieces of {size} bytes");
        assert_eq!(observed[1], sent, "in pieces of {size} bytes");
    }
}

#[test]
fn bytes_of_an_encrypted_session_are_observed_in_clear() {
    for size in [1, 100, 10_000] {
        let (mut server, mut conversation) = Server::start(5);
        let observed = Observed::default();
        conversation.client.observe(Box::new(observed.clone()));
        let mut expected = conversation.to_client.to_vec();
        let mut bytes = conversation.to_client.split();
        conversation.accept();
        conversation.send(Kind::VIDEO, 1, 0, &[0x17; 1000]);
        expected.extend_from_slice(&conversation.to_client);
        server.encrypt(&mut conversation);
        bytes.extend_from_slice(&conversation.to_client.split());
        for piece in bytes.chunks(size) {
            conversation.to_client.extend_from_slice(piece);
            conversation.events();
        }
        let [received, sent] = observed.0.take();
        assert_eq!(received, expected, "in pieces of {size} bytes");
        let (c2, encrypted) = conversation.to_server.split_at_mut(1536);
        server.ciphers.incoming.apply(encrypted);
        assert_eq!(sent, [c2, encrypted].concat());
    }
}

#[test]
fn bytes_of_an_unfinished_handshake_are_observed() {
    let observed = Observed::default();
    let mut conversation = Conversation::start(config());
    conversation.client.observe(Box::new(observed.clone()));
    conversation
        .to_client
        .extend_from_slice(b"HTTP/1.1 400 Bad Request");
    conversation.events();
    assert_eq!(observed.0.take()[0], b"HTTP/1.1 400 Bad Request");
}
