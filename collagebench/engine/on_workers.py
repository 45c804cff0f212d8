"""Runs the cells of an experiment on real workers: one fleet, started once, serves them one after the other."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import Any, cast

from collagebench.config import Config
from collagebench.engine.cells import Progress, begin, conductor_of, crashes_of, in_order, recorder_of, watched
from collagebench.engine.evaluation import Evaluator
from collagebench.engine.event_loop import ahead_of_others, complete, is_ahead, is_nice
from collagebench.engine.judgement import EmulatedJudge, LiveJudge
from collagebench.engine.live import LiveCell
from collagebench.engine.pacer import Pacer
from collagebench.engine.plan import Plan
from collagebench.engine.repeats import late_again
from collagebench.engine.variants import Variant
from collagebench.fleet import Disturbance, Kind, ModelFile, Where, WorkerSpec
from collagebench.fleet.bearer import Token
from collagebench.fleet.fleet import Fleet, to_its_end
from collagebench.fleet.opening import open_fleet
from collagebench.results.directory import LOGS
from collagebench.results.environment import Ticks, cores, processor_time
from collagebench.results.records import CellRecord
from collagebench.results.writer import RunWriter
from collagebench.stragglers.draws import key, uniform
from collagebench.stragglers.natural import Natural

CROWDED = 0.5
"""Share of this machine's cores that inferences without redundancy may use before a note is shown."""
SAID = 4
"""The number of different reasons for refused tasks that are recorded."""


def run_cells(
    plan: Plan,
    writer: RunWriter,
    progress: Progress,
    done: Collection[tuple[str, int]],
    directory: Path,
    token: Token | None,
) -> bool:
    """Run all cells that are not done, but stop when a worker is lost; return whether all were run.

    `directory` is the writer's directory; `token` is the bearer token for servers that already run.

    Raises:
        CollagebenchError: the fleet cannot be started, or the results cannot be written.
        Interrupted: Ctrl-C or SIGTERM came; the workers have ended.
    """
    return complete(_run_cells(plan, writer, directory, progress, in_order(plan, done), token))


