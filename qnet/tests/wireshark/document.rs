//! The dissector's text against the code and the document: every record type, as long as it is.

use std::{fs, path::PathBuf};

use qnet_proto::wire::RecordType;

use super::dissector;

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
