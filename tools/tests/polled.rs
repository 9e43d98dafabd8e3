//! Waiting until a device is ready that has to be asked.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::{sync::Arc, thread};

use ipc_core::{
    Channel,
    abi::{
        ChannelFlags, Errno, Result,
        io::{Connect, Io},
        proc::PrefixFlags,
    },
    proc::attach_prefix,
    resmgr::{Answer, Attr, ConnectFns, Context, Dispatch, IoFns, Ocb, Opened, Outcome},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use node::{Node, said};

const PATH: &str = "/dev/asked";

/// A device that may be written to, and signals whoever asks before it says so.
struct Asked(Arc<Attr>);

impl ConnectFns for Asked {
    type State = ();

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<()>> {
        Opened::device(context, connect, &self.0, ())
    }
}

impl IoFns for Asked {
    fn notify(&self, context: &mut Context<'_>, _: &Arc<Ocb<()>>, message: &Io) -> Outcome {
        let Io::Notify { events, .. } = *message else {
            return Err(Errno::ENOSYS);
        };
        let client = Pid::from_raw(context.info().pid.0);
        kill(client, Signal::SIGUSR1).map_err(|errno| Errno(errno as i32))?;
        Ok(Answer::Done(i64::from(events & libc::POLLOUT as u32)))
    }
}

#[test]
fn a_signal_that_comes_while_the_server_is_asked_ends_the_wait() {
    let node = Node::start();
    ipc_core::set_runtime_dir(node.runtime());
    let channel = Channel::create(ChannelFlags::DISCONNECT).unwrap();
    let _registration = attach_prefix(PATH, &channel, PrefixFlags::empty()).unwrap();
    thread::spawn(move || Dispatch::new(Asked(Attr::device(0o666))).run(&channel));
    let program = node.compile(include_str!("polled/program.c"), "polled");
    let output = node.preloaded(program).arg(PATH).output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}
