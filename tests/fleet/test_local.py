"""The local fleet: real worker processes, what they answer, and how they end if a process dies."""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from natural_processes import PATIENCE, until
from real_processes import ROOT, SOON, SUMS, Watched

from collagebench.errors import FleetError, ModelError, OutputError
from collagebench.fleet import local
from collagebench.fleet.connection import Connection, TaskError
from collagebench.fleet.local import local_fleet
from collagebench.fleet.opening import see_that_limits_allow
from collagebench.worker.spec import ModelFile, WorkerSpec

pytestmark = pytest.mark.processes

PIXELS = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
Body = Callable[[list[Connection]], Awaitable[None]]


@pytest.fixture(autouse=True)
def temporary(temporary: Path) -> Iterator[Path]:
    """Return the temporary directory of a test, and check that nothing is left in it."""
    yield temporary
    assert not list(temporary.iterdir())


def never(index: int, reason: str) -> None:
    """Fail: no worker should be lost."""
    raise AssertionError(f"worker {index} was lost: {reason}")


def fleet(
    logs: Path, workers: int = 1, compute: Any = "real", on_lost: Any = never, model: Any = SUMS, **more: Any
) -> Any:
    """Return a local fleet."""
    return local_fleet([WorkerSpec(index, (model,)) for index in range(workers)], compute, logs, on_lost, **more)


def infer(connection: Connection, mode: Any = None, amount: float = 0.0, timeout: float = 10.0) -> Any:
    """Return the coroutine of one call."""
    return connection.infer(1, "sums", PIXELS, mode, amount, timeout)


def parent(pid: int) -> int:
    """Return the id of the process that started another."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def with_fleet(body: Body, *arguments: Any, run: Any = asyncio.run, **more: Any) -> None:
    """Run `body` with a fleet's connections."""

    async def main() -> None:
        async with fleet(*arguments, **more) as up:
            await body(up.connections)

    run(main())


def test_a_real_worker_computes(tmp_path: Path) -> None:
    """The outputs are the model's, and the times are those that the worker measured."""

    async def body(connections: list[Connection]) -> None:
        pixels = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 3), np.uint8)
        for connection in connections:
            reply = await connection.infer(5, "sums", pixels, None, 0.0, 10)
            assert reply.outputs is not None
            np.testing.assert_array_equal(reply.outputs, pixels.sum(axis=(1, 2), dtype=np.float32))
            assert reply.compute > 0
            assert reply.injected == 0
            assert reply.service == reply.compute
        assert [connection.index for connection in connections] == [0, 1]
        assert len({connection.pid for connection in connections}) == 2
        assert connections[0].versions["onnxruntime"]

    with_fleet(body, tmp_path, 2)


@pytest.mark.parametrize("compute", ["real", "emulated"])
def test_a_task_is_served_as_long_as_was_asked(tmp_path: Path, compute: str) -> None:
    """A service is never shorter than was asked for, neither by the worker's clock nor by the client's."""

    async def body(connections: list[Connection]) -> None:
        for mode, amount in (("floor", 0.02), ("add", 0.02), ("floor", 0.0)):
            began = time.perf_counter()
            reply = await infer(connections[0], mode, amount)
            assert time.perf_counter() - began >= reply.service >= amount
            assert (reply.outputs is None) == (compute == "emulated")
        reply = await infer(connections[0], "scale", 20.0)
        assert reply.service >= 20 * reply.compute

    with_fleet(body, tmp_path, compute=compute)


async def in_service(connection: Connection, amount: float) -> asyncio.Task[Any]:
    """Start a call of `amount` seconds; return it once it is in service, so that calls behind it get no answer."""
    call = asyncio.create_task(infer(connection, "floor", amount))
    while True:  # a second call that comes first is answered
        try:
            await infer(connection, timeout=0.3)
        except TaskError:
            return call


def test_calls_are_served_one_at_a_time(tmp_path: Path) -> None:
    """Six calls of 20 ms at once are served one after the other, and queue in the worker."""

    async def body(connections: list[Connection]) -> None:
        began = time.perf_counter()
        replies = await asyncio.gather(*(infer(connections[0], "floor", 0.02) for _ in range(6)))
        assert time.perf_counter() - began >= 6 * 0.02
        assert max(reply.queue for reply in replies) > 0.02

    with_fleet(body, tmp_path, compute="emulated")


