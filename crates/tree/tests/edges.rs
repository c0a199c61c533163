//! Heights, and numbers of heights, at the edge of 64 bits: nobody's number may end the program or make it turn for ever.

use pleach_tree::{
    DigestTree, HEIGHT_MAX, HistoryTree, Incompatible, OutlineNode, Path, Prefix, RestoreError, ValueDigest,
    WrittenHeight,
};

/// More heights than a piece of the window has, so that there is something to drop.
const STEPS: u64 = 200;

fn step(tree: &mut HistoryTree, height: u64) {
    let record = (Path::of(&height.to_le_bytes()), Some(ValueDigest::of(b"value")));
    tree.apply_held([record]).expect("everything is kept");
    tree.commit();
}

/// A tree with a few records, which keeps them all.
fn grown(heights: u64) -> HistoryTree {
    let mut tree = HistoryTree::new(heights, [Prefix::ALL]);
    (1..=3).for_each(|height| step(&mut tree, height));
    tree
}

#[test]
fn a_window_of_nearly_all_heights_forgets_none() {
    let mut expected = HistoryTree::new(1_000, [Prefix::ALL]);
    (1..=STEPS).for_each(|height| step(&mut expected, height));
    // Around the number from which on a full piece more is beyond 64 bits.
    for below in [0, 1, 61, 62, 63, 64, 65] {
        let heights = u64::MAX - below;
        let mut tree = HistoryTree::new(heights, [Prefix::ALL]);
        (1..=STEPS).for_each(|height| step(&mut tree, height));
        assert_eq!((tree.heights(), tree.height(), tree.root()), (heights, STEPS, expected.root()));
        assert_eq!(tree.window(), expected.window(), "T = {heights}");
        for height in [0, 1, STEPS] {
            assert_eq!(tree.recent_root(height), expected.recent_root(height));
        }
        assert_eq!(tree.recent_root(u64::MAX), None);
    }
}

#[test]
fn a_tree_is_restored_up_to_the_greatest_height_and_goes_on() {
    for heights in [1, 2, 3] {
        let tree = grown(heights);
        let content = tree.held().verify(tree.root()).expect("a proof of this root");
        let parts = |tree: &HistoryTree| -> Vec<_> {
            let records = (1..=3u64).map(|height| Path::of(&height.to_le_bytes()));
            let mut parts: Vec<_> = records
                .map(|path| OutlineNode::record(path, ValueDigest::of(b"value")))
                .chain(tree.outline())
                .collect();
            parts.sort_by_key(|(at, _)| *at);
            parts
        };
        for height in [HEIGHT_MAX + 1, u64::MAX - 1, u64::MAX] {
            let restored = HistoryTree::restore(heights, [Prefix::ALL], height, tree.window(), &content);
            assert_eq!(restored.map(drop), Err(RestoreError::TooHigh { height }));
            let restored = HistoryTree::from_parts(heights, [Prefix::ALL], height, tree.window(), parts(&tree));
            assert_eq!(restored.map(drop), Err(RestoreError::TooHigh { height }));
        }
        let mut restored =
            HistoryTree::restore(heights, [Prefix::ALL], HEIGHT_MAX, tree.window(), &content).expect("a height");
        let again = HistoryTree::from_parts(heights, [Prefix::ALL], HEIGHT_MAX, tree.window(), parts(&tree));
        assert_eq!(again.expect("a height").held(), restored.held());
        assert_eq!(restored.window(), tree.window());
        let (mut expected, written) = (tree, Path::of(b"more"));
        for _ in 0..STEPS {
            for tree in [&mut restored, &mut expected] {
                let old = tree.get(&written).expect("everything is kept");
                let new = if old.is_some() { None } else { Some(ValueDigest::of(b"value")) };
                tree.apply_held([(written, new)]).expect("everything is kept");
                tree.commit();
            }
        }
        assert_eq!((restored.height(), restored.root()), (HEIGHT_MAX + STEPS, expected.root()));
        assert_eq!(restored.window(), expected.window());
    }
}

#[test]
fn windows_that_do_not_fit_their_height_are_refused() {
    let tree = grown(2);
    let content = tree.held().verify(tree.root()).expect("a proof of this root");
    let entry = tree.window().pop().expect("a height");
    let refused = |heights: u64, height: u64, window: Vec<WrittenHeight>| {
        HistoryTree::restore(heights, [Prefix::ALL], height, window, &content).map(drop).expect_err("does not fit")
    };
    assert_eq!(refused(2, 3, vec![]), RestoreError::Heights { given: 0, needed: 2 });
    assert_eq!(refused(2, 0, vec![entry.clone(); 2]), RestoreError::Heights { given: 2, needed: 1 });
    // As many heights as there were, and no machine holds them.
    let needed = HEIGHT_MAX + 1;
    assert_eq!(refused(u64::MAX, HEIGHT_MAX, vec![entry; 5]), RestoreError::Heights { given: 5, needed });
}

#[test]
fn a_proof_of_any_height_gets_an_answer() {
    let tree = grown(2);
    let proof = tree.prove([Path::of(b"x")]).expect("held").verify(tree.root()).expect("a proof of this root");
    assert_eq!(tree.check(3, &proof, &[]), Ok(()));
    assert_eq!(tree.check(0, &proof, &[]), Err(Incompatible::TooOld { base: 0, height: 3, heights: 2 }));
    for base in [4, HEIGHT_MAX, u64::MAX] {
        assert_eq!(tree.check(base, &proof, &[]), Err(Incompatible::Future { base, height: 3 }));
        assert_eq!((tree.recent_root(base), tree.written(base)), (None, None));
    }
    assert_eq!(DigestTree::new().root(), HistoryTree::new(u64::MAX, []).root());
}
