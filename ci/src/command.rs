//! Child processes: shown before they run, limited in time, killed with their descendants.

use std::{
    collections::HashMap,
    fs,
    io::{self, BufRead, BufReader},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

/// How long a task's command may take, with what it builds, before it is taken for hung: several times what a slow and
/// busy machine needs.
pub(crate) const TIME_LIMIT: Duration = Duration::from_secs(60 * 60);

/// How a command ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// By itself.
    Exited(ExitStatus),
    /// It was killed after its time limit.
    TimedOut(Duration),
    /// It could not be started, or waited for.
    Unstartable(io::Error),
}

impl Ended {
    /// Whether it ended by itself and well.
    pub(crate) fn is_success(&self) -> bool {
        matches!(self, Ended::Exited(status) if status.success())
    }

    /// What to say of it in a table.
    pub(crate) fn describe(&self) -> String {
        match self {
            Ended::Exited(status) => status.to_string(),
            Ended::TimedOut(limit) => format!("hung: killed after {} s", limit.as_secs()),
            Ended::Unstartable(error) => format!("could not be started: {error}"),
        }
    }
}

/// Runs a command with its output on ours.
pub(crate) fn run(command: &mut Command, limit: Duration) -> Ended {
    show(command);
    match command.stdin(Stdio::null()).spawn() {
        Ok(mut child) => {
            let deadline = Instant::now() + limit;
            wait_until(&mut child, deadline, limit)
        }
        Err(error) => Ended::Unstartable(error),
    }
}

/// Runs a command and gives each line of its output, both streams in the order written, to `each_line`.
pub(crate) fn run_lines(
    command: &mut Command,
    limit: Duration,
    mut each_line: impl FnMut(&str),
) -> Ended {
    show(command);
    let (reader, mut child) = match spawn_piped(command) {
        Ok(started) => started,
        Err(error) => return Ended::Unstartable(error),
    };
    let deadline = Instant::now() + limit;
    let (sender, lines) = mpsc::channel();
    // The thread ends with the pipe: once every process that holds its other end is gone.
    thread::spawn(move || {
        for line in BufReader::new(reader).split(b'\n').map_while(Result::ok) {
            if sender
                .send(String::from_utf8_lossy(&line).into_owned())
                .is_err()
            {
                return;
            }
        }
    });
    loop {
        match lines.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(line) => each_line(&line),
            Err(RecvTimeoutError::Disconnected) => return wait_until(&mut child, deadline, limit),
            Err(RecvTimeoutError::Timeout) => {
                kill_with_descendants(&mut child);
                return Ended::TimedOut(limit);
            }
        }
    }
}

/// Whether a program can be started at all.
pub(crate) fn exists(command: &mut Command) -> bool {
    let command = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn show(command: &Command) {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_string_lossy()).collect();
    let program = words[0].rsplit('/').next().unwrap_or_default().to_owned();
    println!("    $ {program} {}", words[1..].join(" "));
}

fn spawn_piped(command: &mut Command) -> io::Result<(io::PipeReader, Child)> {
    let (reader, writer) = io::pipe()?;
    command
        .stdin(Stdio::null())
        .stdout(writer.try_clone()?)
        .stderr(writer);
    let child = command.spawn();
    // The command keeps its ends of the pipe open until it is given others.
    command.stdout(Stdio::null()).stderr(Stdio::null());
    Ok((reader, child?))
}

fn wait_until(child: &mut Child, deadline: Instant, limit: Duration) -> Ended {
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Ended::Exited(status),
            Ok(None) if Instant::now() < deadline => thread::sleep(Duration::from_millis(20)),
            Ok(None) => {
                kill_with_descendants(child);
                return Ended::TimedOut(limit);
            }
            Err(error) => return Ended::Unstartable(error),
        }
    }
}

fn kill_with_descendants(child: &mut Child) {
    for pid in descendants(child.id().cast_signed()) {
        // One that ended in between is what we wanted.
        let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Processes below `ancestor`, parents before children.
fn descendants(ancestor: i32) -> Vec<i32> {
    let mut children: HashMap<i32, Vec<i32>> = HashMap::new();
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    for pid in processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok()) {
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = vec![ancestor];
    let mut next = 0;
    while let Some(pid) = found.get(next).copied() {
        found.extend(children.remove(&pid).unwrap_or_default());
        next += 1;
    }
    found.split_off(1)
}

/// Field 4 of `/proc/<pid>/stat`; the name before it stands in parentheses and may hold anything.
fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')')
        .next()?
        .split_whitespace()
        .nth(1)?
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_both_streams_arrive_in_order() {
        let mut seen = Vec::new();
        let mut command = Command::new("sh");
        command.args(["-c", "echo one; echo two >&2; echo three; exit 3"]);
        let ended = run_lines(&mut command, TIME_LIMIT, |line| seen.push(line.to_owned()));
        assert_eq!(seen, ["one", "two", "three"]);
        assert!(matches!(ended, Ended::Exited(status) if status.code() == Some(3)));
    }

    #[test]
    fn a_hung_command_is_killed_with_what_it_started() {
        let mut command = Command::new("sh");
        command.args(["-c", "sleep 600 & echo $!; wait"]);
        let mut limits = [500, 5_000, 50_000].map(Duration::from_millis).into_iter();
        // A busy machine may need longer until the shell has said its child's pid.
        let grandchild = limits.find_map(|limit| {
            let mut grandchild = None;
            let ended = run_lines(&mut command, limit, |line| {
                grandchild = line.parse::<i32>().ok()
            });
            assert!(matches!(ended, Ended::TimedOut(_)));
            grandchild
        });
        let grandchild = grandchild.expect("the shell says it");
        while fs::read_to_string(format!("/proc/{grandchild}/stat"))
            .is_ok_and(|stat| !stat.contains(") Z"))
        {
            thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_program_that_is_not_there_is_said_so() {
        let ended = run(&mut Command::new("/nonexistent/program"), TIME_LIMIT);
        assert!(
            ended.describe().contains("could not be started"),
            "{}",
            ended.describe()
        );
    }
}
