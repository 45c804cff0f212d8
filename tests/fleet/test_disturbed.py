"""The local fleet when its client disturbs it: what the client hears, and how calls end if a worker crashes."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from natural_processes import FAST, PATIENCE, nothing_left, permitted, state, until
from real_processes import SUMS

from collagebench.errors import FleetError
from collagebench.fleet.connection import Connection, TaskError
from collagebench.fleet.fleet import Fleet
from collagebench.fleet.local import local_fleet
from collagebench.worker.spec import Disturbance, WorkerSpec

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc what became of processes"),
]
PIXELS = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)


@pytest.fixture(autouse=True)
def temporary(temporary: Path) -> Iterator[Path]:
    """Return the temporary directory of a test, and check that no process, file or control group is left."""
    yield temporary
    nothing_left(temporary)


class Heard:
    """What the fleet has reported."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []
        self._news = asyncio.Event()

    def tell(self, *what: Any) -> None:
        """Record a report."""
        self.told.append(what)
        self._news.set()

    async def until(self, *what: Any) -> None:
        """Return once this has been reported."""
        while what not in self.told:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), PATIENCE)


def with_fleet(
    body: Callable[[Fleet, Heard], Awaitable[None]], logs: Path, workers: int = 2, compute: Any = "emulated"
) -> list[tuple[Any, ...]]:
    """Run `body` with a fleet and return what the fleet reported."""

    async def main() -> list[tuple[Any, ...]]:
        heard = Heard()
        fleet = local_fleet(
            [WorkerSpec(index, (SUMS,)) for index in range(workers)],
            compute,
            logs,
            lambda worker, reason: heard.tell("lost", worker, reason),
            on_crashed=lambda worker: heard.tell("crashed", worker),
            on_back=lambda worker: heard.tell("back", worker),
        )
        async with fleet as up:
            await body(up, heard)
        return heard.told

    return asyncio.run(main())


def infer(connection: Connection, amount: float = 0.0, timeout: float = 10.0) -> Any:
    """Return the coroutine of one call."""
    return connection.infer(1, "sums", PIXELS, "floor", amount, timeout)


@pytest.mark.parametrize("kind", list(FAST))
def test_a_disturbance_is_confirmed_and_so_is_calm(tmp_path: Path, kind: Any) -> None:
    """`disturb` and `calm` return what was done to which worker; afterwards all workers answer and none is lost."""
    permitted(kind)

    async def body(fleet: Fleet, heard: Heard) -> None:
        for _ in range(2):
            [what] = await fleet.disturb(Disturbance(kind, (1,), **FAST[kind]))
            assert (what["worker"], what["kind"], what["pid"] > 0) == (1, kind, True)
            [result] = await fleet.calm()
            assert (result["worker"], result["kind"], result["seconds"] > 0) == (1, kind, True)
            for connection in fleet:
                await infer(connection)
        assert await fleet.calm() == []

    assert with_fleet(body, tmp_path) == []


def test_a_throttled_worker_uses_no_more_than_its_quota(tmp_path: Path) -> None:
    """A worker throttled to 10 % of a core uses no more, though always busy, and exhausts the quota in some periods."""
    permitted("throttle")

    async def body(fleet: Fleet, heard: Heard) -> None:
        [worker] = fleet

        async def go_on() -> None:
            for _ in range(60):
                await infer(worker)

        await fleet.disturb(Disturbance("throttle", (0,), quota=0.1, period_ms=20.0))
        await asyncio.gather(*(go_on() for _ in range(4)))
        [result] = await fleet.calm()
        assert 0 < result["cpu_s"] <= 0.1 * result["seconds"] + 0.05
        assert 0 < result["exhausted_periods"] <= result["periods"]

    with_fleet(body, tmp_path, workers=1)


