//! The functions that take the place of the C library's, by subject.
//!
//! Each decides whether the call is about something of ours, and passes it on if not. Names with and without
//! `64` are the same function: this library is for systems whose `off_t` has 64 bits.

#[cfg(not(target_pointer_width = "64"))]
compile_error!("the functions with and without 64 in their names differ on this system");

mod attributes;
mod by_number;
mod bytes;
mod descriptors;
mod directories;
mod execute;
mod extended;
mod file_systems;
pub(crate) mod glob;
mod locks;
mod mapping;
mod names;
mod open;
mod readiness;
mod real_path;
mod refused;
mod reopen;
mod scan;
mod select;
mod stat;
mod streams;
mod temporary;
mod threads;
mod times;
mod walk;
mod wide;
mod working;

/// Defines functions that take the place of the C library's. The body answers `None` for a call that is not
/// about anything of ours; what stands behind `or` then answers it.
macro_rules! interpose {
    ($($(#[$doc:meta])* fn $($name:ident)|+ ($($arg:ident: $type:ty),*) -> $result:ty $body:block or $real:expr;)*) => {
        $($crate::calls::interpose!(@each [$($name)+] ($($arg: $type),*) -> $result, $body, $real);)*
    };
    (@each [] $($rest:tt)*) => {};
    (@each [$name:ident $($more:ident)*] ($($arg:ident: $type:ty),*) -> $result:ty, $body:block, $real:expr) => {
        /// In the place of the C library's function of this name.
        ///
        /// # Safety
        /// As the C library's.
        #[cfg_attr(not(test), unsafe(no_mangle))]
        pub unsafe extern "C" fn $name($($arg: $type),*) -> $result {
            match $crate::shield::within(|| $body) {
                Some(result) => $crate::shield::to_c(result),
                // SAFETY: the caller's promise is the callee's.
                None => unsafe { $real },
            }
        }
        $crate::calls::interpose!(@each [$($more)*] ($($arg: $type),*) -> $result, $body, $real);
    };
}

use interpose;
use ipc_core::abi::{Errno, Result};
pub(crate) use streams::standard_stream;

use crate::table::{self, Found, OpenFile};

/// Does `work` with the open file of a descriptor; `None` for a descriptor of the system's.
fn on_file<T>(fd: std::ffi::c_int, work: impl FnOnce(&OpenFile) -> Result<T>) -> Option<Result<T>> {
    match table::find(fd) {
        Found::Not => None,
        Found::Inherited => Some(Err(Errno::EBADF)),
        Found::Ours(file) => Some(work(&file)),
    }
}