async def _run_cells(
    plan: Plan,
    writer: RunWriter,
    directory: Path,
    progress: Progress,
    cells: Sequence[tuple[int, int, Variant]],
    token: Token | None,
) -> bool:
    config = plan.config
    lost: dict[int, str] = {}
    cell: LiveCell | None = None

    def on_lost(worker: int, reason: str) -> None:
        lost.setdefault(worker, reason)
        progress.lost(worker)
        if cell is not None:
            cell.lost(worker)

    def on_ended(worker: int, reason: str) -> None:
        lost[worker] = reason  # the fleet's reason is better than that of a broken connection
        on_lost(worker, reason)

    refusals: dict[tuple[str, int], Counter[str]] = {}
    away: dict[int, float] = {}
    returns: list[dict[str, Any]] = []

    def on_crashed(worker: int) -> None:
        away[worker] = time.perf_counter()
        if cell is not None:
            cell.crashed(worker)

    def on_back(worker: int) -> None:
        returns.append({"kind": "crash", "worker": worker, "away_s": time.perf_counter() - away.pop(worker)})
        if cell is not None:
            cell.back(worker)

    if (crowded := _crowded(plan)) is not None:
        progress.show(f"note: {crowded}")
        writer.event("crowded", f"{crowded}.")
    progress.stage(f"starting {config.workers} workers")
    evaluator = Evaluator(plan.images) if config.compute == "emulated" else None
    aside = None if evaluator is None else Evaluator(plan.images, threads=1)
    logs = directory / LOGS
    opening = open_fleet(
        where_of(config, token),
        specs_of(plan.variants),
        config.compute,
        logs,
        on_ended,
        on_crashed,
        on_back,
        progress.stage,
        progress.show,
    )
    ended: bool | None = None  # whether all cells were measured, once that is known
    try:
        async with opening as fleet:
            connections = {connection.index: connection for connection in fleet}
            writer.add(hosts=fleet.hosts)
            progress.workers(len(connections))
            pacer = Pacer(asyncio.get_running_loop())

            async def measure(order: int, run: int, variant: Variant, is_last: bool) -> bool:
                """Measure one cell and write its records; return False if no other may follow, as a worker was lost."""
                nonlocal cell
                evaluate = None if evaluator is None else partial(evaluator.evaluate, variant.codec, variant.models)
                recorder = recorder_of(plan, writer, variant, run, evaluate)
                judge = _judge(plan, variant, run, aside)
                listener = watched(plan, variant, run, recorder, progress)
                with contextlib.closing(judge):
                    conduct = conductor_of(plan, variant, run, listener, judge)
                    async with _disturbed(fleet, plan, writer, variant, run):
                        # Only now, as a cell can be told of lost workers only from its `run` on.
                        cell = LiveCell(
                            pacer,
                            connections,
                            variant.codec,
                            variant.models,
                            plan.images,
                            plan.stragglers.mode,
                            config.deadline,
                            plan.compute_of(variant) if config.compute == "emulated" else None,
                            judge.ahead,
                            on_lost,
                            crashes_of(plan, run),
                            fleet.crash,
                        )
                        cpu = time.process_time()
                        await cell.run(conduct, plan.requests(run), recorder, progress.advance)
                        cpu = time.process_time() - cpu - judge.cpu
                if not fleet.is_whole and not is_last:
                    progress.stage("waiting for crashed workers to come back")
                    await fleet.whole()
                if away or returns:
                    began = [{"kind": "crash", "worker": worker} for worker in away]
                    writer.disturbed({"scheme": variant.name, "run": run, "began": began, "came": list(returns)})
                    returns.clear()
                refusals[variant.name, run] = cell.refusals
                await fleet.explained(lost)
                gone = _gone(lost)
                # In a thread, as it may take long, and workers hear nothing of a client whose event loop stands still.
                await to_its_end(asyncio.to_thread(recorder.flush), evaluator.stop if evaluator else lambda: None)
                facts = (config.requests, recorder.tasks, recorder.duration, cpu, gone)
                writer.cell(CellRecord(variant.name, run, order, *facts))
                if gone or (lost and not is_last):
                    place = f"{'during' if gone else 'after'} run {run} of {variant.name}"
                    writer.event("worker lost", f"{gone or _gone(lost)}, {place}; nothing was measured after it")
                    return False
                return True

            async def series(cells: Sequence[tuple[int, int, Variant]]) -> bool:
                """Measure cells; return False if a worker was lost."""
                for order, run, variant in cells:
                    if not await measure(order, run, variant, order == cells[-1][0]):
                        return False
                return True

            async def all_cells() -> bool:
                """Measure all cells, and late ones again; return False if a worker was lost."""
                if not await series(cells):
                    return False
                async for again in late_again(plan, writer, directory, progress, lost):
                    if not fleet.is_whole:
                        await fleet.whole()
                    returns.clear()  # they belong to the previous cell
                    if not await series(again):
                        return False
                return True

            try:
                before = processor_time()
                begin(plan, progress, cells)
                with ahead_of_others():
                    writer.add(client_priority="real-time" if is_ahead() else "nice" if is_nice() else "normal")
                    ended = await all_cells()
                writer.add(stolen_share=_stolen(before, processor_time()))
            finally:
                cell = None
                pacer.close()
                for text in _refused(sum(refusals.values(), Counter())):
                    writer.event("tasks refused", text)
    except asyncio.CancelledError:
        if ended is None:
            raise
    assert ended is not None
    return ended


def _crowded(plan: Plan) -> str | None:
    """Return a note if inferences on this machine alone keep its cores too busy, else None."""
    if plan.config.fleet != "local" or plan.config.compute != "real":
        return None
    seconds, usable = plan.compute.get((plan.single.name, 1), 0.0), cores()
    wanted = plan.rate * seconds
    if wanted <= CROWDED * usable:
        return None
    return (
        f"an inference takes {1e3 * seconds:.1f} ms, so {plan.rate:.4g} requests a second need {wanted:.1f} of this "
        f"machine's {usable} core{'s' if usable > 1 else ''}, and copies more: use --rate "
        f"{float(f'{CROWDED * usable / 2 / seconds:.2g}'):g} or less, or --compute emulated"
    )


