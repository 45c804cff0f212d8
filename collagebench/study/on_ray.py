"""Run the pieces of a study on the nodes of a Ray cluster, instead of in processes on this machine.

`RayExecutor` is an executor of `concurrent.futures`, so it can be used wherever one is expected:

    with RayExecutor("auto") as cluster:
        run_points(points, directory, compute, jobs=cluster.cpus, pool=lambda jobs: cluster)

A piece may write to directories: every argument that is a Path is one. Its content, if any, is sent to the node, where
the piece works in a temporary copy. When the piece is done, the copy's content is sent back and replaces the local one.
If the piece fails or is cancelled, nothing is sent back, and the local content stays. Paths inside a config, of images
or models, are not sent: they must lead to the same files on every node.

A piece whose node or process is lost is not retried. The study stops with an error, and the caller may continue it.
"""

from __future__ import annotations

import io
import os
import shutil
import signal
import subprocess
import tempfile
import zipfile
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from collagebench.errors import CollagebenchError
from collagebench.fleet.cluster import connect, copied_package
from collagebench.worker.outpost import KEEPER

Result = TypeVar("Result")
Contents = dict[int, bytes]
"""Contents of directories, as zip archives, by the argument's position."""


SCRATCH = "collagebench-piece-"
"""Prefix of the temporary directories on the nodes."""
STOP_WITHIN = 10.0
"""Seconds that cancelled tasks get to stop."""


class RayExecutor(Executor):
    """Runs each call as a task with one core on a running cluster; use it once, in a `with` block."""

    def __init__(self, address: str = "auto") -> None:
        """Connect to the cluster.

        Raises:
            MissingExtra: Ray is not installed.
            FleetError: the cluster cannot be reached.
        """
        with copied_package(with_models=True) as package:
            self._ray = connect(address, package)
        self._task = self._ray.remote(_there).options(num_cpus=1, max_retries=0)
        self._back = ThreadPoolExecutor(1, thread_name_prefix="from-ray")
        """Unpacks results, so that Ray's own thread need not."""
        self._under_way: dict[Future[Any], Any] = {}
        self._stopped: list[Any] = []

    @property
    def cpus(self) -> int:
        """How many tasks the cluster can run at once, if nobody else uses it."""
        return max(1, int(self._ray.cluster_resources().get("CPU", 1)))

    def submit(self, call: Callable[..., Result], /, *arguments: Any, **named: Any) -> Future[Result]:
        """Run `call` on some node; see the module for Path arguments.

        The future stays pending until its result arrives, so it can be cancelled until then; that stops the task.
        """
        directories = {place: value for place, value in enumerate(arguments) if isinstance(value, Path)}
        sent = {place: pack(directory) for place, directory in directories.items() if directory.is_dir()}
        names = {place: directory.name for place, directory in directories.items()}
        future: Future[Result] = Future()
        reference = self._task.remote(call, arguments, named, names, sent)
        self._under_way[future] = reference
        future.add_done_callback(self._done)

        def hear(ended: Future[Any]) -> None:
            with suppress(RuntimeError):  # cancelled, and the executor is already shut down
                self._back.submit(self._heard, future, ended, directories)

        reference.future().add_done_callback(hear)
        return future

    def _done(self, future: Future[Any]) -> None:
        reference = self._under_way.pop(future, None)
        if reference is not None and future.cancelled():
            self._ray.cancel(reference)  # raises KeyboardInterrupt in the task, which then removes its directory
            self._stopped.append(reference)

    def _heard(self, future: Future[Any], ended: Future[Any], directories: dict[int, Path]) -> None:
        """Unpack a task's directories and set the result or error of its future."""
        if not future.set_running_or_notify_cancel():
            return
        try:
            result, contents = ended.result()
            for place, content in contents.items():
                unpack(content, directories[place])
        except self._ray.exceptions.RayError as error:
            future.set_exception(_cause(error))
        except OSError as error:
            future.set_exception(
                CollagebenchError(f"the results from the node cannot be written ({error.strerror or error})")
            )
        except BaseException as error:
            future.set_exception(error)
        else:
            future.set_result(result)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """Wait for unfinished tasks, or cancel them with `cancel_futures` or without `wait`; then leave the cluster."""
        for future in list(self._under_way):
            if cancel_futures or not wait:
                future.cancel()
            elif not future.cancelled():
                future.exception()  # waits for it
        if self._stopped:
            self._ray.wait(self._stopped, num_returns=len(self._stopped), timeout=STOP_WITHIN)
            self._stopped.clear()
        self._back.shutdown(wait=True)
        self._ray.shutdown()


def _cause(error: Any) -> BaseException:
    """Return the error that the piece raised, or one that says how its process was lost."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return cause
    from collagebench.fleet.ray import reason

    return CollagebenchError(f"its task on the Ray cluster was lost ({reason(error)}): what was finished is kept")


def _there(
    call: Callable[..., Result], arguments: Sequence[Any], named: dict[str, Any], names: dict[int, str], sent: Contents
) -> tuple[Result, Contents]:
    """Make the call on a node, with Path arguments in a temporary directory; return the result and their contents."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # a cancel must not interrupt these steps
    scratch = Path(tempfile.mkdtemp(prefix=SCRATCH))
    alive = _watched(scratch)
    try:
        signal.signal(signal.SIGINT, before)
        places = {place: scratch / str(place) / name for place, name in names.items()}
        for place, directory in places.items():
            directory.parent.mkdir()
            if place in sent:
                unpack(sent[place], directory)
        given = [places.get(place, value) for place, value in enumerate(arguments)]
        result = call(*given, **named)
        return result, {place: pack(directory) for place, directory in places.items() if directory.is_dir()}
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        shutil.rmtree(scratch, ignore_errors=True)
        os.close(alive)
        signal.signal(signal.SIGINT, before)


def _watched(scratch: Path) -> int:
    """Start a watcher that removes a directory when this process ends; return the descriptor that keeps it waiting.

    A separate process is needed, because Ray kills the tasks of a client that has gone, and a killed process cannot
    clean up. Close the descriptor to let the watcher finish.
    """
    told, alive = os.pipe()
    watch = f"exec 3<&0; ({KEEPER}) <&3 >/dev/null 2>&1 &"  # not a child of this process, or Ray would kill it too
    try:
        subprocess.run(["sh", "-c", watch, "sh", str(scratch)], stdin=told, start_new_session=True, check=True)
    finally:
        os.close(told)
    return alive


def pack(directory: Path) -> bytes:
    """Return the files below a directory as a zip archive."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for path in sorted(directory.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(directory))
    return packed.getvalue()


def unpack(content: bytes, directory: Path) -> None:
    """Replace the content of a directory by what `pack` returned.

    Raises:
        OSError: the directory cannot be written.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as scratch:
        new = Path(scratch) / "new"
        new.mkdir()
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            archive.extractall(new)  # zipfile never writes outside `new`, whatever the members' names
        if directory.exists():
            directory.rename(Path(scratch) / "old")
        new.rename(directory)
