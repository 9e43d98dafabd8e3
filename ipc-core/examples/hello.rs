//! A device: `/dev/hello` says hello to whoever reads it.
//!
//! With a process manager running: `cargo run --example hello`, and elsewhere `qn cat /dev/hello`.

use std::sync::Arc;

use ipc_core::{
    Channel,
    abi::{
        ChannelFlags, Result,
        io::{Connect, ReadKind},
        proc::PrefixFlags,
    },
    proc::attach_prefix,
    resmgr::{Attr, ConnectFns, Context, Dispatch, IoFns, Ocb, Opened, Outcome},
};

struct Hello(Arc<Attr>);

impl ConnectFns for Hello {
    type State = ();

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<()>> {
        Opened::device(context, connect, &self.0, ())
    }
}

impl IoFns for Hello {
    fn read(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<()>>,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        ocb.read_from(context, b"Hello, world\n", len, kind)
    }
}

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::DISCONNECT)?;
    let _registration = attach_prefix("/dev/hello", &channel, PrefixFlags::empty())?;
    println!("ready: /dev/hello");
    Dispatch::new(Hello(Attr::device(0o444))).run(&channel)
}
