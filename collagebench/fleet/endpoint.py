"""Servers that already run, as workers: Triton, MLServer, KServe, or any other that speaks the Open Inference Protocol.

A worker of such a fleet is a *slot*: a connection with at most one request in progress. Further requests wait in the
client, in the order of sending. So every slot is first come, first served, like the workers of other fleets, whatever
the server does. A request that is cancelled while it waits is never sent. A server gets at most as many requests at
once as it has slots: one for each time that its address is given.

Such a server knows nothing of injected slowness and does not report its own times. So the client injects: the slot
holds the reply back, and takes no other request, until the drawn time has passed since the request was sent. The times
of queue, compute and service are unknown and stay None.

Nothing is started or stopped. If a connection breaks or a reply does not come, the slot is lost for the rest of the
run, as in every fleet. That also holds if the server comes back, because the run would no longer measure the fleet that
it was to measure. A server that refuses a request fails only that request.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from open_inference.grpc import protocol

from collagebench.addresses import Address, address
from collagebench.errors import CollagebenchError, FleetError, ModelError, UsageError
from collagebench.fleet.bearer import Token
from collagebench.fleet.connection import Connection, Reply, TaskError
from collagebench.fleet.fleet import Fleet, to_its_end
from collagebench.fleet.reply import MalformedReply, logits
from collagebench.fleet.signature import Signature, signature
from collagebench.fleet.tls import credentials
from collagebench.fleet.where import CANNOT, Where
from collagebench.stragglers.service import service_time
from collagebench.worker import wire
from collagebench.worker.spec import ModelFile, WorkerSpec

REACH_WITHIN = 10.0
"""Seconds for a server to describe what it serves."""
TROUBLES = (
    ("WRONG_VERSION_NUMBER", "it does not speak TLS", "if the network to it is trusted, use grpc://"),
    ("CERTIFICATE_VERIFY_FAILED", "its certificate is not trusted", "name the authority that signed it with --tls-ca"),
    ("Hostname Verification", "its certificate is for another host", "use the host name that the certificate has"),
    (
        "Socket closed",
        "it closed the connection",
        "check that this is its port, and whether it needs TLS (grpcs://) or a client certificate (--tls-cert)",
    ),
)
"""What gRPC reports if a connection fails, what it means, and what to do."""
FIRST_WITHIN = 60.0
"""Seconds for the first inference, for which the server may have to load the model."""
BREAKS_WITHIN = 0.05
"""Seconds in which gRPC notices that a connection has broken."""
TIMED, TIMED_SECONDS = 15, 2.0
"""Most inferences of each kind to time, and most seconds to spend on them; at least three are timed."""
SHOWN = 5
"""Most other failing servers to name in an error message."""
MOST_BYTES = 4 << 20
"""Most bytes of a reply; real outputs are a hundredth of that."""


@dataclass(slots=True)
class Slot(Connection):
    """One slot of a server."""

    at: Address = field(kw_only=True)
    needed: Mapping[str, ModelFile] = field(kw_only=True)
    """The models that it must serve, by their names in the manifest."""
    token: Token | None = field(kw_only=True, default=None, repr=False)
    scale: float | None = field(kw_only=True, default=None)
    """Factor on the pixels for a model that takes FP32."""
    _signatures: dict[str, Signature] = field(init=False, repr=False, default_factory=dict)
    _turn: asyncio.Lock = field(init=False, repr=False, default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"worker {self.index} at {self.at}"

    @property
    def waits_here(self) -> bool:
        """True: tasks queue in the client."""
        return True

    async def ready(self, timeout: float) -> None:
        """Check that the server serves the needed models, and let each model answer once.

        Raises:
            FleetError: the server cannot be reached, or does not speak the protocol.
            ModelError: a model is missing, not ready, or not the needed one.
        """
        try:
            server = await self._called("ServerMetadata", b"", timeout)
        except TaskError as error:
            raise FleetError(self._unreachable(error)) from None
        self.versions = {"server": self._quoted(f"{server.name} {server.version}".strip())}
        for model in self.needed.values():
            try:
                self._signatures[model.name] = await self._signature(model, timeout)
                blank = np.zeros((1, *model.input), model.dtype)
                await self.infer(0, model.name, blank, None, 0.0, FIRST_WITHIN)
            except TaskError as error:
                raise ModelError(
                    f"{self.at} does not serve model {self._called_there(model)!r}: {error.detail}"
                ) from None

    @property
    def scales(self) -> bool:
        """Whether one of its models takes scaled pixels."""
        return any(known.scale is not None for known in self._signatures.values())

    async def _signature(self, needed: ModelFile, timeout: float) -> Signature:
        name = self._called_there(needed)
        asked = protocol.ModelReadyRequest(name=name).SerializeToString()
        if not (await self._called("ModelReady", asked, timeout)).ready:
            raise TaskError("refused", "it says that the model is not ready, or does not exist")
        asked = protocol.ModelMetadataRequest(name=name).SerializeToString()
        metadata = await self._called("ModelMetadata", asked, timeout)
        return signature(metadata, name, str(self.at), needed, self.scale)

    def _called_there(self, model: ModelFile) -> str:
        return self.at.model(model.role, model.name)

    def _unreachable(self, error: TaskError) -> str:
        if error.status in ("UNAUTHENTICATED", "PERMISSION_DENIED"):
            what = "requires a token" if self.token is None else "rejects the token"
            return f"{self.at} {what} ({error.detail}): put it into a file, and name that with --token-file"
        if error.status == "UNIMPLEMENTED":
            return f"{self.at} does not speak the Open Inference Protocol over gRPC ({error.detail})"
        if error.reason == "deadline":
            return f"{self.at} did not answer within {REACH_WITHIN:g} s"
        why = error.detail.removeprefix(f"{self.name} is gone: ")
        for sign, what, advice in TROUBLES:
            if sign in why:
                return f"{self.at} cannot be reached: {what} ({why}); {advice}"
        return f"{self.at} cannot be reached: {why}; check that the server runs, and that this is its port"

    async def infer(
        self, task: int, model: str, pixels: NDArray[Any], mode: wire.Mode | None, amount: float, timeout: float
    ) -> Reply:
        """Wait until it is this call's turn; then do what `Connection.infer` does, and hold the reply back."""
        until = time.perf_counter() + timeout
        async with self._turn:
            if self.lost is not None:
                raise TaskError("lost", f"{self.name} is gone: {self.lost}")
            called = self._signatures[model]
            began = time.perf_counter()
            try:
                content = await self._answer(
                    self._infer, self._request(task, called, pixels), max(until - began, 0.001)
                )
            except TaskError as error:
                if error.status == "UNAVAILABLE" and await self._stands():
                    why = error.detail.removeprefix(f"{self.name} is gone: ")
                    raise TaskError("refused", f"{self.name} refused the task: {why} (UNAVAILABLE)") from None
                if error.reason in ("lost", "deadline"):
                    self.lost = error.detail.removeprefix(f"{self.name} ").removeprefix("is gone: ")
                raise
            took = time.perf_counter() - began
            try:
                outputs = logits(self._parsed("ModelInfer", content), called.output, (len(pixels), *called.shape))
            except MalformedReply as error:
                raise TaskError("refused", f"{self.name} {error}") from None
            if mode is None:
                return Reply(outputs, None, None, None, None)
            await asyncio.sleep(began + service_time(mode, took, amount) - time.perf_counter())
            return Reply(outputs, None, None, time.perf_counter() - began - took, None)

    async def _stands(self) -> bool:
        """Tell whether the connection still stands; if so, the server itself was too busy for a request.

        gRPC takes a moment to notice a broken connection, so this waits first.
        """
        await asyncio.sleep(BREAKS_WITHIN)
        return self._channel.get_state() is grpc.ChannelConnectivity.READY

    def _request(self, task: int, called: Signature, pixels: NDArray[Any]) -> bytes:
        pixels = called.pixels(pixels)
        common = wire.unchanging(called.model, pixels.shape, pixels.dtype, called.input, called.output)
        return wire.infer_request(common, task, pixels, None, 0.0)

    def _quoted(self, text: str) -> str:
        return Connection._quoted(self, text if self.token is None else self.token.hidden_in(text))


