//! Many connections and many client processes at one server, and what each of them costs.
//!
//! `IPC_CORE_CONNECTIONS=10000 IPC_CORE_PROCESSES=1000 cargo test -p ipc-core --test crowd -- --nocapture` is the crowd
//! that this is made for; by default a tenth of it comes.

#[path = "../semantics/child.rs"]
#[allow(dead_code, reason = "shared with the tests of semantics")]
mod child;
mod costs;
mod server;
#[path = "../serving/mod.rs"]
mod serving;

use std::sync::{Mutex, PoisonError};

use ipc_core::{
    Connection,
    abi::{Chid, Errno, Nd, Pid},
};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::{
    child::{Child, argument, parent, say},
    costs::Costs,
    server::Server,
};

/// Bytes of memory that an idle connection may have touched, on each side.
const TOUCHED_MAX: usize = 16 << 10;

/// What one test counts is not to be another's.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

fn number(variable: &str, default: usize) -> usize {
    std::env::var(variable).map_or(default, |text| text.parse().expect("it is a number"))
}

/// As many descriptors as the system allows.
fn lift_limit() {
    let (_, hard) = getrlimit(Resource::RLIMIT_NOFILE).expect("it can be read");
    setrlimit(Resource::RLIMIT_NOFILE, hard, hard).expect("it is the hard one");
}

#[test]
fn a_crowd_of_connections_costs_a_descriptor_and_a_few_pages_each() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let count = number("IPC_CORE_CONNECTIONS", 1000);
    lift_limit();
    let server = Server::start();
    let mut client = Child::start(
        "inside_a_client_of_many",
        format!("{} {count}", server.chid()),
    );
    assert_eq!(client.said(), "ready");
    let before = Costs::now();
    client.tell("attach");
    println!("the client's side: {}", client.said());
    let costs = before.settled(count, 1.0);
    println!("the server's side: {costs}");
    assert!(costs.touched <= TOUCHED_MAX as f64, "{costs}");
    client.end();
    before.until_given_back();
}

#[test]
#[ignore = "run by a_crowd_of_connections_costs_a_descriptor_and_a_few_pages_each"]
fn inside_a_client_of_many() {
    lift_limit();
    let arguments = argument();
    let (chid, count) = arguments.split_once(' ').expect("two numbers");
    let chid = Chid(chid.parse().expect("a number"));
    let count: usize = count.parse().expect("a number");
    let attach = || Connection::attach(Nd::LOCAL, parent(), chid).expect("it accepts");
    // What a process has once is not a connection's cost.
    let first = attach();
    say("ready");
    child::wait_for_parent();
    let before = Costs::now();
    let connections: Vec<Connection> = (0..count).map(|_| attach()).collect();
    for connection in &connections {
        connection
            .send(&[1; 64], &mut [0; 64])
            .expect("it is answered");
    }
    let costs = before.settled(count, 1.0);
    assert!(costs.touched <= TOUCHED_MAX as f64, "{costs}");
    say(costs);
    child::wait_for_parent();
    drop(first);
}

#[test]
fn a_crowd_of_processes_is_served_and_goes_without_a_trace() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let count = number("IPC_CORE_PROCESSES", 100);
    lift_limit();
    let server = Server::start();
    // What the channel touches with its first client is not the crowd's cost.
    let first = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    first.send(&[1; 64], &mut [0; 64]).expect("it is answered");
    let before = Costs::now();
    let mut crowd: Vec<Child> = (0..count)
        .map(|_| Child::start("inside_one_of_many", server.chid()))
        .collect();
    for one in &mut crowd {
        assert_eq!(one.said(), "attached");
    }
    // Beside its connection each child has two pipes, which are this test's.
    let costs = before.settled(count, 3.0);
    println!("the server's side, two pipes to each process among it: {costs}");
    assert!(costs.touched <= TOUCHED_MAX as f64, "{costs}");
    crowd.iter_mut().for_each(|one| one.tell("send"));
    for one in &mut crowd {
        assert_eq!(one.said(), "served");
    }
    // Half of them end, half of them are killed.
    for (index, mut one) in crowd.into_iter().enumerate() {
        match index % 2 {
            0 => one.end(),
            _ => one.kill(),
        }
    }
    before.until_given_back();
}

#[test]
#[ignore = "run by a_crowd_of_processes_is_served_and_goes_without_a_trace"]
fn inside_one_of_many() {
    let chid = Chid(argument().parse().expect("a number"));
    let connection = Connection::attach(Nd::LOCAL, parent(), chid).expect("it accepts");
    say("attached");
    child::wait_for_parent();
    for round in 0..100_u8 {
        let mut reply = [0; 64];
        connection
            .send(&[round; 64], &mut reply)
            .expect("it is answered");
        assert_eq!(reply, [round; 64]);
    }
    say("served");
    child::wait_for_parent();
}

/// A limit on address space stands in for all that memory can run out of: what cannot be mapped is an errno.
#[test]
fn without_memory_for_a_region_an_attach_is_an_errno_until_there_is_some() {
    child::run_alone("inside_a_small_process");
}

#[test]
#[ignore = "run by without_memory_for_a_region_an_attach_is_an_errno_until_there_is_some"]
fn inside_a_small_process() {
    let server = Server::start();
    let (soft, hard) = getrlimit(Resource::RLIMIT_AS).expect("it can be read");
    let first = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("it accepts");
    // Room for a few regions more, of which each side maps one.
    let size = costs::address_space() + (300 << 20);
    setrlimit(Resource::RLIMIT_AS, size as u64, hard).expect("it is below the hard one");
    let mut more = Vec::new();
    let error = loop {
        match Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()) {
            Ok(connection) => more.push(connection),
            Err(error) => break error,
        }
    };
    assert_eq!(error, Errno::ENOMEM);
    assert!(more.len() < 10, "{}", more.len());
    first
        .send(b"still served", &mut [])
        .expect("it is answered");
    setrlimit(Resource::RLIMIT_AS, soft, hard).expect("it was so before");
    let again = Connection::attach(Nd::LOCAL, Pid::SELF, server.chid()).expect("there is memory");
    again.send(b"hello", &mut []).expect("it is answered");
}
