use proptest::prelude::*;

use super::*;
use crate::abi::Chid;

const OWNER: u32 = 500;

fn asker(scoid: i32, uid: u32) -> Asker {
    let credentials = Credentials { uid, gid: 100 };
    Asker {
        scoid: Scoid(scoid),
        nd: Nd::LOCAL,
        pid: Pid(1000 + scoid),
        credentials,
    }
}

fn register(path: &str, flags: PrefixFlags) -> Register<'_> {
    Register {
        flags,
        handle: 0,
        chid: Chid(1),
        path: path.as_bytes(),
    }
}

fn registry() -> Registry {
    Registry::new(Rules::new(OWNER, Vec::new()))
}

fn paths(registry: &Registry) -> Vec<String> {
    registry
        .names()
        .into_iter()
        .map(|entry| String::from_utf8(entry.path).unwrap())
        .collect()
}

const DIR: PrefixFlags = PrefixFlags::DIR;
const NAME: PrefixFlags = PrefixFlags::NAME;

// covers: PTH-5
#[test]
fn a_dead_process_loses_its_prefixes_and_no_other() {
    let mut registry = registry();
    for (scoid, path) in [(1, "/a"), (2, "/a"), (1, "/b"), (2, "/c")] {
        registry
            .register(&asker(scoid, OWNER), &register(path, DIR))
            .unwrap();
    }
    let removed: Vec<_> = registry
        .forget(Scoid(1))
        .into_iter()
        .map(|gone| gone.prefix.to_string())
        .collect();
    assert_eq!(removed, ["/a", "/b"]);
    assert_eq!(paths(&registry), ["/a", "/c"]);
    assert_eq!(registry.forget(Scoid(1)), []);
}

// covers: PTH-5
#[test]
fn registering_elsewhere_than_among_names_is_a_privilege() {
    let mut registry = registry();
    assert_eq!(
        registry.register(&asker(1, 1000), &register("/net", DIR)),
        Err(Errno::EPERM)
    );
    assert!(
        registry
            .register(&asker(1, 1000), &register("/dev/name/local/x", NAME))
            .is_ok()
    );
    let remote = Asker {
        nd: Nd(3),
        ..asker(1, 0)
    };
    assert_eq!(
        registry.register(&remote, &register("/x", DIR)),
        Err(Errno::EPERM)
    );
}

// covers: PTH-6
#[test]
fn a_name_is_taken_once() {
    let mut registry = registry();
    let name = register("/dev/name/local/x", NAME);
    let id = registry.register(&asker(1, 1000), &name).unwrap();
    for flags in [NAME, DIR, PrefixFlags::BEFORE] {
        let again = register("/dev/name//local/x", flags);
        assert_eq!(
            registry.register(&asker(2, OWNER), &again),
            Err(Errno::EEXIST)
        );
    }
    registry.unregister(&asker(1, 1000), id).unwrap();
    assert!(registry.register(&asker(2, 1001), &name).is_ok());
}

#[test]
fn a_name_elsewhere_is_invalid() {
    let mut registry = registry();
    for path in ["/x", "/dev/name/local", "/dev/name/other/x"] {
        assert_eq!(
            registry.register(&asker(1, OWNER), &register(path, NAME)),
            Err(Errno::EINVAL),
            "{path}"
        );
    }
}

#[test]
fn nobody_takes_a_part_of_what_another_user_serves_among_the_names() {
    let mut registry = registry();
    registry
        .register(&asker(1, 1000), &register("/dev/name/local/x", DIR))
        .unwrap();
    let part = register("/dev/name/local/x/a/b", NAME);
    assert_eq!(registry.register(&asker(2, 1001), &part), Err(Errno::EPERM));
    assert!(registry.register(&asker(3, 1000), &part).is_ok());
}

