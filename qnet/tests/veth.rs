//! The packet socket and its ring on a real network device: a veth pair in a network namespace that
//! the test makes, as root or in a user namespace, and that goes with it.

mod support;

use std::{
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
    time::{Duration, Instant},
};

use qnet::driver::{CaptureLink, FrameSocket, Link, LinkError, Mac, Poke, RingLink};

use qnet_proto::LinkId;

use support::{in_namespace, ip, make_veth};

const ETHERTYPE: u16 = 0x88b5;

/// `None`, with the reason printed, where io_uring is refused.
fn open(interface: &str) -> Option<RingLink> {
    let socket = FrameSocket::packet(interface, ETHERTYPE).unwrap();
    match RingLink::open(socket, Poke::new().unwrap(), Vec::new()) {
        Ok(link) => Some(link),
        Err(error @ LinkError::RingRefused(_)) => {
            println!("skipped: {error}");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn send(link: &mut dyn Link, to: Mac, payload: &[u8]) {
    let from = link.mac();
    let frame = link.frame_buffer().expect("a free buffer");
    frame[..6].copy_from_slice(&to.0);
    frame[6..12].copy_from_slice(&from.0);
    frame[12..14].copy_from_slice(&ETHERTYPE.to_be_bytes());
    frame[14..14 + payload.len()].copy_from_slice(payload);
    link.queue(14 + payload.len());
    link.wait(Some(Duration::ZERO)).unwrap();
}

fn receive(link: &mut dyn Link) -> Vec<u8> {
    loop {
        if let Some(frame) = link.next_frame() {
            return frame[14..].to_vec();
        }
        link.wait(None).unwrap();
    }
}

#[test]
fn frames_cross_a_veth_pair_at_mtu_1500() {
    in_namespace("inside_frames_cross_at_1500");
}

#[test]
#[ignore = "run by frames_cross_a_veth_pair_at_mtu_1500 in its namespace"]
fn inside_frames_cross_at_1500() {
    frames_cross(1500);
}

#[test]
fn frames_cross_a_veth_pair_at_mtu_9000() {
    in_namespace("inside_frames_cross_at_9000");
}

#[test]
#[ignore = "run by frames_cross_a_veth_pair_at_mtu_9000 in its namespace"]
fn inside_frames_cross_at_9000() {
    frames_cross(9000);
}

fn frames_cross(mtu: usize) {
    make_veth(mtu);
    let (Some(mut a), Some(mut b)) = (open("va"), open("vb")) else {
        return;
    };
    assert_eq!((a.mtu(), b.mtu()), (mtu, mtu));
    a.wait(Some(Duration::ZERO)).unwrap();
    b.wait(Some(Duration::ZERO)).unwrap();
    let (to_a, to_b) = (a.mac(), b.mac());
    for len in [46, 100, mtu] {
        let payload: Vec<u8> = (0..len).map(|i| (i * 7) as u8).collect();
        send(&mut a, to_b, &payload);
        assert_eq!(receive(&mut b), payload);
        send(&mut b, to_a, &payload);
        assert_eq!(receive(&mut a), payload);
        send(&mut b, Mac::BROADCAST, &payload);
        assert_eq!(receive(&mut a), payload);
    }
    // A station's own frames do not come back to it.
    assert_eq!((a.counters().foreign, a.counters().frames_received), (0, 6));
}

#[test]
fn other_protocols_and_stations_are_not_received() {
    in_namespace("inside_others_are_not_received");
}

#[test]
#[ignore = "run by other_protocols_and_stations_are_not_received in its namespace"]
fn inside_others_are_not_received() {
    make_veth(1500);
    let (Some(mut a), Some(mut b)) = (open("va"), open("vb")) else {
        return;
    };
    b.wait(Some(Duration::ZERO)).unwrap();
    // The kernel sends IPv6 and such by itself; another station's frame passes on a shared segment.
    send(&mut a, Mac([2, 9, 9, 9, 9, 9]), b"not for b");
    let to_b = b.mac();
    send(&mut a, to_b, b"for b");
    assert_eq!(&receive(&mut b)[..5], b"for b");
    assert_eq!(b.counters().foreign, 1);
}

#[test]
fn frames_that_the_kernel_has_no_room_for_are_counted() {
    in_namespace("inside_overflow");
}

#[test]
#[ignore = "run by frames_that_the_kernel_has_no_room_for_are_counted in its namespace"]
fn inside_overflow() {
    // More than twice what a socket keeps, whatever room it was given.
    const SENT_LEN: usize = 24 << 20;
    make_veth(1500);
    let (Some(mut a), Some(mut b)) = (open("va"), open("vb")) else {
        return;
    };
    a.wait(Some(Duration::ZERO)).unwrap();
    b.wait(Some(Duration::ZERO)).unwrap();
    assert_eq!(b.counters().overflowed, 0);
    let (to, payload) = (b.mac(), [7; 1500]);
    for _ in 0..SENT_LEN / payload.len() {
        send(&mut a, to, &payload);
    }
    let overflowed = b.counters_of(LinkId(0)).overflowed;
    assert!(overflowed > 0, "nobody took a frame");
    // What found room is still there, and counts as taken alone. A frame may have been on its way until now.
    while b.next_frame().is_some() || b.counters().frames_received == 0 {
        b.wait(Some(Duration::ZERO)).unwrap();
    }
    let (sent, taken) = (a.counters().frames_sent, b.counters());
    assert!(taken.overflowed >= overflowed, "{taken:?}");
    assert!(
        taken.frames_received + taken.overflowed <= sent,
        "{sent} {taken:?}"
    );
}

#[test]
fn an_interface_that_goes_down_comes_back_and_one_that_goes_away_is_an_error() {
    in_namespace("inside_down_and_away");
}

#[test]
#[ignore = "run by an_interface_that_goes_down_comes_back_and_one_that_goes_away_is_an_error"]
fn inside_down_and_away() {
    make_veth(1500);
    let (Some(mut a), Some(mut b)) = (open("va"), open("vb")) else {
        return;
    };
    b.wait(Some(Duration::ZERO)).unwrap();
    ip("link set vb down");
    b.wait(Some(Duration::from_millis(10))).unwrap();
    let to_b = b.mac();
    send(&mut a, to_b, b"lost");
    ip("link set vb up");
    b.wait(Some(Duration::from_millis(10))).unwrap();
    // The carrier takes a moment to come up on both sides.
    let payload = loop {
        send(&mut a, to_b, b"back");
        b.wait(Some(Duration::from_millis(20))).unwrap();
        if let Some(frame) = b.next_frame() {
            break frame[14..18].to_vec();
        }
    };
    assert_eq!(payload, b"back");

    ip("link del va");
    let gone = loop {
        if let Err(error) = b.wait(Some(Duration::from_millis(20))) {
            break error;
        }
        while b.next_frame().is_some() {}
    };
    assert!(matches!(gone, LinkError::InterfaceGone(name) if name == "vb"));
}

#[test]
fn an_interface_that_is_renamed_goes_on() {
    in_namespace("inside_renamed");
}

#[test]
#[ignore = "run by an_interface_that_is_renamed_goes_on in its namespace"]
fn inside_renamed() {
    make_veth(1500);
    let (Some(mut a), Some(mut b)) = (open("va"), open("vb")) else {
        return;
    };
    until_all_carry(&mut b, 1);
    // Its name is asked for only after it was changed, and meanwhile another interface has the old one.
    ip("link set vb down");
    ip("link set vb name vz");
    ip("link add vb type veth peer name vy");
    until_carrier(&mut b, false);
    ip("link set vz up");
    until_carrier(&mut b, true);
    let to_b = b.mac();
    send(&mut a, to_b, b"by another name");
    assert_eq!(&receive(&mut b)[..15], b"by another name");
}

#[test]
fn a_capture_holds_the_frames_of_both_directions() {
    in_namespace("inside_a_capture");
}

#[test]
#[ignore = "run by a_capture_holds_the_frames_of_both_directions in its namespace"]
fn inside_a_capture() {
    make_veth(1500);
    let (Some(a), Some(mut b)) = (open("va"), open("vb")) else {
        return;
    };
    b.wait(Some(Duration::ZERO)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("wire.pcapng");
    let mut a = CaptureLink::create(a, &path, "va").unwrap();
    a.wait(Some(Duration::ZERO)).unwrap();
    let (to_a, to_b) = (a.mac(), b.mac());
    send(&mut a, to_b, b"there and");
    assert_eq!(receive(&mut b), b"there and");
    send(&mut b, to_a, b"back again");
    assert_eq!(receive(&mut a), b"back again");
    a.wait(Some(Duration::ZERO)).unwrap();

    let file = std::fs::read(&path).unwrap();
    let contains = |text: &[u8]| file.windows(text.len()).any(|window| window == text);
    assert!(contains(b"there and") && contains(b"back again"));
}

// covers: NET-8
#[test]
fn a_link_of_two_ports_tells_of_their_carriers_and_outlives_one_of_them() {
    in_namespace("inside_two_ports");
}

#[test]
#[ignore = "run by a_link_of_two_ports_tells_of_their_carriers_and_outlives_one_of_them"]
fn inside_two_ports() {
    make_veth(1500);
    ip("link add vc mtu 9000 type veth peer name vd mtu 9000");
    ip("link set vc up");
    ip("link set vd up");
    let ports = ["va", "vc"].map(|name| FrameSocket::packet(name, ETHERTYPE).unwrap());
    let macs = [ports[0].interface().mac, ports[1].interface().mac];
    let mut two = match RingLink::open_ports(ports.into(), Poke::new().unwrap(), Vec::new()) {
        Ok(link) => link,
        Err(error) => return println!("skipped: {error}"),
    };
    let (Some(mut b), Some(mut d)) = (open("vb"), open("vd")) else {
        return;
    };
    assert_eq!(two.mtu(), 9000);
    for link in [&mut b, &mut d] {
        link.wait(Some(Duration::from_millis(10))).unwrap();
    }
    until_all_carry(&mut two, 2);

    send(&mut b, macs[0], b"through the first");
    send(&mut d, macs[1], b"through the second");
    let mut seen = Vec::new();
    while seen.len() < 2 {
        two.wait(None).unwrap();
        while let Some((port, _)) = two.next_frame_from() {
            seen.push(port.0);
        }
    }
    seen.sort_unstable();
    assert_eq!(seen, [0, 1]);

    // The other end going down takes the carrier of this one, and no frame is needed to learn of it.
    for (state, is_up) in [("down", false), ("up", true)] {
        ip(&format!("link set vb {state}"));
        until_carrier(&mut two, is_up);
    }

    ip("link del va");
    until_carrier(&mut two, false);
    send(&mut d, macs[1], b"the second lives");
    assert_eq!(&receive(&mut two)[..16], b"the second lives");
}

/// Waits until all `ports` have a carrier. The kernel tells late that ports came up, by up to a second: a port that was
/// never seen up is not seen to go down.
fn until_all_carry(link: &mut RingLink, ports: usize) {
    let mut up = vec![true; ports];
    let started = Instant::now();
    loop {
        link.wait(Some(Duration::from_millis(10))).unwrap();
        while let Some((port, now_up)) = link.next_carrier() {
            up[usize::from(port.0)] = now_up;
        }
        if !up.contains(&false) {
            return;
        }
        assert!(started.elapsed() < Duration::from_secs(60), "{up:?}");
    }
}

/// Waits for this news of the first port, which must be the next that is told.
fn until_carrier(link: &mut RingLink, is_up: bool) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(60) {
        link.wait(Some(Duration::from_millis(20))).unwrap();
        if let Some(news) = link.next_carrier() {
            assert_eq!((news.0.0, news.1), (0, is_up));
            return;
        }
    }
    panic!("nobody tells that the first port is up: {is_up}");
}

#[test]
fn an_interface_and_a_type_are_one_nodes() {
    in_namespace("inside_one_nodes");
}

#[test]
#[ignore = "run by an_interface_and_a_type_are_one_nodes in its namespace"]
fn inside_one_nodes() {
    make_veth(1500);
    ip("link add vc type veth peer name vd");
    let _va = FrameSocket::packet("va", ETHERTYPE).unwrap();
    let vc = FrameSocket::packet("vc", ETHERTYPE).unwrap();
    for taken in ["va", "vc"] {
        let refused = FrameSocket::packet(taken, ETHERTYPE).unwrap_err();
        assert!(matches!(&refused, LinkError::Taken { name, .. } if name == taken));
        let (said, pid) = (refused.to_string(), std::process::id());
        assert!(said.contains("--ethertype 0x88b6"), "{said}");
        assert!(said.contains(&format!("process {pid} of user")), "{said}");
    }
    let _other_type = FrameSocket::packet("vc", 0x88b6).unwrap();
    let _other_end = FrameSocket::packet("vd", ETHERTYPE).unwrap();
    // Renaming makes no other interface of it.
    ip("link set vc down");
    ip("link set vc name ve");
    let refused = FrameSocket::packet("ve", ETHERTYPE).unwrap_err();
    assert!(matches!(refused, LinkError::Taken { .. }));
    drop(vc);
    FrameSocket::packet("ve", ETHERTYPE).expect("it is free again");

    // A name in the hands of who receives no frames keeps nobody away.
    let index = nix::net::if_::if_nametoindex("vb").unwrap();
    let name = format!("qnet/{index}/{ETHERTYPE:04x}");
    let stranger = SocketAddr::from_abstract_name(&name).unwrap();
    let _stranger = UnixListener::bind_addr(&stranger).unwrap();
    let _first = FrameSocket::packet("vb", ETHERTYPE).expect("a stranger keeps nobody away");
    let refused = FrameSocket::packet("vb", ETHERTYPE).unwrap_err();
    assert!(matches!(refused, LinkError::Taken { .. }));
}
