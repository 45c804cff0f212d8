"""The program on a remote host, driven by hand: what it stores, what it refuses, and when it ends."""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import json
import os
import select
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from real_processes import ROOT

from collagebench.worker import outpost

pytestmark = pytest.mark.processes

CONTENT = b"a model, as it were"
SHA256 = hashlib.sha256(CONTENT).hexdigest()
LOOK = {"packages": {}, "files": {SHA256: "models"}, "bootstrap": False}


class Driven:
    """An outpost and the test's ends of its streams."""

    def __init__(self, home: Path, *program: str) -> None:
        self.cache = home / "collagebench"
        environment = {**os.environ, "XDG_CACHE_HOME": str(home), "TMPDIR": str(home)}
        pipe = subprocess.PIPE
        command = [sys.executable, *(program or (outpost.__file__,))]
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, env=environment, cwd=home)
        assert self.hear() == {"ready": True}

    def hear(self) -> dict[str, Any]:
        """Return the next answer."""
        assert self.process.stdout is not None
        answer: dict[str, Any] = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, content: bytes = b"", **order: Any) -> dict[str, Any]:
        """Send an order, followed by `content`; return the answer."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(order).encode() + b"\n" + content)
        self.process.stdin.flush()
        return self.hear()

    def keep(self, content: bytes) -> dict[str, Any]:
        """Have it store this content under the model's SHA-256."""
        return self.ask(content, keep={"sha256": SHA256, "bytes": len(content), "kind": "models"})

    def end(self) -> None:
        """Close its input, at which it ends."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        self.process.stdout.close()
        assert self.process.wait(60) == 0

    def missing(self) -> list[str]:
        """Return the files that it lacks of the model."""
        answer = self.ask(look=LOOK)
        missing: list[str] = answer["facts"]["missing"]
        return missing


@pytest.fixture
def driven(tmp_path: Path) -> Iterator[Driven]:
    """Return an outpost with a cache of its own, which ends with its input."""
    driven = Driven(tmp_path)
    yield driven
    driven.end()


def test_a_file_is_kept_once(driven: Driven) -> None:
    """A file is stored for this user alone, and is known by its SHA-256 from then on."""
    assert driven.missing() == [SHA256]
    place = Path(driven.keep(CONTENT)["kept"])
    assert place.read_bytes() == CONTENT
    assert [path.stat().st_mode & 0o777 for path in (place, place.parent, driven.cache)] == [0o600, 0o700, 0o700]
    assert driven.missing() == []


def test_a_file_that_was_changed_is_not_there(driven: Driven) -> None:
    """A stored file that was changed counts as missing."""
    place = Path(driven.keep(CONTENT)["kept"])
    place.write_bytes(CONTENT + b"!")
    assert driven.missing() == [SHA256]


def test_a_file_that_is_damaged_on_its_way_is_not_kept(driven: Driven) -> None:
    """A file damaged in transfer is refused, nothing of it is left, and the next order is understood."""
    answer = driven.keep(CONTENT[::-1])
    assert answer == {"refused": f"what was to be kept as {SHA256}.onnx was damaged in transfer"}
    assert [path for path in driven.cache.rglob("*") if path.is_file()] == []
    assert driven.missing() == [SHA256]


def test_a_cache_that_others_can_write_to_is_not_used(driven: Driven) -> None:
    """A cache that others can write to is refused, because they could put another program there."""
    driven.cache.mkdir()
    driven.cache.chmod(0o777)
    assert driven.keep(CONTENT)["refused"].startswith(f"others can write to {driven.cache}, so nothing is stored there")
    assert list(driven.cache.iterdir()) == []


@pytest.mark.parametrize("sha256", ["../../../.ssh/authorized_keys", "a" * 63, "A" * 64])
def test_a_name_that_is_no_sha256_is_refused(driven: Driven, sha256: str) -> None:
    """A name that is no SHA-256 is refused, so that no path is made from what a client sends."""
    answer = driven.ask(look={"packages": {}, "files": {sha256: "models"}, "bootstrap": False})
    assert answer == {"refused": f"{sha256!r} is not a SHA-256"}


BUSY = """
import time
from collagebench.worker import outpost
outpost.LEASE = 1.0
facts = outpost.Outpost._facts
def busy(self):
    outpost.Outpost._facts = facts
    time.sleep(1.5)
    return facts(self)
outpost.Outpost._facts = busy
outpost.main()
"""


def test_files_of_the_home_directory_are_no_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An environment can be made even if the home directory has files named like Python's modules."""
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", ROOT)
    for name in ("venv", "pip"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('this is mine')\n")
    patient = "from collagebench.worker import outpost; outpost.LEASE = 600.0; outpost.main()"  # no heartbeats here
    driven = Driven(tmp_path, "-c", patient)
    driven.ask(look={"packages": {"pip": "1"}, "files": {}, "bootstrap": True})  # which every new environment has
    made = driven.ask(bootstrap=True)
    assert "facts" in made, made
    assert made["facts"]["lacking"] == []
    driven.end()


def test_a_client_that_spoke_while_the_outpost_was_busy_is_not_gone(tmp_path: Path) -> None:
    """Heartbeats that arrive during a look longer than the lease count, so the next look is answered as well."""
    driven = Driven(tmp_path, "-c", BUSY)
    answered = threading.Event()

    def beat() -> None:
        assert driven.process.stdin is not None
        while not answered.wait(0.2):
            driven.process.stdin.write(b'{"beat": true}\n')
            driven.process.stdin.flush()

    beating = threading.Thread(target=beat)
    beating.start()
    try:
        assert driven.missing() == [SHA256]
        assert driven.missing() == [SHA256]
    finally:
        answered.set()
        beating.join()
        driven.end()


def test_a_directory_that_is_still_written_to_goes_too(tmp_path: Path) -> None:
    """The keeper retries to remove a directory while other processes, like ssh with its sockets, still write to it."""
    directory = tmp_path / "sockets"
    directory.mkdir()
    pipe = subprocess.PIPE
    keeper = subprocess.Popen(["sh", "-c", outpost.KEEPER, "sh", str(directory)], stdin=pipe, stderr=pipe)
    assert keeper.stdin is not None
    assert keeper.stderr is not None
    keeper.stdin.close()
    with contextlib.suppress(FileNotFoundError):  # once it is gone
        for number in itertools.count():
            (directory / str(number)).touch()
            if select.select([keeper.stderr], [], [], 0)[0]:
                break  # it could not be removed, as it was not empty
    assert keeper.wait(30) == 0
    keeper.stderr.close()
    assert not directory.exists()
