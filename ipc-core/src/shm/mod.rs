//! Typed access to memory that another process can write.
//!
//! Rules of this folder, which the layers above rely on:
//! - nobody forms a reference into a mapping, save to an atomic at a checked, aligned offset;
//! - payload is moved by raw copies, after an Acquire of the word that handed it over;
//! - a record is read once into a private copy, and only the copy is validated and used;
//! - what a peer claims about its arena becomes a [`Claim`] only after the bounds check.

#![allow(unsafe_code, reason = "this is the layer that touches shared memory")]

mod answer;
mod arena;
mod bells;
mod done;
mod doorbell;
mod end;
mod entry;
mod layout;
mod lines;
mod long;
mod mapped;
#[cfg(not(loom))]
mod mapping;
#[cfg(loom)]
#[path = "mapping_loom.rs"]
mod mapping;
mod prefetch;
#[cfg(not(loom))]
mod record;
#[cfg(loom)]
use mapping as record;
mod region;
mod ring;
#[cfg(all(test, loom))]
mod ring_wake_tests;
mod short;
mod slot;
#[cfg(all(test, loom))]
mod wake_tests;

pub(crate) use answer::{Completion, CompletionFlags, REPLY_INLINE_MAX, Slot};
pub(crate) use arena::{Arena, Block};
pub(crate) use bells::{BellBit, Bells};
pub(crate) use done::DoneSlots;
pub(crate) use doorbell::{BITS_MAX, Doorbell};
pub(crate) use entry::{
    Copied, Entry, EntryFlags, INLINE_MAX, Inline, MessageEntry, PulseEntry, Taken,
};
pub(crate) use layout::Layout;
pub(crate) use lines::Lines;
pub use mapped::MappedBytes;
pub(crate) use record::BLOCK_LEN;

pub(crate) use region::{Claim, Region, before_reuse};
pub(crate) use ring::{Consumer, Producer, is_full};
pub(crate) use short::{copy_part, copy_slice};
pub(crate) use slot::{SlotState, Waited};
