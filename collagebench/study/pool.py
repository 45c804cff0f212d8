"""Parallel work in a pool of processes that can be interrupted at any time and leaves no process behind.

Any executor of `concurrent.futures` will do. The one made here works as follows:

- Its processes are spawned, not forked, because a fork of a process with threads, such as those of ONNX Runtime, may
  hang.
- They never see a Ctrl-C, which a terminal sends to all processes at once. The parent handles it and tells them to stop
  by closing its end of a pipe. That end also closes if the parent is killed.
- An experiment that is told to stop saves its results so far; other work just ends. A process that takes too long to
  stop is killed.
- If processes cannot share what they need (because /dev/shm is not writable), all work is done in this process, one
  piece after the other.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

from collagebench.errors import EXIT_ERROR, EXIT_INTERRUPTED, CollagebenchError, Interrupted
from collagebench.interrupts import interruptions

Result = TypeVar("Result")
MakePool = Callable[[int], Executor]
"""Makes an executor with that many processes."""
LOOK_EVERY = 0.2
"""Seconds between two checks for a Ctrl-C and for progress."""
SAVED_WITHIN = 2.0
"""Seconds that a process has to save its results when told to stop; a later run repeats what is lost."""
LIBRARY = os.path.dirname(os.__file__)
"""The directory of the standard library."""

shared: Any = None
"""In a process of the pool, the counters that it shares with the parent, if any; None in other processes."""
_one_of_the_pool = False
_told_to_stop = False


class Pool:
    """An executor that stops on a Ctrl-C."""

    def __init__(
        self, executor: Executor, jobs: int, stopped: threading.Event, broken: Callable[[], bool] = lambda: False
    ) -> None:
        self.jobs = jobs
        self._executor = executor
        self._stopped = stopped
        self._broken = broken

    def each(
        self,
        function: Callable[..., Result],
        work: Mapping[str, tuple[Any, ...]],
        finished: Callable[[str, Result], None] = lambda name, result: None,
        look: Callable[[], None] = lambda: None,
    ) -> dict[str, Result]:
        """Call `function` with the arguments of each piece of work; return the results by name, in the order of `work`.

        `finished` is called with each result as it arrives, `look` a few times a second.

        Raises:
            CollagebenchError: a piece failed; the message begins with its name.
            Interrupted: the user stopped it.
        """
        found: dict[str, Result] = {}
        waiting: dict[Future[Result], str] = {}
        coming = iter(work.items())
        try:
            while len(found) < len(work):
                while len(waiting) < self.jobs and (following := next(coming, None)) is not None:
                    name, arguments = following
                    try:
                        waiting[self._executor.submit(_do, function, *arguments)] = name
                    except BrokenProcessPool:
                        raise _killed(sorted([*waiting.values(), name])) from None
                    except (BlockingIOError, RuntimeError) as error:
                        raise CollagebenchError(
                            f"no more processes can be started ({getattr(error, 'strerror', error)}): raise `ulimit "
                            "-u`, or continue with fewer --jobs"
                        ) from None
                done, _ = wait(waiting, LOOK_EVERY, FIRST_COMPLETED)
                if self._stopped.is_set():
                    raise Interrupted("interrupted")
                in_hand = sorted(waiting.values())
                for future in done:
                    name = waiting.pop(future)
                    found[name] = _result(future, name, in_hand)
                    finished(name, found[name])
                if not done and self._broken():
                    raise _killed(in_hand)
                look()
        finally:
            for future in waiting:
                future.cancel()
        return {name: found[name] for name in work}


@contextmanager
def open_pool(jobs: int, make: MakePool | None = None, counters: Any = None) -> Iterator[Pool]:
    """Yield a pool of `jobs` processes, or one on the executor of `make`; its processes end with the block.

    `counters`, a shared array of multiprocessing, becomes `shared` in the processes of the pool made here.
    """
    with interruptions() as stopped:
        if make is not None:
            with make(jobs) as given:
                yield Pool(given, jobs, stopped)
            return
        context = multiprocessing.get_context("spawn")
        told, teller = context.Pipe(duplex=False)
        executor: _Processes | _Here
        try:
            arguments = (told, counters, os.getcwd())
            with _only_installed_modules():  # multiprocessing starts its resource tracker here
                executor = _Processes(jobs, context, initializer=_begin, initargs=arguments)
        except (OSError, NotImplementedError):
            executor, jobs = _Here(), 1
        try:
            yield Pool(executor, jobs, stopped, executor.broken)
        except BaseException:
            teller.close()  # tells the processes to save their results and stop
            executor.see_them_off()
            raise
        finally:
            with suppress(RuntimeError):  # the executor's management thread may not have started
                executor.shutdown(wait=True, cancel_futures=True)
            teller.close()
            told.close()


def _result(future: Future[Result], name: str, in_hand: list[str]) -> Result:
    try:
        return future.result()
    except Interrupted:
        raise Interrupted("interrupted") from None
    except CollagebenchError as error:
        raise type(error)(f"{name}: {error}") from None
    except MemoryError:
        raise CollagebenchError(f"{name}: out of memory; continue with fewer --jobs") from None
    except BrokenProcessPool:
        raise _killed(in_hand) from None


def _killed(in_hand: list[str]) -> CollagebenchError:
    return CollagebenchError(
        f"a process was killed (while working on {' or '.join(in_hand)}), by the system if memory ran short, or could "
        "not start. What was finished is kept: repeat the command with the same --out (with `simulate`, also --resume) "
        "and fewer --jobs to continue"
    )


# Code that runs in the processes of the pool.


def _begin(told: Connection, counters: Any, directory: str) -> None:
    """Change to the parent's working directory, and start a thread that stops this process when the pipe closes."""
    global shared, _one_of_the_pool
    os.chdir(directory)
    shared, _one_of_the_pool = counters, True

    def listen() -> None:
        global _told_to_stop
        parent = multiprocessing.parent_process()
        assert parent is not None
        with suppress(EOFError, OSError):
            told.recv_bytes()  # nothing is ever sent
        _told_to_stop = True
        if parent.is_alive():
            os.kill(os.getpid(), signal.SIGTERM)
        parent.join()
        os._exit(EXIT_INTERRUPTED)

    try:
        threading.Thread(target=listen, daemon=True, name="parent").start()
    except RuntimeError:  # out of threads: the parent will report that this process could not start
        os._exit(EXIT_ERROR)


