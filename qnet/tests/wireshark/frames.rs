//! A capture with one frame for each record type, whose values the tests know.

use ipc_core::abi::io::{Connect as IoConnect, Redirect, Subtype};
use qnet::driver::pcapng::{self, Direction};
use qnet_proto::{
    Cancel, ConnectInfo, Errno, LinkId, Mac, NodeName, Pulse,
    wire::{
        AckRange, AckRanges, CancelRecord, Connect, DetachRecord, ErrorRecord, Fragment,
        FrameBuilder, GrantRecord, Handshake, Header, Hello, MessageHead, PulseRecord,
        ReceivedRecord, RecordType, RepliesRecord, ReplyHead, Reset, ResetReason, Side, WhoIs,
    },
};

const ETHERTYPE: u16 = 0x88b5;
const SRC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const DST: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn hello(name: &str) -> Hello {
    Hello {
        epoch: 0x0102_0304_0506_0708,
        receive_window: 1 << 20,
        ack_delay_us: 1000,
        mtu: 1500,
        station: Mac([2, 0, 0, 0, 0, 9]),
        name: NodeName::new(name).unwrap(),
    }
}

fn connect() -> Connect {
    Connect {
        info: ConnectInfo {
            server_pid: 101,
            server_chid: 102,
            client_pid: 103,
            coid: 104,
            uid: 105,
            gid: 106,
            srcnd: 108,
        },
        revision: 107,
        answers_back: true,
    }
}

/// Writes one record of the type, with values that the tests know.
fn emit(kind: RecordType, frame: &mut FrameBuilder<'_>) -> Option<()> {
    let handshake = Handshake {
        hello: hello("magenta"),
        initiator_nonce: 0x1111_1111,
        responder_nonce: 0x2222_2222,
        other_epoch: 0x33,
        stamp: 44,
        cookie: [0x55; 16],
    };
    let (call, conn) = (71, 72);
    match kind {
        RecordType::Message => {
            let head = MessageHead {
                call,
                conn,
                len: 900,
                reply_len: 901,
                tid: 902,
                priority: 10,
                reports: true,
                pulses: 903,
            };
            head.emit(frame, Some(&connect()), 5)
                .map(|bytes| bytes.copy_from_slice(b"hello"))
        }
        RecordType::MessageFragment | RecordType::ReplyFragment => {
            Fragment::emit(frame, kind, call, 4096, 3).map(|bytes| bytes.copy_from_slice(b"abc"))
        }
        RecordType::Reply => {
            let head = ReplyHead {
                call,
                status: -5,
                len: 800,
                sent_len: 700,
                offset: 16,
            };
            head.emit(frame, 2)
                .map(|bytes| bytes.copy_from_slice(b"ok"))
        }
        RecordType::Error => {
            let errno = Errno(112);
            ErrorRecord { call, errno }.emit(frame)
        }
        RecordType::Received => ReceivedRecord { call }.emit(frame),
        RecordType::Replies => RepliesRecord { call, count: 44 }.emit(frame),
        RecordType::Messages => {
            let head = MessageHead {
                call,
                conn,
                len: 3,
                reply_len: 901,
                tid: 902,
                priority: 10,
                reports: false,
                pulses: 0,
            };
            head.emit_run(frame, 2)
                .map(|bytes| bytes.copy_from_slice(b"onetwo"))
        }
        RecordType::Pulse => {
            let pulse = PulseRecord {
                conn,
                sequence: 6,
                to: Side::Server,
                pulse: Pulse {
                    code: -3,
                    priority: 11,
                    value: -77,
                },
            };
            pulse.emit(frame, Some(&connect()))
        }
        RecordType::Cancel => {
            let cancel = Cancel::Withdraw(Errno(110));
            CancelRecord { call, cancel }.emit(frame)
        }
        RecordType::Detach => {
            let (to, errno) = (Side::Client, Errno(3));
            DetachRecord { conn, to, errno }.emit(frame)
        }
        RecordType::Grant => {
            let limit = 1 << 20;
            GrantRecord { call, limit }.emit(frame)
        }
        RecordType::AckRanges => {
            let range = |gap: u32, run: u32| AckRange {
                gap: gap.into(),
                run: run.into(),
            };
            AckRanges::emit(frame, &[range(2, 3), range(4, 5)])
        }
        RecordType::Ping | RecordType::Bye => frame.mark(kind),
        RecordType::Pad => {
            frame.pad();
            Some(())
        }
        RecordType::Announce | RecordType::IAm | RecordType::Goodbye => {
            hello("magenta").emit(frame, kind)
        }
        RecordType::WhoIs => {
            let name = NodeName::new("wintermute").unwrap();
            let asker = hello("magenta");
            WhoIs { asker, name }.emit(frame)
        }
        RecordType::Init | RecordType::InitAck | RecordType::Confirm => handshake.emit(frame, kind),
        RecordType::Reset => {
            let reset = Reset {
                session: 0x1234,
                epoch: 0x5678,
                reason: ResetReason::NameInUse,
            };
            reset.emit(frame)
        }
    }
}

