"""A fleet over SSH: check all hosts, copy what they lack, and start the workers, on all hosts in parallel.

Each host has one connection. At its other end runs an outpost, which starts a forkserver, which starts the workers. A
request goes over gRPC to a Unix socket on this machine, through the connection, to the worker's Unix socket on the
host. No port is opened anywhere.

The local sockets are in a directory that only this user can enter. It is removed at the end. If this process is killed,
a waiting shell removes it; ssh ends because its standard input closes, and so do the outposts.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import re
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from collagebench.errors import CollagebenchError, FleetError, ModelError, OutputError
from collagebench.fleet.fleet import Fleet, to_its_end
from collagebench.fleet.kept import kept
from collagebench.fleet.ssh.archive import COMPUTING, NEEDED, archive
from collagebench.fleet.ssh.preflight import Look, judge, table, versions
from collagebench.fleet.ssh.remote import Remote
from collagebench.fleet.ssh.session import Session, checked
from collagebench.fleet.where import Where
from collagebench.hosts import deal
from collagebench.worker.outpost import ENDINGS
from collagebench.worker.socket_directory import socket_directory
from collagebench.worker.spec import Compute, WorkerSpec

START_WITHIN = 60.0
"""Seconds for all forkservers to be up, and again for all workers to be ready."""
LOOK_WITHIN = 45.0
"""Seconds for a login to a host, and again for the host to report its facts."""
LOGINS = 8
"""Most simultaneous logins: with more than ten, sshd drops some at random (MaxStartups), especially on a jump host."""
DRAIN_WITHIN = 2.0
"""Seconds for workers to stop before they are killed."""
FACTS = ("hostname", "python", "system", "machine", "cpu", "cores", "load", "packages")
"""Facts about a host that go into the records."""
UNFORWARDED = re.compile(r"^channel \d+: open failed: (administratively prohibited|connect failed)", re.MULTILINE)
"""ssh's message if sshd may not connect to a socket; the wording depends on its version."""


class Place:
    """One host of the fleet, with its connection, workers and files."""

    def __init__(self, number: int, session: Session, specs: Sequence[WorkerSpec]) -> None:
        self.number = number
        self.session = session
        self.specs = specs
        self.look = Look(session.host.address, len(specs))
        self.files: dict[str, bytes] = {}
        """Files that its cache must contain, by SHA-256: the models, and the worker itself."""
        self.kinds: dict[str, str] = {}

    def path(self, sha256: str) -> str:
        """Return the path of a file in the host's cache."""
        kind = self.kinds[sha256]
        return f"{self.look.facts['cache']}/{kind}/{sha256}{ENDINGS[kind]}"

    def own_specs(self, compute: Compute) -> list[WorkerSpec]:
        """Return the specs with the models' paths on the host."""
        if compute == "emulated":
            return list(self.specs)
        return [
            replace(spec, models=tuple(replace(model, path=self.path(model.sha256)) for model in spec.models))
            for spec in self.specs
        ]


