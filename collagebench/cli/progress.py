"""Progress on stderr while an experiment runs: a bar where somebody watches a terminal, nothing otherwise."""

from __future__ import annotations

import sys
from types import TracebackType

from rich import progress as rich_progress
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from collagebench.engine.experiment import Progress


class ProgressBar(Progress):
    """Shows the stages and cells of one experiment."""

    def __init__(self) -> None:
        self._bar = rich_progress.Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=16),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            transient=True,
            disable=not sys.stderr.isatty(),
            refresh_per_second=4,  # the client's CPU belongs to the measurement
        )
        self._task = self._bar.add_task("", total=None)

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
        self._bar.update(self._task, total=requests)

    def cell(self, scheme: str, run: int) -> None:
        """A cell begins."""
        self._bar.update(self._task, description=f"run {run + 1:2d}  {scheme:<14.14}")

    def advance(self, requests: int) -> None:
        """So many more requests have arrived."""
        self._bar.advance(self._task, requests)
