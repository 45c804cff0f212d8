"""Progress of long work on stderr: a bar if stderr is a terminal, else nothing."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich import progress as rich_progress

from collagebench.report.output import PlainConsole


@contextmanager
def counted(first: str) -> Iterator[Callable[[int, int, str], None]]:
    """Show a bar with the time left, or nothing if stderr is not a terminal.

    The bar's first label is `first`. Yields a function (done, total, label) that updates the bar.
    """
    if not (sys.stderr and sys.stderr.isatty()):
        yield lambda done, total, line: None
        return
    columns = (
        rich_progress.TextColumn("{task.description}", markup=False),
        rich_progress.BarColumn(),
        rich_progress.TimeElapsedColumn(),
        rich_progress.TimeRemainingColumn(),
    )
    with rich_progress.Progress(*columns, console=PlainConsole(stderr=True), transient=True) as bar:
        task = bar.add_task(first, total=None)
        yield lambda done, total, line: bar.update(task, description=line, total=total, completed=done)
