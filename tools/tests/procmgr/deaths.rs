//! Servers and process managers that die, and come back.

use std::io::Read;

use ipc_core::{
    abi::{Errno, proc::PrefixFlags},
    file::{self, File},
};

use crate::{
    hello::{TEXT, serve},
    node::{Procmgr, Server, names, until},
};

const DIR: PrefixFlags = PrefixFlags::DIR;

// covers: PTH-5 DTH-1
#[test]
#[ignore = "run by the test of the same name"]
fn a_dead_servers_prefixes_vanish() {
    let _procmgr = Procmgr::start();
    let server = Server::start("hello::hello_server");
    assert_eq!(file::read("/srv/x").unwrap(), TEXT);
    let open = File::open("/srv/x").unwrap();
    server.kill();
    until(|| names().is_empty());
    assert!(matches!(open.stat(), Err(Errno::ESRCH | Errno::EBADF)));
    assert_eq!(File::open("/srv/x").unwrap_err(), Errno::ENOENT);
    let _again = Server::start("hello::hello_server");
    assert_eq!(file::read("/srv/x").unwrap(), TEXT);
}

#[test]
#[ignore = "run by the test of the same name"]
fn servers_register_again_when_the_process_manager_comes_back() {
    let mut procmgr = Procmgr::start();
    let own = serve("/own", DIR).unwrap();
    let older = serve("/both", DIR).unwrap();
    let newer = serve("/both", DIR).unwrap();
    let server = Server::start("hello::hello_server");
    for _ in 0..3 {
        procmgr.kill();
        until(|| !own.is_registered());
        procmgr = Procmgr::start();
        until(|| names() == ["/both", "/both", "/own", "/srv"]);
        until(|| own.is_registered() && older.is_registered() && newer.is_registered());
        assert_eq!(file::read("/own/x").unwrap(), TEXT);
        assert_eq!(file::read("/srv/x").unwrap(), TEXT);
    }
    // A server that goes while there is none is not registered again.
    procmgr.kill();
    server.kill();
    drop(own);
    let _procmgr = Procmgr::start();
    until(|| names() == ["/both", "/both"]);
}

#[test]
#[ignore = "run by the test of the same name"]
fn open_files_outlive_the_process_manager() {
    let procmgr = Procmgr::start();
    let _server = Server::start("hello::hello_server");
    let mut file = File::open("/srv/x").unwrap();
    procmgr.kill();
    let mut text = Vec::new();
    file.read_to_end(&mut text).unwrap();
    assert_eq!(text, TEXT);
    file.close().unwrap();
    assert_eq!(File::open("/srv/x").unwrap_err(), Errno::ESRCH);
}
