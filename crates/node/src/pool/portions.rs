//! How much of a block goes to whom.
//!
//! Everybody waits for as long as a block takes, so one who fills each of them delays all others, who come one request at a time and
//! never fill one. So a block is not filled, whether or not others wait ([`Portions`]): each group has a small part of it, and beyond these
//! all groups share one more. They share it, since one stranger is one group at each node that he sends to, and with several addresses as
//! many more: a node does not tell others who its clients are, and if it did, they could not believe it. A larger request
//! than that has its turn in every eleventh block, one of them at a time, before all others.
//!
//! What is shared is a quarter of a block while all that come want much: large blocks cost least for each request. Where somebody comes who
//! needs no more than a group's own part ([`Pacing`]), it begins small, and grows while there is demand for more of it and the node is not busy
//! with requests for more than a part of the time; where it is, the shared part shrinks. So blocks take not much longer for such a client
//! than they do without the others, and how much work that is depends on the machine: a quarter of a block is little for one with many cores,
//! and too much for two cores that four nodes share. Large requests are not of the shared part, so its size does not bound what they cost: while somebody
//! is expected who needs little, and the node was busy for more than its part of the time and has not made up for it yet, they have their turn in every 31st block only.
//! The leader alone decides what it proposes: nothing here must be the same at two nodes.

use std::time::Duration;

use pleach_types::Height;

/// Each group has one of so many parts of a block for itself.
const EACH_PARTS: u64 = 128;
/// Of a block, what groups share is one of so many parts at most,
const SHARED_PARTS_LEAST: u64 = 4;
/// at least one of so many,
const SHARED_PARTS_MOST: u64 = 64;
/// and one of so many when somebody comes who needs little.
const SHARED_PARTS_FIRST: u64 = 32;
/// After each block in which it may grow, it does by one of so many parts of a block.
const GROWTH_PARTS: u64 = 512;
/// After each block in which it has to shrink, it does by one of so many of its own parts.
const SHRINK_PARTS: u64 = 16;
/// Of so many heights that follow each other, one is of a block that a large request may begin. So few that a call, which takes three or four blocks where many
/// call, seldom waits for two of them. It shares no factor with the size of a usual committee (3f + 1 members), or the same members would always lead to these heights,
/// and might leave large requests out.
const LARGE_EVERY: u64 = 11;
/// As [`LARGE_EVERY`], while the node has to make up for having been too busy.
const LARGE_EVERY_BUSY: u64 = 31;
/// For so many heights after a block that served somebody who needs little, more like them are expected.
pub const MODEST_HEIGHTS: u64 = 64;
/// The node is too busy if requests take more than one of so many parts of the time.
const BUSY_PARTS: u32 = 8;
/// How busy it is is measured over about as many blocks.
const MEASURED_BLOCKS: u32 = 8;
/// Of what a node was busy beyond its part of the time, it makes up for this much: a large request costs about as much on a machine that is no faster than four nodes need.
const EXCESS_MOST: Duration = Duration::from_millis(100);

/// How much of a block goes to whom. The unit is that of [`super::lanes::Place::share`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Portions {
    /// What each group may take, whatever others take.
    pub each: u64,
    /// What groups may take beyond that, all of them together.
    pub shared: u64,
    /// Whether one request may come first that is larger than both.
    pub large: bool,
}

impl Portions {
    /// The largest request that is not a large one.
    pub const fn usual(self) -> u64 {
        self.each.saturating_add(self.shared)
    }
}

/// What the last final block showed of those whose requests wait.
#[derive(Clone, Copy, Debug, Default)]
pub struct BlockDemand {
    /// Somebody had a request in it who took no more than a group's own part, and waits for nothing more.
    pub modest: bool,
    /// Somebody waits for more than a group's own part.
    pub more: bool,
}

/// How long a node was busy with requests, and of how much time.
#[derive(Clone, Copy, Debug, Default)]
pub struct NodeLoad {
    /// What checking, executing and writing took.
    pub busy: Duration,
    /// The time in which it did.
    pub elapsed: Duration,
}