@contextlib.asynccontextmanager
async def ssh_fleet(
    where: Where,
    specs: Sequence[WorkerSpec],
    compute: Compute,
    logs: Path,
    on_lost: Callable[[int, str], None],
    on_crashed: Callable[[int], None],
    on_back: Callable[[int], None],
    stage: Callable[[str], None],
    show: Callable[[str], None],
) -> AsyncIterator[Fleet]:
    """Start the workers on the hosts, yield the fleet once it can be reached, and stop everything at the end.

    The arguments are those of `open_fleet`.

    Raises:
        ModelError: a model is missing, damaged, of the wrong shape, or not the one that was expected.
        FleetError: a host cannot be used, or the workers could not be started in time.
        OutputError: the logs cannot be written.
    """
    try:
        logs.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"the workers' logs cannot be written to {logs} ({error.strerror or error})") from None
    fleet = Fleet(on_lost, on_back)
    launchers: list[Remote] = []
    with socket_directory() as directory, kept(directory):
        places = _places(where, specs, compute, directory, logs)
        try:
            await _prepare(places, where, compute, stage, show)
            stage(f"starting {len(specs)} workers on {_hosts(len(places))}")
            for place in places:
                arguments = ["--compute", compute]
                place.session.run(place.path(_sha256(archive())), arguments)
                begin = f"{directory}/{place.number}-"
                launchers.append(Remote(place.session, begin, fleet.lost, on_crashed, fleet.restarted))
            await _on_all(places, [launcher.up(START_WITHIN) for launcher in launchers])
            ordered = [place.own_specs(compute) for place in places]
            await _launch(fleet, list(zip(launchers, ordered, strict=True)), places)
            for place in places:
                facts = place.look.facts
                fleet.facts[place.look.host] = {
                    **{name: facts[name] for name in FACTS},
                    "clock_offset_s": place.look.offset,
                }
            yield fleet
        finally:
            await to_its_end(_close(fleet, places, launchers, show))


async def _close(
    fleet: Fleet, places: Sequence[Place], launchers: Sequence[Remote], show: Callable[[str], None]
) -> None:
    await fleet.close()
    begun = [place for place in places[: len(launchers)] if place.session.process.returncode is None]
    try:
        await asyncio.gather(*(launcher.drain(DRAIN_WITHIN) for launcher in launchers))
    finally:
        await asyncio.gather(*(place.session.close() for place in places))
    for place in begun:
        if place.session.process.returncode == -signal.SIGKILL:  # ssh did not end by itself
            show(
                f"note: {place.look.host} did not confirm that none of our processes is left there: `pgrep -f "
                "collagebench` shows any"
            )


def _places(where: Where, specs: Sequence[WorkerSpec], compute: Compute, directory: str, logs: Path) -> list[Place]:
    """Return the hosts that have workers, each with its workers and files.

    Raises:
        ModelError: a model cannot be read, or is not the expected one.
    """
    dealt = deal(where.host, where.workers)
    models = {model.sha256: model for spec in specs for model in spec.models} if compute == "real" else {}
    contents = {}
    for sha256, model in models.items():
        contents[sha256] = model.read()
        if _sha256(contents[sha256]) != sha256:
            raise ModelError(f"model file {model.path} is not the expected one: it was replaced or damaged")
    places = []
    for number, host in enumerate(where.host):
        mine = [spec for spec in specs if dealt[spec.index] == number]
        if not mine:
            continue
        log = logs / f"host-{re.sub(r'[^A-Za-z0-9._@-]', '_', host.address)}.log"
        place = Place(number, Session(host, f"{directory}/{number}.ctl", log, where.remote_python), mine)
        here = {model.sha256 for spec in mine for model in spec.models} & contents.keys()
        place.files = {sha256: contents[sha256] for sha256 in sorted(here)} | {_sha256(archive()): archive()}
        place.kinds = {sha256: "models" if sha256 in contents else "workers" for sha256 in place.files}
        places.append(place)
    return places


async def _prepare(
    places: Sequence[Place],
    where: Where,
    compute: Compute,
    stage: Callable[[str], None],
    show: Callable[[str], None],
) -> None:
    """Check all hosts, show a table of them, and install and copy what each one lacks.

    Raises:
        FleetError: a host cannot be used; then no workers are started on any host.
    """
    packages = {**NEEDED, **(COMPUTING if compute == "real" else {})}
    stage(f"checking {_hosts(len(places))}")
    logins = asyncio.Semaphore(LOGINS)
    await asyncio.gather(*(_look(place, logins, packages, where.bootstrap, compute == "real") for place in places))
    show(table([place.look for place in places]))
    _refuse([(place.look.host, failure) for place in places for failure in place.look.failures], len(places))
    bare = [place for place in places if place.look.facts["lacking"]]
    if bare:
        stage(f"making an environment on {_hosts(len(bare))}; the first time takes minutes")
        before = versions([place.look for place in places])
        await _on_all(bare, [_bootstrap(place) for place in bare])
        if new := [note for note in versions([place.look for place in places]) if note not in before]:
            show("\n".join(f"note: {note}" for note in new))
    todo = {place: place.look.facts["missing"] for place in places if place.look.facts["missing"]}
    if todo:
        size = sum(len(place.files[sha256]) for place, missing in todo.items() for sha256 in missing)
        stage(f"copying {size / 1e6:.1f} MB to {_hosts(len(todo))}")
        await _on_all(list(todo), [_copy(place, missing) for place, missing in todo.items()])


