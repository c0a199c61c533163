//! `pleach status`: how the nodes are doing, as each says of itself.

use pleach_client::{Client, Failure};
use pleach_types::Hash;
use pleach_types::api::{Status, Voting};
use serde::Serialize;

use super::with_cluster;
use crate::args::Global;
use crate::errors::{CliError, Ending};
use crate::output::{Output, bytes, table};
use crate::row;

#[derive(Serialize)]
struct Document {
    cluster: String,
    genesis: Hash,
    members: usize,
    quorum: usize,
    healthy: bool,
    nodes: Vec<NodeView>,
}

#[derive(Serialize)]
struct NodeView {
    address: String,
    state: &'static str,
    /// Blocks behind the highest node that answered.
    lag: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    status: Option<Status>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

/// Asks every node that the profile names.
pub fn run(global: &Global, output: Output) -> Result<Ending, CliError> {
    let document = with_cluster(global, |client| async move {
        let statuses = client.statuses().await;
        // Who the members are now: without an answer those of genesis, which is better than nothing to say.
        if statuses.iter().any(Result::is_ok) {
            let _ = client.members().await;
        }
        Ok(document(&client, statuses))
    })?;
    output.data("pleach.status/1", &document, || text(&document))?;
    warn(output, &document);
    Ok(if document.healthy { Ending::Done } else { Ending::Unavailable })
}

fn document(client: &Client, statuses: Vec<Result<Status, Failure>>) -> Document {
    let genesis = client.genesis();
    let ours = |status: &&Status| status.genesis == client.genesis_digest();
    let newest = statuses.iter().flatten().filter(ours).map(|status| status.height).max().unwrap_or(0);
    let history = genesis.history;
    let view = |(node, status): (usize, Result<Status, Failure>)| {
        let address = client.address(node);
        match status {
            Err(failure) => {
                NodeView { address, state: "down", lag: None, status: None, error: Some(failure.to_string()) }
            }
            Ok(status) => {
                let lag = newest.saturating_sub(status.height);
                let state = match () {
                    () if !ours(&&status) => "other cluster",
                    () => state_of(&status, lag >= history, client.committee().member(&status.public_key).is_some()),
                };
                NodeView { address, state, lag: Some(lag), status: Some(status), error: None }
            }
        }
    };
    let nodes: Vec<_> = statuses.into_iter().enumerate().map(view).collect();
    let working = nodes.iter().filter(|node| node.state == "ok").count();
    // Whoever asks fewer nodes than make a quorum is told about those.
    let members = client.committee();
    let needed = members.quorum().min(nodes.len());
    Document {
        cluster: genesis.name.clone(),
        genesis: client.genesis_digest(),
        members: members.members().len(),
        quorum: members.quorum(),
        healthy: working >= needed,
        nodes,
    }
}

/// How a node of this cluster is doing.
fn state_of(status: &Status, behind: bool, is_member: bool) -> &'static str {
    match () {
        () if status.forked.is_some() => "forked",
        () if status.fetching.is_some() => "fetching",
        () if !status.ready => "starting",
        () if status.voting == Voting::Lost => "not voting",
        // It serves reads, and counts for no quorum yet.
        () if status.voting == Voting::Asking => "starting",
        () if behind => "behind",
        // On standby, or it has left: it counts for no quorum either.
        () if !is_member => "following",
        () => "ok",
    }
}

fn text(document: &Document) -> String {
    let mut rows = vec![row![
        "NODE",
        "STATE",
        "HEIGHT",
        "LAG",
        "CERTIFIED",
        "ROOT",
        "RECORDS",
        "STORED",
        "JOURNALS",
        "PENDING",
        "VERSION",
        "ADDRESS"
    ]];
    for NodeView { address, state, lag, status, .. } in &document.nodes {
        let Some(s) = status else {
            rows.push(row!["?", state, "-", "-", "-", "-", "-", "-", "-", "-", "-", address]);
            continue;
        };
        let (height, certified) = (format!("#{}", s.height), format!("#{}", s.certified_height));
        let (lag, root) = (lag.unwrap_or(0), s.certified_root.short());
        let (stored, journals) =
            (bytes(s.storage.record_bytes + s.storage.window_bytes), bytes(s.storage.journal_bytes));
        let version = &s.version;
        rows.push(row![
            s.name, state, height, lag, certified, root, s.records, stored, journals, s.pending, version, address
        ]);
    }
    let head = format!(
        "cluster {} · genesis {} · {} members, {} make a quorum\n",
        document.cluster,
        document.genesis.short(),
        document.members,
        document.quorum
    );
    head + &table(&rows)
}