def _stolen(before: Ticks, after: Ticks) -> float:
    """Return the share of processor time that the host took (steal) between two readings of `processor_time`."""
    total, stolen = after.total - before.total, after.stolen - before.stolen
    return stolen / total if 0 <= stolen < total else 0.0


def _refused(refusals: Counter[str]) -> list[str]:
    """Return messages about refused tasks by reason, the most frequent first."""
    said = [
        f"{count} task{'s' if count > 1 else ''} got no answer: the worker {why}"
        for why, count in refusals.most_common(SAID)
    ]
    others = refusals.total() - sum(count for _, count in refusals.most_common(SAID))
    return said + ([f"and {others} tasks were refused for other reasons"] if others else [])


def _judge(plan: Plan, variant: Variant, run: int, aside: Evaluator | None) -> LiveJudge | EmulatedJudge:
    """Return the judge of one cell; `aside` evaluates tasks if workers do not compute, else it is None."""
    if aside is None:
        return LiveJudge(variant.codec)
    chance = partial(uniform, key(plan.config.seed, "margins", run))
    asked = variant.silent | ({variant.codec.judges} if variant.codec.judges else set())
    return EmulatedJudge(variant.codec, partial(aside.evaluate, variant.codec, variant.models), chance, asked)


def _gone(lost: Mapping[int, str]) -> str:
    """Return a text about the lost workers and the reasons; empty if there are none."""
    alike: dict[str, list[int]] = {}
    for worker, reason in sorted(lost.items()):
        alike.setdefault(reason, []).append(worker)
    return "; ".join(
        f"worker {first} {reason}" + (f" (also {', '.join(map(str, others))})" if others else "")
        for reason, (first, *others) in alike.items()
    )


@contextlib.asynccontextmanager
async def _disturbed(fleet: Fleet, plan: Plan, writer: RunWriter, variant: Variant, run: int) -> AsyncIterator[None]:
    """Let natural stragglers disturb the workers during one cell, and record what was actually done.

    They begin anew with every cell, so that all schemes meet repeatable disturbances at the same times.
    """
    stragglers = plan.stragglers
    if not isinstance(stragglers, Natural) or not stragglers.slow_workers:
        yield
        return
    disturbance = Disturbance(
        kind=stragglers.kind,
        workers=stragglers.workers_of(run),
        seed=plan.config.seed,
        run=run,
        **stragglers.parameters,
    )
    began = await fleet.disturb(disturbance)
    yield
    writer.disturbed({"scheme": variant.name, "run": run, "began": began, "came": await fleet.calm()})


def where_of(config: Config, token: Token | None = None) -> Where:
    """Return the description of the fleet in a config."""
    names = {field.name for field in fields(Where)} - {"kind", "token"}
    return Where(cast(Kind, config.fleet), token=token, **{name: getattr(config, name) for name in names})


def specs_of(variants: Sequence[Variant]) -> list[WorkerSpec]:
    """Return the workers' specs: each worker has the models of its roles under all schemes, so one fleet serves all."""
    held: dict[int, dict[str, ModelFile]] = {}
    for variant in variants:
        for role, workers in variant.workers.items():
            model = variant.models[role]
            for worker in workers:
                mine = held.setdefault(worker, {})
                largest = max(variant.codec.batch(role), mine[model.name].batch if model.name in mine else 1)
                path = str(model.path.resolve())
                facts = (model.name, path, model.sha256, model.input, model.dtype, model.output, role, largest)
                mine[model.name] = ModelFile(*facts)
    return [WorkerSpec(worker, tuple(files.values())) for worker, files in sorted(held.items())]
