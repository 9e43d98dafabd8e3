//! Send, receive, reply, read, write and pulses between threads of one process.

mod ends;
mod order;
mod queues;
mod support;
mod timeouts;
mod transfer;