fn warn(output: Output, document: &Document) {
    for node in &document.nodes {
        if let Some(Status { name, fetching: Some(fetching), .. }) = &node.status {
            output.talk(format_args!(
                "! {name} fetches its records from others: {} so far, {} items known to be left",
                bytes(fetching.bytes),
                fetching.items_left
            ));
        }
        if let Some(Status { name, forked: Some(height), .. }) = &node.status {
            output.talk(format_args!(
                "! {name} neither votes nor serves: it was shown that two different results of height {height} are certified. Rely on \
                 nothing that this cluster says from there on; fork.evidence in its data folder shows it (docs/trust.md)"
            ));
        }
        if let Some(old) = node.status.as_ref().and_then(too_old) {
            output.talk(format_args!("! {old}"));
        }
        if let Some(Status { name, voting: Voting::Lost, .. }) = &node.status {
            output.talk(format_args!(
                "! {name} does not vote: its data folder lacks votes that it has cast (it was deleted, or put back from an \
                 older copy). It votes again by itself once enough of the others have answered; its log says more"
            ));
        }
        if let Some(error) = &node.error {
            output.talk(format_args!("! {error}"));
        }
    }
    if let Some(short) = copies_missing(document.nodes.iter().filter_map(|node| node.status.as_ref())) {
        output.talk(format_args!(
            "! {short}: records are being copied to other members, or members that keep them are away. Remove no further member \
             before this is gone"
        ));
    }
    if !document.healthy {
        output.talk(format_args!(
            "! fewer nodes work than the {} that a quorum needs: nothing can be ordered, proved records can still be read",
            document.quorum
        ));
    }
}

/// That a node will stop at the end of the epoch, in words, if it will: its program does not know the rules that are decided.
fn too_old(status: &Status) -> Option<String> {
    let Status { name, version, rules_known, rules_next, .. } = status;
    (rules_next > rules_known).then(|| {
        format!(
            "{name} runs version {version} of the program, which knows the rules up to version {rules_known}, and version {rules_next} is in \
             force from the end of the epoch on. It stops before that: start it with a newer program, on the same data"
        )
    })
}

/// How many prefixes have too few copies, in words, if any has. Each node tells what it has been told: the one that knows of the fewest
/// copies is right, or has not heard yet.
pub fn copies_missing<'a>(statuses: impl Iterator<Item = &'a Status>) -> Option<String> {
    let short = statuses.map(|status| &status.storage).filter(|storage| storage.prefixes_below > 0);
    let storage = short.min_by_key(|storage| storage.least_copies)?;
    Some(format!(
        "{} of {} prefixes have fewer than {} copies, one has {}",
        storage.prefixes_below, storage.all_prefixes, storage.copies, storage.least_copies
    ))
}

#[cfg(test)]
pub mod tests {
    use pleach_types::PublicKey;
    use pleach_types::api::Storage;

    use super::*;

    /// What a node with this key says of itself that works.
    pub fn status_of(public_key: PublicKey) -> Status {
        Status {
            name: "node".into(),
            public_key,
            version: String::new(),
            cluster: String::new(),
            genesis: Hash::default(),
            height: 9,
            certified_height: 8,
            certified_root: Hash::default(),
            oldest_height: 1,
            records: 0,
            storage: Storage::default(),
            fetching: None,
            pending: 0,
            voting: Voting::Open,
            rules_known: 1,
            rules_next: 1,
            forked: None,
            ready: true,
        }
    }

    #[test]
    fn a_node_without_a_vote_is_never_taken_for_one_that_counts() {
        let status = status_of(PublicKey([1; 32]));
        assert_eq!(state_of(&status, false, true), "ok");
        assert_eq!(state_of(&status, false, false), "following");
        assert_eq!(state_of(&status, true, false), "behind");
        assert_eq!(too_old(&status), None);
        let old = too_old(&Status { rules_next: 2, ..status.clone() }).expect("it will stop");
        assert!(old.contains("up to version 1, and version 2"), "{old}");
        let forked = Status { forked: Some(7), ..status.clone() };
        assert_eq!(state_of(&forked, true, true), "forked");
        let asking = Status { voting: Voting::Asking, ..status };
        assert_eq!(state_of(&asking, false, true), "starting");
    }
}
