"""Work side by side in processes of its own, which can be stopped and leave nothing behind.

Any executor of `concurrent.futures` will do. The one that is made here has these manners. Its processes are spawned,
not forked: a fork of a process with threads, such as those of ONNX Runtime, may hang. They never see a Ctrl-C, which a
terminal sends to all of them at once: the parent hears it and tells them. What tells them is the end of a pipe of which
the parent holds the other end, so that they also hear it when the parent was killed. An experiment that is told saves
what it has; anything else just ends, and so does, by force, what takes too long about it. Where processes cannot share
what they need (/dev/shm cannot be written), this one does all the work, a piece after the other.
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
"""Makes an executor of so many processes."""
LOOK_EVERY = 0.2
"""Seconds from one look for a Ctrl-C, and for how far the work is, to the next."""
SAVED_WITHIN = 2.0
"""Seconds that a process which is told to stop has to save what it has; what is lost then, a later run does again."""
LIBRARY = os.path.dirname(os.__file__)
"""Where Python's own modules are."""

shared: Any = None
"""In a process of the pool, what it shares with the parent: counters, if any; None elsewhere."""
_one_of_the_pool = False
_told_to_stop = False


class Pool:
    """An executor, and whether the user wants it to stop."""

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
        """Call `function` with the arguments of each piece of work and return what it returned, in the order of `work`.

        `finished` hears of each as it comes; `look` is called some times a second.

        Raises:
            CollagebenchError: a piece failed; the sentence begins with its name.
            Interrupted: the user wants no more of it.
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
    """Yield a pool of `jobs` processes, or one that `make` makes; with the block it ends, and its processes with it.

    `counters`, of multiprocessing, are what `shared` is in the processes of its own.
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
            with _only_installed_modules():  # for a helper that multiprocessing starts now
                executor = _Processes(jobs, context, initializer=_begin, initargs=arguments)
        except (OSError, NotImplementedError):
            executor, jobs = _Here(), 1
        try:
            yield Pool(executor, jobs, stopped, executor.broken)
        except BaseException:
            teller.close()  # whoever is at work saves what there is
            executor.see_them_off()
            raise
        finally:
            with suppress(RuntimeError):  # that the thread that would end them could not be started, either
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
        "not start. What was finished is kept: repeat the command with the same --out (for a sweep, also --resume) and "
        "fewer --jobs to continue"
    )


# What the processes of the pool do.


def _begin(told: Connection, counters: Any, directory: str) -> None:
    """Go where the parent is, and listen for its end, or its word to stop."""
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
    except RuntimeError:  # there may be no more threads: the parent will say that this one could not start
        os._exit(EXIT_ERROR)


def _do(function: Callable[..., Result], *arguments: Any) -> Result:
    stop = False
    try:
        return function(*arguments)
    except Interrupted:
        stop = True
        raise
    finally:
        # A pool that was broken or stopped waits for its processes, and has no more work by which they could end. An
        # idle one may even have died with the lock of the queue, for which the next one would wait.
        if _one_of_the_pool and (stop or _told_to_stop):
            os._exit(EXIT_INTERRUPTED)


# What the parent does.


class _Processes(ProcessPoolExecutor):
    """Processes that start with the first piece of work, and never see a Ctrl-C."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._started: set[BaseProcess] = set()

    def submit(self, call: Callable[..., Result], /, *arguments: Any, **named: Any) -> Future[Result]:
        """Have a process make the call."""
        others = {*multiprocessing.active_children()}
        try:
            with _without_ctrl_c(), _only_installed_modules():
                return super().submit(call, *arguments, **named)
        finally:
            self._started |= {*multiprocessing.active_children()} - others

    def broken(self) -> bool:
        """Whether a process has ended, which none does by itself.

        Its futures say so, too, but not soon of one that started while Python already waited for others to end: that
        one it misses once it hears of the next result.
        """
        return not all(process.is_alive() for process in self._started)

    def see_them_off(self) -> None:
        """Wait for the processes, which were told to stop, and kill those that are not done in time."""
        until = time.monotonic() + SAVED_WITHIN
        for process in self._started:
            process.join(max(0.0, until - time.monotonic()))
            process.kill()


class _Here(Executor):
    """Makes each call at once, in this process."""

    def broken(self) -> bool:
        """It never is."""
        return False

    def see_them_off(self) -> None:
        """Nobody else is there."""

    def submit(self, call: Callable[..., Result], /, *arguments: Any, **named: Any) -> Future[Result]:
        """Make the call, and return what came of it."""
        future: Future[Result] = Future()
        try:
            future.set_result(call(*arguments, **named))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Hold Ctrl-C back for a moment in which processes start, which inherit that it is held back, and keep it so."""
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
    """Keep processes that start meanwhile from taking a file of the current directory for a module of Python's.

    They look for modules where they start: so that is among Python's own.
    """
    here = os.open(os.curdir, getattr(os, "O_PATH", os.O_RDONLY))
    try:
        os.chdir(LIBRARY)
        yield
    finally:
        os.fchdir(here)
        os.close(here)
