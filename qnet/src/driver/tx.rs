//! Send buffers: filled by the network-handler thread, then the kernel's until the send completes.

use std::{io, mem, ptr::NonNull, slice};

use memmap2::{MmapMut, MmapOptions};

use crate::limits::{TX_BUFFERS_MAX, TX_BUFFERS_MIN};

/// Memory for send buffers, whatever the MTU is.
const MEMORY_LEN: usize = 4 << 20;

/// A filled frame on its way into the kernel. Holding one proves that nobody touches the buffer.
#[derive(Debug)]
pub(super) struct TxFrame {
    /// Which buffer it is, for its completion.
    pub(super) slot: u16,
    /// Where its bytes are.
    pub(super) bytes: *const u8,
    /// How many.
    pub(super) len: u32,
}

/// The send buffers: free, open (being filled) or in flight.
#[derive(Debug)]
pub(super) struct TxPool {
    /// `None` once leaked. Only `base` is used to reach it.
    memory: Option<MmapMut>,
    base: NonNull<u8>,
    buffer_len: usize,
    stride: usize,
    count: usize,
    free: Vec<u16>,
    open: Option<u16>,
}

impl TxPool {
    /// Makes buffers for frames of up to `frame_len_max` bytes.
    ///
    /// # Errors
    /// Not enough memory.
    pub(super) fn new(frame_len_max: usize) -> io::Result<TxPool> {
        let stride = frame_len_max.next_multiple_of(64);
        let count = (MEMORY_LEN / stride).clamp(TX_BUFFERS_MIN, TX_BUFFERS_MAX);
        let mut memory = MmapOptions::new().len(count * stride).map_anon()?;
        let base = NonNull::new(memory.as_mut_ptr()).ok_or(io::ErrorKind::OutOfMemory)?;
        Ok(TxPool {
            memory: Some(memory),
            base,
            buffer_len: frame_len_max,
            stride,
            count,
            // Popped from the end: the lowest, most recently used buffers first, and the rest stay
            // untouched memory.
            free: (0..count as u16).rev().collect(),
            open: None,
        })
    }

    /// The buffer to fill next; `None` while all are in flight.
    pub(super) fn open(&mut self) -> Option<&mut [u8]> {
        if self.open.is_none() {
            self.open = self.free.pop();
        }
        let slot = self.open?;
        let start = self.offset(slot);
        // SAFETY: the range lies inside the mapping and is initialised (anonymous memory is zeroed). An
        // open slot is neither free nor in flight, so that the kernel does not read it, and the borrow
        // of `self` keeps every other access out.
        Some(unsafe { slice::from_raw_parts_mut(self.base.as_ptr().add(start), self.buffer_len) })
    }

    /// Closes the open buffer with `len` bytes in it. It stays in flight until [`TxPool::complete`].
    pub(super) fn close(&mut self, len: usize) -> TxFrame {
        let slot = self
            .open
            .take()
            .expect("a buffer was opened before it is queued");
        assert!(len <= self.buffer_len, "a frame fits its buffer");
        let start = self.offset(slot);
        TxFrame {
            slot,
            // SAFETY: the offset of a slot lies inside the mapping.
            bytes: unsafe { self.base.as_ptr().add(start) },
            len: len as u32,
        }
    }

    /// The kernel has finished with the buffer.
    pub(super) fn complete(&mut self, slot: u16) {
        debug_assert!(!self.free.contains(&slot), "a send completes once");
        self.free.push(slot);
    }

    /// Buffers that the kernel holds.
    pub(super) fn in_flight(&self) -> usize {
        self.count - self.free.len() - usize::from(self.open.is_some())
    }

    /// Gives the memory up for good, because the kernel may still read it.
    pub(super) fn leak(&mut self) {
        mem::forget(self.memory.take());
    }

    fn offset(&self, slot: u16) -> usize {
        usize::from(slot) * self.stride
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_buffer_is_offered_again_only_after_its_completion() {
        let mut pool = TxPool::new(65_549).unwrap();
        let mut slots = Vec::new();
        while pool.open().is_some() {
            slots.push(pool.close(14).slot);
        }
        assert_eq!(pool.in_flight(), slots.len());
        pool.complete(slots[3]);
        pool.open().unwrap().fill(7);
        assert_eq!(pool.close(1).slot, slots[3]);
    }
}
