//! Lists of CPUs, as the kernel writes them: `0`, `0,2`, `4-7`.

use crate::{config::ConfigError, limits::CPUS_MAX};

/// Reads a list.
///
/// # Errors
/// It is no list, or names no CPU or one of 1024 and more.
pub(super) fn parse(text: &str) -> Result<Vec<usize>, ConfigError> {
    let mut cpus = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().parse::<usize>().ok();
        match (number(first), number(last)) {
            (Some(first), Some(last)) if first <= last && last < CPUS_MAX => {
                cpus.extend(first..=last);
            }
            _ => {
                return Err(ConfigError::new(format!(
                    "{part:?} in the list of CPUs {text:?} names none: write numbers below {CPUS_MAX} and \
                     ranges, such as --cpu 2,4-5 (`lscpu -e` lists them)"
                )));
            }
        }
    }
    Ok(cpus)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_ranges_are_read_and_nothing_else() {
        assert_eq!(parse("2").unwrap(), [2]);
        assert_eq!(parse("0, 4-6").unwrap(), [0, 4, 5, 6]);
        for bad in ["", "a", "3-1", "1,", "-2", "1024", "0-99999999999"] {
            let text = parse(bad).unwrap_err().to_string();
            assert!(text.contains("--cpu"), "{text}");
        }
    }
}
