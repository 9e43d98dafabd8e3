//! A client that goes costs what it has in flight, and leaves nothing behind, whatever others have in the table.

use std::sync::Arc;

use crate::{
    abi::{ChannelFlags, Errno, Rcvid, limits::QUEUE_SPARE},
    channel::{
        Inner, MessageBatch, MessagesApart, apart, batch, leases::Items, test_client::Client,
        test_client::channel,
    },
    srr::{Delivery, Want, Wish, visits},
};

/// Slots of a client that fills its ring.
const SLOTS: u32 = 1024;

/// Looks at cells that one message of a client that goes may cost.
const LOOKS_PER_MESSAGE: usize = 10;

/// Posts a message from each slot; all of them are in the table afterwards.
fn fill(channel: &Inner, client: &mut Client, slots: u32) {
    (0..slots).for_each(|slot| client.send(slot, 1));
    channel.lock().drain();
}

fn receive(channel: &Inner) -> Option<Rcvid> {
    match channel.lock().receive(Want::Anything)? {
        Delivery::Message(id) => Some(id),
        Delivery::Pulse(..) => panic!("nobody sent one"),
    }
}

/// Whose message that is, and in which slot.
fn whose(channel: &Inner, id: Rcvid) -> Result<(u32, u32), Errno> {
    let state = channel.lock();
    let (message, _) = state.table.blocked(id)?;
    Ok((message.index, message.entry.slot))
}

fn hang_up(channel: &Inner, client: &Client) -> usize {
    visits::while_doing(|| channel.lock().remove(client.index))
}

// covers: DTH-2
#[test]
fn a_hang_up_looks_at_the_messages_of_the_client_that_goes_and_at_no_others() {
    let channel = channel(ChannelFlags::UNBLOCK);
    let mut others = [(); 8].map(|()| Client::attach(&channel, SLOTS));
    let mut received = Vec::new();
    for other in &mut others {
        fill(&channel, other, SLOTS);
        received.extend((0..SLOTS / 2).map(|_| receive(&channel).expect("it waits")));
    }
    let mut leaver = Client::attach(&channel, 64);
    fill(&channel, &mut leaver, 64);
    let all = others.len() * SLOTS as usize;
    let looks = hang_up(&channel, &leaver);
    assert!(
        looks <= 64 * LOOKS_PER_MESSAGE,
        "{looks} looks for 64 of {all}"
    );
    // Half of the messages of one that goes are received.
    let looks = hang_up(&channel, &others[0]);
    assert!(
        looks <= SLOTS as usize * LOOKS_PER_MESSAGE,
        "{looks} looks for {SLOTS} of {all}"
    );
    received.retain(|id| match whose(&channel, *id) {
        Ok((index, _)) => index != others[0].index,
        Err(error) => error != Errno::ESRCH,
    });
    while let Some(id) = receive(&channel) {
        received.push(id);
    }
    assert_eq!(received.len(), all - SLOTS as usize);
    for id in received {
        let (index, _) = whose(&channel, id).expect("its client is there");
        assert!(others[1..].iter().any(|other| other.index == index));
    }
}

// covers: PLS-2
#[test]
fn the_pulses_of_a_client_that_went_still_arrive_and_its_messages_do_not() {
    let channel = channel(ChannelFlags::empty());
    let mut leaver = Client::attach(&channel, 4);
    leaver.send(0, 1);
    leaver.send_pulse();
    leaver.send(1, 1);
    hang_up(&channel, &leaver);
    let mut state = channel.lock();
    let delivery = state.receive(Want::Anything);
    assert!(matches!(delivery, Some(Delivery::Pulse(pulse, _)) if pulse.value == 7));
    assert_eq!(state.receive(Want::Anything), None);
}

#[test]
fn clients_that_come_and_go_beside_a_full_table_cost_their_own_messages_each_time() {
    let channel = channel(ChannelFlags::empty());
    let mut other = Client::attach(&channel, SLOTS);
    fill(&channel, &mut other, SLOTS);
    let (rounds, slots) = (100, 128);
    assert!(
        rounds * slots as usize > 4 * QUEUE_SPARE,
        "places that are left get many"
    );
    let mut looks = 0;
    for _ in 0..rounds {
        let mut guest = Client::attach(&channel, slots);
        fill(&channel, &mut guest, slots);
        looks += hang_up(&channel, &guest);
    }
    assert!(
        looks <= rounds * slots as usize * LOOKS_PER_MESSAGE,
        "{looks}"
    );
    // Nor does what they left behind stay.
    let capacity = channel.lock().table.capacity();
    assert!(capacity <= 8 * SLOTS as usize, "room for {capacity}");
    let waits = std::iter::from_fn(|| receive(&channel)).count();
    assert_eq!(waits, SLOTS as usize);
}

