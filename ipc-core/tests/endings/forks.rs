//! Forked children: they have neither the memory nor the locks of what their parents held.

use std::time::Duration;

use ipc_core::{CompletionQueue, Pipeline, PipelineOptions, abi::Errno, readiness::Pollable};
use nix::{
    sys::wait::{WaitStatus, waitpid},
    unistd::{ForkResult, fork},
};

use crate::{
    child,
    support::{GIVE_UP, batch, channel, connect, connect_with_queue, message},
};

// covers: DTH-1
#[test]
fn a_forked_child_finds_nothing_in_what_its_parent_held_and_takes_nothing_away() {
    child::run_alone("forks::inside_a_parent");
}

#[test]
#[ignore = "run by a_forked_child_finds_nothing_in_what_its_parent_held_and_takes_nothing_away"]
fn inside_a_parent() {
    const LEN: usize = 500;
    let served = Pollable::new(channel()).expect("it can be polled");
    let plain = channel();
    let queue = Pollable::new(CompletionQueue::new().expect("a queue")).expect("it can be polled");
    let connection = connect_with_queue(&plain, &queue);
    let long = || connection.loan(LEN, LEN).expect("there is room");
    for token in 0..2 {
        connection.submit(long(), token).expect("it lives");
    }
    message(&plain).reply(0, &[7; LEN]).expect("it waits");
    let first = loop {
        if let Some(first) = queue.try_next() {
            break first.result.expect("it was answered");
        }
    };
    let mut held = batch(&plain);
    let mut loan = long();
    let mut pipeline = {
        let options = PipelineOptions {
            reply_len_max: LEN,
            ..PipelineOptions::default()
        };
        Pipeline::new(connect(&plain), &options).expect("there is room")
    };
    pipeline.submit(b"x").expect("there is room");
    pipeline.flush();
    message(&plain).reply(0, &[8; LEN]).expect("it waits");
    pipeline.wait(Some(GIVE_UP)).expect("it was answered");
    let piped = pipeline.try_next().expect("it is there").result;
    let piped = piped.expect("it was answered");

    // SAFETY: the child runs code of this test only, and the C library's allocator works in it.
    match unsafe { fork() }.expect("a child can be made") {
        ForkResult::Child => {
            let mut bytes = [0; LEN];
            let found = [
                first.read(0, &mut bytes),
                piped.read(0, &mut bytes),
                loan.write(0, &bytes),
                held.take_messages().len(),
                usize::from(queue.try_next().is_some()),
                usize::from(plain.outside().is_ready()),
            ];
            let refused = [
                queue.next(Some(Duration::from_millis(1))).map(drop) == Err(Errno::EBADF),
                served.try_receive().map(drop) == Err(Errno::ESRCH),
                queue.arm(&mut Vec::new()),
                plain.outside().arm(&mut Vec::new()),
            ];
            plain.outside().disarm();
            served.watch();
            queue.watch();
            drop((first, loan, held, served, queue));
            let fine = found == [0; 6] && refused == [true; 4];
            // SAFETY: ends the process without running anything else of its parent's.
            unsafe { libc::_exit(i32::from(!fine)) }
        }
        ForkResult::Parent { child } => {
            assert_eq!(waitpid(child, None), Ok(WaitStatus::Exited(child, 0)));
        }
    }
    let mut bytes = [0; LEN];
    assert_eq!((first.read(0, &mut bytes), bytes), (LEN, [7; LEN]));
    assert_eq!((piped.read(0, &mut bytes), bytes), (LEN, [8; LEN]));
    assert_eq!(loan.write(0, &bytes), LEN);
    assert_eq!(held.reply_each(|_, _| Ok(0)), Ok(1));
    let second = queue.next(Some(GIVE_UP)).expect("it comes");
    assert_eq!(second.token, 1);
}
