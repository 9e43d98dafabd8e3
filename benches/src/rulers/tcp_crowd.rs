//! B5 with many connections: blocking clients, one server that epoll tells who has sent.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::fd::AsFd;

use nix::sys::epoll::{Epoll, EpollCreateFlags, EpollEvent, EpollFlags, EpollTimeout};

use crate::method::{Arm, Crowd, Side, Stopwatch};
use crate::payload::{self, SMALL_LEN};
use crate::setting::Setting;

/// Events taken by one system call.
const EVENTS: usize = 64;

/// Builds the ruler with as many connections as the setting has clients.
///
/// # Errors
/// No sockets or no processes.
pub fn arm(setting: &Setting) -> crate::Result<Arm> {
    let [client, server] = setting.nodes()?;
    let count = setting.load.clients as usize;
    setting
        .arm("B5 TCP_RR")
        .seat(setting.server(), |stage| {
            server.enter()?;
            let listener = TcpListener::bind((server.address, 0))?;
            stage.notice[0] = u64::from(listener.local_addr()?.port());
            Ok(Box::new(Server {
                listener,
                epoll: Epoll::new(EpollCreateFlags::empty())?,
                streams: Vec::new(),
                count,
            }))
        })?
        .seat(setting.client(), |stage| {
            client.enter()?;
            let port = stage.heard[0][0] as u16;
            let members: crate::Result<Vec<_>> = (0..count)
                .map(|_| {
                    let mut stream = TcpStream::connect((server.address, port))?;
                    stream.set_nodelay(true)?;
                    Ok(move |number| {
                        stream.write_all(&payload::small(number))?;
                        let mut bytes = [0; SMALL_LEN];
                        stream.read_exact(&mut bytes)?;
                        payload::check_small(&bytes, number)
                    })
                })
                .collect();
            Ok(Box::new(Crowd::new(members?)))
        })
}

struct Server {
    listener: TcpListener,
    epoll: Epoll,
    streams: Vec<TcpStream>,
    count: usize,
}

impl Server {
    fn accept(&mut self) -> crate::Result<()> {
        while self.streams.len() < self.count {
            let (stream, _) = self.listener.accept()?;
            stream.set_nodelay(true)?;
            let event = EpollEvent::new(EpollFlags::EPOLLIN, self.streams.len() as u64);
            self.epoll.add(stream.as_fd(), event)?;
            self.streams.push(stream);
        }
        Ok(())
    }
}

impl Side for Server {
    fn run(&mut self, rounds: u32, _: &mut Stopwatch) -> crate::Result<()> {
        self.accept()?;
        let mut to_go = u64::from(rounds) * self.count as u64;
        let mut events = [EpollEvent::empty(); EVENTS];
        while to_go > 0 {
            let ready = self.epoll.wait(&mut events, EpollTimeout::NONE)?;
            for event in &events[..ready] {
                let stream = &mut self.streams[event.data() as usize];
                // A message of one cache line comes in one segment, and whole.
                let mut bytes = [0; SMALL_LEN];
                stream.read_exact(&mut bytes)?;
                stream.write_all(&bytes)?;
                to_go -= 1;
            }
        }
        Ok(())
    }
}