// covers: RPL-1, DTH-2
#[test]
fn messages_of_a_batch_are_forgotten_with_their_client_whether_or_not_they_got_ids() {
    let channel = channel(ChannelFlags::UNBLOCK);
    let mut leaver = Client::attach(&channel, 8);
    (0..8).for_each(|slot| leaver.send(slot, 5));
    let mut state = channel.lock();
    let mut items = Items::default();
    assert!(state.receive_messages(&mut items, 8));
    assert_eq!(items.len(), 8);
    let items = Arc::new(items);
    let lease = state.leases.enter(&items);
    // One was asked for its id, and one wants out.
    let asked = state.rcvid_of_leased(lease, 2);
    state.cancel(leaver.index, 6, 5, Wish::Both);
    assert_eq!(state.table.reply_blocked_count(), 2);
    assert_eq!(state.table.pulses_queued(), 1);
    drop(state);
    assert_eq!(whose(&channel, asked), Ok((leaver.index, 2)));
    hang_up(&channel, &leaver);
    let mut state = channel.lock();
    assert_eq!(state.table.reply_blocked_count(), 0);
    assert_eq!(state.table.pulses_queued(), 0);
    assert_eq!(state.table.blocked(asked).err(), Some(Errno::ESRCH));
    for at in 0..8 {
        assert_eq!(state.check_leased(lease, at), Err(Errno::ESRCH));
    }
    let late = state.rcvid_of_leased(lease, 3);
    assert_eq!(state.table.blocked(late).err(), Some(Errno::ESRCH));
    let mut gone = Vec::new();
    state.answer_leased(lease, &items, 0..8, &mut gone);
    gone.sort_unstable();
    assert_eq!(gone, (0..8).collect::<Vec<_>>());
}

// covers: DTH-2
#[test]
fn what_was_answered_together_keeps_nothing_of_a_connection_that_has_gone() {
    let channel = channel(ChannelFlags::empty());
    let (mut apart, mut batch) = (
        MessagesApart::with_capacity(32),
        MessageBatch::with_capacity(32),
    );
    for answers_apart in [true, false] {
        let mut leaver = Client::attach(&channel, 32);
        (0..32).for_each(|slot| leaver.tell(slot, 1));
        let connection = Arc::downgrade(&leaver.attached);
        if answers_apart {
            assert_eq!(apart::receive(&channel, &mut apart), Ok(true));
            let answers: Vec<_> = (0..32).map(|at| (at, 0)).collect();
            assert_eq!(apart.reply_quietly(&answers, &mut Vec::new()), Ok(()));
        } else {
            assert_eq!(batch::receive(&channel, &mut batch, Some(0)), Ok(None));
            assert_eq!(batch.reply_each(|_, _| Ok(0)), Ok(32));
        }
        hang_up(&channel, &leaver);
        drop(leaver);
        assert_eq!(connection.strong_count(), 0, "apart: {answers_apart}");
    }
}

// covers: CHN-1
#[test]
fn a_channel_that_is_destroyed_knows_no_message_any_more() {
    let channel = channel(ChannelFlags::UNBLOCK);
    let mut client = Client::attach(&channel, SLOTS);
    fill(&channel, &mut client, SLOTS);
    let id = receive(&channel).expect("it waits");
    channel.lock().cancel(client.index, 0, 1, Wish::Both);
    assert_eq!(channel.lock().table.pulses_queued(), 1);
    channel.close();
    assert_eq!(whose(&channel, id), Err(Errno::ESRCH));
    assert_eq!(channel.lock().table.pulses_queued(), 0);
    assert_eq!(channel.lock().table.send_blocked().count(), 0);
    hang_up(&channel, &client);
}

// covers: RPL-1
#[test]
fn ids_from_before_a_burst_are_dead_when_the_table_has_shrunk_and_grown_again() {
    let channel = channel(ChannelFlags::empty());
    let mut clients = [(); 4].map(|()| Client::attach(&channel, SLOTS));
    let mut stale = Vec::new();
    let small = channel.lock().table.capacity();
    for generation in 1..4 {
        for client in &mut clients {
            (0..SLOTS).for_each(|slot| client.send(slot, generation));
        }
        channel.lock().drain();
        let ids: Vec<Rcvid> = std::iter::from_fn(|| receive(&channel)).collect();
        assert_eq!(ids.len(), 4 * SLOTS as usize);
        for id in &stale {
            assert_eq!(whose(&channel, *id), Err(Errno::ESRCH));
            assert_eq!(channel.lock().answer(*id), Err(Errno::ESRCH));
        }
        assert!(channel.lock().table.capacity() >= 4 * SLOTS as usize);
        for id in ids {
            channel.lock().answer(id).expect("it waits");
            stale.push(id);
        }
        let kept = channel.lock().table.capacity() - small;
        assert!(kept <= 3 * SLOTS as usize, "room for {kept}");
    }
}
