//! Every program in `examples/` runs, ends by itself, and prints what its own first lines say it prints.
//!
//! Those lines are in its documentation, in a block like this; `…` stands for anything within a line:
//!
//! ```text
//! $ cargo run -q -p ipc-core --example NAME
//! what it prints
//! ```

use std::{
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// An example that has not ended after this long hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// What an example says of itself, in its documentation, when it needs more than itself.
const NEEDS_NODE: &str = "Needs a process manager";

/// What `cargo run` needs for it, and so does `cargo test`.
const FEATURE: &str = "--features tokio";

struct Example {
    name: String,
    documentation: String,
}

struct Ended {
    status: ExitStatus,
    out: String,
    err: String,
}

#[test]
fn every_example_prints_what_it_says_it_prints() {
    let examples = examples();
    assert!(examples.len() >= 10, "there were more of them");
    for example in &examples {
        let expected = example.expected();
        if example.documentation.contains(FEATURE) && !cfg!(feature = "tokio") {
            println!("skipped: {}: run with {FEATURE}", example.name);
            continue;
        }
        let ended = example.run();
        if example.documentation.contains(NEEDS_NODE) {
            // With one, `tools` runs them.
            assert!(
                !ended.status.success(),
                "{}: there is no node",
                example.name
            );
            assert!(
                ended.err.contains("start it with: procmgr"),
                "{}",
                ended.err
            );
            continue;
        }
        let Ended { status, out, err } = ended;
        let name = &example.name;
        assert!(status.success(), "{name}: {status}\n{out}{err}");
        let same = out.lines().count() == expected.len()
            && out
                .lines()
                .zip(&expected)
                .all(|(line, wanted)| fits(line, wanted));
        assert!(
            same,
            "{name} printed\n{out}instead of\n{}",
            expected.join("\n")
        );
    }
}

#[test]
fn a_wildcard_stands_for_anything_and_other_characters_for_themselves() {
    assert!(fits("12 of 30 wakes", "… of … wakes"));
    assert!(fits("0", "…"));
    assert!(!fits("12 of 30 wakes", "… of 31 wakes"));
    assert!(!fits("12 of 30 wakes", "2 of …"));
    assert!(!fits("a", "ab"));
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("examples")
}

fn examples() -> Vec<Example> {
    let entries = fs::read_dir(folder()).expect("the folder is part of the package");
    let mut names: Vec<_> = entries
        .map(|entry| entry.expect("the folder can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter_map(|path| Some(path.file_stem()?.to_str()?.to_owned()))
        .collect();
    names.sort();
    let example = |name: String| {
        let source = fs::read_to_string(folder().join(format!("{name}.rs"))).expect("it is text");
        let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
        let lines: Vec<_> = lines
            .map(|line| line.strip_prefix(' ').unwrap_or(line))
            .collect();
        Example {
            documentation: lines.join("\n"),
            name,
        }
    };
    names.into_iter().map(example).collect()
}

impl Example {
    /// The lines of the first block of its documentation that follow the command.
    fn expected(&self) -> Vec<String> {
        let command = format!("--example {}", self.name);
        let lines = self.documentation.lines();
        let mut after =
            lines.skip_while(|line| !(line.starts_with("$ cargo run") && line.contains(&command)));
        assert!(
            after.next().is_some(),
            "examples/{}.rs: its documentation does not say what `$ cargo run -q -p ipc-core {command}` prints",
            self.name
        );
        after
            .take_while(|line| *line != "```")
            .map(str::to_owned)
            .collect()
    }

    /// Runs it on a node of its own, where there is nobody else, and without input.
    fn run(&self) -> Ended {
        let program = self.program();
        let dir = tempfile::tempdir().expect("a directory for the node");
        let child = Command::new(&program)
            .env("QNET_RUNTIME_DIR", dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let child = child.unwrap_or_else(|error| panic!("{}: {error}", program.display()));
        ended(&self.name, child)
    }

    fn program(&self) -> PathBuf {
        // This test is in `deps`, beside `examples`.
        let own = std::env::current_exe().expect("the kernel knows what it runs");
        let profile = own
            .ancestors()
            .nth(2)
            .expect("cargo's folders are that deep");
        let program = profile.join("examples").join(&self.name);
        let built = fs::metadata(&program)
            .and_then(|found| found.modified())
            .ok();
        let source = fs::metadata(folder().join(format!("{}.rs", self.name)));
        let changed = source.and_then(|found| found.modified()).ok();
        assert!(
            built.is_some() && built >= changed,
            "{} is not built, or older than its source; mend it with: cargo test -p ipc-core",
            program.display()
        );
        program
    }
}

fn ended(name: &str, mut child: Child) -> Ended {
    let out = drain(child.stdout.take().expect("it is piped"));
    let err = drain(child.stderr.take().expect("it is piped"));
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().expect("it is our child") {
            break status;
        }
        if started.elapsed() > PATIENCE {
            child.kill().expect("it runs");
            panic!("{name} does not end by itself");
        }
        thread::sleep(Duration::from_millis(5));
    };
    let [out, err] = [out, err].map(|read| read.join().expect("its output is text"));
    Ended { status, out, err }
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("its output is text");
        text
    })
}

/// Whether a line is as wanted.
fn fits(line: &str, wanted: &str) -> bool {
    let mut parts = wanted.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = line.strip_prefix(first) else {
        return false;
    };
    let mut parts: Vec<_> = parts.collect();
    let Some(last) = parts.pop() else {
        return rest.is_empty();
    };
    for part in parts {
        match rest.split_once(part) {
            Some((_, after)) => rest = after,
            None => return false,
        }
    }
    rest.ends_with(last)
}
