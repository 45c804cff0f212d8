"""Runs an experiment: from a config to a run directory."""

from __future__ import annotations

import contextlib
import shlex
import threading
from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from collagebench.config import Config, as_json
from collagebench.engine import in_virtual_time, on_workers
from collagebench.engine.at_endpoints import inference_times
from collagebench.engine.bound import bound
from collagebench.engine.cells import Progress
from collagebench.engine.conductor import Listener
from collagebench.engine.on_workers import where_of
from collagebench.engine.plan import Plan, arrival_parameters, make_plan
from collagebench.engine.resumed import check_engine, open_earlier, resumed_header
from collagebench.engine.straggling import straggler_facts
from collagebench.engine.tally import Tally
from collagebench.errors import CollagebenchError, Interrupted, UsageError
from collagebench.fleet import CANNOT
from collagebench.fleet.bearer import Token
from collagebench.fleet.opening import see_that_limits_allow
from collagebench.interrupts import as_ctrl_c, interruptions
from collagebench.results.directory import see_that_it_is_free
from collagebench.results.environment import capture, digest
from collagebench.results.writer import RunWriter
from collagebench.schemes import about, files_of, settings
from collagebench.stragglers.causes import NATURAL
from collagebench.stragglers.recorded import RecordedStragglers
from collagebench.stragglers.replay import Replay
from collagebench.workload.arrivals import facts_of

RunCells = Callable[[Plan, RunWriter, Progress, Collection[tuple[str, int]]], bool]
"""Runs the cells of a plan that are not done, (variant, run); returns whether no worker was lost."""


def run(config: Config, directory: Path, progress: Progress, resume: bool = False, token: Token | None = None) -> None:
    """Measure on real workers, and write the results to `directory`.

    With `resume`, continue the experiment in `directory`. `token` is the bearer token for servers that already run.

    Raises:
        CollagebenchError: the experiment failed; finished cells are saved.
        Interrupted: the user stopped it; finished cells are saved.
    """
    see_that_limits_allow(config.workers)
    if resume:
        check_engine(directory, "live")
    else:
        see_that_it_is_free(directory)
    if config.compute == "real" and config.compute_time is not None:
        raise UsageError("--compute-time is for workers that do not compute: leave it out, or use --compute emulated")
    if config.compute == "real" and config.accuracy != Config().accuracy:
        raise UsageError("--accuracy is for workers that do not compute: leave it out, or use --compute emulated")
    if config.compute == "emulated" and config.stragglers in NATURAL:
        raise UsageError(f"{config.stragglers} slows down only workers that compute: leave --compute emulated out")
    fleet = where_of(config).kind
    if fleet in CANNOT and (config.stragglers in NATURAL or config.stragglers == "crash"):
        raise UsageError(CANNOT[fleet])
    measured: Mapping[tuple[str, int], float] = {}
    if fleet == "endpoint":
        if config.compute == "emulated":
            raise UsageError("endpoints compute for themselves: leave --compute emulated out")
        if not resume:
            progress.stage("asking the endpoints what they serve")
            measured = inference_times(config, token)
    run_cells = partial(on_workers.run_cells, directory=directory, token=token)
    _experiment(config, directory, progress, resume, "live", run_cells, measured)


def simulate(
    config: Config,
    directory: Path,
    progress: Progress,
    resume: bool = False,
    measured: Mapping[tuple[str, int], float] = {},
    run_cells: RunCells = in_virtual_time.run_cells,
) -> None:
    """Do the same in virtual time; raises the same as `run`.

    `measured` are the seconds of one inference, by model name and batch size, that need not be measured again, so that
    several experiments use the same times. `run_cells` does the work.
    """
    check_simulated(config)
    if not resume:
        see_that_it_is_free(directory)
    _experiment(config, directory, progress, resume, "simulated", run_cells, measured)


def check_simulated(config: Config) -> None:
    """Check that a config can be simulated.

    Raises:
        UsageError: its stragglers really disturb workers, so their delays are unknown beforehand.
    """
    if config.stragglers in NATURAL:
        raise UsageError(
            f"how much {config.stragglers} slows a worker down is not known beforehand: record it with `collagebench "
            f"record --stragglers {config.stragglers}`, and simulate the resulting profile"
        )


