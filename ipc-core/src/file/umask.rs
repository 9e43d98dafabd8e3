//! The process's umask, read without changing it.

use std::fs;

/// The umask that most systems start with; used where `/proc` does not tell.
const USUAL: u32 = 0o022;

/// The bits that new files of this process do not get.
///
/// The system call can only set it, which another thread would notice; `/proc` shows it.
pub(crate) fn umask() -> u32 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| parse(&status))
        .unwrap_or(USUAL)
}

fn parse(status: &str) -> Option<u32> {
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("Umask:"))?;
    u32::from_str_radix(line.trim(), 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_umask_is_found_among_the_lines() {
        assert_eq!(parse("Name:\tcat\nUmask:\t0077\nState:\tR\n"), Some(0o77));
        assert_eq!(parse("Name:\tcat\n"), None);
    }
}