#[test]
fn only_the_owner_of_a_registration_takes_it_back_and_only_once() {
    let mut registry = registry();
    let id = registry
        .register(&asker(1, OWNER), &register("/a", DIR))
        .unwrap();
    assert_eq!(
        registry.unregister(&asker(2, OWNER), id),
        Err(Errno::ENOENT)
    );
    assert_eq!(
        registry
            .unregister(&asker(1, OWNER), id)
            .unwrap()
            .to_string(),
        "/a"
    );
    assert_eq!(
        registry.unregister(&asker(1, OWNER), id),
        Err(Errno::ENOENT)
    );
}

#[test]
#[cfg_attr(miri, ignore = "thousands of registrations")]
fn one_process_does_not_fill_the_registry() {
    let mut registry = registry();
    let name = |i: usize| format!("/dev/name/local/{i}");
    for i in 0..REGISTRATIONS_PER_PROCESS_MAX {
        registry
            .register(&asker(1, 1000), &register(&name(i), NAME))
            .unwrap();
    }
    assert_eq!(
        registry.register(&asker(1, 1000), &register("/dev/name/local/y", NAME)),
        Err(Errno::EAGAIN)
    );
    assert!(
        registry
            .register(&asker(2, 1000), &register("/dev/name/local/y", NAME))
            .is_ok()
    );
}

#[test]
#[cfg_attr(miri, ignore = "thousands of registrations")]
fn one_user_does_not_fill_the_registry_with_many_processes() {
    let mut registry = registry();
    let each = REGISTRATIONS_PER_PROCESS_MAX / 2;
    let last = (REGISTRATIONS_PER_USER_MAX / each) as i32;
    let mut ids = Vec::new();
    for scoid in 1..=last {
        for i in 0..each {
            let name = format!("/dev/name/local/{scoid}-{i}");
            let id = registry.register(&asker(scoid, 1000), &register(&name, NAME));
            ids.push(id.unwrap());
        }
    }
    let more = register("/dev/name/local/more", NAME);
    let new = asker(last + 1, 1000);
    assert_eq!(registry.register(&new, &more), Err(Errno::EDQUOT));
    let other = registry.register(&asker(last + 2, 1001), &more).unwrap();
    registry.unregister(&asker(last + 2, 1001), other).unwrap();

    // What is taken back, or was a dead process's, is to be had again.
    registry.unregister(&asker(1, 1000), ids[0]).unwrap();
    registry.register(&new, &more).unwrap();
    let again = register("/dev/name/local/again", NAME);
    assert_eq!(registry.register(&new, &again), Err(Errno::EDQUOT));
    assert_eq!(registry.forget(Scoid(2)).len(), each);
    for i in 0..each {
        let name = format!("/dev/name/local/again-{i}");
        registry.register(&new, &register(&name, NAME)).unwrap();
    }
    assert_eq!(registry.register(&new, &again), Err(Errno::EDQUOT));
}

#[test]
#[cfg_attr(miri, ignore = "thousands of registrations")]
fn the_owner_of_the_node_is_not_kept_from_it_by_what_he_has() {
    let mut registry = registry();
    for i in 0..=REGISTRATIONS_PER_USER_MAX {
        let scoid = 1 + (i / REGISTRATIONS_PER_PROCESS_MAX) as i32;
        let path = format!("/{i}");
        registry
            .register(&asker(scoid, OWNER), &register(&path, DIR))
            .unwrap();
    }
}

#[test]
fn the_process_manager_lists_what_it_knows_unless_that_is_hidden() {
    let mut registry = registry();
    let root = Pathname::ROOT;
    assert_eq!(
        registry.resolve(&asker(9, 0), &root),
        Resolution {
            matches: Vec::new(),
            is_directory: true
        }
    );
    registry
        .register(&asker(1, OWNER), &register("/", DIR))
        .unwrap();
    let both = registry.resolve(&asker(9, 0), &root);
    assert_eq!((both.matches.len(), both.is_directory), (1, true));
    registry
        .register(&asker(2, OWNER), &register("/", DIR | PrefixFlags::OPAQUE))
        .unwrap();
    assert!(!registry.resolve(&asker(9, 0), &root).is_directory);
}

