//! A directory whose names come and go while it is read, and device commands.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread,
};

use ipc_core::{
    Channel,
    abi::{
        ChannelFlags, Errno, Result,
        io::{
            Connect, DIR_ENTRY_LEN_MAX, DevctlAnswer, DirEntries, DirEntry, FileType, Io,
            OpenFlags, ReadKind,
        },
    },
    resmgr::{Answer, Attr, ConnectFns, Context, Dispatch, IoFns, Ocb, Opened, Outcome},
};

use crate::example::{Client, read};

/// Answers with its argument, later from another thread.
const ECHO_LATER: u32 = 2;
/// Answers with its argument.
const ECHO: u32 = 1;

/// Names by the number that each got when it was made.
#[derive(Default)]
struct Names(Mutex<BTreeMap<u64, String>>);

impl ConnectFns for Names {
    type State = ();

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<()>> {
        let attr = Attr::directory(0o777);
        Ok(Opened::File(Ocb::new(context, connect.flags, attr, ())))
    }
}

impl IoFns for Names {
    fn read(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<()>>,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        let names = self.0.lock().unwrap();
        let entries = names.iter().map(|(&number, name)| DirEntry {
            ino: number,
            next: number,
            file_type: FileType::Regular,
            name: name.as_bytes(),
        });
        ocb.list_from(context, entries, len, kind)
    }

    fn devctl(
        &self,
        context: &mut Context<'_>,
        _ocb: &Arc<Ocb<()>>,
        command: u32,
        _reply_len: usize,
    ) -> Outcome {
        let argument = context.payload()?;
        if command == ECHO {
            return context.answer_devctl(-5, &argument);
        }
        assert_eq!(command, ECHO_LATER);
        let deferred = context.defer()?;
        thread::spawn(move || deferred.reply_devctl(6, &argument));
        Ok(Answer::Later)
    }
}

/// Runs `test` against a directory of `count` names.
fn with_names(count: u64, test: impl FnOnce(&Names, &Client)) {
    let channel = Channel::create(ChannelFlags::DISCONNECT).unwrap();
    let dispatch = Dispatch::new(Names::default());
    let mut names = dispatch.manager().0.lock().unwrap();
    names.extend((1..=count).map(|number| (number, format!("name {number}"))));
    drop(names);
    thread::scope(|scope| {
        let serving = scope.spawn(|| dispatch.run(&channel));
        let client = Client::open(&channel, "", OpenFlags::empty());
        let tested = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            test(dispatch.manager(), &client);
        }));
        dispatch.stop(&channel).unwrap();
        serving.join().unwrap().unwrap();
        if let Err(panic) = tested {
            std::panic::resume_unwind(panic);
        }
    });
}

/// The numbers of the entries that a read brings.
fn numbers(client: &Client, message: Io) -> Result<Vec<u64>> {
    let (status, bytes) = client.io(message)?;
    assert_eq!(status as usize, bytes.len());
    DirEntries::new(&bytes)
        .map(|entry| Ok(entry?.ino))
        .collect()
}

// covers: RMG-1
#[test]
fn names_that_come_and_go_while_a_directory_is_read_hide_and_double_no_other() {
    with_names(100, |names, client| {
        let mut seen = Vec::new();
        loop {
            let found = numbers(client, read(3 * DIR_ENTRY_LEN_MAX as u32)).unwrap();
            if found.is_empty() {
                break;
            }
            let mut names = names.0.lock().unwrap();
            // What was listed goes, and new ones come until there were enough.
            names.retain(|number, _| !found.contains(number));
            let next = names.keys().last().map_or(200, |last| last + 1);
            if next < 150 {
                names.insert(next, "new".to_owned());
            }
            seen.extend(found);
        }
        let made = seen.len() as u64;
        assert!(made > 100, "new ones are listed, too");
        assert!(seen.iter().copied().eq(1..=made), "{seen:?}");
    });
}

// covers: RMG-1
#[test]
fn a_directory_is_listed_in_pieces_of_any_size() {
    with_names(9, |_, client| {
        for len in [40, 64, 4096] {
            let mut listed = Vec::new();
            loop {
                let kind = ReadKind::At(listed.last().copied().unwrap_or(0));
                let found = numbers(client, Io::Read { len, kind }).unwrap();
                if found.is_empty() {
                    break;
                }
                listed.extend(found);
            }
            assert!(listed.iter().copied().eq(1..=9), "{len}: {listed:?}");
        }
    });
}

// covers: RMG-1
#[test]
fn a_directory_is_read_from_any_entry_on_and_by_whole_entries() {
    with_names(9, |_, client| {
        let at = |offset, len| {
            let kind = ReadKind::At(offset);
            numbers(client, Io::Read { len, kind })
        };
        assert_eq!(at(6, 4096), Ok(vec![7, 8, 9]));
        assert_eq!(at(9, 4096), Ok(vec![]));
        assert_eq!(at(u64::MAX, 4096), Ok(vec![]));
        assert_eq!(at(0, 8), Err(Errno::EINVAL), "no room for one");
        assert_eq!(at(9, 8), Ok(vec![]), "nothing that needs room");
        // The offset of the OCB has not moved.
        assert_eq!(numbers(client, read(4096)), Ok((1..=9).collect()));
        assert_eq!(numbers(client, read(4096)), Ok(vec![]));
    });
}

// covers: RMG-1, RMG-4
#[test]
fn a_device_command_gets_a_result_and_what_the_client_takes_of_the_answer() {
    with_names(0, |_, client| {
        let send = |command, argument: &[u8], reply_len: u32| -> Result<_> {
            let len = argument.len() as u32;
            let message = Io::Devctl {
                command,
                len,
                reply_len,
            };
            let bytes = [&message.encode(), argument].concat();
            let (status, reply) = client.send(&bytes, DevctlAnswer::LEN + reply_len as usize)?;
            assert_eq!(status, 0);
            let (answer, data) = DevctlAnswer::parse(&reply)?;
            Ok((answer.result, data.to_vec()))
        };
        assert_eq!(send(ECHO, b"whole", 100), Ok((-5, b"whole".to_vec())));
        assert_eq!(send(ECHO, b"cut off", 3), Ok((-5, b"cut".to_vec())));
        assert_eq!(send(ECHO, b"", 0), Ok((-5, vec![])));
        let long = vec![7; 100_000];
        assert_eq!(send(ECHO, &long, 100_000), Ok((-5, long.clone())));
        assert_eq!(send(ECHO_LATER, &long, 99_999), Ok((6, long[1..].to_vec())));
        assert_eq!(send(ECHO_LATER, b"x", 0), Ok((6, vec![])));
    });
}
