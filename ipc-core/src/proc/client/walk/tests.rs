use super::*;

fn path(text: &str) -> Pathname {
    Pathname::parse(text.as_bytes()).unwrap()
}

fn server(nd: u32, pid: i32, prefix_len: usize) -> RedirectServer {
    RedirectServer {
        nd: Nd(nd),
        pid: Pid(pid),
        chid: Chid(1),
        handle: 0,
        flags: PrefixFlags::DIR.bits(),
        prefix_len,
        node_name: None,
    }
}

fn named(nd: u32, pid: i32, prefix_len: usize, name: &str) -> RedirectServer {
    RedirectServer {
        node_name: Some(name.to_owned()),
        ..server(nd, pid, prefix_len)
    }
}

fn redirect(path: &str, servers: &[RedirectServer]) -> Redirect {
    Redirect {
        servers: servers.to_vec(),
        path: path.as_bytes().to_vec(),
    }
}

fn ask(walk: &mut Walk) -> Hop {
    match walk.poll() {
        Ok(Next::Ask(hop)) => hop,
        other => panic!("a server to ask, not {other:?}"),
    }
}

fn text(hop: &Hop) -> (Step, u32, i32, &str) {
    (
        hop.step,
        hop.nd.0,
        hop.pid.0,
        std::str::from_utf8(&hop.path).unwrap(),
    )
}

// covers: PTH-1 PTH-3
#[test]
fn the_walk_of_the_figure_has_its_four_steps() {
    let mut walk = Walk::new(path("/net/wintermute/home/rk/filename"));
    let first = ask(&mut walk);
    assert_eq!(
        text(&first),
        (Step::Procmgr, 0, 1, "/net/wintermute/home/rk/filename")
    );
    walk.handle_redirect(
        &first,
        &redirect("/net/wintermute/home/rk/filename", &[server(0, 77, 4)]),
    )
    .unwrap();

    let second = ask(&mut walk);
    assert_eq!(
        text(&second),
        (Step::Net, 0, 77, "wintermute/home/rk/filename")
    );
    walk.handle_redirect(
        &second,
        &redirect("/home/rk/filename", &[named(3, 1, 0, "wintermute")]),
    )
    .unwrap();

    let third = ask(&mut walk);
    assert_eq!(
        text(&third),
        (Step::RemoteProcmgr, 3, 1, "/home/rk/filename")
    );
    assert!(first.is_resolver() && second.is_resolver() && third.is_resolver());
    walk.handle_redirect(&third, &redirect("/home/rk/filename", &[server(0, 812, 5)]))
        .unwrap();

    let fourth = ask(&mut walk);
    assert_eq!(text(&fourth), (Step::Server, 3, 812, "rk/filename"));
    assert_eq!(fourth.node.as_deref(), Some("wintermute"));
    assert!(!fourth.is_resolver());
    assert_eq!(walk.redirects(), 3);
}

// covers: PTH-1
#[test]
fn it_goes_on_only_after_the_errors_that_say_so() {
    let list = redirect("/a/b", &[server(0, 10, 2), server(0, 11, 1)]);
    for errno in [
        Errno::EROFS,
        Errno::ENOENT,
        Errno::ENXIO,
        Errno::ESRCH,
        Errno::ENOSYS,
        Errno::EHOSTDOWN,
    ] {
        let mut walk = Walk::new(path("/a/b"));
        let first = ask(&mut walk);
        walk.handle_redirect(&first, &list).unwrap();
        assert_eq!(ask(&mut walk).pid, Pid(10));
        walk.handle_error(errno).unwrap();
        let second = ask(&mut walk);
        assert_eq!(text(&second), (Step::Server, 0, 11, "a/b"));
        walk.handle_error(Errno::ENOENT).unwrap();
        assert_eq!(walk.poll(), Err(errno), "the error of the longest prefix");
    }
    for errno in [Errno::EACCES, Errno::ENOSPC, Errno::EISDIR, Errno::EIO] {
        assert_eq!(Walk::new(path("/a")).handle_error(errno), Err(errno));
    }
}

#[test]
fn a_redirect_is_followed_before_the_rest_of_its_list() {
    let mut walk = Walk::new(path("/a/b"));
    let first = ask(&mut walk);
    walk.handle_redirect(
        &first,
        &redirect("/a/b", &[server(0, 10, 2), server(0, 11, 2)]),
    )
    .unwrap();
    let ten = ask(&mut walk);
    walk.handle_redirect(&ten, &redirect("elsewhere/b", &[server(0, 20, 9)]))
        .unwrap();
    assert_eq!(text(&ask(&mut walk)), (Step::Server, 0, 20, "b"));
    walk.handle_error(Errno::ENOENT).unwrap();
    assert_eq!(ask(&mut walk).pid, Pid(11));
}

