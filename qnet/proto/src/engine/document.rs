//! The sentences of `docs/protocol.md` that name a constant of the engine: each is made of the constant here and looked
//! for there, so that neither changes without the other. Tables are in `tests/document.rs`.

use std::time::Duration;

use super::absence::LATE_SHARE;
use super::cookie::COOKIE_LIFE_NS;
use super::doubt::{DOUBT_SHARE, STALE_NS};
use super::handshake::{CONFIRMS, RETRY_MAX_NS, RETRY_NS};
use super::least::{LOST_LEAST_ENOUGH, PROBES_LEAST};
use super::links::{SEEK_NS, SEEKS};
use super::mtu::{
    LOST_AN_AGE, LOST_LONG_ENOUGH, LOST_LONG_ENOUGH_STALLED, PROBES_PER_LEN, RAISE_NS,
};
use super::names::ASK_AGAIN_NS;
use super::path::{TRIES_UNASKED, TRY_MAX_NS, TRY_NS};
use super::queue::{OLDEST_EVERY, SMALL_LEN};
use super::received::{ACK_EVERY, ACK_EVERY_LEN, ACK_EVERY_LONG};
use super::rtt::TIMER_SLACK_NS;
use super::sent::LOSS_THRESHOLD;
use super::timers::STALL_PROBES;
use super::window::{
    INITIAL_LEN, KEPT_FRAMES, KEPT_LEN, LOSS_SHARE, SMALL_RESERVE_LEN, TELLING_PACKETS, WHOLE,
};
use super::{Config, LinkConfig};
use crate::limits::{
    CALLS_MAX, CONNS_MAX, EAGER_LEN, FRAGMENT_LEN_MIN, GAPS_MAX, GRANTED_LEN_MAX, MTU_MIN,
    MTU_SEARCH_STEP, PEERS_MAX, PLACED_RANGES_MAX, PLACED_RANGES_OF_PEER_MAX, PULSES_MAX,
    RESET_INTERVAL_NS, RESETS_BURST, SEARCH_INTERVAL_NS, SEARCHES_BURST, SEEN_WINDOW, UNASKED_LEN,
};
use crate::{Mac, NodeName};

const DOCUMENT: &str = include_str!("../../../docs/protocol.md");

/// Looks for a sentence, however its lines are broken.
fn says(sentence: &str) {
    let words = |text: &str| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(
        words(DOCUMENT).contains(&words(sentence)),
        "protocol.md does not say: {sentence}"
    );
}

/// Small numbers that the document spells out.
fn word(number: u32) -> &'static str {
    let words = ["no", "once", "twice", "three", "four"];
    words[number as usize]
}

/// The first `count` waits in ms, each twice as long as the one before, up to `max_ns`.
fn waits_ms(first_ns: u64, max_ns: u64, count: u32) -> String {
    let waits = (0..count).map(|n| ((first_ns << n).min(max_ns) / 1_000_000).to_string());
    waits.collect::<Vec<_>>().join(", ")
}

fn kib(len: impl TryInto<u64>) -> String {
    format!("{} KiB", len.try_into().unwrap_or(0) >> 10)
}

fn config() -> Config {
    let link = LinkConfig {
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1500,
    };
    Config::new(
        NodeName::new("a").expect("a legal name"),
        vec![link],
        [0; 32],
    )
}

#[test]
fn names_and_handshakes() {
    let asks = waits_ms(ASK_AGAIN_NS, u64::MAX, 3);
    says(&format!(
        "on every link at once, then after {asks}, .. ms; the bearer"
    ));
    says(&format!("remembers up to {PEERS_MAX} others by name"));
    let inits = waits_ms(RETRY_NS, RETRY_MAX_NS, 6);
    says(&format!("The same Init is repeated after {inits}, .. ms;"));
    let confirms = waits_ms(RETRY_NS, RETRY_MAX_NS, CONFIRMS);
    let last = RETRY_MAX_NS / 1_000_000;
    says(&format!(
        "Sent again after {confirms} ms; another {last} ms later the handshake begins anew"
    ));
    let life = COOKIE_LIFE_NS / 1_000_000_000;
    says(&format!("checks cookie (at most {life} s old)"));
    let stale = STALE_NS / 1_000_000_000;
    says(&format!(
        "in which nothing was heard for {stale} s is in doubt"
    ));
    says(&format!(
        "Nothing heard for tolerance/{DOUBT_SHARE}: the session"
    ));
    says(&format!(
        "| tolerance/{DOUBT_SHARE} without a frame, section 4 |"
    ));
    let interval = RESET_INTERVAL_NS / 1000;
    says(&format!(
        "at most {RESETS_BURST} times at once and once more for each {interval} us"
    ));
}

