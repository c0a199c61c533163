//! Locks of the node's own.

use std::sync::{Mutex, MutexGuard};

/// Locks a mutex of ours.
///
/// # Panics
/// If another thread panicked while it held the lock: what it guards may be half changed, and a node that goes on
/// with that could vote for something false.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().expect("another thread panicked while changing this")
}
