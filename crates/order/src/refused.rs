//! A note on disk of views which this member may have voted to nullify although its journal does not say so.
//!
//! The engine journals such a vote at its first attempt alone. Where the guard refused that one, because it was shut, a later attempt is
//! sent without a trace. So the guard admits none before this note is synced (see [`guard`](crate::guard)), and what is noted counts as voted
//! after the next start. A member that wrote the note and never sent the vote abstains in that view, which is always safe.
//!
//! It is written in the views that run out between a start and its muster, a handful: never while all goes well.

use std::collections::BTreeMap;
use std::sync::Arc;

use commonware_storage::Context;
use commonware_storage::metadata::{Config, Metadata};
use commonware_utils::sequence::U64;
use pleach_types::vote::{Ballot, Round};
use tracing::error;

use crate::guard::{Guard, REFUSED_KEPT};
use crate::partitions::REFUSED_PARTITION;

/// The note: the views, by epoch.
pub(crate) struct Refused<E: Context> {
    metadata: Metadata<E, U64, Vec<u64>>,
    guard: Arc<Guard>,
}

impl<E: Context> Refused<E> {
    /// Reads the note, and has the guard remember what it says. Before anything could vote.
    ///
    /// # Panics
    /// If it is damaged: there is no safe way on.
    pub(crate) async fn read(context: E, prefix: &str, guard: Arc<Guard>) -> Self {
        let config =
            Config { partition: format!("{prefix}{REFUSED_PARTITION}"), codec_config: ((0..=REFUSED_KEPT).into(), ()) };
        let metadata = Metadata::init(context, config).await;
        let metadata = metadata.unwrap_or_else(|e| panic!("the note of refused votes is damaged: {e}"));
        let noted = Self { metadata, guard };
        noted.rounds().into_iter().for_each(|round| noted.guard.remember(round, Ballot::Nullify));
        noted
    }

    fn rounds(&self) -> Vec<Round> {
        let of = |epoch: &U64| {
            let views = self.metadata.get(epoch).into_iter().flatten();
            views.map(|view| Round { epoch: epoch.into(), view: *view }).collect::<Vec<_>>()
        };
        self.metadata.keys().flat_map(of).collect()
    }

    /// Notes what the guard refuses, until the member ends. After a failure nothing is noted any more, so that those votes stay refused.
    pub(crate) async fn keep(self) {
        let Self { mut metadata, guard } = self;
        loop {
            let seen = guard.refusals().get();
            let rounds = guard.refused();
            if !rounds.is_empty() {
                // Written anew as a whole: of what was noted before, the guard has dropped only views in which it admits no vote any more.
                metadata.clear();
                by_epoch(&rounds).into_iter().for_each(|(epoch, views)| drop(metadata.put(U64::new(epoch), views)));
                metadata = match metadata.sync().await {
                    Ok(written) => written,
                    Err(error) => {
                        return error!(%error, "cannot note that a vote was refused: this member abstains in such views");
                    }
                };
                guard.noted(&rounds);
            }
            guard.refusals().above(seen).await;
        }
    }
}

fn by_epoch(rounds: &[Round]) -> BTreeMap<u64, Vec<u64>> {
    let mut views: BTreeMap<u64, Vec<u64>> = BTreeMap::new();
    rounds.iter().for_each(|round| views.entry(round.epoch).or_default().push(round.view));
    views
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use commonware_runtime::{Clock as _, Spawner as _, Supervisor as _, deterministic};
    use pleach_types::Hash;
    use pleach_types::vote::Proposal;

    use super::*;
    use crate::guard::Opening;

    const OPENING: Opening = Opening { above: Round { epoch: 0, view: 0 }, next_above: 0 };
    const ROUND: Round = Round { epoch: 0, view: 7 };

    async fn reads(context: &deterministic::Context, guard: &Arc<Guard>) -> Refused<deterministic::Context> {
        Refused::read(context.child("refused"), "", Arc::clone(guard)).await
    }

    /// A power cut right after the vote was let out: it is in no journal, and a vote to finalize must not follow it.
    #[test]
    fn a_vote_that_was_refused_and_then_admitted_binds_after_a_power_cut() {
        let runner = deterministic::Runner::timed(Duration::from_secs(60));
        let ((), crashed) = runner.start_and_recover(|context| async move {
            let guard = Arc::new(Guard::default());
            let refused = reads(&context, &guard).await;
            context.child("keep").spawn(move |_| async move { refused.keep().await });
            assert!(!guard.admits(ROUND, Ballot::Nullify), "the guard is shut");
            guard.open(OPENING);
            assert!(!guard.admits(ROUND, Ballot::Nullify), "it is not noted yet");
            while !guard.admits(ROUND, Ballot::Nullify) {
                context.sleep(Duration::from_millis(1)).await;
            }
        });
        let _ = deterministic::Runner::from(crashed).start_and_recover(|context| async move {
            let guard = Arc::new(Guard::default());
            let _refused = reads(&context, &guard).await;
            guard.open(OPENING);
            let finalize = Ballot::Finalize(Proposal { parent_view: 6, block: Hash([7; 32]) });
            assert!(!guard.admits(ROUND, finalize), "both would convict this member");
            assert!(guard.admits(Round { view: 8, ..ROUND }, finalize));
        });
    }
}
