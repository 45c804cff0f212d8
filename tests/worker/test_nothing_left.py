"""After a kill of worker, forkserver or client, nothing of a disturbance is left."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from natural_processes import FAST, PATIENCE, group, groups, nothing_left, own_load, permitted, processes, state, until
from real_processes import ROOT, SOON, Watched

from collagebench.worker.janitor import _tidy, born

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc what became of processes"),
]

CLIENT = """
import asyncio, json, os, signal, sys
from pathlib import Path
from real_processes import SUMS
from collagebench.fleet.local import local_fleet
from collagebench.worker.spec import Disturbance, WorkerSpec

async def main():
    # asyncio.run alone may sleep through a Ctrl-C that comes just before it waits.
    asyncio.get_running_loop().add_signal_handler(signal.SIGINT, asyncio.current_task().cancel)
    specs = [WorkerSpec(index, (SUMS,)) for index in range(2)]
    async with local_fleet(specs, "emulated", Path(sys.argv[1]), lambda index, reason: None) as fleet:
        what = await fleet.disturb(Disturbance(workers=(0, 1), **json.loads(sys.argv[2])))
        pids = [connection.pid for connection in fleet]
        print(json.dumps({"workers": pids, "what": what}), flush=True)
        go_on = asyncio.Event()
        asyncio.get_running_loop().add_reader(0, go_on.set)
        await go_on.wait()
        print(json.dumps(await fleet.calm() if sys.argv[3] == "calm" else []), flush=True)

asyncio.run(main())
"""


class Scene:
    """A client in its own process, with two disturbed workers."""

    def __init__(self, client: subprocess.Popen[str], kind: str) -> None:
        self.client = client
        said = json.loads(self.line())
        self.workers: list[int] = said["workers"]
        self.what: list[dict[str, Any]] = said["what"]
        self.forkserver = int(Path(f"/proc/{self.workers[0]}/stat").read_text().rpartition(")")[2].split()[1])
        if kind == "stop":
            for pid in self.workers:
                until(lambda pid=pid: state(pid) == "T", "the worker stops")

    def line(self) -> str:
        """Return the client's next line."""
        assert self.client.stdout is not None
        return self.client.stdout.readline()

    def go_on(self) -> None:
        """Let the client continue to its end."""
        assert self.client.stdin is not None
        self.client.stdin.write("\n")
        self.client.stdin.flush()


@contextlib.contextmanager
def played(logs: Path, kind: str, then: str = "") -> Iterator[Scene]:
    """Run a client with disturbed workers, and wait for its end."""
    order = json.dumps({"kind": kind, **FAST[kind]})
    with subprocess.Popen(
        [sys.executable, "-c", CLIENT, str(logs), order, then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT}/tests"},
    ) as client:
        try:
            yield Scene(client, kind)
            client.wait(PATIENCE)
        finally:
            client.kill()


