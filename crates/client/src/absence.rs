//! The proof that a request was not executed and never will be.
//!
//! A request may stand in the blocks of T heights alone. Under the certified receipts root of each of them a node proves that
//! the request has no receipt there. One node is enough, whoever it is: what it shows is checked, and it cannot prove what
//! is not so. A long window takes several answers, each of which goes on where the one before it ended.

use std::ops::RangeInclusive;
use std::time::Duration;

use futures::FutureExt as _;
use pleach_types::{Height, Identity};

use crate::client::Inner;
use crate::error::{Error, Failure};
use crate::verifier::Shown;

/// How a request has ended, as a node shows after the last block that may hold it.
pub(crate) enum End {
    /// There is a receipt.
    Shown(Box<Shown>),
    /// There is none, which is proved.
    Absent,
}

/// A request that was not executed and never will be, which was proved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NeverExecuted {
    /// The request.
    pub identity: Identity,
    /// The heights whose blocks could hold it, and do not.
    pub heights: RangeInclusive<Height>,
}

impl Inner {
    /// How a request has ended, which only the blocks of `heights` could hold: what a node shows that is asked for its receipt,
    /// and then for the proof that there is none.
    pub(crate) async fn end_at(
        &self,
        node: usize,
        identity: Identity,
        heights: RangeInclusive<Height>,
    ) -> Result<End, Failure> {
        let shown = self.shown_by(node, identity, Duration::ZERO, false).await?;
        if !matches!(shown, Shown::Nothing(_)) {
            return Ok(End::Shown(Box::new(shown)));
        }
        self.absence_by(node, identity, heights).await.map(|()| End::Absent)
    }

    /// Has a node prove that a request was executed in none of some heights.
    async fn absence_by(
        &self,
        node: usize,
        identity: Identity,
        heights: RangeInclusive<Height>,
    ) -> Result<(), Failure> {
        let (mut next, last) = heights.into_inner();
        while next <= last {
            let reply = self.nodes.transport.absence(node, identity, next, last);
            let reply = self.nodes.reply(node, self.config.reply_timeout, reply).await?;
            let proved = self.check(node, |verifier| verifier.absence(identity, next, &reply)).await?;
            // Each answer proves one height at least, so this ends.
            match proved.checked_add(1) {
                Some(height) => next = height,
                None => break,
            }
        }
        Ok(())
    }
}

/// See [`crate::Client::never_executed`].
pub(crate) async fn never_executed(
    client: &Inner,
    identity: Identity,
    expires: Height,
) -> Result<NeverExecuted, Error> {
    let window = client.verifier.genesis().history;
    // Height 0 has no requests.
    let heights = expires.saturating_sub(window).saturating_add(1)..=expires;
    client.ask(|node| client.absence_by(node, identity, heights.clone()).boxed()).await?;
    Ok(NeverExecuted { identity, heights })
}
