//! Panics of a reader that are caught anyway: no hook gets to see them, so nothing is printed.

use std::cell::Cell;
use std::panic::{set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is to be kept from the hook.
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Puts back what [`QUIET`] was, also when `work` panics.
struct Before(bool);

impl Drop for Before {
    fn drop(&mut self) {
        QUIET.set(self.0);
    }
}

/// Does `work`; a panic goes through, but past the program's hook.
///
/// The first call puts a hook in front of the program's, for good: swapping hooks for each call
/// would take them from other threads. All other panics are passed on. A hook that the program sets
/// later replaces this one, and sees these panics as well.
pub(crate) fn quietly<T>(work: impl FnOnce() -> T) -> T {
    static FIRST: Once = Once::new();
    // While it unwinds, a thread may not change the hook.
    if !std::thread::panicking() {
        FIRST.call_once(|| {
            let before = take_hook();
            set_hook(Box::new(move |panic| {
                if !QUIET.get() {
                    before(panic);
                }
            }));
        });
    }
    let _before = Before(QUIET.replace(true));
    work()
}
