//! A mapping as loom needs it: words are loom's atomics, made when they are first used; bytes are a vector.
//!
//! Words and bytes do not overlap here: who hands a word over must not read it as bytes.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::{Mutex, MutexGuard, PoisonError},
};

use crate::{
    abi::Result,
    sync::{AtomicU32, AtomicU64},
};

#[derive(Debug)]
pub(crate) struct Mapping {
    words: Mutex<BTreeMap<usize, &'static AtomicU32>>,
    long_words: Mutex<BTreeMap<usize, &'static AtomicU64>>,
    bytes: Mutex<Vec<u8>>,
}

impl Mapping {
    pub(crate) fn new(_: impl AsFd, len: usize) -> Result<Mapping> {
        Ok(Mapping {
            words: Mutex::default(),
            long_words: Mutex::default(),
            bytes: Mutex::new(vec![0; len]),
        })
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
        into.copy_from_slice(&lock(&self.bytes)[offset..offset + into.len()]);
    }

    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        lock(&self.bytes)[offset..offset + bytes.len()].copy_from_slice(bytes);
    }

    pub(crate) fn ptr(&self, _: usize, _: usize) -> *mut u8 {
        unreachable!("no protocol that loom checks works in place")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
