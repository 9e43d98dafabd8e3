//! Send buffers: filled by the network-handler thread, then the kernel's until the send completes.

use std::{fmt, io, mem, ptr, ptr::NonNull, slice};

use memmap2::{MmapMut, MmapOptions};

use crate::{
    driver::Hole,
    limits::{TX_BUFFERS_MAX, TX_BUFFERS_MIN},
};

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

/// A filled frame on its way whose bytes are in several places, as [`TxFrame`].
#[derive(Debug)]
pub(super) struct TxParts {
    /// Which buffer it is, for its completion.
    pub(super) slot: u16,
    /// Where its parts are, for the kernel.
    pub(super) header: *const libc::msghdr,
}

/// A frame in up to three parts: before the hole, in the hole, behind it.
struct Parts {
    header: libc::msghdr,
    parts: [libc::iovec; 3],
    /// Keeps the bytes in the hole mapped while the kernel may read them.
    hole: Option<Hole>,
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
    /// One for each buffer; never moved.
    parts: Box<[Parts]>,
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
            parts: (0..count).map(|_| Parts::none()).collect(),
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
        let (slot, bytes) = self.take_open(len);
        TxFrame {
            slot,
            bytes,
            len: len as u32,
        }
    }

    /// As [`TxPool::close`], for a frame that is told to the kernel by its header: answers which buffer it is.
    pub(super) fn close_whole(&mut self, len: usize) -> u16 {
        let (slot, bytes) = self.take_open(len);
        let parts = &mut self.parts[usize::from(slot)];
        parts.parts[0] = part(bytes, len);
        parts.header.msg_iov = parts.parts.as_mut_ptr();
        parts.header.msg_iovlen = 1;
        slot
    }

    /// As [`TxPool::close`], for a frame some of whose bytes are elsewhere.
    ///
    /// # Panics
    /// The hole is not inside the frame.
    pub(super) fn close_with_hole(&mut self, len: usize, hole: Hole) -> TxParts {
        assert!(
            hole.at <= len && hole.end() <= len,
            "a hole lies inside its frame"
        );
        let (slot, bytes) = self.take_open(len);
        let parts = &mut self.parts[usize::from(slot)];
        parts.parts = [
            part(bytes, hole.at),
            part(hole.bytes.as_ptr(), hole.bytes.len()),
            part(bytes.wrapping_add(hole.end()), len - hole.end()),
        ];
        parts.header.msg_iov = parts.parts.as_mut_ptr();
        parts.header.msg_iovlen = if hole.end() < len { 3 } else { 2 };
        parts.hole = Some(hole);
        TxParts {
            slot,
            header: &raw const parts.header,
        }
    }

    fn take_open(&mut self, len: usize) -> (u16, *const u8) {
        let slot = self
            .open
            .take()
            .expect("a buffer was opened before it is queued");
        assert!(len <= self.buffer_len, "a frame fits its buffer");
        let start = self.offset(slot);
        // SAFETY: the offset of a slot lies inside the mapping.
        (slot, unsafe { self.base.as_ptr().add(start) })
    }

    /// What the kernel is told of a frame that was closed as a whole or with a hole, until its completion.
    pub(super) fn header(&self, slot: u16) -> libc::msghdr {
        self.parts[usize::from(slot)].header
    }

    /// The kernel has finished with the buffer.
    pub(super) fn complete(&mut self, slot: u16) {
        debug_assert!(!self.free.contains(&slot), "a send completes once");
        self.parts[usize::from(slot)].hole = None;
        self.free.push(slot);
    }

    /// Buffers that the kernel holds.
    pub(super) fn in_flight(&self) -> usize {
        self.count - self.free.len() - usize::from(self.open.is_some())
    }

    /// Gives the memory up for good, because the kernel may still read it.
    pub(super) fn leak(&mut self) {
        mem::forget(self.memory.take());
        mem::forget(mem::take(&mut self.parts));
    }

    fn offset(&self, slot: u16) -> usize {
        usize::from(slot) * self.stride
    }
}

fn part(start: *const u8, len: usize) -> libc::iovec {
    libc::iovec {
        iov_base: start.cast_mut().cast(),
        iov_len: len,
    }
}

impl Parts {
    fn none() -> Parts {
        let nothing = libc::iovec {
            iov_base: ptr::null_mut(),
            iov_len: 0,
        };
        Parts {
            // SAFETY: `msghdr` is plain old data for which all zeroes is a valid value.
            header: unsafe { mem::zeroed() },
            parts: [nothing; 3],
            hole: None,
        }
    }
}

impl fmt::Debug for Parts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts")
            .field("hole", &self.hole)
            .finish_non_exhaustive()
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
