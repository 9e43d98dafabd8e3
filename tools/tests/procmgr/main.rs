//! The process manager as a process: registration, resolution, death of either side, hostile messages.
//!
//! Each test has a node of its own and runs in a process of its own, because a process belongs to one node:
//! it is the ignored test of the same name in `inside`, started with the node's runtime directory.

mod hello;
mod inside;
mod node;

use node::run_inside;

macro_rules! tests {
    ($($name:ident)*) => {$(
        #[test]
        fn $name() {
            run_inside(concat!("inside::", stringify!($name)));
        }
    )*};
}

tests! {
    a_registered_prefix_is_found_and_read
    what_is_dropped_is_taken_back
    the_process_manager_lists_what_lies_above_the_prefixes
    many_threads_open_read_and_close_at_once
    a_dead_servers_prefixes_vanish
    servers_register_again_when_the_process_manager_comes_back
    open_files_outlive_the_process_manager
    names_are_found_without_a_message_to_their_server
    tables_say_who_is_blocked_on_whom
    without_a_process_manager_the_error_says_how_to_start_it
    malformed_messages_are_answered_and_survived
    a_second_process_manager_is_refused
    other_users_register_names_only
    servers_that_lead_in_a_circle_are_eloop
    a_symbolic_link_starts_again_at_the_process_manager
}
