"""A client's connection to one worker: the Open Inference Protocol over gRPC, and what can go wrong with it.

A call ends in one of six ways: a `Reply`, a `TaskError` with one of four reasons, or the cancellation of the asyncio
task that waits for it, which takes the call back:

    lost       the worker is gone, or went before it answered
    crashed    the same, but it was made to crash and comes back
    deadline   no answer came in time; a worker that is stopped, not dead, shows itself in no other way
    refused    the worker answered that it cannot do this
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any, Literal

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray
from open_inference.grpc import protocol

from collagebench.fleet.reply import MalformedReply, parsed, tensor
from collagebench.worker import wire

GRACE = 0.5
"""Seconds after its time-out that a call is given up from here: gRPC keeps none for a request that it cannot send, as
to a stopped worker whose socket is full."""
QUOTED = 300
"""Characters that a sentence repeats of what a server says."""

CHANNEL_OPTIONS = [
    *wire.MESSAGE_SIZES,
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_retries", 0),  # a task sent twice in secret would be measured wrongly
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]

Reason = Literal["lost", "crashed", "deadline", "refused"]


@dataclass(frozen=True, slots=True)
class Reply:
    """What a worker answered; times in seconds by its own clock, None where a foreign server reports none."""

    outputs: NDArray[np.float32] | None
    """[batch, …]; None from a worker that computes nothing."""
    queue: float | None
    """Waiting in the worker before service began."""
    compute: float | None
    injected: float | None
    service: float | None
    """compute + injected."""


class TaskError(Exception):
    """A task that a worker will not answer: the reason in one word, and a sentence."""

    def __init__(self, reason: Reason, detail: str, status: str | None = None) -> None:
        """`status` is gRPC's name for what went wrong, where it was gRPC that said so."""
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
        self.status = status


def _is_cancelled() -> bool:
    """Say whether somebody has cancelled the task that runs; Python 3.10 does not know."""
    count: Any = getattr(asyncio.current_task(), "cancelling", lambda: 0)
    return bool(count())


