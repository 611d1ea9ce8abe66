//! A warm forward pass allocates nothing but the vectors that it returns. A test binary of its own, as it counts what
//! all threads allocate.

#![allow(clippy::unwrap_used, reason = "tests")]

mod model;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use semroute_encoder::Precision;

struct Counting;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

#[expect(unsafe_code, reason = "an allocator that counts; the system's does the work")]
// SAFETY: every call is passed on to the system's allocator as it is.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's promises are those that the system's allocator asks for.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: likewise.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: likewise.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// The least of several counts: the test harness has a thread of its own, which may allocate at any time.
fn allocations(mut run: impl FnMut()) -> usize {
    let count = |()| {
        let before = ALLOCATIONS.load(Ordering::Relaxed);
        run();
        ALLOCATIONS.load(Ordering::Relaxed) - before
    };
    std::iter::repeat_n((), 5).map(count).min().unwrap()
}

#[test]
fn a_warm_pass_allocates_only_what_it_returns() {
    for precision in [Precision::Int8, Precision::F32] {
        let mut encoder = model::encoder("allocation", 1.0, precision).with_helpers(1, || ()).unwrap();
        let rows: Vec<Vec<u32>> =
            [40, 3, 17, 48, 1, 20].map(|tokens| (0..tokens).map(|id| id % model::VOCABULARY as u32).collect()).to_vec();
        let batch: Vec<&[u32]> = rows.iter().map(Vec::as_slice).collect();
        assert!(allocations(|| drop(encoder.encode(&batch).unwrap())) > 0, "the count counts");
        for rows in 1..=batch.len() {
            // The vectors, and the one that holds them.
            let found = allocations(|| drop(encoder.encode(&batch[..rows]).unwrap()));
            assert_eq!(found, rows + 1, "{precision:?}, {rows} rows");
        }
        for row in &batch {
            let found = allocations(|| drop(encoder.encode_together(row).unwrap()));
            assert_eq!(found, 1, "{precision:?}, {} tokens by two threads", row.len());
        }
    }
}