impl NodeLoad {
    /// This, and more that it was busy with in the same time.
    pub const fn and(self, busy: Duration) -> Self {
        Self { busy: self.busy.saturating_add(busy), ..self }
    }
}

/// How large the part of a block is that groups share. See the head of the module.
#[derive(Debug)]
pub struct Pacing {
    whole: u64,
    shared: u64,
    /// The newest height that served somebody who needs little.
    modest: Option<Height>,
    /// Over the last blocks, the older ones counting less.
    load: NodeLoad,
    /// How long the node was busy beyond its part of the time, and has not been idle for since.
    excess: Duration,
}

impl Pacing {
    /// Nobody has come yet. `whole` is the block.
    pub const fn new(whole: u64) -> Self {
        let load = NodeLoad { busy: Duration::ZERO, elapsed: Duration::ZERO };
        Self { whole, shared: whole / SHARED_PARTS_LEAST, modest: None, load, excess: Duration::ZERO }
    }

    /// The portions of the block of a height.
    ///
    /// A large request may come at certain heights, whoever leads: it waits for so many blocks at most until it has its turn.
    pub fn portions(&self, height: Height) -> Portions {
        let must_wait = self.expects_modest(height) && !self.excess.is_zero();
        let large = height.is_multiple_of(LARGE_EVERY_BUSY) || (!must_wait && height.is_multiple_of(LARGE_EVERY));
        Portions { each: self.each(), shared: self.shared, large }
    }

    /// Whether somebody who needs little is expected at a height.
    fn expects_modest(&self, height: Height) -> bool {
        self.modest.is_some_and(|last| height.saturating_sub(last) <= MODEST_HEIGHTS)
    }

    /// A group's own part of a block.
    pub const fn each(&self) -> u64 {
        self.whole / EACH_PARTS
    }

    /// What groups share of a block.
    pub const fn shared(&self) -> u64 {
        self.shared
    }

