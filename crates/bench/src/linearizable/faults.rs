//! What happens to the nodes while clients read and write.

use std::fmt;
use std::time::{Duration, Instant};

use rand::Rng as _;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom as _, SliceRandom as _};

use super::history::Shared;
use crate::links::{Flow, Links};
use crate::nodes::{NODES, Nodes};

/// How long a fault lasts that leaves a quorum, in milliseconds.
const LASTS: std::ops::Range<u64> = 500..7_000;
/// The same where none is left: longer than reads and calls wait.
const LASTS_WITHOUT: std::ops::Range<u64> = 5_000..9_000;
/// How long nodes have between two faults, once all serve.
const BETWEEN: std::ops::Range<u64> = 0..1_500;

/// A fault, and whom it strikes.
#[derive(Clone, Debug)]
pub enum Fault {
    /// These are stopped where they are, and go on later.
    Pause(Vec<usize>),
    /// These are killed, and started again later.
    Kill(Vec<usize>),
    /// These and the others do not hear each other.
    Cut(Vec<usize>, Flow),
    /// This one hears nothing from the others, and they hear it.
    Deaf(usize),
    /// This one is not heard by the others, and hears them.
    Mute(usize),
    /// These two do not hear each other.
    Link(usize, usize, Flow),
    /// The first one is killed while the second one is paused, and is started while the second one is away.
    KillBeside(usize, usize),
}

/// What a fault leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leaves {
    /// n - f members that reach each other.
    Quorum,
    /// Too few members that reach each other, and all of them answer clients: reads come back, calls are not done.
    Readers,
    /// Too few members that answer: no read that is fresh comes back, and no call is done.
    Nobody,
    /// One or the other, from one moment to the next.
    Changing,
}

/// A time in which a fault lasted.
#[derive(Clone, Debug)]
pub struct Injected {
    /// The fault.
    pub fault: String,
    /// Its kind.
    pub kind: &'static str,
    /// What it left.
    pub leaves: Leaves,
    /// From this moment to that one, as [`pleach_testkit::linear::Moments`] has them; the time of the fault is a bit longer at both ends.
    pub moments: [u64; 2],
    /// The same in milliseconds since the beginning of the run.
    pub millis: [u128; 2],
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |nodes: &[usize]| nodes.iter().map(|node| (node + 1).to_string()).collect::<Vec<_>>().join(" and ");
        let how = |flow: &Flow| if *flow == Flow::Held { "silently" } else { "with an end of connections" };
        match self {
            Self::Pause(nodes) => write!(f, "node {} paused", names(nodes)),
            Self::Kill(nodes) => write!(f, "node {} killed", names(nodes)),
            Self::Cut(nodes, flow) => write!(f, "node {} cut off {}", names(nodes), how(flow)),
            Self::Deaf(node) => write!(f, "node {} hears nobody", node + 1),
            Self::Mute(node) => write!(f, "node {} is heard by nobody", node + 1),
            Self::Link(a, b, flow) => write!(f, "nodes {} and {} cut from each other {}", a + 1, b + 1, how(flow)),
            Self::KillBeside(a, b) => write!(f, "node {} killed and started while node {} is paused", a + 1, b + 1),
        }
    }
}

impl Fault {
    /// All kinds that [`Fault::kind`] can be, in the order of the summary.
    pub const KINDS: [&'static str; 11] = [
        "one paused",
        "one killed",
        "one cut off",
        "one deaf",
        "one mute",
        "a link cut",
        "one killed beside a paused one",
        "two paused",
        "two killed",
        "two cut off from two",
        "all killed",
    ];

    fn any(random: &mut StdRng) -> Self {
        let mut nodes: Vec<_> = (0..usize::from(NODES)).collect();
        nodes.shuffle(random);
        let flow = *[Flow::Held, Flow::Ended].choose(random).unwrap_or(&Flow::Ended);
        let (one, two) = (nodes[0], nodes[..2].to_vec());
        match random.random_range(0..24) {
            0..4 => Self::Pause(vec![one]),
            4..7 => Self::Kill(vec![one]),
            7..12 => Self::Cut(vec![one], flow),
            12..14 => Self::Deaf(one),
            14..16 => Self::Mute(one),
            16..18 => Self::Link(one, nodes[1], flow),
            18 => Self::KillBeside(one, nodes[1]),
            19..21 => Self::Pause(two),
            21 => Self::Kill(two),
            22 => Self::Cut(two, flow),
            _ => Self::Kill(nodes),
        }
    }

