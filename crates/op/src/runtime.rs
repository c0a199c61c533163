//! What a program without a standard library needs: an allocator, and a way to fail.

use core::alloc::{GlobalAlloc, Layout};
use core::cell::UnsafeCell;

const PAGE: usize = 65_536;

/// Hands out memory upwards and takes none back: an execution is short, and its memory goes with it.
struct Bump {
    next: UnsafeCell<usize>,
}

// SAFETY: an operation has one thread; threads are no feature of the modules that the host accepts.
unsafe impl Sync for Bump {}

unsafe extern "C" {
    /// Where data and stack end; the linker defines it.
    static __heap_base: u8;
}

// SAFETY: `alloc` returns either null or the start of `layout.size()` bytes at the layout's alignment, inside
// the memory and above everything handed out before; nothing is handed out twice.
unsafe impl GlobalAlloc for Bump {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: one thread, and no reference to the cell's content outlives this function.
        let next = unsafe { &mut *self.next.get() };
        if *next == 0 {
            *next = &raw const __heap_base as usize;
        }
        let Some(start) = next.checked_next_multiple_of(layout.align()) else { return core::ptr::null_mut() };
        let Some(end) = start.checked_add(layout.size()) else { return core::ptr::null_mut() };
        let have = core::arch::wasm32::memory_size::<0>() * PAGE;
        if end > have && core::arch::wasm32::memory_grow::<0>((end - have).div_ceil(PAGE)) == usize::MAX {
            return core::ptr::null_mut();
        }
        *next = end;
        start as *mut u8
    }

    unsafe fn dealloc(&self, _: *mut u8, _: Layout) {}
}

#[global_allocator]
static ALLOCATOR: Bump = Bump { next: UnsafeCell::new(0) };

#[cfg(not(debug_assertions))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    crate::abort(crate::codes::PANIC, crate::codes::PANICKED)
}

/// Only in a build for debugging: what it takes to format the place and the text is larger than most operations.
#[cfg(debug_assertions)]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    use core::fmt::Write as _;

    let mut told = Told { bytes: [0; 512], len: 0 };
    // Writing there never fails: what has no room is left out.
    let _ = match info.location() {
        Some(place) => write!(told, "panicked at {place}: {}", info.message()),
        None => write!(told, "panicked: {}", info.message()),
    };
    crate::sys::abort(crate::codes::PANIC, &told.bytes[..told.len])
}

/// The beginning of a text, in no memory that would have to be asked for: the panic may be about that.
#[cfg(debug_assertions)]
struct Told {
    bytes: [u8; 512],
    len: usize,
}

#[cfg(debug_assertions)]
impl core::fmt::Write for Told {
    fn write_str(&mut self, text: &str) -> core::fmt::Result {
        let room = &mut self.bytes[self.len..];
        let taken = text.len().min(room.len());
        room[..taken].copy_from_slice(&text.as_bytes()[..taken]);
        self.len += taken;
        Ok(())
    }
}
