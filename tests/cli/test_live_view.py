"""The live view of an experiment: what a terminal shows, and that a pipe gets nothing."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from io import StringIO
from pathlib import Path

import pytest
from real_processes import ROOT
from rich import progress as rich_progress
from rich.console import Console, Group

from collagebench.cli import live_view
from collagebench.cli.live_view import LiveView
from collagebench.cli.progress import counted
from collagebench.engine.tally import Tally, Watched
from collagebench.schemes.protocol import Request

NAMES = ("none", "replication", "a scheme with quite a long name", "collage")


class Deaf:
    """A listener that does nothing."""

    def answered(self, *arguments: object) -> None:
        pass

    failed = answered


def console(width: int = 80, height: int = 24, terminal: bool = True) -> Console:
    """Return a console of this size that writes into memory."""
    return Console(file=StringIO(), force_terminal=terminal, width=width, height=height, color_system="standard")


def running(view: LiveView, names: tuple[str, ...] = NAMES, answers: int = 120) -> None:
    """Bring a view to the middle of an experiment, in the second run of the last scheme."""
    view.stage("starting 10 workers")
    view.workers(10)
    view.begin(1000 * len(names), names, 2)
    for scheme in names:
        view.cell(scheme, 1)
        watched = view.watch(Deaf(), scheme, 20, 0.1)  # type: ignore[arg-type]
        for number in range(20, 20 + answers):
            watched.answered(Request(number, 0, 0.0), "own" if number % 4 else "collage", [], 0.025)
        watched.failed(Request(999, 0, 0.0), "deadline")
        view.advance(500)
    view.lost(7)


def frame(view: LiveView, target: Console) -> list[str]:
    """Return the lines that the view shows now."""
    with target.capture() as capture:
        target.print(Group(view._frame()))  # the Group keeps print() from wrapping it
    return [line.rstrip() for line in Console(file=StringIO()).render_str(capture.get()).plain.splitlines()]


@pytest.mark.parametrize("width", [80, 120])
def test_a_frame_says_it_all_and_fits(width: int) -> None:
    """A frame fits the width; it shows progress, workers, and each scheme's answers, latencies, failures, sources."""
    target = console(width)
    target._color_system = None
    view = LiveView(console=target)
    running(view)
    lines = frame(view, target)
    assert max(map(len, lines)) <= width
    assert lines[0].startswith("run 2 of 2  collage")
    assert "2,000 of 4,000 requests" in lines[0]
    row = next(line for line in lines if line.startswith("> collage"))
    assert row.split()[2] == "120"
    assert float(row.split()[3]) == pytest.approx(25, rel=0.01)
    assert row.split()[5:] == ["1", "own", "75", "%", "collage", "25", "%"]
    assert ("a scheme with q… " if width == 80 else NAMES[2]) in "\n".join(lines)
    assert lines[-1] == "workers: 9 up, 0 of them slow now, 1 lost"
    view._lost.clear()
    assert frame(view, target)[-1] == "workers: 10 up, 0 of them slow now"


def test_a_p99_of_a_few_requests_is_not_shown() -> None:
    """With fewer than a hundred answers a dash stands in place of the p99."""
    target = console()
    view = LiveView(console=target)
    running(view, ("none",), answers=50)
    row = next(line for line in frame(view, target) if "> none" in line)
    assert "-" in row.split()