def test_a_disturbance_that_is_refused_is_one_sentence(tmp_path: Path) -> None:
    """A disturbance of a worker that does not exist raises a FleetError, and the next order is carried out."""

    async def body(fleet: Fleet, heard: Heard) -> None:
        with pytest.raises(FleetError, match="worker 9 cannot be disturbed by corunner: it is not running"):
            await fleet.disturb(Disturbance("corunner", (9,)))
        assert len(await fleet.disturb(Disturbance("stop", (0, 1)))) == 2

    with_fleet(body, tmp_path)


def test_an_answer_that_nobody_waits_for_is_not_taken_for_the_next(tmp_path: Path) -> None:
    """If the client stops waiting for a disturbance and asks for calm, it gets the result of the calm."""

    async def body(fleet: Fleet, heard: Heard) -> None:
        disturbing = asyncio.create_task(fleet.disturb(Disturbance("stop", (0,), **FAST["stop"])))
        for _ in range(2):  # the order is given in the second turn of the event loop
            await asyncio.sleep(0)
        disturbing.cancel()
        [result] = await fleet.calm()
        assert result["seconds"] > 0

    with_fleet(body, tmp_path)


def test_orders_to_a_forkserver_that_is_gone_are_one_sentence(tmp_path: Path) -> None:
    """When the forkserver is killed, waiting orders and later ones raise FleetErrors that say so."""

    async def body(fleet: Fleet, heard: Heard) -> None:
        pid = fleet.connections[0].pid
        forkserver = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(forkserver, signal.SIGSTOP)
        waiting = asyncio.create_task(fleet.disturb(Disturbance("stop", (0,))))
        for _ in range(2):
            await asyncio.sleep(0)
        os.kill(forkserver, signal.SIGKILL)
        with pytest.raises(FleetError, match=r"the forkserver ended \(killed by signal 9\)"):
            await waiting
        with pytest.raises(FleetError, match="nothing is left to disturb the workers: their forkserver has ended"):
            await fleet.disturb(Disturbance("stop", (0,)))
        assert await fleet.calm() == []

    with_fleet(body, tmp_path)


def test_a_forkserver_that_goes_while_workers_are_disturbed_leaves_nobody_to_calm(tmp_path: Path) -> None:
    """If the forkserver is killed during a disturbance, `calm` still names the worker and says why no more is known."""

    async def body(fleet: Fleet, heard: Heard) -> None:
        await fleet.disturb(Disturbance("stop", (1,)))
        pid = fleet.connections[0].pid
        forkserver = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(forkserver, signal.SIGKILL)
        [result] = await fleet.calm()
        assert (result["worker"], result["kind"]) == (1, "stop")
        assert "forkserver" in result["ended"]

    with_fleet(body, tmp_path)


def test_a_worker_that_crashes_comes_back(tmp_path: Path) -> None:
    """Calls during a crash, running or new, fail as crashed; from `on_back` on, calls are answered."""

    async def body(fleet: Fleet, heard: Heard) -> None:
        victim, other = fleet
        former = victim.pid
        calls = [asyncio.create_task(infer(victim, 3600.0, 7200.0)) for _ in range(3)]
        await asyncio.sleep(0)
        await victim.ready(10)
        assert fleet.crash(0, 0.05)
        assert not fleet.crash(0, 0.05)
        for error in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PATIENCE):
            assert isinstance(error, TaskError)
            assert error.reason == "crashed"
        with pytest.raises(TaskError, match="worker 0 was made to crash and is not back yet") as caught:
            await infer(victim)
        assert caught.value.reason == "crashed"
        await infer(other)
        await heard.until("back", 0)
        await infer(victim, timeout=1.0)
        assert (victim.lost, victim.crashed) == (None, False)
        assert victim.pid not in (former, None)
        await fleet.whole()

    assert with_fleet(body, tmp_path) == [("crashed", 0), ("back", 0)]


