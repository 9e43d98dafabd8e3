//! `qn cat`.

use std::{
    io::{self, Read},
    process::ExitCode,
};

use serde_json::{Value, json};

use super::{
    copy::BUFFER_LEN,
    output::{Fault, Output},
    place::{Place, Sink},
};

pub(super) fn cat(output: &Output, paths: &[Place]) -> Result<ExitCode, Fault> {
    let mut code = ExitCode::SUCCESS;
    let mut values = Vec::new();
    for place in paths {
        let shown = if output.is_json() {
            content(place).map(|value| values.push(value))
        } else {
            print(place)
        };
        if let Err(fault) = shown {
            output.fault(&fault);
            code = ExitCode::FAILURE;
        }
    }
    if output.is_json() {
        output.result(&json!(values), String::new)?;
    }
    Ok(code)
}

fn print(place: &Place) -> Result<(), Fault> {
    let mut source = place.open_file()?;
    let mut sink = Sink::Pipe(io::stdout());
    let mut buffer = vec![0; BUFFER_LEN];
    loop {
        let count = source
            .read(&mut buffer)
            .map_err(|error| place.fault(error))?;
        if count == 0 {
            break;
        }
        match sink.write_all(&buffer[..count]) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => return Ok(()),
            written => written.map_err(|error| Fault::on_host(&error, "standard output"))?,
        }
    }
    sink.close()
        .map_err(|error| Fault::on_host(&error, "standard output"))
}

/// Text as it is, other bytes as hexadecimal digits.
fn content(place: &Place) -> Result<Value, Fault> {
    let mut bytes = Vec::new();
    place
        .open_file()?
        .read_to_end(&mut bytes)
        .map_err(|error| place.fault(error))?;
    let (path, len) = (place.to_string(), bytes.len());
    Ok(match String::from_utf8(bytes) {
        Ok(text) => json!({ "path": path, "len": len, "text": text }),
        Err(error) => {
            let hex: String = error
                .as_bytes()
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            json!({ "path": path, "len": len, "hex": hex })
        }
    })
}
