//! Locks on whole files, which end with the file's last descriptor.

use crate::sys::descriptor::Descriptor;

/// Locks a file for this descriptor alone; false when another has it, or the file cannot be locked.
pub(crate) fn try_lock(file: &Descriptor) -> bool {
    let Ok(raw) = file.raw() else {
        return false;
    };
    // SAFETY: takes numbers; one that is no file is refused.
    unsafe { libc::flock(raw, libc::LOCK_EX | libc::LOCK_NB) == 0 }
}