// covers: PTH-3
#[test]
fn redirects_in_a_circle_end_in_eloop() {
    let mut walk = Walk::new(path("/a"));
    let circle = redirect("/a", &[server(0, 1, 0)]);
    for _ in 0..REDIRECTS_MAX {
        let hop = ask(&mut walk);
        walk.handle_redirect(&hop, &circle).unwrap();
    }
    let hop = ask(&mut walk);
    assert_eq!(walk.handle_redirect(&hop, &circle), Err(Errno::ELOOP));
}

// covers: PTH-4
#[test]
fn a_node_that_another_node_names_is_translated() {
    let mut walk = Walk::from_node(
        Nd(3),
        Some("wintermute".to_owned()),
        path("/net/straylight/x"),
    );
    let first = ask(&mut walk);
    walk.handle_redirect(&first, &redirect("/x", &[named(9, 1, 0, "straylight")]))
        .unwrap();
    assert_eq!(
        walk.poll(),
        Ok(Next::TranslateNode("straylight".to_owned()))
    );
    walk.handle_node(Ok(Nd(4))).unwrap();
    let hop = ask(&mut walk);
    assert_eq!(text(&hop), (Step::RemoteProcmgr, 4, 1, "/x"));
    assert_eq!(hop.node.as_deref(), Some("straylight"));

    walk.handle_redirect(
        &first,
        &redirect("/x", &[named(9, 1, 0, "magenta"), server(0, 5, 0)]),
    )
    .unwrap();
    walk.poll().unwrap();
    walk.handle_node(Ok(Nd::LOCAL)).unwrap();
    assert_eq!(text(&ask(&mut walk)), (Step::Procmgr, 0, 1, "/x"));
    assert_eq!(text(&ask(&mut walk)), (Step::Server, 3, 5, "/x"));
}

#[test]
fn a_node_that_nobody_knows_is_passed_over() {
    let mut walk = Walk::from_node(Nd(3), None, path("/x"));
    let first = ask(&mut walk);
    walk.handle_redirect(
        &first,
        &redirect("/x", &[named(9, 1, 0, "nowhere"), server(0, 5, 1)]),
    )
    .unwrap();
    walk.poll().unwrap();
    walk.handle_node(Err(Errno::ENOENT)).unwrap();
    assert_eq!(ask(&mut walk).pid, Pid(5));
    let nameless = redirect("/x", &[server(9, 1, 0)]);
    assert_eq!(walk.handle_redirect(&first, &nameless), Err(Errno::EBADMSG));
}

// covers: PTH-3
#[test]
fn a_symbolic_link_starts_again_at_the_process_manager_of_its_node() {
    let link = |target: &str| Symlink {
        link_start: 3,
        link_end: 7,
        target: target.as_bytes().to_vec(),
    };
    for (target, wanted) in [
        ("../x", "/home/x/file"),
        ("/etc", "/etc/file"),
        ("y", "/home/rk/y/file"),
    ] {
        let mut walk = Walk::from_node(Nd(3), None, path("/home/rk/link/file"));
        let first = ask(&mut walk);
        walk.handle_redirect(
            &first,
            &redirect("/home/rk/link/file", &[server(0, 812, 5)]),
        )
        .unwrap();
        let hop = ask(&mut walk);
        walk.handle_symlink(&hop, &link(target)).unwrap();
        assert_eq!(text(&ask(&mut walk)), (Step::RemoteProcmgr, 3, 1, wanted));
    }
}

#[test]
fn a_link_outside_of_the_path_is_malformed() {
    let mut walk = Walk::new(path("/a"));
    let hop = ask(&mut walk);
    let link = Symlink {
        link_start: 0,
        link_end: 40,
        target: b"x".to_vec(),
    };
    assert_eq!(walk.handle_symlink(&hop, &link), Err(Errno::EBADMSG));
}

#[test]
fn the_manager_of_net_is_a_resolver_only_below_itself() {
    let mut walk = Walk::new(path("/net"));
    let first = ask(&mut walk);
    walk.handle_redirect(&first, &redirect("/net", &[server(0, 77, 4)]))
        .unwrap();
    let hop = ask(&mut walk);
    assert_eq!(text(&hop), (Step::Net, 0, 77, ""));
    assert!(!hop.is_resolver());
}
