//! The most memory that a thread held at once while it worked.
#![allow(
    unsafe_code,
    reason = "an allocator is unsafe to write; this one only counts and hands on to the system's"
)]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// The system's allocator, watched.
struct Watched;

thread_local! {
    /// Bytes taken less bytes given back, and the most that these came to.
    static HELD: Cell<(isize, isize)> = const { Cell::new((0, 0)) };
}

#[global_allocator]
static ALLOCATOR: Watched = Watched;

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Watched {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(layout.size() as isize);
        // SAFETY: as the caller promises.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // The old and the new piece may be there at the same time.
        note(size as isize);
        note(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.realloc(memory, layout, size) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        note(-(layout.size() as isize));
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(memory, layout) }
    }
}

fn note(bytes: isize) {
    // A thread that ends has no counter any more.
    let _ = HELD.try_with(|held| {
        let (now, most) = held.get();
        let now = now + bytes;
        held.set((now, most.max(now)));
    });
}

/// Memory that is in proportion to the input's size.
const FREE: usize = 256 << 10;

/// Does the work, which may hold so many bytes for each byte of input, and [`FREE`] beside.
///
/// # Panics
/// When it held more.
pub fn bounded<T>(input: usize, bytes_each: usize, work: impl FnOnce() -> T) -> T {
    HELD.set((0, 0));
    let result = work();
    let most = HELD.get().1.unsigned_abs();
    let allowed = FREE + bytes_each * input;
    assert!(
        most <= allowed,
        "{most} bytes held for an input of {input}, expected at most {allowed}"
    );
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_is_given_back_does_not_count() {
        bounded(0, 0, || (0..8).for_each(|_| drop(vec![0_u8; FREE / 2])));
    }

    #[test]
    #[should_panic(expected = "bytes held for an input of 10")]
    fn too_much_memory_is_seen() {
        let pieces = || (0..8).map(|_| vec![0_u8; FREE / 2]).collect::<Vec<_>>();
        bounded(10, 16, pieces);
    }
}
