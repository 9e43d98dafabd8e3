//! Running the sweeps, and their files: `NAME.svg`, and the figures in `NAME.csv`.

use std::fs;
use std::path::Path;

use crate::env::Environment;
use crate::method::block::{Block, alone};
use crate::method::bootstrap::{self, Estimate};
use crate::peers;
use crate::report::svg::{Chart, Series};
use crate::suite::progress::Progress;
use crate::suite::session::Session;
use crate::suite::sweep::{Line, Sweep};
use crate::suite::sweeps;
use crate::sys::interrupt;

/// Which plots are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scope {
    /// Those of one node.
    pub local: bool,
    /// Those of two.
    pub net: bool,
}

impl Session {
    /// Measures the sweeps of `scope` and draws each into `dir`.
    ///
    /// At each place the arms run one after the other, each built anew; an arm that fails at a place leaves a
    /// gap there and is told on standard error.
    ///
    /// # Errors
    /// A directory that cannot be written to, or Ctrl-C.
    pub fn plot(
        &mut self,
        scope: Scope,
        dir: &Path,
        environment: &Environment,
    ) -> crate::Result<()> {
        fs::create_dir_all(dir)
            .map_err(|fault| format!("cannot make {}: {fault}", dir.display()))?;
        let chosen = |sweeps: &'static [Sweep], wanted: bool| sweeps.iter().filter(move |_| wanted);
        let sweeps: Vec<&Sweep> = chosen(sweeps::LOCAL, scope.local)
            .chain(chosen(sweeps::NET, scope.net))
            .filter(|sweep| self.wants_plot(sweep))
            .collect();
        let steps = sweeps.iter().map(|sweep| sweep.places.len()).sum::<usize>();
        let progress = Progress::new(steps as u64);
        for sweep in sweeps {
            progress.show(sweep.file.to_owned());
            let series = self.sweep(sweep, &progress)?;
            let chart = Chart {
                title: sweep.title.to_owned(),
                caption: format!(
                    "{}, {} CPUs, Linux {}, {}",
                    environment.cpu, environment.cpus, environment.kernel, environment.date
                ),
                x: sweep.axis.name(),
                y: sweep.y,
                places: sweep
                    .places
                    .iter()
                    .map(|place| sweep.axis.label(*place))
                    .collect(),
                series,
            };
            let file = dir.join(sweep.file);
            fs::write(file.with_extension("svg"), chart.render())?;
            fs::write(file.with_extension("csv"), chart.table())?;
        }
        Ok(())
    }

    fn sweep(&mut self, sweep: &Sweep, progress: &Progress) -> crate::Result<Vec<Series>> {
        let mut series: Vec<Series> = sweep
            .lines
            .iter()
            .map(|line| Series {
                name: line.name.to_owned(),
                points: Vec::new(),
            })
            .collect();
        for place in sweep.places {
            let mut last: Option<(&Line, Vec<Block>)> = None;
            for (line, series) in sweep.lines.iter().zip(&mut series) {
                let absent = *place < line.least || line.is_peer && !peers::is_built();
                let blocks = match last.take() {
                    _ if absent => None,
                    // Several readings of one arm are of the same blocks.
                    Some((before, blocks)) if std::ptr::fn_addr_eq(before.maker, line.maker) => {
                        Some(blocks)
                    }
                    _ => self.blocks(sweep, line, *place, progress)?,
                };
                let (bytes, load) = sweep.at(*place);
                series.points.push(blocks.as_ref().and_then(|blocks| {
                    let figures: Vec<f64> = blocks
                        .iter()
                        .map(|block| line.reading.of(block, bytes, &load))
                        .collect();
                    bootstrap::estimate(&figures)
                }));
                last = blocks.map(|blocks| (line, blocks));
            }
            progress.step();
        }
        let seen = |series: &Series| series.points.iter().any(Option::<Estimate>::is_some);
        Ok(series.into_iter().filter(seen).collect())
    }

    /// `None`, told on standard error, when the arm cannot do what is asked.
    fn blocks(
        &mut self,
        sweep: &Sweep,
        line: &Line,
        place: u32,
        progress: &Progress,
    ) -> crate::Result<Option<Vec<Block>>> {
        let (bytes, load) = sweep.at(place);
        let outcome = self.measure_place(sweep, line, bytes, load);
        match outcome {
            Ok(blocks) => Ok(Some(blocks)),
            Err(_) if interrupt::asked() => Err("interrupted: nothing is left behind".into()),
            Err(fault) => {
                progress.tell(&format!(
                    "{}: {} at {}: {fault}",
                    sweep.file,
                    line.name,
                    sweep.axis.label(place)
                ));
                Ok(None)
            }
        }
    }

    fn measure_place(
        &mut self,
        sweep: &Sweep,
        line: &Line,
        bytes: usize,
        load: crate::setting::Load,
    ) -> crate::Result<Vec<Block>> {
        if load.mtu > 0 {
            self.make_nodes(load.mtu)?;
        }
        let effort = self.place_effort(sweep.stretch);
        let setting = self.setting(sweep.placement, sweep.wait, bytes, load);
        let mut blocks = Vec::new();
        for _ in 0..effort.builds {
            blocks.extend(alone(&mut (line.maker)(&setting)?, effort, &mut || {})?);
        }
        Ok(blocks)
    }
}
