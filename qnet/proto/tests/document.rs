//! The numbers of `docs/protocol.md` are those of the code: who writes another implementation reads nothing else.

use std::collections::BTreeMap;

use qnet_proto::limits::{
    ACK_RANGES_MAX, ACK_RANGES_PER_RECORD, CALLS_MAX, CONNS_MAX, DATAGRAMS_MAX, EAGER_LEN,
    GRANTED_LEN_MAX, LINKS_MAX, MESSAGE_LEN_MAX, MTU_MAX, MTU_MIN, NODE_NAME_LEN_MAX, PATHS_MAX,
    PEERS_MAX, PLACED_RANGES_MAX, PLACED_RANGES_OF_PEER_MAX, PULSES_MAX, QNET_HEADER_LEN,
    REPLIES_MAX, REPLIES_PER_FRAME_MAX, REPLY_EXTENTS_MAX, RESET_INTERVAL_NS, RESETS_BURST,
    RESOLVES_MAX, SEARCH_INTERVAL_NS, SEARCHES_BURST, SEEN_WINDOW, TAG_LEN, UNASKED_LEN,
};
use qnet_proto::wire::{RecordType, VERSION};
use qnet_proto::{Config, DownReason, Mac, NodeName, PathState};

const DOCUMENT: &str = include_str!("../../docs/protocol.md");

/// The rows of the first table below a heading that begins so, without its head.
fn rows(heading: &str) -> Vec<Vec<&'static str>> {
    let below = DOCUMENT
        .split_once(heading)
        .expect("the heading is there")
        .1;
    below
        .lines()
        .skip_while(|line| !line.starts_with('|'))
        .take_while(|line| line.starts_with('|'))
        .skip(2)
        .map(|row| row.trim_matches('|').split('|').map(str::trim).collect())
        .collect()
}

fn kib(len: usize) -> String {
    format!("{} KiB", len >> 10)
}

fn mib(len: usize) -> String {
    format!("{} MiB", len >> 20)
}

#[test]
fn the_table_of_limits_is_that_of_the_code() {
    assert_eq!(LINKS_MAX, PATHS_MAX, "one row names both");
    let unasked = format!(
        "{}; {} to a server that has answered",
        kib(EAGER_LEN),
        mib(UNASKED_LEN)
    );
    let calls = format!("{CALLS_MAX} (a receiver admits twice that: answers on their way)");
    let expected = BTreeMap::from([
        ("MTU", format!("{MTU_MIN}..{MTU_MAX}")),
        (
            "links of a node; paths of a session; addresses known of a node",
            LINKS_MAX.to_string(),
        ),
        ("message, reply", mib(MESSAGE_LEN_MAX)),
        ("unasked part of a message", unasked),
        ("node name", format!("{NODE_NAME_LEN_MAX} bytes")),
        ("nodes known", PEERS_MAX.to_string()),
        ("names looked up at one time", RESOLVES_MAX.to_string()),
        ("open calls to one peer", calls),
        ("connections with one peer", CONNS_MAX.to_string()),
        ("numbers on their way", SEEN_WINDOW.to_string()),
        ("pulses unacknowledged", PULSES_MAX.to_string()),
        (
            "separate ranges placed of one message or reply",
            PLACED_RANGES_MAX.to_string(),
        ),
        (
            "the same of all of one peer, beyond the first of each",
            PLACED_RANGES_OF_PEER_MAX.to_string(),
        ),
        (
            "granted and incomplete bytes of one peer",
            mib(GRANTED_LEN_MAX),
        ),
        (
            "runs of packet numbers remembered; named in a packet",
            format!("{ACK_RANGES_MAX}; {ACK_RANGES_PER_RECORD}"),
        ),
        ("extents of a reply", REPLY_EXTENTS_MAX.to_string()),
        (
            "frames outside sessions that wait to be sent",
            DATAGRAMS_MAX.to_string(),
        ),
        (
            "calls that a Replies answers; all of one frame",
            format!("{REPLIES_MAX}; {REPLIES_PER_FRAME_MAX}"),
        ),
        (
            "Resets to unknown sessions: at once; then one each",
            format!("{RESETS_BURST}; {} us", RESET_INTERVAL_NS / 1000),
        ),
        (
            "questions who is at an unknown address: at once; then one each",
            format!("{SEARCHES_BURST}; {} ms", SEARCH_INTERVAL_NS / 1_000_000),
        ),
    ]);
    let written: BTreeMap<&str, String> = rows("## 9. Limits")
        .iter()
        .map(|row| (row[0], row[1].to_owned()))
        .collect();
    assert_eq!(written, expected);
}