def _do(function: Callable[..., Result], *arguments: Any) -> Result:
    stop = False
    try:
        return function(*arguments)
    except Interrupted:
        stop = True
        raise
    finally:
        # A broken or stopped executor waits for its processes without sending them anything that would end them. One
        # that was killed while idle may even hold the lock of the queue, for which this one would wait forever.
        if _one_of_the_pool and (stop or _told_to_stop):
            os._exit(EXIT_INTERRUPTED)


# Code that runs in the parent.


class _Processes(ProcessPoolExecutor):
    """A process pool whose processes start with the first piece of work and never see a Ctrl-C."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._started: set[BaseProcess] = set()

    def submit(self, call: Callable[..., Result], /, *arguments: Any, **named: Any) -> Future[Result]:
        """Run the call in a process of the pool."""
        others = {*multiprocessing.active_children()}
        try:
            with _without_ctrl_c(), _only_installed_modules():
                return super().submit(call, *arguments, **named)
        finally:
            self._started |= {*multiprocessing.active_children()} - others

    def broken(self) -> bool:
        """Whether a process has ended, which it never does while the pool is in use.

        The futures report this too, but late for a process that started while the executor was already waiting: the
        executor watches that process only after the next result.
        """
        return not all(process.is_alive() for process in self._started)

    def see_them_off(self) -> None:
        """Wait for the processes, which were told to stop, and kill those that take longer than `SAVED_WITHIN`."""
        until = time.monotonic() + SAVED_WITHIN
        for process in self._started:
            process.join(max(0.0, until - time.monotonic()))
            process.kill()


class _Here(Executor):
    """Makes each call at once, in this process."""

    def broken(self) -> bool:
        """Return False: there is no process that could end."""
        return False

    def see_them_off(self) -> None:
        """Do nothing: there is no process to wait for."""

    def submit(self, call: Callable[..., Result], /, *arguments: Any, **named: Any) -> Future[Result]:
        """Make the call, and return a finished future."""
        future: Future[Result] = Future()
        try:
            future.set_result(call(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Block SIGINT while processes start: they inherit the signal mask, and keep SIGINT blocked."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _only_installed_modules() -> Iterator[None]:
    """Keep processes started in this block from importing a user's file instead of a standard module of that name.

    A new process looks for modules in its working directory first, so it is started in that of the standard library.
    """
    here = os.open(os.curdir, getattr(os, "O_PATH", os.O_RDONLY))
    try:
        os.chdir(LIBRARY)
        yield
    finally:
        os.fchdir(here)
        os.close(here)
