//! What a member agrees to when it takes part in a cluster.

use pleach_types::{Domains, Genesis, Hash, MemberDescription, PublicKey};
use serde::Serialize;

use crate::output::{row, table};

/// The terms of a genesis, as far as they are about members, and what the members say of themselves.
#[derive(Serialize)]
pub struct GenesisTerms {
    genesis: Hash,
    cluster: String,
    salt: String,
    members: Vec<MemberDescription>,
    faults_tolerated: usize,
    copies: usize,
    epoch_blocks: u32,
    absent_epochs: u16,
    window: u64,
    owners: Vec<PublicKey>,
    threshold: u8,
    domains: Domains,
}

impl GenesisTerms {
    /// The terms of a genesis whose members these are.
    pub fn of(genesis: &Genesis, members: &[MemberDescription]) -> Self {
        let governance = &genesis.governance;
        Self {
            genesis: genesis.digest(),
            cluster: genesis.name.clone(),
            salt: hex::encode(genesis.salt),
            members: members.to_vec(),
            faults_tolerated: pleach_types::committee::faults(genesis.members.len()),
            copies: genesis.copies(),
            epoch_blocks: governance.epoch_blocks,
            absent_epochs: governance.absent_epochs,
            window: genesis.window,
            owners: governance.owners.clone(),
            threshold: governance.threshold,
            domains: governance.domains,
        }
    }

    /// The terms for people.
    pub fn text(&self) -> String {
        let rows = vec![
            row!["cluster", self.cluster],
            row!["genesis", self.genesis],
            row!["salt", self.salt],
            row!["members", format!("{}, {} of them may be faulty", self.members.len(), self.faults_tolerated)],
            row!["copies", format!("{} of each record", self.copies)],
            row!["epoch", format!("{} blocks: members change at the end of one", self.epoch_blocks)],
            row!["absent", self.absent_text()],
            row!["window", format!("{} blocks: no older proof is accepted", self.window)],
            row![
                "domains",
                if self.domains == Domains::Open { "anybody creates them" } else { "the owners approve them" }
            ],
            row!["owners", self.owners_text()],
        ];
        let mut text = table(&rows);
        text.extend(self.owners.iter().map(|owner| format!("  {owner}\n")));
        let mut members = vec![row!["MEMBER", "CAPACITY", "FOR MEMBERS", "FOR CLIENTS", "PUBLIC KEY"]];
        members.extend(self.members.iter().map(|m| row![m.name, m.capacity, m.peer, m.public, m.public_key]));
        text + "\n" + &table(&members)
    }

    fn absent_text(&self) -> String {
        match self.absent_epochs {
            0 => "nobody leaves for leading no block".into(),
            epochs => format!("who leads no block for {epochs} epochs leaves"),
        }
    }

    fn owners_text(&self) -> String {
        match self.owners.len() {
            0 => "nobody: members leave by evidence alone".into(),
            owners => format!("{} of {owners} must sign a change of the members:", self.threshold),
        }
    }
}
