//! A mapping as loom needs it: words are loom's atomics, and bytes are loom's cells, so that bytes which are
//! read without having been handed over are found. Both are made when they are first used; the bytes of one
//! line, of which only parts are handed over at a time, are cells of eight.
//!
//! Words and bytes do not overlap here: who hands a word over must not read it as bytes.

use std::{collections::BTreeMap, os::fd::AsFd, sync::Mutex};

use loom::cell::UnsafeCell;

use crate::{
    abi::Result,
    sync::{AtomicU32, AtomicU64},
    sys::{fork::Maker, mutex::lock},
};

/// Bytes of one cell.
const CELL_LEN: usize = 8;

type Cell = UnsafeCell<[u8; CELL_LEN]>;

/// See [`crate::shm::record`].
pub(crate) const BLOCK_LEN: usize = 32;

/// A mapping, for whoever knows what lies where in it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Base<'a>(&'a Mapping);

/// A record in a mapping.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record<'a, const LEN: usize> {
    mapping: &'a Mapping,
    start: usize,
}

#[derive(Debug)]
pub(crate) struct Mapping {
    words: Mutex<BTreeMap<usize, &'static AtomicU32>>,
    long_words: Mutex<BTreeMap<usize, &'static AtomicU64>>,
    cells: Mutex<BTreeMap<usize, &'static Cell>>,
    len: usize,
}

// SAFETY: the cells are only reached through loom, which runs one thread at a time and reports accesses that
// nothing orders.
unsafe impl Sync for Mapping {}

// SAFETY: as for `Sync`.
unsafe impl Send for Mapping {}

impl Mapping {
    pub(crate) fn new(_: impl AsFd, len: usize) -> Result<Mapping> {
        Ok(Mapping {
            words: Mutex::default(),
            long_words: Mutex::default(),
            cells: Mutex::default(),
            len,
        })
    }

    pub(crate) fn maker(&self) -> Maker {
        Maker::current()
    }

    pub(crate) fn atomic_u32(&self, offset: usize) -> &AtomicU32 {
        // Left behind on purpose: the few words of one run are gone with the test.
        lock(&self.words)
            .entry(offset)
            .or_insert_with(|| Box::leak(Box::new(AtomicU32::new(0))))
    }

    pub(crate) fn atomic_u64(&self, offset: usize) -> &AtomicU64 {
        lock(&self.long_words)
            .entry(offset)
            .or_insert_with(|| Box::leak(Box::new(AtomicU64::new(0))))
    }

    pub(crate) fn read(&self, offset: usize, into: &mut [u8]) {
        self.each_part(offset, into.len(), |cell, start, at| {
            let len = (CELL_LEN - start).min(into.len() - at);
            let part = &mut into[at..at + len];
            // SAFETY: loom calls this with the cell's address, and has checked that no write is under way.
            cell.with(|bytes| part.copy_from_slice(unsafe { &(&*bytes)[start..start + len] }));
        });
    }

    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        self.each_part(offset, bytes.len(), |cell, start, at| {
            let len = (CELL_LEN - start).min(bytes.len() - at);
            let part = &bytes[at..at + len];
            // SAFETY: loom calls this with the cell's address, and has checked that nobody else is at it.
            cell.with_mut(|bytes| {
                unsafe { &mut (&mut *bytes)[start..start + len] }.copy_from_slice(part)
            });
        });
    }

    pub(crate) fn write_words<const N: usize>(&self, offset: usize, words: [u64; N]) {
        self.write(offset, zerocopy::IntoBytes::as_bytes(&words));
    }

    pub(crate) fn read_words<const N: usize>(&self, offset: usize) -> [u64; N] {
        let mut words = [0; N];
        self.read(offset, zerocopy::IntoBytes::as_mut_bytes(&mut words));
        words
    }

    pub(crate) fn write_half(&self, offset: usize, half: u32) {
        self.write(offset, &half.to_ne_bytes());
    }

    pub(crate) fn read_half(&self, offset: usize) -> u32 {
        let mut half = [0; 4];
        self.read(offset, &mut half);
        u32::from_ne_bytes(half)
    }

    pub(crate) fn write_short(&self, offset: usize, bytes: &[u8]) {
        self.write(offset, bytes);
    }

    pub(super) fn base(&self) -> Base<'_> {
        Base(self)
    }

    pub(crate) fn ptr(&self, _: usize, _: usize) -> *mut u8 {
        unreachable!("no protocol that loom checks works in place")
    }

    pub(crate) fn discard(&self, _: usize, _: usize) -> Result<()> {
        unreachable!("no protocol that loom checks gives memory back")
    }

    /// Names each cell of a range, where in it the range begins, and how far into the range that is.
    fn each_part(&self, offset: usize, len: usize, mut act: impl FnMut(&Cell, usize, usize)) {
        assert!(
            offset + len <= self.len,
            "invariant: access within the mapping"
        );
        let mut at = 0;
        while at < len {
            let (index, start) = ((offset + at) / CELL_LEN, (offset + at) % CELL_LEN);
            act(self.cell(index), start, at);
            at += CELL_LEN - start;
        }
    }

    fn cell(&self, index: usize) -> &'static Cell {
        lock(&self.cells)
            .entry(index)
            .or_insert_with(|| Box::leak(Box::new(UnsafeCell::new([0; CELL_LEN]))))
    }
}

impl<'a> Base<'a> {
    /// # Safety
    /// None is needed here: accesses are checked.
    pub(super) unsafe fn record<const LEN: usize>(self, offset: usize) -> Record<'a, LEN> {
        let (mapping, start) = (self.0, offset);
        Record { mapping, start }
    }
}

impl<'a, const LEN: usize> Record<'a, LEN> {
    pub(super) fn atomic_u32<const AT: usize>(self) -> &'a AtomicU32 {
        self.mapping.atomic_u32(self.start + AT)
    }

    pub(super) fn prefetch<const WRITE: bool>(self) {}

    pub(super) fn read_words<const AT: usize, const N: usize>(self) -> [u64; N] {
        self.mapping.read_words(self.start + AT)
    }

    pub(super) fn read_pairs<const AT: usize, const N: usize>(self, into: &mut [[u64; 2]; N]) {
        let into = zerocopy::IntoBytes::as_mut_bytes(into);
        self.mapping.read(self.start + AT, into);
    }

    pub(super) fn write_words<const AT: usize, const N: usize>(self, words: [u64; N]) {
        self.mapping.write_words(self.start + AT, words);
    }

    pub(super) fn read_half<const AT: usize>(self) -> u32 {
        self.mapping.read_half(self.start + AT)
    }

    pub(super) fn write_half<const AT: usize>(self, half: u32) {
        self.mapping.write_half(self.start + AT, half);
    }

    pub(super) fn read_bytes<const AT: usize, const N: usize>(self, into: &mut [u8; N]) {
        self.mapping.read(self.start + AT, into);
    }

    pub(super) fn read_short<const AT: usize>(self, offset: usize, into: &mut [u8]) {
        self.mapping.read(self.start + AT + offset, into);
    }

    pub(super) fn write_short<const AT: usize>(self, bytes: &[u8]) {
        self.mapping.write(self.start + AT, bytes);
    }

    pub(super) fn write_blocks<const AT: usize>(self, blocks: &[[u8; BLOCK_LEN]]) {
        self.mapping.write(self.start + AT, blocks.as_flattened());
    }
}