#[test]
fn paths_and_their_mtu() {
    let seeks = waits_ms(SEEK_NS, u64::MAX, SEEKS - 1);
    let later = (SEEK_NS << (SEEKS - 1)) / 1_000_000;
    says(&format!(
        "and after {seeks} ms, and further every {later} ms"
    ));
    let interval = SEARCH_INTERVAL_NS / 1_000_000;
    says(&format!(
        "is asked by WhoIs, {SEARCHES_BURST} times at once and once more for each {interval} ms"
    ));
    let tries = waits_ms(TRY_NS, TRY_MAX_NS, 6);
    let unasked = word(TRIES_UNASKED);
    says(&format!("then after {tries}, .. ms, {unasked} times after"));
    let stall = word(STALL_PROBES);
    says(&format!("silent: {stall} probe timeouts in a row"));
    says(&format!(
        "last {stall} probe timeouts or more in a row, or {LOST_AN_AGE} packets lost since it was begun anew, but at \
         least {MTU_MIN}."
    ));
    says(&format!("A frame of {MTU_MIN} bytes must pass."));
    says(&format!("When {LOST_LEAST_ENOUGH} packets no longer"));
    says(&format!("When {PROBES_LEAST} of them or more were lost"));
    says(&format!(
        "When {LOST_LONG_ENOUGH} frames longer than proven"
    ));
    says(&format!(
        "({LOST_LONG_ENOUGH_STALLED}, if the acknowledgement"
    ));
    let lost = word(PROBES_PER_LEN);
    says(&format!("a length lost {lost} is too long"));
    says(&format!("The search ends within {MTU_SEARCH_STEP} bytes"));
    says(&format!(
        "if more than {MTU_SEARCH_STEP} bytes are to be won"
    ));
    let raise = RAISE_NS / 1_000_000_000;
    says(&format!("sent {raise} s or more after the last probe"));
}

#[test]
fn acknowledgement_loss_and_window() {
    says(&format!(
        "or {ACK_EVERY} wait for it, or {ACK_EVERY_LONG} in"
    ));
    says(&format!("in frames of {} together", kib(ACK_EVERY_LEN)));
    says(&format!(
        "An acknowledgement with more than {GAPS_MAX} gaps"
    ));
    says(&format!("one sent {LOSS_THRESHOLD} or more later"));
    let floor = config().probe_timeout_min;
    let slack = Duration::from_nanos(TIMER_SLACK_NS).as_micros();
    let (floor_ms, first_ms) = (floor.as_millis(), (10 * floor).as_millis());
    says(&format!(
        "`max(SRTT + max(4 RTTVAR, {slack} us) + the peer's ack_delay, {floor_ms} ms)`, \
         {first_ms} ms plus the peer's ack_delay"
    ));
    says(&format!("It begins at {}", kib(INITIAL_LEN)));
    let reserve = kib(SMALL_RESERVE_LEN);
    says(&format!("the peer's `receive_window` less {reserve}"));
    says(&format!("control records may go {reserve} beyond"));
    says(&format!("1 in {} more than", WHOLE / LOSS_SHARE));
    let kept = kib(KEPT_LEN);
    says(&format!("below {kept} or {KEPT_FRAMES} frames"));
    says(&format!("the rounds of {TELLING_PACKETS} packets and more"));
    let stall = ["third"][STALL_PROBES as usize - 3];
    says(&format!("Each probe timeout from the {stall} in a row on"));
    says(&format!("more than tolerance/{LATE_SHARE} late"));
}

#[test]
fn calls() {
    says(&format!("only within {SEEN_WINDOW} of the lowest"));
    says(&format!("while fewer than {CALLS_MAX} calls are open"));
    says(&format!("keeps a bitmap of {SEEN_WINDOW} numbers"));
    says(&format!("no place beside {CONNS_MAX} others"));
    says(&format!(
        "or with {} calls of the peer unfinished",
        2 * CALLS_MAX
    ));
    let (eager, unasked) = (kib(EAGER_LEN), format!("{} MiB", UNASKED_LEN >> 20));
    says(&format!("Up to {eager} are sent unasked"));
    says(&format!("up to {unasked}, if a reply"));
    says(&format!("Bytes between {eager} and {unasked}"));
    says(&format!("holds back all of it beyond {eager} until"));
    says(&format!("stays within {} MiB", GRANTED_LEN_MAX >> 20));
    says(&format!("would be the {}th", PLACED_RANGES_MAX + 1));
    says(&format!(
        "all those of the peer have {PLACED_RANGES_OF_PEER_MAX} beyond the first"
    ));
    says(&format!("up to {PULSES_MAX} ahead of the next"));
    says(&format!(
        "{PULSES_MAX} per peer, of both directions, may be"
    ));
    let small = kib(SMALL_LEN);
    says(&format!("Long messages (over {small})"));
    says(&format!("then messages of up to {small}"));
    says(&format!("A message or reply of up to {small} that fits"));
    says(&format!("Every {OLDEST_EVERY}th packet begins"));
    says(&format!("nor is less than {FRAGMENT_LEN_MIN} bytes"));
}
