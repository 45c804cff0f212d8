"""Servers that already run as workers: Triton, MLServer, KServe, whatever speaks the Open Inference Protocol over gRPC.

A worker of such a fleet is one *slot*: a connection that has one request on its way at a time. The others wait here, in
the client, in the order of sending. So a slot serves first come first served, like every worker of every other fleet,
whatever the server behind it does; a request that is taken back while it waits is never sent; and as many requests are
at one server at once as it has slots. A server whose address is given several times has several.

Such a server knows nothing of injected slowness and reports no times of its own. So slowness is injected here: the
slot holds the reply back, and takes no other request, until the time has passed that the draw asks for, counted from
when the request was sent. Queue, computing and service are not known, and stay empty.

Nothing is started and nothing taken down. A connection that breaks, or a reply that does not come, loses the slot for
the rest of the run, as in every fleet, also if the server comes back: what the run would measure from then on is not
what it was asked to. A server that refuses a request fails that request only.
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
from collagebench.fleet.fleet import Fleet
from collagebench.fleet.reply import MalformedReply, logits
from collagebench.fleet.signature import Signature, signature
from collagebench.fleet.tls import credentials
from collagebench.fleet.where import CANNOT, Where
from collagebench.stragglers.service import service_time
from collagebench.worker import wire
from collagebench.worker.spec import ModelFile, WorkerSpec

REACH_WITHIN = 10.0
"""Seconds that a server gets to say what it serves."""
FIRST_WITHIN = 60.0
"""Seconds that its first inference may take, for which it may have to load a model."""
BREAKS_WITHIN = 0.05
"""Seconds in which a connection that has broken says so."""
TIMED, TIMED_SECONDS = 15, 2.0
"""Inferences of each kind that are timed, or for how long at most, of three at least."""
SHOWN = 5
"""Servers that a sentence names beside the one that it is about."""
MOST_BYTES = 4 << 20
"""Of one reply; outputs are a hundredth of that."""


@dataclass(slots=True)
class Slot(Connection):
    """One slot of a server."""

    at: Address = field(kw_only=True)
    needed: Mapping[str, ModelFile] = field(kw_only=True)
    """The models that it must serve, by what the manifest calls them."""
    token: Token | None = field(kw_only=True, default=None, repr=False)
    scale: float | None = field(kw_only=True, default=None)
    """What pixels are multiplied by for a model that takes FP32."""
    _signatures: dict[str, Signature] = field(init=False, repr=False, default_factory=dict)
    _turn: asyncio.Lock = field(init=False, repr=False, default_factory=asyncio.Lock)

    @property
    def name(self) -> str:
        """How sentences call it."""
        return f"worker {self.index} at {self.at}"

    @property
    def waits_here(self) -> bool:
        """Tasks queue in the client, so that none has begun behind its back."""
        return True

    async def ready(self, timeout: float) -> None:
        """See that the server serves what is needed, and have each model answer once.

        Raises:
            FleetError: the server cannot be reached, or is none of the protocol's.
            ModelError: a model is not there, not ready, or not the one that is needed.
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
        """Whether a model of it takes pixels that are multiplied by something."""
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
        if "WRONG_VERSION_NUMBER" in why:
            return (
                f"{self.at} cannot be reached: it does not speak TLS ({why}); if the network to it is trusted, use "
                "grpc://"
            )
        return f"{self.at} cannot be reached: {why}; check that the server runs, and that this is its port"

    async def infer(
        self, task: int, model: str, pixels: NDArray[Any], mode: wire.Mode | None, amount: float, timeout: float
    ) -> Reply:
        """Do what a `Connection` does, once it is this call's turn."""
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
        """Say whether the connection still stands: then it was the server itself that had no room for a request.

        That a connection has broken may take gRPC a moment to say, so it is asked a moment later.
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
    """Connect to the servers, yield the fleet once each has shown that it serves what is needed, and hang up.

    Args:
        where: the servers' addresses, and what they want to know of this client. Slots are dealt to them in turn.
        specs: what each slot must serve.
        on_lost: called once with index and reason for a slot whose connection broke.

    Raises:
        UsageError: an address, a certificate or a key makes no sense, or a token would travel in the open.
        ModelError: a server does not serve a model, or another one.
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
        await fleet.close()


async def _check(slots: Sequence[Slot]) -> None:
    """See that all slots are ready; the error is that of the first that is not, and names the other servers."""
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
    """See that a token does not leave this machine unencrypted.

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
    """Return the seconds that an inference takes, the way there and back included, by model and size of the batch.

    The median over a few at each server that serves the model, one at a time.

    Raises:
        FleetError: one fails.
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
