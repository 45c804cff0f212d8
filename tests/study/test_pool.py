"""A pool of processes: results, errors, and that no process is left."""

from __future__ import annotations

import _multiprocessing
import errno
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from real_processes import SOON, Watched

from collagebench.errors import CollagebenchError, DataError, Interrupted
from collagebench.interrupts import interruptions
from collagebench.study.pool import MakePool, open_pool

pytestmark = pytest.mark.processes


def half(number: int) -> float:
    """Return half of an even number, or fail."""
    if number % 2:
        raise DataError(f"{number} is odd")
    return number / 2


def killed() -> None:
    """Die by SIGKILL, as a process does that takes too much memory."""
    os.kill(os.getpid(), signal.SIGKILL)


def named_and_idle(path: Path) -> None:
    """Write down the process's number, and run for longer than any test."""
    path.with_suffix(".part").write_text(str(os.getpid()))
    path.with_suffix(".part").rename(path)
    time.sleep(600)  # the process is stopped long before


def deaf(path: Path) -> None:
    """Ignore SIGTERM, like an experiment in the middle of a long step."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    named_and_idle(path)


def killed_when_there(path: Path) -> None:
    """Die as soon as the other process is working."""
    while not path.exists():
        os.sched_yield()
    killed()


def finished_when_told(path: Path) -> None:
    """Wait for SIGTERM, as an experiment between two steps does, and then return normally."""
    told = threading.Event()
    before = signal.signal(signal.SIGTERM, lambda number, frame: told.set())
    path.open("wb").close()
    told.wait()
    signal.signal(signal.SIGTERM, before)


def odd_when_there(path: Path) -> None:
    """Fail as soon as the other process is working."""
    path.open("rb").close()
    raise DataError("odd")


@pytest.mark.parametrize("make", [None, ThreadPoolExecutor])
def test_any_executor_does_the_work(make: MakePool | None) -> None:
    """Results come in the order of the work with any executor, and each is announced."""
    heard = {}
    with open_pool(2, make) as pool:
        found = pool.each(half, {str(n): (n,) for n in (8, 4, 2)}, heard.__setitem__)
    assert found == {"8": 4.0, "4": 2.0, "2": 1.0}
    assert list(found) == ["8", "4", "2"]
    assert heard == found


@pytest.mark.parametrize("make", [None, ThreadPoolExecutor])
def test_what_fails_is_named(make: MakePool | None) -> None:
    """An error has the name of its piece of work in front, and earlier results were announced."""
    heard: dict[str, float] = {}
    with pytest.raises(DataError, match=r"^three: 3 is odd$"), open_pool(1, make) as pool:
        pool.each(half, {"two": (2,), "three": (3,), "four": (4,)}, heard.__setitem__)
    assert heard == {"two": 1.0}


def test_an_error_ends_those_who_were_just_done(tmp_path: Path) -> None:
    """After an error, a process that finishes its last piece when told to stop takes no more, and does not hang."""
    path = tmp_path / "at work"
    os.mkfifo(path)
    with pytest.raises(DataError, match=r"^bad: odd$"), open_pool(2) as pool:
        pool.each(_either, {"bad": (odd_when_there, path), "good": (finished_when_told, path)})


def _either(function: Callable[[Path], None], path: Path) -> None:
    function(path)


def test_a_process_that_is_killed_is_a_sentence() -> None:
    """If a process is killed, the error says on which work, and how to continue."""
    with (
        pytest.raises(CollagebenchError, match=r"while working on large.* could not start.*fewer --jobs to continue"),
        open_pool(1) as pool,
    ):
        pool.each(killed, {"large": ()})


def test_of_a_process_that_is_killed_others_are_not_waited_for(tmp_path: Path) -> None:
    """If one process is killed, another that ignores SIGTERM is ended within seconds."""
    path = tmp_path / "at work"
    began = time.monotonic()
    with (
        pytest.raises(CollagebenchError, match=r"a process was killed \(while working on deaf or killed\)"),
        open_pool(2) as pool,
    ):
        pool.each(_either, {"deaf": (deaf, path), "killed": (killed_when_there, path)})
    assert time.monotonic() - began < 60  # the sleep is 600 s
    assert not Path(f"/proc/{path.read_text()}").exists()


def test_a_process_that_is_stopped_does_not_hold_up_a_ctrl_c(tmp_path: Path) -> None:
    """On Ctrl-C a process stopped by SIGSTOP is killed soon."""
    path = tmp_path / "at work"
    watched: list[Watched] = []

    def look() -> None:
        if not watched and path.exists():
            watched.append(Watched([int(path.read_text())]))
            os.kill(int(path.read_text()), signal.SIGSTOP)
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(Interrupted), open_pool(1) as pool:
        _each(pool.each, [path], look)
    assert watched[0].left_after(0) == set()


def test_a_process_that_was_killed_takes_no_more_work() -> None:
    """A process killed between two pieces of work gives the same error."""

    def kill_it(name: str, pid: int) -> None:
        gone = Watched([pid])
        os.kill(pid, signal.SIGKILL)
        assert gone.left_after(10) == set()

    with pytest.raises(CollagebenchError, match=r"a process was killed .*fewer --jobs"), open_pool(1) as pool:
        pool.each(os.getpid, {"first": (), "second": ()}, kill_it)


@pytest.mark.parametrize("refused", [BlockingIOError(errno.EAGAIN, "Unavailable"), RuntimeError("no thread")])
def test_too_few_processes_are_a_sentence(monkeypatch: pytest.MonkeyPatch, refused: Exception) -> None:
    """If the system starts no more processes or threads, the error says which limit to raise."""

    def refuse(process: object) -> None:
        raise refused

    monkeypatch.setattr(multiprocessing.context.SpawnProcess, "start", refuse)
    with (
        pytest.raises(CollagebenchError, match=r"no more processes .*`ulimit -u`, or continue"),
        open_pool(1) as pool,
    ):
        pool.each(half, {"two": (2,)})


def test_without_locks_it_works_here_and_hears_a_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    """If no lock can be shared (a read-only /dev/shm), this process does the work, and Ctrl-C stops it."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    def interrupted() -> None:
        with interruptions() as told:
            os.kill(os.getpid(), signal.SIGINT)
            if told.wait(10):
                raise Interrupted("interrupted")

    monkeypatch.setattr(_multiprocessing, "SemLock", refuse)
    with open_pool(2) as pool:
        assert pool.each(os.getpid, {"here": ()}) == {"here": os.getpid()}
    with pytest.raises(Interrupted), open_pool(2) as pool:
        pool.each(interrupted, {"one": (), "two": ()})


