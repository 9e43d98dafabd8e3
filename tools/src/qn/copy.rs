//! `qn cp`.

use std::{
    io::{self, IsTerminal, Read},
    process::ExitCode,
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::json;

use super::{
    output::{Fault, Output},
    place::{Kind, Place},
};

/// Bytes that a copy holds at once.
pub(super) const BUFFER_LEN: usize = 1 << 20;

/// Copies from here on have a progress bar.
const LONG_LEN: u64 = 16 << 20;

pub(super) fn cp(output: &Output, recursive: bool, paths: &[Place]) -> Result<ExitCode, Fault> {
    let (to, from) = paths
        .split_last()
        .expect("the command line has two paths at least");
    let into_dir = to.kind()?.is_some_and(|kind| kind.is_dir);
    if from.len() > 1 && !into_dir {
        return Err(Fault::new(format!(
            "{to}: to copy several files it must be a directory"
        )));
    }
    let mut copied = Vec::new();
    let mut code = ExitCode::SUCCESS;
    for source in from {
        let target = match source.file_name() {
            Some(name) if into_dir => to.join(name),
            _ => to.clone(),
        };
        if let Err(fault) = copy(output, recursive, source, &target, &mut copied) {
            output.fault(&fault);
            code = ExitCode::FAILURE;
        }
    }
    output.result(&json!({ "copied": copied }), String::new)?;
    Ok(code)
}

fn copy(
    output: &Output,
    recursive: bool,
    from: &Place,
    to: &Place,
    copied: &mut Vec<serde_json::Value>,
) -> Result<(), Fault> {
    let kind = from
        .kind()?
        .ok_or_else(|| from.fault(ipc_core::abi::Errno::ENOENT))?;
    if kind.is_dir {
        if !recursive {
            return Err(Fault::new(format!(
                "{from}: is a directory; copy it with: qn cp -r"
            )));
        }
        if to.is_below(from) {
            return Err(Fault::new(format!(
                "{from}: cannot be copied into itself, {to}"
            )));
        }
        to.make_dir()?;
        for name in from.names()? {
            copy(
                output,
                recursive,
                &from.join(&name),
                &to.join(&name),
                copied,
            )?;
        }
        return Ok(());
    }
    if from.is_same(to) {
        return Err(Fault::new(format!("{from} and {to} are the same file")));
    }
    let len = copy_file(output, from, to, kind)?;
    copied.push(json!({ "from": from.to_string(), "to": to.to_string(), "len": len }));
    Ok(())
}

fn copy_file(output: &Output, from: &Place, to: &Place, kind: Kind) -> Result<u64, Fault> {
    let mut source = from.open()?;
    let mut sink = to.create(kind.mode)?;
    let progress = progress(output, from, kind.len);
    let mut buffer = vec![0; BUFFER_LEN];
    let mut done = 0;
    loop {
        let count = match source.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(from.fault(error)),
        };
        sink.write_all(&buffer[..count])
            .map_err(|error| to.fault(error))?;
        done += count as u64;
        progress.set_position(done);
    }
    progress.finish_and_clear();
    sink.close().map_err(|error| to.fault(error))?;
    Ok(done)
}

/// A bar on a terminal for what takes long; else nothing.
fn progress(output: &Output, from: &Place, len: u64) -> ProgressBar {
    if output.is_json() || len < LONG_LEN || !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
    let bar = ProgressBar::new(len);
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(
        from.file_name()
            .map_or_else(String::new, |name| name.display().to_string()),
    );
    bar.enable_steady_tick(Duration::from_millis(200));
    bar
}
