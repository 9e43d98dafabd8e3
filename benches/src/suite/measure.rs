//! One plan measured: its arms in turns, and what of them its goals look at.

use crate::goals;
use crate::method::block::{self, Block, Duel, Effort, alone};
use crate::method::bootstrap;
use crate::report::{Row, Times};
use crate::setting::Setting;
use crate::suite::{Maker, Plan};

/// Measures `plan`; `step` is called after each cycle.
pub(super) fn measure(
    plan: &Plan,
    setting: &Setting<'_>,
    effort: Effort,
    step: &mut dyn FnMut(),
) -> crate::Result<Vec<Row>> {
    if plan.rulers.is_empty() {
        measure_alone(plan, setting, effort, step)
    } else {
        measure_against_ruler(plan, setting, effort, step)
    }
}

/// Arms are built anew for each part of the cycles: where their pages land in the caches stays the
/// same for the life of a process and would otherwise tilt the whole comparison.
fn measure_against_ruler(
    plan: &Plan,
    setting: &Setting<'_>,
    effort: Effort,
    step: &mut dyn FnMut(),
) -> crate::Result<Vec<Row>> {
    let best = best(plan, plan.rulers, setting, effort)?;
    let (outcome, names) = duel(best, plan.product, setting, effort, step)?;
    let note = match plan.floors {
        [] => None,
        _ => Some(floor_note(plan, best, &outcome, setting, effort)?),
    };
    let ruler = Times::of(names.0, &outcome.ruler);
    let product = Times::of(names.1, &outcome.product);
    let rows = plan.scores.iter().map(|(id, figure)| {
        let ratios: Vec<f64> = outcome
            .pairs
            .iter()
            .map(|(ruler, product)| match plan.against_peer {
                false => figure.of(product) / figure.of(ruler),
                true => figure.of(ruler) / figure.of(product),
            })
            .collect();
        let row = row(plan, id, &ratios, Some(ruler.clone()), product.clone())?;
        Ok(Row {
            note: note.clone(),
            ..row
        })
    });
    rows.collect()
}

/// Two arms in turns; answers their names as well.
fn duel(
    ruler: Maker,
    product: Maker,
    setting: &Setting<'_>,
    effort: Effort,
    step: &mut dyn FnMut(),
) -> crate::Result<(Duel, (&'static str, &'static str))> {
    let mut outcome = Duel::default();
    let mut names = ("", "");
    for _ in 0..effort.builds {
        let mut ruler = ruler(setting)?;
        let mut product = product(&Setting {
            instance: 1,
            ..*setting
        })?;
        names = (ruler.name(), product.name());
        outcome.go_on(&mut ruler, &mut product, effort, step)?;
    }
    Ok((outcome, names))
}

/// What the floor comes to against the same ruler, by the plan's first figure, and the product against the floor.
fn floor_note(
    plan: &Plan,
    ruler: Maker,
    product: &Duel,
    setting: &Setting<'_>,
    effort: Effort,
) -> crate::Result<String> {
    let floor = best(plan, plan.floors, setting, effort)?;
    let (floor, (ruler_name, floor_name)) = duel(ruler, floor, setting, effort, &mut || {})?;
    let figure = plan.first_figure();
    let estimate = |duel: &Duel| {
        let pairs = duel.pairs.iter();
        let ratios: Vec<f64> = pairs
            .map(|(ruler, other)| figure.of(other) / figure.of(ruler))
            .collect();
        bootstrap::estimate(&ratios).ok_or("no block was measured")
    };
    let (floor, product) = (estimate(&floor)?, estimate(product)?);
    let (median, lo, hi) = (floor.median, floor.lo, floor.hi);
    let rest = product.median / median;
    Ok(format!(
        "{floor_name} by itself / {ruler_name} = {median:.3} ({lo:.3} .. {hi:.3}); product / {floor_name} = {rest:.3}"
    ))
}

fn measure_alone(
    plan: &Plan,
    setting: &Setting<'_>,
    effort: Effort,
    step: &mut dyn FnMut(),
) -> crate::Result<Vec<Row>> {
    let mut blocks = Vec::new();
    let mut name = "";
    for _ in 0..effort.builds {
        let mut product = (plan.product)(setting)?;
        name = product.name();
        blocks.extend(alone(&mut product, effort, step)?);
    }
    let times = Times::of(name, &block::histogram_of(&blocks));
    let rows = plan.scores.iter().map(|(id, figure)| {
        let figures: Vec<f64> = blocks.iter().map(|block| figure.of(block)).collect();
        row(plan, id, &figures, None, times.clone())
    });
    rows.collect()
}

/// Of several primitives for one job, the one that is best here; a few blocks of each decide.
fn best(
    plan: &Plan,
    makers: &[Maker],
    setting: &Setting<'_>,
    effort: Effort,
) -> crate::Result<Maker> {
    if let [only] = makers {
        return Ok(*only);
    }
    let figure = plan.first_figure();
    let mut best: Option<(f64, Maker)> = None;
    for maker in makers {
        let effort = Effort {
            cycles: 3,
            ..effort
        };
        let blocks = alone(&mut maker(setting)?, effort, &mut || {})?;
        // The best of its blocks: what the primitive can do, not what the machine let it do.
        let figures = blocks
            .iter()
            .map(|block: &Block| match figure.more_is_better() {
                true => figure.of(block),
                false => -figure.of(block),
            });
        let figure = figures.fold(f64::NEG_INFINITY, f64::max);
        if best.is_none_or(|(most, _)| figure > most) {
            best = Some((figure, *maker));
        }
    }
    Ok(best.ok_or("a comparison needs a ruler")?.1)
}

fn row(
    plan: &Plan,
    id: &str,
    observations: &[f64],
    ruler: Option<Times>,
    product: Times,
) -> crate::Result<Row> {
    let estimate = bootstrap::estimate(observations).ok_or("no block was measured")?;
    let row = Row::new(goals::goal(id, plan.part()), estimate, ruler, product);
    Ok(Row {
        placement: plan.placement.name(),
        wait: plan.wait.name(),
        bytes: plan.bytes,
        blocks: observations.len(),
        ..row
    })
}