@contextlib.asynccontextmanager
async def endpoint_fleet(
    where: Where, specs: Sequence[WorkerSpec], on_lost: Callable[[int, str], None]
) -> AsyncIterator[Fleet]:
    """Connect to the servers, yield the fleet once all of them serve the needed models, and disconnect at the end.

    Args:
        where: the servers' addresses, TLS files and token. Slots are assigned to the servers in turn.
        specs: what each slot must serve.
        on_lost: called once with index and reason for a slot whose connection broke.

    Raises:
        UsageError: an address, a certificate or a key is not valid, or the token would be sent unencrypted.
        ModelError: a server does not serve a model, or serves a different one.
        FleetError: a server cannot be reached.
    """
    addresses = [address(text) for text in where.endpoint]
    check_token(addresses, where.token)
    secure = None
    if any(at.secure for at in addresses):
        secure = credentials(where.tls_ca, where.tls_cert, where.tls_key)
    elif given := [name for name in ("tls_ca", "tls_cert", "tls_key") if getattr(where, name) is not None]:
        names = " and ".join(f"--{name.replace('_', '-')}" for name in given)
        raise UsageError(
            f"{names} {'has' if len(given) == 1 else 'have'} no effect on {addresses[0]}, which is not encrypted: use "
            f"grpcs://, or leave {'it' if len(given) == 1 else 'them'} out"
        )
    fleet = Fleet(on_lost, lambda worker: None, CANNOT["endpoint"])
    slots = [_slot(spec, addresses[place % len(addresses)], where, secure) for place, spec in enumerate(specs)]
    try:
        fleet.take_in(slots)
        await _check(slots)
        if where.pixel_scale is not None and not any(slot.scales for slot in slots):
            raise UsageError("--pixel-scale has no effect on models that take UINT8, as those of all endpoints do")
        fleet.facts.update({slot.host: slot.versions for slot in slots})
        yield fleet
    finally:
        await to_its_end(fleet.close())


