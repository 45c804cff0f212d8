"""One connection to one host: an ssh process here, and an outpost at the other end.

Everything except requests goes through it, from the first check to the last log line. When the connection ends, however
that happens, the outpost leaves nothing behind but its cache. ssh runs in a process session of its own, so that neither
it nor the ssh to a jump host can ask anything on the terminal, and a Ctrl-C does not reach them.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
import shutil
import signal
import time
from asyncio.subprocess import DEVNULL, PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from importlib import resources
from itertools import pairwise
from pathlib import Path
from typing import Any

from collagebench.errors import FleetError, OutputError
from collagebench.fleet.local import LINE_BYTES
from collagebench.fleet.ssh import command
from collagebench.fleet.ssh.explain import dropped, explain, plain, unforwarded
from collagebench.hosts import Host
from collagebench.worker.lines import Lines, line
from collagebench.worker.outpost import LEASE

BEAT = LEASE / 5
"""Seconds between two signs of life."""
HELLO_WITHIN = 2.0 * command.CONNECT_WITHIN
"""Seconds for the login and for the start of the interpreter."""
AGAIN_AFTER = 1.0
"""Seconds after which a dropped login is tried again, when those at the same time are over."""
END_WITHIN = 4.0
"""Seconds for an outpost to end after it lost its client; then ssh is killed, and the outpost ends with its lease."""
PIECE = 1 << 16
LEAST_PYTHON = (3, 10)
NONSENSE = "it sent something that is not from our program"
FACTS: dict[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("python", "executable", "hostname", "system", "machine", "cache", "temporary"), str),
    **dict.fromkeys(("cores", "cache_free_bytes", "temporary_free_bytes"), int),
    **dict.fromkeys(("cpu", "cache_problem"), (str, type(None))),
    **dict.fromkeys(("lacking", "missing"), list),
    **{"load": float, "time": float, "packages": dict},
}
"""Facts that a host reports, and their types."""


class _Dropped(FleetError):
    """A login was closed unanswered."""


class Session:
    """One connection to a host."""

    def __init__(self, host: Host, control: str, log: Path, python: str) -> None:
        """Prepare a connection; `open` makes it.

        Args:
            host: the host.
            control: path for the socket of the connection's master.
            log: file to which standard error is appended, of ssh and of the programs on the host.
            python: the interpreter on the host.
        """
        self.host = host
        self.log = log
        self.process: Process
        self._control = control
        self._python = python
        self._begins = log.stat().st_size if log.exists() else 0
        self._beats: asyncio.Task[None] | None = None
        self._beaten: list[float] = []
        """Times of the last two beats, by the wall clock, which goes on while a machine sleeps."""
        self._sending = False
        """Whether a file is being sent; no beat may come between its bytes, which are signs of life themselves."""

    async def open(self) -> None:
        """Connect and send the outpost. A login that is dropped is tried once more.

        Raises:
            FleetError: the connection fails; the message lacks the host's name.
            OutputError: the log cannot be written.
        """
        try:
            await self._log_in()
        except _Dropped:
            await asyncio.sleep(AGAIN_AFTER)
            self._begins = self.log.stat().st_size
            await self._log_in()
        program = (resources.files("collagebench.worker") / "outpost.py").read_bytes()
        self._write(f"{len(program)}\n".encode() + program)
        await self._answer()
        self._beats = asyncio.create_task(self._beat(), name=f"beats-of-{self.host.address}")

    async def _log_in(self) -> None:
        if shutil.which("ssh") is None:
            raise FleetError("this machine has no ssh: install the OpenSSH client")
        arguments = command.connect(self.host, self._control, self._python)
        try:
            with open(self.log, "ab") as log:
                self.process = await asyncio.create_subprocess_exec(
                    *arguments,
                    stdin=PIPE,
                    stdout=PIPE,
                    stderr=log,
                    start_new_session=True,
                    env={**os.environ, "SSH_ASKPASS_REQUIRE": "never"},
                    limit=LINE_BYTES,
                )
        except OSError as error:
            raise OutputError(f"{self.log} cannot be written ({error.strerror or error})") from None
        try:
            version = await asyncio.wait_for(self._hello(), HELLO_WITHIN)
        except asyncio.TimeoutError:
            raise FleetError(explain(self.host, None, self.said(), self._python)) from None
        if version < LEAST_PYTHON:
            found, least = (".".join(map(str, numbers)) for numbers in (version, LEAST_PYTHON))
            raise FleetError(
                f"its {self._python} is Python {found}, but {least} or newer is needed: name another with "
                "--remote-python"
            )

    async def _hello(self) -> tuple[int, ...]:
        """Return the version of the interpreter; output of login scripts before it is skipped."""
        assert self.process.stdout is not None
        try:
            async for text in self.process.stdout:
                if found := command.HELLO.fullmatch(text):
                    return tuple(int(number) for number in found.groups())
        except ValueError:  # the line is too long
            raise FleetError(NONSENSE) from None
        code, said = await self.process.wait(), self.said()
        raise (_Dropped if dropped(code, said) else FleetError)(explain(self.host, code, said, self._python))

    def said(self) -> str:
        """Return what has been written to the log since this session began."""
        with contextlib.suppress(OSError), open(self.log, "rb") as log:
            log.seek(self._begins)
            return log.read().decode(errors="replace")
        return ""

    def _write(self, data: bytes) -> None:
        assert self.process.stdin is not None
        if not self.process.stdin.is_closing():
            self.process.stdin.write(data)

    async def _beat(self) -> None:
        while self.process.returncode is None:
            self._beaten = [*self._beaten[-1:], time.time()]
            if not self._sending:
                self._write(line({"beat": True}))
            await asyncio.sleep(BEAT)

    def paused(self) -> float:
        """Return the longest recent time in seconds without a sign of life from this process."""
        times = [*self._beaten, time.time()]
        return max((end - begin for begin, end in pairwise(times)), default=0.0)

    async def ask(self, content: bytes = b"", **order: Any) -> dict[str, Any]:
        """Send an order, followed by `content`, and return the answer.

        Raises:
            FleetError: it is refused, or the connection is lost; the message lacks the host's name.
        """
        assert self.process.stdin is not None
        self._sending = bool(content)
        try:
            self._write(line(order))
            for start in range(0, len(content), PIECE):
                self._write(content[start : start + PIECE])
                await self.process.stdin.drain()
        except ConnectionError:
            pass  # reading the answer will report it
        finally:
            self._sending = False
        return await self._answer()

    async def _answer(self) -> dict[str, Any]:
        """Return the next answer; standard error that arrives before it goes into the log."""
        assert self.process.stdout is not None
        try:
            while answers := Lines().feed(await self.process.stdout.readline()):
                answer: dict[str, Any] = dict(answers[0])
                if "refused" in answer:
                    raise FleetError(plain(answer["refused"]))
                if answer.get("event") != "said":
                    return answer
                with contextlib.suppress(OSError), open(self.log, "a", encoding="utf-8") as log:
                    log.write(answer["text"])
        except (ValueError, TypeError, KeyError):
            raise FleetError(NONSENSE) from None
        raise FleetError(explain(self.host, await self.process.wait(), self.said(), self._python))

    async def look(self, packages: Mapping[str, str], files: Mapping[str, str], bootstrap: bool) -> dict[str, Any]:
        """Return the host's facts, and `offset`, the seconds that its clock is ahead of this one.

        Args:
            packages: the needed packages, and their minimum versions.
            files: the kinds of the files that its cache must contain, by SHA-256.
            bootstrap: whether to use an environment that was created there earlier, if there is one.
        """
        asked = time.time()
        answer = await self.ask(look={"packages": dict(packages), "files": dict(files), "bootstrap": bootstrap})
        facts = checked(answer.get("facts"), files)
        return {**facts, "offset": facts["time"] - asked}

    async def keep(self, content: bytes, kind: str) -> None:
        """Put a file into the host's cache."""
        sha256 = hashlib.sha256(content).hexdigest()
        await self.ask(content, keep={"sha256": sha256, "bytes": len(content), "kind": kind})

    def run(self, archive: str, arguments: Sequence[str]) -> None:
        """Start the forkserver; from now on the process carries its lines."""
        self._write(line({"run": {"archive": archive, "arguments": list(arguments)}}))

    async def forward(self, pairs: Sequence[tuple[str, str]]) -> None:
        """Forward sockets, given as pairs of local and remote paths.

        Raises:
            FleetError: ssh cannot forward them; the message lacks the host's name.
        """
        arguments = command.forward(self._control, pairs)
        process = await asyncio.create_subprocess_exec(*arguments, stdin=DEVNULL, stdout=PIPE, stderr=STDOUT)
        try:
            said, _ = await process.communicate()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        if process.returncode:
            raise FleetError(unforwarded(self.said() + said.decode(errors="replace")))

    async def close(self) -> None:
        """Close the connection; return when ssh has ended."""
        if not hasattr(self, "process"):
            return
        if self._beats is not None:
            self._beats.cancel()
            await asyncio.gather(self._beats, return_exceptions=True)
        process = self.process
        if process.returncode is not None:
            return
        assert process.stdin is not None
        process.stdin.close()
        if self._beats is not None:  # else no outpost runs yet that would end with its input
            with contextlib.suppress(asyncio.TimeoutError):
                await asyncio.wait_for(process.wait(), END_WITHIN)
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)  # and the ssh processes to jump hosts
            await process.wait()


def checked(facts: Any, files: Mapping[str, str]) -> dict[str, Any]:
    """Return the facts that a host reports, once they are validated.

    Raises:
        FleetError: a fact is missing, unprintable or of the wrong type, or a file is reported missing that was not
            asked about.
    """
    whole = isinstance(facts, dict) and all(isinstance(facts.get(name), kind) for name, kind in FACTS.items())
    if not whole or not all(_printable(value) for value in facts.values()) or not set(facts["missing"]) <= {*files}:
        raise FleetError(NONSENSE)
    return {name: facts[name] for name in FACTS}


def _printable(value: Any) -> bool:
    """Whether all texts in a value are printable, so that they cannot affect a terminal."""
    if isinstance(value, str):
        return value.isprintable()
    if isinstance(value, dict):
        return all(map(_printable, (*value, *value.values())))
    return not isinstance(value, list) or all(map(_printable, value))
