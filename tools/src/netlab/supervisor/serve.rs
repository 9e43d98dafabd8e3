//! Orders from outside, one per connection.

use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;

use nix::sys::signal::Signal;
use nix::sys::socket::{getsockopt, sockopt};

use super::lab::Lab;
use crate::netlab::control;
use crate::netlab::protocol::{Answer, Cut, Order};

/// Bytes an order may have.
const ORDER_LEN_MAX: u64 = 1 << 20;

/// Carries out the order that comes in on `stream` and answers it.
pub(super) fn serve(lab: &Lab, mut stream: UnixStream) -> io::Result<()> {
    let peer = getsockopt(&stream, sockopt::PeerCredentials)?;
    // Abstract names have no permissions. Inside a user namespace the lab's owner is user 0, too.
    if peer.uid() != nix::unistd::Uid::effective().as_raw() {
        let why = "this lab belongs to another user".to_owned();
        return control::put_answer(&stream, &Answer::Failed { why }, &[]);
    }
    let mut text = Vec::new();
    (&mut stream).take(ORDER_LEN_MAX).read_to_end(&mut text)?;
    let order = serde_json::from_slice(&text).map_err(io::Error::other);
    let is_down = matches!(order, Ok(Order::Down));
    let (answer, fds) = match order.and_then(|order| carry_out(lab, order)) {
        Ok(done) => done,
        Err(error) => (
            Answer::Failed {
                why: error.to_string(),
            },
            Vec::new(),
        ),
    };
    control::put_answer(&stream, &answer, &fds)?;
    if is_down {
        // Process 1 goes, and the kernel takes all the others.
        std::process::exit(0);
    }
    Ok(())
}

fn carry_out(lab: &Lab, order: Order) -> io::Result<(Answer, Vec<OwnedFd>)> {
    let done = |note: String| Ok((Answer::Done { note }, Vec::new()));
    match order {
        Order::Status => Ok((Answer::Status(lab.status()?), Vec::new())),
        Order::Down => {
            let stuck = lab.stop_daemons();
            done(if stuck.is_empty() {
                String::new()
            } else {
                format!(
                    "did not stop on SIGTERM and were killed: {}",
                    stuck.join(", ")
                )
            })
        }
        Order::Enter { node } => {
            let (entrance, fds) = lab.entrance(&node)?;
            Ok((Answer::Entrance(entrance), fds))
        }
        Order::Open { node, path } => Ok((Answer::File, vec![lab.open(&node, &path)?])),
        Order::Capture => {
            let (nodes, fds) = lab.capture()?;
            Ok((Answer::Ports { nodes }, fds))
        }
        Order::Cut { node, link, cut } => {
            lab.cut(Some(&node), link, cut)?;
            done(String::new())
        }
        Order::Heal { node, link } => {
            lab.cut(node.as_deref(), link, Cut::None)?;
            done(String::new())
        }
        Order::Faults { faults } => {
            lab.set_faults(faults)?;
            done(String::new())
        }
        Order::Kill {
            node,
            daemon,
            signal,
        } => {
            let signal = Signal::try_from(signal)?;
            lab.kill(&node, &daemon, signal)?;
            done(String::new())
        }
        Order::Restart { node, daemon } => {
            lab.restart(&node, &daemon)?;
            done(String::new())
        }
        Order::Serve {
            node,
            daemon,
            command,
        } => {
            lab.serve(&node, &daemon, command)?;
            done(String::new())
        }
    }
}