async def _check(slots: Sequence[Slot]) -> None:
    """Check that all slots are ready; raise the error of the first that is not, and name the other failing servers."""
    checks = await asyncio.gather(*(slot.ready(REACH_WITHIN) for slot in slots), return_exceptions=True)
    failed: dict[str, BaseException] = {}
    for slot, error in zip(slots, checks, strict=True):
        if error is not None:
            failed.setdefault(slot.host, error)
    if not failed:
        return
    (_, first), *others = failed.items()
    if isinstance(first, CollagebenchError) and others:
        more = f" and {len(others) - SHOWN} more" if len(others) > SHOWN else ""
        raise type(first)(f"{first}; also failing: {', '.join(host for host, _ in others[:SHOWN])}{more}")
    raise first


def _slot(spec: WorkerSpec, at: Address, where: Where, secure: grpc.ChannelCredentials | None) -> Slot:
    return Slot(
        spec.index,
        at.target,
        host=str(at),
        credentials=secure if at.secure else None,
        metadata=None if where.token is None else where.token.metadata,
        options=(("grpc.default_authority", at.target), ("grpc.max_receive_message_length", MOST_BYTES)),
        at=at,
        needed={model.name: model for model in spec.models},
        token=where.token,
        scale=where.pixel_scale,
    )


def check_token(addresses: Sequence[Address], token: Token | None) -> None:
    """Check that the token does not leave this machine unencrypted.

    Raises:
        UsageError: it would.
    """
    for at in addresses:
        if token is not None and not at.secure and not at.is_loopback:
            raise UsageError(
                f"the token would travel to {at} in the clear, where anybody on the way can read it: use grpcs://, "
                "or leave it out"
            )


async def times(fleet: Fleet, sizes: Sequence[tuple[ModelFile, int]]) -> dict[tuple[str, int], float]:
    """Return the seconds of an inference, including the network, by model and batch size.

    Each is the median over several inferences, one at a time, on every server that serves the model.

    Raises:
        FleetError: an inference fails.
    """
    found: dict[tuple[str, int], float] = {}
    for model, size in sizes:
        blank = np.zeros((size, *model.input), model.dtype)
        serving = {slot.host: slot for slot in fleet if isinstance(slot, Slot) and model.name in slot.needed}
        took: list[float] = []
        for slot in serving.values():
            took += await _timed(slot, model.name, blank)
        found[model.name, size] = median(took)
    return found


async def _timed(slot: Slot, model: str, blank: NDArray[Any]) -> list[float]:
    took: list[float] = []
    end = time.perf_counter() + TIMED_SECONDS
    try:
        while len(took) < TIMED and (len(took) < 3 or time.perf_counter() < end):
            began = time.perf_counter()
            await slot.infer(len(took), model, blank, None, 0.0, FIRST_WITHIN)
            took.append(time.perf_counter() - began)
    except TaskError as error:
        raise FleetError(f"{error.detail} while its inferences were timed") from None
    return took