@pytest.fixture(params=list(FAST))
def kind(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return each kind of disturbance that is permitted here, with the built-in load."""
    permitted(request.param)
    own_load(monkeypatch)
    return str(request.param)


def test_a_killed_worker_leaves_nothing(tmp_path: Path, temporary: Path, kind: str) -> None:
    """What disturbs a worker ends with it while the fleet goes on, and the rest ends with the fleet."""
    with played(tmp_path, kind) as scene:
        started = set(processes(temporary))
        mine = {scene.workers[0]} | ({scene.what[0]["pid"]} if kind in ("corunner", "traffic") else set())
        os.kill(scene.workers[0], signal.SIGKILL)
        until(lambda: set(processes(temporary)) == started - mine, "what disturbed the worker ends")
        until(lambda: len(groups(temporary)) == (kind == "throttle"), "its control group is removed")
        scene.go_on()
    nothing_left(temporary)


@pytest.fixture(params=["stop", "throttle"])
def lasting(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """Return each kind of disturbance that outlives its cause: a stopped worker, and a control group."""
    permitted(request.param)
    return str(request.param)


def test_a_killed_forkserver_leaves_nothing(tmp_path: Path, temporary: Path, kind: str) -> None:
    """A forkserver that is killed leaves nothing, whatever disturbed its workers."""
    forkserver_ends(tmp_path, temporary, kind, signal.SIGKILL)


def test_a_forkserver_that_is_ended_leaves_nothing(tmp_path: Path, temporary: Path, lasting: str) -> None:
    """A forkserver that gets SIGTERM leaves nothing."""
    forkserver_ends(tmp_path, temporary, lasting, signal.SIGTERM)


def forkserver_ends(tmp_path: Path, temporary: Path, kind: str, sign: signal.Signals) -> None:
    """Check that a killed forkserver leaves no process, control group or socket, even while its client lives on."""
    with played(tmp_path, kind) as scene:
        before = set(processes(temporary))
        assert len(before) > 4  # the client, the forkserver, the janitor and two workers at least
        os.kill(scene.forkserver, sign)
        until(lambda: set(processes(temporary)) <= {scene.client.pid}, "all but the client end")
        until(lambda: not list(temporary.iterdir()), "the sockets are removed")
        until(lambda: not groups(temporary), "the control groups are removed")
        scene.go_on()


def test_a_killed_client_leaves_nothing(tmp_path: Path, temporary: Path, kind: str) -> None:
    """A client that is killed leaves nothing, whatever disturbed its workers."""
    with played(tmp_path, kind) as scene:
        scene.client.kill()
    nothing_left(temporary)


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_a_client_that_is_ended_leaves_nothing(
    tmp_path: Path, temporary: Path, lasting: str, sign: signal.Signals
) -> None:
    """A client that ends by SIGTERM or Ctrl-C leaves nothing."""
    with played(tmp_path, lasting) as scene:
        scene.client.send_signal(sign)
    nothing_left(temporary)


def test_both_killed_at_once_leave_nothing(tmp_path: Path, temporary: Path, kind: str) -> None:
    """If forkserver and client are killed at once, the janitor cleans up."""
    with played(tmp_path, kind) as scene:
        os.kill(scene.forkserver, signal.SIGKILL)
        scene.client.kill()
    nothing_left(temporary)


def test_a_killed_janitor_is_missed_by_nobody(tmp_path: Path, temporary: Path, kind: str) -> None:
    """If the janitor is killed, the forkserver cleans up."""
    with played(tmp_path, kind) as scene:
        helpers = {item["pid"] for item in scene.what}
        [janitor] = set(processes(temporary)) - {scene.client.pid, scene.forkserver, *scene.workers, *helpers}
        os.kill(janitor, signal.SIGKILL)
        scene.client.send_signal(signal.SIGINT)
    nothing_left(temporary)


@pytest.mark.parametrize("then", ["calm", "drain"])
def test_an_ordinary_end_leaves_nothing(tmp_path: Path, temporary: Path, kind: str, then: str) -> None:
    """After an ordinary end, with or without calm before it, nothing is left."""
    with played(tmp_path, kind, then) as scene:
        scene.go_on()
        assert len(json.loads(scene.line())) == (2 if then == "calm" else 0)
    nothing_left(temporary)


@pytest.mark.skipif(shutil.which("stress-ng") is None, reason="stress-ng is not installed")
@pytest.mark.parametrize("victim", ["worker", "forkserver", "client"])
def test_a_stress_ng_leaves_nothing_either(tmp_path: Path, temporary: Path, victim: str) -> None:
    """stress-ng and the processes that it starts are gone after a kill as well."""
    with played(tmp_path, "corunner") as scene:
        leaders = [item["pid"] for item in scene.what]
        until(lambda: all(len(group(leader)) > 1 for leader in leaders), "the stressors begin")
        first, second = (Watched(group(leader)) for leader in leaders)
        if victim == "client":
            scene.client.kill()
        else:
            os.kill(scene.forkserver if victim == "forkserver" else scene.workers[0], signal.SIGKILL)
        assert not first.left_after(PATIENCE)
        if victim != "client":
            scene.go_on()
        assert not second.left_after(PATIENCE)
    nothing_left(temporary)


@pytest.mark.parametrize("role", ["worker", "group"])
def test_the_janitor_spares_a_process_that_has_got_an_old_id(tmp_path: Path, role: str) -> None:
    """The janitor kills a process only if its start time is the known one, so a reused process id is spared."""
    with subprocess.Popen(["sleep", "3600"], start_new_session=True) as process:
        for birth, lives in (("0", True), (born(process.pid), False)):
            reading, writing = os.pipe()
            os.write(writing, json.dumps({role: process.pid, "born": birth}).encode() + b"\n")
            os.close(writing)
            _tidy(reading, str(tmp_path / "none"))
            os.close(reading)
            if lives:
                assert process.poll() is None
        assert process.wait(SOON) == -signal.SIGKILL
