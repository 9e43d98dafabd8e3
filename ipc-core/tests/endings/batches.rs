//! Batches whose clients have gone.

use ipc_core::abi::{Errno, Pid};

use crate::support::{batch, channel, connect, connections, message, until};

// covers: RPL-1, DTH-2
#[test]
fn messages_that_are_taken_out_of_a_batch_after_their_client_has_gone_are_nobodys() {
    let channel = channel();
    let gone = connect(&channel);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| gone.send(b"first", &mut []));
        let mut batch = batch(&channel);
        gone.detach();
        assert_eq!(sender.join().expect("no panic"), Err(Errno::EBADF));
        until("the hang-up", || connections(&channel) == 0);

        // Another client comes to the same place, and sends through the same slot.
        let other = connect(&channel);
        let sender = scope.spawn(move || other.send(b"second", &mut [0; 8]));
        let second = message(&channel);
        let taken = batch.take_messages();
        assert_eq!(taken.len(), 1, "it stays the batch's to give");
        for late in taken {
            assert_eq!(late.read_vec(0, 8), Err(Errno::ESRCH));
            assert_eq!(channel.info(late.rcvid()).map(drop), Err(Errno::ESRCH));
            assert_eq!(late.reply(0, b"late"), Err(Errno::ESRCH));
        }
        second.reply(7, b"").expect("its client waits");
        let answer = sender.join().expect("no panic");
        assert_eq!(answer.map(|reply| reply.status), Ok(7));
    });
}

// covers: DTH-2
#[test]
fn a_process_says_what_it_is_blocked_on_after_a_batchs_client_has_gone() {
    let channel = channel();
    let gone = connect(&channel);
    std::thread::scope(|scope| {
        let sender = scope.spawn(|| gone.send(b"first", &mut []));
        let mut batch = batch(&channel);
        gone.detach();
        assert_eq!(sender.join().expect("no panic"), Err(Errno::EBADF));
        until("the hang-up", || connections(&channel) == 0);
        let _taken = batch.take_messages();
        let said = ipc_core::snapshot(Pid::current()).expect("it still answers");
        // The process has channels of other tests besides.
        let ours = said.channels.iter().find(|c| c.chid == channel.chid());
        assert_eq!(ours.expect("it lives").reply_blocked, 0);
    });
}
