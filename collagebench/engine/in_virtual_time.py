"""Runs the cells of an experiment in simulation, one after the other."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial

from collagebench.engine.cells import Progress, begin, conductor_of, crashes_of, in_order, recorder_of, watched
from collagebench.engine.evaluation import Evaluator
from collagebench.engine.judgement import SimulatedJudge
from collagebench.engine.plan import Plan
from collagebench.engine.simulated import simulate_cell
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
    threads: int,
) -> bool:
    """Run all cells that are not done; return True, because no simulated worker is ever lost.

    Answers are evaluated on `threads` threads, 0 for one per core.

    Raises:
        CollagebenchError: the results cannot be written.
    """
    config = plan.config
    evaluator = Evaluator(plan.images, threads)
    cells = in_order(plan, done)
    begin(plan, progress, cells)
    for order, run, variant in cells:
        evaluate = partial(evaluator.evaluate, variant.codec, variant.models)
        recorder = recorder_of(plan, writer, variant, run, evaluate, EVALUATED_AT_ONCE)
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
        facts = (config.requests, recorder.tasks, recorder.duration)
        writer.cell(CellRecord(variant.name, run, order, *facts, client_cpu=None, lost_workers=""))
    evaluator.keep()
    return True
