"""Our program on a remote host: it reports facts, caches files, creates an environment, and runs a forkserver.

It is sent through the standard input of the Python interpreter that ssh started there. So it is never on disk, and it
needs only the standard library. First it writes {"ready": true}; bytes sent before that could have been read as part of
the program. Then it reads JSON lines, and answers each with one line:

    {"look": {"packages": {"numpy": "1.24"}, "files": {SHA256: "models"}, "bootstrap": false}}    {"facts": {…}}
    {"bootstrap": true}                                       {"facts": {…}} of the new environment
    {"keep": {"sha256": …, "bytes": 9, "kind": "models"}} followed by that many bytes             {"kept": PATH}
    {"run": {"archive": PATH, "arguments": […]}}              all lines of the forkserver, until it ends
    {"beat": true}                                            no answer: a sign of life of the client

or with {"refused": SENTENCE}. While the forkserver runs, all lines except beats are passed on to it, and these lines
are added to its own:

    {"event": "said", "text": …}                              its standard error
    {"event": "ended", "status": "exit status 1"}

The client counts as gone when standard input ends, or when it has been silent for `LEASE` seconds, because the input
does not end if the network link is cut. Then, and at any other end, everything that runs is stopped, and temporary
files are removed. Only the cache stays: files named by their SHA-256, and environments.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.metadata
import json
import os
import platform
import select
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NoReturn

LEASE = 10.0
"""Seconds of silence after which the client counts as gone."""
GRACE = 3.0
"""Seconds for a forkserver to end by itself."""
ABANDONED = 3600.0
"""Seconds after which an unfinished file in the cache counts as abandoned."""
MOST_PENDING = 8 << 20
"""Most bytes waiting for a slow link; beyond that, standard error is dropped."""
KEEPER = 'cat >/dev/null; tries=0; until rm -rf -- "$1" || [ $((tries += 1)) -eq 30 ]; do sleep 1; done'
"""A shell script that removes a directory once no process holds the other end of its standard input any more.

