//! Loss on purpose: the kernel drops a share of what arrives at a socket, before the program sees it.
//!
//! A classic socket filter draws a random number for each frame (`SKF_AD_RANDOM`). It works alike on packet
//! and TCP sockets, wants no queueing discipline, and costs both the same.

use std::fs;
use std::io;
use std::os::fd::{BorrowedFd, RawFd};

use socket2::{Domain, SockFilter, SockRef};

/// Makes `socket` lose `share` (0 to 1) of the frames or segments that arrive.
///
/// # Errors
/// What `setsockopt` answers.
pub fn lose(socket: BorrowedFd<'_>, share: f64) -> io::Result<()> {
    if share <= 0.0 {
        return Ok(());
    }
    SockRef::from(&socket).attach_filter(&program(share))
}

/// The same for every packet socket of this process.
///
/// # Errors
/// What `setsockopt` answers, or ENOENT when the process has none.
pub fn lose_frames(share: f64) -> io::Result<()> {
    let mut found = false;
    for entry in fs::read_dir("/proc/self/fd")?.flatten() {
        let is_socket = fs::read_link(entry.path())
            .is_ok_and(|target| target.to_string_lossy().starts_with("socket:"));
        let number = entry.file_name().to_string_lossy().parse::<RawFd>();
        let (true, Ok(number)) = (is_socket, number) else {
            continue;
        };
        // SAFETY: the descriptor was open when the directory was read. Should a thread of this process close
        // it meanwhile, the calls below answer EBADF or reach another socket, of which only a packet socket
        // gets the filter; no memory depends on it.
        let socket = unsafe { BorrowedFd::borrow_raw(number) };
        if SockRef::from(&socket)
            .domain()
            .is_ok_and(|domain| domain == Domain::PACKET)
        {
            found = true;
            lose(socket, share)?;
        }
    }
    match found {
        true => Ok(()),
        false => Err(io::ErrorKind::NotFound.into()),
    }
}

/// Accepts what draws a number at or above the threshold.
fn program(share: f64) -> [SockFilter; 4] {
    let threshold = (share.min(1.0) * f64::from(u32::MAX)) as u32;
    let random = (libc::SKF_AD_OFF + libc::SKF_AD_RANDOM) as u32;
    let load = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    let at_least = (libc::BPF_JMP | libc::BPF_JGE | libc::BPF_K) as u16;
    let give_back = (libc::BPF_RET | libc::BPF_K) as u16;
    [
        SockFilter::new(load, 0, 0, random),
        SockFilter::new(at_least, 0, 1, threshold),
        SockFilter::new(give_back, 0, 0, u32::MAX),
        SockFilter::new(give_back, 0, 0, 0),
    ]
}

#[cfg(test)]
mod tests {
    use std::net::UdpSocket;
    use std::os::fd::AsFd;

    use super::*;

    /// How many of 400 datagrams arrive.
    fn arrived(share: f64) -> usize {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("loopback");
        let address = socket.local_addr().expect("it is bound");
        socket.set_nonblocking(true).expect("it is a socket");
        lose(socket.as_fd(), share).expect("anybody may filter his own socket");
        let mut seen = 0;
        for _ in 0..400 {
            socket.send_to(&[0; 8], address).expect("room");
            seen += usize::from(socket.recv(&mut [0; 8]).is_ok());
        }
        seen
    }

    #[test]
    fn the_share_asked_for_is_lost() {
        assert_eq!((arrived(0.0), arrived(1.0)), (400, 0));
        // Half of 400, within ten standard deviations.
        assert!((100..300).contains(&arrived(0.5)));
    }
}
