//! A resource manager: `/dev/hello` says hello to whoever reads it, from any node.
//!
//! Needs a process manager (`procmgr`). With the argument `serve` it goes on serving, and elsewhere
//! `qn cat /dev/hello` or `qn run -- cat /dev/hello` reads it.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example device
//! /dev/hello says: Hello, world
//! ```

use std::{env, process::ExitCode, sync::Arc, thread};

use ipc_core::{
    Channel,
    abi::{
        ChannelFlags, Errno, Result,
        io::{Connect, ReadKind},
        proc::PrefixFlags,
    },
    file::{self, describe},
    proc::attach_prefix,
    resmgr::{Attr, ConnectFns, Context, Dispatch, IoFns, Ocb, Opened, Outcome},
};

const PATH: &str = "/dev/hello";

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

pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => {
            eprintln!("device: {}", describe(errno, PATH));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let channel = Channel::create(ChannelFlags::DISCONNECT)?;
    // Without SELF a process is not led to itself, as its one thread could not answer.
    let registration = attach_prefix(PATH, &channel, PrefixFlags::SELF)?;
    let server = thread::spawn(move || Dispatch::new(Hello(Attr::device(0o444))).run(&channel));
    if env::args().nth(1).as_deref() == Some("serve") {
        println!("ready: {PATH}");
        return server.join().map_err(|_| Errno::EIO)?;
    }
    // Any client would do, in any process; this one happens to live in the same.
    let text = file::read(PATH)?;
    print!("{PATH} says: {}", String::from_utf8_lossy(&text));
    drop(registration);
    Ok(())
}
