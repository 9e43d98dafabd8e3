//! How many system calls other threads make, counted by the kernel's own trace point.

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd};
use std::path::Path;

use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

const PERF_TYPE_TRACEPOINT: u32 = 2;
const PERF_EVENT_IOC_SET_FILTER: libc::Ioctl = 0x4008_2406;
/// The same number on every architecture.
const FUTEX_WAKE: i64 = 454;

/// The part of `perf_event_attr` that every kernel has (version 0).
#[repr(C)]
#[derive(Default)]
struct Attributes {
    kind: u32,
    size: u32,
    config: u64,
    sample_period: u64,
    sample_type: u64,
    read_format: u64,
    flags: u64,
    wakeup_events: u32,
    bp_type: u32,
    bp_addr: u64,
}

const _: () = assert!(size_of::<Attributes>() == 64);

/// Counts the system calls of all threads that a process has when it is opened, but for futex calls.
pub struct CallCounter {
    threads: Vec<File>,
}

impl CallCounter {
    /// Starts counting for process `pid`.
    ///
    /// # Errors
    /// EACCES or EPERM where tracing is not permitted, ENOENT in a kernel without system call trace points.
    pub fn of_process(pid: u32) -> io::Result<CallCounter> {
        let id = trace_point()?;
        let mut threads = Vec::new();
        for task in fs::read_dir(format!("/proc/{pid}/task"))? {
            let tid = task?.file_name().to_string_lossy().parse();
            threads.push(open(tid.map_err(io::Error::other)?, id)?);
        }
        Ok(CallCounter { threads })
    }

    /// Calls so far.
    ///
    /// # Errors
    /// What reading a counter answers.
    pub fn count(&self) -> io::Result<u64> {
        let mut sum = 0;
        for mut thread in &self.threads {
            let mut bytes = [0; 8];
            thread.read_exact(&mut bytes)?;
            sum += u64::from_ne_bytes(bytes);
        }
        Ok(sum)
    }
}

fn open(tid: libc::pid_t, id: u64) -> io::Result<File> {
    let attributes = Attributes {
        kind: PERF_TYPE_TRACEPOINT,
        size: size_of::<Attributes>() as u32,
        config: id,
        ..Attributes::default()
    };
    // SAFETY: the attributes outlive the call and state their own size.
    let fd = unsafe {
        libc::syscall(
            libc::SYS_perf_event_open,
            &raw const attributes,
            tid,
            -1,
            -1,
            0,
        )
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the descriptor is new and nobody else's.
    let file = unsafe { File::from_raw_fd(fd as i32) };
    // Wakes of whoever waits are counted elsewhere.
    let filter = format!("id != {} && id != {FUTEX_WAKE}", libc::SYS_futex);
    let filter = CString::new(filter).map_err(io::Error::other)?;
    // SAFETY: the filter is text that ends with zero and outlives the call.
    let outcome =
        unsafe { libc::ioctl(file.as_raw_fd(), PERF_EVENT_IOC_SET_FILTER, filter.as_ptr()) };
    match outcome {
        0 => Ok(file),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The number of `raw_syscalls:sys_enter`. Where the trace file system is not mounted, it is for this process
/// alone, in a mount namespace of its own, and goes with it.
fn trace_point() -> io::Result<u64> {
    const EVENT: &str = "events/raw_syscalls/sys_enter/id";
    let known = ["/sys/kernel/tracing", "/sys/kernel/debug/tracing"];
    let read = |root: &Path| fs::read_to_string(root.join(EVENT));
    let text = match known.iter().find_map(|root| read(Path::new(root)).ok()) {
        Some(text) => text,
        None => {
            unshare(CloneFlags::CLONE_NEWNS)?;
            let none: Option<&str> = None;
            mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)?;
            let root = Path::new(known[0]);
            mount(
                Some("tracefs"),
                root,
                Some("tracefs"),
                MsFlags::empty(),
                none,
            )?;
            read(root)?
        }
    };
    text.trim().parse().map_err(io::Error::other)
}
