//! Whole clusters of real nodes on the deterministic runtime, with faults of disks, machines, networks and members.
//!
//! One program for all of them: it takes less time to compile and to link than one for each.

mod burdens;
mod canary;
mod cluster;
mod copies;
mod engines;
mod forks;
mod framing;
mod fresh;
mod membership;
mod moves;
mod read_through;
mod recovery;
mod requests;
mod storage;