    /// A block of this height is final, with the load since the one before.
    pub fn finalized(&mut self, height: Height, demand: BlockDemand, load: NodeLoad) {
        let older = |time: Duration| time / MEASURED_BLOCKS * (MEASURED_BLOCKS - 1);
        self.load.busy = older(self.load.busy) + load.busy;
        self.load.elapsed = older(self.load.elapsed) + load.elapsed;
        self.excess = (self.excess + load.busy).saturating_sub(load.elapsed / BUSY_PARTS).min(EXCESS_MOST);
        let expected = self.expects_modest(height);
        if demand.modest {
            self.modest = Some(height);
        }
        let most = self.whole / SHARED_PARTS_LEAST;
        let least = self.whole / SHARED_PARTS_MOST;
        self.shared = match (expected, demand.modest) {
            (false, false) => most,
            (false, true) => self.whole / SHARED_PARTS_FIRST,
            (true, _) if self.load.busy > self.load.elapsed / BUSY_PARTS => {
                (self.shared - self.shared / SHRINK_PARTS).max(least)
            }
            (true, _) if demand.more => (self.shared + self.whole / GROWTH_PARTS).min(most),
            (true, _) => self.shared,
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WHOLE: u64 = 1 << 20;
    const MODEST: BlockDemand = BlockDemand { modest: true, more: true };
    const NONE: BlockDemand = BlockDemand { modest: false, more: true };

    /// A load of so many hundredths.
    fn load(hundredths: u64) -> NodeLoad {
        NodeLoad { busy: Duration::from_millis(hundredths), elapsed: Duration::from_millis(100) }
    }

    /// After so many more blocks.
    fn after(pacing: &mut Pacing, heights: std::ops::Range<Height>, demand: BlockDemand, hundredths: u64) -> u64 {
        heights.for_each(|height| pacing.finalized(height, demand, load(hundredths)));
        pacing.shared()
    }

    #[test]
    fn a_quarter_is_shared_while_nobody_comes_who_needs_little_however_busy_the_node_is() {
        let mut pacing = Pacing::new(WHOLE);
        assert_eq!(pacing.shared(), WHOLE / 4);
        assert_eq!(after(&mut pacing, 1..200, NONE, 100), WHOLE / 4);
    }

    #[test]
    fn what_is_shared_is_little_at_first_and_grows_while_the_node_is_not_busy() {
        let mut pacing = Pacing::new(WHOLE);
        assert_eq!(after(&mut pacing, 1..2, MODEST, 1), WHOLE / 32);
        let mut before = pacing.shared();
        while before < WHOLE / 4 {
            let grown = after(&mut pacing, 2..3, MODEST, 1);
            assert!(grown > before);
            before = grown;
        }
        assert_eq!(after(&mut pacing, 2..50, MODEST, 1), WHOLE / 4, "that is the most");
    }

    #[test]
    fn what_nobody_asks_for_does_not_grow() {
        let mut pacing = Pacing::new(WHOLE);
        let modest = BlockDemand { more: false, ..MODEST };
        assert_eq!(after(&mut pacing, 1..100, modest, 0), WHOLE / 32, "or a flood would begin with all of it");
    }

    #[test]
    fn a_busy_node_shares_less_and_less_down_to_the_least() {
        let mut pacing = Pacing::new(WHOLE);
        after(&mut pacing, 1..50, MODEST, 1);
        let most = pacing.shared();
        let busy = after(&mut pacing, 50..70, MODEST, 60);
        assert!(busy < most);
        assert_eq!(after(&mut pacing, 70..200, MODEST, 60), WHOLE / 64);
        // One block that took long is no reason: work comes in pieces.
        let mut calm = Pacing::new(WHOLE);
        after(&mut calm, 1..30, MODEST, 2);
        let before = calm.shared();
        assert!(after(&mut calm, 30..31, MODEST, 60) > before);
    }

    #[test]
    fn who_needs_little_is_expected_for_a_while() {
        let mut pacing = Pacing::new(WHOLE);
        after(&mut pacing, 1..2, MODEST, 100);
        assert_eq!(after(&mut pacing, 2..2 + MODEST_HEIGHTS, NONE, 100), WHOLE / 64);
        assert_eq!(after(&mut pacing, 2 + MODEST_HEIGHTS..3 + MODEST_HEIGHTS, NONE, 100), WHOLE / 4);
    }

    /// The heights of these blocks that a large request may begin.
    fn large(pacing: &Pacing, heights: std::ops::Range<Height>) -> Vec<Height> {
        heights.filter(|height| pacing.portions(*height).large).collect()
    }

    #[test]
    fn every_eleventh_block_may_begin_with_a_large_request() {
        let pacing = Pacing::new(WHOLE);
        assert_eq!(large(&pacing, 1..34), [11, 22, 31, 33]);
        assert!(pacing.each() < pacing.portions(1).usual());
    }

    #[test]
    fn large_requests_come_less_often_until_a_busy_node_has_made_up_for_it() {
        let mut pacing = Pacing::new(WHOLE);
        after(&mut pacing, 1..2, MODEST, 1);
        // One that took long: 88 hundredths of 100 ms beyond an eighth.
        after(&mut pacing, 2..3, MODEST, 100);
        assert_eq!(large(&pacing, 3..63), [31, 62]);
        // In a block of 100 ms that takes 1 ms it makes up for 11.5.
        after(&mut pacing, 3..10, MODEST, 1);
        assert_eq!(large(&pacing, 10..34), [31]);
        after(&mut pacing, 10..11, MODEST, 1);
        assert_eq!(large(&pacing, 11..34), [11, 22, 31, 33]);
    }

    #[test]
    fn it_makes_up_for_no_more_than_a_large_request_costs() {
        let mut pacing = Pacing::new(WHOLE);
        after(&mut pacing, 1..200, MODEST, 100);
        assert_eq!(large(&pacing, 200..220), [217]);
        after(&mut pacing, 200..209, MODEST, 0);
        assert_eq!(large(&pacing, 209..220), [209, 217]);
    }

    #[test]
    fn nobody_who_sends_large_requests_waits_for_others_that_are_not_there() {
        let mut pacing = Pacing::new(WHOLE);
        after(&mut pacing, 1..100, NONE, 100);
        assert_eq!(large(&pacing, 100..125), [110, 121, 124]);
    }
}
