//! The demo: one open, write and close across two nodes, shown message by message and frame by frame.
//!
//! Everything printed comes from what was traced, captured or read while it happened; where something
//! was not as it had to be, the demo says so and fails.

mod event;
mod stage;
mod table;
mod take;
mod walk;
mod wire;

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::Path;

use super::capture::{self, Frame};
use super::cli::DemoOptions;

use stage::{CLIENT, FILE, LAUNCH, SERVER, SOURCE, Stage};
use take::Take;

/// What the client writes.
const TEXT: &str = "This is message passing\n";
/// Runs the demo; exit code 0 only if all was so.
///
/// # Errors
/// The stage could not be set.
pub(super) fn run(options: &DemoOptions) -> io::Result<u8> {
    let mut out = io::stdout().lock();
    let stage = Stage::set()?;
    write!(out, "{}", table::lab(&stage.lab.status()?))?;
    let calls = table::excerpt(SOURCE);
    write!(
        out,
        "\nThe client, compiled by cc, knows nothing of this:\n\n{calls}"
    )?;

    let first = Take::shoot(&stage, "first")?;
    let again = Take::again(&stage, &first)?;
    show(&mut out, &first, &again)?;
    if let Some(path) = &options.capture {
        let frames: Vec<Frame> = [&first, &again]
            .iter()
            .flat_map(|take| take.frames.clone())
            .collect();
        save(path, &frames)?;
        writeln!(out, "\n{} frames are in {}", frames.len(), path.display())?;
    }

    let content = read_host_side(&stage)?;
    let faults = faults(&first, &again, &content);
    conclude(&mut out, &faults, &content)?;
    if options.keep {
        keep(&mut out, stage)?;
    }
    Ok(u8::from(!faults.is_empty()))
}

fn show(out: &mut impl Write, first: &Take, again: &Take) -> io::Result<()> {
    write!(out, "\n{CLIENT}$ {LAUNCH} client\n{}", first.said())?;
    write!(
        out,
        "\n{}\n{}",
        table::picture(&first.walk),
        table::messages(&first.walk)
    )?;
    write!(
        out,
        "\n{CLIENT}$ {LAUNCH} client        # again\n{}",
        again.said()
    )?;
    write!(out, "\n{}", table::messages(&again.walk))?;
    let takes = [first, again];
    write!(
        out,
        "\n{}\n{}\n{}",
        table::cached(takes),
        table::frames(takes),
        table::procmgrs(takes)
    )
}

/// What was not as it had to be.
fn faults(first: &Take, again: &Take, content: &str) -> Vec<String> {
    let first_faults = first
        .faults(false)
        .into_iter()
        .map(|fault| format!("first open: {fault}"));
    let again_faults = again
        .faults(true)
        .into_iter()
        .map(|fault| format!("second open: {fault}"));
    let mut faults: Vec<String> = first_faults.chain(again_faults).collect();
    faults.extend(take::frames_fault([first, again]));
    if content != TEXT {
        faults.push(format!("the file holds {content:?}"));
    }
    faults
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