def test_a_cancelled_call_that_is_queued_is_never_served(tmp_path: Path) -> None:
    """A cancelled call that is queued, with a service of an hour, does not hold up the call behind it."""

    async def body(connections: list[Connection]) -> None:
        first = await in_service(connections[0], 1.5)
        second = asyncio.create_task(infer(connections[0], "floor", 3600.0))
        await asyncio.sleep(0)
        await connections[0].ready(10)  # now the worker has it
        second.cancel()
        await asyncio.wait([second])
        assert second.cancelled()
        await infer(connections[0])
        assert (await first).service >= 1.5

    with_fleet(body, tmp_path, compute="emulated")


def test_a_cancelled_call_that_is_in_service_is_served_to_its_end(tmp_path: Path) -> None:
    """A cancelled call that is in service is served to its end, and the next call waits for it."""

    async def body(connections: list[Connection]) -> None:
        sent = time.perf_counter()
        first = await in_service(connections[0], 1.5)
        first.cancel()
        await asyncio.wait([first])
        await infer(connections[0])
        assert time.perf_counter() - sent >= 1.5

    with_fleet(body, tmp_path, compute="emulated")


def test_a_queued_call_past_its_deadline_is_never_served(tmp_path: Path) -> None:
    """A queued call past its deadline fails, and its service of an hour does not hold up the call behind it."""

    async def body(connections: list[Connection]) -> None:
        first = await in_service(connections[0], 1.5)
        with pytest.raises(TaskError) as caught:
            await infer(connections[0], "floor", 3600.0, timeout=0.1)
        assert caught.value.reason == "deadline"
        await infer(connections[0])
        assert (await first).service >= 1.5

    with_fleet(body, tmp_path, compute="emulated")


def test_a_stopped_worker_is_noticed_by_the_deadline_alone(tmp_path: Path) -> None:
    """A call to a stopped worker fails at its deadline; the worker is not lost, and answers once it continues."""

    async def body(connections: list[Connection]) -> None:
        pid = connections[0].pid
        assert pid is not None
        os.kill(pid, signal.SIGSTOP)
        with pytest.raises(TaskError, match=r"did not answer within 0\.2 s") as caught:
            await infer(connections[0], timeout=0.2)
        assert caught.value.reason == "deadline"
        assert connections[0].lost is None
        os.kill(pid, signal.SIGCONT)
        await infer(connections[0])

    with_fleet(body, tmp_path)


def test_a_stopped_worker_whose_socket_is_full_is_noticed_as_well(tmp_path: Path) -> None:
    """Calls that cannot be sent because the socket is full fail at their deadline, though gRPC would wait for ever."""
    large = replace(SUMS, input=(416, 416, 3))
    pixels = np.zeros((1, 416, 416, 3), np.uint8)

    async def body(connections: list[Connection]) -> None:
        (connection,) = connections
        await connection.infer(0, "sums", pixels, "floor", 0.01, 10)
        assert connection.pid is not None
        os.kill(connection.pid, signal.SIGSTOP)
        calls = [connection.infer(number, "sums", pixels, "floor", 0.01, 0.2) for number in range(3)]
        found = await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), 10)
        assert [isinstance(error, TaskError) and error.reason for error in found] == ["deadline"] * 3
        os.kill(connection.pid, signal.SIGCONT)
        assert (await connection.infer(9, "sums", pixels, "floor", 0.01, 10)).service >= 0.01

    with_fleet(body, tmp_path, compute="emulated", model=large)


def test_a_task_that_the_worker_cannot_do_is_refused(tmp_path: Path) -> None:
    """A task for an unknown model is refused with the worker's own message."""

    async def body(connections: list[Connection]) -> None:
        with pytest.raises(TaskError, match="there is no model 'other' here; the models are: sums") as caught:
            await connections[0].infer(1, "other", PIXELS, None, 0.0, 10)
        assert caught.value.reason == "refused"

    with_fleet(body, tmp_path, compute="emulated")


@pytest.fixture(params=["asyncio", "uvloop"])
def run(request: pytest.FixtureRequest) -> Any:
    """Return the function that runs a coroutine, on each event loop that a client may use."""
    return pytest.importorskip(request.param, reason="uvloop is not available here").run


