//! The embedding threads step back behind those that talk to callers.
//!
//! Under load they would take every core for milliseconds on end, and a refusal, which takes microseconds, would wait
//! for its turn as long as a decision. They give up nothing else: what others leave of a core is theirs.

/// Makes this thread `steps` nicer, as far as the system goes. Only Linux knows the priority of a thread.
#[cfg(target_os = "linux")]
pub(super) fn step_back(steps: u8) {
    const NICEST: i32 = 19;

    let thread = Some(rustix::thread::gettid());
    let changed = rustix::process::getpriority_process(thread).and_then(|present| {
        rustix::process::setpriority_process(thread, present.saturating_add(i32::from(steps)).min(NICEST))
    });
    if let Err(error) = changed {
        tracing::warn!(%error, "an embedding thread keeps its priority");
    }
}

#[cfg(not(target_os = "linux"))]
pub(super) fn step_back(_steps: u8) {}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::*;

    #[cfg(target_os = "linux")]
    fn niceness() -> i32 {
        rustix::process::getpriority_process(Some(rustix::thread::gettid())).unwrap()
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_thread_steps_back_alone() {
        let before = niceness();
        let stepped = std::thread::spawn(|| {
            step_back(3);
            let stepped = niceness();
            step_back(u8::MAX);
            (stepped, niceness())
        });
        assert_eq!(stepped.join().unwrap(), ((before + 3).min(19), 19));
        assert_eq!(niceness(), before);
    }
}
