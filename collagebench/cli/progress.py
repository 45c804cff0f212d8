"""Progress on stderr while something long runs: a bar where somebody watches a terminal, nothing otherwise."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType

from rich import progress as rich_progress
from rich.console import Console

from collagebench.engine.cells import Progress


@contextmanager
def counted(first: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar with the time left, or nothing where stderr is no terminal.

    It begins with the line `first`; the function it yields is told what is done, how much there is, and a line.
    """
    columns = (
        rich_progress.TextColumn("{task.description}"),
        rich_progress.BarColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    watched = bool(sys.stderr and sys.stderr.isatty())
    with rich_progress.Progress(*columns, console=Console(stderr=True), transient=True, disable=not watched) as bar:
        task = bar.add_task(first, total=None)
        yield lambda done, total, line: bar.update(task, description=line, total=total, completed=done)


class ProgressBar(Progress):
    """Shows the stages and cells of one experiment while its `with` block lasts."""

    def __init__(self) -> None:
        self._bar = rich_progress.Progress(
            rich_progress.TextColumn("{task.description}"),
            rich_progress.BarColumn(bar_width=16),
            rich_progress.TextColumn("{task.fields[counted]}"),
            rich_progress.TimeRemainingColumn(),
            rich_progress.TextColumn("{task.fields[left]}"),
            console=Console(stderr=True),
            transient=True,
            disable=not (sys.stderr and sys.stderr.isatty()),
            refresh_per_second=4,  # the client's CPU belongs to the measurement
        )
        self._task = self._bar.add_task("", total=None, counted="", left="")
        self._arrived = 0
        self._expected = 0

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._bar.stop()

    def stage(self, text: str) -> None:
        """Something takes a moment."""
        self._bar.update(self._task, description=text)

    def begin(self, requests: int) -> None:
        """So many requests will arrive."""
        self._expected = requests
        self._bar.update(self._task, total=requests, left="left")

    def cell(self, scheme: str, run: int) -> None:
        """A cell begins."""
        self._bar.update(self._task, description=f"run {run + 1:2d}  {scheme:<14.14}")

    def advance(self, requests: int) -> None:
        """So many more requests have arrived."""
        self._arrived += requests
        counted = f"{self._arrived:,} of {self._expected:,} requests"
        self._bar.update(self._task, completed=self._arrived, counted=counted)
