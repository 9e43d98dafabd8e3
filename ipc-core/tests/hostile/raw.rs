//! The attach protocol and a region, without the library.

use std::{
    io::{IoSlice, IoSliceMut},
    os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd},
};

use ipc_core::{
    abi::{Chid, Pid},
    runtime_dir,
};
use memmap2::{MmapOptions, MmapRaw};
use nix::{
    fcntl::{FcntlArg, SealFlag, fcntl},
    sys::{
        memfd::{MFdFlags, memfd_create},
        socket::{
            AddressFamily, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
            UnixAddr, connect, recv, recvmsg, send, sendmsg, socket,
        },
    },
    unistd::ftruncate,
};

pub(crate) const SLOTS: u32 = 4;
pub(crate) const ARENA_LEN: u32 = 8192;
/// What the header says of the layout that this file writes.
pub(crate) const HEADER_VERSION: u32 = 3;

/// What the low four bits of a slot's word say when the answer is there.
pub(crate) const DONE: u32 = 4;

/// Offset of the position that the server publishes.
pub(crate) const HEAD: usize = 64;

/// Offset of the word that says whether entries are in the order of receipt.
pub(crate) const RISE: usize = 24;

/// Offset of the words that say which slots were answered for a completion queue, and how many there are.
pub(crate) const DONE_SET: usize = 128;
pub(crate) const DONE_WORDS: usize = 16;

/// Offset of the submission ring, and the length of its entries.
const RING: usize = 256;
const ENTRY_LEN: usize = 128;

/// What the ready set and the wake-up page of a doorbell take.
pub(crate) const DOORBELL_LEN: usize = 8192;

/// Bytes of the region of a layout.
pub(crate) fn region_len(slots: u32, arena_len: u32) -> usize {
    arena_offset(slots) + arena_len as usize
}

fn arena_offset(slots: u32) -> usize {
    (RING + 3 * slots as usize * ENTRY_LEN).next_multiple_of(4096)
}

/// A memory file, with or without the seals that a server insists on.
pub(crate) fn memory_file(len: usize, seals: SealFlag) -> OwnedFd {
    let flags = MFdFlags::MFD_CLOEXEC | MFdFlags::MFD_ALLOW_SEALING;
    let fd = memfd_create("hostile", flags).expect("a memory file can be made");
    ftruncate(&fd, len as i64).expect("it can be resized");
    fcntl(&fd, FcntlArg::F_ADD_SEALS(seals)).expect("it can be sealed");
    fd
}

pub(crate) fn good_seals() -> SealFlag {
    SealFlag::F_SEAL_SHRINK | SealFlag::F_SEAL_GROW | SealFlag::F_SEAL_SEAL
}

/// Shared memory that this test writes as it likes.
pub(crate) struct Memory(MmapRaw);

impl Memory {
    pub(crate) fn map(fd: &OwnedFd, len: usize) -> Memory {
        Memory(
            MmapOptions::new()
                .len(len)
                .map_raw(fd)
                .expect("it can be mapped"),
        )
    }

    pub(crate) fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= self.0.len());
        // SAFETY: in bounds of a live mapping by the assertion, whose size is sealed; nothing holds a
        // reference into it; that another thread reads the bytes meanwhile is what these tests are about.
        unsafe {
            let to = self.0.as_mut_ptr().add(offset);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    pub(crate) fn write_u32(&self, offset: usize, value: u32) {
        self.write(offset, &value.to_ne_bytes());
    }

    pub(crate) fn read_u32(&self, offset: usize) -> u32 {
        assert!(offset + 4 <= self.0.len());
        // SAFETY: in bounds by the assertion; any bytes are a number.
        unsafe { self.0.as_ptr().add(offset).cast::<u32>().read_volatile() }
    }

    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Wakes whoever sleeps on the word at `offset`.
    pub(crate) fn wake(&self, offset: usize) {
        assert!(offset + 4 <= self.0.len());
        // SAFETY: the address lies in a live mapping by the assertion; the kernel only compares it.
        unsafe {
            let word = self.0.as_ptr().add(offset);
            libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX);
        }
    }

    /// Whether these bytes stand anywhere in the memory.
    pub(crate) fn contains(&self, bytes: &[u8]) -> bool {
        let mut copy = vec![0; self.0.len()];
        // SAFETY: as long as the live mapping, into a private buffer of that length; any bytes are bytes.
        unsafe { std::ptr::copy_nonoverlapping(self.0.as_ptr(), copy.as_mut_ptr(), copy.len()) };
        copy.windows(bytes.len()).any(|window| window == bytes)
    }
}

