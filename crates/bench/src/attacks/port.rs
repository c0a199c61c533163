//! Strangers who take up a node's port without a single request that is in order.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use pleach_client::Executed;
use pleach_types::api::GetRequest;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::Attack;
use super::honest::{client, key};
use super::requests::STRANGER;
use crate::nodes::{Nodes, authority};

/// Connections to each node: what would be all that it can have.
const CONNECTIONS: usize = 1_000;
/// Connections to each node that ask for megabytes.
const READERS: usize = 64;
/// Records that a read asks for, of [`RECORD_BYTES`] each.
const RECORDS: usize = 7;
const RECORD_BYTES: usize = 1 << 20;
/// The pause between two bytes, and between two connections.
const PAUSE: Duration = Duration::from_secs(1);
/// What a connection sends that is slow, a byte a second.
const SLOW_HEAD: &[u8] = b"POST /v1/execute HTTP/1.1\r\nHost: node\r\nContent-Length: 1000000\r\n\r\n";

/// The strangers.
pub struct Crowd {
    shared: Arc<Shared>,
    tasks: JoinSet<()>,
}

struct Shared {
    attack: Attack,
    nodes: Vec<SocketAddr>,
    /// What is sent at once on each connection.
    question: Bytes,
    stop: AtomicBool,
    opened: AtomicUsize,
    refused: AtomicUsize,
}

impl Crowd {
    /// What is needed before it begins.
    pub async fn prepare(nodes: &Nodes, attack: Attack) -> Result<Self, String> {
        let addresses: Result<Vec<SocketAddr>, _> =
            nodes.profile.nodes.iter().map(|address| authority(address).parse()).collect();
        let question = if attack == Attack::Reads { question(nodes).await? } else { Bytes::new() };
        let shared = Shared {
            attack,
            nodes: addresses.map_err(|e| e.to_string())?,
            question,
            stop: AtomicBool::new(false),
            opened: AtomicUsize::new(0),
            refused: AtomicUsize::new(0),
        };
        Ok(Self { shared: Arc::new(shared), tasks: JoinSet::new() })
    }

    /// Begins.
    pub fn begin(&mut self) {
        let each = if self.shared.attack == Attack::Reads { READERS } else { CONNECTIONS };
        for node in 0..self.shared.nodes.len() {
            for _ in 0..each {
                self.tasks.spawn(self.shared.clone().occupy(node));
            }
        }
    }

    /// Ends, and says what was done.
    pub async fn end(mut self) -> String {
        self.shared.stop.store(true, Ordering::Relaxed);
        self.tasks.shutdown().await;
        let [opened, refused] = [&self.shared.opened, &self.shared.refused].map(|count| count.load(Ordering::Relaxed));
        format!("{opened} connections opened, {refused} not")
    }
}

/// A read of large records that were written for it.
async fn question(nodes: &Nodes) -> Result<Bytes, String> {
    let client = client(&nodes.profile, "large", STRANGER.octets()[2]).await?;
    let mut keys: Vec<_> = (0..RECORDS).map(|n| key(&format!("large/{n}"))).collect();
    keys.sort();
    // A request has room for 256 KiB of arguments, less than one of these records: so an operation makes and writes them.
    let writer = key("large/writer");
    let code = super::requests::large_writer()?;
    let change = client.change("large", &[(writer.clone(), Some(code))]).map_err(|e| e.to_string())?;
    change.send().await.and_then(Executed::applied).map(drop).map_err(|e| format!("operation {writer}: {e}"))?;
    for record in &keys {
        let arguments = [(RECORD_BYTES as u32).to_le_bytes(), [0; 4]].concat();
        let call = client.call(writer.clone(), arguments).touching([record.clone()]);
        call.send().await.and_then(Executed::applied).map(drop).map_err(|e| format!("record {record}: {e}"))?;
    }
    let body = serde_json::to_vec(&GetRequest { keys, ..GetRequest::default() }).map_err(|e| e.to_string())?;
    let head = format!(
        "POST /v1/get HTTP/1.1\r\nHost: node\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    Ok([head.as_bytes(), &body].concat().into())
}

impl Shared {
    async fn occupy(self: Arc<Self>, node: usize) {
        while !self.stop.load(Ordering::Relaxed) {
            match self.connect(node).await {
                Ok(stream) => {
                    self.opened.fetch_add(1, Ordering::Relaxed);
                    // Closed by the node: another one.
                    let _ = self.hold(stream).await;
                }
                Err(_) => drop(self.refused.fetch_add(1, Ordering::Relaxed)),
            }
            // To open them as fast as they are closed would measure this program.
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn connect(&self, node: usize) -> std::io::Result<TcpStream> {
        let socket = TcpSocket::new_v4()?;
        // Where the system has but one address of its own, the stranger has the one of the others.
        let _ = socket.bind((IpAddr::V4(STRANGER), 0).into());
        if self.attack == Attack::Reads {
            socket.set_recv_buffer_size(4_096)?;
        }
        socket.connect(self.nodes[node]).await
    }

    async fn hold(&self, mut stream: TcpStream) -> std::io::Result<()> {
        match self.attack {
            Attack::Slow => {
                for byte in SLOW_HEAD.iter().chain(std::iter::repeat(&b'x')) {
                    stream.write_all(&[*byte]).await?;
                    tokio::time::sleep(PAUSE).await;
                }
            }
            Attack::Reads => {
                stream.write_all(&self.question).await?;
                // A byte now and then: the client takes its answer, and so slowly that the node's side of the connection stays full.
                loop {
                    tokio::time::sleep(PAUSE).await;
                    if stream.read(&mut [0; 1]).await? == 0 {
                        return Ok(());
                    }
                }
            }
            _ => drop(stream.read(&mut [0; 1]).await?),
        }
        Ok(())
    }
}
