"""Runs cells of an experiment in simulation: all, one after the other, or a single one."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from collagebench.engine.cells import Progress, begin, conductor_of, crashes_of, in_order, recorder_of, watched
from collagebench.engine.evaluation import Evaluator
from collagebench.engine.judgement import SimulatedJudge
from collagebench.engine.plan import Plan
from collagebench.engine.recorder import Records
from collagebench.engine.simulated import simulate_cell
from collagebench.engine.variants import Variant
from collagebench.results.records import CellRecord
from collagebench.results.writer import RunWriter
from collagebench.stragglers.draws import key, uniform

EVALUATED_AT_ONCE = 256
"""Answers that are evaluated together: few, so that they stay in the processor's cache."""


def run_cells(
    plan: Plan,
    writer: RunWriter,
    progress: Progress,
    done: Collection[tuple[str, int]],
    threads: int = 0,
) -> bool:
    """Run all cells that are not done; return True, because no simulated worker is ever lost.

    Answers are evaluated on `threads` threads, 0 for one per core.

    Raises:
        CollagebenchError: the results cannot be written.
    """
    evaluator = Evaluator(plan.images, threads)
    cells = in_order(plan, done)
    begin(plan, progress, cells)
    for place, run, variant in cells:
        write_cell(writer, place, run, variant, run_cell(plan, writer, evaluator, run, variant, progress))
    evaluator.keep()
    return True


def run_cell(
    plan: Plan, records: Records, evaluator: Evaluator, run: int, variant: Variant, progress: Progress
) -> tuple[int, int, float]:
    """Run one cell; return how many requests and tasks it has, and its virtual seconds.

    Raises:
        CollagebenchError: the results cannot be written.
    """
    config = plan.config
    evaluate = partial(evaluator.evaluate, variant.codec, variant.models)
    recorder = recorder_of(plan, records, variant, run, evaluate, EVALUATED_AT_ONCE)
    chance = partial(uniform, key(config.seed, "margins", run))
    judge = SimulatedJudge(variant.codec, evaluate, plan.workloads[run].classified, chance)
    simulate_cell(
        conductor_of(plan, variant, run, watched(plan, variant, run, recorder, progress), judge),
        plan.requests(run),
        plan.compute_of(variant),
        config.deadline,
        progress.advance,
        crashes_of(plan, run),
    )
    recorder.flush()
    return config.requests, recorder.tasks, recorder.duration


def write_cell(writer: RunWriter, place: int, run: int, variant: Variant, facts: tuple[int, int, float]) -> None:
    """Write the row of a cell whose requests and tasks are written; `facts` is what `run_cell` returned."""
    writer.cell(CellRecord(variant.name, run, place, *facts, client_cpu=None, lost_workers=""))
