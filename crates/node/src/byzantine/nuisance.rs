//! What a node sends to the others unasked, to cost them time.

use bytes::Bytes;
use pleach_order::Network;
use pleach_types::vote::{Ballot, Proposal, Round, Vote};
use pleach_types::{Encode as _, Evidence, Hash, PublicKey, SecretKey, SystemRequest};

use super::lies::Manner;
use crate::core::Node;
use crate::pool::Origin;
use crate::transfer::wire::Message;

/// False complaints of one turn. There are some turns a second.
const COMPLAINTS: u64 = 16;
/// Messages of a flood in one turn, and bytes of each.
const MESSAGES: u64 = 64;
const MESSAGE_BYTES: usize = 16 << 10;

/// Accuses each of the others of two votes, which the node itself has signed. Each complaint is another one.
pub(super) fn complain(manner: &Manner, node: &Node, network: &Network) {
    for accused in node.others() {
        for _ in 0..COMPLAINTS {
            let complaint = false_complaint(&node.genesis_digest, &node.secret, accused, manner.next());
            // Past the node's own checks, which would refuse it.
            let _ = network.broadcast(Message::request(Origin::default(), &complaint));
        }
    }
}

/// A complaint about two votes of another member that nobody but the liar has signed.
fn false_complaint(genesis: &Hash, liar: &SecretKey, accused: PublicKey, number: u64) -> Bytes {
    let round = Round { epoch: 0, view: number + 1 };
    let vote = |block| {
        let proposal = Proposal { parent_view: number, block: Hash([block; 32]) };
        Vote::sign(Ballot::Notarize(proposal), genesis, round, liar)
    };
    let evidence = Evidence::of_votes(*genesis, accused, round, vote(1), vote(2));
    SystemRequest::complain(evidence, None).encode().into()
}

/// Fills the network: one half is no message, the other half is no request.
pub(super) fn flood(manner: &Manner, network: &Network) {
    for _ in 0..MESSAGES {
        let number = manner.next();
        let junk: Bytes = number.to_le_bytes().iter().copied().cycle().take(MESSAGE_BYTES).collect();
        let message = if number.is_multiple_of(2) { junk } else { Message::request(Origin(number), &junk) };
        let _ = network.broadcast(message);
    }
}

#[cfg(test)]
mod tests {
    use pleach_types::Decode as _;
    use pleach_types::evidence::NotProven;
    use pleach_types::system::{Action, Complaint};

    use super::*;

    #[test]
    fn false_complaints_are_well_formed_and_are_refused_for_their_signatures_alone() {
        let (genesis, liar, victim) = (Hash([7; 32]), SecretKey::from_seed([1; 32]), SecretKey::from_seed([2; 32]));
        let encoded = false_complaint(&genesis, &liar, victim.public(), 4);
        let Action::Complain(Complaint { evidence, .. }) = SystemRequest::decode(&encoded).expect("a request").action
        else {
            panic!("a complaint");
        };
        assert_eq!(evidence.accused, victim.public());
        assert_eq!(evidence.judge(&genesis, None), Err(NotProven::Signature(victim.public())));
        assert_ne!(encoded, false_complaint(&genesis, &liar, victim.public(), 5));
    }
}
