//! Why the network-handler thread ends by itself.

use qnet_proto::{Mac, NodeName};

use crate::driver::LinkError;

/// Why the thread ends though nobody asked it to.
#[derive(Debug)]
pub enum NetworkError {
    /// The link is of no more use.
    Link(LinkError),
    /// Another node bore the name before this one came.
    NameInUse {
        /// The name.
        name: NodeName,
        /// Where the other one is.
        mac: Mac,
    },
}

impl From<LinkError> for NetworkError {
    fn from(error: LinkError) -> NetworkError {
        NetworkError::Link(error)
    }
}
