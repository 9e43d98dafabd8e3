//! Properties of the formats: what is written is read back, and nothing that arrives can panic.

use proptest::prelude::*;
use qnet_proto::limits::REPLIES_MAX;
use qnet_proto::wire::{
    AckRange, AckRanges, CancelRecord, Connect, DetachRecord, ErrorRecord, Fragment, Frame,
    FrameBuilder, GrantRecord, Handshake, Header, Hello, Malformed, MessageHead, PulseRecord,
    ReceivedRecord, Record, RecordType, RepliesRecord, ReplyHead, Reset, ResetReason, Side,
    VERSION, WhoIs,
};
use qnet_proto::{Cancel, ConnectInfo, Errno, Mac, NodeName, Pulse};

const ETHERTYPE: u16 = 0x88b5;
const SRC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const DST: Mac = Mac([2, 0, 0, 0, 0, 2]);

/// Writes one frame with what `write` puts into it, pads it, and hands it to `check`.
fn pass(header: Header, write: impl FnOnce(&mut FrameBuilder<'_>), check: impl FnOnce(&Frame<'_>)) {
    let mut buffer = vec![0xaa; 9014];
    let mut builder = FrameBuilder::new(&mut buffer, 9000);
    write(&mut builder);
    let len = builder.finish(SRC, DST, ETHERTYPE, &header).max(60);
    let frame = Frame::parse(&buffer[..len], ETHERTYPE, header.is_sealed)
        .expect("what was written is sound");
    assert_eq!((frame.src, frame.dst, frame.header), (SRC, DST, header));
    check(&frame);
}

fn only<'a>(frame: &Frame<'a>) -> Record<'a> {
    let mut records = frame.records();
    let record = records.next().expect("a record").expect("a sound one");
    assert!(records.next().is_none());
    record
}

fn header(is_sealed: bool) -> Header {
    Header {
        is_responder: true,
        is_sealed,
        path: 3,
        packet: 7,
        session: 0x1234_5678_9abc_def0,
        ack_path: 2,
        ack: 5,
        ack_run: 5,
        ack_delay: 9,
    }
}

fn hello(epoch: u64, name: &str) -> Hello {
    Hello {
        epoch,
        receive_window: 1 << 20,
        ack_delay_us: 1000,
        mtu: 1500,
        station: Mac([2, 0, 0, 0, 0, 9]),
        name: NodeName::new(name).expect("legal"),
    }
}

prop_compose! {
    fn connects()(
        server_pid: i32, server_chid: i32, client_pid: i32, coid: i32, uid: u32, gid: u32, srcnd: u32, revision: u16,
        answers_back: bool,
    ) -> Connect {
        Connect { info: ConnectInfo { server_pid, server_chid, client_pid, coid, uid, gid, srcnd }, revision, answers_back }
    }
}

