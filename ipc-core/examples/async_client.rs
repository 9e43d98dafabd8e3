//! A client of tokio's tasks: a hundred messages in flight through one connection, a timeout, and a
//! server that is asked to end.
//!
//! Without arguments it starts `async_server`, which is built beside it.
//!
//! ```text
//! $ cargo build -q -p ipc-core --features tokio --examples
//! $ cargo run -q -p ipc-core --features tokio --example async_client
//! 100 answers, sum 4950
//! too slow for us: deadline has elapsed
//! still alive: 1
//! server: served … messages
//! ```

use std::{
    env,
    io::{self, BufRead, BufReader, Lines},
    process::{Child, ChildStdout, Command, Stdio},
    sync::Arc,
    time::Duration,
};

use ipc_core::{
    abi::{Chid, Errno, Nd, Pid, Result},
    tokio::AsyncConnection,
};
use tokio::{task::JoinSet, time::timeout};

#[tokio::main]
async fn main() -> Result<()> {
    let arguments: Vec<i32> = env::args().skip(1).filter_map(|a| a.parse().ok()).collect();
    if let [pid, chid] = arguments[..] {
        return talk(Pid(pid), Chid(chid)).await;
    }
    let (mut server, mut lines) = start_server()?;
    let (pid, chid) = lines
        .next()
        .and_then(|line| ids(&line.ok()?))
        .ok_or(Errno::EPROTO)?;
    talk(pid, chid).await?;
    // The end of its input ends it, after it has answered what it received.
    drop(server.stdin.take());
    for line in lines {
        println!("server: {}", line?);
    }
    server.wait()?;
    Ok(())
}

async fn talk(pid: Pid, chid: Chid) -> Result<()> {
    let connection = Arc::new(AsyncConnection::attach(Nd::LOCAL, pid, chid).await?);

    // Many tasks, one connection; more of them than it has slots, so some wait for their turn.
    let mut tasks = JoinSet::new();
    for naptime_ms in 0..100_u64 {
        let connection = Arc::clone(&connection);
        tasks.spawn(async move { connection.send_typed::<_, u64>(&naptime_ms).await });
    }
    let (mut answers, mut sum) = (0, 0);
    for reply in tasks.join_all().await {
        answers += 1;
        sum += reply?.value;
    }
    println!("{answers} answers, sum {sum}");

    // A dropped future withdraws its message, or leaves the server's answer to nobody.
    let patience = Duration::from_millis(10);
    let slow = timeout(patience, connection.send_typed::<_, u64>(&1000_u64)).await;
    if let Err(elapsed) = slow {
        println!("too slow for us: {elapsed}");
    }
    let reply = connection.send_typed::<_, u64>(&1_u64).await?;
    println!("still alive: {}", reply.value);
    Ok(())
}

type ServerLines = Lines<BufReader<ChildStdout>>;

fn start_server() -> io::Result<(Child, ServerLines)> {
    let program = env::current_exe()?.with_file_name("async_server");
    let mut server = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let out = server.stdout.take().expect("it is piped");
    Ok((server, BufReader::new(out).lines()))
}

/// The ids in `ready: process PID channel CHID`.
fn ids(ready: &str) -> Option<(Pid, Chid)> {
    let mut numbers = ready.split(' ').filter_map(|word| word.parse().ok());
    Some((Pid(numbers.next()?), Chid(numbers.next()?)))
}
