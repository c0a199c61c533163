//! `pleach status`: how the nodes are doing, as each says of itself, and what of that is proved.

use std::collections::BTreeMap;
use std::pin::pin;
use std::time::Duration;

use futures::future::{Either, join, select};
use pleach_client::{Client, NodeFailure};
use pleach_types::api::{Condition, MembersView, Severity, Status, Storage, Voting};
use pleach_types::{Hash, Height};
use serde::Serialize;

use super::connected::with_cluster;
use crate::args::Global;
use crate::errors::{CliError, Ending};
use crate::output::{Output, bytes, row, table};

/// How long a proof of the newest height is waited for, beside what the nodes say.
const PROOF_WAIT: Duration = Duration::from_secs(2);

#[derive(Serialize)]
struct Document {
    cluster: String,
    genesis: Hash,
    members: usize,
    quorum: usize,
    health: Health,
    /// The newest height that a quorum has signed, as far as the nodes asked can show one: checked, not believed.
    #[serde(skip_serializing_if = "Option::is_none")]
    proved: Option<ProvedStatus>,
    /// What is the case, and which nodes say so.
    conditions: Vec<SaidCondition>,
    nodes: Vec<NodeView>,
}

/// How the cluster is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    /// All is well.
    Healthy,
    /// It works, and somebody should look after something.
    Degraded,
    /// Too few nodes work for anything to be decided.
    Unavailable,
}

#[derive(Clone, Copy, Serialize)]
struct ProvedStatus {
    height: Height,
    root: Hash,
}

/// A condition, and who says that it is so: nobody's name is there where this command has found it out.
#[derive(Serialize)]
struct SaidCondition {
    by: Vec<String>,
    #[serde(flatten)]
    condition: Condition,
}

#[derive(Serialize)]
struct NodeView {
    address: String,
    /// Its name: what it says of itself, or where it does not answer what others say of whom clients reach there.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
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
        let (statuses, members, proved) = ask(&client).await;
        Ok(document(&client, statuses, members.as_ref(), proved))
    })?;
    output.data("pleach.status/2", &document, || text(&document))?;
    talk(output, &document);
    Ok(match document.health {
        Health::Healthy => Ending::Done,
        Health::Degraded => Ending::Degraded,
        Health::Unavailable => Ending::Unavailable,
    })
}

type Statuses = Vec<Result<Status, NodeFailure>>;

/// What the nodes say, who the members are, and what is proved. At once: one node that is silent takes all the time that there is for an answer.
async fn ask(client: &Client) -> (Statuses, Option<MembersView>, Option<ProvedStatus>) {
    let statuses = pin!(client.statuses());
    let rest = pin!(join(client.members(), proved(client)));
    match select(statuses, rest).await {
        Either::Left((statuses, rest)) if statuses.iter().any(Result::is_ok) => {
            let (members, proved) = rest.await;
            (statuses, members.ok(), proved)
        }
        // Who the members are now: without an answer those of genesis, which is better than nothing to say.
        Either::Left((statuses, _)) => (statuses, None, None),
        Either::Right(((members, proved), statuses)) => (statuses.await, members.ok(), proved),
    }
}

/// The newest height that a node can show to be certified. That no node can is worth a line, and not a long wait.
async fn proved(client: &Client) -> Option<ProvedStatus> {
    let shown = tokio::time::timeout(PROOF_WAIT, client.certified()).await.ok()?;
    shown.ok()?.map(|result| ProvedStatus { height: result.height, root: result.root })
}

fn document(
    client: &Client,
    statuses: Statuses,
    known: Option<&MembersView>,
    proved: Option<ProvedStatus>,
) -> Document {
    let genesis = client.genesis();
    let ours = |status: &&Status| status.genesis == client.genesis_digest();
    let newest = statuses.iter().flatten().filter(ours).map(|status| status.height).max().unwrap_or(0);
    let name_at = |address: &str| {
        let members = known.into_iter().flat_map(|known| &known.members);
        members.into_iter().find(|member| member.http.as_deref() == Some(address)).map(|member| member.name.clone())
    };
    let view = |(node, status): (usize, Result<Status, NodeFailure>)| {
        let address = client.address(node);
        match status {
            Err(failure) => NodeView {
                name: name_at(&address),
                address,
                state: "down",
                lag: None,
                status: None,
                error: Some(failure.to_string()),
            },
            Ok(status) => {
                let lag = newest.saturating_sub(status.height);
                let is_member = client.committee().member(&status.public_key).is_some();
                let state =
                    if ours(&&status) { state_of(&status, lag >= genesis.window, is_member) } else { "other cluster" };
                NodeView {
                    address,
                    name: Some(status.name.clone()),
                    state,
                    lag: Some(lag),
                    status: Some(status),
                    error: None,
                }
            }
        }
    };
    let nodes: Vec<_> = statuses.into_iter().enumerate().map(view).collect();
    let conditions = conditions(&nodes);
    let committee = client.committee();
    // Whoever asks fewer nodes than make a quorum is told about those.
    let needed = committee.quorum().min(nodes.len());
    Document {
        cluster: genesis.name.clone(),
        genesis: client.genesis_digest(),
        members: committee.members().len(),
        quorum: committee.quorum(),
        health: health(&nodes, &conditions, needed),
        proved,
        conditions,
        nodes,
    }
}

