use proptest::prelude::*;

use super::*;

fn path(text: &str) -> Pathname {
    Pathname::parse(text.as_bytes()).unwrap()
}

fn server(id: u64, flags: PrefixFlags) -> Server {
    Server {
        id: RegistrationId(id),
        pid: Pid(100 + id as i32),
        chid: Chid(1),
        handle: id,
        flags,
        uid: 0,
    }
}

fn space(entries: &[(&str, u64, PrefixFlags)]) -> Space {
    let mut space = Space::default();
    for &(prefix, id, flags) in entries {
        space.insert(&path(prefix), server(id, flags)).unwrap();
    }
    space
}

fn ids(space: &Space, text: &str) -> Vec<u64> {
    space
        .resolve(&path(text), None)
        .iter()
        .map(|found| found.server.id.0)
        .collect()
}

const DIR: PrefixFlags = PrefixFlags::DIR;
const NONE: PrefixFlags = PrefixFlags::empty();

// covers: PTH-1
#[test]
fn the_longest_prefix_comes_first() {
    let space = space(&[("/", 1, DIR), ("/dev", 2, DIR), ("/dev/ser1", 3, NONE)]);
    assert_eq!(ids(&space, "/dev/ser1"), [3, 2, 1]);
    let lengths: Vec<_> = space
        .resolve(&path("/dev/ser1"), None)
        .iter()
        .map(|found| found.prefix_len)
        .collect();
    assert_eq!(lengths, [9, 4, 1]);
}

// covers: PTH-2
#[test]
fn prefixes_match_whole_components_only() {
    let space = space(&[("/dev/se", 1, DIR)]);
    assert_eq!(ids(&space, "/dev/ser1"), [0; 0]);
    assert_eq!(ids(&space, "/dev/se/x"), [1]);
}

// covers: PTH-2
#[test]
fn one_prefix_lists_before_then_newest_then_after() {
    let space = space(&[
        ("/x", 1, DIR),
        ("/x", 2, DIR | PrefixFlags::AFTER),
        ("/x", 3, DIR | PrefixFlags::BEFORE),
        ("/x", 4, DIR),
        ("/x", 5, DIR | PrefixFlags::AFTER),
        ("/x", 6, DIR | PrefixFlags::BEFORE),
    ]);
    assert_eq!(ids(&space, "/x/y"), [6, 3, 4, 1, 2, 5]);
}

// covers: PTH-2
#[test]
fn opaque_hides_the_shorter_prefixes_only() {
    let space = space(&[
        ("/", 1, DIR),
        ("/x", 2, DIR | PrefixFlags::OPAQUE),
        ("/x", 3, DIR),
    ]);
    assert_eq!(ids(&space, "/x/y"), [3, 2]);
    assert_eq!(ids(&space, "/z"), [1]);
}

#[test]
fn an_opaque_server_that_does_not_match_hides_nothing() {
    let space = space(&[("/", 1, DIR), ("/x", 2, PrefixFlags::OPAQUE)]);
    assert_eq!(ids(&space, "/x/y"), [1]);
    assert_eq!(ids(&space, "/x"), [2]);
}

// covers: PTH-2
#[test]
fn without_dir_only_the_exact_path_matches() {
    let space = space(&[("/dev/ser1", 1, NONE)]);
    assert_eq!(ids(&space, "/dev/ser1"), [1]);
    assert_eq!(ids(&space, "/dev/ser1/x"), [0; 0]);
    assert_eq!(ids(&space, "/dev/ser1/"), [0; 0]);
}

// covers: PTH-2
#[test]
fn a_server_does_not_resolve_to_itself_unless_it_says_so() {
    let space = space(&[
        ("/", 1, DIR),
        ("/x", 2, DIR | PrefixFlags::OPAQUE),
        ("/x", 3, DIR | PrefixFlags::SELF),
    ]);
    let seen = |pid| {
        space
            .resolve(&path("/x/y"), pid)
            .iter()
            .map(|found| found.server.id.0)
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(Some(Pid(102))), [3, 1]);
    assert_eq!(seen(Some(Pid(103))), [3, 2]);
    assert_eq!(seen(None), [3, 2]);
}

#[test]
fn before_and_after_exclude_each_other() {
    let both = PrefixFlags::BEFORE | PrefixFlags::AFTER;
    assert_eq!(
        Space::default().insert(&path("/x"), server(1, both)),
        Err(Errno::EINVAL)
    );
}

#[test]
fn a_prefix_has_room_for_so_many_servers() {
    let mut space = Space::default();
    for id in 0..SERVERS_PER_PREFIX_MAX as u64 {
        space.insert(&path("/x"), server(id, DIR)).unwrap();
    }
    assert_eq!(
        space.insert(&path("/x"), server(99, DIR)),
        Err(Errno::ENOSPC)
    );
    assert_eq!(space.insert(&path("/y"), server(99, DIR)), Ok(()));
}

