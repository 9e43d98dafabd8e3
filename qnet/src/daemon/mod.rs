//! What every daemon of the project does alike: set up its log, say that it is ready, stop when told.
//!
//! Knows nothing of message passing or networks. A daemon's `main` reads:
//!
//! ```no_run
//! # use qnet::daemon::{LogOptions, StopSignal, init_logging, notify_ready, notify_stopping};
//! # let options = LogOptions::default();
//! init_logging(&options);
//! let stop = StopSignal::install()?; // before the first thread, so that all threads inherit the mask
//! // ... start the work ...
//! notify_ready("procmgr on /run/qnet");
//! let signal = stop.wait()?;
//! tracing::info!("stopping: {signal}");
//! notify_stopping(&signal);
//! # Ok::<(), std::io::Error>(())
//! ```

#![forbid(unsafe_code)]

mod descriptors;
mod log;
mod ready;
mod stop;

pub use descriptors::raise_descriptor_limit;
pub use log::{LogFormat, LogOptions, init_logging};
pub use ready::{notify_ready, notify_stopping};
pub use stop::{StopReason, StopSignal};
