//! Error numbers as they go over the wire: Linux's.

use std::fmt;

/// A Linux error number, positive. Any number a server gives is carried, known or not.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Errno(pub u16);

macro_rules! errnos {
    ($($name:ident = $value:literal)*) => {
        impl Errno {
            $(
                #[doc = concat!("`", stringify!($name), "`")]
                pub const $name: Errno = Errno($value);
            )*
        }

        impl fmt::Debug for Errno {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self.0 {
                    $($value => f.write_str(stringify!($name)),)*
                    other => write!(f, "Errno({other})"),
                }
            }
        }
    };
}

errnos! {
    ENOENT = 2
    ESRCH = 3
    EINTR = 4
    EBADF = 9
    EAGAIN = 11
    EINVAL = 22
    ENAMETOOLONG = 36
    EPROTO = 71
    EMSGSIZE = 90
    EADDRINUSE = 98
    ENETDOWN = 100
    ETIMEDOUT = 110
    EHOSTDOWN = 112
    EHOSTUNREACH = 113
}