def test_a_killed_worker_is_lost_and_the_others_are_not(tmp_path: Path, run: Any) -> None:
    """A killed worker's calls fail at once, later ones too; it is reported lost once, and the other worker answers."""
    lost: list[tuple[int, str]] = []
    heard = asyncio.Event()

    def on_lost(index: int, reason: str) -> None:
        lost.append((index, reason))
        heard.set()

    async def body(connections: list[Connection]) -> None:
        victim, other = connections
        assert victim.pid is not None
        calls = [asyncio.create_task(infer(victim, "floor", 3600.0, 7200.0)) for _ in range(3)]
        await asyncio.sleep(0)
        await victim.ready(10)
        os.kill(victim.pid, signal.SIGKILL)
        for error in await asyncio.wait_for(asyncio.gather(*calls, return_exceptions=True), PATIENCE):
            assert isinstance(error, TaskError)
            assert error.reason == "lost"
        await asyncio.wait_for(heard.wait(), PATIENCE)
        assert victim.lost == "killed by signal 9"
        with pytest.raises(TaskError, match="worker 0 is gone: killed by signal 9"):
            await infer(victim)
        await infer(other)
        assert other.lost is None

    with_fleet(body, tmp_path, 2, "emulated", on_lost, run=run)
    assert lost == [(0, "killed by signal 9")]


def test_a_killed_forkserver_takes_its_workers_with_it(tmp_path: Path, run: Any) -> None:
    """If the forkserver is killed, its workers end, and each is reported lost exactly once."""
    lost: list[tuple[int, str]] = []
    first_heard, all_heard = asyncio.Event(), asyncio.Event()

    def on_lost(index: int, reason: str) -> None:
        lost.append((index, reason))
        first_heard.set()
        if len(lost) == 3:
            all_heard.set()

    async def body(connections: list[Connection]) -> None:
        pids = [connection.pid for connection in connections if connection.pid is not None]
        watched = Watched(pids)
        forkserver = parent(pids[0])
        os.kill(pids[0], signal.SIGKILL)
        await asyncio.wait_for(first_heard.wait(), PATIENCE)
        os.kill(forkserver, signal.SIGKILL)
        await asyncio.wait_for(all_heard.wait(), PATIENCE)
        assert not watched.left_after(SOON)

    with_fleet(body, tmp_path, 3, "emulated", on_lost, run=run)
    ended = "its forkserver ended (killed by signal 9)"
    assert lost == [(0, "killed by signal 9"), (1, ended), (2, ended)]


def test_why_a_worker_was_lost_is_waited_for(tmp_path: Path) -> None:
    """If a request fails before its worker's end is reported, `explained` waits for the report, and for no other."""
    lost: list[tuple[int, str]] = []

    async def main() -> None:
        async with fleet(tmp_path, 2, on_lost=lambda index, reason: lost.append((index, reason))) as up:
            victim = up.connections[0]
            forkserver = parent(victim.pid)
            os.kill(forkserver, signal.SIGSTOP)
            os.kill(victim.pid, signal.SIGKILL)
            with pytest.raises(TaskError, match="worker 0 is gone"):
                await infer(victim)
            assert not lost
            asyncio.get_running_loop().call_soon(os.kill, forkserver, signal.SIGCONT)
            await up.explained([0])
            assert lost == [(0, "killed by signal 9")]
            await up.explained([0])

    asyncio.run(main())


def test_an_error_in_the_client_takes_the_workers_down(tmp_path: Path) -> None:
    """An exception in the client is passed on, and the workers are ended."""
    watched: list[Watched] = []

    async def body(connections: list[Connection]) -> None:
        watched.append(Watched([connection.pid for connection in connections if connection.pid is not None]))
        raise KeyError("the client's own")

    with pytest.raises(KeyError, match="the client's own"):
        with_fleet(body, tmp_path, 2, "emulated")
    assert not watched[0].left_after(0)


def test_a_worker_that_will_not_stop_is_killed(tmp_path: Path) -> None:
    """At the end a stopped worker is killed after the drain deadline, and not reported as lost."""
    watched: list[Watched] = []

    async def body(connections: list[Connection]) -> None:
        pids = [connection.pid for connection in connections if connection.pid is not None]
        watched.append(Watched(pids))
        os.kill(pids[0], signal.SIGSTOP)

    with_fleet(body, tmp_path, 2, "emulated", drain_deadline=0.3)
    assert not watched[0].left_after(0)


def test_a_forkserver_that_will_not_end_is_killed_with_its_workers(tmp_path: Path) -> None:
    """At the end a stopped forkserver is killed with its workers after the drain deadline."""
    watched: list[Watched] = []

    async def body(connections: list[Connection]) -> None:
        pids = [connection.pid for connection in connections if connection.pid is not None]
        watched.append(Watched([*pids, parent(pids[0])]))
        os.kill(parent(pids[0]), signal.SIGSTOP)

    with_fleet(body, tmp_path, 2, "emulated", drain_deadline=0.1)
    assert not watched[0].left_after(SOON)


