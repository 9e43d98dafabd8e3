//! Many frames in one system call: io_uring, as plain as it gets.
//!
//! A batch of sends is queued and handed over by the call that waits for their completions. Receives are
//! posted as a chain, one for each buffer: unlinked ones would take frames in any order.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::{IoUring, opcode, squeue, types};

/// Frames side by side in one buffer, and the ring that moves them.
pub struct FrameRing {
    /// Dropped first: closing it ends what the kernel still does with the buffer.
    ring: IoUring,
    bytes: Vec<u8>,
    frame_len_max: usize,
    count: usize,
    /// Receives of the chain that have not completed.
    posted: usize,
}

impl FrameRing {
    /// A ring over `socket`, with room for `count` frames of up to `frame_len_max` bytes.
    ///
    /// # Errors
    /// EPERM where io_uring is forbidden, ENOMEM.
    pub fn new(
        socket: BorrowedFd<'_>,
        count: usize,
        frame_len_max: usize,
    ) -> io::Result<FrameRing> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .build(count.next_power_of_two() as u32)?;
        ring.submitter().register_files(&[socket.as_raw_fd()])?;
        Ok(FrameRing {
            ring,
            bytes: vec![0; count * frame_len_max],
            frame_len_max,
            count,
            posted: 0,
        })
    }

    /// Frame `at`, whole room; no receive may be posted for it.
    pub fn frame_mut(&mut self, at: usize) -> &mut [u8] {
        assert_eq!(self.posted, 0, "a buffer that the kernel writes is its own");
        &mut self.bytes[at * self.frame_len_max..][..self.frame_len_max]
    }

    /// Sends the first `count` frames, each at its full room, and waits until all are out.
    ///
    /// # Errors
    /// The first that a send or the call answers.
    pub fn send(&mut self, count: usize) -> io::Result<()> {
        for at in 0..count {
            let frame = self.bytes[at * self.frame_len_max..][..self.frame_len_max].as_ptr();
            let entry =
                opcode::Send::new(types::Fixed(0), frame, self.frame_len_max as u32).build();
            self.push(&entry)?;
        }
        let mut done = 0;
        let mut fault = None;
        while done < count {
            self.ring.submit_and_wait(count - done)?;
            for completion in self.ring.completion() {
                done += 1;
                if completion.result() < 0 {
                    fault = Some(io::Error::from_raw_os_error(-completion.result()));
                }
            }
        }
        fault.map_or(Ok(()), Err)
    }

    /// Waits for at least one frame, and shows each that has come to `see`, in the order of their arrival.
    ///
    /// # Errors
    /// The first that a receive, the call or `see` answers.
    pub fn receive(
        &mut self,
        mut see: impl FnMut(&[u8]) -> crate::Result<()>,
    ) -> crate::Result<usize> {
        if self.posted == 0 {
            self.post()?;
        }
        self.ring.submit_and_wait(1)?;
        let mut seen = 0;
        while let Some(completion) = self.ring.completion().next() {
            let at = completion.user_data() as usize;
            self.posted -= 1;
            let len = usize::try_from(completion.result())
                .map_err(|_| io::Error::from_raw_os_error(-completion.result()))?;
            see(&self.bytes[at * self.frame_len_max..][..len])?;
            seen += 1;
        }
        Ok(seen)
    }

    fn post(&mut self) -> io::Result<()> {
        for at in 0..self.count {
            let frame = self.bytes[at * self.frame_len_max..].as_mut_ptr();
            let entry =
                opcode::Recv::new(types::Fixed(0), frame, self.frame_len_max as u32).build();
            let entry = entry.user_data(at as u64);
            let entry = match at + 1 == self.count {
                true => entry,
                false => entry.flags(squeue::Flags::IO_LINK),
            };
            self.push(&entry)?;
        }
        self.posted = self.count;
        Ok(())
    }

    fn push(&mut self, entry: &squeue::Entry) -> io::Result<()> {
        // SAFETY: the entry points into `bytes`, whose heap block lives and stays in place as long as `self`;
        // a posted receive owns its frame until its completion, which `posted` keeps, and a send is waited
        // for before anybody can change its frame.
        let pushed = unsafe { self.ring.submission().push(entry) };
        pushed.map_err(|_| io::Error::other("the submission queue holds a whole batch"))
    }
}
