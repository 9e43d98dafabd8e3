//! Handling a connect message: the function of the table, then the parts that are combined with it.

use std::sync::Arc;

use super::binding::Key;
use super::messages::Target;
use super::{Answer, Context, Dispatch, IoFns, Ocb, Opened, Outcome};
use crate::abi::io::{Connect, ConnectAnswer, Extra, Redirect, Subtype, Symlink};
use crate::abi::{Errno, Result};

impl<M: IoFns> Dispatch<M> {
    /// Handles the connect message in `bytes`, all of it, and answers it.
    pub(super) fn connect(&self, mut context: Context<'_>, bytes: &[u8]) {
        let outcome = Connect::parse(bytes).and_then(|connect| match connect.subtype {
            Subtype::Open | Subtype::Combine => {
                self.connect_file(&mut context, &connect, bytes.len())
            }
            _ => self
                .connect_name(&mut context, &connect, bytes.len())
                .map(|answer| (answer, None)),
        });
        match outcome {
            Ok((answer, None)) => drop(context.finish(Ok(answer))),
            Ok((answer, Some(key))) => {
                if context.finish(Ok(answer)).is_err() {
                    // The client did not wait for the answer: it will not close what it does not know of.
                    self.unbind(&key).ok();
                }
            }
            Err(errno) => drop(context.finish(Err(errno))),
        }
    }

    /// Opens, runs what is combined with the open, and binds.
    fn connect_file(
        &self,
        context: &mut Context<'_>,
        connect: &Connect<'_>,
        message_len: usize,
    ) -> Result<(Answer, Option<Key>)> {
        let ocb = match self.open(context, connect)? {
            Entered::File(ocb) => ocb,
            Entered::Elsewhere(answer) => return Ok((answer, None)),
        };
        match self.combined(context, connect, message_len, &ocb) {
            Ok(answer) => {
                let key = Key::of(context.info());
                self.bind(key, ocb);
                Ok((answer, Some(key)))
            }
            Err(errno) => {
                // The error of the part is what the client gets; that of the close would hide it.
                self.manager.close_ocb(&ocb).ok();
                Err(errno)
            }
        }
    }

    /// Does what leaves nothing open behind it.
    fn connect_name(
        &self,
        context: &mut Context<'_>,
        connect: &Connect<'_>,
        message_len: usize,
    ) -> Outcome {
        if connect.subtype == Subtype::CombineClose {
            return self.connect_and_close(context, connect, message_len);
        }
        if let Some(answer) = self.manager.pass_on(context, connect)? {
            return put_answer(context, answer);
        }
        let manager = &self.manager;
        match connect.subtype {
            Subtype::Open | Subtype::Combine | Subtype::CombineClose => {
                unreachable!("those that open are handled before")
            }
            Subtype::Unlink => manager.unlink(context, connect)?,
            Subtype::Rename => manager.rename(context, connect, connect.other_path()?)?,
            Subtype::Mknod => manager.mknod(context, connect)?,
            Subtype::Link => manager.link(context, connect, connect.other_path()?)?,
            Subtype::Mount => manager.mount(context, connect, connect.data()?)?,
            Subtype::Mkdir => manager.mkdir(context, connect)?,
            Subtype::Rmdir => manager.rmdir(context, connect)?,
            Subtype::Symlink => manager.symlink(context, connect, connect.data()?)?,
            Subtype::Access => manager.access(context, connect)?,
            Subtype::Resolve => {}
            Subtype::ResolveNode => {
                return Ok(Answer::Done(manager.resolve_node(context, connect)?.into()));
            }
            Subtype::Readlink => {
                let text = manager.readlink(context, connect)?;
                context.put(&text)?;
                return Ok(text.len().into());
            }
        }
        Ok(Answer::OK)
    }

    fn connect_and_close(
        &self,
        context: &mut Context<'_>,
        connect: &Connect<'_>,
        message_len: usize,
    ) -> Outcome {
        let ocb = match self.open(context, connect)? {
            Entered::File(ocb) => ocb,
            Entered::Elsewhere(answer) => return Ok(answer),
        };
        let outcome = self.combined(context, connect, message_len, &ocb);
        let closed = self.manager.close_ocb(&ocb);
        outcome.and_then(|answer| closed.map(|()| answer))
    }

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Entered<M::State>> {
        let elsewhere = match self.manager.pass_on(context, connect)? {
            Some(answer) => answer,
            None => match self.manager.open(context, connect)? {
                Opened::File(ocb) => return Ok(Entered::File(Arc::new(ocb))),
                Opened::Redirect(redirect) => ConnectAnswer::Redirect(redirect),
                Opened::Symlink(symlink) => ConnectAnswer::Symlink(symlink),
            },
        };
        put_answer(context, elsewhere).map(Entered::Elsewhere)
    }

    fn combined(
        &self,
        context: &mut Context<'_>,
        connect: &Connect<'_>,
        message_len: usize,
        ocb: &Arc<Ocb<M::State>>,
    ) -> Outcome {
        match connect.extra {
            Extra::Combine(parts) if connect.subtype != Subtype::Open => {
                let start = message_len - parts.len();
                self.run_parts(context, parts, start, message_len, Target::Fresh(ocb))
            }
            Extra::None => Ok(Answer::OK),
            _ => Err(Errno::EBADMSG),
        }
    }
}

/// Where an open led.
enum Entered<S> {
    File(Arc<Ocb<S>>),
    /// To others; the answer that says so has been put.
    Elsewhere(Answer),
}

/// Puts an answer that is not a file; the status tells the client which.
fn put_answer(context: &mut Context<'_>, answer: ConnectAnswer) -> Outcome {
    let (status, bytes) = match answer {
        ConnectAnswer::Done { status } => return Ok(Answer::Done(status)),
        ConnectAnswer::Redirect(redirect) => (Redirect::STATUS, redirect.encode()?),
        ConnectAnswer::Symlink(symlink) => (Symlink::STATUS, symlink.encode()?),
    };
    if bytes.len() > context.room() {
        return Err(Errno::EMSGSIZE);
    }
    context.put(&bytes)?;
    Ok(Answer::Done(status))
}
