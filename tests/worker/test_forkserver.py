"""The forkserver, which starts workers: what it reports, and that nothing outlives it or its client."""

from __future__ import annotations

import errno
import os
import resource
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import grpc
import pytest
from open_inference.grpc import protocol
from open_inference.grpc.service import GRPCInferenceServiceStub
from real_processes import ROOT, SOON, SPEC, SUMS, Watched, driven

from collagebench.worker.forkserver import advice
from collagebench.worker.spec import WorkerSpec

pytestmark = [pytest.mark.processes, pytest.mark.usefixtures("temporary")]


def test_a_worker_reports_what_it_loaded(tmp_path: Path) -> None:
    """A ready worker reports its models' hashes, versions, and a socket in a directory that only this user can use."""
    with driven("real", tmp_path) as server:
        up = server.hear()
        assert stat.S_IMODE(os.stat(up["directory"]).st_mode) == 0o700
        server.start(SPEC)
        ready = server.hear()
        assert (ready["worker"], ready["event"]) == (0, "ready")
        assert ready["sha256"] == {"sums": SUMS.sha256, "again": SUMS.sha256}
        assert {"python", "collagebench", "onnxruntime"} <= set(ready["versions"])
        assert Path(ready["socket"]).parent == Path(up["directory"])
        assert Path(ready["socket"]).is_socket()


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="the limits of another process cannot be set here")
def test_a_limit_of_open_files_is_named_with_what_helps(tmp_path: Path) -> None:
    """At the limit of open files the error says how to raise it, and running workers are not disturbed."""
    with driven("emulated", tmp_path) as server:
        server.started(1)
        there = len(os.listdir(f"/proc/{server.process.pid}/fd"))
        resource.prlimit(server.process.pid, resource.RLIMIT_NOFILE, (there, there))
        server.start(replace(SPEC, index=1))
        message = server.hear()["message"]
        assert message == (
            "worker 1 could not be started (Too many open files): raise `ulimit -n`, or use fewer workers"
        )
        server.order(drain=5.0)
        assert server.hear() == {"worker": 0, "event": "exited", "status": "exit status 0"}


def test_a_limit_of_processes_is_named_with_what_helps() -> None:
    """The advice for a failed fork names the limit of processes if that is the cause (root never meets it)."""
    assert advice(errno.EAGAIN) == ": raise `ulimit -u`, or use fewer workers"
    assert advice(errno.ENOMEM) == ""


def test_a_model_that_fails_is_reported_and_the_worker_ends(tmp_path: Path) -> None:
    """A worker whose model fails reports the error and then exits; the next worker can be started."""
    with driven("real", tmp_path) as server:
        server.hear()
        server.start(WorkerSpec(7, (replace(SUMS, path="/nowhere.onnx"),)))
        failed, exited = server.hear(), server.hear()
        assert (failed["worker"], failed["event"], failed["kind"]) == (7, "failed", "model")
        assert "/nowhere.onnx" in failed["message"]
        assert exited == {"worker": 7, "event": "exited", "status": "exit status 1"}
        server.start(WorkerSpec(8, (SUMS,)))
        assert server.hear()["event"] == "ready"


def test_a_killed_worker_is_reported(tmp_path: Path) -> None:
    """A killed worker is reported with the signal."""
    with driven("emulated", tmp_path) as server:
        [pid] = server.started(1)
        os.kill(pid, signal.SIGKILL)
        assert server.hear() == {"worker": 0, "event": "exited", "status": "killed by signal 9"}


def test_when_its_input_ends_it_ends_and_takes_all_with_it(tmp_path: Path, temporary: Path) -> None:
    """When its input ends, the forkserver ends, and leaves no worker, not even a stopped one, and no directory."""
    with driven("emulated", tmp_path) as server:
        pids = server.started(3)
        os.kill(pids[0], signal.SIGSTOP)
        watched = Watched(pids)
        server.process.stdin.close()
        assert server.process.wait(SOON) == 0
        assert not watched.left_after(0)
    assert not list(temporary.iterdir())


def test_when_it_is_killed_its_workers_end(tmp_path: Path) -> None:
    """When the forkserver is killed its workers end at once, even a stopped one."""
    with driven("emulated", tmp_path) as server:
        pids = server.started(3)
        os.kill(pids[0], signal.SIGSTOP)
        watched = Watched(pids)
        server.process.kill()
        assert not watched.left_after(SOON)


