//! What a link is to the network-handler thread.

use std::{fmt, io, time::Duration};

use crate::driver::LinkError;

/// Bytes of the header of an Ethernet frame: destination, source, EtherType.
pub const ETHERNET_HEADER_LEN: usize = 14;

/// A hardware address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct Mac(pub [u8; 6]);

impl Mac {
    /// Every station of the segment.
    pub const BROADCAST: Mac = Mac([0xff; 6]);
}

impl fmt::Display for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [a, b, c, d, e, g] = self.0;
        write!(f, "{a:02x}:{b:02x}:{c:02x}:{d:02x}:{e:02x}:{g:02x}")
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::str::FromStr for Mac {
    type Err = String;

    fn from_str(text: &str) -> Result<Mac, String> {
        let fault = || format!("{text:?} is not a hardware address such as 02:00:00:00:00:01");
        let mut mac = [0; 6];
        let mut parts = text.split(':');
        for byte in &mut mac {
            let part = parts
                .next()
                .filter(|part| part.len() == 2)
                .ok_or_else(fault)?;
            *byte = u8::from_str_radix(part, 16).map_err(|_| fault())?;
        }
        if parts.next().is_some() {
            return Err(fault());
        }
        Ok(Mac(mac))
    }
}

/// Where whole Ethernet frames go out and come in. Used by one thread.
///
/// Frames are unreliable: any may be lost, repeated or overtaken. A round of the thread is: take what
/// came ([`Link::next_frame`]), fill and queue what is to go ([`Link::frame_buffer`], [`Link::queue`]),
/// then [`Link::wait`], which hands everything queued to the kernel at once.
pub trait Link {
    /// The station's own address.
    fn mac(&self) -> Mac;

    /// Bytes behind the Ethernet header that a frame may carry.
    fn mtu(&self) -> usize;

    /// The next free send buffer, `14 + mtu` bytes, of any content; `None` while the kernel holds all.
    /// Asking again without [`Link::queue`] gives the same buffer.
    fn frame_buffer(&mut self) -> Option<&mut [u8]>;

    /// Queues the first `len` bytes of the buffer that [`Link::frame_buffer`] gave last.
    ///
    /// # Panics
    /// Without such a buffer, or when `len` is larger than it.
    fn queue(&mut self, len: usize);

    /// Submits what is queued, then sleeps until a frame or a completion comes, a doorbell rings or
    /// `timeout` is over. `None` sleeps without end, [`Duration::ZERO`] not at all.
    ///
    /// # Errors
    /// The interface has gone, or the ring is broken; the link is of no more use.
    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError>;

    /// The next received frame: of this link's EtherType, for this station or for all, and no longer
    /// than `14 + mtu`. Others are counted and dropped. The bytes stay until the next use of the link.
    fn next_frame(&mut self) -> Option<&[u8]>;

    /// What went through so far.
    fn counters(&self) -> LinkCounters;
}

/// What went through a link since it was opened.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct LinkCounters {
    /// Frames that the kernel took.
    pub frames_sent: u64,
    /// Their bytes, Ethernet header included.
    pub bytes_sent: u64,
    /// Frames given to the thread.
    pub frames_received: u64,
    /// Their bytes, Ethernet header included.
    pub bytes_received: u64,
    /// Frames the kernel refused: full queue, interface down. The transport sends their bytes again.
    pub sends_failed: u64,
    /// Received frames dropped for another EtherType or another station's address.
    pub foreign: u64,
    /// Received frames dropped for being shorter than a header or longer than the MTU allows.
    pub bad_length: u64,
    /// Times the receive buffers ran out, or the interface was down, and receiving had to be re-armed.
    pub receive_restarts: u64,
    /// System calls made by [`Link::wait`].
    pub waits: u64,
}

impl Link for Box<dyn Link> {
    fn mac(&self) -> Mac {
        (**self).mac()
    }

    fn mtu(&self) -> usize {
        (**self).mtu()
    }

    fn frame_buffer(&mut self) -> Option<&mut [u8]> {
        (**self).frame_buffer()
    }

    fn queue(&mut self, len: usize) {
        (**self).queue(len);
    }

    fn wait(&mut self, timeout: Option<Duration>) -> Result<(), LinkError> {
        (**self).wait(timeout)
    }

    fn next_frame(&mut self) -> Option<&[u8]> {
        (**self).next_frame()
    }

    fn counters(&self) -> LinkCounters {
        (**self).counters()
    }
}

/// Maps the kernel's word on a wait to the link's: timeouts and signals are no errors.
pub(super) fn wait_outcome(outcome: io::Result<usize>) -> Result<(), LinkError> {
    match outcome {
        Ok(_) => Ok(()),
        Err(error) => match error.raw_os_error() {
            Some(libc::ETIME | libc::EINTR | libc::EBUSY | libc::EAGAIN) => Ok(()),
            _ => Err(LinkError::Ring(error)),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hardware_address_reads_back_what_it_prints() {
        let mac = Mac([2, 0, 0xab, 3, 4, 0xff]);
        assert_eq!(mac.to_string(), "02:00:ab:03:04:ff");
        assert_eq!(mac.to_string().parse(), Ok(mac));
        for bad in [
            "",
            "02:00:ab:03:04",
            "02:00:ab:03:04:ff:00",
            "2:0:ab:3:4:ff",
            "zz:00:ab:03:04:ff",
        ] {
            assert!(bad.parse::<Mac>().is_err(), "{bad}");
        }
    }
}
