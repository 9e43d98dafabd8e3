//! A process manager that is stopped: who registers at it is told so, nobody else waits.

use std::{thread, time::Duration};

use ipc_core::{
    abi::{Errno, proc::PrefixFlags},
    file::{self, File},
};

use crate::{
    hello::{TEXT, serve},
    node::{Procmgr, names, until},
};

const DIR: PrefixFlags = PrefixFlags::DIR;

// covers: PTH-5
#[test]
#[ignore = "run by the test of the same name"]
fn a_process_manager_that_is_stopped_holds_up_no_registration_but_the_one_that_asks() {
    let procmgr = Procmgr::start();
    let stays = serve("/stays", DIR).unwrap();
    let goes = [(); 3].map(|()| serve("/goes", DIR).unwrap());
    procmgr.stop();
    let asks = thread::spawn(|| serve("/late", DIR).map(drop));
    let mut looks = 0;
    while !asks.is_finished() {
        assert!(stays.is_registered());
        looks += 1;
        thread::sleep(Duration::from_millis(1));
    }
    assert!(looks > 1, "whoever looked waited for the answer, too");
    assert_eq!(asks.join().unwrap(), Err(Errno::ETIMEDOUT));
    // None of them can be told.
    drop(goes);
    assert_eq!(
        serve("/later", DIR).map(drop),
        Err(Errno::ETIMEDOUT),
        "it waited behind what was dropped"
    );
    assert!(stays.is_registered());
    procmgr.go_on();
    // What it missed reaches it, in order.
    let again = serve("/goes", DIR).unwrap();
    assert_eq!(names(), ["/goes", "/stays"]);
    assert_eq!(file::read("/goes/x").unwrap(), TEXT);
    drop(again);
    assert_eq!(File::open("/goes/x").unwrap_err(), Errno::ENOENT);
    assert_eq!(file::read("/stays/x").unwrap(), TEXT);
}

#[test]
#[ignore = "run by the test of the same name"]
fn a_stopped_process_manager_that_dies_is_replaced_and_knows_nothing_that_was_dropped() {
    let procmgr = Procmgr::start();
    let stays = serve("/stays", DIR).unwrap();
    let goes = serve("/goes", DIR).unwrap();
    procmgr.stop();
    assert_eq!(serve("/late", DIR).map(drop), Err(Errno::ETIMEDOUT));
    drop(goes);
    procmgr.kill();
    let _procmgr = Procmgr::start();
    until(|| stays.is_registered());
    until(|| names() == ["/stays"]);
    let _late = serve("/late", DIR).unwrap();
    assert_eq!(names(), ["/late", "/stays"]);
}
