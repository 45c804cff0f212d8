"""Our one program on a remote host: it looks around, keeps files, makes an environment, and minds a forkserver.

It is sent through the standard input of the interpreter that ssh has started there, so it is on no disk, and it needs
nothing but Python's own library. First it says {"ready": true}; what came before that might have gone to whoever read
the program itself. Then JSON lines come in, each answered by one line:

    {"look": {"packages": {"numpy": "1.24"}, "files": {SHA256: "models"}, "bootstrap": false}}    {"facts": {…}}
    {"bootstrap": true}                                       {"facts": {…}}, of the environment that it has made
    {"keep": {"sha256": …, "bytes": 9, "kind": "models"}} and then so many bytes                  {"kept": PATH}
    {"run": {"archive": PATH, "arguments": […]}}              whatever the forkserver says, to its end
    {"beat": true}                                            no answer: the client is still there

or by {"refused": SENTENCE}. While the forkserver runs, all lines but beats are passed on to it, and beside its own come

    {"event": "said", "text": …}                              on its standard error
    {"event": "ended", "status": "exit status 1"}

The client is gone when this input ends, or when it has been silent for `LEASE` seconds: where the link is cut, the
input does not end. Then what was going on is taken down and what it had on the disk is removed, and so it is at every
other end. What stays is the cache: files known by their SHA-256, and environments.
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
"""Seconds without a word from the client after which it counts as gone."""
GRACE = 3.0
"""Seconds that a forkserver gets to end by itself."""
ABANDONED = 3600.0
"""Seconds after which nobody can be at work any more on what has neither been finished nor removed."""
MOST_PENDING = 8 << 20
"""Bytes that may wait for a slow link before what is written to standard error is left out."""
KEEPER = 'cat >/dev/null; tries=0; until rm -rf -- "$1" || [ $((tries += 1)) -eq 30 ]; do sleep 1; done'
"""For a shell that removes a directory when everybody is gone who held the other end of its input.

