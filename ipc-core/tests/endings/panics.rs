//! Panics in what the library calls.

use std::sync::mpsc;

use ipc_core::abi::Errno;

use crate::{
    child,
    support::{GIVE_UP, channel, connect},
};

#[test]
fn a_panic_at_the_end_of_a_connection_keeps_nobody_from_learning_of_others_ends() {
    child::run_alone("panics::at_the_end");
}

#[test]
#[ignore = "run by a_panic_at_the_end_of_a_connection_keeps_nobody_from_learning_of_others_ends"]
fn at_the_end() {
    let (told, ends) = mpsc::channel();
    for number in 0..3 {
        let channel = channel();
        let connection = connect(&channel);
        connection.on_end(Box::new(|| panic!("as a user's code may")));
        let told = told.clone();
        connection.on_end(Box::new(move || told.send(number).expect("it waits")));
        drop(channel);
        assert_eq!(ends.recv_timeout(GIVE_UP), Ok(number), "the end is told");
        assert_eq!(connection.send(b"x", &mut []), Err(Errno::EBADF));
    }
}
