//! Sets the kernel's ring up, and finds out what this kernel can do.
//!
//! Knows nothing of what goes through the ring later, apart from the two files it is about.

use std::os::fd::{AsFd, AsRawFd, RawFd};

use io_uring::{IoUring, Probe, opcode, types};

use crate::{
    driver::{FrameSocket, LinkError, Poke},
    limits::{COMPLETIONS, SUBMISSIONS},
};

/// The eventfd of the poke. Registered files: the kernel looks them up without counting references.
pub(super) const POKE_FILE: types::Fixed = types::Fixed(0);

/// The frame socket of a port.
pub(super) fn frames_file(port: u8) -> types::Fixed {
    types::Fixed(1 + u32::from(port))
}

/// The socket for news of carriers, behind so many ports.
pub(super) fn carrier_file(ports: usize) -> types::Fixed {
    types::Fixed(1 + ports as u32)
}

/// Makes a ring for one thread, with all files registered.
///
/// # Errors
/// The kernel refuses io_uring or is too old for it.
pub(super) fn open(
    ports: &[FrameSocket],
    poke: &Poke,
    news: Option<RawFd>,
) -> Result<IoUring, LinkError> {
    let ring = IoUring::builder()
        .setup_single_issuer()
        .setup_defer_taskrun()
        .setup_taskrun_flag()
        .setup_submit_all()
        .setup_cqsize(COMPLETIONS)
        .build(SUBMISSIONS)
        .map_err(LinkError::RingRefused)?;
    let mut files = vec![poke.as_fd().as_raw_fd()];
    files.extend(ports.iter().map(|port| port.as_fd().as_raw_fd()));
    files.extend(news);
    ring.submitter()
        .register_files(&files)
        .map_err(LinkError::RingRefused)?;
    Ok(ring)
}

/// Whether the ring can sleep on the doorbells' words itself, and wake who sleeps on others (since Linux 6.7).
pub(super) fn knows_futexes(ring: &IoUring) -> bool {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).is_ok()
        && probe.is_supported(opcode::FutexWait::CODE)
        && probe.is_supported(opcode::FutexWake::CODE)
}
