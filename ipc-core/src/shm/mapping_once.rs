//! Mappings as the thread sanitizer needs them: one of each memory file in a process.
//!
//! It knows memory by its address. Where both sides of a region are in one process, each at an address of its own, it
//! would see no order between what one side hands over and what the other does afterwards, nor a race between them.

use std::{
    collections::BTreeMap,
    os::fd::AsFd,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use memmap2::MmapRaw;
use nix::sys::stat::fstat;

use crate::abi::{Errno, Result};

/// By process, as a forked child has none of its parent's, and file.
static MAPPED: Mutex<BTreeMap<(u32, u64, u64), Weak<MmapRaw>>> = Mutex::new(BTreeMap::new());

/// The mapping of `fd` that there is, or else the one that `map` makes.
pub(super) fn map_once(
    fd: impl AsFd,
    len: usize,
    map: impl FnOnce() -> Result<MmapRaw>,
) -> Result<Arc<MmapRaw>> {
    let file = fstat(&fd)?;
    let key = (std::process::id(), file.st_dev, file.st_ino);
    let mut mapped = MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(map) = mapped.get(&key).and_then(Weak::upgrade) {
        return if map.len() == len {
            Ok(map)
        } else {
            Err(Errno::EINVAL)
        };
    }
    let map = Arc::new(map()?);
    mapped.insert(key, Arc::downgrade(&map));
    Ok(map)
}
