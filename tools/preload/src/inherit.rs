//! Files that this process did not open: those of the image that it had before an exec, and of the process that
//! spawned it. They share offset and mode with what they were handed over from, as all descriptors do (RMG-2).

use std::ffi::c_int;
use std::sync::Arc;

use ipc_core::abi::Result;
use ipc_core::file::File;

use crate::placeholder::{self, Inscription};
use crate::shield::within;
use crate::table::{self, OpenFile};
use crate::{calls, working};

/// Runs before the program does: whom the files are taken over from may close them soon.
#[used]
#[cfg_attr(not(test), unsafe(link_section = ".init_array"))]
static AT_START: extern "C" fn() = start;

extern "C" fn start() {
    within(|| {
        table::begin();
        take_over();
        None::<Result<()>>
    });
}

/// A file that shares what an inscription names.
pub(crate) fn adopt(found: Inscription) -> Result<OpenFile> {
    let file = File::inherit(&found.handover)?;
    Ok(OpenFile::new(file, found.path, found.flags))
}

/// Takes over whatever was inherited. What its server does not give stays the system's, and answers EBADF.
fn take_over() {
    let Ok(listed) = std::fs::read_dir("/proc/self/fd") else {
        return;
    };
    let numbers = listed.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let numbers: Vec<c_int> = numbers.collect();
    // Descriptors of one file say the same.
    let mut taken: Vec<(Inscription, Option<Arc<OpenFile>>)> = Vec::new();
    for fd in numbers {
        working::inherit(fd);
        let Some(found) = placeholder::read(fd) else {
            continue;
        };
        let known = taken
            .iter()
            .position(|(other, _)| other.handover == found.handover);
        let at = known.unwrap_or_else(|| {
            let adopted = adopt(Inscription {
                path: found.path.clone(),
                ..found
            });
            taken.push((found, adopted.ok().map(Arc::new)));
            taken.len() - 1
        });
        if let Some(open) = &taken[at].1
            && placeholder::replace(fd, open).is_ok()
        {
            table::put(fd, Arc::clone(open));
            calls::standard_stream(fd);
        }
    }
    for (old, _) in taken {
        old.handover.end();
    }
}