#[test]
fn what_lies_below_makes_directories() {
    let mut space = space(&[
        ("/dev/ser1", 1, NONE),
        ("/dev/ser1-x", 2, NONE),
        ("/dev/ser1/raw", 3, NONE),
        ("/net", 4, DIR),
    ]);
    let names = |space: &Space, text: &str| {
        let names = space.children(&path(text));
        names
            .into_iter()
            .map(|name| String::from_utf8(name.to_vec()).unwrap())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&space, "/"), ["dev", "net"]);
    assert_eq!(names(&space, "/dev"), ["name", "ser1", "ser1-x"]);
    assert_eq!(names(&space, "/dev/name"), ["global", "local"]);
    assert!(space.has_directory(&path("/dev/name/local")) && space.has_directory(&path("/")));
    assert!(!space.has_directory(&path("/net")) && !space.has_directory(&path("/de")));
    assert!(space.remove(&path("/dev/ser1"), RegistrationId(1)));
    assert!(!space.remove(&path("/dev/ser1"), RegistrationId(1)));
    assert_eq!(names(&space, "/dev/ser1"), ["raw"]);
}

#[test]
fn the_directories_of_names_outlive_their_servers() {
    let mut space = space(&[("/dev/name/local", 1, DIR)]);
    assert!(space.remove(&path("/dev/name/local"), RegistrationId(1)));
    assert!(space.has_directory(&path("/dev/name/local")));
    assert_eq!(space.iter().count(), 0);
}

/// What is registered, in the order in which it was; no index, no order kept.
#[derive(Default)]
struct Oracle(Vec<(Pathname, Server)>);

impl Oracle {
    fn resolve(&self, path: &Pathname, asker: Option<Pid>) -> Vec<u64> {
        let wanted: Vec<_> = path.components().collect();
        let fits = |(prefix, server): &(Pathname, Server)| {
            let own: Vec<_> = prefix.components().collect();
            let same = own == wanted && (path.is_root() || !path.must_be_dir());
            let below = wanted.starts_with(&own) && server.flags.contains(DIR);
            let to_itself = Some(server.pid) == asker && !server.flags.contains(PrefixFlags::SELF);
            (same || below) && !to_itself
        };
        let mut found: Vec<_> = self
            .0
            .iter()
            .enumerate()
            .filter(|(_, entry)| fits(entry))
            .collect();
        found.sort_by_key(|(age, (prefix, server))| {
            let after = server.flags.contains(PrefixFlags::AFTER);
            let place = if after { *age as i64 } else { -(*age as i64) };
            let class = if after {
                2
            } else {
                i64::from(!server.flags.contains(PrefixFlags::BEFORE))
            };
            (std::cmp::Reverse(prefix.components().count()), class, place)
        });
        let opaque = found
            .iter()
            .find(|(_, (_, server))| server.flags.contains(PrefixFlags::OPAQUE));
        let depth_min = opaque.map_or(0, |(_, (prefix, _))| prefix.components().count());
        found.retain(|(_, (prefix, _))| prefix.components().count() >= depth_min);
        found.iter().map(|(_, (_, server))| server.id.0).collect()
    }
}

#[derive(Clone, Debug)]
enum Op {
    Insert(String, PrefixFlags, i32),
    Remove(usize),
    Resolve(String, Option<i32>),
}

fn any_path() -> impl Strategy<Value = String> {
    "(/[ab]{1,2}){0,3}/?".prop_map(|text| {
        if text.is_empty() {
            "/".to_owned()
        } else {
            text
        }
    })
}

fn any_op() -> impl Strategy<Value = Op> {
    let flags = any::<u32>().prop_map(|bits| {
        let flags = PrefixFlags::from_bits_truncate(bits);
        if flags.contains(PrefixFlags::BEFORE) {
            flags - PrefixFlags::AFTER
        } else {
            flags
        }
    });
    prop_oneof![
        3 => (any_path(), flags, 0..4).prop_map(|(path, flags, pid)| Op::Insert(path, flags, pid)),
        1 => (0usize..20).prop_map(Op::Remove),
        4 => (any_path(), proptest::option::of(0..4)).prop_map(|(path, asker)| Op::Resolve(path, asker)),
    ]
}

proptest! {
    // covers: PTH-1 PTH-2
    #[test]
    fn the_space_answers_as_a_naive_list_does(ops in proptest::collection::vec(any_op(), 1..if cfg!(miri) { 8 } else { 60 })) {
        let (mut space, mut oracle) = (Space::default(), Oracle::default());
        for (id, op) in ops.into_iter().enumerate() {
            match op {
                Op::Insert(text, flags, pid) => {
                    let server = Server { pid: Pid(pid), ..server(id as u64, flags) };
                    if space.insert(&path(&text), server).is_ok() {
                        oracle.0.push((path(&text), server));
                    }
                }
                Op::Remove(index) if index < oracle.0.len() => {
                    let (prefix, server) = oracle.0.remove(index);
                    prop_assert!(space.remove(&prefix, server.id));
                }
                Op::Remove(_) => {}
                Op::Resolve(text, asker) => {
                    let asker = asker.map(Pid);
                    let found = space.resolve(&path(&text), asker);
                    let ids: Vec<_> = found.iter().map(|found| found.server.id.0).collect();
                    prop_assert_eq!(ids, oracle.resolve(&path(&text), asker));
                }
            }
        }
    }
}
