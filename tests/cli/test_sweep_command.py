"""Sweeps as a user meets them: processes that are interrupted, killed and resumed."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path

import pytest
from real_processes import SOON, Watched
from swept import records
from test_run import collagebench, descendants, finish, start

from collagebench.cli.experiment import say_where

pytestmark = pytest.mark.processes

OPTIONS = (
    *("--utilisation", "0.2,0.4,0.6", "--scheme", "none,collage", "--runs", 4, "--requests", 600),
    *("--compute-time", "0.001", "--workers", 5),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """Return the records of an undisturbed sweep."""
    room = tmp_path_factory.mktemp("whole")
    assert collagebench("simulate", *OPTIONS, "--out", "s", "--format", "json", cwd=room)[0] == 0
    return records(room / "s")


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_a_sweep_that_is_stopped_leaves_nobody_and_is_gone_on_with(
    tmp_path: Path, whole: dict[str, bytes], sign: signal.Signals
) -> None:
    """After Ctrl-C or kill -9 no process is left, and the resumed sweep has the records of an undisturbed one."""
    process = start("simulate", *OPTIONS, "--jobs", 2, "--out", "a s", cwd=tmp_path)
    while not any(path.read_text().count("\n") > 1 for path in tmp_path.glob("a s/*/cells.csv")):
        assert process.poll() is None
        time.sleep(0.02)  # the interval of polling
    workers = Watched(descendants(process.pid))
    process.send_signal(sign)
    out, err = process.communicate(timeout=180)
    assert workers.left_after(SOON) == set()
    if sign == signal.SIGINT:
        assert process.returncode == 130
        assert err == "collagebench: interrupted; what was finished is in a s: continue with --resume --out 'a s'\n"
        assert "INVALID" in out
    assert json.loads((tmp_path / "a s" / "sweep.json").read_text())["status"] != "done"
    code, out, err = collagebench("simulate", "--resume", "--out", "a s", "--verbose", cwd=tmp_path)
    assert code == 0
    assert "\nVALID" in out
    assert "3 of 3, utilisation=0." in err
    assert records(tmp_path / "a s") == whole


def test_the_command_for_a_page_can_be_copied(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal, a directory whose name a shell would split is quoted."""
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    say_where(Path("my runs/a b"))
    assert "a page: collagebench report 'my runs/a b' --format html --out 'a b.html'\n" in capsys.readouterr().err


def test_a_live_sweep_runs_one_cell_after_the_other(tmp_path: Path) -> None:
    """`run` with several values measures one after the other on real workers, and its report has a cell for each."""
    small = ("--scheme", "none", "--runs", 1, "--requests", 30, "--workers", 2)
    process = start(
        "run", *small, "--utilisation", "0.2,0.3", "--format", "json", "--verbose", "--out", "s", cwd=tmp_path
    )
    code, out, err = finish(process)
    report = json.loads(out)
    assert code == (0 if report["valid"] else 4)
    assert [cell["values"] for cell in report["cells"]] == [{"utilisation": 0.2}, {"utilisation": 0.3}]
    assert {cell["engine"] for cell in report["cells"]} == {"live"}
    assert "1 of 2: utilisation=0.2\n" in err
    assert collagebench("report", "s/utilisation=0.2", cwd=tmp_path)[0] in (0, 4)
    assert "begun with run" in collagebench("simulate", "--resume", "--out", "s", cwd=tmp_path)[2]
