//! Asking the memory for what will be needed soon, so that it is there when its turn comes: a walk waits for memory
//! more than it computes.

use super::plane::LINE;

/// A hint and no more: on CPUs other than x86-64 nothing happens.
#[inline(always)]
pub(super) fn fetch<T>(soon: &[T]) {
    #[cfg(target_arch = "x86_64")]
    if let Some(sse) = pulp::core_arch::x86::Sse::try_new() {
        for line in soon.chunks(LINE / size_of::<T>().clamp(1, LINE)) {
            sse._mm_prefetch::<{ core::arch::x86_64::_MM_HINT_T0 }>(line.as_ptr().cast());
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = soon;
}
