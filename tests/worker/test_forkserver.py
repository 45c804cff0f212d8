"""The program that starts workers: what it says, and that nothing outlives it or its client."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from collagebench.worker.spec import ModelFile, WorkerSpec

pytestmark = pytest.mark.processes


@pytest.fixture(autouse=True)
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return the system's temporary directory, an empty one of the test's own."""
    directory = tmp_path / "t"
    directory.mkdir()
    monkeypatch.setenv("TMPDIR", str(directory))
    return directory


def started(server: Any, spec: WorkerSpec, workers: int) -> list[int]:
    """Start workers and return their process ids when all are ready."""
    assert server.hear()["event"] == "up"
    for index in range(workers):
        server.start(replace(spec, index=index))
    events = [server.hear() for _ in range(workers)]
    assert [event["event"] for event in events] == ["ready"] * workers
    return [event["pid"] for event in sorted(events, key=lambda event: event["worker"])]


def test_a_worker_reports_what_it_loaded(driven: Any, tmp_path: Path, spec: WorkerSpec, sums: ModelFile) -> None:
    """Ready comes with the hash of every model, the versions, and a socket that only this user can reach."""
    with driven("real", tmp_path) as server:
        up = server.hear()
        assert stat.S_IMODE(os.stat(up["directory"]).st_mode) == 0o700
        server.start(spec)
        ready = server.hear()
        assert (ready["worker"], ready["event"]) == (0, "ready")
        assert ready["sha256"] == {"sums": sums.sha256, "again": sums.sha256}
        assert {"python", "collagebench", "onnxruntime"} <= set(ready["versions"])
        assert Path(ready["socket"]).parent == Path(up["directory"])
        assert Path(ready["socket"]).is_socket()


def test_a_model_that_fails_is_reported_and_the_worker_ends(driven: Any, tmp_path: Path, sums: ModelFile) -> None:
    """First the sentence, then the exit; a worker beside it is not disturbed."""
    with driven("real", tmp_path) as server:
        server.hear()
        server.start(WorkerSpec(7, (replace(sums, path="/nowhere.onnx"),)))
        failed, exited = server.hear(), server.hear()
        assert (failed["worker"], failed["event"], failed["kind"]) == (7, "failed", "model")
        assert "/nowhere.onnx" in failed["message"]
        assert exited == {"worker": 7, "event": "exited", "status": "exit status 1"}
        server.start(WorkerSpec(8, (sums,)))
        assert server.hear()["event"] == "ready"


def test_a_killed_worker_is_reported(driven: Any, tmp_path: Path, spec: WorkerSpec) -> None:
    """The signal is named."""
    with driven("emulated", tmp_path) as server:
        [pid] = started(server, spec, 1)
        os.kill(pid, signal.SIGKILL)
        assert server.hear() == {"worker": 0, "event": "exited", "status": "killed by signal 9"}


def test_when_its_input_ends_it_ends_and_takes_all_with_it(
    driven: Any, watch: Any, tmp_path: Path, spec: WorkerSpec, temporary: Path
) -> None:
    """No worker, not even a stopped one, and no directory is left."""
    with driven("emulated", tmp_path) as server:
        pids = started(server, spec, 3)
        os.kill(pids[0], signal.SIGSTOP)
        watched = watch(pids)
        server.process.stdin.close()
        assert server.process.wait(2) == 0
        assert not watched.left_after(0)
    assert not list(temporary.iterdir())


def test_when_it_is_killed_its_workers_end(driven: Any, watch: Any, tmp_path: Path, spec: WorkerSpec) -> None:
    """Within two seconds, not even a stopped one is left."""
    with driven("emulated", tmp_path) as server:
        pids = started(server, spec, 3)
        os.kill(pids[0], signal.SIGSTOP)
        watched = watch(pids)
        server.process.kill()
        assert not watched.left_after(2)


def test_asked_to_terminate_it_leaves_nothing(
    driven: Any, watch: Any, tmp_path: Path, spec: WorkerSpec, temporary: Path
) -> None:
    """SIGTERM is as good as the end of its input."""
    with driven("emulated", tmp_path) as server:
        watched = watch(started(server, spec, 2))
        server.process.terminate()
        assert not watched.left_after(2)
        server.process.wait(2)
    assert not list(temporary.iterdir())


def test_draining_asks_first_and_then_kills(
    driven: Any, watch: Any, tmp_path: Path, spec: WorkerSpec, temporary: Path
) -> None:
    """A worker that can, stops by itself; one that cannot is killed when the time is over."""
    with driven("emulated", tmp_path) as server:
        pids = started(server, spec, 2)
        os.kill(pids[0], signal.SIGSTOP)
        watched = watch(pids)
        server.order(drain=0.5)
        assert server.hear() == {"worker": 1, "event": "exited", "status": "exit status 0"}
        assert not watched.left_after(5)
        assert server.process.wait(2) == 0
    assert not list(temporary.iterdir())


def test_a_worker_ignores_ctrl_c(driven: Any, tmp_path: Path, spec: WorkerSpec) -> None:
    """SIGINT changes nothing; the SIGKILL after it is what it dies of."""
    with driven("emulated", tmp_path) as server:
        [pid] = started(server, spec, 1)
        os.kill(pid, signal.SIGINT)
        os.kill(server.process.pid, signal.SIGINT)
        os.kill(pid, signal.SIGKILL)
        assert server.hear()["status"] == "killed by signal 9"


def test_a_temporary_directory_too_deep_for_a_socket_is_one_sentence(
    driven: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The length, the limit and the variable that helps are named, and the directory is not left behind."""
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("TMPDIR", str(deep))
    with driven("emulated", tmp_path) as server:
        event = server.hear()
        assert event["event"] == "failed"
        assert "too long a path" in event["message"]
        assert "set TMPDIR to a shorter one" in event["message"]
        assert server.hear() == {}
    assert not list(deep.iterdir())


def test_a_log_that_cannot_be_written_is_one_sentence(driven: Any, tmp_path: Path, spec: WorkerSpec) -> None:
    """The worker and the directory are named."""
    with driven("emulated", tmp_path / "none") as server:
        server.hear()
        server.start(spec)
        assert "the log of worker 0" in server.hear()["message"]


def test_an_emulated_worker_never_loads_onnx_runtime(driven: Any, tmp_path: Path, spec: WorkerSpec) -> None:
    """Its memory holds no part of it."""
    with driven("emulated", tmp_path) as server:
        [pid] = started(server, spec, 1)
        assert "onnxruntime" not in Path(f"/proc/{pid}/maps").read_text()


def test_forking_happens_on_a_single_thread() -> None:
    """What is imported beforehand starts no thread, whose locks a fork would leave in an unknown state."""
    program = (
        "import os; from collagebench.worker.forkserver import preload; preload('real'); "
        "print(len(os.listdir('/proc/self/task')))"
    )
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=root, check=True)
    assert done.stdout == "1\n"
