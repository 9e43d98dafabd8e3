//! The demo: one open, write and close across two nodes, shown message by message and frame by frame.
//!
//! Everything printed comes from what was traced, captured or read while it happened; where something
//! was not as it had to be, the demo says so and fails.

mod event;
mod stage;
mod table;
mod walk;
mod wire;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;
use std::process::Output;

use super::capture::{self, Frame};
use super::cli::DemoOptions;

use stage::{CLIENT, FILE, LAUNCH, SERVER, SOURCE, Stage};
use walk::Walk;

/// What the client writes.
const TEXT: &str = "This is message passing\n";
/// Frames that a small write costs once the way is known: the message, and its answer.
const FRAMES_OF_A_WRITE: usize = 2;

/// Runs the demo; exit code 0 only if all was so.
///
/// # Errors
/// The stage could not be set.
pub(super) fn run(options: &DemoOptions) -> io::Result<u8> {
    let mut out = io::stdout().lock();
    let stage = Stage::set()?;
    write!(out, "{}", table::lab(&stage.lab.status()?))?;
    write!(
        out,
        "\nThe client, compiled by cc, knows nothing of this:\n\n{}",
        table::excerpt(SOURCE)
    )?;

    let recording = stage.lab.capture()?;
    let runs = [stage.run_client("first")?, stage.run_client("second")?];
    let frames = recording.finish()?;
    let walks = [
        Walk::read(&stage.lab, "first")?,
        Walk::read(&stage.lab, "second")?,
    ];
    let mut faults = Vec::new();

    write!(
        out,
        "\n{CLIENT}$ {LAUNCH} client\n{}",
        said(&runs[0], &mut faults)
    )?;
    write!(
        out,
        "\n{}\n{}",
        table::picture(&walks[0]),
        table::messages(&walks[0])
    )?;
    faults.extend(
        walks[0]
            .faults(false)
            .into_iter()
            .map(|fault| format!("first open: {fault}")),
    );

    write!(
        out,
        "\n{CLIENT}$ {LAUNCH} client        # again\n{}",
        said(&runs[1], &mut faults)
    )?;
    write!(
        out,
        "\n{}\n{}",
        table::messages(&walks[1]),
        table::cached(&walks)
    )?;
    faults.extend(
        walks[1]
            .faults(true)
            .into_iter()
            .map(|fault| format!("second open: {fault}")),
    );

    write!(out, "\n{}", table::frames(&walks, &frames))?;
    faults.extend(frames_fault(&walks, &frames));
    write!(out, "\n{}", table::procmgrs(&walks))?;
    if let Some(path) = &options.capture {
        save(path, &frames)?;
        writeln!(out, "\n{} frames are in {}", frames.len(), path.display())?;
    }
    let content = read_host_side(&stage)?;
    if content != TEXT {
        faults.push(format!("the file holds {content:?}"));
    }
    conclude(&mut out, &faults, &content)?;
    if options.keep {
        keep(&mut out, stage)?;
    }
    Ok(u8::from(!faults.is_empty()))
}

/// What the client said; that it failed is a fault.
fn said(output: &Output, faults: &mut Vec<String>) -> String {
    let text = format!(
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    if !output.status.success() {
        faults.push(format!(
            "the client failed ({}): {}",
            output.status,
            text.trim()
        ));
    }
    text
}

/// A write that took other frames than its message and its answer. A frame lost to a busy machine may
/// cost one of the two runs another frame, but not both.
fn frames_fault(walks: &[Walk; 2], frames: &[Frame]) -> Option<String> {
    let counts = walks.iter().map(|walk| {
        let write = walk.write()?;
        Some(wire::by_event(&[write], frames, CLIENT).0[0].count())
    });
    let counts: Vec<usize> = counts.collect::<Option<_>>()?;
    (!counts.contains(&FRAMES_OF_A_WRITE)).then(|| {
        format!(
            "the writes cost {counts:?} frames; a message and its answer are {FRAMES_OF_A_WRITE}"
        )
    })
}

fn read_host_side(stage: &Stage) -> io::Result<String> {
    let mut content = String::new();
    stage.lab.open(SERVER, FILE)?.read_to_string(&mut content)?;
    Ok(content)
}

fn save(path: &Path, frames: &[Frame]) -> io::Result<()> {
    let file = File::create(path)
        .map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
    capture::write_pcap(frames, BufWriter::new(file))
}

/// The last words.
fn conclude(out: &mut impl Write, faults: &[String], content: &str) -> io::Result<()> {
    if !faults.is_empty() {
        writeln!(out, "\nIt was not as it had to be:")?;
        faults
            .iter()
            .try_for_each(|fault| writeln!(out, "  - {fault}"))?;
    }
    writeln!(
        out,
        "\nThe file on {SERVER}'s own disk, read without any of this:"
    )?;
    let line = content.strip_suffix('\n').unwrap_or(content);
    writeln!(out, "{SERVER}:/{FILE}: {line}")?;
    out.flush()
}

/// Leaves the lab to a person until standard input ends.
fn keep(out: &mut impl Write, stage: Stage) -> io::Result<()> {
    eprintln!(
        "The lab stays up: netlab --lab {} shell {CLIENT}. Ctrl-D or Ctrl-C here ends it.",
        stage.lab.name()
    );
    out.flush()?;
    io::copy(&mut io::stdin().lock(), &mut io::sink())?;
    Ok(())
}