WATCHDOG = """
import os
from collagebench.worker.process import die_with

lifeline, alive = os.pipe()
parent = os.getpid()
child = os.fork()
if child == 0:
    os.close(alive)
    die_with(parent, lifeline)
    while True:
        os.read(os.pipe()[0], 1)
os.close(alive)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


def test_a_worker_ends_when_its_lifeline_closes() -> None:
    """A worker ends when its pipe closes, even if its parent lives on, where the kernel's own signal does not help."""
    done = subprocess.run([sys.executable, "-c", WATCHDOG], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "1\n"


def test_asked_to_terminate_it_leaves_nothing(tmp_path: Path, temporary: Path) -> None:
    """SIGTERM ends the forkserver like the end of its input: no worker and no directory is left."""
    with driven("emulated", tmp_path) as server:
        watched = Watched(server.started(2))
        server.process.terminate()
        assert not watched.left_after(SOON)
        server.process.wait(SOON)
    assert not list(temporary.iterdir())


def test_draining_asks_first_and_then_kills(tmp_path: Path, temporary: Path) -> None:
    """On a drain, a worker that can stops by itself, and one that cannot is killed when the time is over."""
    with driven("emulated", tmp_path) as server:
        pids = server.started(2)
        os.kill(pids[0], signal.SIGSTOP)
        watched = Watched(pids)
        server.order(drain=3.0)
        assert server.hear() == {"worker": 1, "event": "exited", "status": "exit status 0"}
        assert not watched.left_after(SOON)
        assert server.process.wait(SOON) == 0
    assert not list(temporary.iterdir())


def test_a_worker_ignores_ctrl_c(tmp_path: Path) -> None:
    """Worker and forkserver ignore SIGINT: the worker dies of the SIGKILL that follows."""
    with driven("emulated", tmp_path) as server:
        [pid] = server.started(1)
        os.kill(pid, signal.SIGINT)
        os.kill(server.process.pid, signal.SIGINT)
        os.kill(pid, signal.SIGKILL)
        assert server.hear()["status"] == "killed by signal 9"


def test_a_temporary_directory_too_deep_for_a_socket_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the path is too long for a socket, the error says to set TMPDIR, and no directory is left behind."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    with driven("emulated", tmp_path) as server:
        event = server.hear()
        assert event["event"] == "failed"
        assert "whose path is too long" in event["message"]
        assert "set TMPDIR to a shorter one" in event["message"]
        assert server.hear() == {}
    assert not list(deep.iterdir())


@pytest.mark.parametrize("name", ["a%20b", "a?b", "a#b", "a\udcffb", "a b", "ü"])
def test_a_temporary_directory_with_an_odd_name_works_or_is_one_sentence(
    tmp_path: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A TMPDIR that a gRPC address cannot hold is refused; spaces and letters of any language work."""
    odd = temporary / name
    odd.mkdir()
    monkeypatch.setenv("TMPDIR", str(odd))
    with driven("emulated", tmp_path) as server:
        event = server.hear()
        if event["event"] == "failed":
            assert "gRPC takes no path that contains %, ? or #, or is not UTF-8; set TMPDIR" in event["message"]
        else:
            server.start(SPEC)
            with grpc.insecure_channel(f"unix:{server.hear()['socket']}") as channel:
                assert GRPCInferenceServiceStub(channel).ServerLive(protocol.ServerLiveRequest(), timeout=60).live
    assert not list(odd.iterdir())
    assert event["event"] == ("up" if name in ("a b", "ü") else "failed")


def test_a_log_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    """If a worker's log cannot be written, the error names the log."""
    with driven("emulated", tmp_path / "none") as server:
        server.hear()
        server.start(SPEC)
        assert "the log of worker 0" in server.hear()["message"]


def test_an_emulated_worker_never_loads_onnx_runtime(tmp_path: Path) -> None:
    """An emulated worker does not load ONNX Runtime."""
    with driven("emulated", tmp_path) as server:
        [pid] = server.started(1)
        assert "onnxruntime" not in Path(f"/proc/{pid}/maps").read_text()


def test_forking_happens_on_a_single_thread() -> None:
    """What the forkserver imports beforehand starts no thread, whose locks would be undefined after a fork."""
    program = (
        "import os; from collagebench.worker.forkserver import preload; preload('real'); "
        "print(len(os.listdir('/proc/self/task')))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout == "1\n"
