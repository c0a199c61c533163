//! Work on several threads, if the crate is built with the feature `parallel`.
//!
//! What is computed never depends on it: batches are cut at nodes of the tree, and each part has its own result.

/// How many parts a large piece of work should be cut into.
pub(crate) fn parts() -> usize {
    #[cfg(feature = "parallel")]
    // A few for each thread, so that one which is late has little left to do.
    return match rayon::current_num_threads() {
        1 => 1,
        threads => 4 * threads,
    };
    #[cfg(not(feature = "parallel"))]
    1
}

/// Does both.
pub(crate) fn join<A: Send, B: Send>(one: impl FnOnce() -> A + Send, other: impl FnOnce() -> B + Send) -> (A, B) {
    #[cfg(feature = "parallel")]
    return rayon::join(one, other);
    #[cfg(not(feature = "parallel"))]
    (one(), other())
}

/// Maps each item, in order.
pub(crate) fn map<T: Send, U: Send>(items: Vec<T>, change: impl Fn(T) -> U + Send + Sync) -> Vec<U> {
    #[cfg(feature = "parallel")]
    if items.len() >= LARGE {
        return map_all(items, change);
    }
    items.into_iter().map(change).collect()
}

/// Maps each of some items that are worth another thread's attention by themselves, in order.
pub(crate) fn map_all<T: Send, U: Send>(items: Vec<T>, change: impl Fn(T) -> U + Send + Sync) -> Vec<U> {
    #[cfg(feature = "parallel")]
    {
        use rayon::iter::{IntoParallelIterator, ParallelIterator};
        items.into_par_iter().map(change).collect()
    }
    #[cfg(not(feature = "parallel"))]
    items.into_iter().map(change).collect()
}

/// Items that are worth waking another thread for.
#[cfg(feature = "parallel")]
const LARGE: usize = 2048;
