//! Replays the corpora of the fuzz targets, and bytes near to them.

use std::{fs, path::Path};

#[path = "../fuzz/checks.rs"]
mod checks;

/// Runs `check` on every input of the target, and on every input with one byte changed or its end cut off.
fn replay(target: &str, check: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(target);
    let inputs: Vec<_> = fs::read_dir(&folder)
        .expect("the corpus is there")
        .collect();
    assert!(!inputs.is_empty(), "no input in {}", folder.display());
    for input in inputs {
        let input = fs::read(input.expect("readable").path()).expect("readable");
        check(&input);
        for at in 0..input.len() {
            check(&input[..at]);
            for value in [0, 1, 0x7f, 0x80, 0xff] {
                let mut near = input.clone();
                near[at] = value;
                check(&near);
            }
        }
    }
}

#[test]
fn the_corpus_of_connect_messages_holds() {
    replay("connect", checks::connect);
}

#[test]
fn the_corpus_of_connect_answers_holds() {
    replay("connect_answer", checks::connect_answer);
}

#[test]
fn the_corpus_of_io_messages_holds() {
    replay("io_message", checks::io_message);
}

#[test]
fn the_corpus_of_io_answers_holds() {
    replay("io_answer", checks::io_answer);
}

#[test]
fn the_corpus_of_process_manager_messages_holds() {
    replay("process_manager", checks::process_manager);
}
