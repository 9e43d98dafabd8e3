//! Raw primitives, each the best that can be written for its job, each in a file of its own.
//!
//! | id | file |
//! |---|---|
//! | B0 | `cache_line` |
//! | B1s, B1x | `futex` |
//! | B2 | `pipe`, `eventfd`, `seqpacket` |
//! | B3 | `copy` |
//! | B4b, B4s | `packet` |
//! | B4r | `relay` |
//! | B5 | `tcp` |
//! | B5, many connections | `tcp_crowd` |
//! | TCP by size and load, for plots | `tcp_sized` |
//! | B6 | `tcp_bulk` |
//! | B7 | `blast` |
//! | the floor of bulk, beside B7 | `message_floor` |

pub mod blast;
pub mod cache_line;
pub mod copy;
pub mod eventfd;
pub mod futex;
pub mod message_floor;
pub mod packet;
pub mod pipe;
pub mod relay;
pub mod seqpacket;
pub mod tcp;
pub mod tcp_bulk;
pub mod tcp_crowd;
pub mod tcp_sized;
