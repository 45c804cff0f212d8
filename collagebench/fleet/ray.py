"""Workers on a running Ray cluster: Ray places and watches them, but requests do not pass through Ray.

Every worker is an actor, and all of them have places in one placement group, so that either all workers start or none.
Its start order and its report travel through Ray. After that the actor listens on its node's address, and requests go
to it directly over gRPC: a small request through Ray would cost the client five times the CPU time.

A worker that ends is not restarted, neither by Ray nor by us: the run that lost it ends. However the client ends, Ray
ends the actors of its job. The models travel as bytes through Ray's object store, once per node, and are identified by
their SHA-256; nothing is written to disk.

Callers of a worker must show the token of the run, of which the worker knows only a digest (`doorkeeper`). Every worker
makes its own key and certificate for the run (`certificate`). So neither secret passes through Ray.
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
from collagebench.fleet.fleet import Fleet, to_its_end
from collagebench.fleet.launcher import check
from collagebench.fleet.where import CANNOT, Where
from collagebench.worker.certificate import NAME
from collagebench.worker.doorkeeper import digest
from collagebench.worker.guest import Guest
from collagebench.worker.spec import Compute, WorkerSpec, to_json

PLACED_WITHIN = 30.0
"""Seconds for the cluster to have room for all workers at once."""
START_WITHIN = 90.0
"""Seconds for all workers to listen; the first one on a node waits until the package is shipped."""
READY_WITHIN = 10.0
"""Seconds for all workers to answer."""
END_WITHIN = 10.0
"""Seconds for the workers' processes to end."""
NICE = 0
"""The niceness of an ordinary process; Ray starts its own with 15 by default."""

Result = TypeVar("Result")


@contextlib.asynccontextmanager
async def ray_fleet(
    where: Where,
    specs: Sequence[WorkerSpec],
    compute: Compute,
    on_lost: Callable[[int, str], None],
    show: Callable[[str], None],
) -> AsyncIterator[Fleet]:
    """Start one worker per spec on the cluster, yield the fleet once all have answered, and stop them at the end.

    Args:
        where: the cluster's address, and the resources of each worker.
        specs: the workers; their indices must differ.
        compute: `real` loads and runs the models, `emulated` does neither.
        on_lost: called once with index and reason for a worker that ends while the fleet is up.
        show: called with a text that the user should see.

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
        await to_its_end(_close(fleet, placed))


async def _close(fleet: Fleet, placed: _Placed) -> None:
    await fleet.close()
    await placed.end()


class _Placed:
    """The placement group and the actors of all workers."""

    def __init__(self, ray: Any, where: Where, workers: int) -> None:
        self._ray = ray
        self._where = where
        self._workers = workers
        self._group: Any = None
        self._actors: list[Any] = []
        self._ends: dict[int, asyncio.Task[None]] = {}
        """The task that awaits the end of each worker, by its index."""
        self._alive: list[Any] = []
        """A call to each actor that returns only when the actor ends."""

    async def reserve(self) -> None:
        """Reserve a place for every worker.

        Raises:
            FleetError: the cluster has no room.
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
        """Start the workers; return their reports, which include the `node`, in the order of `specs`.

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
                each.cancel()  # so that asyncio does not complain of results that nobody retrieves
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
        """Create an actor for each spec and send it its start order; blocks for a moment."""
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
        """Call `lost` for every worker that ends from now on, with its index and the reason."""

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
        """Kill all actors and disconnect; return when Ray reports that their processes have ended."""
        for task in self._ends.values():
            task.cancel()
        await asyncio.gather(*self._ends.values(), return_exceptions=True)

        def take_down() -> None:
            from ray.util.placement_group import remove_placement_group

            ends = self._alive or [actor.wait.remote() for actor in self._actors]
            for actor in self._actors:
                self._ray.kill(actor)
            if ends:
                self._ray.wait(ends, num_returns=len(ends), timeout=END_WITHIN)
            if self._group is not None:
                remove_placement_group(self._group)
            self._ray.shutdown()

        await _apart(take_down)


def connection_to(spec: WorkerSpec, report: dict[str, Any], token: Token) -> Connection:
    """Return a connection to a worker from its report; it is not connected yet."""
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
    """Return Ray's reason for the end of an actor or a task, as one line."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
    telling = [line for line in lines if "exit detail" in line or "is dead because" in line or "Error: " in line]
    text = (telling or lines)[-1].rpartition("Worker exit detail: ")[2].partition(" Some common causes")[0]
    return text[:300].rstrip(".")


def _heard(future: Future[Result]) -> asyncio.Future[Result]:
    """Return an asyncio future that follows Ray's; cancelling it leaves Ray's alone, because Ray would complain."""
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
        with contextlib.suppress(RuntimeError):  # the loop has been closed in the meantime
            loop.call_soon_threadsafe(tell)

    future.add_done_callback(done)
    return here


async def _apart(call: Callable[[], Result]) -> Result:
    """Make a blocking call on a daemon thread, and return its result; nobody waits for the thread after a cancel."""
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
        with contextlib.suppress(RuntimeError):  # the loop has been closed in the meantime
            loop.call_soon_threadsafe(told, result, failure)

    threading.Thread(target=run, name="ray-call", daemon=True).start()
    return await done
