//! Completions and manual pages, as they are installed, and what the command line refuses.

use std::{fs, path::Path, process::Command};

/// What `qn` printed; it must have succeeded.
fn says(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_qn"));
    let output = command
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && told.is_empty(),
        "qn {arguments:?}: {told}"
    );
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn shells_complete_all_programs_and_each_has_manual_pages() {
    const PROGRAMS: [&str; 6] = ["qn", "qnet", "procmgr", "fs-export", "netlab", "ipc-soak"];
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let dir = folder.join("completions");
    let dir = dir.to_str().unwrap();
    for (shell, file) in [("bash", "qn.bash"), ("zsh", "_qn"), ("fish", "qn.fish")] {
        assert_eq!(says(folder, &["completions", shell, "--dir", dir]), "");
        let script = fs::read_to_string(format!("{dir}/{file}")).unwrap();
        let name = |program| file.replace("qn", program);
        let scripts =
            PROGRAMS.map(|program| fs::read_to_string(format!("{dir}/{}", name(program))));
        let scripts = scripts.map(Result::unwrap).concat();
        assert_eq!(says(folder, &["completions", shell]), scripts);
        assert!(script.contains("blocked"), "{shell} knows no subcommands");
    }
    assert_eq!(fs::read_dir(dir).unwrap().count(), 3 * PROGRAMS.len());
    let bash = format!(
        "source <({} completions bash); complete -p {}",
        env!("CARGO_BIN_EXE_qn"),
        PROGRAMS.join(" ")
    );
    match Command::new("bash").args(["-c", &bash]).output() {
        Ok(told) => assert!(
            told.status.success() && told.stderr.is_empty(),
            "{}",
            String::from_utf8_lossy(&told.stderr)
        ),
        Err(error) => println!("skipped: bash: {error}"),
    }

    let written: serde_json::Value =
        serde_json::from_str(&says(folder, &["--json", "man", "pages/man1"])).unwrap();
    let pages: Vec<_> = written["paths"]
        .as_array()
        .unwrap()
        .iter()
        .map(|path| path.as_str().unwrap())
        .collect();
    for program in PROGRAMS
        .into_iter()
        .chain(["qn-run", "qnet-capture", "netlab-up"])
    {
        let page = format!("pages/man1/{program}.1");
        assert!(
            pages.contains(&page.as_str()),
            "{page} is not among {pages:?}"
        );
        let text = fs::read_to_string(folder.join(&page)).unwrap();
        assert!(
            text.contains(".SH NAME") && text.contains(".SH SYNOPSIS"),
            "{page}"
        );
    }
    assert!(!pages.iter().any(|page| page.contains("help")));
    let copy = fs::read_to_string(folder.join("pages/man1/qn-cp.1")).unwrap();
    assert!(
        copy.contains("[\\-\\-runtime\\-dir <DIR>]") && copy.contains(" FROM... TO\n"),
        "{copy}"
    );
}

#[test]
fn json_is_a_wrong_command_line_where_nothing_is_printed_as_such() {
    for arguments in [
        &["--json", "run", "true"][..],
        &["completions", "bash", "--json"],
        &["top", "--json"],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_qn"));
        let refused = command.args(arguments).output().unwrap();
        let told = String::from_utf8(refused.stderr).unwrap();
        assert_eq!(refused.status.code(), Some(2), "{told}");
        assert!(told.contains("--json cannot be obeyed"), "{told}");
        assert!(refused.stdout.is_empty());
    }
}
