//! Completion queues, connections and replies that are dropped in any order.

use ipc_core::{CompletionQueue, abi::Errno};

use crate::{
    child,
    support::{GIVE_UP, channel, connect_with_queue, connections, descriptors, message, until},
};

// covers: CHN-7
#[test]
fn what_was_submitted_through_a_connection_that_is_dropped_comes_out_all_the_same() {
    let channel = channel();
    let queue = CompletionQueue::new().expect("a queue can be made");
    for token in 0..50 {
        let connection = connect_with_queue(&channel, &queue);
        let loan = connection.loan(4, 4).expect("there is room");
        connection
            .submit(loan, token)
            .expect("the connection lives");
        drop(connection);
        let completion = queue.next(Some(GIVE_UP)).expect("it comes");
        assert_eq!(completion.token, token);
        assert_eq!(completion.result.map(drop), Err(Errno::EBADF));
    }
}

#[test]
fn a_queue_that_is_dropped_with_answers_in_it_leaves_nothing_behind() {
    child::run_alone("queues::dropped_with_answers");
}

#[test]
#[ignore = "run by a_queue_that_is_dropped_with_answers_in_it_leaves_nothing_behind"]
fn dropped_with_answers() {
    let channel = channel();
    let once = || {
        let queue = CompletionQueue::new().expect("a queue can be made");
        let connection = connect_with_queue(&channel, &queue);
        for token in 0..3 {
            let loan = connection.loan(4, 200).expect("there is room");
            connection
                .submit(loan, token)
                .expect("the connection lives");
            message(&channel).reply(0, b"four").expect("it waits");
        }
        let first = queue.next(Some(GIVE_UP)).expect("it comes");
        assert!(first.result.is_ok());
        drop(connection);
    };
    once();
    until("the hang-up", || connections(&channel) == 0);
    let before = descriptors();
    for _ in 0..20 {
        once();
    }
    until("descriptors are closed", || descriptors() <= before);
}
