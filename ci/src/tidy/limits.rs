//! Every limit of a package stands in its `limits.rs`, with its relations to the others asserted.

use super::{Violation, source::Source};

/// Packages that carry limits others rely on; tools of one program keep theirs beside their use.
const PACKAGES: [&str; 3] = ["ipc-core/src/", "qnet/src/", "qnet/proto/src/"];

pub(super) fn check(source: &Source) -> Vec<Violation> {
    let concerned = PACKAGES
        .iter()
        .any(|package| source.path.starts_with(package));
    if !concerned || source.path.ends_with("/limits.rs") {
        return Vec::new();
    }
    let tokens = source.product_tokens();
    let consts = tokens
        .windows(2)
        .filter(|pair| pair[0].text == "const" && is_limit(pair[1].text));
    consts
        .map(|pair| {
            let what = format!("the limit `{}` belongs into limits.rs", pair[1].text);
            Violation::new(&source.path, pair[1].line, what)
        })
        .collect()
}

fn is_limit(name: &str) -> bool {
    name.ends_with("_MAX") || name.ends_with("_MIN") || name.ends_with("_LIMIT")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_elsewhere_is_found() {
        let text = "const A: u32 = 1;\npub const NAME_LEN_MAX: usize = 255;\n";
        let found = check(&Source::new("ipc-core/src/shm/ring.rs", text));
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].line, 2);
    }

    #[test]
    fn a_limit_in_its_file_is_fine() {
        let text = "pub const NAME_LEN_MAX: usize = 255;\n";
        assert!(check(&Source::new("ipc-core/src/abi/limits.rs", text)).is_empty());
    }
}
