//! A resource manager of a directory: notes that are written, read, listed, removed, and counted by a device command.
//!
//! Needs a process manager (`procmgr`). With the argument `serve` it goes on serving, and elsewhere
//! `qn ls -l /dev/notes` or `qn run -- sh -c 'echo milk > /dev/notes/shopping'` use it.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example notes
//! shopping: milk, bread
//! todo: nothing
//! words: 3, of them longer than 7: 1
//! without shopping: todo
//! ```

use std::{
    collections::BTreeMap,
    env,
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
};

use ipc_core::{
    Channel,
    abi::{
        ChannelFlags, Errno, Result,
        io::{Access, Connect, DirEntry, FileType, OpenFlags, ReadKind},
        proc::PrefixFlags,
    },
    file::{self, File, describe},
    proc::attach_prefix,
    resmgr::{Attr, ConnectFns, Context, Dispatch, IoFns, Ocb, Opened, Outcome},
};

const PATH: &str = "/dev/notes";

/// Counts the words of a note that are longer than the number that is its argument.
const COUNT_WORDS: u32 = 1;

struct Note {
    attr: Arc<Attr>,
    text: Mutex<Vec<u8>>,
}

struct Notes {
    directory: Arc<Attr>,
    notes: Mutex<BTreeMap<Vec<u8>, Arc<Note>>>,
}

/// What an open file is.
enum Opening {
    Directory,
    Note(Arc<Note>),
}

impl Notes {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<Vec<u8>, Arc<Note>>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, context: &Context<'_>, connect: &Connect<'_>) -> Result<Arc<Note>> {
        let (client, flags) = (context.credentials(), connect.flags);
        let mut notes = self.lock();
        if let Some(note) = notes.get(connect.path) {
            if flags.contains(OpenFlags::CREAT | OpenFlags::EXCL) {
                return Err(Errno::EEXIST);
            }
            note.attr.check_access(client, flags.access())?;
            return Ok(Arc::clone(note));
        }
        if !flags.contains(OpenFlags::CREAT) {
            return Err(Errno::ENOENT);
        }
        self.directory.check_access(client, Access::WRITE)?;
        let attr = Attr::file(connect.mode);
        attr.update(|stat| (stat.uid, stat.gid) = (client.uid, client.gid));
        let text = Mutex::default();
        let note = Arc::new(Note { attr, text });
        notes.insert(connect.path.to_vec(), Arc::clone(&note));
        Ok(note)
    }
}

impl Note {
    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.text.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn change(&self, change: impl FnOnce(&mut Vec<u8>)) {
        let mut text = self.lock();
        change(&mut text);
        self.attr.update(|stat| stat.size = text.len() as u64);
    }
}

impl ConnectFns for Notes {
    type State = Opening;

    fn open(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<Opened<Opening>> {
        let flags = connect.flags;
        // What follows the prefix: nothing or a slash is the prefix itself.
        if matches!(connect.path, b"" | b"/") {
            if flags.writes() {
                return Err(Errno::EISDIR);
            }
            let attr = &self.directory;
            attr.check_access(context.credentials(), flags.access())?;
            let ocb = Ocb::new(context, flags, Arc::clone(attr), Opening::Directory);
            return Ok(Opened::File(ocb));
        }
        if connect.path.contains(&b'/') || flags.contains(OpenFlags::DIRECTORY) {
            return Err(Errno::ENOTDIR);
        }
        let note = self.note(context, connect)?;
        if flags.contains(OpenFlags::TRUNC) && flags.writes() {
            note.change(Vec::clear);
        }
        let attr = Arc::clone(&note.attr);
        let ocb = Ocb::new(context, flags, attr, Opening::Note(note));
        Ok(Opened::File(ocb))
    }

    fn unlink(&self, context: &mut Context<'_>, connect: &Connect<'_>) -> Result<()> {
        self.directory
            .check_access(context.credentials(), Access::WRITE)?;
        // Who has it open goes on with it.
        let removed = self.lock().remove(connect.path);
        removed.map(drop).ok_or(Errno::ENOENT)
    }
}

impl IoFns for Notes {
    fn read(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Opening>>,
        len: usize,
        kind: ReadKind,
    ) -> Outcome {
        let note = match ocb.state() {
            Opening::Note(note) => note,
            Opening::Directory => {
                // Inode numbers count what was made: names that come and go move no other's place.
                let notes = self.lock();
                let mut places: Vec<_> = notes
                    .iter()
                    .map(|(name, note)| (note.attr.stat().ino, name))
                    .collect();
                places.sort_unstable();
                let entries = places.into_iter().map(|(ino, name)| DirEntry {
                    ino,
                    next: ino,
                    file_type: FileType::Regular,
                    name,
                });
                return ocb.list_from(context, entries, len, kind);
            }
        };
        ocb.read_from(context, &note.lock(), len, kind)
    }