#[test]
fn a_redirect_lists_the_servers_and_then_the_process_manager() {
    let mut registry = registry();
    registry
        .register(&asker(1, OWNER), &register("/dev/ser1", DIR))
        .unwrap();
    registry
        .register(&asker(2, OWNER), &register("/", DIR))
        .unwrap();
    let listed = |text: &str| {
        let path = Pathname::parse(text.as_bytes()).unwrap();
        let redirect = registry
            .resolve(&asker(9, 0), &path)
            .into_redirect(&path)
            .unwrap();
        let rest = |server| String::from_utf8(redirect.rest(server).to_vec()).unwrap();
        redirect
            .servers
            .iter()
            .map(|server| (server.pid.0, server.handle, rest(server)))
            .collect::<Vec<_>>()
    };
    let text = |text: &str| text.to_owned();
    assert_eq!(
        listed("/dev/ser1/raw/"),
        [(1001, 0, text("raw/")), (1002, 0, text("dev/ser1/raw/"))]
    );
    assert_eq!(
        listed("/dev"),
        [(1002, 0, text("dev")), (1, DIRECTORY_HANDLE, text("/dev"))]
    );
    assert_eq!(
        listed("/"),
        [(1002, 0, text("")), (1, DIRECTORY_HANDLE, text("/"))]
    );
}

#[test]
fn a_path_that_nobody_has_is_absent() {
    let path = Pathname::parse(b"/x").unwrap();
    let resolution = registry().resolve(&asker(9, 0), &path);
    assert_eq!(resolution.into_redirect(&path), Err(Errno::ENOENT));
}

#[derive(Clone, Debug)]
enum Op {
    Register(i32, String, u32),
    Unregister(i32, u64),
    Forget(i32),
}

fn any_op() -> impl Strategy<Value = Op> {
    let path = prop_oneof!["(/[ab]){0,2}", "/dev/name/local(/[ab]){0,2}"];
    prop_oneof![
        4 => (1..4, path, any::<u32>()).prop_map(|(scoid, path, flags)| Op::Register(scoid, path, flags)),
        2 => (1..4, 1u64..30).prop_map(|(scoid, id)| Op::Unregister(scoid, id)),
        1 => (1..4).prop_map(Op::Forget),
    ]
}

proptest! {
    #[test]
    fn the_space_holds_what_living_processes_own_and_nothing_else(ops in proptest::collection::vec(any_op(), 1..if cfg!(miri) { 8 } else { 60 })) {
        let mut registry = registry();
        let mut owned: Vec<(i32, RegistrationId)> = Vec::new();
        for op in ops {
            match op {
                Op::Register(scoid, path, flags) => {
                    // Process 3 is of a user without privilege.
                    let who = asker(scoid, if scoid == 3 { 1000 } else { OWNER });
                    let flags = PrefixFlags::from_bits_truncate(flags);
                    if let Ok(id) = registry.register(&who, &register(&path, flags)) {
                        prop_assert!(scoid != 3 || path.starts_with("/dev/name/local/"));
                        owned.push((scoid, id));
                    }
                }
                Op::Unregister(scoid, id) => {
                    let before = owned.len();
                    owned.retain(|&entry| entry != (scoid, RegistrationId(id)));
                    let removed = registry.unregister(&asker(scoid, OWNER), RegistrationId(id)).is_ok();
                    prop_assert_eq!(removed, owned.len() != before);
                }
                Op::Forget(scoid) => {
                    let expected = owned.iter().filter(|&&(owner, _)| owner == scoid).count();
                    prop_assert_eq!(registry.forget(Scoid(scoid)).len(), expected);
                    owned.retain(|&(owner, _)| owner != scoid);
                }
            }
            let mut listed: Vec<_> = registry.names().iter().map(|entry| (entry.pid.0 - 1000, entry.id)).collect();
            listed.sort();
            let mut wanted = owned.clone();
            wanted.sort();
            prop_assert_eq!(listed, wanted);
        }
    }
}