async def _look(
    place: Place, logins: asyncio.Semaphore, packages: Mapping[str, str], bootstrap: bool, computing: bool
) -> None:
    look, session = place.look, place.session
    try:
        async with logins:
            await asyncio.wait_for(session.open(), LOOK_WITHIN)
        facts = await asyncio.wait_for(session.look(packages, place.kinds, bootstrap), LOOK_WITHIN)
    except asyncio.TimeoutError:
        look.failures.append(
            f"it lets us in, but has not answered within {LOOK_WITHIN:g} s: check whether its Python, or the disk of "
            "its home directory, hangs"
        )
        return
    except FleetError as error:
        look.failures.append(str(error))
        return
    look.offset = facts.pop("offset")
    look.facts = facts
    judge(look, sum(len(place.files[sha256]) for sha256 in facts["missing"]), bootstrap, computing)


async def _bootstrap(place: Place) -> None:
    facts = checked({"time": 0.0, **(await place.session.ask(bootstrap=True)).get("facts", {})}, place.kinds)
    if facts["lacking"]:
        raise FleetError(f"the environment created there lacks {', '.join(facts['lacking'])}")
    place.look.facts = {**facts, "load": place.look.facts["load"]}


async def _copy(place: Place, missing: Sequence[str]) -> None:
    for sha256 in missing:
        await place.session.keep(place.files[sha256], place.kinds[sha256])


async def _launch(
    fleet: Fleet, launchers: Sequence[tuple[Remote, Sequence[WorkerSpec]]], places: Sequence[Place]
) -> None:
    """Start the workers and connect to them; if sshd does not forward their sockets, raise an error that says so."""
    try:
        await fleet.launch(launchers, START_WITHIN)
    except FleetError:
        ended = {connection.host for connection in fleet if connection.lost is not None}
        refusing = [
            place.look.host
            for place in places
            if UNFORWARDED.search(place.session.said()) and place.look.host not in ended
        ]
        if refusing:
            raise FleetError(
                f"{', '.join(refusing)}: sshd there does not forward Unix sockets; set AllowStreamLocalForwarding yes "
                "(and no DisableForwarding) in its sshd_config"
            ) from None
        raise


async def _on_all(places: Sequence[Place], tasks: Sequence[Coroutine[Any, Any, None]]) -> None:
    """Run one task per host concurrently, and wait for all of them.

    Raises:
        FleetError: a task failed; the message lists all hosts where one did.
    """
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    failures = []
    for place, outcome in zip(places, outcomes, strict=True):
        if isinstance(outcome, CollagebenchError):
            failures.append((place.look.host, str(outcome)))
        elif outcome is not None:
            raise outcome
    _refuse(failures, len(places))


def _refuse(failures: Sequence[tuple[str, str]], hosts: int) -> None:
    """Raise FleetError if there are failures, with a line for each."""
    if failures:
        bad = "the host" if hosts == 1 else f"{len({host for host, _ in failures})} of {hosts} hosts"
        sentences = "".join(f"\n  {host}: {failure}" for host, failure in failures)
        raise FleetError(f"{bad} cannot be used, so nothing was started:{sentences}")


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _hosts(count: int) -> str:
    return "one host" if count == 1 else f"{count} hosts"
