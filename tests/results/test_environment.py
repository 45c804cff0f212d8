"""What a run records about its machine, and what it keeps private."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from collagebench.results import environment
from collagebench.results.environment import RECORDING, capture, processor_time, sources

ROOT = Path(__file__).parents[2]


def test_the_machine_is_described_in_plain_json():
    """The description has cores, memory, versions and time, and can be written as JSON."""
    found = json.loads(json.dumps(capture(), allow_nan=False))
    assert found["logical_cores"] == os.cpu_count()
    assert found["memory_bytes"] > 0
    assert found["packages"]["numpy"]
    assert found["captured_utc"].count(":") == 2
    assert "+" not in found["captured_utc"]


def test_the_time_that_a_host_takes_is_part_of_all(tmp_path, monkeypatch):
    """The total of /proc/stat includes stolen time, and guests' time once; idle time includes waits for disks.

    Without the file all are 0.
    """
    total, idle, stolen = processor_time()
    assert 0 <= stolen + idle <= total
    monkeypatch.setattr(environment, "_lines", lambda path: ["cpu  1 2 3 4 5 6 7 8 9 10", "cpu0 1 1 1 1 1 1 1 1 1 1"])
    assert processor_time() == (36.0, 9.0, 8.0)
    monkeypatch.setattr(environment, "_lines", lambda path: [])
    assert processor_time() == (0.0, 0.0, 0.0)


def test_the_code_that_records_depend_on_has_a_digest(tmp_path, monkeypatch):
    """A change of a scheme changes the digest, one of a report does not; a package without sources has none."""
    package = tmp_path / "collagebench"
    monkeypatch.setattr(environment, "__file__", str(package / "results" / "environment.py"))
    assert sources.__wrapped__(()) is None
    for room in ("schemes", "report"):
        (package / room).mkdir(parents=True)
        (package / room / "a.py").write_text("1\n")
    first = sources.__wrapped__(())
    (package / "report" / "a.py").write_text("2\n")
    assert sources.__wrapped__(()) == first
    (package / "schemes" / "a.py").write_text("2\n")
    assert sources.__wrapped__(()) != first
    assert capture()["sources"] == sources(())


def test_nothing_private_is_told():
    """The description has neither the host's name, nor the home directory, nor the place of the package."""
    text = json.dumps(capture())
    assert os.uname().nodename not in {str(value) for value in capture().values()}
    assert str(Path.home()) + "/" not in text
    assert str(Path(environment.__file__).parent) not in text


def test_git_is_that_of_the_source_checkout(tmp_path, monkeypatch):
    """A checkout gives its revision and whether it was changed; a package inside another repository gives nothing."""
    package = tmp_path / "collagebench"
    (package / "results").mkdir(parents=True)
    (package / "__init__.py").write_text("")
    monkeypatch.setattr(environment, "__file__", str(package / "results" / "environment.py"))
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b"]
    subprocess.run([*git, "init", "-q"], check=True)
    (tmp_path / "other").write_text("")
    subprocess.run([*git, "add", "other"], check=True)
    subprocess.run([*git, "commit", "-qm", "other"], check=True)
    assert capture()["git"] is None
    subprocess.run([*git, "add", "collagebench"], check=True)
    subprocess.run([*git, "commit", "-qm", "package"], check=True)
    assert capture()["git"]["dirty"] is False
    assert len(capture()["git"]["revision"]) == 40
    (package / "__init__.py").write_text("changed = True\n")
    assert capture()["git"]["dirty"] is True


@pytest.mark.parametrize(
    ("files", "cores"),
    [
        ({"/proc/self/cgroup": "0::/box", "/sys/fs/cgroup/box/cpu.max": "150000 100000"}, 1.5),
        ({"/proc/self/cgroup": "0::/box", "/sys/fs/cgroup/box/cpu.max": "max 100000"}, None),
        ({"/proc/self/cgroup": "0::/", "/sys/fs/cgroup/cpu.max": "50000 100000"}, 0.5),
        (
            {
                "/proc/self/cgroup": "0::/pod/box",
                "/sys/fs/cgroup/pod/box/cpu.max": "300000 100000",
                "/sys/fs/cgroup/pod/cpu.max": "200000 100000",
            },
            2.0,
        ),
        (
            {
                "/proc/self/cgroup": "5:memory:/\n4:cpu,cpuacct:/box\n0::/",
                "/sys/fs/cgroup/cpu/box/cpu.cfs_quota_us": "250000",
                "/sys/fs/cgroup/cpu/box/cpu.cfs_period_us": "100000",
                "/sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
            },
            2.5,
        ),
        ({}, None),
    ],
    ids=["version 2", "no limit", "at the top", "in another", "version 1", "no groups"],
)
def test_cpu_quota_of_a_container(monkeypatch: pytest.MonkeyPatch, files: dict[str, str], cores: float | None) -> None:
    """A container may use as many cores as its cgroup's quota over its period, or an enclosing cgroup's if less."""
    there = {path: text.splitlines() for path, text in files.items()}
    monkeypatch.setattr(environment, "_lines", lambda path: there.get(path.replace("//", "/"), []))
    assert capture()["cpu_quota_cores"] == cores


@pytest.mark.parametrize("name", ["model name", "Model", "Processor"])
def test_a_processor_has_the_name_that_the_system_gives(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    """The processor's name is read from /proc/cpuinfo under any of its three keys, or else from Python's `platform`."""
    lines = ["processor\t: 0", "no colon", f"{name}\t: Fast One: 3 GHz ", f"{name}\t: another"]
    monkeypatch.setattr(environment, "_lines", lambda path: lines if path == "/proc/cpuinfo" else [])
    assert capture()["cpu"] == "Fast One: 3 GHz"
    monkeypatch.setattr(environment, "_lines", lambda path: [])
    assert capture()["cpu"] == (platform.processor() or platform.machine())


def test_memory_is_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is read from /proc/meminfo in bytes, or else from sysconf."""
    lines = ["MemFree: 5 kB", "MemTotal:   8000 kB"]
    monkeypatch.setattr(environment, "_lines", lambda path: lines if path == "/proc/meminfo" else [])
    assert capture()["memory_bytes"] == 8_192_000
    monkeypatch.setattr(environment, "_lines", lambda path: [])
    assert capture()["memory_bytes"] == os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def test_ticks_of_fewer_kinds_than_there_are_say_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A line of /proc/stat with fewer than eight kinds of ticks is ignored, as the eighth is stolen time."""
    monkeypatch.setattr(environment, "_lines", lambda path: ["cpu  1 2 3 4 5 6 7"])
    assert processor_time() == (0.0, 0.0, 0.0)
    monkeypatch.setattr(environment, "_lines", lambda path: ["cpu  1 2 3 4 5 6 7 8"])
    assert processor_time() == (36.0, 9.0, 8.0)


@pytest.mark.processes
def test_the_digest_is_of_all_code_that_an_experiment_loads() -> None:
    """The digest covers all code that an engine, a fleet or a worker imports, except helpers that decide nothing."""
    script = (
        "import sys, collagebench.engine.experiment, collagebench.fleet.opening, collagebench.worker.inference\n"
        "print(*{name.split('.')[1] for name in sys.modules if name.startswith('collagebench.')})"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, check=True)
    decides_nothing = {"addresses", "errors", "hosts", "interrupts", "kinds", "models", "ordinary", "paths", "whole"}
    assert set(done.stdout.split()) - decides_nothing == {name.removesuffix(".py") for name in RECORDING}
