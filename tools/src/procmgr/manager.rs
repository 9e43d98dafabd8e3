//! Messages to the registry, and its answers back.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use ipc_core::{
    ReceivedMessage,
    abi::{
        Chid, ClientInfo, Errno, Nd, Pid, Result, Scoid,
        io::{Connect, ConnectAnswer, ReadKind, Redirect, Whence},
        proc::{ProcMessage, Query, RegistrationId, Table, pack_page},
    },
    proc::{
        Pathname,
        registry::{Asker, DIRECTORY_HANDLE, Registry},
    },
    resmgr::{ConnectFns, Context, IoFns, Ocb, Opened, Outcome},
    trace,
};
use tracing::{debug, info, warn};

use super::{
    directory::{self, Directory},
    tables::{Job, Tables},
};

/// Bytes of the longest message that is not a connect or I/O message.
const MESSAGE_LEN_MAX: usize = 8 << 10;

/// The registry, as the tables of a resource manager and as what handles registrations and queries.
pub(super) struct Manager {
    registry: Mutex<Registry>,
    tables: Tables,
}

impl Manager {
    pub(super) fn new(registry: Registry, tables: Tables) -> Manager {
        Manager {
            registry: Mutex::new(registry),
            tables,
        }
    }

    /// Handles a message of the process manager's own types, and answers it.
    pub(super) fn handle(&self, message: ReceivedMessage) {
        let started = trace::start();
        let (len, client, scoid) = (message.len(), message.client(), message.info().scoid);
        let asker = asker(scoid, &client);
        if len > MESSAGE_LEN_MAX {
            return finish(message.error(Errno::EMSGSIZE));
        }
        let Ok(bytes) = message.read_vec(0, len) else {
            return;
        };
        let result = match ProcMessage::parse(&bytes) {
            Ok(ProcMessage::Query(query)) => return self.query(message, query),
            Ok(ProcMessage::Register(register)) => {
                let path = String::from_utf8_lossy(register.path);
                let result = self.lock().register(&asker, &register);
                log_registration(&path, register.chid, &client, result);
                trace_message(
                    started,
                    &client,
                    &format!("register \"{path}\""),
                    len,
                    result,
                );
                result.map(|id| id.to_reply().to_vec())
            }
            Ok(ProcMessage::Unregister(unregister)) => {
                let result = self.lock().unregister(&asker, unregister.id);
                if let Ok(path) = &result {
                    info!("{path}: taken back by pid {}", client.pid);
                }
                result.map(|_| Vec::new())
            }
            Err(errno) => {
                debug!(
                    "a message of pid {} is malformed: {errno:?}, {len} bytes",
                    client.pid
                );
                Err(errno)
            }
        };
        finish(match result {
            Ok(reply) => message.reply(0, &reply),
            Err(errno) => message.error(errno),
        });
    }

    /// A client process is gone, and what it registered with it.
    pub(super) fn forget(&self, scoid: Scoid) {
        for gone in self.lock().forget(scoid) {
            info!("{}: its server is gone", gone.prefix);
        }
    }

    fn query(&self, message: ReceivedMessage, query: Query) {
        let names = self.lock().names();
        if query.table == Table::Names {
            let page = pack_page(&names, query.start, message.reply_len_max());
            return finish(message.reply(0, &page));
        }
        self.tables.gather(Job {
            message,
            query,
            names,
        });
    }

    fn lock(&self) -> MutexGuard<'_, Registry> {
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn resolve(&self, context: &Context<'_>, path: &[u8]) -> Result<Redirect> {
        let path = Pathname::parse(path)?;
        let asker = asker(context.info().scoid, context.client());
        let resolution = self.lock().resolve(&asker, &path);
        resolution.into_redirect(&path)
    }
}

impl ConnectFns for Manager {
    type State = Directory;

    /// Every path but one of the own directories leads elsewhere: to the servers of its prefixes.
    fn pass_on(
        &self,
        context: &mut Context<'_>,
        connect: &Connect<'_>,
    ) -> Result<Option<ConnectAnswer>> {
        if connect.handle == DIRECTORY_HANDLE {
            return Ok(None);
        }
        let started = trace::start();
        let result = self.resolve(context, connect.path);
        let path = String::from_utf8_lossy(connect.path);
        let text = format!("_IO_CONNECT {} \"{path}\"", connect.subtype.name());
        let len = context.info().srcmsglen;
        let count = result
            .as_ref()
            .map(|redirect| redirect.servers.len())
            .map_err(|errno| *errno);
        trace_message(started, context.client(), &text, len, count);
        debug!("pid {}: {text}: {count:?} servers", context.client().pid);
        result.map(|redirect| Some(ConnectAnswer::Redirect(redirect)))
    }

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<Directory>> {
        let path = Pathname::parse(connect.path)?;
        let directory = Directory::of(self.lock().space(), &path)?;
        directory.open(context, connect, &path).map(Opened::File)
    }

    fn mkdir(&self, _: &mut Context<'_>, _: &Connect<'_>) -> Result<()> {
        Err(Errno::EEXIST)
    }

    fn rmdir(&self, _: &mut Context<'_>, _: &Connect<'_>) -> Result<()> {
        Err(Errno::EBUSY)
    }

    fn unlink(&self, _: &mut Context<'_>, _: &Connect<'_>) -> Result<()> {
        Err(Errno::EISDIR)
    }
}

impl IoFns for Manager {
    fn read(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Directory>>,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        directory::read(context, ocb, len, kind)
    }

    fn lseek(
        &self,
        _: &mut Context<'_>,
        ocb: &Arc<Ocb<Directory>>,
        offset: i64,
        whence: Whence,
    ) -> Result<u64> {
        directory::seek(ocb, offset, whence)
    }
}

fn asker(scoid: Scoid, client: &ClientInfo) -> Asker {
    Asker {
        scoid,
        nd: client.nd,
        pid: client.pid,
        credentials: client.credentials,
    }
}

fn log_registration(path: &str, chid: Chid, client: &ClientInfo, result: Result<RegistrationId>) {
    let ClientInfo {
        pid, credentials, ..
    } = client;
    match result {
        Ok(_) => info!(
            "{path}: served by pid {pid} chid {chid} of uid {}",
            credentials.uid
        ),
        Err(errno) => {
            warn!(
                "{path}: refused to pid {pid} of uid {}: {errno}",
                credentials.uid
            );
        }
    }
}

/// A client that has gone meanwhile is nobody's fault.
fn finish(answered: Result<()>) {
    answered.ok();
}

fn trace_message<T: std::fmt::Debug>(
    started: Option<Instant>,
    client: &ClientInfo,
    text: &str,
    len: usize,
    result: Result<T>,
) {
    let Some(started) = started else { return };
    let from = format!("{text} from {}/{}", client.nd, client.pid);
    let outcome = result.map_or_else(|errno| format!("{errno:?}"), |done| format!("ok {done:?}"));
    trace::write(&trace::Event {
        who: "procmgr",
        step: if client.nd.is_local() { "1" } else { "3" },
        nd: Nd::LOCAL,
        pid: Pid::PROCMGR,
        chid: Chid::PROCMGR,
        node: None,
        message: &from,
        sent_len: len,
        reply_len: 0,
        result: &outcome,
        elapsed: started.elapsed(),
    });
}
