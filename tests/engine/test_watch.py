"""Watching real workers: schedules, services as they are seen, and lost or disturbed workers."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from real_processes import worker_pids

from collagebench import zoo
from collagebench.engine.event_loop import complete
from collagebench.engine.recording import BUSY, OVERHEAD, Recording, _default_rate, _schedule
from collagebench.engine.watch import Machine, Seen, Watch, watch
from collagebench.errors import Interrupted, UsageError
from collagebench.fleet import Disturbance

MODEL = zoo.find(zoo.load(), "single", dataset="shapes")
PIXELS = np.zeros((3, *MODEL.image), np.uint8)


def nothing(done: int, total: int, line: str) -> None:
    """Ignore the progress."""


def watched(schedules: list[np.ndarray], logs: Path, report=nothing, disturbance: Disturbance | None = None) -> Watch:
    """Watch one worker per schedule."""
    found = Watch([Machine() for _ in schedules])
    complete(watch(found, MODEL, PIXELS, schedules, logs, disturbance, report))
    return found


@pytest.mark.processes
def test_every_request_is_seen_once_and_in_order(tmp_path: Path) -> None:
    """Each worker has one service per request of its schedule, in order, none sent early, with plausible times."""
    schedules = [np.arange(30) * 0.02, np.arange(0), 0.005 + np.arange(50) * 0.01]
    told: list[tuple[int, int]] = []
    found = watched(schedules, tmp_path, lambda done, total, line: told.append((done, total)))
    assert [len(machine.seen) for machine in found.machines] == [30, 0, 50]
    assert [machine.failed for machine in found.machines] == [0, 0, 0]
    for machine, times in zip(found.machines, schedules, strict=True):
        sent, queue, service, trip = machine.in_order()
        assert (sent >= times).all()
        assert (np.diff(sent) >= 0).all()
        assert (service > 0).all()
        assert (trip > queue + service).all()
    assert len(found.lags) == 80
    assert found.seconds >= 0.58
    assert told[-1] == (80, 80)


def test_a_delay_on_the_way_counts_as_slowness_and_the_ordinary_way_does_not() -> None:
    """Transport above the median counts as service: 0, 0 and 5 ms of 1, 2 and 7 ms; time in the queue does not."""
    machine = Machine([Seen(0.2, 0.1, 0.020, 0.127), Seen(0.0, 0.0, 0.030, 0.031), Seen(0.1, 0.0, 0.020, 0.022)])
    _, queue, service, _ = machine.in_order()
    assert queue.tolist() == [0.0, 0.0, 0.1]
    assert service == pytest.approx([0.030, 0.020, 0.025])
    assert Machine().in_order().shape == (4, 0)


def test_one_stall_is_one_slow_service() -> None:
    """If a worker stalls for 2 s, only the first of the requests that wait for it has a slow service."""
    sent = np.arange(40) * 0.1
    free, seen = 0.0, []
    for at in sent.tolist():
        read = max(at, 2.5) if at > 0.5 else at  # nothing is read off the socket meanwhile
        begin = max(read, free)
        free = begin + 0.01
        seen.append(Seen(at, begin - read, 0.01, free + 0.001 - at))
    _, _, service, _ = Machine(seen).in_order()
    assert service.sum() == pytest.approx(40 * 0.01 + 1.9, rel=0.01)
    assert (service > 0.02).sum() == 1


@given(
    st.lists(
        st.tuples(st.floats(0, 0.5), st.floats(1e-4, 0.3), st.one_of(st.just(0.0), st.floats(0, 3))),
        min_size=1,
        max_size=30,
    )
)
def test_no_worker_is_late_for_longer_than_it_was_watched(steps: list[tuple[float, float, float]]) -> None:
    """However answers are delayed, services only get longer, in all by no more than the time of the watch."""
    at = free = out = 0.0
    seen = []
    for pause, service, held_up in steps:  # a delayed answer delays those behind it
        at += pause
        begin = max(at, free)
        free = begin + service
        out = max(out, free + held_up)
        seen.append(Seen(at, begin - at, service, out + 0.001 - at))
    sent, _, took, trip = Machine(seen).in_order()
    added = took - [service for _, service, _ in steps]
    assert (added >= -1e-9).all()
    assert added.sum() <= (sent + trip).max() - sent.min() + 1e-6


@pytest.mark.processes
def test_a_lost_worker_does_not_hold_up_the_others(tmp_path: Path) -> None:
    """If one worker is killed while it has a request, it is said how it died, and the rest is watched to the end."""
    schedules = [np.arange(80) * 0.03, np.arange(80) * 0.03]
    stopped: list[int] = []

    def kill_one(done: int, total: int, line: str) -> None:
        if not stopped and done >= 25:
            stopped.append(worker_pids()[-1])
            os.kill(stopped[0], signal.SIGSTOP)
        elif done >= 50 and len(stopped) == 1:  # a request since then was its own
            os.kill(stopped[0], signal.SIGKILL)
            stopped.append(-1)

    found = watched(schedules, tmp_path, kill_one)
    whole, torn = sorted(found.machines, key=lambda machine: machine.lost is not None)
    assert (len(whole.seen), whole.lost) == (80, None)
    assert torn.lost == "killed by signal 9"
    assert len(torn.seen) < 80


@pytest.mark.processes
def test_a_fleet_that_is_lost_altogether_ends_the_watch(tmp_path: Path) -> None:
    """If all workers are lost, the watch ends with the services seen until then, and why each was lost."""

    def kill_all(done: int, total: int, line: str) -> None:
        if done:
            for pid in worker_pids():
                os.kill(pid, signal.SIGKILL)

    found = watched([np.arange(60) * 0.02], tmp_path, kill_all)
    (machine,) = found.machines
    assert machine.lost
    assert machine.seen


@pytest.mark.processes
def test_an_interruption_keeps_what_was_seen(tmp_path: Path) -> None:
    """A cancelled watch keeps the services that it has seen and its duration."""
    found = Watch([Machine(), Machine()])

    async def interrupted() -> None:
        def stop(done: int, total: int, line: str) -> None:
            if done:
                task.cancel()

        times = np.arange(5000) * 0.01
        task = asyncio.ensure_future(watch(found, MODEL, PIXELS, [times, times], tmp_path, None, stop))
        await task

    with pytest.raises(Interrupted):
        complete(interrupted())
    assert 25 <= sum(len(machine.seen) for machine in found.machines) < 5000
    assert 0 < found.seconds < 50


@pytest.mark.processes
def test_a_stopped_worker_is_seen_to_answer_late(tmp_path: Path) -> None:
    """A worker that is stopped repeatedly answers later than one that is not, and the stops are recorded."""
    times = np.arange(100) * 0.02
    disturbance = Disturbance("stop", (1,), stop_every=0.1, stop_for=0.1)
    found = watched([times, times], tmp_path, nothing, disturbance)
    assert len(found.disturbed[0]["stops"]) >= 3
    ordinary, stopped = (machine.in_order()[3] for machine in found.machines)
    assert np.quantile(stopped, 0.9) > np.quantile(ordinary, 0.5) + 0.03
    assert len(ordinary) == len(stopped) == 100


def test_schedules_have_the_rate_and_are_out_of_step() -> None:
    """Each worker's schedule has the given rate and duration and its own times, always the same ones."""
    for kind in ("poisson", "constant"):
        asked = Recording(arrivals=kind, duration=100.0)
        first, second = (_schedule(asked, 20.0, worker) for worker in (0, 1))
        assert abs(len(first) - 2000) <= 4.5 * 2000**0.5
        assert 0 <= first[0] < first[-1] < 100
        assert not np.isin(first, second).any()
        assert (_schedule(asked, 20.0, 0) == first).all()


def test_the_default_rate_keeps_the_machine_idle_enough() -> None:
    """The default rate falls with the inference time and the workers, so that the cores are never too busy."""
    assert _default_rate(0.1, 10) < _default_rate(0.01, 10)
    assert _default_rate(0.1, 20) == pytest.approx(_default_rate(0.1, 10) / 2, rel=0.01)
    assert _default_rate(1e-9, 1) * OVERHEAD <= BUSY * 1.01
    cores = len(os.sched_getaffinity(0))
    assert 1000 * _default_rate(0.1, 1000) * 0.1 <= BUSY * 1.01 * cores


def test_a_flood_is_refused() -> None:
    """A schedule of more requests than memory could hold raises a UsageError."""
    with pytest.raises(UsageError, match="lower --rate or --duration"):
        _schedule(Recording(duration=1e5), 1e5, 0)
