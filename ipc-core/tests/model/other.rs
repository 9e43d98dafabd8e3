//! A client in a process of its own, so that it can be killed.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
};

use ipc_core::{
    AttachOptions, CompletionQueue, Connection,
    abi::{Chid, Nd, Pid},
    set_priority,
};

use crate::subject::{CODE, filled};

const CHANNEL: &str = "IPC_CORE_MODEL_CHANNEL";

/// The process. Killed when it is dropped.
pub(crate) struct Other {
    process: Child,
    told: ChildStdin,
    said: BufReader<ChildStdout>,
}

impl Other {
    /// Starts a client of the channel, and waits until it is attached.
    pub(crate) fn start(chid: Chid) -> Other {
        let own = std::env::current_exe().expect("this program has a file");
        let mut process = Command::new(own)
            .args([
                "--exact",
                "other::inside_a_client",
                "--ignored",
                "--nocapture",
            ])
            .env(CHANNEL, chid.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a child can be started");
        let told = process.stdin.take().expect("it was piped");
        let said = BufReader::new(process.stdout.take().expect("it was piped"));
        let mut other = Other {
            process,
            told,
            said,
        };
        other.wait();
        other
    }

    pub(crate) fn pid(&self) -> Pid {
        Pid::from(&self.process)
    }

    /// Has it submit a message; returns when it is posted.
    pub(crate) fn submit(&mut self, token: u64, priority: u8, len: usize, room: usize) {
        writeln!(self.told, "submit {token} {priority} {len} {room}").expect("it lives");
        self.wait();
    }

    /// Has it send a pulse; returns when it is posted.
    pub(crate) fn pulse(&mut self, value: i64, priority: u8) {
        writeln!(self.told, "pulse {value} {priority}").expect("it lives");
        self.wait();
    }

    fn wait(&mut self) {
        let mut line = String::new();
        // The harness does not end its own line before the test's first.
        while !line.trim_end().ends_with("@done") {
            line.clear();
            let read = self.said.read_line(&mut line).expect("text");
            assert!(read > 0, "the client has ended");
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        self.process.kill().expect("it was not waited for before");
        self.process.wait().expect("it was not waited for before");
    }
}

#[test]
#[ignore = "run by another_process_behaves_as_the_oracle"]
fn inside_a_client() {
    let chid = std::env::var(CHANNEL).expect("started by a parent");
    let chid = Chid(chid.parse().expect("a number"));
    let parent = Pid::from(std::os::unix::process::parent_id());
    let queue = CompletionQueue::new().expect("a queue can be made");
    let options = AttachOptions {
        queue: Some(&queue),
        ..AttachOptions::default()
    };
    let connection = Connection::attach_with(Nd::LOCAL, parent, chid, &options).expect("it lives");
    println!("@done");
    for line in std::io::stdin().lines() {
        let line = line.expect("text");
        let numbers: Vec<i64> = line
            .split(' ')
            .skip(1)
            .map(|n| n.parse().expect("a number"))
            .collect();
        match (line.starts_with("pulse"), numbers.as_slice()) {
            (true, [value, priority]) => {
                let sent = connection.send_pulse(Some(*priority as u8), CODE, *value);
                sent.expect("there is room");
            }
            (_, [token, priority, len, room]) => {
                let mut loan = connection
                    .loan(*len as usize, *room as usize)
                    .expect("there is room");
                loan.write(0, &filled(*token as u64, *len as usize));
                set_priority(*priority as u8);
                connection.submit(loan, *token as u64).expect("it lives");
            }
            _ => panic!("not an order: {line}"),
        }
        println!("@done");
        // Answers make room for what comes next.
        while queue.try_next().is_some() {}
    }
}
