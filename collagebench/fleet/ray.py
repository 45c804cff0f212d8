"""Workers on a Ray cluster that already runs: Ray places and watches them, and no request passes through it.

Every worker is an actor with a place reserved in one placement group, so that either all have one or none starts. What
the actor is told and reports travels through Ray; then it listens on its node's address, and requests go straight
to it over gRPC. Ray's own calls would cost five times the client's CPU time for a small request.

A worker that ends is not started again, by Ray or by us: the run that lost it ends. When the client ends, however it
does, Ray ends the actors of its job. The models travel as bytes through Ray's object store, once a node, and are known
by their SHA-256; nothing is written to a disk.

Whoever calls a worker must show the token of the run, which only the client knows (`doorkeeper`), and every worker has
a key and a certificate of its own for the run (`certificate`). So neither secret passes through Ray.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from concurrent.futures import Future
from typing import Any, TypeVar

import grpc

from collagebench.errors import FleetError, ModelError
from collagebench.fleet.bearer import Token
from collagebench.fleet.cluster import connect, copied_package, restore_signals
from collagebench.fleet.connection import Connection
from collagebench.fleet.fleet import Fleet
from collagebench.fleet.launcher import check
from collagebench.fleet.where import CANNOT, Where
from collagebench.worker.certificate import NAME
from collagebench.worker.doorkeeper import digest
from collagebench.worker.guest import Guest
from collagebench.worker.spec import Compute, WorkerSpec, to_json

PLACED_WITHIN = 30.0
"""Seconds until the cluster must have room for all workers at once."""
START_WITHIN = 90.0
"""Seconds until all must listen; the first on a node waits for the package to be shipped."""
READY_WITHIN = 10.0
"""Seconds until all must answer."""
END_WITHIN = 10.0
"""Seconds in which their processes must end."""
NICE = 0
"""The priority of an ordinary process; Ray gives its own 15 unless it is told otherwise."""

Result = TypeVar("Result")


@contextlib.asynccontextmanager
async def ray_fleet(
    where: Where,
    specs: Sequence[WorkerSpec],
    compute: Compute,
    on_lost: Callable[[int, str], None],
    show: Callable[[str], None] = lambda text: None,
) -> AsyncIterator[Fleet]:
    """Have the cluster start one worker per spec, yield the fleet once each has answered, and take them down.

    Args:
        where: the cluster's address, and what each worker needs.
        specs: the workers; their indices must differ.
        compute: `real` loads and runs the models, `emulated` does neither.
        on_lost: called once with index and reason for a worker that ends while the fleet is up.
        show: told what the user should see.

    Raises:
        MissingExtra: Ray is not installed.
        ModelError: a model is missing, damaged, of the wrong shape, or not the one that was expected.
        FleetError: the cluster cannot be reached, has no room, or a worker did not start.
    """
    with copied_package(with_models=False) as package:
        ray = await _apart(lambda: connect(where.ray_address, package))
    if threading.current_thread() is threading.main_thread():
        restore_signals()
    fleet = Fleet(on_lost, lambda worker: None, CANNOT["ray"])
    placed = _Placed(ray, where, len(specs))
    try:
        await placed.reserve()
        reports = await placed.start(specs, compute, token := Token(secrets.token_urlsafe(32)))
        connections = [connection_to(spec, report, token) for spec, report in zip(specs, reports, strict=True)]
        await fleet.connect(connections, READY_WITHIN)
        fleet.facts.update({report["node"]: {"hostname": report["hostname"]} for report in reports})
        slowed = sorted({report["node"] for report in reports if report["niceness"] > NICE})
        if slowed:
            show(
                f"workers on {', '.join(slowed)} yield to every other process there, because that is how Ray starts "
                "them: start its nodes with RAY_worker_niceness=0"
            )
        placed.watch(fleet.lost)
        yield fleet
    finally:
        await fleet.close()
        await placed.end()


class _Placed:
    """The workers as Ray knows them."""

    def __init__(self, ray: Any, where: Where, workers: int) -> None:
        self._ray = ray
        self._where = where
        self._workers = workers
        self._group: Any = None
        self._actors: list[Any] = []
        self._ends: dict[int, asyncio.Task[None]] = {}
        """What waits for the end of each worker, by its index."""
        self._alive: list[Any] = []
        """The calls that last as long as the actors do."""

    async def reserve(self) -> None:
        """Reserve a place for every worker.

        Raises:
            FleetError: there is no room.
        """
        from ray.util.placement_group import placement_group

        each = {"CPU": self._where.ray_cpus, **dict(self._where.ray_resource)}
        strategy = self._where.ray_placement.upper().replace("-", "_")
        bundle = {name: amount for name, amount in each.items() if amount > 0} or {"CPU": 0.001}
        self._group = await _apart(lambda: placement_group([bundle] * self._workers, strategy=strategy))
        try:
            await asyncio.wait_for(_heard(self._group.ready().future()), PLACED_WITHIN)
        except asyncio.TimeoutError:
            free = await _apart(self._ray.available_resources)
            wanted = ", ".join(f"{amount:g} {name}" for name, amount in bundle.items())
            there = ", ".join(f"{free.get(name, 0):g} {name}" for name in bundle)
            nodes = sum(bool(node["Alive"]) for node in await _apart(self._ray.nodes))
            raise FleetError(
                f"the Ray cluster has no room for {self._workers} workers of {wanted} each, placed "
                f"{self._where.ray_placement}: {there} of {nodes} nodes are free; choose fewer --workers, a smaller "
                "--ray-cpus or another --ray-placement"
            ) from None

    async def start(self, specs: Sequence[WorkerSpec], compute: Compute, token: Token) -> list[dict[str, Any]]:
        """Start the workers; return what each reported, and its `node`, in the order of `specs`.

        Raises:
            ModelError: a worker's model is damaged, of the wrong shape, or not the one that was expected.
            FleetError: a worker did not start.
        """
        started = await _apart(lambda: self._ordered(specs, compute, digest(token.value)))
        waiting = [_heard(each) for each in started]
        try:
            _, late = await asyncio.wait(waiting, timeout=START_WITHIN, return_when=asyncio.FIRST_EXCEPTION)
        finally:
            for each in waiting:
                each.cancel()  # so that nobody need hear what becomes of it
        failed = next((each for each in waiting if each not in late and each.exception() is not None), None)
        if failed is None and late:
            raise FleetError(
                f"{len(late)} of {len(specs)} workers did not start within {START_WITHIN:g} s on the Ray cluster; its "
                "dashboard or `ray list actors` says why"
            )
        try:
            reports = [each.result() for each in ([failed] if failed else waiting)]
        except self._ray.exceptions.RayError as error:
            raise FleetError(f"a worker could not be started by the Ray cluster: {reason(error)}") from None
        for spec, report in zip(specs, reports, strict=True):
            if report["event"] == "failed":
                said = f"worker {spec.index} on {report['node']}: {report['message']}"
                raise (ModelError if report["kind"] == "model" else FleetError)(said)
            check(spec, report["sha256"])
        return reports

    def _ordered(self, specs: Sequence[WorkerSpec], compute: Compute, token: str) -> list[Future[Any]]:
        """Start an actor for each spec and tell it what to be; blocks for a moment."""
        from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

        files = {model.name: model for spec in specs for model in spec.models} if compute == "real" else {}
        held = {name: self._ray.put(model.read()) for name, model in files.items()}
        actor = self._ray.remote(Guest)
        started = []
        for place, spec in enumerate(specs):
            strategy = PlacementGroupSchedulingStrategy(self._group, place)
            options = {"num_cpus": self._where.ray_cpus, "resources": dict(self._where.ray_resource)}
            one = actor.options(**options, scheduling_strategy=strategy, max_restarts=0, max_task_retries=0).remote()
            self._actors.append(one)
            contents = [held[model.name] for model in spec.models if model.name in held]
            order = {"spec": to_json(spec), "compute": compute, "digest": token}
            started.append(one.start.remote(order, *contents).future())
        return started

    def watch(self, lost: Callable[[int, str], None]) -> None:
        """Tell `lost` of every worker that ends from now on, and why."""

        async def until_the_end(index: int, end: Any) -> None:
            try:
                why = await _heard(end.future())
            except self._ray.exceptions.RayError as error:
                why = f"ended, according to Ray: {reason(error)}"
            lost(index, why)

        self._alive = [actor.wait.remote() for actor in self._actors]
        for index, end in enumerate(self._alive):
            self._ends[index] = asyncio.create_task(until_the_end(index, end), name=f"worker-{index}-watch")

    async def end(self) -> None:
        """Take everything down; return when Ray says that the processes are gone."""
        for task in self._ends.values():
            task.cancel()
        await asyncio.gather(*self._ends.values(), return_exceptions=True)

        def take_down() -> None:
            from ray.util.placement_group import remove_placement_group

            ends = self._alive or [actor.wait.remote() for actor in self._actors]
            for actor in self._actors:
                self._ray.kill(actor)
            self._ray.wait(ends, num_returns=len(ends), timeout=END_WITHIN) if ends else None
            if self._group is not None:
                remove_placement_group(self._group)
            self._ray.shutdown()

        await _apart(take_down)


def connection_to(spec: WorkerSpec, report: dict[str, Any], token: Token) -> Connection:
    """Return a connection to a worker that has reported to be ready, not yet connected."""
    node = report["node"]
    target = f"[{node}]:{report['port']}" if ":" in node else f"{node}:{report['port']}"
    return Connection(
        spec.index,
        f"ipv6:{target}" if ":" in node else f"ipv4:{target}",
        report["pid"],
        node,
        report["versions"],
        credentials=grpc.ssl_channel_credentials(report["certificate"]),
        metadata=token.metadata,
        options=(("grpc.ssl_target_name_override", NAME), ("grpc.default_authority", NAME)),
    )


def reason(error: BaseException) -> str:
    """Return in one line what Ray says of the end of an actor or a task."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    telling = [line for line in lines if "exit detail" in line or "is dead because" in line or "Error: " in line]
    text = (telling or lines)[-1].rpartition("Worker exit detail: ")[2].partition(" Some common causes")[0]
    return text[:300].rstrip(".")


def _heard(future: Future[Result]) -> asyncio.Future[Result]:
    """Return what tells of Ray's future here; to cancel it cancels nothing there, which Ray would complain of."""
    loop = asyncio.get_running_loop()
    here: asyncio.Future[Result] = loop.create_future()

    def tell() -> None:
        if here.done():
            return
        if (error := future.exception()) is not None:
            here.set_exception(error)
        else:
            here.set_result(future.result())

    def done(_: object) -> None:
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(tell)

    future.add_done_callback(done)
    return here


async def _apart(call: Callable[[], Result]) -> Result:
    """Return what a blocking call does, on a thread that nobody waits for if this is cancelled."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[Result] = loop.create_future()

    def told(result: Any, error: BaseException | None) -> None:
        if not done.done():
            done.set_result(result) if error is None else done.set_exception(error)

    def run() -> None:
        result, failure = None, None
        try:
            result = call()
        except BaseException as error:
            failure = error
        with contextlib.suppress(RuntimeError):  # the loop has been closed meanwhile
            loop.call_soon_threadsafe(told, result, failure)

    threading.Thread(target=run, name="ray-call", daemon=True).start()
    return await done
