//! `benches`: measures message passing beside raw primitives, and prints the goals.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use benches::env::Environment;
use benches::setting::Load;
use benches::suite::{self, Options, Scope, Session};
use benches::{Result, peers, report, sys};

/// Measures message passing against raw primitives and marks each goal aim, must or short.
///
/// Ruler and product run in turns on the same CPUs; a ratio below 1 means the product is faster (for goals
/// about time). Figures never fail the run: the exit code says only whether everything could be measured.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    /// What to measure.
    #[arg(value_enum, default_value = "all")]
    what: What,
    /// Fewer and shorter blocks: a first look within a minute.
    #[arg(long)]
    quick: bool,
    /// Only these goals and plots, such as `L1,N2,local-size`.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
    /// Also write the figures as a JSON array; `-` is standard output, without the table.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also measure by size, clients, load, loss and so on, and draw a plot of each into this directory.
    #[arg(long, value_name = "DIR")]
    plot: Option<PathBuf>,
    /// Also say what changed against the figures that an earlier run wrote with --json.
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum What {
    /// Goals L1 to L12: one node.
    Local,
    /// Goals N1 to N15: two nodes on a veth pair.
    Net,
    /// Goals L6 and N15: what others have built, which is built first.
    Peers,
    /// All of these; peers where they are built.
    All,
    /// The raw primitives by themselves, in microseconds.
    Rulers,
}

fn main() -> ExitCode {
    match run(&Arguments::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(failures) => {
            eprintln!("benches: {failures} comparison(s) could not be measured, see above");
            ExitCode::FAILURE
        }
        Err(fault) => {
            eprintln!("benches: {fault}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: &Arguments) -> Result<usize> {
    sys::interrupt::notice();
    let earlier = arguments
        .compare
        .as_deref()
        .map(report::compare::read)
        .transpose()?;
    let mut session = Session::new(Options {
        quick: arguments.quick,
        only: arguments.only.clone(),
    })?;
    let environment = Environment::read(session.cpu_count(), session.clock_source());
    match arguments.what {
        What::Rulers => {
            if let Err(fault) = session.make_nodes(Load::REMOTE.mtu) {
                eprintln!("benches: {fault}");
            }
            session.run_rulers(suite::rulers())?;
            return Ok(0);
        }
        What::Local => session.run(suite::local())?,
        What::Net => session.run(suite::net())?,
        What::Peers => {
            peers::build()?;
            session.run(suite::peers())?;
        }
        What::All => session.run(suite::local().chain(suite::net()))?,
    }
    if let Some(dir) = &arguments.plot {
        let scope = Scope {
            local: matches!(arguments.what, What::Local | What::All),
            net: matches!(arguments.what, What::Net | What::All),
        };
        session.plot(scope, dir, &environment)?;
    }
    let to_stdout = arguments
        .json
        .as_deref()
        .is_some_and(|path| path.as_os_str() == "-");
    if !to_stdout {
        report::table::print(session.rows(), session.unmeasured(), &environment);
    }
    if let Some(earlier) = earlier.filter(|_| !to_stdout) {
        print!("{}", report::compare::render(&earlier, session.rows()));
    }
    if let Some(path) = &arguments.json {
        report::json::write(path, session.rows(), &environment)?;
    }
    Ok(session.failures())
}
