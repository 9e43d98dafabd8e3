//! The trace of a walk: each message and what came of it.

use std::time::Instant;

use crate::{
    abi::{
        Result,
        io::{ConnectAnswer, Redirect, RedirectServer, Subtype},
    },
    proc::client::{
        arrive::Asked,
        walk::{Hop, Step},
    },
    trace,
};

/// Writes the event of a connect message that was sent to `hop`.
pub(super) fn connect(
    hop: &Hop,
    subtype: Subtype,
    sent_len: usize,
    started: Instant,
    asked: &Result<Asked>,
) {
    let result = match asked {
        Ok((_, ConnectAnswer::Done { .. }, _)) => "ok".to_owned(),
        Ok((_, ConnectAnswer::Redirect(redirect), _)) => shown_redirect(redirect),
        Ok((_, ConnectAnswer::Symlink(link), _)) => {
            format!("symlink \"{}\"", String::from_utf8_lossy(&link.target))
        }
        Err(errno) => format!("{errno:?}"),
    };
    trace::write(&trace::Event {
        who: "client",
        step: hop.step.name(),
        nd: hop.nd,
        pid: hop.pid,
        chid: hop.chid,
        node: hop.node.as_deref(),
        message: &format!(
            "_IO_CONNECT {} \"{}\"",
            subtype.name(),
            String::from_utf8_lossy(&hop.path)
        ),
        sent_len,
        reply_len: asked.as_ref().map_or(0, |(_, _, bytes)| bytes.len()),
        result: &result,
        elapsed: started.elapsed(),
    });
}

fn shown_redirect(redirect: &Redirect) -> String {
    let shown = |server: &RedirectServer| {
        let rest = String::from_utf8_lossy(redirect.rest(server));
        format!("{}/{}/{} \"{rest}\"", server.nd, server.pid, server.chid)
    };
    format!(
        "redirect {}",
        redirect
            .servers
            .iter()
            .map(shown)
            .collect::<Vec<_>>()
            .join(", ")
    )
}

impl Step {
    /// The number that traces show.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Step::Procmgr => "1",
            Step::Net => "2",
            Step::RemoteProcmgr => "3",
            Step::Server => "4",
        }
    }
}
