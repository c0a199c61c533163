//! Questions to a port, in the bytes that an operator's `curl` or `nc` would send, and no library between that could make up for something.

use std::io::{Error, ErrorKind, Read as _, Write as _};
use std::net::{TcpStream, ToSocketAddrs};
use std::time::Duration;

/// How long a port may be silent on a busy machine: a test that fails is better than one that never ends.
const SILENT: Duration = Duration::from_secs(120);

/// What is answered to a `GET` of this path: the status and the body.
///
/// # Errors
/// If nobody listens there, or what comes back is no answer.
pub fn get(address: impl ToSocketAddrs, path: &str) -> std::io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_read_timeout(Some(SILENT))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    read(&answer).ok_or_else(|| Error::new(ErrorKind::InvalidData, format!("no answer over HTTP: {answer:?}")))
}

fn read(answer: &str) -> Option<(u16, String)> {
    let (head, body) = answer.split_once("\r\n\r\n")?;
    let (version, rest) = head.split_once(' ')?;
    let status = rest.split([' ', '\r']).next()?.parse().ok()?;
    version.starts_with("HTTP/").then(|| (status, body.to_owned()))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn status_and_body_are_what_was_sent_and_anything_else_is_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("its address");
        let answers = ["HTTP/1.0 404 Not Found\r\na: b\r\n\r\nno\r\n\r\nsuch page", "HTTP/1.1 200\r\n\r\n", "junk", ""];
        let server = std::thread::spawn(move || {
            answers.map(|answer| {
                let (mut stream, _) = listener.accept().expect("a question");
                let mut question = [0; 22];
                stream.read_exact(&mut question).expect("all of it");
                stream.write_all(answer.as_bytes()).expect("it is read");
                question
            })
        });
        let got = answers.map(|_| get(address, "/some").map_err(|e| e.kind()));
        let bad = Err(ErrorKind::InvalidData);
        assert_eq!(got, [Ok((404, "no\r\n\r\nsuch page".into())), Ok((200, String::new())), bad.clone(), bad]);
        for question in server.join().expect("no panic") {
            assert_eq!(question, *b"GET /some HTTP/1.0\r\n\r\n");
        }
        assert!(get(address, "/some").is_err(), "nobody listens any more");
    }
}
