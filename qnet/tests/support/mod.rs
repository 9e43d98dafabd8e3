//! What the tests that need a network share: a namespace of their own, and a veth pair in it.

#![allow(dead_code, reason = "no test binary uses all of it")]

use std::{env, process::Command};

/// What runs a program in a network namespace of its own: as root, or in a user namespace. Prints the
/// reason where neither is permitted.
pub(crate) fn unshared() -> Option<Command> {
    let user: &[&str] = match nix::unistd::geteuid().is_root() {
        true => &[],
        false => &["--user", "--map-root-user"],
    };
    let allowed = Command::new("unshare")
        .args(user)
        .args(["--net", "ip", "link"])
        .output();
    match allowed {
        Ok(output) if output.status.success() => {
            let mut command = Command::new("unshare");
            command.args(user).arg("--net");
            Some(command)
        }
        Ok(output) => {
            println!(
                "skipped: no network namespace: {}",
                String::from_utf8_lossy(&output.stderr)
            );
            None
        }
        Err(error) => {
            println!("skipped: unshare and ip are needed: {error}");
            None
        }
    }
}

/// Runs the ignored test `name` of the calling test binary in a network namespace of its own, if that is
/// permitted.
pub(crate) fn in_namespace(name: &str) {
    let Some(mut command) = unshared() else {
        return;
    };
    let output = command
        .arg(env::current_exe().unwrap())
        .args(["--exact", name, "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success(),
        "{text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(text.contains("1 passed"), "{text}");
    print!("{text}");
}

/// Runs `ip` with these arguments.
pub(crate) fn ip(arguments: &str) {
    let status = Command::new("ip")
        .args(arguments.split(' '))
        .status()
        .unwrap();
    assert!(status.success(), "ip {arguments}");
}

/// Makes the pair `va` - `vb` and brings it up.
pub(crate) fn make_veth(mtu: usize) {
    make_pair(["va", "vb"], mtu);
}

/// Makes a pair with these names and brings it up.
pub(crate) fn make_pair([one, other]: [&str; 2], mtu: usize) {
    ip(&format!(
        "link add {one} mtu {mtu} type veth peer name {other} mtu {mtu}"
    ));
    ip(&format!("link set {one} up"));
    ip(&format!("link set {other} up"));
}
