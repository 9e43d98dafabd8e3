//! B4r: client -futex- daemon -frame- daemon -futex- server and back, no protocol: the floor for Qnet.
//!
//! Each node's two processes share one CPU; across CPUs means one CPU a node.

use std::rc::Rc;

use crate::method::{Arm, Seat, silent, timed};
use crate::rulers::futex::{put, take};
use crate::rulers::packet::Wire;
use crate::setting::Setting;
use crate::sys::map::{LINE_LEN, SharedMap};

const UP: usize = 0;
const DOWN: usize = 2;

/// Builds the ruler.
///
/// # Errors
/// No right to open packet sockets, no memory or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let near = Rc::new(SharedMap::new(8 * LINE_LEN)?);
    let far = Rc::new(SharedMap::new(8 * LINE_LEN)?);
    let (near_daemon, far_daemon) = (Rc::clone(&near), Rc::clone(&far));
    setting
        .arm("B4r relay")
        .seat(setting.server(), |_| {
            Ok(silent(move |number| {
                take(&far, UP, number)?;
                put(&far, DOWN, number)
            }))
        })?
        .seat(
            Seat {
                name: "server's daemon",
                ..setting.server()
            },
            |_| {
                let mut wire = Wire::open(server, client, false)?;
                Ok(silent(move |number| {
                    wire.take(number)?;
                    put(&far_daemon, UP, number)?;
                    take(&far_daemon, DOWN, number)?;
                    wire.put(number)
                }))
            },
        )?
        .seat(
            Seat {
                name: "client's daemon",
                ..setting.client()
            },
            |_| {
                let mut wire = Wire::open(client, server, false)?;
                Ok(silent(move |number| {
                    take(&near_daemon, UP, number)?;
                    wire.put(number)?;
                    wire.take(number)?;
                    put(&near_daemon, DOWN, number)
                }))
            },
        )?
        .seat(setting.client(), |_| {
            Ok(timed(move |number| {
                put(&near, UP, number)?;
                take(&near, DOWN, number)
            }))
        })
}
