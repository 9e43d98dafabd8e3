//! One run of the program: plans in, rows out.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use crate::goals;
use crate::method::block::Effort;
use crate::method::cpus;
use crate::nodes::Nodes;
use crate::peers;
use crate::report::{Row, Unmeasured};
use crate::setting::{Load, Placement, Setting, Wait};
use crate::suite::Plan;
use crate::suite::progress::Progress;
use crate::suite::scratch::Scratch;
use crate::suite::sweep::Sweep;
use crate::suite::sweeps;
use crate::sys::clock::Clock;
use crate::sys::interrupt;

/// What the operator chose.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Fewer blocks: figures in seconds, with wider intervals.
    pub quick: bool,
    /// Only these goals and plots; empty means all. Where no plot is named, all of them are drawn.
    pub only: Vec<String>,
}

/// The clock and CPUs of a run, and the rows so far.
#[derive(Debug)]
pub struct Session {
    options: Options,
    clock: Clock,
    cpus: Vec<usize>,
    scratch: Scratch,
    /// Two nodes by the MTU between them, made when first needed.
    nodes: BTreeMap<u32, Nodes>,
    rows: Vec<Row>,
    unmeasured: Vec<Unmeasured>,
}

impl Session {
    /// Calibrates the clock and finds the CPUs.
    ///
    /// # Errors
    /// When the CPUs cannot be read, or `only` names what is neither a goal nor a plot.
    pub fn new(options: Options) -> crate::Result<Session> {
        let is_known = |name: &str| goals::exists(name) || sweeps::exists(name);
        if let Some(unknown) = options.only.iter().find(|name| !is_known(name)) {
            let mut known: Vec<&str> = goals::GOALS.iter().map(|goal| goal.id).collect();
            known.dedup();
            let plots: Vec<&str> = sweeps::all().map(|sweep| sweep.file).collect();
            return Err(format!(
                "no goal or plot is named {unknown}; goals are {}; plots are {}",
                known.join(" "),
                plots.join(" ")
            )
            .into());
        }
        let session = Session {
            options,
            clock: Clock::calibrate(),
            cpus: cpus::allowed()?,
            scratch: Scratch::new()?,
            nodes: BTreeMap::new(),
            rows: Vec::new(),
            unmeasured: Vec::new(),
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

    /// What was not, and why.
    pub fn unmeasured(&self) -> &[Unmeasured] {
        &self.unmeasured
    }

    /// Plans that ended in an error; peers that nobody built are none.
    pub fn failures(&self) -> usize {
        let failed = self.unmeasured.iter().filter(|one| one.failed);
        failed.count()
    }

    /// Makes the two nodes with `mtu` payload bytes a frame between them; network plans fail without.
    ///
    /// # Errors
    /// When the system does not allow it: the text says what to do.
    pub fn make_nodes(&mut self, mtu: u32) -> crate::Result<()> {
        if let Entry::Vacant(place) = self.nodes.entry(mtu) {
            place.insert(Nodes::create(mtu)?);
        }
        Ok(())
    }

    /// Runs the chosen ones of `plans`. A plan that fails is told on standard error; the others go on.
    ///
    /// # Errors
    /// Ctrl-C.
    pub fn run<'a>(&mut self, plans: impl Iterator<Item = &'a Plan>) -> crate::Result<()> {
        let plans: Vec<&Plan> = plans.filter(|plan| self.wants(plan)).collect();
        let steps = (self.effort(1).builds * self.effort(1).cycles) as u64;
        let progress = Progress::new(steps * plans.len() as u64);
        for (number, plan) in plans.into_iter().enumerate() {
            progress.jump(steps * number as u64);
            progress.show(format!("{} ({})", plan.title(), plan.part()));
            if plan.against_peer && !peers::is_built() {
                let why = format!("the peers are not built: {}", peers::BUILD_COMMAND);
                self.unmeasured.push(Unmeasured::new(plan, why, false));
            } else if let Err(fault) = self.measure(plan, &progress) {
                if interrupt::asked() {
                    return Err("interrupted: nothing is left behind".into());
                }
                progress.tell(&format!(
                    "{} ({}) not measured: {fault}",
                    plan.title(),
                    plan.part()
                ));
                let why = fault.to_string();
                self.unmeasured.push(Unmeasured::new(plan, why, true));
            }
        }
        Ok(())
    }

    fn measure(&mut self, plan: &Plan, progress: &Progress) -> crate::Result<()> {
        if plan.load.mtu > 0 {
            self.make_nodes(plan.load.mtu)?;
        }
        let setting = self.setting(plan.placement, plan.wait, plan.bytes, plan.load);
        let effort = self.effort(plan.stretch);
        let rows = super::measure::measure(plan, &setting, effort, &mut || progress.step())?;
        self.rows.extend(rows);
        Ok(())
    }

    fn wants(&self, plan: &Plan) -> bool {
        let only = &self.options.only;
        let named =
            |id: &str| only.is_empty() || only.iter().any(|one| one.eq_ignore_ascii_case(id));
        self.can_place(plan.placement) && plan.scores.iter().any(|(id, _)| named(id))
    }

    pub(super) fn setting(
        &self,
        placement: Placement,
        wait: Wait,
        bytes: usize,
        load: Load,
    ) -> Setting<'_> {
        let first = self.cpus[0];
        let second = self.cpus.get(1).copied().unwrap_or(first);
        Setting {
            clock: self.clock,
            cpus: [first, second],
            placement,
            wait,
            bytes,
            load,
            instance: 0,
            runtime_dir: self.scratch.path(),
            nodes: self.nodes.get(&load.mtu),
        }
    }

    /// Whether a plot is to be drawn.
    pub(super) fn wants_plot(&self, sweep: &Sweep) -> bool {
        let only = &self.options.only;
        let named = only.iter().any(|one| one.eq_ignore_ascii_case(sweep.file));
        self.can_place(sweep.placement) && (named || !only.iter().any(|one| sweeps::exists(one)))
    }

    /// Whether there are CPUs enough for a placement.
    pub(super) fn can_place(&self, placement: Placement) -> bool {
        placement == Placement::Same || self.cpus.len() >= 2
    }

    /// The effort for one place of a plot.
    pub(super) fn place_effort(&self, stretch: u32) -> Effort {
        Effort {
            builds: if self.options.quick { 1 } else { 3 },
            ..self.effort(stretch)
        }
    }

    pub(super) fn effort(&self, stretch: u32) -> Effort {
        let (block_ns, cycles, builds) = match self.options.quick {
            true => (8e6, 4, 3),
            false => (20e6, 5, 12),
        };
        // What is stretched is cut in number, so that no plan takes more than a few times as long.
        Effort {
            block_ns: block_ns * f64::from(stretch),
            cycles: (cycles / stretch.isqrt() as usize).max(2),
            builds,
        }
    }
}