def test_the_time_left_counts_from_the_first_request(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fifth of the requests in ten seconds leaves 40 s, however long the processes needed to begin."""
    target = console()
    view = LiveView(console=target)
    view.begin(1000, ("none",), 1)
    for now, requests in ((100.0, 0), (130.0, 100), (140.0, 100)):
        monkeypatch.setattr(live_view.time, "monotonic", lambda now=now: now)
        view.advance(requests)
    assert frame(view, target)[0].endswith("200 of 1,000 requests  0:40 left")


def test_what_other_processes_count_is_shown() -> None:
    """The counts of a cell that was simulated elsewhere are added to those of its scheme."""
    target = console()
    view = LiveView(console=target)
    view.begin(1000, ("none",), 2)
    for run in range(2):
        tally = Tally()
        for _ in range(60):
            tally.add("own", 0.025)
        view.elsewhere("none", run, 1.5, tally)
        view.stage(f"{run + 1} of 2 cells done")
    lines = frame(view, target)
    assert lines[0].startswith("2 of 2 cells done")
    assert lines[2].split()[:2] == ["none", "120"]


def test_many_schemes_on_a_low_terminal() -> None:
    """If not all schemes fit, the running one is shown and the rest are counted."""
    target = console(height=10)
    view = LiveView(console=target)
    running(view, tuple(f"variant-{number}" for number in range(30)))
    lines = frame(view, target)
    assert len(lines) <= 10
    assert any("> variant-29" in line for line in lines)
    assert any("and 25 more" in line for line in lines)


@pytest.mark.parametrize("width", [20, 40])
def test_a_narrow_terminal_cuts_lines_and_breaks_none(width: int) -> None:
    """In 20 and in 40 columns lines are cut, not wrapped."""
    target = console(width)
    view = LiveView(console=target)
    running(view)
    assert len(frame(view, target)) == 7


def test_nothing_without_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    """In a pipe the view prints and counts nothing; with --verbose it prints one line for each finished cell."""
    for verbose in (False, True):
        with LiveView(verbose, console(terminal=False)) as view:
            running(view, ("none",))
            assert isinstance(view.watch(Deaf(), "none", 0, 1.0), Watched) == verbose  # type: ignore[arg-type]
        found = capsys.readouterr()
        assert found.out == ""
        assert found.err.count("\n") == (1 if verbose else 0)
    assert found.err.startswith("run 2 of 2, none: 0.0 s; so far 120 answered, 1 failed, p50 2")


def test_a_bar_that_nobody_watches_is_not_begun(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a pipe no progress bar is made, since some versions of Rich end even a hidden one with an empty line."""
    monkeypatch.setattr(rich_progress, "Progress", lambda *columns, **options: pytest.fail("a bar was made"))
    with counted("first") as done:
        done(1, 2, "second")
    assert capsys.readouterr() == ("", "")


def in_terminal(directory: Path, *arguments: str, **environment: str) -> tuple[int, str]:
    """Run `simulate` on a pseudo-terminal of 80 x 24; return its exit code and its output."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "collagebench", "simulate", "--scheme", "none", *arguments],
        stdout=slave,
        stderr=slave,
        cwd=directory,
        env={**os.environ, "PYTHONPATH": ROOT, "COLUMNS": "80", "LINES": "24", "TERM": "xterm-256color", **environment},
    )
    os.close(slave)
    parts = []
    try:
        while part := os.read(master, 1 << 16):
            parts.append(part)
    except OSError:  # the other end was closed
        pass
    os.close(master)
    return process.wait(180), b"".join(parts).decode()


@pytest.mark.processes
def test_the_view_is_drawn_and_wiped_on_a_terminal(tmp_path: Path) -> None:
    """A terminal shows the view, then the report, in colour and with the cursor shown again."""
    code, text = in_terminal(tmp_path, "--requests", "2000", "--runs", "4")
    assert code == 0
    assert "answers by source" in text
    assert text.rindex("answers by source") < text.index("VALID")
    assert text.rindex("\x1b[?25h") > text.rindex("\x1b[?25l")
    assert "\x1b[32m" in text or "\x1b[1;32m" in text


@pytest.mark.processes
@pytest.mark.parametrize("environment", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_colours_are_left_out_where_they_are_not_wanted(tmp_path: Path, environment: dict[str, str]) -> None:
    """NO_COLOR removes the colours, and a terminal that cannot move its cursor shows no view."""
    code, text = in_terminal(tmp_path, "--requests", "200", "--runs", "2", **environment)
    assert code == 0
    assert "VALID" in text
    assert "\x1b[32m" not in text
    assert "\x1b[1;32m" not in text
    if "TERM" in environment:
        assert "answers by source" not in text
