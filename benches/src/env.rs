//! The machine a figure belongs to: figures without it mean nothing.

use std::fs;

use serde::Serialize;

/// What is said of the machine in each object of the JSON and at the head of the table.
#[derive(Clone, Debug, Serialize)]
pub struct Environment {
    /// The processor's own name.
    pub cpu: String,
    /// CPUs this process may run on.
    pub cpus: usize,
    /// Kernel release.
    pub kernel: String,
    /// Day of the run, UTC.
    pub date: String,
    /// What round trips are timed with.
    pub clock: &'static str,
    /// Whether this program was built with optimisation.
    pub optimised: bool,
    /// The one-minute load average at the start: above 1, others were using the machine.
    pub load: String,
    /// Whether the machine is virtual.
    pub virtual_machine: bool,
}

impl Environment {
    /// Reads it from the running system; what cannot be read is "unknown".
    pub fn read(cpus: usize, clock: &'static str) -> Environment {
        let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        Environment {
            cpu: processor_name(&info),
            cpus,
            kernel: read_word("/proc/sys/kernel/osrelease"),
            date: today(),
            clock,
            optimised: !cfg!(debug_assertions),
            load: read_word("/proc/loadavg"),
            virtual_machine: info.contains(" hypervisor"),
        }
    }
}

fn processor_name(info: &str) -> String {
    let line = info.lines().find(|line| line.starts_with("model name"));
    line.and_then(|line| line.split_once(':'))
        .map_or("unknown", |(_, name)| name.trim())
        .to_owned()
}

fn read_word(path: &str) -> String {
    let text = fs::read_to_string(path).unwrap_or_default();
    text.split_whitespace()
        .next()
        .unwrap_or("unknown")
        .to_owned()
}

/// The civil date of the system's clock (Howard Hinnant's `civil_from_days`).
fn today() -> String {
    let since = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default();
    civil((since.as_secs() / 86_400) as i64)
}

fn civil(days: i64) -> String {
    let z = days + 719_468;
    let era = z.div_euclid(146_097);
    let doe = z.rem_euclid(146_097);
    let yoe = (doe - doe / 1460 + doe / 36_524 - doe / 146_096) / 365;
    let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    let mp = (5 * doy + 2) / 153;
    let day = doy - (153 * mp + 2) / 5 + 1;
    let month = if mp < 10 { mp + 3 } else { mp - 9 };
    let year = yoe + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_since_the_epoch_become_dates() {
        assert_eq!(civil(0), "1970-01-01");
        assert_eq!(civil(19_782), "2024-02-29");
        assert_eq!(civil(19_783), "2024-03-01");
    }

    #[test]
    fn the_processor_is_named_by_its_first_entry() {
        assert_eq!(
            processor_name("vendor_id\t: X\nmodel name\t: Some CPU @ 2GHz\n"),
            "Some CPU @ 2GHz"
        );
        assert_eq!(processor_name(""), "unknown");
    }
}