@dataclass(slots=True)
class Connection:
    """One connected worker."""

    index: int
    target: str
    """What gRPC calls its address, for example `unix:/tmp/x/0.sock`."""
    pid: int | None = None
    host: str = "localhost"
    versions: dict[str, str] = field(default_factory=dict)
    lost: str | None = None
    """Why the worker is gone; None while it is there. Set by its fleet."""
    crashed: bool = False
    """Whether the worker was made to crash and is not yet back."""
    credentials: grpc.ChannelCredentials | None = field(default=None, repr=False)
    """Of a channel with TLS; None for one without."""
    metadata: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    """Sent with every call, for example a token."""
    options: tuple[tuple[str, Any], ...] = ()
    """Of the channel, in place of or beside `CHANNEL_OPTIONS`."""
    _crashes: int = field(init=False, repr=False, default=0)
    _channel: Any = field(init=False, repr=False)
    _infer: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._connect()

    @property
    def name(self) -> str:
        """How sentences call it."""
        return f"worker {self.index}"

    def _connect(self) -> None:
        options = list({**dict(CHANNEL_OPTIONS), **dict(self.options)}.items())
        if self.credentials is None:
            self._channel = grpc.aio.insecure_channel(self.target, options=options)
        else:
            self._channel = grpc.aio.secure_channel(self.target, self.credentials, options=options)
        self._infer = self._method("ModelInfer")

    def _method(self, name: str) -> Any:
        """Return a call that takes and returns serialized messages: gRPC itself makes None of what it cannot read."""
        return self._channel.unary_unary(f"/{wire.SERVICE}/{name}", request_serializer=None, response_deserializer=None)

    async def _called(self, name: str, request: bytes, timeout: float) -> Any:
        """Return the response to one call; raises what `infer` raises."""
        return self._parsed(name, await self._answer(self._method(name), request, timeout))

    async def _answer(self, method: Any, request: bytes, timeout: float) -> bytes:
        call = method(request, timeout=timeout, metadata=self.metadata)
        over = False

        def hang_up() -> None:
            nonlocal over
            over = True
            call.cancel()

        timer = asyncio.get_running_loop().call_later(timeout + GRACE, hang_up)
        try:
            content: bytes = await call
        except grpc.aio.AioRpcError as error:
            raise self._error(error, timeout) from None
        except asyncio.CancelledError:
            if not over or _is_cancelled():
                raise
            raise self._late(timeout) from None
        finally:
            timer.cancel()
        return content

    def _late(self, timeout: float) -> TaskError:
        code = grpc.StatusCode.DEADLINE_EXCEEDED
        return TaskError("deadline", f"{self.name} did not answer within {timeout:.3g} s", code.name)

    def _parsed(self, name: str, content: bytes) -> Any:
        try:
            return parsed(getattr(protocol, f"{name}Response"), content)
        except MalformedReply as error:
            raise TaskError("refused", f"{self.name} {error}") from None

    def crash(self) -> None:
        """Expect the worker to go and to come back: calls that this cuts short fail as `crashed`, as do later ones."""
        self.crashed = True
        self._crashes += 1

    async def come_back(self, pid: int, timeout: float) -> None:
        """Connect to the worker that was started again, as process `pid`.

        The channel is a new one: the old one might wait a second or more before it tries again.

        Raises:
            TaskError: it cannot be reached within `timeout` seconds.
        """
        old = self._channel
        self._connect()
        self.pid = pid
        await old.close(timeout)  # waits for calls that have yet to hear that their worker is gone
        await self.ready(timeout)
        self.crashed = False

    @property
    def waits_here(self) -> bool:
        """Whether the tasks that it has not begun wait in the client: then none can begin behind the client's back."""
        return False

    async def ready(self, timeout: float) -> None:
        """Connect, and return once the worker says that it is ready.

        Raises:
            TaskError: it does not say so within `timeout` seconds.
        """
        response = await self._called("ServerReady", b"", timeout)
        if not response.ready:
            raise TaskError("refused", f"{self.name} says that it is not ready")

    async def infer(
        self, task: int, model: str, pixels: NDArray[Any], mode: wire.Mode | None, amount: float, timeout: float
    ) -> Reply:
        """Have `model` classify `pixels` and return its answer.

        Cancelling the asyncio task that awaits this cancels the call; the worker drops it if it is still queued. Calls
        are served in the order in which they reach the worker: of two made within a millisecond of each other, gRPC
        delivers the second first now and then.

        Args:
            task: an id for the worker's eyes.
            model: the model's name.
            pixels: uint8 or float32 [batch, height, width, channels].
            mode: how `amount` slows the task down; None for not at all.
            amount: the straggler model's draw.
            timeout: seconds until the call is given up.

        Raises:
            TaskError: there will be no answer.
        """
        if self.lost is not None:
            raise TaskError("lost", f"{self.name} is gone: {self.lost}")
        if self.crashed:
            raise TaskError("crashed", f"{self.name} was made to crash and is not back yet")
        crashes = self._crashes
        common = wire.unchanging(model, pixels.shape, pixels.dtype)
        try:
            content = await self._answer(self._infer, wire.infer_request(common, task, pixels, mode, amount), timeout)
        except TaskError as failure:
            if failure.reason == "lost" and crashes != self._crashes and self.lost is None:
                raise TaskError("crashed", f"{self.name} was made to crash") from None
            raise
        return self._reply(self._parsed("ModelInfer", content))

    def _reply(self, response: Any) -> Reply:
        outputs = None
        if response.outputs:
            try:
                outputs = tensor(response, 0)
            except MalformedReply as error:
                raise TaskError("refused", f"{self.name} {error}") from None
        parameters = response.parameters
        if wire.SERVICE_TIME not in parameters:
            return Reply(outputs, None, None, None, None)
        return Reply(
            outputs,
            parameters[wire.QUEUE].double_param,
            parameters[wire.COMPUTE].double_param,
            parameters[wire.INJECTED].double_param,
            parameters[wire.SERVICE_TIME].double_param,
        )

    def _error(self, error: grpc.aio.AioRpcError, timeout: float) -> TaskError:
        code, details = error.code(), self._quoted((error.details() or "").rpartition("last error: ")[2])
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return self._late(timeout)
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return TaskError("lost", f"{self.name} is gone: {self.lost or details}", code.name)
        return TaskError("refused", f"{self.name} refused the task: {details} ({code.name})", code.name)

    def _quoted(self, text: str) -> str:
        """Return what the far end says, fit for a line of a terminal or a record."""
        text = "".join(sign if sign.isprintable() else " " for sign in text[: 2 * QUOTED])
        text = " ".join(text.split())
        return text if len(text) <= QUOTED else f"{text[:QUOTED]}…"

    async def close(self) -> None:
        """Hang up; calls that still wait are cancelled."""
        await self._channel.close()
