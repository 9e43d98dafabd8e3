//! Typed messages: a calculator whose requests and answers are structures.
//!
//! Every field is checked by the server, as any bytes of the right length are a value of the type; a
//! message of another length is `EBADMSG`.
//!
//! ```text
//! $ cargo run -q -p ipc-core --example typed
//! 6 + 7 = 13
//! 6 * 7 = 42
//! 6 / 0: Math argument out of domain of func [errno 33]
//! no calculation at all: Not a data message [EBADMSG]
//! ```

use std::thread;

use ipc_core::{
    Channel, Connection, Received, ReceivedMessage,
    abi::{ChannelFlags, Errno, Nd, Pid, PulseCode, Result},
};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// What to calculate. All fields are plain numbers, and there are no gaps between them.
#[repr(C)]
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
struct Calculation {
    left: i64,
    right: i64,
    operator: u32,
    reserved: u32,
}

const EDOM: Errno = Errno(33);
const STOP: PulseCode = PulseCode(0);

impl Calculation {
    fn new(left: i64, operator: char, right: i64) -> Calculation {
        Calculation {
            left,
            right,
            operator: operator.into(),
            reserved: 0,
        }
    }

    /// The client is not trusted: its operator may be anything, and its numbers may overflow.
    fn result(self) -> Result<i64> {
        let result = match char::from_u32(self.operator) {
            Some('+') => self.left.checked_add(self.right),
            Some('*') => self.left.checked_mul(self.right),
            Some('/') => self.left.checked_div(self.right),
            _ => return Err(Errno::EINVAL),
        };
        result.ok_or(EDOM)
    }
}

fn serve(message: ReceivedMessage) -> Result<()> {
    let result = message.read_typed().and_then(Calculation::result);
    match result {
        Ok(result) => message.reply_typed(0, &result),
        Err(errno) => message.error(errno),
    }
}

fn main() -> Result<()> {
    let channel = Channel::create(ChannelFlags::empty())?;
    let chid = channel.chid();
    let server = thread::spawn(move || -> Result<()> {
        while let Received::Message(message) = channel.receive()? {
            serve(message)?;
        }
        Ok(())
    });

    let connection = Connection::attach(Nd::LOCAL, Pid::SELF, chid)?;
    for (left, operator, right) in [(6, '+', 7), (6, '*', 7), (6, '/', 0)] {
        let calculation = Calculation::new(left, operator, right);
        match connection.send_typed::<_, i64>(&calculation) {
            Ok(reply) => println!("{left} {operator} {right} = {}", reply.value),
            Err(errno) => println!("{left} {operator} {right}: {errno}"),
        }
    }
    if let Err(errno) = connection.send_typed::<_, i64>(&1_u8) {
        println!("no calculation at all: {errno}");
    }
    connection.send_pulse(None, STOP, 0)?;
    server.join().expect("the server does not panic")
}
