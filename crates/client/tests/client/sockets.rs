//! The HTTP transport against servers that misbehave.

use std::time::Duration;

use pleach_client::{Error, HttpTransport, Transport, TransportError};
use pleach_types::Hash;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

/// A server that answers every connection with these bytes, and what it was sent.
async fn serve(answer: Vec<u8>) -> (String, tokio::task::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let served = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.expect("a connection");
        let mut request = vec![0; 16_384];
        let length = stream.read(&mut request).await.expect("a request");
        // The client may hang up in the middle: that is what one of the tests is about.
        let _ = stream.write_all(&answer).await;
        String::from_utf8_lossy(&request[..length]).into_owned()
    });
    (address, served)
}

fn http(status: &str, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

#[tokio::test]
async fn answers_are_read_and_errors_are_typed() {
    let id = Hash([0xab; 32]);
    let (address, served) = serve(http("200 OK", &format!(r#"{{"identity":"{id}"}}"#))).await;
    let transport = HttpTransport::new(&[&address]).expect("an address");
    let reply = transport.execute(0, vec![1, 2, 3].into(), Duration::ZERO, false).await.expect("a reply");
    assert_eq!(reply.identity, id);
    let request = served.await.expect("served").to_lowercase();
    assert!(request.starts_with("post /v1/execute?wait_ms=0&certified=false http/1.1"), "{request}");
    assert!(request.contains("content-type: application/octet-stream"), "{request}");

    let problem = r#"{"code":"OVERLOADED","detail":"9 wait","hint":"wait","retryable":true}"#;
    let (address, served) = serve(http("503 Service Unavailable", problem)).await;
    let transport = HttpTransport::new(&[format!("http://{address}/")]).expect("an address");
    let error = transport.receipt(0, id, Duration::from_millis(5), true).await.expect_err("a problem");
    assert!(matches!(&error, TransportError::Problem(p) if p.code == "OVERLOADED" && p.retryable), "{error}");
    let request = served.await.expect("served");
    assert!(request.starts_with(&format!("GET /v1/receipts/{id}?wait_ms=5&certified=true HTTP/1.1")), "{request}");
}

#[tokio::test]
async fn what_is_not_of_the_protocol_is_a_bad_reply() {
    let answers = [
        http("200 OK", "not json"),
        http("200 OK", r#"{"identity":"short"}"#),
        http("500 Internal Server Error", "<html>"),
        // Endless, as far as its header says.
        [b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n".to_vec(), vec![b' '; 5 << 20]].concat(),
    ];
    for answer in answers {
        let (address, _served) = serve(answer.clone()).await;
        let transport = HttpTransport::new(&[address]).expect("an address");
        let error = transport.status(0).await.expect_err("no status");
        let shown = String::from_utf8_lossy(&answer[..40]).into_owned();
        assert!(matches!(error, TransportError::BadReply(_)), "{shown}: {error}");
    }
    let (address, _served) = serve(Vec::new()).await;
    let transport = HttpTransport::new(&[address]).expect("an address");
    let error = transport.status(0).await.expect_err("no status");
    assert!(matches!(error, TransportError::Unreachable(_)), "{error}");
}

#[tokio::test]
async fn nobody_there_is_said_with_the_reason() {
    let free = TcpListener::bind("127.0.0.1:0").await.expect("a port").local_addr().expect("an address");
    let transport = HttpTransport::new(&[free.to_string()]).expect("an address");
    let error = transport.status(0).await.expect_err("nobody");
    assert!(matches!(&error, TransportError::Unreachable(why) if why.contains("refused")), "{error}");
    assert!(matches!(transport.status(7).await, Err(TransportError::Unreachable(_))));
    let error = pleach_client::Client::open(Hash::default(), &[free.to_string()]).await.expect_err("nobody");
    assert_eq!(error.code(), "NODE_UNREACHABLE", "{error}");
}

#[test]
fn addresses_are_checked() {
    assert!(matches!(HttpTransport::new::<&str>(&[]), Err(Error::NoNodes)));
    for address in ["", "host", "https://host:1", "host:1/path", "a b:1", "user@host:1", "host:99999"] {
        let outcome = HttpTransport::new(&[address]);
        assert!(matches!(&outcome, Err(Error::BadAddress { .. })), "{address:?}: {outcome:?}");
    }
    let transport = HttpTransport::new(&["127.0.0.1:7470", "http://[::1]:7471/"]).expect("addresses");
    assert_eq!((transport.address(0), transport.address(1)), ("127.0.0.1:7470".into(), "[::1]:7471".into()));
}