Processes that are about to end may still write to the directory while it is removed; the removal is then repeated.
"""
ENDINGS = {"models": ".onnx", "workers": ".pyz"}
"""The kinds of cached files, and the endings of their names."""


class Gone(Exception):
    """The client is gone."""


class Refused(Exception):
    """An order cannot be carried out; the message is a sentence, which the client prefixes with the host."""


class Client:
    """The connection to the client, over the standard streams."""

    def __init__(self) -> None:
        self._data = b""
        self._until = time.monotonic() + LEASE
        self._pending = bytearray()

    def turn(self, others: Sequence[int] = (), seconds: float = LEASE) -> list[int]:
        """Wait for events, at most `seconds`; read from the client, and return which of `others` can be read.

        Raises:
            Gone: the client is gone.
        """
        left = self._until - time.monotonic()
        writing = [1] if self._pending else []
        ready, free, _ = select.select([0, *others], writing, [], max(0.0, min(left, seconds)))
        if left <= 0 and 0 not in ready:  # the client may have written while this process was busy
            raise Gone
        if free:
            self._flush()
        if 0 in ready:
            data = os.read(0, 1 << 16)
            if not data:
                raise Gone
            self._until = time.monotonic() + LEASE
            self._data += data
        return [other for other in ready if other != 0]

    def lines(self) -> list[bytes]:
        """Return the complete lines that have arrived, without beats."""
        *lines, self._data = self._data.split(b"\n")
        return [line + b"\n" for line in lines if "beat" not in json.loads(line)]

    def order(self) -> dict[str, Any]:
        """Wait for the next order and return it."""
        while True:
            line, end, rest = self._data.partition(b"\n")
            if not end:
                self.turn()
                continue
            self._data = rest
            order: dict[str, Any] = json.loads(line)
            if "beat" not in order:
                return order

    def content(self, size: int) -> Iterator[bytes]:
        """Yield the next `size` bytes, in pieces."""
        while size:
            if not self._data:
                self.turn()
            piece, self._data = self._data[:size], self._data[size:]
            size -= len(piece)
            yield piece

    def say(self, **event: Any) -> None:
        """Send an answer or event."""
        self.pass_on(json.dumps(event).encode() + b"\n")

    def pass_on(self, data: bytes) -> None:
        """Send bytes to the client; what the link does not take at once waits."""
        self._pending += data
        self._flush()

    def said(self, data: bytes) -> None:
        """Pass on what was written to standard error, unless the link is far behind."""
        if data and len(self._pending) < MOST_PENDING:
            self.say(event="said", text=data.decode(errors="replace"))

    def finish(self) -> None:
        """Return once everything is sent."""
        while self._pending:
            self.turn()

    def _flush(self) -> None:
        try:
            while self._pending:
                del self._pending[: os.write(1, self._pending)]
        except BlockingIOError:
            pass
        except OSError:
            raise Gone from None


class Outpost:
    """Carries out the orders of one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._python = sys.executable
        self._site: list[str] | None = None
        """Directories in which to look for packages; None for those of this interpreter."""
        self._packages: dict[str, str] = {}
        """The needed packages, and their minimum versions."""
        self._files: dict[str, str] = {}
        self._lifeline: int | None = None
        """While this descriptor is open in any process, the keeper does not remove the directory."""
        self.directory: str | None = None
        """The temporary directory, removed at the end."""

    def serve(self) -> None:
        """Carry out orders until a forkserver has ended; raise Gone if the client is gone."""
        self._client.say(ready=True)
        while True:
            order = self._client.order()
            try:
                if "look" in order:
                    self._look(**order["look"])
                elif "bootstrap" in order:
                    self._bootstrap()
                elif "keep" in order:
                    self._client.say(kept=str(self._keep(**order["keep"])))
                else:
                    self._mind(**order["run"])
                    return
            except Refused as refusal:
                self._client.say(refused=str(refusal))

    def _look(self, packages: dict[str, str], files: dict[str, str], bootstrap: bool) -> None:
        now = time.time()
        self._packages, self._files = packages, files
        if bootstrap and self._lacking() and (self._environment() / "complete").exists():
            self._move_into(self._environment())
        self._client.say(facts={"time": now, **self._facts()})

    def _facts(self) -> dict[str, Any]:
        cache, temporary = cache_directory(), tempfile.gettempdir()
        return {
            "python": platform.python_version(),
            "executable": self._python,
            "hostname": socket.gethostname(),
            "system": platform.system(),
            "machine": platform.machine(),
            "cpu": _cpu(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
            "load": os.getloadavg()[0],
            "packages": {name: self._version(name) for name in self._packages},
            "lacking": self._lacking(),
            "cache": str(cache),
            "cache_free_bytes": _free(cache),
            "cache_problem": _problem(cache),
            "temporary": temporary,
            "temporary_free_bytes": _free(Path(temporary)),
            "missing": [sha256 for sha256, kind in self._files.items() if not _is_whole(_place(sha256, kind), sha256)],
        }

    def _version(self, package: str) -> str | None:
        """Return the version of a package; None if it is not installed."""
        if self._site is None:
            try:
                return importlib.metadata.version(package)
            except importlib.metadata.PackageNotFoundError:
                return None
        found = next(iter(importlib.metadata.distributions(name=package, path=self._site)), None)
        return found.version if found else None

    def _lacking(self) -> list[str]:
        """Return the requirements that are not met."""
        return [
            f"{name}>={least}" for name, least in self._packages.items() if _older(self._version(name) or "", least)
        ]

    def _environment(self) -> Path:
        """Return the path of the environment for these requirements and this interpreter; it may not exist yet."""
        basis = [sorted(self._packages.items()), sys.version, sys.executable, platform.machine()]
        return cache_directory() / "environments" / hashlib.sha256(json.dumps(basis).encode()).hexdigest()[:16]

    def _move_into(self, place: Path) -> None:
        self._python = str(place / "bin" / "python")
        self._site = [str(path) for path in place.glob("lib*/python*/site-packages")]

    def _bootstrap(self) -> None:
        """Create the environment, or wait for another outpost that is creating it."""
        place = self._environment()
        _private(place.parent)
        with open(place.with_suffix(".lock"), "a") as lock:
            while True:
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                self._client.turn(seconds=0.5)
            try:
                if not (place / "complete").exists():
                    self._make(place)
                    (place / "complete").touch()
            except BaseException:
                shutil.rmtree(place, ignore_errors=True)
                raise
        self._move_into(place)
        self._client.say(facts=self._facts())

    def _make(self, place: Path) -> None:
        requirements = [f"{name}>={least}" for name, least in self._packages.items()]
        python = str(place / "bin" / "python")
        pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
        ways = [[[sys.executable, "-m", "venv", str(place)], [python, *pip]]]
        uv = shutil.which("uv") or next(iter(Path.home().glob(".local/bin/uv")), None)
        if uv is not None:
            make = [str(uv), "venv", "--quiet", "--python", sys.executable, str(place)]
            ways.insert(0, [make, [str(uv), "pip", "install", "--quiet", "--python", python, *requirements]])
        failure = None
        for way in ways:
            shutil.rmtree(place, ignore_errors=True)
            failure = next(filter(None, map(self._carry_out, way)), None)
            if failure is None:
                return
        raise Refused(f"no environment can be created there: {failure}")

    def _carry_out(self, command: list[str]) -> str | None:
        """Run a command; return a sentence if it failed, else None. It is killed if the client goes."""
        environment = {**os.environ, "TMPDIR": self._private_directory()}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=os.path.dirname(os.__file__),  # so that no user's file can be imported instead of a standard module
            start_new_session=True,
        ) as process:
            assert process.stdout is not None
            output, said = process.stdout.fileno(), b""
            try:
                while True:
                    if self._client.turn([output], 1.0):
                        data = os.read(output, 1 << 16)
                        if not data:
                            break
                        said = (said + data)[-8192:]
            except BaseException:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                raise
        self._client.said(said)
        if process.returncode == 0:
            return None
        name = " ".join(Path(word).name for word in command[:3])
        if b"ensurepip" in said or b"No module named pip" in said:
            return f"`{name}` failed: that Python has no pip; install python3-venv there (Debian, Ubuntu), or uv"
        lines = [line.strip() for line in said.decode(errors="replace").splitlines() if line.strip()]
        errors = [line for line in lines if "error" in line.lower()] or lines[-1:] or ["it said nothing"]
        return f"`{name}` failed: {errors[-1]}"

    def _keep(self, sha256: str, bytes: int, kind: str) -> Path:
        """Put a file into the cache atomically, so that others may do the same at the same time."""
        place = _place(sha256, kind)
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        digest = hashlib.sha256()
        pieces = self._client.content(bytes)
        try:
            _private(place.parent)
            _sweep(place.parent)
            with open(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
                for piece in pieces:
                    digest.update(piece)
                    out.write(piece)
            if digest.hexdigest() != sha256:
                raise Refused(f"what was to be kept as {place.name} was damaged in transfer")
            os.replace(part, place)
        except (OSError, Refused) as error:
            for _ in pieces:  # to reach the next order
                pass
            if isinstance(error, OSError):
                raise Refused(f"{bytes:,} bytes cannot be kept in {place.parent} ({error.strerror})") from None
            raise
        finally:
            with contextlib.suppress(OSError):
                os.unlink(part)
        return place

    def _private_directory(self) -> str:
        """Return a directory that only this user can enter and that is removed at the end."""
        if self.directory is None:
            try:
                self.directory = tempfile.mkdtemp(prefix="collagebench-")
                alive, self._lifeline = os.pipe()
                with open(os.devnull, "r+b") as nothing:
                    command = ["sh", "-c", KEEPER, "sh", self.directory]
                    subprocess.Popen(command, stdin=alive, stdout=nothing, stderr=nothing, start_new_session=True)
                os.close(alive)
            except OSError as error:
                raise Refused(
                    f"no directory for the workers' sockets can be created there ({error.strerror or error}); free "
                    "some space, or set TMPDIR to another place"
                ) from None
        return self.directory

    def _mind(self, archive: str, arguments: list[str]) -> None:
        """Start the forkserver and relay between it and the client until it ends."""
        directory = self._private_directory()
        assert self._lifeline is not None
        client = self._client
        command = [self._python, archive, *arguments, "--directory", directory]
        pipe = subprocess.PIPE
        try:
            process = subprocess.Popen(
                command,
                stdin=pipe,
                stdout=pipe,
                stderr=pipe,
                bufsize=0,
                env={**os.environ, "TMPDIR": directory},
                start_new_session=True,
                pass_fds=(self._lifeline,),
            )
        except OSError as error:
            raise Refused(f"the forkserver cannot be started there ({error.strerror})") from None
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        orders, output, errors = process.stdin, process.stdout.fileno(), process.stderr.fileno()
        sources = [output, errors]
        try:
            while output in sources:
                ready = client.turn(sources)
                with contextlib.suppress(BrokenPipeError):
                    for line in client.lines():
                        orders.write(line)
                for source in ready:
                    data = os.read(source, 1 << 16)
                    if not data:
                        sources.remove(source)
                    elif source == output:
                        client.pass_on(data)
                    else:
                        client.said(data)
            code = process.wait(GRACE)
            if errors in sources and select.select([errors], [], [], 0)[0]:
                client.said(os.read(errors, 1 << 16))
            client.say(event="ended", status=f"killed by signal {-code}" if code < 0 else f"exit status {code}")
            client.finish()
        finally:
            orders.close()
            try:
                process.wait(GRACE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def cache_directory() -> Path:
    """Return the cache directory, according to the XDG Base Directory Specification."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "collagebench"


def _place(sha256: str, kind: str) -> Path:
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise Refused(f"{sha256!r} is not a SHA-256")
    return cache_directory() / kind / f"{sha256}{ENDINGS[kind]}"


def _private(directory: Path) -> None:
    """Make a directory of the cache that only this user can enter, or check that others cannot write to it.

    Raises:
        Refused: others can change its content.
        OSError: it cannot be made.
    """
    base = cache_directory()
    for path in (base, directory):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir(0o700, exist_ok=True)
        found = path.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
            raise Refused(
                f"others can write to {path}, so nothing is stored there: chmod 700 it, or set XDG_CACHE_HOME"
            )


def _problem(cache: Path) -> str | None:
    """Return why the cache cannot be written; None if it can."""
    place = next(path for path in (cache, *cache.parents) if path.exists())
    return None if os.access(place, os.W_OK | os.X_OK) and place.is_dir() else f"{place} cannot be written to"


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _sweep(directory: Path) -> None:
    """Remove unfinished files of outposts that were killed."""
    for path in directory.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def _older(version: str, least: str) -> bool:
    """Whether a version is below another; only the leading dotted numbers count."""
    return _numbers(version) < _numbers(least)


def _numbers(version: str) -> list[int]:
    found = []
    for part in version.split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return found


def _free(path: Path) -> int:
    """Return the free bytes, for this user, on the disk where a path is or would be."""
    there = next(place for place in (path, *path.parents) if place.exists())
    return shutil.disk_usage(there).free


def _cpu() -> str | None:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or None


def _leave(sign: int, frame: object) -> NoReturn:
    sys.exit(128 + sign)


def main() -> None:
    """Serve the client on standard input and output until it is done or gone."""
    for sign in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sign, _leave)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.set_blocking(1, False)
    outpost = Outpost(Client())
    try:
        outpost.serve()
    except Gone:
        pass
    finally:
        if outpost.directory is not None:
            shutil.rmtree(outpost.directory, ignore_errors=True)


if __name__ == "__main__":
    main()
