//! The system calls of the lab that no safe wrapper exists for. Unsafe, without policy.
#![allow(unsafe_code, reason = "what is called here has no safe wrapper")]

use std::io;
use std::mem;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;

use nix::unistd::{ForkResult, Pid, fork};

/// Splits the process in two.
///
/// # Errors
/// EAGAIN a limit on processes.
///
/// # Panics
/// If the process has more than one thread: the child could then find locks that nobody releases.
pub(super) fn fork_single_threaded() -> nix::Result<ForkResult> {
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    assert_eq!(threads, 1, "only a process of one thread is split in two");
    // SAFETY: the only thread forks, so the child inherits no lock that is held and no state that
    // another thread was changing.
    unsafe { fork() }
}

/// A descriptor that becomes readable when process `pid` ends.
///
/// # Errors
/// ESRCH no such process.
pub(super) fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: the call takes two integers and returns a new descriptor or -1.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.as_raw(), 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us and nobody else knows its number.
    Ok(unsafe { OwnedFd::from_raw_fd(fd as RawFd) })
}

/// Takes ownership of descriptors that arrived with a message.
pub(super) fn own_received(fds: Vec<RawFd>) -> Vec<OwnedFd> {
    // SAFETY: descriptors of an SCM_RIGHTS message are new in this process when recvmsg returns
    // them, and the vector is consumed here, so each gets exactly one owner.
    fds.into_iter()
        .map(|fd| unsafe { OwnedFd::from_raw_fd(fd) })
        .collect()
}

/// Has `command`'s process run `prepare` between fork and exec.
///
/// `prepare` must only make system calls: no allocation, no lock.
pub(super) fn before_exec<F>(command: &mut Command, prepare: F)
where
    F: FnMut() -> io::Result<()> + Send + Sync + 'static,
{
    // SAFETY: every caller in this crate passes a closure that does nothing but setns, setsid, sigmask,
    // chdir and dup2-like calls on descriptors and paths prepared before the fork.
    unsafe { command.pre_exec(prepare) };
}

/// A raw packet socket bound to the interface with `index`, for all protocols.
///
/// # Errors
/// EPERM the caller has not CAP_NET_RAW in the user namespace that owns its network namespace.
pub(super) fn packet_socket(index: u32, nonblocking: bool) -> io::Result<OwnedFd> {
    let kind =
        libc::SOCK_RAW | libc::SOCK_CLOEXEC | if nonblocking { libc::SOCK_NONBLOCK } else { 0 };
    // SAFETY: integers in, a new descriptor or -1 out. Protocol 0: nothing arrives before bind.
    let fd = unsafe { libc::socket(libc::AF_PACKET, kind, 0) };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel just made this descriptor for us and nobody else knows its number.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    // SAFETY: sockaddr_ll is a plain C structure for which all zeroes is a value.
    let mut address: libc::sockaddr_ll = unsafe { mem::zeroed() };
    address.sll_family = libc::AF_PACKET as u16;
    address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
    address.sll_ifindex = index as i32;
    // SAFETY: the pointer is to a live sockaddr_ll and the length is its size.
    let bound = unsafe {
        libc::bind(
            socket.as_raw_fd(),
            (&raw const address).cast(),
            mem::size_of::<libc::sockaddr_ll>() as libc::socklen_t,
        )
    };
    if bound < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(socket)
    }
}

/// Sets an option whose value is an integer.
///
/// # Errors
/// What setsockopt(2) says.
pub(super) fn set_int_option(
    socket: impl AsFd,
    level: i32,
    option: i32,
    value: i32,
) -> io::Result<()> {
    // SAFETY: the pointer is to a live integer and the length is its size.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            level,
            option,
            (&raw const value).cast(),
            mem::size_of::<i32>() as libc::socklen_t,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}

/// Makes a port receive frames whatever their destination address.
///
/// # Errors
/// ENODEV no interface with this index.
pub(super) fn set_promiscuous(socket: impl AsFd, index: u32) -> io::Result<()> {
    // SAFETY: packet_mreq is a plain C structure for which all zeroes is a value.
    let mut request: libc::packet_mreq = unsafe { mem::zeroed() };
    request.mr_ifindex = index as i32;
    request.mr_type = libc::PACKET_MR_PROMISC as u16;
    // SAFETY: the pointer is to a live packet_mreq and the length is its size.
    let done = unsafe {
        libc::setsockopt(
            socket.as_fd().as_raw_fd(),
            libc::SOL_PACKET,
            libc::PACKET_ADD_MEMBERSHIP,
            (&raw const request).cast(),
            mem::size_of::<libc::packet_mreq>() as libc::socklen_t,
        )
    };
    if done < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
