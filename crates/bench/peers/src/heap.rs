//! How much memory is in use.
//!
//! The figures are of what was asked for: the allocator's own 8 to 24 bytes for each allocation come on top, which is why
//! the number of allocations is counted too.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

static BYTES: AtomicUsize = AtomicUsize::new(0);
static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

/// The system's allocator, counting.
pub struct Counting;

// SAFETY: every call is handed on to the system's allocator as it is, and its answer is returned as it is. The counters
// are atomic and allocate nothing.
#[allow(unsafe_code, reason = "the trait of allocators is unsafe, and nothing else can count what the peers allocate")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: the caller's promises about `layout` are those that `System` asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        add(layout.size());
        // SAFETY: as above.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        BYTES.fetch_sub(layout.size(), Relaxed);
        ALLOCATIONS.fetch_sub(1, Relaxed);
        // SAFETY: `pointer` came from one of the functions here, which took it from `System` with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        BYTES.fetch_add(size, Relaxed);
        BYTES.fetch_sub(layout.size(), Relaxed);
        // SAFETY: as above, and the caller promises that `size` is valid for the layout's alignment.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

fn add(bytes: usize) {
    BYTES.fetch_add(bytes, Relaxed);
    ALLOCATIONS.fetch_add(1, Relaxed);
}

/// What is in use.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Bytes asked for and not given back.
    pub bytes: usize,
    /// Allocations not given back.
    pub allocations: usize,
}

/// What is in use now.
pub fn usage() -> Usage {
    Usage { bytes: BYTES.load(Relaxed), allocations: ALLOCATIONS.load(Relaxed) }
}

impl Usage {
    /// What has been added since `before`, in bytes and allocations; nothing if there is less now.
    pub fn since(self, before: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_sub(before.bytes),
            allocations: self.allocations.saturating_sub(before.allocations),
        }
    }
}
