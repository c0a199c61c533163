//! The port against clients that keep it waiting, with short deadlines and a small share.

use std::sync::atomic::{AtomicBool, Ordering};

use axum::routing::get;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Notify;

use super::*;

/// What no test waits for.
const LONG: Duration = Duration::from_secs(600);
/// What a test waits for.
const SHORT: Duration = Duration::from_millis(200);
/// When a test gives up.
const DEADLINE: Duration = Duration::from_secs(60);

const LENIENT: Deadlines = Deadlines { head: LONG, idle: LONG, half_closed: LONG, stall: LONG, rate: 1 << 30 };

struct Port {
    address: std::net::SocketAddr,
    share: Arc<Share>,
    counts: Connections,
}

impl Port {
    async fn open(router: Router, room: u64, deadlines: Deadlines) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let (share, counts) = (Share::new(room), Connections::default());
        tokio::spawn(serve(listener, router, share.clone(), deadlines, counts.clone()));
        Self { address, share, counts }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("the port listens")
    }

    async fn wait_until_connected(&self, clients: u64) {
        let so_many = async {
            while self.share.taken() != clients {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(DEADLINE, so_many).await.expect("connections begin and end");
    }

    async fn wait_until_nobody_is_connected(&self) {
        self.wait_until_connected(0).await;
        assert_eq!(self.counts.open.get(), 0);
    }
}

fn hello() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

/// Everything until the other side closes.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    // A connection that is reset is closed as well.
    let _ = tokio::time::timeout(DEADLINE, stream.read_to_end(&mut bytes)).await.expect("it is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

async fn ask(stream: &mut TcpStream) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it takes a request");
    let mut answer = String::new();
    while !answer.ends_with("hello") {
        let mut bytes = [0; 1_024];
        let length = stream.read(&mut bytes).await.expect("an answer");
        assert!(length > 0, "closed after {answer:?}");
        answer.push_str(&String::from_utf8_lossy(&bytes[..length]));
    }
    answer
}

#[tokio::test]
async fn a_client_that_says_nothing_is_not_waited_for() {
    let port = Port::open(hello(), 8, Deadlines { head: SHORT, ..LENIENT }).await;
    assert_eq!(rest(&mut port.connect().await).await, "");
    port.wait_until_nobody_is_connected().await;
    assert_eq!(port.counts.counted(200, "head"), (0, 1));
}

#[tokio::test]
async fn a_head_that_comes_byte_by_byte_has_no_more_time_than_another() {
    let port = Port::open(hello(), 8, Deadlines { head: SHORT, ..LENIENT }).await;
    let (mut from, mut to) = port.connect().await.into_split();
    let drip = async {
        // An endless head: only the port can end this.
        while to.write_all(b"a").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let closed = async {
        let mut bytes = Vec::new();
        let _ = from.read_to_end(&mut bytes).await;
    };
    tokio::time::timeout(DEADLINE, async { tokio::join!(drip, closed) }).await.expect("it is closed");
    port.wait_until_nobody_is_connected().await;
}

#[tokio::test]
async fn a_connection_is_used_again_and_closed_when_it_rests_too_long() {
    let port = Port::open(hello(), 8, Deadlines { idle: SHORT, ..LENIENT }).await;
    let mut stream = port.connect().await;
    for _ in 0..3 {
        assert!(ask(&mut stream).await.starts_with("HTTP/1.1 200"));
    }
    assert_eq!(rest(&mut stream).await, "");
    port.wait_until_nobody_is_connected().await;
    assert_eq!((port.counts.counted(200, "idle"), port.counts.counted(200, "head")), ((3, 1), (3, 0)));
}

#[tokio::test]
async fn what_is_no_request_is_counted_as_well() {
    let port = Port::open(hello(), 8, LENIENT).await;
    for (text, status) in
        [("NO REQUEST\r\n\r\n".to_owned(), 400), (format!("GET / HTTP/1.1\r\na: {}", "b".repeat(1 << 17)), 431)]
    {
        let mut stream = port.connect().await;
        // The port may close before it has read all of it.
        let _ = stream.write_all(text.as_bytes()).await;
        rest(&mut stream).await;
        port.wait_until_nobody_is_connected().await;
        assert_eq!(port.counts.counted(status, "head"), (1, 0));
    }
}

/// After an answer the head of the next request has a time limit again.
#[tokio::test]
async fn the_second_head_may_not_drip_either() {
    let port = Port::open(hello(), 8, Deadlines { head: SHORT, ..LENIENT }).await;
    let mut stream = port.connect().await;
    ask(&mut stream).await;
    stream.write_all(b"GET").await.expect("it is open");
    assert_eq!(rest(&mut stream).await, "");
}

/// As `printf 'GET / HTTP/1.0\r\n\r\n' | nc -N HOST PORT` asks.
#[tokio::test]
async fn a_client_that_closes_its_side_gets_its_answer() {
    let go = Arc::new(Notify::new());
    let wait = go.clone();
    let slow = Router::new().route("/", get(move || async move { wait.notified().await }));
    let slow = slow.route("/now", get(|| async { "now" }));
    let port = Port::open(slow, 8, LENIENT).await;
    for path in ["/", "/now"] {
        let mut stream = port.connect().await;
        stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await.expect("it takes a request");
        stream.shutdown().await.expect("one side");
        go.notify_one();
        let answer = rest(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.0 200"), "{path}: {answer:?}");
    }
    port.wait_until_nobody_is_connected().await;
    assert_eq!(port.counts.counted(200, "half_closed"), (2, 0), "whoever gets its answer is not cut off");
}

struct Dropped(Arc<AtomicBool>);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

#[tokio::test]
async fn the_answer_of_a_client_that_has_hung_up_is_given_up() {
    let (dropped, begun) = (Arc::new(AtomicBool::new(false)), Arc::new(Notify::new()));
    let (flag, notify) = (dropped.clone(), begun.clone());
    let endless = Router::new().route(
        "/",
        get(move || async move {
            let _dropped = Dropped(flag);
            notify.notify_one();
            std::future::pending::<()>().await
        }),
    );
    let port = Port::open(endless, 8, Deadlines { half_closed: SHORT, ..LENIENT }).await;
    let mut stream = port.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it takes a request");
    begun.notified().await;
    drop(stream);
    port.wait_until_nobody_is_connected().await;
    assert!(dropped.load(Ordering::Acquire), "the work goes on");
    assert_eq!(port.counts.counted(200, "half_closed"), (0, 1));
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_not_waited_for() {
    let large = Router::new().route("/", get(|| async { vec![0; 64 << 20] }));
    let port = Port::open(large, 8, Deadlines { stall: SHORT, ..LENIENT }).await;
    let mut stream = port.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await.expect("it takes a request");
    port.wait_until_connected(1).await;
    port.wait_until_nobody_is_connected().await;
    assert_eq!(port.counts.counted(200, "answer_unread"), (1, 1));
    drop(stream);
}

#[tokio::test]
async fn a_connection_beyond_the_share_is_refused_and_counted() {
    let port = Port::open(hello(), 4, LENIENT).await;
    let mut one = port.connect().await;
    let mut two = port.connect().await;
    ask(&mut one).await;
    ask(&mut two).await;
    // Half of the share is this address's.
    let refused = rest(&mut port.connect().await).await;
    let (head, body) = refused.split_once("\r\n\r\n").expect("a head and a body");
    assert!(head.starts_with("HTTP/1.1 503"), "{head}");
    assert!(head.ends_with(&format!("content-length: {}", body.len())), "{head}: {}", body.len());
    let problem: pleach_types::api::Problem = serde_json::from_str(body).expect("a problem");
    assert!(problem.retryable && problem.code == "OVERLOADED");
    assert_eq!((port.counts.refused.get(), port.counts.open.get()), (1, 2));
    ask(&mut one).await;
    drop((one, two));
    port.wait_until_nobody_is_connected().await;
    ask(&mut port.connect().await).await;
}

/// What does not fit in the sockets' buffers is counted as long as it waits, not only until it is handed to HTTP.
#[tokio::test]
async fn an_answer_is_counted_while_it_is_written() {
    let replies = Share::new(1 << 30);
    let share = replies.clone();
    let large = Router::new().route(
        "/",
        get(move |axum::extract::Extension(Peer(from)): axum::extract::Extension<Peer>| async move {
            let held = share.take(from, 1).expect("there is room");
            crate::carried::counted(vec![0; 64 << 20], held)
        }),
    );
    let port = Port::open(large, 8, LENIENT).await;
    let mut stream = port.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").await.expect("it takes a request");
    let mut some = vec![0; 1 << 20];
    stream.read_exact(&mut some).await.expect("the answer begins");
    assert_eq!(replies.taken(), 1, "most of it is still to be written");
    assert!(rest(&mut stream).await.len() > 60 << 20);
    port.wait_until_nobody_is_connected().await;
    assert_eq!(replies.taken(), 0);
}