def test_the_terminal_does_not_reach_the_workers(tmp_path: Path) -> None:
    """Workers are in the forkserver's own session, so a terminal's Ctrl-C and hang-up reach only the client."""

    async def body(connections: list[Connection]) -> None:
        pid = connections[0].pid
        assert pid is not None
        assert os.getsid(pid) == os.getsid(parent(pid)) == parent(pid) != os.getsid(0)

    with_fleet(body, tmp_path, 1, "emulated")


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    """A model file that does not exist raises a ModelError that names it."""
    with pytest.raises(ModelError, match=r"model file /nowhere\.onnx cannot be read \(No such file or directory\)"):
        with_fleet(pytest.fail, tmp_path, 2, model=replace(SUMS, path="/nowhere.onnx"))


def test_a_truncated_model_is_one_sentence(tmp_path: Path) -> None:
    """A truncated model file raises a ModelError that names it."""
    path = tmp_path / "cut.onnx"
    path.write_bytes(Path(SUMS.path).read_bytes()[:100])
    with pytest.raises(ModelError, match=r"cut\.onnx is not a complete ONNX model"):
        with_fleet(pytest.fail, tmp_path, 2, model=replace(SUMS, path=str(path)))


def test_a_model_of_the_wrong_shape_is_one_sentence(tmp_path: Path) -> None:
    """A model that takes images of another shape raises a ModelError with both shapes."""
    with pytest.raises(ModelError, match=r"takes images of shape .*4, 4, 3\], not \[batch, 9, 9, 3\]"):
        with_fleet(pytest.fail, tmp_path, 2, model=replace(SUMS, input=(9, 9, 3)))


def test_a_model_that_was_replaced_is_one_sentence(tmp_path: Path) -> None:
    """A model file whose checksum is not the expected one raises a ModelError."""
    with pytest.raises(ModelError, match="the file was replaced or damaged"):
        with_fleet(pytest.fail, tmp_path, 2, model=replace(SUMS, sha256="0" * 64))


class Hurried(asyncio.SelectorEventLoop):
    """An event loop whose clock can be set forward."""

    passed = 0.0

    def time(self) -> float:
        return super().time() + self.passed


HOUR = 3600.0


def an_hour_passes(pipe: Path, workers: int, begun: Callable[[int], None] = lambda pipe: None, **more: Any) -> None:
    """Start a fleet whose model is a pipe; once a worker reads it and `begun` has returned, an hour passes."""
    os.mkfifo(pipe)
    loop = Hurried()

    async def wait() -> None:
        opened = None
        while opened is None:
            try:
                opened = os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)  # refused until a worker reads
            except OSError:
                await asyncio.sleep(0.01)  # the interval of polling
        try:
            begun(opened)
            for _ in range(10):
                await asyncio.sleep(0)  # events that the forkserver has sent are handled first
            loop.passed += HOUR
            await loop.create_future()
        finally:
            os.close(opened)

    async def main() -> None:
        waiting = asyncio.create_task(wait())
        try:
            async with fleet(pipe.parent, workers, model=replace(SUMS, path=str(pipe)), **more):
                pytest.fail("the fleet came up")
        finally:
            waiting.cancel()
            [outcome] = await asyncio.gather(waiting, return_exceptions=True)
            if not isinstance(outcome, asyncio.CancelledError):
                raise outcome  # otherwise only a worker whose pipe ended early would be reported

    with contextlib.closing(loop):
        loop.run_until_complete(main())


def reader(pipe: Path) -> int:
    """Return the id of another process that has a pipe open; wait until there is one."""
    found: list[int] = []

    def has_it() -> bool:
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                with contextlib.suppress(OSError):  # the process or a descriptor has just been closed
                    if str(pipe) in map(os.readlink, (entry / "fd").iterdir()):
                        found.append(int(entry.name))
        return bool(found)

    until(has_it, f"{pipe} is open in another process")
    return found[0]


def test_workers_that_are_not_ready_in_time_are_named(tmp_path: Path) -> None:
    """Workers whose model never comes, as it is a pipe without a writer, are named after the start deadline."""
    with pytest.raises(FleetError, match=r"2 of 2 workers were not ready within 3600 s: worker 0 .*; worker 1 "):
        an_hour_passes(tmp_path / "never.onnx", 2, start_deadline=HOUR)


