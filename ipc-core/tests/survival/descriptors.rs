//! Descriptors that run out: an errno, and everything works again when there are some.

use std::{fs, os::unix::fs::FileExt, path::Path, thread, time::Duration};

use ipc_core::{
    Channel, CompletionQueue, Connection,
    abi::{ChannelFlags, Errno, Nd, Pid},
    readiness::Pollable,
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    child::{self, Child, run_alone, say},
    server::{Server, connect, descriptors, must_echo, until},
};

/// Allows the process numbers below `open_max`; those above stay open. Answers what was allowed before.
fn limit(open_max: u64) -> u64 {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it can be read");
    setrlimit(Resource::RLIMIT_NOFILE, open_max, hard).expect("it is below the hard one");
    soft
}

#[test]
fn a_client_without_descriptors_gets_an_errno_and_can_go_on_later() {
    run_alone("descriptors::inside_a_client");
}

#[test]
#[ignore = "run by a_client_without_descriptors_gets_an_errno_and_can_go_on_later"]
fn inside_a_client() {
    let server = Server::start();
    let before = connect(Pid::SELF, server.chid());
    must_echo(&before);
    let open = descriptors();
    // Every number of descriptors that an attach can get stuck at, on either side.
    let mut refused = 0;
    for more in 0..12 {
        // What the one before took is closed a moment after it was dropped or refused.
        until(|| descriptors() <= open);
        let allowed = limit(open as u64 + more);
        let outcome = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid());
        must_echo(&before);
        limit(allowed);
        match outcome {
            Ok(connection) => must_echo(&connection),
            Err(error) => {
                assert!(matches!(error, Errno::EMFILE | Errno::EAGAIN), "{error:?}");
                refused += 1;
            }
        }
    }
    assert!((2..12).contains(&refused), "{refused}");
    let queue = CompletionQueue::new().expect("there are some");
    let allowed = limit(3);
    assert_eq!(Pollable::new(queue.clone()).map(drop), Err(Errno::EMFILE));
    assert_eq!(CompletionQueue::new().map(drop), Err(Errno::EMFILE));
    assert_eq!(
        Channel::create(ChannelFlags::empty()).map(drop),
        Err(Errno::EMFILE)
    );
    limit(allowed);
    drop(Channel::create(ChannelFlags::empty()).expect("there are some again"));
    drop(Pollable::new(queue).expect("there are some again"));
    must_echo(&connect(Pid::SELF, server.chid()));
}

#[test]
fn who_comes_to_a_server_without_descriptors_is_told_so_or_waits_until_there_are_some() {
    let mut server = Child::start("descriptors::inside_a_server", "");
    let (pid, chid) = (server.pid(), server.said_chid());
    let before = connect(pid, chid);
    must_echo(&before);

    server.tell("no new numbers");
    assert_eq!(server.said(), "limited");
    for _ in 0..3 {
        let refused = Connection::attach(Nd::LOCAL, pid, chid).map(drop);
        assert_eq!(refused, Err(Errno::EAGAIN));
    }
    must_echo(&before);

    server.tell("not even the spare one");
    assert_eq!(server.said(), "limited");
    thread::scope(|scope| {
        let waiting = scope.spawn(|| connect(pid, chid));
        server.tell("look at the monitor");
        let ran: u64 = server.said().parse().expect("a number");
        must_echo(&before);
        server.tell("lift");
        must_echo(&waiting.join().expect("it is accepted in the end"));
        assert!(
            ran < WATCHED_TICKS / 2,
            "the monitor ran for {ran} of {WATCHED_TICKS} ticks"
        );
    });
    server.end();
}

/// How long the monitor is watched, in the kernel's hundredths of a second.
const WATCHED_TICKS: u64 = 20;

#[test]
#[ignore = "run by who_comes_to_a_server_without_descriptors_is_told_so_or_waits_until_there_are_some"]
fn inside_a_server() {
    let server = Server::start();
    let monitor = monitor_stat();
    say(server.chid());
    child::wait_for_parent();
    let (allowed, filler) = use_all_up();
    say("limited");
    child::wait_for_parent();
    limit(3);
    say("limited");
    child::wait_for_parent();
    let before = ticks(&monitor);
    thread::sleep(Duration::from_millis(10 * WATCHED_TICKS));
    say(ticks(&monitor) - before);
    child::wait_for_parent();
    limit(allowed);
    drop(filler);
    child::wait_for_parent();
}

/// Leaves no number free below the limit; answers what the limit was, and what takes the numbers.
fn use_all_up() -> (u64, Vec<fs::File>) {
    let numbers = fs::read_dir("/proc/self/fd").expect("it is mounted");
    let highest = numbers
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let highest: u64 = highest.max().expect("there are some");
    let allowed = limit(highest + 1);
    let filler = std::iter::from_fn(|| fs::File::open("/dev/null").ok());
    (allowed, filler.collect())
}

/// What the kernel says of the library's monitor thread, to be read again and again without another descriptor.
fn monitor_stat() -> fs::File {
    let is_monitor = |path: &Path| {
        fs::read_to_string(path.join("comm")).is_ok_and(|name| name.trim() == "ipc-monitor")
    };
    // A thread gives itself its name when it starts.
    loop {
        let threads = fs::read_dir("/proc/self/task").expect("it is mounted");
        let mut paths = threads.flatten().map(|entry| entry.path());
        if let Some(monitor) = paths.find(|path| is_monitor(path)) {
            return fs::File::open(monitor.join("stat")).expect("the thread lives");
        }
        thread::yield_now();
    }
}

/// How long a thread has run, in hundredths of a second: fields 14 and 15. Time in which it waits for a processor does
/// not count.
fn ticks(stat: &fs::File) -> u64 {
    let mut bytes = [0; 1024];
    let len = stat.read_at(&mut bytes, 0).expect("the thread lives");
    let text = String::from_utf8_lossy(&bytes[..len]);
    // The name before the state stands in parentheses and may hold anything.
    let (_, from_state) = text.rsplit_once(')').expect("the name is in parentheses");
    let times = from_state.split_whitespace().skip(11).take(2);
    times
        .map(|ticks| ticks.parse::<u64>().expect("a number"))
        .sum()
}
