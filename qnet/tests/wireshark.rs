//! The Wireshark dissector against the code: it knows every record type and reads every field as written.

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use qnet::driver::pcapng::{self, Direction};
use qnet_proto::{
    Cancel, ConnectInfo, Errno, LinkId, Mac, NodeName, Pulse,
    wire::{
        AckRange, AckRanges, CancelRecord, Connect, DetachRecord, ErrorRecord, Fragment,
        FrameBuilder, GrantRecord, Handshake, Header, Hello, MessageHead, PulseRecord,
        ReceivedRecord, RecordType, RepliesRecord, ReplyHead, Reset, ResetReason, Side, VERSION,
        WhoIs,
    },
};

const ETHERTYPE: u16 = 0x88b5;
const SRC: Mac = Mac([2, 0, 0, 0, 0, 1]);
const DST: Mac = Mac([2, 0, 0, 0, 0, 2]);

fn dissector() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wireshark/qnet.lua")
}

#[test]
fn the_dissector_has_every_record_type_and_no_other() {
    let text = fs::read_to_string(dissector()).unwrap();
    // `[7] = "Cancel",` in the table of names, and `[7] = { min = 12, .. }` in that of records.
    let entries = text.split('[').filter_map(|part| {
        let (number, rest) = part.split_once("] = ")?;
        Some((number.parse::<u8>().ok()?, rest))
    });
    let (mut names, mut formats) = (Vec::new(), Vec::new());
    for (number, rest) in entries {
        if rest.starts_with("{ min") {
            formats.push(number);
        }
        let quoted = rest.strip_prefix('"').and_then(|rest| rest.split_once('"'));
        names.extend(quoted.map(|(name, _)| (number, name)));
    }
    for kind in RecordType::ALL {
        let name = format!("{kind:?}");
        assert!(names.contains(&(*kind as u8, name.as_str())), "{name}");
    }
    let known: Vec<u8> = RecordType::ALL.iter().map(|kind| *kind as u8).collect();
    assert_eq!(formats, known);
}

/// Bytes of a record's body at least, as the table of protocol.md gives them: `call 8, offset 4, bytes (>= 1)`.
fn documented_len(body: &str, parts: &[(&str, usize)]) -> usize {
    if let Some((_, len)) = parts.iter().find(|(name, _)| *name == body) {
        return *len;
    }
    // What a field means, what may follow it, and where the bytes belong.
    let (mut text, mut depth) = (String::new(), 0);
    for letter in body.chars() {
        depth += i32::from("([".contains(letter)) - i32::from(")]".contains(letter));
        text.extend((depth == 0 && !")]".contains(letter)).then_some(letter));
    }
    let fields = text.split(':').next_back().unwrap_or_default().split(',');
    let lens = fields.map(|field| {
        let last = field.split_whitespace().next_back().unwrap_or_default();
        let is_some = field.trim() == "bytes" && body.contains("bytes (>= 1)");
        last.parse().unwrap_or(usize::from(is_some))
    });
    lens.sum()
}

#[test]
fn the_dissector_knows_each_record_as_long_as_the_document_says() {
    let text = fs::read_to_string(dissector()).unwrap();
    let value = |name: &str| -> usize {
        let names = format!("local {name} = ");
        let after = text.split_once(&names).map(|(_, after)| after);
        let line = after.and_then(|after| after.lines().next());
        let number = line.and_then(|line| line.trim().parse().ok());
        number.unwrap_or_else(|| panic!("{name} is no number"))
    };
    let sum = |sum: &str| -> usize {
        let parts = sum.split('+').map(str::trim);
        parts
            .map(|part| part.parse().unwrap_or_else(|_| value(part)))
            .sum()
    };
    let document = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("docs/protocol.md");
    let document = fs::read_to_string(document).unwrap();
    let parts = [
        ("hello", value("HELLO_LEN")),
        ("handshake", value("HANDSHAKE_LEN")),
        (
            "hello of the asker, name 64",
            value("HELLO_LEN") + value("NAME_LEN"),
        ),
        ("empty", 0),
        ("any bytes, of no meaning (sent as zeros)", 0),
        (
            "call 8, limit 4: bytes of the message below this offset may be sent",
            12,
        ),
        (
            "call 8, count 4 (1..4096): so many neighbouring calls, from this one on, are answered with status 0 and no bytes",
            12,
        ),
        ("1..32 times: gap 4 (>= 1), run 4 (>= 1); section 6", 8),
    ];
    for name in ["hello", "handshake", "connect", "name"] {
        let len = value(&format!("{}_LEN", name.to_uppercase()));
        assert!(document.contains(&format!("*{name}* ({len})")), "{name}");
    }
    for kind in RecordType::ALL {
        let number = *kind as u8;
        let row = format!("| {number} | {kind:?} | ");
        let (_, body) = document.split_once(&row).expect("a row for each type");
        let body = body.split_once(" |").expect("the row ends").0;
        let entry = format!("[{number}] = {{ min = ");
        let (_, min) = text.split_once(&entry).expect("an entry for each type");
        let min = sum(min.split_once(',').expect("max follows").0);
        assert_eq!(documented_len(body, &parts), min, "{kind:?}: {body}");
    }
}