Others who are about to end may still add to it, so that it is not empty when it should go: then it is tried again.
"""
ENDINGS = {"models": ".onnx", "workers": ".pyz"}
"""The kinds of files that are kept, and how their names end."""


class Gone(Exception):
    """The client is."""


class Refused(Exception):
    """What was ordered cannot be done: a sentence, which the client prefixes with the host."""


class Client:
    """The client's end of the standard streams."""

    def __init__(self) -> None:
        self._data = b""
        self._until = time.monotonic() + LEASE
        self._pending = bytearray()

    def turn(self, others: Sequence[int] = (), seconds: float = LEASE) -> list[int]:
        """Wait for one thing or more, `seconds` at most, hear the client, and return which others can be read.

        Raises:
            Gone: it is.
        """
        left = self._until - time.monotonic()
        writing = [1] if self._pending else []
        ready, free, _ = select.select([0, *others], writing, [], max(0.0, min(left, seconds)))
        if left <= 0 and 0 not in ready:  # what it said while we were busy is there to be read
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
        """Return the lines that are there, but for beats."""
        *lines, self._data = self._data.split(b"\n")
        return [line + b"\n" for line in lines if "beat" not in json.loads(line)]

    def order(self) -> dict[str, Any]:
        """Return the next order."""
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
        """Answer; what the link does not take at once waits."""
        self.pass_on(json.dumps(event).encode() + b"\n")

    def pass_on(self, data: bytes) -> None:
        """Say what somebody else has said."""
        self._pending += data
        self._flush()

    def said(self, data: bytes) -> None:
        """Pass on what was written to standard error, unless the link is far behind."""
        if data and len(self._pending) < MOST_PENDING:
            self.say(event="said", text=data.decode(errors="replace"))

    def finish(self) -> None:
        """Return once everything is said."""
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
    """What is done for one client."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._python = sys.executable
        self._site: list[str] | None = None
        """Where packages are looked for; None: where this interpreter does."""
        self._packages: dict[str, str] = {}
        """Those that are needed, and their least versions."""
        self._files: dict[str, str] = {}
        self._lifeline: int | None = None
        """As long as it is open in any process, the directory is in use."""
        self.directory: str | None = None
        """What is to be removed at the end."""

    def serve(self) -> None:
        """Obey, until a forkserver has ended or the client is gone."""
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
        """Return the version of a package; None if it is not there."""
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
        """Return where the environment for these requirements and this interpreter is, or is to be."""
        basis = [sorted(self._packages.items()), sys.version, sys.executable, platform.machine()]
        return cache_directory() / "environments" / hashlib.sha256(json.dumps(basis).encode()).hexdigest()[:16]

    def _move_into(self, place: Path) -> None:
        self._python = str(place / "bin" / "python")
        self._site = [str(path) for path in place.glob("lib*/python*/site-packages")]

    def _bootstrap(self) -> None:
        """Make the environment, or wait for another client that is making it."""
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
        """Run a command; return what it said last if it failed. It ends with the client."""
        environment = {**os.environ, "TMPDIR": self._private_directory()}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=os.path.dirname(os.__file__),  # not among files that could be taken for modules of Python's
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
        """Put a file into the cache, whole or not at all; whoever else does so at the same time does not matter."""
        place = _place(sha256, kind)
        part = place.with_name(f".{place.name}.{os.getpid()}.part")
        failure: OSError | Refused | None = None
        digest = hashlib.sha256()
        try:
            try:
                _private(place.parent)
                _sweep(place.parent)
                file = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            except (OSError, Refused) as error:
                failure, file = error, os.open(os.devnull, os.O_WRONLY)
            with open(file, "wb", buffering=0) as out:
                for piece in self._client.content(bytes):  # to the end, or the next order would not be found
                    digest.update(piece)
                    try:
                        while piece and failure is None:
                            piece = piece[out.write(piece) :]
                    except OSError as error:
                        failure = error
            if failure is None and digest.hexdigest() != sha256:
                failure = Refused(f"what was to be kept as {place.name} was damaged in transfer")
            if failure is None:
                try:
                    os.replace(part, place)
                except OSError as error:
                    failure = error
        finally:
            with contextlib.suppress(OSError):
                os.unlink(part)
        if isinstance(failure, OSError):
            raise Refused(f"{bytes:,} bytes cannot be kept in {place.parent} ({failure.strerror})")
        if failure is not None:
            raise failure
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
        """Start the forkserver and stand between it and the client."""
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
    """Return where what is kept lies, as the XDG specification wants it."""
    home = os.environ.get("XDG_CACHE_HOME", "")
    return (Path(home) if os.path.isabs(home) else Path.home() / ".cache") / "collagebench"


def _place(sha256: str, kind: str) -> Path:
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise Refused(f"{sha256!r} is not a SHA-256")
    return cache_directory() / kind / f"{sha256}{ENDINGS[kind]}"


def _private(directory: Path) -> None:
    """Make a directory that only this user can enter, or see that it is one.

    Raises:
        Refused: others can change what is in it.
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
    """Return why nothing can be kept in the cache; None if it can."""
    place = next(path for path in (cache, *cache.parents) if path.exists())
    return None if os.access(place, os.W_OK | os.X_OK) and place.is_dir() else f"{place} cannot be written to"


def _is_whole(path: Path, sha256: str) -> bool:
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == sha256
    except OSError:
        return False


def _sweep(directory: Path) -> None:
    """Remove what a client left half copied whose outpost was killed."""
    for path in directory.glob(".*.part"):
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > ABANDONED:
                path.unlink()


def _older(version: str, least: str) -> bool:
    """Whether a version is below another: numbers with dots between them, of which what follows is ignored."""
    return _numbers(version) < _numbers(least)


def _numbers(version: str) -> list[int]:
    found = []
    for part in version.split("."):
        if not part.isdigit():
            break
        found.append(int(part))
    return found


def _free(path: Path) -> int:
    """Return the bytes that this user may still write to the disk on which a path is, or would be."""
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