    fn kind(&self) -> &'static str {
        match self {
            Self::Pause(nodes) if nodes.len() > 1 => "two paused",
            Self::Pause(_) => "one paused",
            Self::Kill(nodes) if nodes.len() > 2 => "all killed",
            Self::Kill(nodes) if nodes.len() > 1 => "two killed",
            Self::Kill(_) => "one killed",
            Self::Cut(nodes, _) if nodes.len() > 1 => "two cut off from two",
            Self::Cut(..) => "one cut off",
            Self::Deaf(_) => "one deaf",
            Self::Mute(_) => "one mute",
            Self::Link(..) => "a link cut",
            Self::KillBeside(..) => "one killed beside a paused one",
        }
    }

    fn leaves(&self) -> Leaves {
        match self {
            Self::Pause(nodes) | Self::Kill(nodes) if nodes.len() > 1 => Leaves::Nobody,
            Self::Cut(nodes, _) if nodes.len() > 1 => Leaves::Readers,
            Self::KillBeside(..) => Leaves::Changing,
            _ => Leaves::Quorum,
        }
    }

    fn begin(&self, nodes: &mut Nodes, links: &Links) -> Result<(), String> {
        match self {
            Self::Pause(paused) => paused.iter().try_for_each(|node| nodes.pause(*node)),
            Self::Kill(killed) => killed.iter().try_for_each(|node| nodes.kill(*node)),
            Self::KillBeside(killed, paused) => nodes.pause(*paused).and_then(|()| nodes.kill(*killed)),
            _ => {
                self.cut(links, |flow| flow);
                Ok(())
            }
        }
    }

    fn end(&self, nodes: &mut Nodes, links: &Links) -> Result<(), String> {
        match self {
            Self::Pause(paused) => paused.iter().try_for_each(|node| nodes.go_on(*node)),
            Self::Kill(killed) => killed.iter().try_for_each(|node| nodes.begin(*node)),
            Self::KillBeside(_, paused) => nodes.go_on(*paused),
            _ => {
                self.cut(links, |_| Flow::Open);
                Ok(())
            }
        }
    }

    /// Sets the links that this is about.
    fn cut(&self, links: &Links, now: impl Fn(Flow) -> Flow) {
        let others = |nodes: &[usize]| (0..usize::from(NODES)).filter(|node| !nodes.contains(node)).collect::<Vec<_>>();
        match self {
            Self::Cut(nodes, flow) => {
                links.set(nodes, &others(nodes), now(*flow));
                links.set(&others(nodes), nodes, now(*flow));
            }
            Self::Deaf(node) => links.set(&others(&[*node]), &[*node], now(Flow::Held)),
            Self::Mute(node) => links.set(&[*node], &others(&[*node]), now(Flow::Held)),
            Self::Link(a, b, flow) => {
                links.set(&[*a], &[*b], now(*flow));
                links.set(&[*b], &[*a], now(*flow));
            }
            Self::Pause(_) | Self::Kill(_) | Self::KillBeside(..) => {}
        }
    }
}

/// One fault after another until the time is over; the next one once all nodes serve.
///
/// # Errors
/// If a node ends by itself or does not come back.
pub async fn inject(
    nodes: &mut Nodes,
    links: &Links,
    shared: &Shared,
    random: &mut StdRng,
    until: Instant,
) -> Result<Vec<Injected>, String> {
    let mut all = Vec::new();
    while Instant::now() < until {
        let fault = Fault::any(random);
        let leaves = fault.leaves();
        let lasts = if leaves == Leaves::Quorum { LASTS } else { LASTS_WITHOUT };
        let lasts = Duration::from_millis(random.random_range(lasts));
        fault.begin(nodes, links)?;
        // After it has begun, and below before it ends: between the two it lasted for certain, which is what `History::impossible` judges by.
        let from = (shared.moments.now(), shared.millis());
        eprintln!("{:>7.1} s: {fault}, for {:.1} s", from.1 as f64 / 1e3, lasts.as_secs_f64());
        if let Fault::KillBeside(killed, _) = &fault {
            tokio::time::sleep(lasts / 2).await;
            nodes.begin(*killed)?;
            tokio::time::sleep(lasts / 2).await;
        } else {
            tokio::time::sleep(lasts).await;
        }
        let to = (shared.moments.now(), shared.millis());
        fault.end(nodes, links)?;
        let (moments, millis) = ([from.0, to.0], [from.1, to.1]);
        all.push(Injected { fault: fault.to_string(), kind: fault.kind(), leaves, moments, millis });
        // Else the next one would strike a cluster that is not whole, and leave less than it says.
        for node in 0..nodes.count() {
            nodes.wait_until_serving(node).await.map_err(|e| format!("after {fault}: {e}"))?;
        }
        tokio::time::sleep(Duration::from_millis(random.random_range(BETWEEN))).await;
    }
    Ok(all)
}
