//! The Wireshark dissector against the code: it knows every record type and reads every field as written.
//!
//! - `document`: its text against the code's types and the document's lengths.
//! - `frames`: what tshark is given to read.

mod document;
mod frames;

use std::{
    fs,
    path::PathBuf,
    process::{Command, Output},
};

use qnet_proto::wire::{RecordType, VERSION};

use frames::{capture, is_in_session, walk};

fn dissector() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("wireshark/qnet.lua")
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
fn paths_asked_for_and_answers_that_lead_elsewhere_are_shown() {
    let fields = ["qnet.io_connect.path", "_ws.col.Info"];
    let Some(lines) = tshark(&walk("wintermute/home/rk"), "qnet", &fields) else {
        return;
    };
    let [asked, answered] = &lines[..] else {
        panic!("two frames: {lines:?}")
    };
    assert_eq!(asked[0], "wintermute/home/rk");
    assert!(asked[1].contains("path wintermute/home/rk"), "{asked:?}");
    assert!(answered[1].contains("status redirect"), "{answered:?}");
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