/// A socket to a process that owns channels.
pub(crate) struct Control(OwnedFd);

impl Control {
    pub(crate) fn connect() -> Control {
        let family = AddressFamily::Unix;
        let socket = socket(family, SockType::SeqPacket, SockFlag::SOCK_CLOEXEC, None);
        let socket = socket.expect("a socket can be made");
        let path = runtime_dir().join(format!("{}.sock", Pid::current()));
        let address = UnixAddr::new(&path).expect("the path is short");
        connect(socket.as_raw_fd(), &address).expect("this process listens");
        Control(socket)
    }

    /// The other end, as a server gets it.
    pub(crate) fn accepted(socket: OwnedFd) -> Control {
        Control(socket)
    }

    pub(crate) fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Whether the other side has hung up; what it sent is thrown away.
    pub(crate) fn is_hung_up(&self) -> bool {
        let flags = MsgFlags::MSG_DONTWAIT;
        matches!(recv(self.0.as_raw_fd(), &mut [0; 64], flags), Ok(0))
    }

    /// As [`send`](Self::send), without waiting for a peer that does not read.
    pub(crate) fn try_send(&self, bytes: &[u8]) -> bool {
        let flags = MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT;
        send(self.0.as_raw_fd(), bytes, flags).is_ok()
    }

    /// Sends a record; a peer that hung up already is as good as one that refuses it.
    pub(crate) fn send(&self, bytes: &[u8], fds: &[RawFd]) {
        let rights = [ControlMessage::ScmRights(fds)];
        let control: &[ControlMessage<'_>] = if fds.is_empty() { &[] } else { &rights };
        let parts = [IoSlice::new(bytes)];
        let _ = sendmsg::<()>(
            self.0.as_raw_fd(),
            &parts,
            control,
            MsgFlags::MSG_NOSIGNAL,
            None,
        );
    }

    /// The next record and its descriptors; no bytes are the hang-up.
    pub(crate) fn receive(&self) -> (Vec<u8>, Vec<OwnedFd>) {
        let mut bytes = vec![0; 65536];
        let mut control = nix::cmsg_space!([RawFd; 8]);
        let mut parts = [IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let received = recvmsg::<()>(self.0.as_raw_fd(), &mut parts, Some(&mut control), flags);
        let Ok(received) = received else {
            return (Vec::new(), Vec::new());
        };
        let mut fds = Vec::new();
        for message in received.cmsgs().expect("the buffer was large enough") {
            if let ControlMessageOwned::ScmRights(raw) = message {
                // SAFETY: the kernel has just made these descriptors for this process.
                fds.extend(
                    raw.into_iter()
                        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }),
                );
            }
        }
        let len = received.bytes;
        bytes.truncate(len);
        (bytes, fds)
    }

    /// Waits until the other side has hung up.
    pub(crate) fn until_hung_up(&self) {
        while !self.receive().0.is_empty() {}
    }
}

/// The fields of an attach record that a test may want to forge.
#[derive(Clone, Copy)]
pub(crate) struct Attach {
    pub(crate) chid: i32,
    pub(crate) flags: u32,
    pub(crate) slots: u32,
    pub(crate) arena_len: u32,
    pub(crate) completion_bit: u32,
}

impl Attach {
    /// What an honest client sends.
    pub(crate) fn honest(chid: Chid) -> Attach {
        let (slots, arena_len) = (SLOTS, ARENA_LEN);
        Attach {
            chid: chid.0,
            flags: 0,
            slots,
            arena_len,
            completion_bit: u32::MAX,
        }
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = header(1);
        let words: [u32; 12] = [
            0,
            Pid::current().0 as u32,
            self.chid as u32,
            77,
            self.flags,
            self.slots,
            self.arena_len,
            self.completion_bit,
            0,
            0,
            0,
            0,
        ];
        bytes.extend(words.iter().flat_map(|word| word.to_ne_bytes()));
        bytes
    }
}

/// The header of a control record.
pub(crate) fn header(op: u16) -> Vec<u8> {
    [b"QCTL".as_slice(), &1_u16.to_ne_bytes(), &op.to_ne_bytes()].concat()
}

/// A sender's wish to leave: 1 SEND, 2 REPLY, 3 both.
pub(crate) fn cancel(slot: u32, generation: u32, wish: u32) -> Vec<u8> {
    let words = [slot, generation, wish, 0];
    let body = words.iter().flat_map(|word| word.to_ne_bytes());
    header(2).into_iter().chain(body).collect()
}

