//! The io_uring of the network-handler thread: frames, doorbells and the sleep, in one system call.

use std::{
    cell::UnsafeCell,
    collections::VecDeque,
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

use io_uring::{IoUring, Probe, cqueue, opcode, squeue, types};
use nix::net::if_::if_nametoindex;

use crate::{
    driver::{
        ETHERNET_HEADER_LEN, FrameSocket, Link, LinkCounters, LinkError, Mac,
        alarm::Alarm,
        bells::Bells,
        doorbell::{Doorbell, Poke},
        link::wait_outcome,
        rx::{self, RxBuffer, RxRing},
        tx::TxPool,
    },
    limits::{COMPLETIONS, SUBMISSIONS},
};

/// A futex of 32 bits, shared between processes (FUTEX2_SIZE_U32).
pub(super) const FUTEX_SIZE_U32: u32 = 2;

/// Registered files: the kernel looks them up without counting references.
const FRAMES_FILE: types::Fixed = types::Fixed(0);
const POKE_FILE: types::Fixed = types::Fixed(1);

/// What a completion is about: the low bits of its user data; the rest is a buffer's number.
const KIND_BITS: u32 = 3;
const RECEIVE: u64 = 0;
const SEND: u64 = 1;
const POKE: u64 = 2;
const BELLS: u64 = 3;
const CANCEL: u64 = 4;
const ALARM: u64 = 5;

/// A link whose frames go through one io_uring.
///
/// It belongs to the thread that opened it: the ring serves a single submitter.
pub struct RingLink {
    ring: IoUring,
    socket: FrameSocket,
    tx: TxPool,
    rx: RxRing,
    /// Received, not yet taken by the thread.
    received: VecDeque<RxBuffer>,
    /// The frame the thread looks at.
    current: Option<RxBuffer>,
    bells: Bells,
    poke: Poke,
    /// Where the kernel puts the poke's count.
    poke_count: Box<UnsafeCell<u64>>,
    /// Operations besides sends that the kernel has: receive, poke, bells, cancel.
    receiving: bool,
    poking: bool,
    bells_armed: bool,
    cancelling: bool,
    alarm: Alarm,
    /// The other end of a loopback pair has gone.
    closed: bool,
    counters: LinkCounters,
}

impl RingLink {
    /// Opens the ring on a frame socket. `poke` and `doorbells` interrupt its sleep.
    ///
    /// # Errors
    /// The kernel refuses io_uring or is too old for it, or memory is short.
    pub fn open(
        socket: FrameSocket,
        poke: Poke,
        doorbells: Vec<Box<dyn Doorbell>>,
    ) -> Result<RingLink, LinkError> {
        RingLink::open_with(socket, poke, doorbells, can_wait_for_futexes)
    }

    /// As [`RingLink::open`]; `waits_for_futexes` says whether the ring can sleep on doorbells itself.
    fn open_with(
        socket: FrameSocket,
        poke: Poke,
        doorbells: Vec<Box<dyn Doorbell>>,
        waits_for_futexes: fn(&IoUring) -> bool,
    ) -> Result<RingLink, LinkError> {
        let ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(COMPLETIONS)
            .build(SUBMISSIONS)
            .map_err(LinkError::RingRefused)?;
        ring.submitter()
            .register_files(&[socket.as_fd().as_raw_fd(), poke.as_fd().as_raw_fd()])
            .map_err(LinkError::RingRefused)?;
        let frame_len_max = ETHERNET_HEADER_LEN + socket.interface.mtu;
        let tx = TxPool::new(frame_len_max).map_err(LinkError::Ring)?;
        let rx = RxRing::new(frame_len_max).map_err(LinkError::Ring)?;
        let bells =
            Bells::new(doorbells, waits_for_futexes(&ring), &poke).map_err(LinkError::Ring)?;
        let mut link = RingLink {
            ring,
            socket,
            tx,
            rx,
            received: VecDeque::with_capacity(1024),
            current: None,
            bells,
            poke,
            poke_count: Box::default(),
            receiving: false,
            poking: false,
            bells_armed: false,
            cancelling: false,
            alarm: Alarm::default(),
            closed: false,
            counters: LinkCounters::default(),
        };
        // SAFETY: `link` owns the buffers, and its `drop` either finishes every operation first or
        // leaks them.
        unsafe { link.rx.register(&link.ring.submitter()) }.map_err(LinkError::RingRefused)?;
        Ok(link)
    }

    /// Queues one operation, making room in the submission queue if need be.
    ///
    /// # Safety
    /// What the entry points to must stay valid and untouched until its completion was reaped.
    unsafe fn push(&mut self, entry: &squeue::Entry) -> Result<(), LinkError> {
        loop {
            // SAFETY: the caller's promise is that of `push`.
            if unsafe { self.ring.submission().push(entry) }.is_ok() {
                return Ok(());
            }
            wait_outcome(self.ring.submit())?;
        }
    }

    /// Has a receive, a read of the poke and a wait for the doorbells with the kernel.
    fn arm(&mut self) -> Result<(), LinkError> {
        if !self.receiving && !self.closed {
            let receive = opcode::RecvMulti::new(FRAMES_FILE, rx::GROUP).build();
            // SAFETY: the entry points to no memory; the buffers it picks are kept by `self.rx`.
            unsafe { self.push(&receive.user_data(RECEIVE))? };
            self.receiving = true;
        }
        if !self.poking {
            let read = opcode::Read::new(POKE_FILE, self.poke_count.get().cast(), 8).build();
            // SAFETY: the eight bytes are boxed, touched by nobody else, and freed only when `drop` has
            // seen the operation end.
            unsafe { self.push(&read.user_data(POKE))? };
            self.poking = true;
        }
        Ok(())
    }

    /// Announces the sleep to the doorbells; `false` if one of them has rung already.
    fn arm_bells(&mut self) -> Result<bool, LinkError> {
        if !self.bells.announce() {
            return Ok(false);
        }
        if self.bells_armed && self.bells.are_others() {
            if !self.cancelling {
                let cancel = opcode::AsyncCancel::new(BELLS).build();
                // SAFETY: the entry points to no memory.
                unsafe { self.push(&cancel.user_data(CANCEL))? };
                self.cancelling = true;
            }
            // The old wait's end wakes the thread, which then waits for the new words.
        } else if !self.bells_armed
            && let Some((waiters, count)) = self.bells.take_waiters()
        {
            let wait = opcode::FutexWaitV::new(waiters, count).build();
            // SAFETY: the array stays in `self.bells` untouched until `finished` is called on the
            // completion. The words are only read by the kernel, which checks their addresses.
            unsafe { self.push(&wait.user_data(BELLS))? };
            self.bells_armed = true;
        }
        Ok(true)
    }

    /// Has a timer with the kernel that ends a sleep of `timeout` in time; `false` if one runs that ends
    /// too late.
    fn arm_alarm(&mut self, timeout: Duration) -> Result<bool, LinkError> {
        let now = Instant::now();
        if !self.alarm.is_running() {
            let start = self.alarm.start(now, timeout);
            // SAFETY: the entry points to the span that `self.alarm` keeps boxed and does not touch while the
            // timer runs; the kernel copies it when the entry is submitted.
            unsafe { self.push(&start.user_data(ALARM))? };
        }
        Ok(self.alarm.covers(now, timeout))
    }

    fn enter(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        // One that runs too late is left alone: this sleep has its own end.
        let timeout = match timeout {
            Some(timeout) if !timeout.is_zero() && self.arm_alarm(timeout)? => None,
            timeout => timeout,
        };
        let mut submission = self.ring.submission();
        submission.sync();
        let idle = submission.is_empty() && !submission.taskrun() && !submission.cq_overflow();
        drop(submission);
        // Every send completes while it is submitted; the sleep is for one completion more.
        let want = self.tx.in_flight() + 1;
        let outcome = match timeout {
            Some(Duration::ZERO) if idle => return Ok(()),
            Some(Duration::ZERO) => self.ring.submit(),
            None => self.ring.submit_and_wait(want),
            Some(timeout) => {
                let timespec = types::Timespec::from(timeout);
                let args = types::SubmitArgs::new().timespec(&timespec);
                self.ring.submitter().submit_with_args(want, &args)
            }
        };
        self.counters.waits += 1;
        wait_outcome(outcome)
    }

    fn reap(&mut self) -> Result<(), LinkError> {
        while let Some(completion) = self.next_completion() {
            let number = completion.user_data() >> KIND_BITS;
            match completion.user_data() & ((1 << KIND_BITS) - 1) {
                RECEIVE => self.received(&completion)?,
                SEND => self.sent(number as u16, completion.result())?,
                POKE => {
                    self.poking = false;
                    self.poke.notice();
                }
                BELLS => {
                    self.bells_armed = false;
                    self.bells.finished();
                }
                ALARM => self.alarm.ended(),
                _ => self.cancelling = false,
            }
        }
        Ok(())
    }

    fn next_completion(&mut self) -> Option<cqueue::Entry> {
        self.ring.completion().next()
    }

    fn received(&mut self, completion: &cqueue::Entry) -> Result<(), LinkError> {
        if !cqueue::more(completion.flags()) {
            self.receiving = false;
            self.counters.receive_restarts += 1;
        }
        let len = usize::try_from(completion.result()).unwrap_or(0);
        if let Some(id) = cqueue::buffer_select(completion.flags()) {
            // SAFETY: id and length are those of a receive completion, reaped once.
            let buffer = unsafe { self.rx.take(id, len) };
            self.received.push_back(buffer);
        }
        match completion.result() {
            // Only the end of a loopback pair's other side: a packet is never empty.
            0 if !self.receiving => self.closed = true,
            failure if failure < 0 => self.failed(-failure)?,
            _ => {}
        }
        Ok(())
    }

    fn sent(&mut self, slot: u16, result: i32) -> Result<(), LinkError> {
        self.tx.complete(slot);
        if let Ok(len) = u64::try_from(result) {
            self.counters.frames_sent += 1;
            self.counters.bytes_sent += len;
            return Ok(());
        }
        self.counters.sends_failed += 1;
        self.failed(-result)
    }

    /// An interface that is down comes up again by itself; one that was removed does not.
    fn failed(&self, errno: i32) -> Result<(), LinkError> {
        let gone = match errno {
            libc::ENETDOWN | libc::ENXIO | libc::ENODEV => {
                let interface = &self.socket.interface;
                interface.index != 0
                    && if_nametoindex(interface.name.as_str()) != Ok(interface.index)
            }
            _ => false,
        };
        if gone {
            return Err(LinkError::InterfaceGone(self.socket.interface.name.clone()));
        }
        Ok(())
    }

    /// Whether the thread may see the frame; counts what it may not.
    fn admit(&mut self, len: usize) -> bool {
        let counters = &mut self.counters;
        let Some(buffer) = &self.current else {
            return false;
        };
        if len < ETHERNET_HEADER_LEN || len > ETHERNET_HEADER_LEN + self.socket.interface.mtu {
            counters.bad_length += 1;
            return false;
        }
        if !self.socket.is_ours(self.rx.bytes(buffer)) {
            counters.foreign += 1;
            return false;
        }
        counters.frames_received += 1;
        counters.bytes_received += len as u64;
        true
    }

    fn give_back_current(&mut self) {
        if let Some(buffer) = self.current.take() {
            self.rx.give_back(buffer);
        }
    }

    fn is_quiet(&self) -> bool {
        let others = self.receiving || self.poking || self.bells_armed || self.cancelling;
        !others && !self.alarm.is_running() && self.tx.in_flight() == 0
    }

    /// Ends every operation the kernel has; `false` if some did not end.
    fn quiesce(&mut self) -> bool {
        self.closed = true;
        for _ in 0..64 {
            if self.ring.submit().is_err() || self.reap().is_err() {
                return false;
            }
            if self.is_quiet() {
                return true;
            }
            let patience = types::Timespec::from(Duration::from_millis(100));
            // What it misses was completing already; the loop looks again.
            let _ = self
                .ring
                .submitter()
                .register_sync_cancel(Some(patience), types::CancelBuilder::any());
            let args = types::SubmitArgs::new().timespec(&patience);
            let _ = self.ring.submitter().submit_with_args(1, &args);
        }
        false
    }
}

impl Link for RingLink {
    fn mac(&self) -> Mac {
        self.socket.interface.mac
    }

    fn mtu(&self) -> usize {
        self.socket.interface.mtu
    }

    fn frame_buffer(&mut self) -> Option<&mut [u8]> {
        self.tx.open()
    }

    fn queue(&mut self, len: usize) {
        let frame = self.tx.close(len);
        // With MSG_DONTWAIT a send never stays in the kernel waiting for room: a full queue is a failed
        // send, which the transport repairs like any loss.
        let send = opcode::Send::new(FRAMES_FILE, frame.bytes, frame.len)
            .flags(libc::MSG_DONTWAIT)
            .build()
            .user_data(SEND | u64::from(frame.slot) << KIND_BITS);
        // SAFETY: the bytes stay in `self.tx`, which neither changes nor frees a buffer in flight; `sent`
        // ends the flight.
        if unsafe { self.push(&send) }.is_err() {
            self.tx.complete(frame.slot);
            self.counters.sends_failed += 1;
        }
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        self.give_back_current();
        self.arm()?;
        let may_sleep = timeout != Some(Duration::ZERO) && self.received.is_empty();
        if may_sleep && self.arm_bells()? {
            self.enter(timeout)?;
        } else {
            self.enter(Some(Duration::ZERO))?;
        }
        if may_sleep {
            self.bells.retract();
        }
        self.reap()
    }

    fn next_frame(&mut self) -> Option<&[u8]> {
        loop {
            self.give_back_current();
            let buffer = self.received.pop_front()?;
            let len = buffer.len();
            self.current = Some(buffer);
            if self.admit(len) {
                break;
            }
        }
        self.current.as_ref().map(|buffer| self.rx.bytes(buffer))
    }

    fn counters(&self) -> LinkCounters {
        self.counters
    }
}

impl Drop for RingLink {
    fn drop(&mut self) {
        if !self.quiesce() {
            // Closing the ring does not wait for its operations: the memory must outlive them.
            tracing::warn!("io_uring operations did not end: their buffers are leaked");
            self.rx.leak();
            self.tx.leak();
            self.bells.leak();
            std::mem::forget(std::mem::take(&mut self.poke_count));
        }
    }
}

fn can_wait_for_futexes(ring: &IoUring) -> bool {
    let mut probe = Probe::new();
    ring.submitter().register_probe(&mut probe).is_ok()
        && probe.is_supported(opcode::FutexWaitV::CODE)
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    };

    use super::*;

    const ETHERTYPE: u16 = 0x88b5;

    /// Two rings on one wire; `None`, with the reason printed, where io_uring is refused.
    fn pair(mtu: usize, bells: Vec<Box<dyn Doorbell>>) -> Option<(RingLink, RingLink, Poke)> {
        let (one, two) = FrameSocket::loopback_pair(mtu, ETHERTYPE).unwrap();
        let poke = Poke::new().unwrap();
        let open = |socket, poke, bells| match RingLink::open(socket, poke, bells) {
            Ok(link) => Some(link),
            Err(error @ LinkError::RingRefused(_)) => {
                println!("skipped: {error}");
                None
            }
            Err(error) => panic!("{error}"),
        };
        let one = open(one, poke.clone(), bells)?;
        Some((one, open(two, Poke::new().unwrap(), Vec::new())?, poke))
    }

    fn send(link: &mut RingLink, to: Mac, ethertype: u16, payload: &[u8]) {
        let from = link.mac();
        let frame = link.frame_buffer().expect("a free buffer");
        frame[..6].copy_from_slice(&to.0);
        frame[6..12].copy_from_slice(&from.0);
        frame[12..14].copy_from_slice(&ethertype.to_be_bytes());
        frame[14..14 + payload.len()].copy_from_slice(payload);
        link.queue(14 + payload.len());
    }

    fn flush(link: &mut RingLink) {
        link.wait(Some(Duration::ZERO)).unwrap();
    }

    fn receive(link: &mut RingLink) -> Vec<u8> {
        loop {
            if let Some(frame) = link.next_frame() {
                return frame[14..].to_vec();
            }
            link.wait(None).unwrap();
        }
    }

    #[test]
    fn frames_cross_both_ways_at_every_size() {
        for mtu in [1500, 9000, 65_535] {
            let Some((mut one, mut two, _)) = pair(mtu, Vec::new()) else {
                return;
            };
            for len in [0, 1, 46, mtu] {
                let payload: Vec<u8> = (0..len).map(|i| i as u8).collect();
                send(&mut one, two.mac(), ETHERTYPE, &payload);
                flush(&mut one);
                assert_eq!(receive(&mut two), payload);
                send(&mut two, Mac::BROADCAST, ETHERTYPE, &payload);
                flush(&mut two);
                assert_eq!(receive(&mut one), payload);
            }
        }
    }

    #[test]
    fn buffers_come_round_many_times() {
        let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
            return;
        };
        let (mut sent, mut seen) = (0_u32, 0_u32);
        while seen < 20_000 {
            for _ in 0..64 {
                send(&mut one, two.mac(), ETHERTYPE, &sent.to_le_bytes());
                sent += 1;
            }
            flush(&mut one);
            while seen < sent {
                assert_eq!(receive(&mut two), seen.to_le_bytes());
                seen += 1;
            }
        }
        assert_eq!(one.counters().frames_sent, u64::from(sent));
        assert_eq!(two.counters().frames_received, u64::from(seen));
    }

    #[test]
    fn foreign_short_and_oversized_frames_are_counted_and_dropped() {
        let Some((mut one, mut two, _)) = pair(1500, Vec::new()) else {
            return;
        };
        let raw = |bytes: &[u8], link: &RingLink| {
            nix::unistd::write(link.socket.as_fd(), bytes).unwrap();
        };
        send(&mut one, two.mac(), 0x0800, b"another protocol");
        send(
            &mut one,
            Mac([2, 9, 9, 9, 9, 9]),
            ETHERTYPE,
            b"another station",
        );
        flush(&mut one);
        raw(&[1; 13], &one);
        raw(&[1; 1515], &one);
        raw(&[1; 4000], &one);
        send(&mut one, two.mac(), ETHERTYPE, b"ours");
        flush(&mut one);
        assert_eq!(receive(&mut two), b"ours");
        assert_eq!(two.counters().foreign, 2);
        assert_eq!(two.counters().bad_length, 3);
    }

    #[test]
    fn a_round_with_sends_sleeps_in_the_system_call_that_submits_them() {
        let Some((mut one, two, _)) = pair(1500, Vec::new()) else {
            return;
        };
        flush(&mut one);
        let before = one.counters().waits;
        for _ in 0..8 {
            send(&mut one, two.mac(), ETHERTYPE, b"x");
        }
        // Nothing comes back: it sleeps out its time although eight sends completed.
        one.wait(Some(Duration::from_millis(20))).unwrap();
        assert_eq!(one.counters().waits, before + 1);
    }

    #[test]
    fn a_poke_and_a_timeout_end_the_sleep() {
        let Some((mut one, _two, poke)) = pair(1500, Vec::new()) else {
            return;
        };
        one.wait(Some(Duration::from_millis(5))).unwrap();
        for _ in 0..3 {
            let other = poke.clone();
            let poker = std::thread::spawn(move || other.poke());
            one.wait(None).unwrap();
            poker.join().unwrap();
        }
    }

    struct Bell(AtomicU32);

    impl Bell {
        fn ring(&self) {
            self.0.fetch_add(1, Ordering::Release);
            // SAFETY: the word lives in `self`; a wake touches no memory.
            unsafe { libc::syscall(libc::SYS_futex, self.0.as_ptr(), libc::FUTEX_WAKE, i32::MAX) };
        }
    }

    impl Doorbell for Arc<Bell> {
        fn announce(&self, words: &mut Vec<crate::driver::Word>) -> bool {
            words.push(crate::driver::Word {
                address: self.0.as_ptr(),
                value: self.0.load(Ordering::Acquire),
            });
            true
        }

        fn retract(&self) {}
    }

    /// Sleeps until the bell has rung, fifty times.
    fn be_rung(one: &mut RingLink, bell: &Arc<Bell>) {
        flush(one);
        for _ in 0..50 {
            let ringer = Arc::clone(bell);
            let seen = bell.0.load(Ordering::Acquire);
            let thread = std::thread::spawn(move || ringer.ring());
            while bell.0.load(Ordering::Acquire) == seen {
                one.wait(None).unwrap();
            }
            thread.join().unwrap();
        }
    }

    #[test]
    fn a_doorbell_ends_the_sleep_again_and_again() {
        let bell = Arc::new(Bell(AtomicU32::new(0)));
        let Some((mut one, _two, _)) = pair(1500, vec![Box::new(Arc::clone(&bell))]) else {
            return;
        };
        be_rung(&mut one, &bell);
    }

    #[test]
    fn a_doorbell_ends_the_sleep_also_where_io_uring_cannot_wait_for_it() {
        let bell = Arc::new(Bell(AtomicU32::new(0)));
        let (socket, _other) = FrameSocket::loopback_pair(1500, ETHERTYPE).unwrap();
        let bells: Vec<Box<dyn Doorbell>> = vec![Box::new(Arc::clone(&bell))];
        match RingLink::open_with(socket, Poke::new().unwrap(), bells, |_| false) {
            Ok(mut one) => be_rung(&mut one, &bell),
            Err(error) => println!("skipped: {error}"),
        }
    }

    #[test]
    fn a_link_is_dropped_with_everything_in_flight() {
        let bell = Arc::new(Bell(AtomicU32::new(0)));
        let Some((mut one, mut two, _)) = pair(1500, vec![Box::new(bell)]) else {
            return;
        };
        one.wait(Some(Duration::from_millis(1))).unwrap();
        flush(&mut two);
        for _ in 0..100 {
            send(&mut two, one.mac(), ETHERTYPE, b"never looked at");
        }
        flush(&mut two);
        assert!(one.quiesce() && two.quiesce());
    }
}
