"""An experiment from its plan to its run directory, on real or simulated workers.

Every run meets every scheme once, in an order of its own, so that heat, caches and a machine's moods fall on all alike.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from collagebench.config import Config, as_json
from collagebench.engine.bound import bound
from collagebench.engine.conductor import Conductor
from collagebench.engine.evaluation import Evaluator
from collagebench.engine.live import LiveCell
from collagebench.engine.pacer import Pacer
from collagebench.engine.plan import Plan, Variant, make_plan
from collagebench.engine.recorder import Evaluate, Recorder
from collagebench.engine.router import Router
from collagebench.engine.simulated import simulate_cell
from collagebench.errors import CollagebenchError, Interrupted
from collagebench.fleet import ModelFile, WorkerSpec
from collagebench.fleet.local import local_fleet
from collagebench.results.environment import capture
from collagebench.results.records import CellRecord
from collagebench.results.writer import RunWriter

EVALUATED_AT_ONCE = 20_000
SWITCH_INTERVAL = 0.0005
"""Seconds one thread of the client may keep the others waiting for the interpreter, where Python's default is 0.005."""


class Progress:
    """Somebody who is told how far an experiment is; this one looks away."""

    def stage(self, text: str) -> None:
        """Something takes a moment that is not counted in requests."""

    def begin(self, requests: int) -> None:
        """So many requests will arrive, over all cells."""

    def cell(self, scheme: str, run: int) -> None:
        """A cell begins."""

    def advance(self, requests: int) -> None:
        """So many more have arrived."""


def run(config: Config, directory: Path, progress: Progress) -> None:
    """Measure on real workers and leave the results in `directory`.

    Raises:
        CollagebenchError: it could not be done; what was finished is saved.
        Interrupted: the user stopped it; what was finished is saved.
    """
    _experiment(config, directory, progress, "live", _run_live)


def simulate(config: Config, directory: Path, progress: Progress) -> None:
    """Do the same in virtual time; raises what `run` raises."""
    _experiment(config, directory, progress, "simulated", _run_simulated)


def _experiment(
    config: Config,
    directory: Path,
    progress: Progress,
    engine: str,
    cells: Callable[[Plan, RunWriter, Path, Progress], None],
) -> None:
    progress.stage("reading models and images")
    plan = make_plan(config)
    writer = RunWriter(directory, _header(plan, engine))
    try:
        cells(plan, writer, directory, progress)
        writer.finish("done", bound=bound(plan))
    except (KeyboardInterrupt, asyncio.CancelledError):
        writer.finish("interrupted")
        raise Interrupted(f"interrupted; what was finished is in {directory}") from None
    except BaseException as error:
        with contextlib.suppress(CollagebenchError):
            writer.finish("failed", error=str(error) or repr(error))
        raise
    finally:
        writer.close()


def _header(plan: Plan, engine: str) -> dict[str, Any]:
    models = {model.name: model for variant in plan.variants for model in variant.models.values()}
    return {
        "engine": engine,
        "config": as_json(plan.config),
        "environment": capture(),
        "schemes": [
            {
                "scheme": variant.config.name,
                "variant": variant.name,
                "allotment": {role: len(workers) for role, workers in variant.workers.items()},
                "options": dict(variant.config.options),
                "models": {role: model.name for role, model in variant.models.items()},
            }
            for variant in plan.variants
        ],
        "models": [
            {
                "name": model.name,
                "role": model.role,
                "grid": model.grid,
                "dataset": model.dataset,
                "sha256": model.sha256,
                "macs": model.macs,
                "accuracy": model.accuracy,
                "compute_s": plan.compute[model.name],
            }
            for model in models.values()
        ],
        "service": {"mean_s": plan.mean_service, "utilisation": plan.utilisation, "rate": plan.rate},
    }


def _conduct(plan: Plan, variant: Variant, run: int, recorder: Recorder) -> Callable[[Any], Conductor]:
    def conduct(transport: Any) -> Conductor:
        draw = partial(plan.stragglers.draw, run)
        return Conductor(variant.scheme(), Router(variant.workers), draw, partial(plan.tie, run), transport, recorder)

    return conduct


def _cells(plan: Plan) -> Iterator[tuple[int, Variant]]:
    for run in range(plan.config.runs):
        for variant in plan.order(run):
            yield run, variant


