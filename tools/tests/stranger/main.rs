//! A node written from `qnet/docs/protocol.md` and nothing else, beside a real qnet: what the document says is
//! enough to be found, to call servers and to serve, also where frames are lost and doubled.
//!
//! Nothing here uses the project's own code for what is on the wire; the bytes of messages to process managers
//! are the library's, as no part of Qnet. Whatever the real qnet sends must be as the document says: a frame
//! that is not ends the test.
//!
//! - `bytes`, `frame`, `seal`, `record`, `hello` formats
//! - `handshake`, `session`, `path`, `client`, `server` what they mean
//! - `node`, `port` a node that does it, on packet sockets
//! - `clerk` the real side
//! - `talk` what the tests do as the stranger; `calling`, `losing`, `living`, `serving`, `wires` the tests

mod alike;
mod bytes;
mod calling;
mod clerk;
mod client;
mod connect;
mod frame;
mod handshake;
mod hello;
mod living;
mod losing;
mod node;
mod path;
mod port;
mod record;
mod runs;
mod seal;
mod server;
mod serving;
mod session;
#[path = "../support/mod.rs"]
mod support;
mod talk;
mod wires;
