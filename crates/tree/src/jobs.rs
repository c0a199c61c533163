//! Nodes that wait for their labels.

use std::{mem, sync::Arc};

use crate::{
    hash::{Preimage, Preimages},
    label::Label,
    leaf_group,
    node::{Entry, Internal, Link, Slot, half, set_half},
};

/// Where a node comes from.
pub(crate) enum Owner<X> {
    /// A node inside a leaf group, of which only the label counts.
    Inner,
    /// There was none.
    New,
    /// One that nobody else has: it is used again.
    Alone(Arc<Internal<X>>),
    /// One that others have too: it stays as it is.
    Shared(Arc<Internal<X>>),
}

/// The number of a job.
#[derive(Clone, Copy)]
pub(crate) struct JobId(u32);

impl JobId {
    /// How the child on this side names its parent.
    pub(crate) fn child(self, side: usize) -> u32 {
        self.0 << 1 | side as u32
    }
}

struct Job<X> {
    depth: u16,
    parent: u32,
    owner: Owner<X>,
    links: [Link<X>; 2],
}

/// All nodes of a part of a batch that wait for their labels, in the order in which they were met from the root.
///
/// The first job is the stem: no node, but the parent of the subtree's root, so that the root is a child like others.
/// The row of each job is in `rows` under the same number.
pub(crate) struct Jobs<X> {
    rows: Preimages,
    jobs: Vec<Job<X>>,
    leaves: Preimages,
    /// Whose child each leaf is.
    leaf_parents: Vec<u32>,
    /// Numbers of jobs, those of the deepest nodes first.
    order: Vec<u32>,
    pub(crate) spare: Spare<X>,
}

/// Nodes that nobody has any more, kept for the next ones: one version after the other is dropped as the next one is
/// made, and allocators have a hard time with thousands of small pieces that come and go among larger ones.
pub(crate) struct Spare<X> {
    nodes: Vec<Arc<Internal<X>>>,
}

/// The most nodes kept, some four megabytes.
const SPARE_NODES_MAX: usize = 1 << 15;

impl<X> Spare<X> {
    /// A link to a node of these parts.
    pub(crate) fn node(&mut self, links: [Link<X>; 2], touched: u64, row: &Preimage) -> Link<X> {
        if let Some(mut node) = self.nodes.pop()
            && let Some(inner) = Arc::get_mut(&mut node)
        {
            *inner = Internal { links, touched, row: *row };
            return Link::Internal(node);
        }
        Link::Internal(Arc::new(Internal { links, touched, row: *row }))
    }

    /// Takes a node that may have been the last link's. Returns the links below, if it was.
    pub(crate) fn take(&mut self, mut node: Arc<Internal<X>>) -> Option<[Link<X>; 2]> {
        let links = mem::take(&mut Arc::get_mut(&mut node)?.links);
        if self.nodes.len() < SPARE_NODES_MAX {
            self.nodes.push(node);
        }
        Some(links)
    }
}

/// Nodes that are looked at together when a tree is dropped.
const DISMANTLED: usize = 256;

impl<X> Spare<X> {
    /// Drops what nobody else has, without recursion and some hundred nodes at a time. Their counts, and those of
    /// their children, are far apart in memory: looked at together, they come together.
    pub(crate) fn dismantle(&mut self, link: Link<X>) {
        let (mut ahead, mut group) = (vec![link], Vec::new());
        while !ahead.is_empty() {
            group.extend(ahead.drain(ahead.len().saturating_sub(DISMANTLED)..));
            std::hint::black_box(group.iter().fold(0, |sum, link: &Link<X>| sum ^ link.owners()));
            for link in group.drain(..) {
                if let Link::Internal(node) = link {
                    ahead.extend(self.take(node).into_iter().flatten());
                }
            }
        }
    }
}

impl<X> Jobs<X> {
    pub(crate) fn new() -> Self {
        let (jobs, leaf_parents, order) = (Vec::new(), Vec::new(), Vec::new());
        let spare = Spare { nodes: Vec::new() };
        Self { rows: Preimages::default(), jobs, leaves: Preimages::default(), leaf_parents, order, spare }
    }

    /// Begins a subtree. Returns how its root names its parent.
    pub(crate) fn start(&mut self) -> u32 {
        self.rows.truncate(0);
        self.jobs.clear();
        self.open(0, 0).child(0)
    }

    /// Adds a node at `depth`, whose row and links come later.
    pub(crate) fn open(&mut self, depth: usize, parent: u32) -> JobId {
        // A part of a batch makes at most some 256 jobs for each of a few thousand records.
        let id = JobId(self.jobs.len() as u32);
        let links = [Link::Empty, Link::Empty];
        self.jobs.push(Job { depth: depth as u16, parent, owner: Owner::Inner, links });
        self.rows.push(&[0; 64]);
        id
    }

