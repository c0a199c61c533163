//! Each way to break the rules, on real processes: no client is told a wrong value, what leaves proof leads to the expulsion of the
//! liar and of nobody else, and what leaves none convicts nobody.
//!
//! The demo asserts all of that step by step; here is held that it does so for every kind, and that the kinds are those that
//! there are.

mod common;

use common::{Folder, run};
use pleach_node::byzantine::Byzantine;

/// Runs the demo beside a liar. The steps that it asserts, and all that it says.
#[track_caller]
fn beside(kind: Byzantine, nodes: u16) -> (Vec<String>, String) {
    let (folder, nodes) = (Folder::new(), nodes.to_string());
    let size = ["--nodes", &nodes, "--accounts", "30", "--clients", "4", "-o", "json"];
    let ran = run(&folder, &[&["demo", "--byzantine", kind.name()][..], &size].concat());
    let document = ran.succeeds().json("pleach.demo/1");
    assert_eq!(document["passed"], true);
    assert_eq!(folder.contents(), [], "nothing is left behind");
    let steps = document["steps"].as_array().expect("steps");
    let asserts = steps.iter().map(|step| step["asserts"].as_str().expect("words").to_owned()).collect();
    (asserts, ran.stderr)
}

#[track_caller]
fn says(all: &str, words: &[&str]) {
    for words in words {
        assert!(all.contains(words), "no {words:?} in {all}");
    }
}

/// What leaves proof: convicted by a file that is judged offline, out of the order in time, its records copied.
#[track_caller]
fn is_expelled(kind: Byzantine, by: &str) {
    assert!(kind.leaves_proof());
    let (steps, all) = beside(kind, 4);
    assert_eq!(steps.len(), 9, "{steps:#?}");
    says(
        &all,
        &[by, "judged with no node's help", "expels node-3", "3 members tolerate no fault", "the balances add up"],
    );
}

/// What leaves no proof: an epoch later everybody is a member.
#[track_caller]
fn convicts_nobody(kind: Byzantine) -> (Vec<String>, String) {
    assert!(!kind.leaves_proof());
    let (steps, all) = beside(kind, 4);
    says(&all, &["leaves no proof, and convicts nobody", "all 4 are members"]);
    assert_eq!(kind.lies_to_readers(), all.contains("the client says who"), "{steps:#?}");
    (steps, all)
}

#[test]
fn another_value_is_not_believed_and_convicts_nobody() {
    convicts_nobody(Byzantine::Value);
}

#[test]
fn a_damaged_proof_is_not_believed_and_convicts_nobody() {
    convicts_nobody(Byzantine::Proof);
}

#[test]
fn another_root_is_not_believed_and_its_signer_is_expelled() {
    is_expelled(Byzantine::Root, "anybody's complaint");
}

#[test]
fn forged_absence_is_not_believed_and_convicts_nobody() {
    convicts_nobody(Byzantine::Absence);
}

#[test]
fn the_proof_of_another_record_is_not_believed_and_convicts_nobody() {
    convicts_nobody(Byzantine::OtherKey);
}

#[test]
fn an_old_height_is_not_taken_for_a_new_one_and_convicts_nobody() {
    convicts_nobody(Byzantine::Stale);
}

#[test]
fn a_silent_node_holds_no_reader_up_and_is_not_convicted() {
    convicts_nobody(Byzantine::Silent);
}

/// It cannot make reads old by what it says of the newest block, nor have readers wait for one that does not exist.
#[test]
fn an_old_block_shown_as_the_newest_holds_nobody_in_the_past_and_convicts_nobody() {
    convicts_nobody(Byzantine::Newest);
}

#[test]
fn two_histories_are_noticed_and_their_signer_is_expelled() {
    is_expelled(Byzantine::SplitView, "anybody's complaint");
}

#[test]
fn a_member_that_votes_twice_is_expelled_by_the_others() {
    is_expelled(Byzantine::Votes, "the members' own complaint");
}

#[test]
fn a_leader_with_two_proposals_is_expelled_by_the_others() {
    is_expelled(Byzantine::Proposals, "the members' own complaint");
}

/// Of seven members three see one proposal and three the other: neither is certified, and no certificate shows anybody both.
#[test]
fn a_leader_none_of_whose_two_proposals_is_certified_is_expelled_all_the_same() {
    let (_, all) = beside(Byzantine::Proposals, 7);
    says(&all, &["the members' own complaint expels node-6", "6 members tolerate 1 faulty", "the balances add up"]);
}

#[test]
fn false_parts_of_a_state_keep_no_member_from_coming_back() {
    let (_, all) = convicts_nobody(Byzantine::Transfer);
    says(&all, &["node-4 loses its disk, and has its", "false parts"]);
}

#[test]
fn false_complaints_convict_nobody() {
    convicts_nobody(Byzantine::Complaints);
}

#[test]
fn a_leader_that_hides_its_proposals_stops_nobody_and_convicts_nobody() {
    convicts_nobody(Byzantine::Hidden);
}

#[test]
fn a_leader_that_is_always_late_stops_nobody_and_convicts_nobody() {
    convicts_nobody(Byzantine::Late);
}

#[test]
fn a_flood_stops_nobody_and_convicts_nobody() {
    convicts_nobody(Byzantine::Flood);
}

#[test]
fn each_kind_has_its_test_and_a_kind_that_is_none_is_named() {
    let source = include_str!("byzantine.rs");
    for kind in Byzantine::ALL {
        let test = format!("(Byzantine::{kind:?}");
        assert!(source.contains(&test), "no test of {kind:?}");
        assert_eq!(kind.name().parse(), Ok(*kind));
    }
    let folder = Folder::new();
    run(&folder, &["demo", "--byzantine", "nonsense"]).fails(2, &["nonsense", "other-key", "flood"]);
    run(&folder, &["start", "--byzantine", "nonsense"]).fails(2, &["nonsense", "other-key", "flood"]);
    run(&folder, &["demo", "--byzantine", "value", "--keep"]).fails(2, &["--keep"]);
}
