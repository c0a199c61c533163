//! Connections between nodes that can be cut, each direction by itself.
//!
//! Each node is told, for each other one, an address of this program, which passes on what it takes there. So a node is cut off from the others
//! while clients reach it as before, which is what makes it answer with what is old.

use std::net::{Ipv4Addr, SocketAddr, ToSocketAddrs as _};
use std::path::Path;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::nodes::NODES;

/// Bytes that are passed on at once.
const CHUNK: usize = 64 << 10;

/// What becomes of what one node sends to another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flow {
    /// It arrives.
    Open,
    /// It waits, as where a network loses all packets for a time: connections stay, and nothing comes.
    Held,
    /// Connections end, and new ones end at once.
    Ended,
}

/// The flow from each node to each other one.
type Flows = Vec<Vec<Flow>>;

/// All links of a cluster.
pub struct Links {
    flows: watch::Sender<Flows>,
    /// Where each node takes connections that are meant for each other one.
    listeners: Vec<Vec<Option<TcpListener>>>,
    work: JoinSet<()>,
}

impl Links {
    /// Listens for all nodes.
    pub async fn listen() -> Result<Self, String> {
        let count = usize::from(NODES);
        let mut listeners = Vec::new();
        for _ in 0..count {
            let mut of_one = Vec::new();
            for _ in 0..count {
                let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
                of_one.push(Some(listener.map_err(|e| format!("a port for a link: {e}"))?));
            }
            listeners.push(of_one);
        }
        let flows = watch::Sender::new(vec![vec![Flow::Open; count]; count]);
        Ok(Self { flows, listeners, work: JoinSet::new() })
    }

    /// Puts the links of a node into its configuration, in the place of the addresses of the others, and begins to pass on.
    pub fn put_into(&mut self, config: &Path, from: usize) -> Result<(), String> {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", config.display());
        let text = std::fs::read_to_string(config).map_err(|e| failed(&e))?;
        let mut table: toml::Table = toml::from_str(&text).map_err(|e| failed(&e))?;
        let members =
            table.get_mut("member").and_then(toml::Value::as_array_mut).ok_or_else(|| failed(&"no members"))?;
        for member in members {
            let to = number(member).ok_or_else(|| failed(&"a member that is none of the nodes"))?;
            // Its own address stays as it is: there it listens.
            if to == from {
                continue;
            }
            let peer = member.get_mut("peer").ok_or_else(|| failed(&"a member without an address"))?;
            let target = peer.as_str().and_then(|peer| peer.to_socket_addrs().ok()?.next());
            let target = target.ok_or_else(|| failed(&"an address that is none"))?;
            let listener = self.listeners[from][to].take().ok_or_else(|| failed(&"the links are taken"))?;
            let own = listener.local_addr().map_err(|e| failed(&e))?;
            *peer = toml::Value::String(own.to_string());
            self.work.spawn(take(listener, target, [from, to], self.flows.subscribe()));
        }
        std::fs::write(config, table.to_string()).map_err(|e| failed(&e))
    }

    /// Says what becomes of what these nodes send to those.
    pub fn set(&self, from: &[usize], to: &[usize], flow: Flow) {
        self.flows.send_modify(|flows| {
            for from in from {
                to.iter().for_each(|to| flows[*from][*to] = flow);
            }
        });
    }
}

/// Which node a section about a member is of: `pleach init` names them node-1 and so on.
fn number(member: &toml::Value) -> Option<usize> {
    let number: usize = member.get("name")?.as_str()?.strip_prefix("node-")?.parse().ok()?;
    number.checked_sub(1).filter(|number| *number < usize::from(NODES))
}

/// Takes connections that one node makes to another one.
async fn take(listener: TcpListener, target: SocketAddr, ends: [usize; 2], flows: watch::Receiver<Flows>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            taken = listener.accept() => {
                let Ok((stream, _)) = taken else { continue };
                connections.spawn(carry(stream, target, ends, flows.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

/// Passes on what comes on a connection, until one side or the link ends it.
async fn carry(near: TcpStream, target: SocketAddr, [from, to]: [usize; 2], mut flows: watch::Receiver<Flows>) {
    let ended = |flows: &Flows| flows[from][to] == Flow::Ended || flows[to][from] == Flow::Ended;
    if ended(&flows.borrow()) {
        return;
    }
    let Ok(far) = TcpStream::connect(target).await else { return };
    let _ = (near.set_nodelay(true), far.set_nodelay(true));
    let ((near_in, near_out), (far_in, far_out)) = (near.into_split(), far.into_split());
    let there = pass_on(near_in, far_out, [from, to], flows.clone());
    let back = pass_on(far_in, near_out, [to, from], flows.clone());
    tokio::select! {
        () = there => {}
        () = back => {}
        _ = flows.wait_for(ended) => {}
    }
}

async fn pass_on(
    mut source: OwnedReadHalf,
    mut sink: OwnedWriteHalf,
    [from, to]: [usize; 2],
    mut flows: watch::Receiver<Flows>,
) {
    let mut chunk = vec![0; CHUNK];
    while let Ok(read @ 1..) = source.read(&mut chunk).await {
        // What has come meanwhile waits too, and the sender's buffers fill up behind it.
        if flows.wait_for(|flows| flows[from][to] != Flow::Held).await.is_err() {
            return;
        }
        if sink.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}
