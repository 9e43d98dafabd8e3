//! Which layer knows nothing of which other: the invariants that ARCHITECTURE.md states as absences.

use super::{Violation, paths, source::Source};

/// What one part of the project must not know.
struct Absence {
    /// Files whose path starts so.
    part: &'static str,
    /// But not those that start so.
    except: &'static [&'static str],
    /// Paths that must not be named there.
    never: &'static [&'static str],
    /// Why, as the reader of a violation needs it.
    why: &'static str,
}

impl Absence {
    fn covers(&self, path: &str) -> bool {
        path.starts_with(self.part) && !self.except.iter().any(|other| path.starts_with(other))
    }
}

const ABSENCES: &[Absence] = &[
    Absence {
        part: "ipc-core/src/abi/",
        except: &[],
        never: &[
            "std::time::Instant",
            "std::time::SystemTime",
            "std::fs",
            "std::net",
            "std::thread",
            "std::sync",
        ],
        why: "`abi` is data that crosses a process boundary",
    },
    Absence {
        part: "ipc-core/src/srr/",
        except: &[],
        never: &[
            "std::time",
            "std::fs",
            "std::net",
            "std::thread",
            "std::sync",
            "core::sync",
            "libc",
            "nix",
        ],
        why: "`srr` is pure: (table, event) -> transition",
    },
    Absence {
        part: "ipc-core/src/proc/registry",
        except: &[],
        never: PURE_STATE,
        why: "the registry is pure state",
    },
    Absence {
        part: "ipc-core/src/proc/pathspace",
        except: &[],
        never: PURE_STATE,
        why: "the pathname space is pure state",
    },
    Absence {
        part: "ipc-core/src/",
        // Only there with the feature of that name.
        except: &["ipc-core/src/tokio/"],
        never: &["tokio"],
        why: "`ipc-core` has no runtime of its own",
    },
    Absence {
        part: "ipc-core/src/",
        except: &[],
        never: &["qnet", "qnet_proto", "tools", "io_uring"],
        why: "`ipc-core` is one node",
    },
    Absence {
        part: "qnet/proto/src/",
        except: &[],
        never: &[
            "std::time::Instant",
            "std::time::SystemTime",
            "std::net",
            "std::fs",
            "std::io",
            "std::thread",
            "std::sync",
            "std::os",
            "std::env",
            "std::process",
            "ipc_core",
            "qnet",
            "libc",
            "nix",
        ],
        why: "the engine has no clock and no I/O: time comes as an argument, frames are pulled",
    },
    Absence {
        part: "qnet/src/",
        except: &[],
        never: &["tools"],
        why: "qnet does not know the tools",
    },
];

const PURE_STATE: &[&str] = &[
    "std::time",
    "std::fs",
    "std::net",
    "std::thread",
    "std::sync",
    "crate::sys",
    "crate::channel",
    "nix",
    "libc",
];

/// The layers of `ipc-core`, lowest first, each with the others it may see. Itself always.
const LAYERS: &[(&str, &[&str])] = &[
    ("abi", &[]),
    ("srr", &["abi"]),
    ("sync", &["abi"]),
    ("sys", &["abi", "sync"]),
    ("spin", &["abi", "sys"]),
    ("free_indices", &[]),
    ("shm", &["abi", "sync", "sys", "free_indices"]),
    ("process", &["abi", "srr", "sys"]),
    (
        "channel",
        &[
            "abi",
            "srr",
            "sync",
            "sys",
            "spin",
            "free_indices",
            "shm",
            "process",
        ],
    ),
    (
        "connection",
        &["abi", "srr", "sys", "spin", "shm", "process", "channel"],
    ),
];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let named = paths::named(&source.product_tokens());
    let absent = ABSENCES
        .iter()
        .filter(|absence| absence.covers(&source.path));
    let mut violations: Vec<_> = absent
        .flat_map(|absence| {
            let broken = named
                .iter()
                .filter(|named| absence.never.iter().any(|never| named.is_below(never)));
            broken.map(|named| {
                let what = format!("names `{}`: {}", named.path, absence.why);
                Violation::new(&source.path, named.line, what)
            })
        })
        .collect();
    violations.extend(layer_violations(source, &named));
    violations
}

fn layer_violations(source: &Source, named: &[paths::Named]) -> Vec<Violation> {
    let rest = source
        .path
        .strip_prefix("ipc-core/src/")
        .unwrap_or_default();
    let own = rest.split(['/', '.']).next().unwrap_or_default();
    let Some((_, below)) = LAYERS.iter().find(|(layer, _)| *layer == own) else {
        return Vec::new();
    };
    let forbidden = |named: &&paths::Named| {
        let module = named
            .path
            .strip_prefix("crate::")
            .and_then(|path| path.split("::").next());
        module.is_some_and(|module| module != own && !below.contains(&module))
    };
    let broken = named.iter().filter(forbidden);
    let sees = if below.is_empty() {
        "nothing of its crate".to_owned()
    } else {
        below.join(", ")
    };
    broken
        .map(|named| {
            let what = format!("names `{}`: the layer `{own}` sees {sees}", named.path);
            Violation::new(&source.path, named.line, what)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&Source::new(path, text))
            .into_iter()
            .map(|violation| violation.line)
            .collect()
    }

    #[test]
    fn a_runtime_is_known_only_where_it_is_asked_for() {
        let text = "use ::tokio::sync::Notify;\n";
        assert_eq!(lines("ipc-core/src/channel/mod.rs", text), [1]);
        assert_eq!(lines("ipc-core/src/tokio/channel.rs", text), [0; 0]);
    }

    #[test]
    fn the_abi_sees_no_other_module() {
        let text = "use crate::abi::Nd;\nuse crate::sys::memfd;\nuse crate::{abi, shm};\n";
        assert_eq!(lines("ipc-core/src/abi/ids.rs", text), [2, 3]);
    }

    #[test]
    fn the_semantics_know_no_clock_and_no_atomics() {
        let text = "use std::{collections::BTreeMap, time::Instant};\nfn a(b: &std::sync::atomic::AtomicU32) {}\n";
        assert_eq!(lines("ipc-core/src/srr/queue.rs", text), [1, 2]);
    }

    #[test]
    fn a_layer_does_not_see_the_ones_above_it() {
        assert_eq!(
            lines("ipc-core/src/shm/ring.rs", "use crate::channel::Channel;\n"),
            [1]
        );
        assert_eq!(
            lines("ipc-core/src/channel/mod.rs", "use crate::shm::ring;\n"),
            [0; 0]
        );
    }

    #[test]
    fn the_engine_has_no_clock_and_no_files() {
        let text = "let now = std::time::Instant::now();\nlet d: std::time::Duration;\nuse std::fs::File;\n";
        assert_eq!(lines("qnet/proto/src/engine/mod.rs", text), [1, 3]);
    }

    #[test]
    fn tests_and_other_places_may() {
        let text = "#[cfg(test)]\nmod tests {\n    use std::fs;\n}\n";
        assert_eq!(lines("qnet/proto/src/wire/frame.rs", text), [0; 0]);
        assert_eq!(
            lines("qnet/src/driver/ring.rs", "use std::time::Instant;\n"),
            [0; 0]
        );
    }
}