fn health(nodes: &[NodeView], conditions: &[SaidCondition], needed: usize) -> Health {
    let working = nodes.iter().filter(|node| node.state == "ok").count();
    let forked = conditions.iter().any(|said| said.condition.name == UNEQUAL_ROOTS);
    match () {
        () if working < needed || forked => Health::Unavailable,
        () if conditions.is_empty() && nodes.iter().all(|node| ["ok", "following"].contains(&node.state)) => {
            Health::Healthy
        }
        () => Health::Degraded,
    }
}

/// What nodes say beside their state, the worst first. What several say in the same words is said once.
fn conditions(nodes: &[NodeView]) -> Vec<SaidCondition> {
    let mut found: Vec<SaidCondition> = unequal_roots(nodes).into_iter().collect();
    for status in nodes.iter().filter_map(|node| node.status.as_ref()) {
        for condition in &status.conditions {
            match found.iter_mut().find(|said| said.condition == *condition) {
                Some(said) => said.by.push(status.name.clone()),
                None => found.push(SaidCondition { by: vec![status.name.clone()], condition: condition.clone() }),
            }
        }
    }
    found.sort_by_key(|said| said.condition.severity);
    found
}

const UNEQUAL_ROOTS: &str = "unequal_roots";

/// Two nodes that state different roots for one certified height: one of them misbehaves or is broken, or the cluster has forked.
fn unequal_roots(nodes: &[NodeView]) -> Option<SaidCondition> {
    let mut seen: BTreeMap<Height, (&str, Hash)> = BTreeMap::new();
    for status in nodes.iter().filter(|node| node.state != "other cluster").filter_map(|node| node.status.as_ref()) {
        let (height, root) = (status.certified_height, status.certified_root);
        let (first, other) = *seen.entry(height).or_insert((&status.name, root));
        if other != root {
            let text = format!("{first} and {} state different roots of height {height}", status.name);
            let hint = "rely on nothing that they say before you know which is wrong: pleach audit once compares what they can prove";
            let (name, severity) = (UNEQUAL_ROOTS.into(), Severity::Failing);
            let condition = Condition { name, severity, member: None, text, hint: hint.into() };
            return Some(SaidCondition { by: Vec::new(), condition });
        }
    }
    None
}

/// How a node of this cluster is doing.
fn state_of(status: &Status, behind: bool, is_member: bool) -> &'static str {
    let fails = |name: &str| {
        status.conditions.iter().any(|condition| condition.severity == Severity::Failing && condition.name == name)
    };
    match () {
        () if status.forked.is_some() => "forked",
        () if fails("ended") => "ended",
        () if status.fetching.is_some() => "fetching",
        () if fails("cut_off") => "cut off",
        () if fails("stalled") => "stalled",
        () if fails("behind") || behind => "behind",
        () if !status.ready => "starting",
        () if status.voting == Voting::Lost => "not voting",
        // It serves reads, and counts for no quorum yet.
        () if status.voting == Voting::Asking => "starting",
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
    for NodeView { address, name, state, lag, status, .. } in &document.nodes {
        let name = name.as_deref().unwrap_or("?");
        let Some(s) = status else {
            rows.push(row![name, state, "-", "-", "-", "-", "-", "-", "-", "-", "-", address]);
            continue;
        };
        let (height, certified) = (format!("#{}", s.height), format!("#{}", s.certified_height));
        let (lag, root) = (lag.unwrap_or(0), s.certified_root.short());
        let (stored, journals) =
            (bytes(s.storage.record_bytes + s.storage.window_bytes), bytes(s.storage.journal_bytes));
        let version = &s.version;
        rows.push(row![
            name, state, height, lag, certified, root, s.records, stored, journals, s.pending, version, address
        ]);
    }
    let Document { members, quorum, .. } = document;
    let head = format!(
        "cluster {} · genesis {} · {members} members, {quorum} make a quorum\n",
        document.cluster,
        document.genesis.short()
    );
    let proved = match &document.proved {
        Some(ProvedStatus { height, root }) => format!(
            "proved: #{height} has root {}, which {quorum} members have signed · the rest is what each node says of itself\n",
            root.short()
        ),
        None => "nothing is proved: none of these nodes shows a height that a quorum has signed, and that is no older than what this client has seen · \
             the rest is what each node says of itself\n"
            .into(),
    };
    head + &proved + &table(&rows)
}

fn talk(output: Output, document: &Document) {
    for node in &document.nodes {
        if let Some(error) = &node.error {
            let name = node.name.as_ref().map(|name| format!("{name}: ")).unwrap_or_default();
            output.talk(format_args!("! {name}{error}"));
        }
    }
    for SaidCondition { by, condition: Condition { text, hint, .. } } in &document.conditions {
        let by = if by.is_empty() { String::new() } else { format!("{}: ", by.join(", ")) };
        output.talk(format_args!("! {by}{text}\n    → {hint}"));
    }
    match document.health {
        Health::Healthy => {}
        Health::Degraded => output.talk("! the cluster works, and somebody should look after what is said above"),
        Health::Unavailable => output.talk(format_args!(
            "! too few of these nodes work: {} of {} members make a quorum, and without one nothing can be decided. What one node has can still be \
             read with --stale-ok",
            document.quorum, document.members
        )),
    }
}