def test_a_worker_that_does_not_come_back_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A crashed worker that is not back in time counts as lost, and is no longer waited for."""
    monkeypatch.setattr("collagebench.fleet.fleet.BACK_WITHIN", -3599.9)

    async def body(fleet: Fleet, heard: Heard) -> None:
        assert fleet.crash(0, 3600.0)
        assert not fleet.is_whole
        await asyncio.wait_for(fleet.whole(), PATIENCE)
        assert "was not back" in str(fleet.connections[0].lost)
        await heard.until("crashed", 0)  # a slow forkserver may report it later than that

    told = with_fleet(body, tmp_path)
    assert sorted(what[:2] for what in told) == [("crashed", 0), ("lost", 0)]


def test_a_worker_crashes_again_and_again(tmp_path: Path) -> None:
    """In twenty crashes during calls, each call is answered or fails as crashed, and the worker is never lost."""

    async def body(fleet: Fleet, heard: Heard) -> None:
        victim = fleet.connections[0]
        failed = 0
        for _ in range(20):
            calls = [asyncio.create_task(infer(victim, 0.001)) for _ in range(5)]
            await asyncio.sleep(0)
            assert fleet.crash(0, 0.0)
            for end in await asyncio.gather(*calls, return_exceptions=True):
                if isinstance(end, BaseException):
                    assert isinstance(end, TaskError)
                    assert end.reason == "crashed"
                    failed += 1
            await fleet.whole()
            await infer(victim, timeout=2.0)
        assert failed

    told = with_fleet(body, tmp_path)
    assert told == [("crashed", 0), ("back", 0)] * 20


def test_a_worker_that_cannot_be_started_again_is_lost(tmp_path: Path) -> None:
    """If the model's file was removed before a restart, the worker is lost, reported once, with that reason."""
    path = tmp_path / "sums.onnx"
    path.write_bytes(Path(SUMS.path).read_bytes())

    async def main() -> list[tuple[Any, ...]]:
        heard = Heard()
        specs = [WorkerSpec(0, (SUMS.__class__("sums", str(path), SUMS.sha256, SUMS.input),))]
        async with local_fleet(specs, "real", tmp_path, lambda *lost: heard.tell(*lost)) as fleet:
            path.unlink()
            fleet.crash(0, 0.0)
            await fleet.whole()
            assert fleet.connections[0].lost is not None
            with pytest.raises(TaskError, match="worker 0 is gone: model file") as caught:
                await infer(fleet.connections[0])
            assert caught.value.reason == "lost"
            assert not fleet.crash(0, 0.0)
        return heard.told

    [(worker, reason)] = asyncio.run(main())
    assert worker == 0
    assert "sums.onnx cannot be read (No such file or directory)" in reason


def test_a_worker_that_dies_unasked_is_lost_although_others_were_made_to_crash(tmp_path: Path) -> None:
    """A worker killed without an order is lost, not crashed, even one that was made to crash before."""

    async def body(fleet: Fleet, heard: Heard) -> None:
        first, second = fleet
        fleet.crash(0, 0.0)
        await heard.until("back", 0)
        assert second.pid is not None
        os.kill(second.pid, signal.SIGKILL)
        await heard.until("lost", 1, "killed by signal 9")
        assert first.pid is not None
        os.kill(first.pid, signal.SIGKILL)  # even one that has come back
        await heard.until("lost", 0, "killed by signal 9")

    with_fleet(body, tmp_path)


def test_a_client_that_fails_leaves_no_worker_stopped(tmp_path: Path) -> None:
    """If the client raises while workers are stopped, its exception is passed on and no worker is left."""

    async def body(fleet: Fleet, heard: Heard) -> None:
        await fleet.disturb(Disturbance("stop", (0, 1), **FAST["stop"]))
        for connection in fleet:
            pid = connection.pid
            assert pid is not None
            until(lambda pid=pid: state(pid) == "T", "the worker stops")
        raise KeyError("the client's own")

    with pytest.raises(KeyError, match="the client's own"):
        with_fleet(body, tmp_path)
