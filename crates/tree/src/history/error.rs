//! What a history tree refuses, and why.

use crate::{
    label::{Label, ValueDigest},
    path::Path,
    prefix::Prefix,
};

/// Why a proof of an earlier height says nothing about the present. All of it follows from the history alone, so it
/// is equal on all nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Incompatible {
    /// There is no such height yet.
    #[error("proof of height {base}, the newest is {height}")]
    Future {
        /// The height of the proof.
        base: u64,
        /// The newest height.
        height: u64,
    },
    /// The height is not one of the last T.
    #[error("proof of height {base}, at height {height} only the last {heights} are remembered")]
    TooOld {
        /// The height of the proof.
        base: u64,
        /// The newest height.
        height: u64,
        /// T.
        heights: u64,
    },
    /// The proof is of another tree than that of its height.
    #[error("proof has the root {actual}, that of height {base} is {expected}")]
    OtherTree {
        /// The height of the proof.
        base: u64,
        /// The root of that height.
        expected: Label,
        /// The root of the proof.
        actual: Label,
    },
    /// The proof does not say what stands at a touched path.
    #[error("proof does not decide the path {path}")]
    Undecided {
        /// The path.
        path: Path,
    },
    /// A touched record is not what it was.
    #[error("the record at {path} has changed")]
    Changed {
        /// Its path.
        path: Path,
        /// The value digest of the proof.
        then: Option<ValueDigest>,
        /// The present value digest.
        now: Option<ValueDigest>,
    },
}

/// Something was asked for that is not held here.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("what stands at the path {path} is not held here")]
pub struct NotHeld {
    /// The path, or the least one of a prefix.
    pub path: Path,
}

/// Why a history tree cannot be restored.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RestoreError {
    /// The heights of the window are too few, or more than there were.
    #[error("{given} heights given, {needed} needed")]
    Heights {
        /// As many were given.
        given: usize,
        /// At least as many are needed.
        needed: u64,
    },
    /// The height is above [`HEIGHT_MAX`](crate::HEIGHT_MAX).
    #[error("height {height} is above the greatest one, {max}", max = crate::HEIGHT_MAX)]
    TooHigh {
        /// The height.
        height: u64,
    },
    /// The content is of another tree than the newest height of the window.
    #[error("the content has the root {content}, the newest height has {window}")]
    Root {
        /// The root of the content.
        content: Label,
        /// The root of the newest height.
        window: Label,
    },
    /// The content does not show everything that has to be held.
    #[error(transparent)]
    NotHeld(NotHeld),
    /// A part is out of order, within another one, or of a kind that cannot stand where it does.
    #[error("the part at {at:?} does not fit there")]
    Misplaced {
        /// Where it stands.
        at: Prefix,
    },
}

/// Why other prefixes cannot be kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeepError {
    /// The content shows another tree than the newest.
    #[error("with the content the root would be {content}, the newest one is {newest}")]
    Root {
        /// The root of what is held and the content together.
        content: Label,
        /// The newest root.
        newest: Label,
    },
    /// Something to be kept is not there.
    #[error(transparent)]
    NotHeld(NotHeld),
}
