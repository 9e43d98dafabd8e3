//! Calls that few programs make, and that go wrong quietly where somebody forgot them.

#[allow(dead_code, reason = "each test program uses a part of it")]
mod node;

use std::fs;
use std::process::Command;

use node::{Node, said};

/// Runs a program on a directory of the system's, which shows that it is right, and then on one of the node's.
#[track_caller]
fn does_the_same_on_both(source: &str) {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let program = node.compile(source, "program");
    let alone = node.folder().join("alone");
    fs::create_dir(&alone).unwrap();
    let output = Command::new(&program).arg(alone).output().unwrap();
    assert!(output.status.success(), "of the system: {}", said(&output));
    let output = node.preloaded(program).arg("/qnet-test").output().unwrap();
    assert!(output.status.success(), "{}", said(&output));
}

#[test]
fn calls_that_few_programs_make_are_answered_as_for_any_other_file() {
    does_the_same_on_both(include_str!("corners/program.c"));
}

#[test]
fn no_signal_ends_what_is_done_with_a_file() {
    does_the_same_on_both(include_str!("corners/signals.c"));
}

#[test]
fn what_an_executed_program_has_not_inherited_is_closed() {
    does_the_same_on_both(include_str!("corners/exec.c"));
}

#[test]
fn a_child_of_a_program_with_many_threads_waits_for_none_of_them() {
    does_the_same_on_both(include_str!("corners/fork.c"));
}

#[test]
fn a_handler_that_forks_waits_for_nothing_that_its_own_thread_is_at() {
    does_the_same_on_both(include_str!("corners/handler.c"));
}

#[test]
fn streams_get_other_files_and_have_wide_characters() {
    does_the_same_on_both(include_str!("corners/streams.c"));
}

#[test]
fn trees_are_walked() {
    does_the_same_on_both(include_str!("corners/walk.c"));
}

#[test]
fn an_allocator_that_reads_its_options_is_asked_for_no_memory() {
    does_the_same_on_both(include_str!("corners/allocator.c"));
}

#[test]
fn programs_and_scripts_are_executed() {
    does_the_same_on_both(include_str!("corners/execute.c"));
}

#[test]
fn make_finds_the_files_of_a_pattern() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let text = "cd $D; touch a.c b.c; printf 'all:\\n\\t@echo $(wildcard *.c) $(wildcard /qnet-test/a.*)\\n' > Makefile; make";
    assert_eq!(node.script("sh", text), "a.c b.c /qnet-test/a.c\n");
}

#[test]
fn shells_execute_what_is_built_there() {
    let node = Node::start();
    let _export = node.export("/qnet-test");
    let text = "cd $D; printf '#!/bin/sh\\necho $0 $1\\nexit 3\\n' > script; chmod +x script; ./script one || echo $?; \
                cp /bin/echo .; ./echo two; printf 'all:\\n\\t@./echo three\\n' > Makefile; make; env $D/script four || echo $?; \
                echo echo five > plain; chmod +x plain; ./plain; ./none 2> /dev/null || echo $?";
    assert_eq!(
        node.script("sh", text),
        "./script one\n3\ntwo\nthree\n/qnet-test/script four\n3\nfive\n127\n"
    );
}
