//! One run of the program: plans in, rows out.

use std::io::{IsTerminal, Write};
use std::path::Path;

use tempfile::TempDir;

use crate::goals;
use crate::method::block::{self, Block, Duel, Effort, alone};
use crate::method::{bootstrap, cpus};
use crate::nodes::Nodes;
use crate::report::{Row, Times};
use crate::setting::{Placement, Setting, Wait};
use crate::suite::{Maker, Plan, RulerPlan};
use crate::sys::clock::Clock;

/// What the operator chose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Fewer blocks: figures in seconds, with wider intervals.
    pub quick: bool,
    /// Only these goals; empty means all.
    pub only: Vec<String>,
}

/// The clock and CPUs of a run, and the rows so far.
#[derive(Debug)]
pub struct Session {
    options: Options,
    clock: Clock,
    cpus: Vec<usize>,
    runtime_dir: TempDir,
    nodes: Option<Nodes>,
    rows: Vec<Row>,
    failures: usize,
}

impl Session {
    /// Calibrates the clock and finds the CPUs.
    ///
    /// # Errors
    /// When the CPUs cannot be read, or `only` names a goal that does not exist.
    pub fn new(options: Options) -> crate::Result<Session> {
        if let Some(unknown) = options.only.iter().find(|id| !goals::exists(id)) {
            let known: Vec<&str> = goals::GOALS.iter().map(|goal| goal.id).collect();
            return Err(format!(
                "no goal is named {unknown}; those measured are {}",
                known.join(" ")
            )
            .into());
        }
        let session = Session {
            options,
            clock: Clock::calibrate(),
            cpus: cpus::allowed()?,
            runtime_dir: new_runtime_dir()?,
            nodes: None,
            rows: Vec::new(),
            failures: 0,
        };
        if session.cpus.len() < 2 {
            eprintln!(
                "benches: one CPU only: two spinners would wait for the scheduler, so goals across CPUs are left out"
            );
        }
        Ok(session)
    }

    /// CPUs this run may use.
    pub fn cpu_count(&self) -> usize {
        self.cpus.len()
    }

