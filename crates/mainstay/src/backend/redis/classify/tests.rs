use redis::aio::MultiplexedConnection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::*;

/// Kind and text of every error reply that real servers were seen to give, and of a few that need a proxy or a full
/// disk.
const REPLIES: &str = include_str!("../testdata/error_replies.tsv");

#[test]
fn every_observed_reply_has_its_kind() {
    let mut checked = 0;
    for line in REPLIES.lines() {
        let (kind, text) = line.split_once('\t').expect("kind, tab, text");
        let error = error_of(text);
        assert_eq!(error.kind().as_str(), kind, "{text}");
        assert_eq!(error.effect(), Effect::None, "{text}");
        checked += 1;
    }
    assert!(checked > 70, "only {checked} replies");
}

#[test]
fn arguments_and_line_ends_are_not_passed_on() {
    let error = error_of("ERR unknown command 'X', with args beginning with: 'secret' ");
    assert_eq!(error.message(), "ERR unknown command 'X'");
    assert_eq!(error_of("ERR a\r\nb").message(), "ERR a  b");
    assert_eq!(error_of(&"x".repeat(9999)).message().len(), TEXT_MAX);
}

#[test]
fn a_broken_connection_leaves_the_effect_unknown() {
    let reset = std::io::Error::from(std::io::ErrorKind::ConnectionReset);
    let error = failure(reset.into());
    assert_eq!((error.kind(), error.effect()), (ErrorKind::Disconnected, Effect::Unknown));
    let certificate = std::io::Error::other("invalid peer certificate: UnknownIssuer");
    assert_eq!(failure(certificate.into()).kind(), ErrorKind::Forbidden);
}

/// What the client library makes of these bytes as the reply to one command.
async fn answered(reply: &'static [u8]) -> Result<Value> {
    let (ours, mut theirs) = tokio::io::duplex(4096);
    let server = async move {
        let mut buffer = [0; 1024];
        let mut answer = async |text: &[u8]| {
            let length = theirs.read(&mut buffer).await.expect("an open connection");
            assert_ne!(length, 0, "a command");
            theirs.write_all(text).await.expect("an open connection");
        };
        answer(b"+OK\r\n+OK\r\n").await;
        answer(reply).await;
    };
    let client = async {
        let info = redis::RedisConnectionInfo::default();
        let (mut connection, driver) =
            MultiplexedConnection::new(&info, ours).await.expect("a handshake");
        let command = redis::cmd("GET").arg("key").take();
        let call = async {
            match connection.send_packed_command(&command).await {
                Ok(value) => super::reply(value),
                Err(error) => Err(failure(error)),
            }
        };
        tokio::join!(driver, call).1
    };
    tokio::join!(server, client).1
}

#[tokio::test]
async fn replies_keep_their_text_through_the_client_library() {
    let error = answered(b"-READONLY You can't write.\r\n").await.expect_err("an error reply");
    assert_eq!(error.kind(), ErrorKind::WrongNode);
    assert_eq!(error.message(), "READONLY You can't write.");
    let error = answered(b"-OOM too much\r\n").await.expect_err("an error reply");
    assert_eq!((error.kind(), error.effect()), (ErrorKind::StorageFull, Effect::None));
    assert_eq!(answered(b"$1\r\na\r\n").await.expect("a reply"), Value::BulkString(vec![b'a']));
}