def test_files_of_the_current_directory_are_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `signal.py` in the current directory is not imported by a process of the pool.

    Processes work in that directory, and the environment stays as it was.
    """
    for name in ("signal", "selectors"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is mine')\n")
    monkeypatch.chdir(tmp_path)
    before = dict(os.environ)
    with open_pool(1) as pool:
        assert pool.each(half, {"two": (2,)}) == {"two": 1.0}
        assert pool.each(os.getcwd, {"there": ()}) == {"there": str(tmp_path)}
    assert os.getcwd() == str(tmp_path)
    assert dict(os.environ) == before


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_all_and_leaves_nobody(tmp_path: Path, sign: signal.Signals) -> None:
    """SIGINT or SIGTERM to the parent ends all working processes at once."""
    files = [tmp_path / "a", tmp_path / "b"]
    watched: list[Watched] = []

    def look() -> None:
        if not watched and all(file.exists() for file in files):
            watched.append(Watched([int(file.read_text()) for file in files]))
            os.kill(os.getpid(), sign)

    with pytest.raises(Interrupted), open_pool(2) as pool:
        _each(pool.each, files, look)
    assert watched[0].left_after(SOON) == set()


def _each(each: Callable[..., object], files: list[Path], look: Callable[[], None]) -> None:
    each(named_and_idle, {file.name: (file,) for file in files}, look=look)
