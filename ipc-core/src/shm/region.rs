//! A connection's region, as either side maps it.

use std::os::fd::{AsFd, OwnedFd};

use crate::{
    abi::{Errno, Result},
    shm::{
        Layout,
        layout::{
            ARENA_LEN_OFFSET, HEADER_MAGIC, HEADER_VERSION, MAGIC_OFFSET, PAGE_LEN, SLOTS_OFFSET,
            VERSION_OFFSET,
        },
        long,
        mapping::Mapping,
    },
    sync::{Ordering, fence},
    sys::{fork::Maker, memfd},
};

/// The memory that one client and one server share.
#[derive(Debug)]
pub(crate) struct Region {
    mapping: Mapping,
    layout: Layout,
}

/// A range of a region's arena. Holding one proves that it lies inside the arena of its layout.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Claim {
    offset: u32,
    len: u32,
}

impl Region {
    /// Makes a region and the descriptor to hand to the server.
    pub(crate) fn create(layout: Layout) -> Result<(Region, OwnedFd)> {
        let fd = memfd::create_sealed("qnet-region", layout.len())?;
        let region = Region {
            mapping: Mapping::new(&fd, layout.len())?,
            layout,
        };
        let map = &region.mapping;
        map.atomic_u32(VERSION_OFFSET)
            .store(HEADER_VERSION, Ordering::Relaxed);
        map.atomic_u32(SLOTS_OFFSET)
            .store(layout.slots(), Ordering::Relaxed);
        map.atomic_u64(ARENA_LEN_OFFSET)
            .store(u64::from(layout.arena_len()), Ordering::Relaxed);
        map.atomic_u32(MAGIC_OFFSET)
            .store(HEADER_MAGIC, Ordering::Release);
        Ok((region, fd))
    }

    /// Maps the region that a client sent, after the checks of its seals, size and header.
    pub(crate) fn open(fd: impl AsFd, layout: Layout) -> Result<Region> {
        memfd::check_sealed(&fd, layout.len())?;
        let mapping = Mapping::new(&fd, layout.len())?;
        let magic = mapping.atomic_u32(MAGIC_OFFSET).load(Ordering::Acquire);
        let version = mapping.atomic_u32(VERSION_OFFSET).load(Ordering::Relaxed);
        let slots = mapping.atomic_u32(SLOTS_OFFSET).load(Ordering::Relaxed);
        if (magic, version, slots) != (HEADER_MAGIC, HEADER_VERSION, layout.slots()) {
            return Err(Errno::EPROTO);
        }
        Ok(Region { mapping, layout })
    }

    #[inline]
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    #[inline]
    pub(super) fn mapping(&self) -> &Mapping {
        &self.mapping
    }

    /// The process that it is mapped in.
    pub(super) fn maker(&self) -> Maker {
        self.mapping.maker()
    }

    /// Checks a peer's claim to `len` bytes at `offset` of the arena.
    ///
    /// # Errors
    /// `EFAULT` when the range does not lie inside.
    #[inline]
    pub(crate) fn claim(&self, offset: u32, len: u32) -> Result<Claim> {
        match offset.checked_add(len) {
            Some(end) if end <= self.layout.arena_len() => Ok(Claim { offset, len }),
            _ => Err(Errno::EFAULT),
        }
    }

    /// Gives the memory of the first `len` bytes of the arena back to the system, rounded up to pages; they read as
    /// zeros afterwards.
    ///
    /// # Errors
    /// As the kernel's.
    pub(crate) fn discard_arena(&self, len: u32) -> Result<()> {
        let len = (len.min(self.layout.arena_len()) as usize).next_multiple_of(PAGE_LEN);
        self.mapping.discard(self.layout.arena(), len)
    }

    /// Copies from `offset` of a claim; answers how many bytes there were, 0 past its end.
    pub(crate) fn read(&self, claim: Claim, offset: usize, into: &mut [u8]) -> usize {
        let (start, len) = self.part(claim, offset, into.len());
        long::in_parts(len, |part| {
            self.mapping.read(start + part.start, &mut into[part]);
        });
        len
    }

    /// Copies to `offset` of a claim, bounded by it; answers how many bytes went in.
    pub(crate) fn write(&self, claim: Claim, offset: usize, bytes: &[u8]) -> usize {
        let (start, len) = self.part(claim, offset, bytes.len());
        before_reuse();
        long::in_parts(len, |part| {
            self.mapping.write(start + part.start, &bytes[part]);
        });
        len
    }

    /// The address of a claim's first byte.
    pub(crate) fn ptr(&self, claim: Claim) -> *mut u8 {
        self.mapping
            .ptr(self.layout.arena() + claim.offset as usize, claim.len())
    }

    pub(super) fn part(&self, claim: Claim, offset: usize, len: usize) -> (usize, usize) {
        let offset = offset.min(claim.len());
        let len = len.min(claim.len() - offset);
        (self.layout.arena() + claim.offset as usize + offset, len)
    }
}

/// Between the look that said that bytes may be written anew, and the writing.
///
/// SYNC(ended): who copies what is written from now on, and looks afterwards whether its message still waits, sees
/// that it does not. Nothing but the acquiring look would order the two for a third thread. On x86 it is no instruction.
#[inline(always)]
pub(crate) fn before_reuse() {
    fence(Ordering::Release);
}

impl Claim {
    pub(crate) const fn len(self) -> usize {
        self.len as usize
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.len == 0
    }

    pub(crate) const fn offset(self) -> u32 {
        self.offset
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_claim_past_the_arena_is_efault() {
        let (region, _fd) = Region::create(Layout::new(1, 4096).unwrap()).unwrap();
        assert!(region.claim(0, 4096).is_ok());
        assert_eq!(region.claim(1, 4096), Err(Errno::EFAULT));
        assert_eq!(region.claim(u32::MAX, 2), Err(Errno::EFAULT));
    }

    #[test]
    fn both_sides_see_one_arena_and_claims_bound_copies() {
        let layout = Layout::new(1, 4096).unwrap();
        let (client, fd) = Region::create(layout).unwrap();
        let server = Region::open(&fd, layout).unwrap();
        let claim = client.claim(100, 4).unwrap();
        assert_eq!(client.write(claim, 1, b"abcdef"), 3);
        let mut out = [0; 8];
        assert_eq!(server.read(claim, 0, &mut out), 4);
        assert_eq!(&out[..4], b"\0abc");
        assert_eq!(server.read(claim, 9, &mut out), 0);
    }

    #[test]
    fn a_region_of_another_layout_is_refused() {
        let (_client, fd) = Region::create(Layout::new(1, 4096).unwrap()).unwrap();
        assert!(Region::open(&fd, Layout::new(1, 8192).unwrap()).is_err());
        assert!(Region::open(&fd, Layout::new(2, 4096).unwrap()).is_err());
    }
}