pub(super) fn is_in_session(kind: RecordType) -> bool {
    !(16..=21).contains(&(kind as u8)) && kind != RecordType::Reset
}

fn header(in_session: bool, is_sealed: bool) -> Header {
    let outside = Header {
        is_sealed,
        ..Header::default()
    };
    match in_session {
        false => outside,
        true => Header {
            is_responder: true,
            path: 3,
            packet: 7,
            session: 0x1234_5678_9abc_def0,
            ack_path: 2,
            ack: 6,
            ack_run: 5,
            ack_delay: 9,
            ..outside
        },
    }
}

/// A capture with a frame for each record type, changed by `change` after it was written.
pub(super) fn capture(is_sealed: bool, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut file = Vec::new();
    pcapng::begin(&mut file, &["eth7".to_owned()]);
    for &kind in RecordType::ALL {
        let mut buffer = vec![0xaa; 1514];
        let mut frame = FrameBuilder::new(&mut buffer, 1500);
        emit(kind, &mut frame).expect("room");
        let len = frame.finish(SRC, DST, ETHERTYPE, &header(is_in_session(kind), is_sealed));
        buffer.truncate(len.max(60));
        change(&mut buffer);
        pcapng::push_frame(&mut file, LinkId(0), &buffer, Direction::Out, 0);
    }
    file
}

/// A program asks for a path, and is sent elsewhere.
pub(super) fn walk(path: &str) -> Vec<u8> {
    let asked = IoConnect::new(Subtype::Open, path.as_bytes());
    let asked = asked.encode().unwrap();
    let message = MessageHead {
        call: 1,
        conn: 2,
        len: asked.len() as u32,
        reply_len: 901,
        tid: 902,
        priority: 10,
        reports: false,
        pulses: 0,
    };
    let reply = ReplyHead {
        call: 1,
        status: Redirect::STATUS,
        len: 800,
        sent_len: 700,
        offset: 0,
    };
    let mut file = Vec::new();
    pcapng::begin(&mut file, &["eth7".to_owned()]);
    for is_answer in [false, true] {
        let mut buffer = vec![0; 1514];
        let mut frame = FrameBuilder::new(&mut buffer, 1500);
        if is_answer {
            let bytes = reply.emit(&mut frame, 2).expect("room");
            bytes.copy_from_slice(b"ok");
        } else {
            let bytes = message.emit(&mut frame, None, asked.len()).expect("room");
            bytes.copy_from_slice(&asked);
        }
        let len = frame.finish(SRC, DST, ETHERTYPE, &header(true, false));
        buffer.truncate(len);
        pcapng::push_frame(&mut file, LinkId(0), &buffer, Direction::Out, 0);
    }
    file
}
