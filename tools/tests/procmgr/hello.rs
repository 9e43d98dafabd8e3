//! A server of the tests: every path below its prefix is a file that holds some text.

use std::sync::Arc;

use ipc_core::{
    Channel,
    abi::{
        ChannelFlags, Result,
        io::{Connect, ReadKind},
        proc::PrefixFlags,
    },
    proc::{Registration, attach_prefix},
    resmgr::{Attr, ConnectFns, Context, Dispatch, IoFns, Ocb, Opened, Outcome},
};

/// What every file holds.
pub(crate) const TEXT: &[u8] = b"Hello from a resource manager\n";

struct Hello(Arc<Attr>);

impl ConnectFns for Hello {
    type State = ();

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<()>> {
        Ok(Opened::File(Ocb::new(
            context,
            connect.flags,
            Arc::clone(&self.0),
            (),
        )))
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
        ocb.read_from(context, TEXT, len, kind)
    }
}

/// Serves a prefix from a thread of this process, until the process ends. The registration says SELF, so
/// that this process finds its own server.
pub(crate) fn serve(prefix: &str, flags: PrefixFlags) -> Result<Registration> {
    let channel: &'static Channel = Box::leak(Box::new(Channel::create(ChannelFlags::DISCONNECT)?));
    let registration = attach_prefix(prefix, channel, flags | PrefixFlags::SELF)?;
    std::thread::spawn(move || Dispatch::new(Hello(Attr::device(0o444))).run(channel));
    Ok(registration)
}

#[test]
#[ignore = "run by a_dead_servers_prefixes_vanish and others"]
fn hello_server() {
    let _device = serve("/srv", PrefixFlags::DIR).unwrap();
    println!("@ready");
    loop {
        std::thread::park();
    }
}