#[test]
fn the_table_of_records_names_each_type_that_the_code_reads() {
    let written: BTreeMap<u8, &str> = rows("## 2. Records")
        .iter()
        .map(|row| (row[0].parse().expect("a number"), row[1]))
        .collect();
    let known: BTreeMap<u8, String> = RecordType::ALL
        .iter()
        .map(|kind| (*kind as u8, format!("{kind:?}")))
        .collect();
    let known = known.iter().map(|(number, name)| (*number, name.as_str()));
    assert_eq!(written, known.collect());
}

#[test]
fn the_header_is_as_long_as_its_table_and_names_the_version() {
    assert!(DOCUMENT.starts_with(&format!("# The Qnet protocol, version {VERSION}\n")));
    let fields = rows("## 1. Frames");
    assert_eq!(fields[0][2..], ["version", &VERSION.to_string()]);
    let number = |row: &Vec<&str>, at: usize| row[at].parse::<usize>().expect("a number");
    let mut next = 0;
    for row in &fields {
        assert_eq!(number(row, 0), next, "{row:?}");
        next += number(row, 1);
    }
    assert_eq!(next, QNET_HEADER_LEN);
    assert!(DOCUMENT.contains(&format!("tag {TAG_LEN}, if sealed")));
}

#[test]
fn the_states_of_a_path_are_those_of_the_code() {
    use PathState::{Down, Silent, Trying, Up};
    let known = [Trying, Up, Silent, Down].map(|state| format!("{state:?}").to_lowercase());
    let written: Vec<&str> = rows("**path** is a pair")
        .iter()
        .map(|row| row[0])
        .collect();
    assert_eq!(written[..4], known);
    assert_eq!(written[4..], ["any"]);
}

#[test]
fn what_ends_a_session_is_the_errno_of_the_document() {
    let reasons = [
        ("silent", DownReason::Silent),
        ("lost", DownReason::SessionLost),
        ("forgotten", DownReason::Forgotten),
        ("restarted", DownReason::Restarted),
        ("bye", DownReason::Bye),
        ("unreachable", DownReason::Unreachable),
        ("too narrow", DownReason::TooNarrow),
        ("refused", DownReason::NameRefused),
    ];
    let (_, list) = DOCUMENT
        .split_once("calls of local clients fail (")
        .expect("the list is there");
    let (list, _) = list.split_once(')').expect("it ends");
    let written: BTreeMap<&str, &str> = list
        .split(';')
        .flat_map(|group| {
            let (reasons, errno) = group.split_once(':').expect("reasons: errno");
            reasons
                .split(',')
                .map(move |reason| (reason.trim(), errno.trim()))
        })
        .collect();
    let errnos = reasons.map(|(name, reason)| (name, format!("{:?}", reason.errno())));
    let known = errnos.iter().map(|(name, errno)| (*name, errno.as_str()));
    assert_eq!(written, known.collect());
}

#[test]
fn the_times_that_can_be_configured_are_the_documents_unless_they_are() {
    let link = qnet_proto::LinkConfig {
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
    };
    let name = NodeName::new("a").expect("a legal name");
    let config = Config::new(name, vec![link], [0; 32]);
    let timer = |name: &str| {
        let rows = rows("## 8. Timers and death");
        let row = rows.iter().find(|row| row[0].starts_with(name));
        row.unwrap_or_else(|| panic!("no timer {name}"))[2]
    };
    let ms = config.ack_delay.as_millis();
    assert_eq!(timer("acknowledgement"), format!("{ms} ms"));
    let seconds = config.tolerance.as_secs_f64();
    assert!(timer("death").contains(&format!("({seconds} s)")));
    let idle = config.keepalive_idle.as_secs();
    assert!(timer("slow keepalive").starts_with(&format!("{idle} s")));
    let resolve = config.resolve_timeout.as_secs();
    assert!(DOCUMENT.contains(&format!("resolve timeout ({resolve} s)")));
    assert!(DOCUMENT.contains(&format!("EtherType {:#06X}", config.ethertype).replace("0X", "0x")));
}