    /// Takes back the last job.
    pub(crate) fn cancel(&mut self, id: JobId) {
        assert_eq!(id.0 as usize + 1, self.jobs.len(), "only the last job can be taken back");
        self.jobs.pop();
        self.rows.truncate(self.jobs.len());
    }

    /// Gives what the node has beside those children that are jobs or wait among the leaves.
    pub(crate) fn set(&mut self, id: JobId, owner: Owner<X>, row: Preimage, links: [Link<X>; 2]) {
        let job = &mut self.jobs[id.0 as usize];
        (job.owner, job.links) = (owner, links);
        *self.rows.row(id.0 as usize) = row;
    }

    /// Adds what the label of these records, in a leaf group at `depth`, is made of.
    pub(crate) fn label(&mut self, records: &[Entry<X>], depth: usize, parent: u32) {
        match records {
            [] => {}
            [record] => {
                self.leaves.push(&record.row());
                self.leaf_parents.push(parent);
            }
            records => {
                let job = self.open(depth, parent);
                for (side, records) in leaf_group::split(records, depth).into_iter().enumerate() {
                    self.label(records, depth + 1, job.child(side));
                }
            }
        }
    }

    /// Hashes everything. `root` is the root's link, unless the root is a job. Nodes are dated `height`.
    pub(crate) fn settle(&mut self, root: Link<X>, height: u64) -> Slot<X> {
        self.jobs[0].links[0] = root;
        let (rows, mut parents) = (&mut self.rows, self.leaf_parents.drain(..));
        self.leaves.hash(|hash| give(rows, parents.next().expect("each leaf has a parent"), Label::leaf(hash)));
        drop(parents);
        // Deepest first: a row is complete once both of its children have given their labels, and the rows of one depth are hashed together.
        let bounds = self.sort_deepest_first();
        for level in bounds.windows(2) {
            let (jobs, spare) = (&mut self.jobs, &mut self.spare);
            self.rows.hash_some(&self.order[level[0]..level[1]], |number, hash, rows| {
                let job = &mut jobs[number as usize];
                let parent = job.parent;
                give(rows, parent, Label::internal(hash));
                let (owner, links) = (mem::replace(&mut job.owner, Owner::Inner), mem::take(&mut job.links));
                if !matches!(owner, Owner::Inner) {
                    let row = *rows.row(number as usize);
                    jobs[parent as usize >> 1].links[parent as usize & 1] = node(owner, &row, links, height, spare);
                }
            });
        }
        let stem = &mut self.jobs[0];
        Slot { label: Label::from_bytes(half(self.rows.row(0), 0)), link: mem::take(&mut stem.links[0]) }
    }

    /// Fills `order` with the numbers of all jobs but the stem. Returns where each depth begins, from the greatest
    /// down, and where the last one ends.
    fn sort_deepest_first(&mut self) -> Vec<usize> {
        let nodes = &self.jobs[1..];
        let depths = nodes.iter().map(|job| usize::from(job.depth)).max().map_or(0, |depth| depth + 1);
        let level = |job: &Job<X>| depths - usize::from(job.depth);
        let mut bounds = vec![0; depths + 1];
        nodes.iter().for_each(|job| bounds[level(job)] += 1);
        bounds.iter_mut().fold(0, |sum, count| sum + mem::replace(count, sum));
        self.order.clear();
        self.order.resize(nodes.len(), 0);
        for (number, job) in (1..).zip(nodes) {
            let place = &mut bounds[level(job)];
            self.order[*place] = number;
            *place += 1;
        }
        // Each bound has moved to the end of its depth, which is where the next one begins.
        bounds
    }
}

/// Writes a child's label into its parent's row.
fn give(rows: &mut Preimages, parent: u32, label: Label) {
    set_half(rows.row(parent as usize >> 1), parent as usize & 1, label.as_bytes());
}

/// A node of these parts.
pub(crate) fn node<X>(
    owner: Owner<X>,
    row: &Preimage,
    links: [Link<X>; 2],
    touched: u64,
    spare: &mut Spare<X>,
) -> Link<X> {
    match owner {
        Owner::Alone(mut node) => match Arc::get_mut(&mut node) {
            Some(inner) => {
                *inner = Internal { links, touched, row: *row };
                Link::Internal(node)
            }
            None => unreachable!("a node that was taken out of the only tree that had it"),
        },
        Owner::Inner | Owner::New | Owner::Shared(_) => spare.node(links, touched, row),
    }
}
