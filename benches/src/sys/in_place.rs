//! Messages where they lie in shared memory. All processes of an arm are this program's: they can be trusted to leave
//! a message alone while it is another's.

use ipc_core::{Loan, ReceivedMessage};

/// The bytes of a message that is being composed.
pub fn compose(loan: &mut Loan) -> &mut [u8] {
    // SAFETY: the other process that maps the bytes is a daemon or server of this program, which does not look at
    // them before the loan is sent and never writes them.
    unsafe { loan.as_mut_slice() }
}

/// The bytes of a message that was received; none of one that came inside its entry.
pub fn view(message: &ReceivedMessage) -> &[u8] {
    let Some((start, len)) = message.payload_ptr() else {
        return &[];
    };
    // SAFETY: the bytes stay where they are until the message is answered or dropped, which the borrow rules out;
    // the client is a daemon or client of this program, which writes none of them while it waits for the answer.
    unsafe { std::slice::from_raw_parts(start, len) }
}