    fn write(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Opening>>,
        _kind: ReadKind,
    ) -> Outcome {
        let Opening::Note(note) = ocb.state() else {
            return Err(Errno::EISDIR);
        };
        // To notes one only adds.
        let bytes = context.payload()?;
        note.change(|text| text.extend_from_slice(&bytes));
        Ok(bytes.len().into())
    }

    fn devctl(
        &self,
        context: &mut Context<'_>,
        ocb: &Arc<Ocb<Opening>>,
        command: u32,
        _reply_len: usize,
    ) -> Outcome {
        let (COUNT_WORDS, Opening::Note(note)) = (command, ocb.state()) else {
            return Err(Errno::ENOTTY);
        };
        let argument = context.payload()?.try_into().map_err(|_| Errno::EINVAL)?;
        let min_len = u32::from_le_bytes(argument);
        let text = String::from_utf8_lossy(&note.lock()).into_owned();
        let words = text.split_whitespace();
        let longer = words.clone().filter(|word| word.len() > min_len as usize);
        // Its result counts all words, its bytes the longer ones.
        let longer = longer.count() as u32;
        context.answer_devctl(words.count() as i32, &longer.to_le_bytes())
    }
}

pub(crate) fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(errno) => {
            eprintln!("notes: {}", describe(errno, PATH));
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let channel = Channel::create(ChannelFlags::DISCONNECT)?;
    // With DIR the paths below the prefix come here, too.
    let _registration = attach_prefix(PATH, &channel, PrefixFlags::DIR | PrefixFlags::SELF)?;
    let manager = Notes {
        directory: Attr::directory(0o755),
        notes: Mutex::default(),
    };
    let server = thread::spawn(move || Dispatch::new(manager).threads(2).run(&channel));
    if env::args().nth(1).as_deref() == Some("serve") {
        println!("ready: {PATH}");
        return server.join().map_err(|_| Errno::EIO)?;
    }
    use_it()
}

/// What any client does, in any process and on any node.
fn use_it() -> Result<()> {
    let path = |name: &str| format!("{PATH}/{name}");
    file::write(path("shopping"), b"milk, bread")?;
    file::write(path("todo"), b"nothing")?;
    for name in names()? {
        let text = file::read(path(&name))?;
        println!("{name}: {}", String::from_utf8_lossy(&text));
    }
    let mut more = file::OpenOptions::new();
    let todo = more.write(true).append(true).open(path("todo"))?;
    todo.write(b" really important")?;
    let mut longer = [0; 4];
    let said = File::open(path("todo"))?.devctl(COUNT_WORDS, &7_u32.to_le_bytes(), &mut longer)?;
    let longer = u32::from_le_bytes(longer);
    println!("words: {}, of them longer than 7: {longer}", said.result);
    file::unlink(path("shopping"))?;
    println!("without shopping: {}", names()?.join(" "));
    Ok(())
}

fn names() -> Result<Vec<String>> {
    let entries = file::read_dir(PATH)?;
    entries
        .map(|entry| Ok(entry?.name.to_string_lossy().into_owned()))
        .collect()
}