/// An attached client without scruples.
pub(crate) struct Client {
    pub(crate) control: Control,
    pub(crate) region: Memory,
    pub(crate) doorbell: Memory,
    /// Where the next entry goes.
    pub(crate) position: u32,
}

/// The errno of an attach answer, and the descriptors that came with it; `None` for a hang-up.
pub(crate) fn try_attach(
    control: &Control,
    attach: &Attach,
    fds: &[RawFd],
) -> Option<(i32, Vec<OwnedFd>)> {
    control.send(&attach.encode(), fds);
    let (answer, fds) = control.receive();
    let errno = answer.first_chunk::<4>()?;
    Some((i32::from_ne_bytes(*errno), fds))
}

/// A region whose header says what the layout says.
pub(crate) fn region(slots: u32, arena_len: u32) -> (OwnedFd, Memory) {
    let len = region_len(slots, arena_len);
    let fd = memory_file(len, good_seals());
    let memory = Memory::map(&fd, len);
    memory.write(0, b"QREG");
    memory.write_u32(4, HEADER_VERSION);
    memory.write_u32(8, slots);
    memory.write(16, &u64::from(arena_len).to_ne_bytes());
    (fd, memory)
}

impl Client {
    pub(crate) fn attach(chid: Chid) -> Client {
        let control = Control::connect();
        let (fd, region) = region(SLOTS, ARENA_LEN);
        let answer = try_attach(&control, &Attach::honest(chid), &[fd.as_raw_fd()]);
        let (errno, fds) = answer.expect("an honest attach is answered");
        assert_eq!(errno, 0);
        let doorbell = Memory::map(&fds[0], DOORBELL_LEN);
        Client {
            control,
            region,
            doorbell,
            position: 0,
        }
    }

    /// Offset of the entry at a ring position.
    pub(crate) fn entry_at(position: u32) -> usize {
        RING + (position % (2 * SLOTS)) as usize * ENTRY_LEN
    }

    /// Offset of the entry that the server looks at next.
    pub(crate) fn entry(&self) -> usize {
        Client::entry_at(self.position)
    }

    /// Offset of a slot.
    pub(crate) fn slot(slot: u32) -> usize {
        RING + (2 * SLOTS + slot) as usize * ENTRY_LEN
    }

    /// Offset of the word that a client sleeps on until the answer in a slot.
    pub(crate) fn asleep(slot: u32) -> usize {
        Client::slot(slot) + 28
    }

    /// Offset of the arena.
    pub(crate) fn arena() -> usize {
        arena_offset(SLOTS)
    }

    /// Hands the entry over, whatever is in it.
    pub(crate) fn publish(&mut self) {
        let entry = self.entry();
        self.position = self.position.wrapping_add(1);
        std::sync::atomic::fence(std::sync::atomic::Ordering::SeqCst);
        self.region.write_u32(entry, self.position);
    }

    /// Posts an entry with this header, kind first, and the bytes behind it.
    pub(crate) fn post(&mut self, header: &Header, inline: &[u8]) {
        let at = self.entry();
        self.region.write(at + 8, &header.encode());
        self.region.write(at + 48, inline);
        // The slot awaits an answer: state 0.
        if let Some(slot) = Some(header.slot).filter(|slot| *slot < SLOTS) {
            self.region
                .write_u32(Client::slot(slot), header.generation << 4);
        }
        self.publish();
    }
}

/// The header of a submission entry.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Header {
    pub(crate) kind: u8,
    pub(crate) priority: u8,
    pub(crate) flags: u16,
    pub(crate) slot: u32,
    pub(crate) generation: u32,
    pub(crate) len: u32,
    pub(crate) reply_len: u32,
    pub(crate) offset: u32,
    pub(crate) reply_offset: u32,
}

/// An inline message with room for an inline reply in slot 0.
pub(crate) const HONEST: Header = Header {
    kind: 1,
    priority: 10,
    flags: 3,
    slot: 0,
    generation: 1,
    len: 5,
    reply_len: 16,
    offset: 0,
    reply_offset: 0,
};

impl Header {
    fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.kind, self.priority];
        bytes.extend(self.flags.to_ne_bytes());
        for word in [self.slot, 4242, self.generation] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes.extend(0_u64.to_ne_bytes());
        for word in [self.len, self.reply_len, self.offset, self.reply_offset] {
            bytes.extend(word.to_ne_bytes());
        }
        bytes
    }
}
