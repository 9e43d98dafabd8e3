//! `unsafe` stands only where the project needs it.

use super::{Violation, source::Source};

/// Folders that may, and what for.
const PLACES: &[&str] = &[
    // System calls, one kernel object per file.
    "ipc-core/src/sys/",
    // Memory that a peer can write.
    "ipc-core/src/shm/",
    // Slices over shared memory, for callers who vouch for the peer.
    "ipc-core/src/connection/loan.rs",
    // Pointers of C programs.
    "ipc-core/capi/",
    // io_uring and packet sockets: buffers that the kernel holds.
    "qnet/src/driver/",
    // System calls that no crate wraps: one thread's groups, raw directory entries.
    "tools/src/fs_export/sys.rs",
    // Symbols of the C library, replaced.
    "tools/preload/",
    // Namespaces, forks and packet sockets of the lab.
    "tools/src/netlab/sys.rs",
    // The raw primitives that the product is measured against.
    "benches/src/sys/",
];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    if PLACES.iter().any(|place| source.path.starts_with(place)) || source.path.contains("/tests/")
    {
        return Vec::new();
    }
    let tokens = source.tokens();
    let found = tokens.iter().filter(|token| token.text == "unsafe");
    let what = "`unsafe` has its places: sys, shm, capi, qnet's driver, preload; put a safe function there";
    found
        .map(|token| Violation::new(&source.path, token.line, what))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unsafe_outside_of_its_places_is_found() {
        let text = "#![deny(unsafe_code)]\nfn a() {\n    unsafe { b() }\n}\n";
        let found = check(&Source::new("ipc-core/src/channel/mod.rs", text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 3);
    }

    #[test]
    fn unsafe_in_its_places_is_fine() {
        assert!(check(&Source::new("ipc-core/src/sys/futex.rs", "unsafe { b() }")).is_empty());
    }
}