/// Has tshark print these fields of each frame that passes the filter, with a tab between. `None`, and the reason
/// printed, where there is no tshark.
fn tshark(capture: &[u8], filter: &str, fields: &[&str]) -> Option<Vec<Vec<String>>> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("frames.pcapng");
    fs::write(&file, capture).unwrap();
    let mut tshark = Command::new("tshark");
    tshark
        .arg("-X")
        .arg(format!("lua_script:{}", dissector().display()))
        .arg("-r")
        .arg(&file)
        .args(["-T", "fields", "-E", "occurrence=a"])
        .args(fields.iter().flat_map(|field| ["-e", field]))
        .args(["-Y", filter])
        .env("HOME", folder.path());
    let Output {
        status,
        stdout,
        stderr,
    } = match tshark.output() {
        Ok(output) => output,
        Err(error) => {
            println!("skipped: tshark cannot be run: {error}; install it: apt-get install tshark");
            return None;
        }
    };
    let told = String::from_utf8_lossy(&stderr);
    assert!(status.success() && !told.contains("Lua"), "{told}");
    let lines = String::from_utf8(stdout).unwrap();
    let split = |line: &str| line.split('\t').map(str::to_owned).collect();
    Some(lines.lines().map(split).collect())
}

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

fn is_in_session(kind: RecordType) -> bool {
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
fn capture(is_sealed: bool, change: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
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

const FAULTS: &[&str] = &["_ws.malformed", "_ws.expert.message"];

#[test]
fn every_record_type_is_decoded_without_complaint() {
    let fields = [&["qnet.record.type", "qnet.tag"], FAULTS].concat();
    for is_sealed in [false, true] {
        let Some(lines) = tshark(&capture(is_sealed, |_| {}), "qnet", &fields) else {
            return;
        };
        let numbers: Vec<_> = lines.iter().map(|line| line[0].clone()).collect();
        let known = RecordType::ALL.iter().map(|&kind| (kind as u8).to_string());
        assert_eq!(numbers, known.collect::<Vec<_>>());
        for line in &lines {
            assert_eq!(line[1].is_empty(), !is_sealed, "{line:?}");
            assert_eq!(line[2..], ["", ""], "{line:?}");
        }
    }
}

#[test]
fn every_field_has_the_value_that_was_written() {
    let connect = [
        ("connect.server_pid", "101"),
        ("connect.server_chid", "102"),
        ("connect.client_pid", "103"),
        ("connect.coid", "104"),
        ("connect.uid", "105"),
        ("connect.gid", "106"),
        ("connect.srcnd", "0x0000006c"),
        ("connect.revision", "107"),
        ("connect.answers_back", "1"),
    ];
    let hello = [
        ("epoch", "0x0102030405060708"),
        ("hello.receive_window", "1048576"),
        ("hello.ack_delay_us", "1000"),
        ("hello.mtu", "1500"),
        ("hello.station", "02:00:00:00:00:09"),
        ("name", "magenta"),
    ];
    let header = [
        ("version", "4"),
        ("flags", "0x01"),
        ("path", "3"),
        ("packet", "7"),
        ("session", "0x123456789abcdef0"),
        ("ack_path", "2"),
        ("ack", "6"),
        ("ack_run", "5"),
        ("ack_delay", "9"),
    ];
    let of_handshake = [
        ("handshake.initiator_nonce", "0x11111111"),
        ("handshake.responder_nonce", "0x22222222"),
        ("handshake.other_epoch", "0x0000000000000033"),
        ("handshake.stamp", "44"),
        ("handshake.cookie", "55555555555555555555555555555555"),
    ];
    let of_message = [
        ("call", "71"),
        ("conn", "72"),
        ("message_len", "900"),
        ("reply_len", "901"),
        ("tid", "902"),
        ("pulses_before", "903"),
        ("priority", "10"),
        ("bytes", "68656c6c6f"),
        ("bytes_len", "5"),
    ];
    let of_messages = [
        ("call", "71"),
        ("conn", "72"),
        ("message_len", "3"),
        ("reply_len", "901"),
        ("tid", "902"),
        ("priority", "10"),
        ("bytes", "6f6e6574776f"),
        ("bytes_len", "6"),
    ];
    let of_pulse = [
        ("pulse.sequence", "6"),
        ("pulse.value", "-77"),
        ("pulse.code", "-3"),
        ("priority", "11"),
    ];
    let fragment = [("call", "71"), ("offset", "4096"), ("bytes", "616263")];
    let of_reply = [
        ("status", "-5"),
        ("reply_end", "800"),
        ("sent_len", "700"),
        ("offset", "16"),
        ("bytes", "6f6b"),
    ];
    let of_reset = [
        ("reset.session", "0x0000000000001234"),
        ("epoch", "0x0000000000005678"),
        ("reset.reason", "2"),
    ];
    let expected: &[(&str, &[(&str, &str)])] = &[
        ("message", &header),
        ("message", &of_message),
        ("message", &connect),
        ("message_fragment", &fragment),
        ("reply", &of_reply),
        ("reply_fragment", &fragment),
        ("error", &[("call", "71"), ("errno", "112")]),
        ("replies", &[("call", "71"), ("reply_count", "44")]),
        ("messages", &of_messages),
        ("pulse", &of_pulse),
        ("pulse", &connect),
        ("cancel", &[("cancel.kind", "2"), ("errno", "110")]),
        (
            "detach",
            &[("conn", "72"), ("errno", "3"), ("record.flags", "0x02")],
        ),
        ("grant", &[("call", "71"), ("grant.limit", "1048576")]),
        (
            "ack_ranges",
            &[("ack_range.gap", "2,4"), ("ack_range.run", "3,5")],
        ),
        ("announce", &hello),
        ("who_is", &hello),
        ("who_is", &[("who_is.name", "wintermute")]),
        ("i_am", &hello),
        ("goodbye", &hello),
        ("init", &hello),
        ("init_ack", &of_handshake),
        ("confirm", &of_handshake),
        ("reset", &of_reset),
    ];
    let file = capture(false, |_| {});
    for (record, values) in expected {
        let names: Vec<String> = values
            .iter()
            .map(|(name, _)| format!("qnet.{name}"))
            .collect();
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let Some(lines) = tshark(&file, &format!("qnet.{record}"), &names) else {
            return;
        };
        let written: Vec<&str> = values.iter().map(|(_, value)| *value).collect();
        assert_eq!(lines, [written], "{record}: {names:?}");
    }
}

#[test]
fn what_breaks_the_format_is_complained_about() {
    // Reserved byte of the first record; its length; the version; a flag; the path; that acknowledged.
    let damages: [(usize, u8); 6] = [
        (47, 1),
        (48, 0xff),
        (14, VERSION - 1),
        (15, 0x80),
        (18, 8),
        (34, 8),
    ];
    for (at, value) in damages {
        let file = capture(false, |frame| frame[at] = value);
        let Some(lines) = tshark(&file, "qnet", &["_ws.expert.message"]) else {
            return;
        };
        assert_eq!(lines.len(), RecordType::ALL.len());
        for (line, kind) in lines.iter().zip(RecordType::ALL) {
            assert!(!line[0].is_empty(), "byte {at} of {kind:?}");
        }
    }
    // A packet number, an acknowledgement, RESPONDER: only in sessions.
    for (at, value) in [(25, 7), (41, 6), (15, 1)] {
        let file = capture(false, |frame| frame[at] = value);
        let Some(lines) = tshark(&file, "qnet", &["_ws.expert.message"]) else {
            return;
        };
        for (line, kind) in lines.iter().zip(RecordType::ALL) {
            assert_eq!(
                line[0].is_empty(),
                is_in_session(*kind),
                "byte {at} of {kind:?}"
            );
        }
    }
    let file = capture(false, |frame| frame[46] = 200);
    if let Some(lines) = tshark(&file, "qnet.unknown_record", &["qnet.record.type"]) {
        assert_eq!(lines.len(), RecordType::ALL.len());
    }
}