def test_more_workers_have_more_time_to_be_ready(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The start deadline grows with the number of workers: here 1800 s, and 900 s more for each of two."""
    monkeypatch.setattr(local, "START_WITHIN", HOUR / 2)
    monkeypatch.setattr(local, "START_EACH", HOUR / 4)
    with pytest.raises(FleetError, match=r"2 of 2 workers were not ready within 3600 s"):
        an_hour_passes(tmp_path / "never.onnx", 2)


def test_a_worker_stopped_while_it_starts_misses_the_deadline(tmp_path: Path) -> None:
    """A worker that is stopped before it loads its model misses the start deadline and is named."""
    pipe = tmp_path / "late.onnx"

    def stop(opened: int) -> None:
        os.kill(reader(pipe), signal.SIGSTOP)
        os.write(opened, Path(SUMS.path).read_bytes())

    with pytest.raises(FleetError, match=r"1 of 1 workers were not ready within 3600 s: worker 0"):
        an_hour_passes(pipe, 1, stop, start_deadline=HOUR, drain_deadline=0.2)


@contextlib.contextmanager
def slow_model(pipe: Path, meanwhile: Callable[[int], None]) -> Iterator[ModelFile]:
    """Give a model that loads only after `meanwhile` has been called with the id of the worker that loads it."""
    os.mkfifo(pipe)

    def feed() -> None:
        with contextlib.suppress(BrokenPipeError), open(pipe, "wb") as model:  # opens when the worker opens it to read
            meanwhile(reader(pipe))
            model.write(Path(SUMS.path).read_bytes())  # unless the worker has been ended by now

    thread = threading.Thread(target=feed, daemon=True)
    thread.start()
    yield replace(SUMS, path=str(pipe))
    thread.join(PATIENCE)
    assert not thread.is_alive()


def test_a_worker_that_dies_while_another_starts_is_named(tmp_path: Path) -> None:
    """If a worker is killed while another still starts, the fleet does not come up, and the error names the worker."""

    def kill_sibling(worker: int) -> None:
        forkserver = parent(worker)
        children = Path(f"/proc/{forkserver}/task/{forkserver}/children").read_text().split()
        [sibling] = {int(child) for child in children} - {worker}
        os.kill(sibling, signal.SIGKILL)

    with slow_model(tmp_path / "slow.onnx", kill_sibling) as slow:
        specs = [WorkerSpec(0, (SUMS,)), WorkerSpec(1, (slow,))]

        async def main() -> None:
            async with local_fleet(specs, "real", tmp_path, never):
                pytest.fail("the fleet came up without worker 0")

        with pytest.raises(FleetError, match="worker 0 ended before"):
            asyncio.run(main())


def test_logs_that_cannot_be_written_are_one_sentence(tmp_path: Path) -> None:
    """If the workers' logs cannot be written, an OutputError names the directory."""
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"the workers' logs cannot be written to .*file"):
        with_fleet(pytest.fail, tmp_path / "file", 1, "emulated")


def test_more_workers_than_there_is_memory_for_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """More workers than memory allows raise a FleetError that says how much is free; nothing is started."""
    memory = tmp_path / "meminfo"
    memory.write_text("MemTotal:  8000000 kB\nMemAvailable:  23000 kB\n")
    monkeypatch.setattr("collagebench.fleet.local.MEMORY", memory)
    with pytest.raises(FleetError, match=r"3 workers need at least 0\.0 GB of memory, but only 0\.0 GB are free"):
        with_fleet(pytest.fail, tmp_path, 3, "emulated")
    assert not list(tmp_path.glob("*.log"))


def test_more_workers_than_may_be_connected_to_are_refused() -> None:
    """More workers than this process may have open files for raise a FleetError that says to raise `ulimit -n`."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1000, before[1]))
    try:
        with pytest.raises(
            FleetError, match=r"1,000 workers need at least 1,032 open .* may have only 1,000: raise `ulimit -n`"
        ):
            see_that_limits_allow(1000)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_grpc_says_is_not_padded() -> None:
    """Runs of blanks and NULs in a message of gRPC's are quoted as one blank."""

    async def main() -> str:
        connection = Connection(0, "unix:/x")
        await connection.close()
        return connection._quoted("socket: Too many open files \0  /tmp/x   ")

    assert asyncio.run(main()) == "socket: Too many open files /tmp/x"


def test_a_temporary_directory_too_deep_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A temporary directory with too long a path for sockets raises a FleetError that says to set TMPDIR."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    with pytest.raises(FleetError, match="set TMPDIR to a shorter one"):
        with_fleet(pytest.fail, tmp_path, 1, "emulated")
    assert not list(deep.iterdir())


def test_the_client_does_not_load_onnx_runtime() -> None:
    """The client does not import onnxruntime, which is heavy and needed only in workers."""
    program = "import sys, collagebench.fleet.local; print('onnxruntime' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "False\n"
