//! Segmentation and checksum offloads of an interface (`ethtool -K`).

use std::io;
use std::net::UdpSocket;
use std::os::fd::AsRawFd;

const SIOCETHTOOL: libc::Ioctl = 0x8946;
/// Receive checksum, transmit checksum, TSO, GSO, GRO: setting one off pulls down what needs it.
const COMMANDS: [u32; 5] = [0x15, 0x17, 0x1f, 0x24, 0x2c];

#[repr(C)]
struct Value {
    command: u32,
    data: u32,
}

/// Switches the offloads of `interface`, in the process's network namespace, all on or all off.
///
/// # Errors
/// EPERM without CAP_NET_ADMIN, ENODEV without the interface.
pub fn set(interface: &str, on: bool) -> io::Result<()> {
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    for command in COMMANDS {
        change(
            &socket,
            interface,
            Value {
                command,
                data: u32::from(on),
            },
        )?;
    }
    Ok(())
}

fn change(socket: &UdpSocket, interface: &str, mut value: Value) -> io::Result<()> {
    // SAFETY: all fields of `ifreq` are integers, arrays of them or null pointers, for which zero is a value.
    let mut subject: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in subject.ifr_name[..libc::IFNAMSIZ - 1]
        .iter_mut()
        .zip(interface.bytes())
    {
        *to = from as libc::c_char;
    }
    subject.ifr_ifru.ifru_data = (&raw mut value).cast();
    // SAFETY: the kernel reads the name and, through the pointer, `value`, which has the layout of
    // `struct ethtool_value`; both outlive the call.
    let outcome = unsafe { libc::ioctl(socket.as_raw_fd(), SIOCETHTOOL, &raw mut subject) };
    if outcome < 0 {
        Err(io::Error::last_os_error())
    } else {
        Ok(())
    }
}
