//! System calls of the benches, one kernel object per file: the only folder here with unsafe code.
//!
//! It knows nothing of rulers or goals. Invariant: everything handed out is safe to use from safe code,
//! also by several processes at once.
#![allow(
    unsafe_code,
    reason = "system calls and shared memory are this folder's subject"
)]

pub mod clock;
pub mod counter;
pub mod fork;
pub mod futex;
pub mod gather;
pub mod in_place;
pub mod interrupt;
pub mod loss;
pub mod map;
pub mod mmsg;
pub mod offloads;
pub mod packet;
pub mod ring;