    /// The clock's name.
    pub fn clock_source(&self) -> &'static str {
        self.clock.source()
    }

    /// What was measured, in order.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// Plans that ended in an error.
    pub fn failures(&self) -> usize {
        self.failures
    }

    /// Makes the two nodes; network plans fail without.
    ///
    /// # Errors
    /// When the system does not allow it: the text says what to do.
    pub fn make_nodes(&mut self) -> crate::Result<()> {
        self.nodes = Some(Nodes::create(1500)?);
        Ok(())
    }

    /// Runs the chosen ones of `plans`. A plan that fails is told on standard error; the others go on.
    ///
    /// # Errors
    /// Ctrl-C.
    pub fn run(&mut self, plans: &[Plan]) -> crate::Result<()> {
        for plan in plans {
            if !self.wants(plan) {
                continue;
            }
            if let Err(fault) = self.measure(plan) {
                if crate::sys::interrupt::asked() {
                    return Err("interrupted: nothing is left behind".into());
                }
                self.failures += 1;
                eprintln!(
                    "benches: {} ({}) not measured: {fault}",
                    title(plan),
                    plan.placement.name()
                );
            }
        }
        Ok(())
    }

    /// Runs every ruler by itself and prints its round times.
    ///
    /// # Errors
    /// Ctrl-C, or a ruler's own while it runs; one that cannot be built is told and left out.
    pub fn run_rulers(&mut self, rulers: impl Iterator<Item = RulerPlan>) -> crate::Result<()> {
        println!(
            "{:<16} {:<12} {:<9} {:>9}   p50 / p99 / p99.9 us",
            "ruler", "placement", "wait", "bytes"
        );
        for (placement, wait, bytes, maker) in rulers {
            if placement == Placement::Across && self.cpus.len() < 2 {
                continue;
            }
            let mut arm = match maker(&self.setting(placement, wait, bytes)) {
                Ok(arm) => arm,
                Err(fault) => {
                    eprintln!("benches: left out: {fault}");
                    continue;
                }
            };
            let blocks = alone(&mut arm, self.effort(), &mut |_| {})?;
            let times = Times::of(arm.name(), &block::histogram_of(&blocks));
            let [p50, p99, p999] =
                [times.p50_ns, times.p99_ns, times.p999_ns].map(|ns| ns as f64 / 1000.0);
            println!(
                "{:<16} {:<12} {:<9} {bytes:>9}   {p50:.2} / {p99:.2} / {p999:.2}",
                times.name,
                placement.name(),
                wait.name()
            );
        }
        Ok(())
    }

    fn wants(&self, plan: &Plan) -> bool {
        let only = &self.options.only;
        let named =
            |id: &str| only.is_empty() || only.iter().any(|one| one.eq_ignore_ascii_case(id));
        let runs = plan.placement == Placement::Same || self.cpus.len() >= 2;
        runs && plan.scores.iter().any(|(id, _)| named(id))
    }

    fn measure(&mut self, plan: &Plan) -> crate::Result<()> {
        if plan.rulers.is_empty() {
            self.measure_alone(plan)
        } else {
            self.measure_against_ruler(plan)
        }
    }

    /// Arms are built anew for each part of the cycles: where their pages land in the caches stays the
    /// same for the life of a process and would otherwise tilt the whole comparison.
    fn measure_against_ruler(&mut self, plan: &Plan) -> crate::Result<()> {
        let setting = self.setting(plan.placement, plan.wait, plan.bytes);
        let effort = self.effort();
        let best = self.best(plan, &setting)?;
        let mut outcome = Duel::default();
        let mut names = ("", "");
        for build in 0..effort.builds {
            let mut ruler = best(&setting)?;
            let mut product = (plan.product)(&setting)?;
            names = (ruler.name(), product.name());
            let mut step = |done| progress(plan, build * effort.cycles + done, &effort);
            outcome.go_on(&mut ruler, &mut product, effort, &mut step)?;
        }
        clear_progress();
        self.score(plan, names.0, names.1, &outcome);
        Ok(())
    }

    fn measure_alone(&mut self, plan: &Plan) -> crate::Result<()> {
        let setting = self.setting(plan.placement, plan.wait, plan.bytes);
        let effort = self.effort();
        let mut blocks = Vec::new();
        let mut name = "";
        for build in 0..effort.builds {
            let mut product = (plan.product)(&setting)?;
            name = product.name();
            let mut step = |done| progress(plan, build * effort.cycles + done, &effort);
            blocks.extend(alone(&mut product, effort, &mut step)?);
        }
        clear_progress();
        self.score_alone(plan, name, &blocks);
        Ok(())
    }

    fn setting(&self, placement: Placement, wait: Wait, bytes: usize) -> Setting<'_> {
        let first = self.cpus[0];
        let second = self.cpus.get(1).copied().unwrap_or(first);
        Setting {
            clock: self.clock,
            cpus: [first, second],
            placement,
            wait,
            bytes,
            runtime_dir: self.runtime_dir.path(),
            nodes: self.nodes.as_ref(),
        }
    }

    /// Of several primitives for one job, the one that is best here; a few blocks of each decide.
    fn best(&self, plan: &Plan, setting: &Setting<'_>) -> crate::Result<Maker> {
        if let [only] = plan.rulers {
            return Ok(*only);
        }
        let mut best = None;
        for maker in plan.rulers {
            let effort = Effort {
                cycles: 3,
                ..self.effort()
            };
            let blocks = alone(&mut maker(setting)?, effort, &mut |_| {})?;
            let time = blocks
                .iter()
                .map(|block| block.time_ns(0.5))
                .fold(f64::INFINITY, f64::min);
            if best.is_none_or(|(least, _)| time < least) {
                best = Some((time, *maker));
            }
        }
        Ok(best.ok_or("a comparison needs a ruler")?.1)
    }

    fn effort(&self) -> Effort {
        if self.options.quick {
            Effort {
                block_ns: 8e6,
                cycles: 4,
                builds: 4,
            }
        } else {
            Effort {
                block_ns: 20e6,
                cycles: 5,
                builds: 12,
            }
        }
    }

    fn score(&mut self, plan: &Plan, ruler: &'static str, product: &'static str, outcome: &Duel) {
        for (id, figure) in plan.scores {
            let ratios: Vec<f64> = outcome
                .pairs
                .iter()
                .map(|(ruler, product)| figure.of(product) / figure.of(ruler))
                .collect();
            let times = (
                Times::of(ruler, &outcome.ruler),
                Times::of(product, &outcome.product),
            );
            self.push(plan, id, &ratios, Some(times.0), times.1);
        }
    }

    fn score_alone(&mut self, plan: &Plan, product: &'static str, blocks: &[Block]) {
        let times = Times::of(product, &block::histogram_of(blocks));
        for (id, figure) in plan.scores {
            let figures: Vec<f64> = blocks.iter().map(|block| figure.of(block)).collect();
            self.push(plan, id, &figures, None, times.clone());
        }
    }

    fn push(
        &mut self,
        plan: &Plan,
        id: &str,
        observations: &[f64],
        ruler: Option<Times>,
        product: Times,
    ) {
        let Some(estimate) = bootstrap::estimate(observations) else {
            return;
        };
        let row = Row::new(goals::goal(id, plan.part()), estimate, ruler, product);
        self.rows.push(Row {
            placement: plan.placement.name(),
            wait: plan.wait.name(),
            bytes: plan.bytes,
            blocks: observations.len(),
            ..row
        });
    }
}

fn title(plan: &Plan) -> String {
    plan.scores
        .iter()
        .map(|(id, _)| *id)
        .collect::<Vec<_>>()
        .join("+")
}

fn progress(plan: &Plan, done: usize, effort: &Effort) {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let all = effort.cycles * effort.builds;
        let _ = write!(
            err,
            "\r\x1b[K{} ({}) {done}/{all}",
            title(plan),
            plan.part()
        );
        let _ = err.flush();
    }
}

fn clear_progress() {
    let mut err = std::io::stderr();
    if err.is_terminal() {
        let _ = write!(err, "\r\x1b[K");
    }
}

/// A directory for the product's sockets; those of runs that were killed before go first.
fn new_runtime_dir() -> crate::Result<TempDir> {
    for entry in std::fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let owner = name
            .strip_prefix("benches-")
            .and_then(|rest| rest.split('-').next());
        let owner = owner.and_then(|pid| pid.parse::<u32>().ok());
        if owner.is_some_and(|pid| !Path::new(&format!("/proc/{pid}")).exists()) {
            // Another user's is not ours to remove.
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
    let prefix = format!("benches-{}-", std::process::id());
    Ok(tempfile::Builder::new().prefix(&prefix).tempdir()?)
}
