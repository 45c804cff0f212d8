"""The live view of a running experiment, on stderr: the results of each scheme so far, and the time left.

A separate thread draws it twice a second from counts that are updated as answers arrive. No request ever waits for it.
If stderr is not a terminal, nothing is drawn; with `verbose`, a line is printed for each finished cell.
"""

from __future__ import annotations

import math
import sys
import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.text import Text

from collagebench.cli.standard_streams import say
from collagebench.engine.cells import Progress
from collagebench.engine.conductor import Listener
from collagebench.engine.tally import Tally, Watched
from collagebench.report.output import PlainConsole

FRAMES = 2
"""Frames drawn per second. Few, because drawing takes CPU time from the measurement."""
BEFORE_ETA = 2.0
"""Seconds of progress before the time left is estimated."""
FOR_P99 = 100
"""Requests from which a p99 is shown; with fewer, it would just be the slowest request."""


class LiveView(Progress):
    """Shows the cells of one experiment while its `with` block lasts."""

    def __init__(self, verbose: bool = False, console: Console | None = None, before: str = "") -> None:
        """`verbose`: print a line for each finished cell. `before`: a heading that names one of several experiments."""
        watched = bool(sys.stderr and sys.stderr.isatty())
        self._console = console or PlainConsole(stderr=True, force_terminal=watched)
        self._shown = self._console.is_terminal and not self._console.is_dumb_terminal
        self._verbose = verbose
        self._before = before
        self._stage = ""
        self._tallies: dict[str, Tally] = {}
        self._runs = 0
        self._cell: tuple[str, int] | None = None
        self._cell_began = 0.0
        self._watched: Watched | None = None
        self._workers: int | None = None
        self._lost: set[int] = set()
        self._arrived = 0
        self._expected = 0
        self._began = 0.0
        self._live = Live(
            console=self._console,
            get_renderable=self._frame,
            refresh_per_second=FRAMES,
            transient=True,
            vertical_overflow="crop",
        )

    def __enter__(self) -> LiveView:
        if self._before and self._verbose and not self._shown:
            say(self._before)
        if self._shown:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._finish_cell(whole=kind is None)
        if self._shown:
            self._live.stop()

    def stage(self, text: str) -> None:
        """Show what is being prepared while no requests are sent."""
        self._finish_cell()
        self._stage = text

    def show(self, text: str) -> None:
        """Print a text that stays on the screen."""
        if self._shown:
            self._console.print(Text(text), highlight=False)
        else:
            say(text)

    def begin(self, requests: int, schemes: tuple[str, ...], runs: int) -> None:
        """Start the counts; `requests` will arrive in all."""
        self._tallies = {scheme: Tally() for scheme in schemes}
        self._runs = runs
        self._arrived = 0
        self._expected = requests

    def workers(self, count: int) -> None:
        """Take note that `count` workers are up."""
        self._workers = count

    def lost(self, worker: int) -> None:
        """Count a worker as lost."""
        self._lost.add(worker)

    def cell(self, scheme: str, run: int) -> None:
        """Begin a cell: one run of one scheme."""
        self._finish_cell()
        self._stage = ""
        self._cell = (scheme, run)
        self._cell_began = time.monotonic()

    def watch(self, listener: Listener, scheme: str, warmup: int, slow_above: float) -> Listener:
        """Wrap a cell's listener so that its events are counted, if the counts will be shown."""
        if not (self._shown or self._verbose):
            return listener
        self._watched = Watched(listener, self._tallies[scheme], warmup, slow_above)
        return self._watched

    def advance(self, requests: int) -> None:
        """Count `requests` more as arrived; the first start the clock, because processes may have to begin before."""
        if not self._arrived:
            self._began = time.monotonic()
        self._arrived += requests

    def elsewhere(self, scheme: str, run: int, seconds: float, tally: Tally) -> None:
        """Add what another process has counted."""
        self._tallies[scheme].merge(tally)
        self._say_finished(scheme, run, seconds)

    def _finish_cell(self, whole: bool = True) -> None:
        if self._cell is not None and whole:
            self._say_finished(*self._cell, time.monotonic() - self._cell_began)
        self._cell = None

    def _say_finished(self, scheme: str, run: int, seconds: float) -> None:
        if self._verbose:
            tally = self._tallies[scheme]
            self.show(
                f"run {run + 1} of {self._runs}, {scheme}: {seconds:.1f} s; so far {tally.answered:,} answered, "
                f"{tally.failed:,} failed, p50 {_ms(tally, 0.5)} ms, p99 {_ms(tally, 0.99)} ms"
            )

    def _frame(self) -> Text:
        """Return the current frame."""
        width, height = self._console.width, self._console.height
        lines = [Text(self._before, style="bold")] if self._before else []
        lines.append(self._progress_line(width))
        if self._expected:
            lines += self._scheme_lines(width, height - 4 - len(lines[1:]))
        if self._workers is not None:
            lines.append(self._worker_line())
        frame = Text("\n", no_wrap=True, overflow="crop").join(lines)
        frame.no_wrap, frame.overflow = True, "crop"
        return frame

    def _progress_line(self, width: int) -> Text:
        place = self._stage
        if self._cell is not None:
            scheme, run = self._cell
            place = f"run {run + 1} of {self._runs}  {scheme}"
        if not self._expected:
            return Text(place)
        share = min(1.0, self._arrived / self._expected)
        right = f"{self._arrived:,} of {self._expected:,} requests{self._left(share)}"
        left = f"{place:<28.28}"
        room = min(40, width - len(left) - len(right) - 3)
        bar = Text()
        if room >= 5:
            full, empty = ("━", "─") if "utf" in (self._console.encoding or "").lower() else ("#", "-")
            done = round(share * room)
            bar = Text.assemble((full * done, "green"), (empty * (room - done), "dim"), "  ")
        return Text.assemble(left, " ", bar, right)

    def _left(self, share: float) -> str:
        took = time.monotonic() - self._began
        if took < BEFORE_ETA or not share:
            return ""
        seconds = round(took / share * (1 - share))
        return f"  {seconds // 60}:{seconds % 60:02d} left"

    def _scheme_lines(self, width: int, room: int) -> list[Text]:
        names = list(self._tallies)
        now = names.index(self._cell[0]) if self._cell and self._cell[0] in names else 0
        room = max(1, room - 1 if len(names) > room else room)
        first = max(0, min(now - room // 2, len(names) - room))
        shown = names[first : first + room]
        name_width = max(6, min(16 if width < 100 else 40, max(map(len, names))))
        header = (
            f"  {'scheme':<{name_width}} {'answered':>8} {'~p50 ms':>8} {'~p99 ms':>8} {'failed':>6}  answers by source"
        )
        lines = [Text(header, style="dim")]
        for name in shown:
            tally, mark = self._tallies[name], ">" if self._cell and name == self._cell[0] else " "
            sources = dict(tally.sources)
            total = sum(sources.values())
            ordered = sorted(sources.items(), key=lambda item: -item[1])
            parts = ""
            for source, count in ordered:
                part = f"  {source} {_percent(count / total)}"
                if 2 + name_width + 34 + len(parts + part) > width:
                    break  # do not cut a source off in the middle
                parts += part
            line = (
                f"{mark} {_short(name, name_width):<{name_width}} {tally.answered:>8,} {_ms(tally, 0.5):>8} "
                f"{_ms(tally, 0.99):>8} {tally.failed:>6,}{parts}"
            )
            lines.append(Text(line, style="bold" if mark == ">" else ""))
        if len(names) > len(shown):
            lines.append(Text(f"  and {len(names) - len(shown)} more", style="dim"))
        return lines

    def _worker_line(self) -> Text:
        slow = sum(1 for tasks in list(self._watched.slow.values()) if tasks) if self._watched and self._cell else 0
        lost = len(self._lost)
        up = (self._workers or 0) - lost
        gone = (f", {lost} lost", "bold red") if lost else ""
        return Text.assemble(("workers: ", "dim"), f"{up} up, {slow} of them slow now", gone)


def _ms(tally: Tally, q: float) -> str:
    """Return a quantile in milliseconds, to three digits; "-" if it is not known yet."""
    seconds = tally.quantile(q) if q < 0.99 or tally.answered + tally.failed >= FOR_P99 else None
    if seconds is None:
        return "-"
    if math.isinf(seconds):
        return "inf"
    ms = seconds * 1e3
    return f"{ms:.2f}" if ms < 10 else f"{ms:.1f}" if ms < 100 else f"{ms:,.0f}"


def _percent(share: float) -> str:
    return "<1 %" if share < 0.005 else f"{100 * share:.0f} %"


def _short(name: str, width: int) -> str:
    return name if len(name) <= width else f"{name[: width - 1]}…"
