//! Receive buffers: a ring of buffers that the kernel fills by itself (io_uring's provided buffers).
//!
//! ```text
//! 0                 16 * count             page boundary
//! | entries: where each free buffer is | .. | buffer 0 | buffer 1 | ...
//! ```

use std::{
    io, mem,
    ptr::NonNull,
    slice,
    sync::atomic::{AtomicU16, Ordering},
};

use io_uring::Submitter;
use memmap2::{MmapMut, MmapOptions};

use crate::limits::{RX_BUFFERS_MAX, RX_BUFFERS_MIN};

/// Memory for receive buffers, whatever the MTU is.
const MEMORY_LEN: usize = 1 << 20;

/// Bytes of one entry of the kernel's `struct io_uring_buf`: addr u64, len u32, bid u16, tail u16.
const ENTRY_LEN: usize = 16;
/// Where the kernel reads the ring's tail: in the reserved field of entry 0.
const TAIL_OFFSET: usize = 14;
const PAGE_LEN: usize = 4096;

/// The group number under which the buffers are registered.
pub(super) const GROUP: u16 = 0;

/// A received frame's buffer. Holding one proves that the kernel has given the buffer up.
#[derive(Debug)]
pub(super) struct RxBuffer {
    id: u16,
    len: usize,
}

/// The buffers, and the ring through which they are lent to the kernel.
#[derive(Debug)]
pub(super) struct RxRing {
    /// `None` once leaked. Only `base` is used to reach it.
    memory: Option<MmapMut>,
    base: NonNull<u8>,
    count: u16,
    buffer_len: usize,
    buffers_offset: usize,
    tail: u16,
}

impl RxRing {
    /// Makes buffers for frames of up to `frame_len_max` bytes, none lent yet.
    ///
    /// # Errors
    /// Not enough memory.
    pub(super) fn new(frame_len_max: usize) -> io::Result<RxRing> {
        // One byte more than a frame may have, so that a longer one shows.
        let buffer_len = (frame_len_max + 1).next_multiple_of(64);
        let fitting = (MEMORY_LEN / buffer_len).clamp(RX_BUFFERS_MIN, RX_BUFFERS_MAX);
        let count = 1 << fitting.ilog2();
        let buffers_offset = (ENTRY_LEN * count).next_multiple_of(PAGE_LEN);
        let mut memory = MmapOptions::new()
            .len(buffers_offset + count * buffer_len)
            .map_anon()?;
        let base = NonNull::new(memory.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(RxRing {
            memory: Some(memory),
            base,
            count: count as u16,
            buffer_len,
            buffers_offset,
            tail: 0,
        })
    }

    /// Registers the ring with the kernel and lends it every buffer.
    ///
    /// # Safety
    /// `self` must outlive the registration: it may be dropped only after the io_uring has finished or
    /// cancelled every operation that can pick a buffer of it.
    pub(super) unsafe fn register(&mut self, submitter: &Submitter<'_>) -> io::Result<()> {
        let address = self.base.as_ptr() as u64;
        // SAFETY: the mapping starts page-aligned, holds `count` (a power of two) zeroed entries, and
        // lives as long as the caller promises.
        unsafe { submitter.register_buf_ring_with_flags(address, self.count, GROUP, 0)? };
        for id in 0..self.count {
            self.lend(id);
        }
        self.publish();
        Ok(())
    }

    /// Takes the buffer that a completion names out of the kernel's hands.
    ///
    /// # Safety
    /// `id` and `len` must come from one receive completion of the io_uring this ring is registered
    /// with, taken once: it says that the kernel filled `len` bytes and will not touch the buffer
    /// again until it is given back.
    pub(super) unsafe fn take(&self, id: u16, len: usize) -> RxBuffer {
        assert!(
            id < self.count && len <= self.buffer_len,
            "the kernel completes within the buffers it was lent"
        );
        RxBuffer { id, len }
    }

    /// The bytes received into `buffer`.
    pub(super) fn bytes(&self, buffer: &RxBuffer) -> &[u8] {
        let offset = self.buffers_offset + usize::from(buffer.id) * self.buffer_len;
        // SAFETY: an `RxBuffer` comes from `take`, so that the range lies inside the mapping, was
        // initialised (anonymous memory is zeroed) and is not the kernel's until `give_back` consumes
        // the value; nothing else writes to it.
        unsafe { slice::from_raw_parts(self.base.as_ptr().add(offset), buffer.len) }
    }

    /// Lends the buffer to the kernel again.
    pub(super) fn give_back(&mut self, buffer: RxBuffer) {
        self.lend(buffer.id);
        self.publish();
    }

    fn lend(&mut self, id: u16) {
        let slot = usize::from(self.tail & (self.count - 1));
        let buffer = self.buffers_offset + usize::from(id) * self.buffer_len;
        // SAFETY: slot < count and id < count, so that the entry and the buffer lie inside the mapping;
        // entries are 16-aligned in a page-aligned mapping. The kernel reads an entry only after the
        // tail passed it (`publish`), and at most `count` buffers are lent at a time, so that it has
        // finished with what this slot held before. Offset 14 of entry 0, the tail, is not written.
        unsafe {
            let address = self.base.as_ptr().add(buffer) as u64;
            let entry = self.base.as_ptr().add(slot * ENTRY_LEN);
            entry.cast::<u64>().write(address);
            entry.add(8).cast::<u32>().write(self.buffer_len as u32);
            entry.add(12).cast::<u16>().write(id);
        }
        self.tail = self.tail.wrapping_add(1);
    }

    fn publish(&self) {
        // SAFETY: offset 14 of the page-aligned mapping is 2-aligned and inside it, and is accessed
        // by this process through this atomic alone; the kernel only reads it.
        let tail = unsafe { AtomicU16::from_ptr(self.base.as_ptr().add(TAIL_OFFSET).cast()) };
        // The entries below the tail must be in place before the kernel sees it move.
        tail.store(self.tail, Ordering::Release);
    }

    /// Gives the memory up for good, because the kernel may still write to it.
    pub(super) fn leak(&mut self) {
        mem::forget(self.memory.take());
    }
}