def _recorder(
    plan: Plan, writer: RunWriter, variant: Variant, run: int, evaluate: Evaluate | None, chunk: int | None
) -> Recorder:
    return Recorder(writer, variant.name, run, plan.stragglers.mode, plan.workloads[run], evaluate, chunk)


def _run_simulated(plan: Plan, writer: RunWriter, directory: Path, progress: Progress) -> None:
    evaluator = Evaluator(plan.images)
    progress.begin(plan.config.requests * plan.config.runs * len(plan.variants))
    for order, (run, variant) in enumerate(_cells(plan)):
        progress.cell(variant.name, run)
        recorder = _recorder(plan, writer, variant, run, partial(evaluator.evaluate, variant.models), EVALUATED_AT_ONCE)
        simulate_cell(
            _conduct(plan, variant, run, recorder),
            plan.requests(run),
            plan.stragglers.mode,
            plan.compute_of(variant),
            plan.config.deadline,
            progress.advance,
        )
        recorder.flush()
        writer.cell(
            CellRecord(variant.name, run, order, plan.config.requests, recorder.last_answer, None, lost_workers="")
        )


def _run_live(plan: Plan, writer: RunWriter, directory: Path, progress: Progress) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_INTERVAL)
    try:
        _with_loop(_live_cells(plan, writer, directory, progress))
    finally:
        sys.setswitchinterval(interval)


def _with_loop(main: Coroutine[Any, Any, None]) -> None:
    """Run a coroutine on uvloop where there is one; Ctrl-C and SIGTERM cancel it, so that it can tidy up."""
    try:
        import uvloop

        loop = uvloop.new_event_loop()
    except ImportError:
        loop = asyncio.new_event_loop()
    try:
        task = loop.create_task(main)
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, task.cancel)
        loop.run_until_complete(task)
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()


async def _live_cells(plan: Plan, writer: RunWriter, directory: Path, progress: Progress) -> None:
    config = plan.config
    lost: dict[int, str] = {}
    cell: LiveCell | None = None

    def on_lost(worker: int, reason: str) -> None:
        lost[worker] = reason
        if cell is not None:
            cell.lost(worker)

    progress.stage(f"starting {config.workers} workers")
    evaluator = Evaluator(plan.images) if config.compute == "emulated" else None
    async with local_fleet(_specs(plan), config.compute, directory / "workers", on_lost) as fleet:
        connections = {connection.index: connection for connection in fleet}
        hosts = Counter(connection.host for connection in fleet)
        writer.add(hosts=[{"host": host, "workers": workers} for host, workers in hosts.items()])
        pacer = Pacer(asyncio.get_running_loop())
        try:
            progress.begin(config.requests * config.runs * len(plan.variants))
            for order, (run, variant) in enumerate(_cells(plan)):
                progress.cell(variant.name, run)
                evaluate = None if evaluator is None else partial(evaluator.evaluate, variant.models)
                recorder = _recorder(plan, writer, variant, run, evaluate, None)
                emulated = plan.compute_of(variant) if config.compute == "emulated" else None
                cell = LiveCell(
                    pacer, connections, variant.models, plan.images, plan.stragglers.mode, config.deadline, emulated
                )
                cpu = time.process_time()
                await cell.run(_conduct(plan, variant, run, recorder), plan.requests(run), recorder, progress.advance)
                cpu = time.process_time() - cpu
                recorder.flush()
                gone = "; ".join(f"worker {worker} {reason}" for worker, reason in sorted(lost.items()))
                writer.cell(CellRecord(variant.name, run, order, config.requests, recorder.last_answer, cpu, gone))
                if lost:
                    writer.event(
                        "worker lost", f"{gone}, during run {run} of {variant.name}; nothing was measured after it"
                    )
                    return
        finally:
            cell = None
            pacer.close()


def _specs(plan: Plan) -> list[WorkerSpec]:
    """Every worker holds the models of all the roles it plays under any scheme, so one fleet serves them all."""
    held: dict[int, dict[str, ModelFile]] = {}
    for variant in plan.variants:
        for role, workers in variant.workers.items():
            model = variant.models[role]
            for worker in workers:
                file = ModelFile(model.name, str(model.path.resolve()), model.sha256, model.input)
                held.setdefault(worker, {})[model.name] = file
    return [WorkerSpec(worker, tuple(files.values())) for worker, files in sorted(held.items())]
