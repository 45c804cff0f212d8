"""One experiment in several processes: the records of one process, whatever stops it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from command_line import collagebench, descendants, exit_code, finish, said_by, start, wait_for_requests
from full_disk import small_disk
from real_processes import SOON, Watched

from collagebench.cli.resolve import resolve
from collagebench.engine.plan import make_plan
from collagebench.results.directory import CELLS, HEADER, PARTS, REQUESTS, TASKS
from collagebench.study import in_parallel

pytestmark = pytest.mark.processes

OPTIONS = (
    *("--scheme", "none,collage,hedge", "--workers", 5, "--runs", 3, "--requests", 400),
    *("--utilisation", "0.4", "--compute-time", "0.001"),
)


def tables(run: Path) -> dict[str, bytes]:
    """Return the files of records of a run."""
    return {name: (run / name).read_bytes() for name in (REQUESTS, TASKS, CELLS)}


def facts(run: Path) -> dict[str, Any]:
    """Return the content of a run's `run.json`."""
    found: dict[str, Any] = json.loads((run / HEADER).read_text())
    return found


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a run that one process simulated."""
    run = tmp_path_factory.mktemp("alone") / "r"
    assert exit_code("simulate", *OPTIONS, "--jobs", 1, "--out", run) == 0
    return run


def test_the_records_are_those_of_one_process(alone: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Three processes write the records of one, byte for byte, and `--verbose` names the cells in the same order."""
    code, _, said = said_by(capsys, "simulate", *OPTIONS, "--jobs", 3, "--verbose", "--out", tmp_path / "r")
    assert code == 0
    assert tables(tmp_path / "r") == tables(alone)
    assert facts(tmp_path / "r")["bound"] == facts(alone)["bound"]
    assert not (tmp_path / "r" / PARTS).exists()
    cells = [line.split(",")[:2] for line in (alone / CELLS).read_text().splitlines()[1:]]
    lines = [line for line in said.splitlines() if line.startswith("run ")]
    assert [line.split(":")[0] for line in lines] == [f"run {int(run) + 1} of 3, {scheme}" for scheme, run in cells]
    counted = [int(line.split("so far ")[1].split(" ")[0].replace(",", "")) for line in lines]
    assert sorted(counted) == sorted([380, 2 * 380, 3 * 380] * 3)  # without the warm-up


@pytest.mark.parametrize("sign", [signal.SIGINT, signal.SIGKILL])
def test_what_is_stopped_leaves_nobody_and_is_gone_on_with(alone: Path, tmp_path: Path, sign: signal.Signals) -> None:
    """After Ctrl-C or kill -9 no process is left, and the resumed run has the records of an undisturbed one."""
    process = start("simulate", *OPTIONS, "--jobs", 2, "--out", "r", cwd=tmp_path)
    wait_for_requests(process, tmp_path)
    workers = Watched(descendants(process.pid))
    process.send_signal(sign)
    code, _, err = finish(process)
    assert workers.left_after(SOON) == set()
    if sign == signal.SIGINT:
        assert (code, facts(tmp_path / "r")["status"], (tmp_path / "r" / PARTS).exists()) == (130, "interrupted", False)
        assert err.splitlines()[-1].endswith("is in r: continue with --resume --out r")
    code, _, _ = collagebench("simulate", "--resume", "--jobs", 2, "--out", "r", cwd=tmp_path)
    assert (code, tables(tmp_path / "r"), (tmp_path / "r" / PARTS).exists()) == (0, tables(alone), False)


def test_a_full_disk_is_one_sentence(alone: Path, tmp_path: Path) -> None:
    """If parts do not fit on the disk, the run fails in one sentence, and is resumed once there is room."""
    with small_disk(tmp_path / "disk", 400) as disk:
        code, out, err = collagebench("simulate", *OPTIONS, "--jobs", 2, "--out", disk / "r", cwd=tmp_path)
        assert (code, out, err.count("\n")) == (1, "", 1)
        assert "cannot be written to" in err
        assert "No space left" in err
        assert facts(disk / "r")["status"] == "failed"
        subprocess.run(["mount", "-o", "remount,size=32m", str(disk)], check=True)
        assert collagebench("simulate", "--resume", "--jobs", 2, "--out", disk / "r", cwd=tmp_path)[0] == 0
        assert tables(disk / "r") == tables(alone)


def test_a_scheme_that_fails_is_named_with_its_run(tmp_path: Path) -> None:
    """An error in one cell names it; cells before it are saved, and the command ends as with one process."""
    (tmp_path / "mine.py").write_text(
        "from collagebench.schemes.plain import NoRedundancy\n\n\nclass Mine(NoRedundancy):\n"
        '    """Fails late."""\n\n    def arrived(self, request, now):\n        """Fail at the last request."""\n'
        "        return 1 / (399 - request.id) and super().arrived(request, now)\n"
    )
    options = ("--scheme", "none,mine:Mine", "--workers", 5, "--runs", 3, "--requests", 400)
    codes = []
    for jobs in (1, 2):
        code, out, err = collagebench("simulate", *options, "--jobs", jobs, "--out", f"r{jobs}", cwd=tmp_path)
        assert (out, err.count("\n")) == ("", 1)
        assert "ZeroDivisionError" in err
        codes.append(code)
    assert codes[0] == codes[1]
    assert re.search(r"run \d, Mine: ", err)
    assert facts(tmp_path / "r2")["status"] == "failed"


def test_a_small_experiment_starts_no_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without --jobs, processes are started only for many requests."""
    begun = []
    monkeypatch.setattr(in_parallel, "cores", lambda: 2)
    pool = in_parallel.open_pool
    monkeypatch.setattr(in_parallel, "open_pool", lambda *given, **named: begun.append(given) or pool(*given, **named))
    assert exit_code("simulate", *OPTIONS, "--out", tmp_path / "small") == 0
    assert begun == []
    monkeypatch.setattr(in_parallel, "WORTH", 9 * 400)
    assert exit_code("simulate", *OPTIONS, "--out", tmp_path / "large") == 0
    assert begun == [(2,)]
    assert tables(tmp_path / "small") == tables(tmp_path / "large")


@pytest.mark.parametrize("whole", [True, False])
def test_processes_share_the_images(tmp_path: Path, whole: bool) -> None:
    """A process uses the pixels that the first has stored; if they are not all there, it reads the images itself."""
    config = resolve({"schemes": ("none",), "runs": 1, "requests": 20, "compute_time": 0.001})
    plan = make_plan(config)
    inverted = 255 - plan.images.pixels
    (tmp_path / PARTS).mkdir()
    np.save(tmp_path / PARTS / in_parallel.IMAGES, inverted)
    if not whole:
        os.truncate(tmp_path / PARTS / in_parallel.IMAGES, 1000)
    found, _ = in_parallel._planned(config, tuple(plan.compute.items()), 1, tmp_path)
    assert np.array_equal(found.images.pixels, inverted if whole else plan.images.pixels)
