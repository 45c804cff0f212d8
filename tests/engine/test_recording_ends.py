"""Recordings that end early, or whose profile cannot be written: the samples seen are kept."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from command_line import start
from full_disk import files_limited_to
from natural_processes import nothing_left, until
from real_processes import worker_pids

from collagebench.engine import recording, watch
from collagebench.engine.recording import Recording, record
from collagebench.engine.recording_files import kept_meanwhile
from collagebench.engine.watch import Machine, Seen
from collagebench.errors import FleetError, OutputError, UsageError
from collagebench.fleet.where import Where
from collagebench.stragglers.logs import read_logs
from collagebench.stragglers.recorded import read

pytestmark = pytest.mark.processes
ENOUGH = 100
"""The number of services after which a test intervenes."""


def kill_workers() -> None:
    """Kill the workers that this process's forkserver started."""
    for worker in worker_pids():
        os.kill(worker, signal.SIGKILL)


def watched(out: Path, then: Callable[[], Any], after: int = ENOUGH, seconds: float = 600.0) -> dict[str, Any]:
    """Record two workers, call `then` after `after` services, and return the profile."""
    happened = []

    def report(done: int, total: int, line: str) -> None:
        if done >= after and not happened:
            happened.append(done)
            then()

    asked = Recording(workers=2, where=Where(), rate=100.0, duration=seconds)
    return record(asked, out, True, report)


def test_all_workers_lost(tmp_path: Path) -> None:
    """If all workers are lost, the profile has the services seen, is incomplete, and says why each was lost."""
    profile = watched(tmp_path / "r.json", kill_workers)
    assert profile["complete"] is False
    assert profile["fleet"]["count"] >= ENOUGH
    assert all(machine["lost"] for machine in profile["machines"])
    assert read(tmp_path / "r.json")["samples"] == "r.csv.gz"


def test_all_workers_lost_before_enough_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If all workers are lost before enough was seen, a FleetError says why, and no file is left."""
    monkeypatch.setattr(recording, "LEAST", 100_000)
    with pytest.raises(FleetError, match="every worker was lost: "):
        watched(tmp_path / "r.json", kill_workers)
    assert not list(tmp_path.iterdir())


def test_the_wait_for_a_hung_worker_is_no_part_of_the_watch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile covers the seconds asked for, although the answers of a stopped worker are waited for in vain."""
    monkeypatch.setattr(watch, "DEADLINE", 1.5)
    profile = watched(tmp_path / "r.json", lambda: os.kill(worker_pids()[-1], signal.SIGSTOP), seconds=2.0)
    assert profile["seconds"] == 2.0
    assert sum(machine["failed"] for machine in profile["machines"]) > 0


def test_a_terminal_that_hangs_up_ends_the_watch(tmp_path: Path) -> None:
    """SIGHUP ends a recording with an incomplete profile, as Ctrl-C does."""
    before = signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
    try:
        profile = watched(tmp_path / "r.json", lambda: os.kill(os.getpid(), signal.SIGHUP))
    finally:
        signal.signal(signal.SIGHUP, before)
    assert profile["complete"] is False


def test_a_profile_that_finds_no_room_is_kept_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile that cannot be written to --out is written to the temporary directory, and the error names it."""
    (tmp_path / "t").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "t"))

    def fill() -> None:
        shutil.rmtree(tmp_path / "gone")
        (tmp_path / "gone").write_text("where the directory was to be")

    with pytest.raises(OutputError, match=r"r\.json|r\.csv\.gz") as error:
        watched(tmp_path / "gone" / "r.json", fill, seconds=2.0)
    (spare,) = (tmp_path / "t").glob("*-r.json")
    assert str(error.value).endswith(f"; the profile is in {spare}")
    assert read(spare)["complete"] is True
    assert read(spare)["fleet"]["count"] >= recording.LEAST


def test_what_a_watch_saw_that_is_killed_is_on_the_disk(tmp_path: Path, temporary: Path) -> None:
    """A killed recording leaves samples that can be replayed and nothing else, and its name is refused afterwards.

    A recording that ends leaves no such file.
    """
    place = tmp_path / "r.partial.csv"
    process = start("record", "--workers", 2, "--duration", 600, "--rate", 60, "--out", "r.json", cwd=tmp_path)
    until(lambda: place.exists() and place.read_text().count("\n") > ENOUGH, "a hundred services are in the file")
    process.kill()
    process.communicate()
    nothing_left(temporary)
    assert [len(log) > ENOUGH / 4 for log in read_logs(place)] == [True, True]
    with pytest.raises(UsageError, match=r"r\.partial\.csv exists: .*; choose another --out"):
        watched(tmp_path / "r.json", lambda: None)
    watched(tmp_path / "s.json", lambda: None, seconds=1.0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["r.partial.csv", "s.csv.gz", "s.json"]


def test_a_profile_that_cannot_be_made_leaves_what_was_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the fits of the profile fail, the samples stay in a file."""

    def fail(values: Any) -> None:
        raise RuntimeError

    monkeypatch.setattr(recording, "fit_all", fail)
    with pytest.raises(RuntimeError):
        watched(tmp_path / "r.json", lambda: None, seconds=1.0)
    assert sum(map(len, read_logs(tmp_path / "r.partial.csv"))) >= ENOUGH


def test_a_full_disk_leaves_no_half_line(tmp_path: Path) -> None:
    """Samples that do not fit are left out as whole lines, so that a later one is not joined to half of an earlier."""
    machines = [Machine()]
    with contextlib.suppress(KeyError), kept_meanwhile(tmp_path / "r.json", machines, 1) as keep:
        with files_limited_to(200):
            for number in range(1, 9):
                machines[0].seen.append(Seen(number, 0.0, 0.25, 0.5))
                keep()
        machines[0].seen.append(Seen(9.0, 0.0, 0.75, 0.8))
        keep()
        raise KeyError("the recording ends early")
    [log] = read_logs(tmp_path / "r.partial.csv")
    assert 2 < len(log) < 9
    assert {*log[:-1]} == {0.25}
    assert log[-1] == 0.75


def test_no_room_at_the_start_leaves_nothing_in_the_way() -> None:
    """A disk that is full at the start raises an OutputError, and leaves no file that would block the same --out."""
    if os.geteuid() != 0:
        pytest.skip("a file system without room needs the right to mount it")
    with tempfile.TemporaryDirectory() as place:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "none", place], check=False).returncode:
            pytest.skip("nothing can be mounted here")
        try:
            fill = Path(place) / "fill"
            with contextlib.suppress(OSError):
                fill.write_bytes(bytes(1 << 20))
            out = Path(place) / "fleet.json"
            with pytest.raises(OutputError, match=r"fleet\.partial\.csv cannot be written \(No space left on device\)"):
                watched(out, lambda: None)
            assert [path.name for path in Path(place).iterdir()] == ["fill"]
        finally:
            subprocess.run(["umount", place], check=True)
