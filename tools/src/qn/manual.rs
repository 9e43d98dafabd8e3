//! `qn completions` and `qn man`: what shells and manuals know of all the programs, made of their command lines.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
};

use clap::{Arg, Command, CommandFactory};
use clap_complete::Shell;
use clap_mangen::Man;

use super::{
    cli::Options,
    output::{Fault, Output},
};
use crate::{fs_export, netlab, procmgr, soak};

/// The programs, each as it parses its arguments.
fn programs() -> [Command; 6] {
    [
        Options::command(),
        qnet::command_line::CommandLine::command(),
        procmgr::command_line(),
        fs_export::Options::command(),
        netlab::cli::command_line(),
        soak::command_line(),
    ]
}

/// Writes a file of completions for each program into `dir`, by the name that the shell looks for; without it, prints all.
pub(super) fn completions(
    output: &Output,
    shell: Shell,
    dir: Option<&Path>,
) -> Result<ExitCode, Fault> {
    let Some(dir) = dir else {
        let mut script = Vec::new();
        for mut program in programs() {
            let name = program.get_name().to_owned();
            clap_complete::generate(shell, &mut program, name, &mut script);
        }
        output.script(&script)?;
        return Ok(ExitCode::SUCCESS);
    };
    write_all(output, "completions", dir, || {
        let write = |mut program: Command| {
            let name = program.get_name().to_owned();
            clap_complete::generate_to(shell, &mut program, name, dir)
        };
        programs().into_iter().map(write).collect()
    })
}

/// Writes the manual pages of all programs and of their commands into `dir`.
pub(super) fn man(output: &Output, dir: &Path) -> Result<ExitCode, Fault> {
    write_all(output, "man", dir, || {
        let mut written = Vec::new();
        for program in programs() {
            let mut program = program.disable_help_subcommand(true);
            program.build();
            write_pages(&program, dir, &mut written)?;
        }
        Ok(written)
    })
}

fn write_all(
    output: &Output,
    what: &str,
    dir: &Path,
    write: impl FnOnce() -> io::Result<Vec<PathBuf>>,
) -> Result<ExitCode, Fault> {
    let written = fs::create_dir_all(dir).and_then(|()| write());
    let written = written.map_err(|error| Fault::on_host(&error, dir.display()))?;
    let paths: Vec<_> = written
        .iter()
        .map(|path| path.display().to_string())
        .collect();
    output.done(what, &paths)?;
    Ok(ExitCode::SUCCESS)
}

fn write_pages(command: &Command, dir: &Path, written: &mut Vec<PathBuf>) -> io::Result<()> {
    for below in command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
    {
        write_pages(below, dir, written)?;
    }
    let man = Man::new(command.clone());
    let path = dir.join(man.get_filename());
    fs::write(&path, page(command, &man)?)?;
    written.push(path);
    Ok(())
}

fn page(command: &Command, man: &Man) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    page.extend_from_slice(synopsis(command).as_bytes());
    man.render_description_section(&mut page)?;
    if command
        .get_arguments()
        .any(|argument| !argument.is_hide_set())
    {
        man.render_options_section(&mut page)?;
    }
    if command.get_subcommands().any(|below| !below.is_hide_set()) {
        man.render_subcommands_section(&mut page)?;
    }
    if let Some(text) = command.get_after_help() {
        page.extend_from_slice(notes(&text.to_string()).as_bytes());
    }
    Ok(page)
}

/// The line of `--help`, which says what may be given again and what has values, with the options that it sums up.
fn synopsis(command: &Command) -> String {
    let usage = command.clone().render_usage().to_string();
    let options: Vec<_> = command
        .get_arguments()
        .filter(|argument| !argument.is_positional() && !argument.is_required_set())
        .filter(|argument| !argument.is_hide_set())
        .map(option)
        .collect();
    let mut synopsis = String::from(".SH SYNOPSIS\n");
    for (at, line) in usage.lines().enumerate() {
        let line = line.trim().trim_start_matches("Usage: ");
        let name = command.get_bin_name().unwrap_or(command.get_name());
        let rest = line.strip_prefix(name).unwrap_or(line);
        let rest = rest.replace("[OPTIONS]", &options.join(" "));
        if at > 0 {
            synopsis.push_str(".br\n");
        }
        synopsis.push_str(&format!("\\fB{}\\fR{}\n", escaped(name), escaped(&rest)));
    }
    synopsis
}

/// An option as a synopsis shows it: `[-e|--every <SECONDS>]`.
fn option(argument: &Arg) -> String {
    match (argument.get_short(), argument.get_long()) {
        (Some(short), Some(_)) => format!("[-{short}|{argument}]"),
        _ => format!("[{argument}]"),
    }
}

/// What `--help` says last: indented lines as they are, all others as paragraphs.
fn notes(text: &str) -> String {
    let mut notes = String::from(".SH NOTES\n");
    let mut is_table = false;
    for line in text.lines() {
        if line.starts_with(' ') != is_table && !line.is_empty() {
            is_table = !is_table;
            notes.push_str(if is_table { ".nf\n" } else { ".fi\n" });
        }
        if line.is_empty() {
            notes.push_str(if is_table { "\n" } else { ".PP\n" });
            continue;
        }
        if line.starts_with(['.', '\'']) {
            notes.push_str("\\&");
        }
        notes.push_str(&escaped(line));
        notes.push('\n');
    }
    notes
}

fn escaped(line: &str) -> String {
    line.replace('\\', "\\e").replace('-', "\\-")
}

#[cfg(test)]
mod tests {
    use clap::ArgAction;

    use super::*;

    #[test]
    fn a_synopsis_says_what_is_repeated_and_what_has_a_value() {
        let mut command = Command::new("copy")
            .disable_help_flag(true)
            .arg(
                Arg::new("every")
                    .short('e')
                    .long("every")
                    .value_name("SECONDS"),
            )
            .arg(Arg::new("loud").long("loud").action(ArgAction::SetTrue))
            .arg(
                Arg::new("files")
                    .value_name("FILE")
                    .required(true)
                    .num_args(1..),
            );
        command.build();
        let expected =
            ".SH SYNOPSIS\n\\fBcopy\\fR [\\-e|\\-\\-every <SECONDS>] [\\-\\-loud] <FILE>...\n";
        assert_eq!(synopsis(&command), expected);
    }

    #[test]
    fn notes_keep_tables_and_fill_paragraphs() {
        let text = "Examples:\n  qn ls -l\n\n  a\\b\nIt ends\n.with this";
        let expected =
            ".SH NOTES\nExamples:\n.nf\n  qn ls \\-l\n\n  a\\eb\n.fi\nIt ends\n\\&.with this\n";
        assert_eq!(notes(text), expected);
    }
}