proptest! {
    #[test]
    fn messages_are_read_back(
        call: u64, conn: u64, extra in 0u32..1000, reply_len in 0u32..=16 << 20, tid: i32, priority: u8, reports: bool,
        pulses: u64, connect in prop::option::of(connects()), bytes in prop::collection::vec(any::<u8>(), 0..2000), sealed: bool,
    ) {
        let head = MessageHead { call, conn, len: bytes.len() as u32 + extra, reply_len, tid, priority, reports, pulses };
        pass(
            header(sealed),
            |frame| head.emit(frame, connect.as_ref(), bytes.len()).expect("room").copy_from_slice(&bytes),
            |frame| assert_eq!(only(frame), Record::Message { head, connect, bytes: &bytes }),
        );
    }

    #[test]
    fn runs_of_messages_are_read_back_if_they_are_whole(
        call: u64, conn: u64, len in 0u32..100, reply_len in 0u32..=16 << 20, tid: i32, priority: u8, count in 0usize..20,
        more in 0usize..2, flags in 0u8..2, sealed: bool,
    ) {
        let head = MessageHead { call, conn, len, reply_len, tid, priority, reports: false, pulses: 0 };
        let bytes: Vec<u8> = (0..count * len as usize + more).map(|at| at as u8).collect();
        let write = |frame: &mut FrameBuilder<'_>| {
            if more == 0 {
                return head.emit_run(frame, count).expect("room").copy_from_slice(&bytes);
            }
            // As long as a run of bytes, and then said to be another.
            let one = MessageHead { len: 1, ..head };
            one.emit_run(frame, bytes.len()).expect("room").copy_from_slice(&bytes);
        };
        let mut buffer = vec![0; 9014];
        let mut frame = FrameBuilder::new(&mut buffer, 9000);
        write(&mut frame);
        let header = header(sealed);
        frame.finish(SRC, DST, ETHERTYPE, &Header { is_sealed: false, ..header });
        // In the body: the length at 16, the flags at 29.
        let body = 14 + 32 + 4;
        buffer[body + 16..][..4].copy_from_slice(&len.to_be_bytes());
        buffer[body + 29] = flags;
        let records_len = 14 + 32 + 4 + 32 + bytes.len();
        let parsed = Frame::parse(&buffer[..records_len], ETHERTYPE, false).expect("a sound frame");
        let record = parsed.records().next().expect("a record");
        let is_whole = len > 0 && !bytes.is_empty() && bytes.len().is_multiple_of(len as usize);
        let expected = match (flags, is_whole && call.checked_add(bytes.len() as u64).is_some()) {
            (0, true) => Ok(Record::Messages { head, bytes: &bytes }),
            (0, false) => Err(Malformed::Value),
            _ => Err(Malformed::Reserved),
        };
        prop_assert_eq!(record, expected);
    }

    #[test]
    fn replies_are_read_back(
        call: u64, status: i64, offset in 0u32..1000, bytes in prop::collection::vec(any::<u8>(), 0..2000), sealed: bool,
    ) {
        let len = offset + bytes.len() as u32;
        let head = ReplyHead { call, status, len, sent_len: bytes.len() as u32, offset };
        pass(
            header(sealed),
            |frame| head.emit(frame, bytes.len()).expect("room").copy_from_slice(&bytes),
            |frame| assert_eq!(only(frame), Record::Reply { head, bytes: &bytes }),
        );
    }

    #[test]
    fn fragments_are_read_back(call: u64, offset in 0u32..15 << 20, bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
        for kind in [RecordType::MessageFragment, RecordType::ReplyFragment] {
            pass(
                header(false),
                |frame| Fragment::emit(frame, kind, call, offset, bytes.len()).expect("room").copy_from_slice(&bytes),
                |frame| match only(frame) {
                    Record::MessageFragment(read) | Record::ReplyFragment(read) => {
                        assert_eq!(read, Fragment { call, offset, bytes: &bytes });
                    }
                    other => panic!("{other:?}"),
                },
            );
        }
    }

    #[test]
    fn control_records_are_read_back(
        call: u64, conn: u64, sequence: u64, value: i64, code: i8, priority: u8, errno: u16,
        limit in 0u32..=16 << 20, connect in prop::option::of(connects()),
    ) {
        let errno = Errno(errno);
        let pulse = Pulse { code, priority, value };
        for cancel in [Cancel::Unblock(errno), Cancel::Withdraw(errno), Cancel::Abandon] {
            let record = CancelRecord { call, cancel };
            pass(header(false), |frame| record.emit(frame).expect("room"), |frame| assert_eq!(only(frame), Record::Cancel(record)));
        }
        let record = ReceivedRecord { call };
        pass(header(false), |frame| record.emit(frame).expect("room"), |frame| assert_eq!(only(frame), Record::Received(record)));
        for to in [Side::Client, Side::Server] {
            let record = DetachRecord { conn, to, errno };
            pass(header(false), |frame| record.emit(frame).expect("room"), |frame| assert_eq!(only(frame), Record::Detach(record)));
            let connect = connect.filter(|_| to == Side::Server);
            let pulse = PulseRecord { conn, sequence, to, pulse };
            pass(
                header(false),
                |frame| pulse.emit(frame, connect.as_ref()).expect("room"),
                |frame| assert_eq!(only(frame), Record::Pulse { pulse, connect }),
            );
        }
        let error = ErrorRecord { call, errno };
        pass(header(false), |frame| error.emit(frame).expect("room"), |frame| assert_eq!(only(frame), Record::Error(error)));
        let grant = GrantRecord { call, limit };
        pass(header(false), |frame| grant.emit(frame).expect("room"), |frame| assert_eq!(only(frame), Record::Grant(grant)));
    }

    #[test]
    fn runs_of_replies_are_read_back_and_bounded(call: u64, count in 1u32..=REPLIES_MAX as u32) {
        let record = RepliesRecord { call, count };
        let is_sound = call.checked_add(u64::from(count)).is_some();
        pass(
            header(false),
            |frame| record.emit(frame).expect("room"),
            |frame| assert_eq!(
                frame.records().next().expect("one"),
                if is_sound { Ok(Record::Replies(record)) } else { Err(Malformed::Value) },
            ),
        );
        for count in [0, REPLIES_MAX as u32 + 1, u32::MAX] {
            let record = RepliesRecord { call: 0, count };
            pass(
                header(false),
                |frame| record.emit(frame).expect("room"),
                |frame| assert_eq!(frame.records().next().expect("one"), Err(Malformed::Value)),
            );
        }
    }

    #[test]
    fn ack_ranges_are_read_back(steps in prop::collection::vec((1u32.., 1u32..), 1..32)) {
        let ranges: Vec<AckRange> =
            steps.iter().map(|&(gap, run)| AckRange { gap: gap.into(), run: run.into() }).collect();
        pass(
            header(false),
            |frame| AckRanges::emit(frame, &ranges).expect("room"),
            |frame| match only(frame) {
                Record::AckRanges(read) => assert!(read.iter().eq(ranges.iter().copied())),
                other => panic!("{other:?}"),
            },
        );
    }

    #[test]
    fn names_and_handshakes_are_read_back(epoch in 1u64.., nonce in 1u32.., other: u32, stamp: u64, cookie: [u8; 16]) {
        let stranger = Header::default();
        let hello = hello(epoch, "magenta");
        for (kind, expected) in [
            (RecordType::Announce, Record::Announce(hello)),
            (RecordType::IAm, Record::IAm(hello)),
            (RecordType::Goodbye, Record::Goodbye(hello)),
        ] {
            pass(stranger, |frame| hello.emit(frame, kind).expect("room"), |frame| assert_eq!(only(frame), expected));
        }
        let who = WhoIs { asker: hello, name: NodeName::new("wintermute").expect("legal") };
        pass(stranger, |frame| who.emit(frame).expect("room"), |frame| assert_eq!(only(frame), Record::WhoIs(who)));
        let handshake = Handshake {
            hello, initiator_nonce: nonce, responder_nonce: other, other_epoch: stamp, stamp, cookie,
        };
        for (kind, expected) in [
            (RecordType::Init, Record::Init(handshake)),
            (RecordType::InitAck, Record::InitAck(handshake)),
            (RecordType::Confirm, Record::Confirm(handshake)),
        ] {
            pass(stranger, |frame| handshake.emit(frame, kind).expect("room"), |frame| assert_eq!(only(frame), expected));
        }
        for reason in [ResetReason::Unknown, ResetReason::NameInUse] {
            let reset = Reset { session: stamp, epoch, reason };
            pass(stranger, |frame| reset.emit(frame).expect("room"), |frame| assert_eq!(only(frame), Record::Reset(reset)));
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        if let Ok(frame) = Frame::parse(&bytes, ETHERTYPE, false) {
            frame.records().for_each(drop);
        }
    }

    #[test]
    fn arbitrary_records_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400), kind in 0u8..32) {
        let mut frame = vec![0; 46];
        frame[12..16].copy_from_slice(&[0x88, 0xb5, VERSION, 0]);
        let records_len = 4 + bytes.len();
        frame[16..18].copy_from_slice(&(32 + records_len as u16).to_be_bytes());
        frame[33] = 1;
        frame.extend([kind, 0]);
        frame.extend((bytes.len() as u16).to_be_bytes());
        frame.extend(&bytes);
        let parsed = Frame::parse(&frame, ETHERTYPE, false).expect("the headers are sound");
        let unknown = parsed.records().filter(|record| matches!(record, Ok(Record::Unknown(_)))).count();
        let is_known = (1..=24).contains(&kind);
        prop_assert_eq!(unknown == 1, !is_known);
    }

    #[test]
    fn a_sealed_frame_with_one_damaged_bit_is_refused(bit in 0usize..8 * (14 + 32 + 60), bytes in prop::collection::vec(any::<u8>(), 40)) {
        let mut buffer = vec![0; 1514];
        let mut builder = FrameBuilder::new(&mut buffer, 1500);
        Fragment::emit(&mut builder, RecordType::MessageFragment, 1, 2, 40).expect("room").copy_from_slice(&bytes);
        let len = builder.finish(SRC, DST, ETHERTYPE, &header(true));
        // From the Ethernet header, which says who sent it, to the seal.
        buffer[bit / 8] ^= 1 << (bit % 8);
        prop_assert!(Frame::parse(&buffer[..len], ETHERTYPE, true).is_err());
    }
}

#[test]
fn a_full_frame_takes_no_more_and_stays_within_its_mtu() {
    let mut buffer = vec![0; 1514];
    let mut builder = FrameBuilder::new(&mut buffer, 1500);
    let room = builder.room() - Fragment::FIXED_LEN;
    assert!(Fragment::emit(&mut builder, RecordType::ReplyFragment, 1, 0, room + 1).is_none());
    assert!(Fragment::emit(&mut builder, RecordType::ReplyFragment, 1, 0, room).is_some());
    assert!(builder.mark(RecordType::Ping).is_none());
    assert_eq!(builder.finish(SRC, DST, ETHERTYPE, &header(true)), 1514);
}
