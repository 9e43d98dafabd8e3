//! The sends with a timeout that [`Connection::send_timeout`] leaves out.

use std::{
    io::{IoSlice, IoSliceMut},
    time::Duration,
};

use crate::{
    abi::Result,
    connection::{Connection, Loan, LoanReply, Reply, loan, send, timeout::Timeout},
};

impl Connection {
    /// As [`send_vectored`](Self::send_vectored), giving up after `timeout` (TMO-1).
    ///
    /// # Errors
    /// Also `ETIMEDOUT`.
    #[doc(alias = "MsgSendv")]
    pub fn send_vectored_timeout(
        &self,
        parts: &[IoSlice<'_>],
        reply: &mut [IoSliceMut<'_>],
        timeout: impl Into<Timeout>,
    ) -> Result<Reply> {
        send::send(&self.0, parts, reply, Some(timeout.into()))
    }

    /// As [`send_loan`](Self::send_loan), giving up after `timeout` (TMO-1).
    ///
    /// # Errors
    /// Also `ETIMEDOUT`.
    pub fn send_loan_timeout(&self, loan: Loan, timeout: impl Into<Timeout>) -> Result<LoanReply> {
        self.check_own(&loan)?;
        loan::send(loan, Some(timeout.into()))
    }
}

/// A plain duration covers the whole send.
impl From<Duration> for Timeout {
    fn from(duration: Duration) -> Timeout {
        Timeout::all(duration)
    }
}