/// How many prefixes have too few copies, in words, if any has. Each node tells what it has been told: the one that knows of the fewest
/// copies is right, or has not heard yet.
pub fn copies_missing<'a>(statuses: impl Iterator<Item = &'a Status>) -> Option<String> {
    let short = statuses.map(|status| &status.storage).filter(|storage| storage.prefixes_below > 0);
    let Storage { prefixes_below, all_prefixes, copies, least_copies, .. } =
        short.min_by_key(|storage| storage.least_copies)?;
    Some(format!("{prefixes_below} of {all_prefixes} prefixes have fewer than {copies} copies, one has {least_copies}"))
}

#[cfg(test)]
pub mod tests {
    use pleach_types::PublicKey;

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
            conditions: Vec::new(),
            peers: Vec::new(),
        }
    }

    fn condition(name: &str, severity: Severity) -> Condition {
        Condition { name: name.into(), severity, member: None, text: name.into(), hint: "a hint".into() }
    }

    fn view(name: &str, state: &'static str, status: Status) -> NodeView {
        let status = Status { name: name.into(), ..status };
        NodeView {
            address: name.into(),
            name: Some(name.into()),
            state,
            lag: Some(0),
            status: Some(status),
            error: None,
        }
    }

    #[test]
    fn a_node_without_a_vote_is_never_taken_for_one_that_counts() {
        let status = status_of(PublicKey([1; 32]));
        assert_eq!(state_of(&status, false, true), "ok");
        assert_eq!(state_of(&status, false, false), "following");
        assert_eq!(state_of(&status, true, false), "behind");
        let forked = Status { forked: Some(7), ..status.clone() };
        assert_eq!(state_of(&forked, true, true), "forked");
        let asking = Status { voting: Voting::Asking, ..status.clone() };
        assert_eq!(state_of(&asking, false, true), "starting");
        for (name, state) in
            [("ended", "ended"), ("cut_off", "cut off"), ("stalled", "stalled"), ("unreadable", "starting")]
        {
            let failing =
                Status { ready: false, conditions: vec![condition(name, Severity::Failing)], ..status.clone() };
            assert_eq!(state_of(&failing, false, true), state);
        }
    }

    #[test]
    fn what_several_nodes_say_is_said_once_and_the_worst_first() {
        let with =
            |conditions: &[Condition]| Status { conditions: conditions.to_vec(), ..status_of(PublicKey([1; 32])) };
        let (away, stalled) = (condition("member_unseen", Severity::Warning), condition("stalled", Severity::Failing));
        let nodes = [
            view("a", "ok", with(std::slice::from_ref(&away))),
            view("b", "stalled", with(&[stalled.clone(), away.clone()])),
        ];
        let said: Vec<_> = conditions(&nodes).into_iter().map(|said| (said.condition, said.by)).collect();
        assert_eq!(said, [(stalled, vec!["b".to_owned()]), (away, vec!["a".to_owned(), "b".to_owned()])]);
    }

    #[test]
    fn a_cluster_is_healthy_only_if_nobody_has_anything_to_say() {
        let status = status_of(PublicKey([1; 32]));
        let (ok, down) = (|| view("a", "ok", status.clone()), || view("d", "down", status.clone()));
        let away =
            || vec![SaidCondition { by: vec!["a".into()], condition: condition("member_unseen", Severity::Warning) }];
        assert_eq!(health(&[ok(), ok(), ok(), ok()], &[], 3), Health::Healthy);
        assert_eq!(health(&[ok(), ok(), ok(), ok()], &away(), 3), Health::Degraded);
        assert_eq!(health(&[ok(), ok(), ok(), down()], &[], 3), Health::Degraded);
        assert_eq!(health(&[ok(), ok(), down(), down()], &away(), 3), Health::Unavailable);
    }

    #[test]
    fn two_roots_of_one_height_are_told_and_make_the_cluster_unavailable() {
        let at = |height, byte| Status {
            certified_height: height,
            certified_root: Hash([byte; 32]),
            ..status_of(PublicKey([1; 32]))
        };
        let nodes = [view("a", "ok", at(8, 1)), view("b", "ok", at(9, 2)), view("c", "ok", at(8, 1))];
        assert!(unequal_roots(&nodes).is_none());
        let nodes = [view("a", "ok", at(8, 1)), view("b", "ok", at(9, 2)), view("c", "ok", at(8, 3))];
        let said = unequal_roots(&nodes).expect("two roots");
        assert!(said.condition.text.contains("a and c state different roots of height 8"), "{}", said.condition.text);
        assert_eq!(health(&nodes, &conditions(&nodes), 2), Health::Unavailable);
    }
}