def _experiment(
    config: Config,
    directory: Path,
    progress: Progress,
    resume: bool,
    engine: str,
    run_cells: RunCells,
    measured: Mapping[tuple[str, int], float],
) -> None:
    where = shlex.quote(str(directory))
    saved = f"interrupted; what was finished is in {directory}: continue with --resume --out {where}"
    with interruptions() as told:
        watched = _Interruptible(progress, told)
        watched.stage("reading models and images")
        try:
            with as_ctrl_c():  # this may take long, and there is nothing to save yet
                earlier = open_earlier(directory, engine, config) if resume else None
                plan = make_plan(config, earlier.compute if earlier else measured)
                header, cells = _header(plan, engine), config.runs * len(plan.variants)
        except Interrupted:
            raise Interrupted(saved if resume else "interrupted before anything was measured") from None
        if earlier is None:
            writer = RunWriter(directory, header)
            for doubt in plan.doubts:
                writer.event("warning", doubt)
        elif earlier.is_whole(cells):
            return
        else:
            writer = RunWriter(directory, resumed_header(earlier, header, cells), earlier.cells)
        try:
            try:
                complete = run_cells(plan, writer, watched, earlier.cells if earlier else ())
                writer.finish("done")
            except Interrupted:
                writer.finish("interrupted")
                raise Interrupted(saved) from None
            except BaseException as error:
                with contextlib.suppress(CollagebenchError):
                    writer.finish("failed", error=str(error) or repr(error))
                raise
            if complete:
                with contextlib.suppress(Interrupted):  # all cells are done; only the bound would be missing
                    watched.stage("simulating the bound")
                    writer.add(bound=bound(plan, lambda _: watched.stage("simulating the bound")))
        finally:
            writer.close()


class _Interruptible(Progress):
    """Passes progress on, and raises Interrupted between two steps if the user wants to stop.

    So an experiment never stops in the middle of a record.
    """

    def __init__(self, progress: Progress, told: threading.Event) -> None:
        self._told = told
        self._progress = progress

    def stage(self, text: str) -> None:
        self._check()
        self._progress.stage(text)

    def show(self, text: str) -> None:
        self._progress.show(text)

    def begin(self, requests: int, schemes: tuple[str, ...], runs: int) -> None:
        self._progress.begin(requests, schemes, runs)

    def workers(self, count: int) -> None:
        self._progress.workers(count)

    def lost(self, worker: int) -> None:
        self._progress.lost(worker)

    def watch(self, listener: Listener, scheme: str, warmup: int, slow_above: float) -> Listener:
        return self._progress.watch(listener, scheme, warmup, slow_above)

    def cell(self, scheme: str, run: int) -> None:
        self._check()
        self._progress.cell(scheme, run)

    def advance(self, requests: int) -> None:
        self._check()
        self._progress.advance(requests)

    def elsewhere(self, scheme: str, run: int, seconds: float, tally: Tally) -> None:
        self._progress.elsewhere(scheme, run, seconds, tally)

    def _check(self) -> None:
        if self._told.is_set():
            raise Interrupted("interrupted")


def _header(plan: Plan, engine: str) -> dict[str, Any]:
    models = {model.name: model for variant in plan.variants for model in variant.models.values()}
    return {
        "engine": engine,
        "config": as_json(plan.config),
        "environment": capture(files_of(scheme.name for scheme in plan.config.schemes)),
        "schemes": [
            {
                "scheme": variant.config.name,
                "variant": variant.name,
                "about": about(variant.config.name),
                "code": digest(files_of([variant.config.name])),
                "allotment": {role: len(workers) for role, workers in variant.workers.items()},
                "options": dict(variant.config.options),
                "settings": settings(variant.config.name, dict(variant.config.options)),
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
                "classes": len(model.classes),
                # The files behind the models of endpoints are unknown.
                "sha256": None if plan.config.fleet == "endpoint" else model.sha256,
                "macs": model.macs,
                "accuracy": model.accuracy,
                "compute_s": {str(size): s for (name, size), s in plan.compute.items() if name == model.name},
            }
            for model in models.values()
        ],
        "stragglers": {
            "name": plan.stragglers.name,
            "mean": plan.stragglers.mean,
            "machines": len(plan.stragglers.machines) if isinstance(plan.stragglers, RecordedStragglers) else None,
            "logs": len(plan.stragglers.logs) if isinstance(plan.stragglers, Replay) else None,
            **straggler_facts(plan.config),
        },
        "arrivals": facts_of(plan.config.arrivals, arrival_parameters(plan.config)),
        "service": {
            "mean_s": plan.mean_service,
            "utilisation": plan.utilisation,
            "rate": plan.rate,
            "mode": plan.stragglers.mode,
        },
    }
