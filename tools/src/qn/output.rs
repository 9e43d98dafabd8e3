//! Text for people, JSON for programs, errors for both.

use std::{
    borrow::Cow,
    fmt::{self, Display},
    io::{self, Write},
    path::Path,
};

use ipc_core::{abi::Errno, file::describe};
use serde_json::{Value, json};

/// Why something failed, as a person needs it.
#[derive(Debug)]
pub(super) struct Fault {
    text: String,
    errno: Option<Errno>,
}

impl Fault {
    /// An error on a path of the pathname space, with likely cause and mending command.
    pub(super) fn on_path(errno: Errno, path: impl AsRef<Path>) -> Fault {
        Fault {
            text: describe(errno, path),
            errno: Some(errno),
        }
    }

    /// An error on a file of this machine.
    pub(super) fn on_host(error: &io::Error, place: impl Display) -> Fault {
        Fault {
            text: format!("{place}: {error}"),
            errno: Some(Errno::of(error)),
        }
    }

    /// Anything else.
    pub(super) fn new(text: impl Into<String>) -> Fault {
        Fault {
            text: text.into(),
            errno: None,
        }
    }

    /// Another text for the same error.
    pub(super) fn with_errno(text: impl Into<String>, errno: Errno) -> Fault {
        Fault {
            text: text.into(),
            errno: Some(errno),
        }
    }
}

impl Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Where results and errors go.
pub(super) struct Output {
    is_json: bool,
}

impl Output {
    pub(super) fn new(is_json: bool) -> Output {
        Output { is_json }
    }

    pub(super) fn is_json(&self) -> bool {
        self.is_json
    }

    /// Prints a result: as JSON, or as the text that `text` makes of it.
    ///
    /// # Errors
    /// Standard output cannot be written, other than because nobody reads it any more.
    pub(super) fn result(&self, value: &Value, text: impl FnOnce() -> String) -> Result<(), Fault> {
        if self.is_json {
            write(format!("{value:#}\n").as_bytes())
        } else {
            self.print(&text())
        }
    }

    /// What a command that only does something prints: nothing, or what it did as JSON.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(super) fn done(&self, what: &str, paths: &[String]) -> Result<(), Fault> {
        self.result(&json!({ "done": what, "paths": paths }), String::new)
    }

    /// Prints text for people.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(super) fn print(&self, text: &str) -> Result<(), Fault> {
        write(harmless(text).as_bytes())
    }

    /// Prints a program's text as it is, for another program.
    ///
    /// # Errors
    /// As [`Output::result`].
    pub(super) fn script(&self, script: &[u8]) -> Result<(), Fault> {
        write(script)
    }

    /// Prints an error to standard error.
    pub(super) fn fault(&self, fault: &Fault) {
        if self.is_json {
            let errno = fault.errno.map(|errno| format!("{errno:?}"));
            eprintln!("{}", json!({ "error": fault.text, "errno": errno }));
        } else {
            eprintln!("qn: {}", harmless(&fault.text));
        }
    }
}

fn write(bytes: &[u8]) -> Result<(), Fault> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Fault::on_host(&error, "standard output"))
        }
        _ => Ok(()),
    }
}

/// Text of other nodes for a terminal: what would command it is shown as what it is.
fn harmless(text: &str) -> Cow<'_, str> {
    let commands = |c: char| c.is_control() && c != '\n';
    if !text.contains(commands) {
        return Cow::Borrowed(text);
    }
    let shown = text.chars().flat_map(|c| {
        let escaped = commands(c).then(|| c.escape_default());
        let plain = escaped.is_none().then_some(c);
        escaped.into_iter().flatten().chain(plain)
    });
    Cow::Owned(shown.collect())
}

/// Lines of columns, each as wide as its widest; numbers stand right.
pub(super) fn columns(head: &[&str], rows: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells.chain([head[column].len()]).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let is_number = |column: usize| {
        !rows.is_empty() && rows.iter().all(|row| row[column].parse::<i64>().is_ok())
    };
    let line = |cells: Vec<&str>| {
        let mut line = String::new();
        for (column, (cell, width)) in cells.iter().zip(&widths).enumerate() {
            let pad = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, behind) = if is_number(column) {
                (pad.as_str(), "")
            } else {
                ("", pad.as_str())
            };
            line.extend([before, cell, behind, "  "]);
        }
        format!("{}\n", line.trim_end())
    };
    let heading = line(head.to_vec());
    let rows = rows
        .iter()
        .map(|row| line(row.iter().map(String::as_str).collect()));
    std::iter::once(heading).chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_command_a_terminal_is_shown() {
        assert_eq!(harmless("a\tb\n"), "a\\tb\n");
        assert_eq!(
            harmless("\u{1b}]0;x\u{7}\u{9b}"),
            "\\u{1b}]0;x\\u{7}\\u{9b}"
        );
        assert_eq!(harmless("größe\n"), "größe\n");
    }

    #[test]
    fn columns_line_up_and_numbers_stand_right() {
        let row = |cells: [&str; 2]| cells.map(str::to_owned).to_vec();
        let text = columns(&["PID", "NAME"], &[row(["7", "a"]), row(["1234", "bc"])]);
        assert_eq!(text, " PID  NAME\n   7  a\n1234  bc\n");
        assert_eq!(columns(&["PID", "NAME"], &[]), "PID  NAME\n");
    }
}
