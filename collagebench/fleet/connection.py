"""The client's connection to one worker, by the Open Inference Protocol over gRPC, and the ways in which a call fails.

A call ends with a `Reply`, with a `TaskError` for one of four reasons, or with the cancellation of the asyncio task
that awaits it, which cancels the call too. The reasons:

    lost       the worker ended, or the connection broke, before it answered
    crashed    the same, but the worker was made to crash and will come back
    deadline   no answer came in time; the only sign of a worker that is stopped (SIGSTOP) but not dead
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
"""Seconds after its timeout until the client itself gives a call up. gRPC does not enforce the timeout of a request
that it cannot send, for example to a stopped worker whose socket is full."""
QUOTED = 300
"""Most characters of a server's text to quote in a message."""

CHANNEL_OPTIONS = [
    *wire.MESSAGE_SIZES,
    ("grpc.default_authority", "localhost"),
    ("grpc.enable_retries", 0),  # a task that gRPC resends unnoticed would be measured wrongly
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
]

Reason = Literal["lost", "crashed", "deadline", "refused"]


@dataclass(frozen=True, slots=True)
class Reply:
    """A worker's answer; times are in seconds by its own clock, None if a foreign server does not report them."""

    outputs: NDArray[np.float32] | None
    """[batch, …]; None from a worker that computes nothing."""
    queue: float | None
    """Time waiting in the worker's queue before the service began."""
    compute: float | None
    injected: float | None
    service: float | None
    """compute + injected."""


class TaskError(Exception):
    """A task that a worker will not answer: the reason as one word, and details as a sentence."""

    def __init__(self, reason: Reason, detail: str, status: str | None = None) -> None:
        """`status` is the name of gRPC's status code, if the failure came from gRPC."""
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail
        self.status = status


def _is_cancelled() -> bool:
    """Tell whether the current asyncio task has been cancelled; always False on Python 3.10, which cannot tell."""
    count: Any = getattr(asyncio.current_task(), "cancelling", lambda: 0)
    return bool(count())


@dataclass(slots=True)
class Connection:
    """One connected worker."""

    index: int
    target: str
    """Its address in gRPC's notation, for example `unix:/tmp/x/0.sock`."""
    pid: int | None = None
    host: str = "localhost"
    versions: dict[str, str] = field(default_factory=dict)
    lost: str | None = None
    """Why the worker is gone; None while it runs. Set by its fleet."""
    crashed: bool = False
    """Whether the worker was made to crash and is not back yet."""
    credentials: grpc.ChannelCredentials | None = field(default=None, repr=False)
    """TLS credentials of the channel; None for one without TLS."""
    metadata: tuple[tuple[str, str], ...] | None = field(default=None, repr=False)
    """Sent with every call, for example a token."""
    options: tuple[tuple[str, Any], ...] = ()
    """Channel options that add to or override `CHANNEL_OPTIONS`."""
    _crashes: int = field(init=False, repr=False, default=0)
    _channel: Any = field(init=False, repr=False)
    _infer: Any = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._connect()

    @property
    def name(self) -> str:
        """Its name in messages."""
        return f"worker {self.index}"

    def _connect(self) -> None:
        options = list({**dict(CHANNEL_OPTIONS), **dict(self.options)}.items())
        if self.credentials is None:
            self._channel = grpc.aio.insecure_channel(self.target, options=options)
        else:
            self._channel = grpc.aio.secure_channel(self.target, self.credentials, options=options)
        self._infer = self._method("ModelInfer")

    def _method(self, name: str) -> Any:
        """Return a call on serialized messages, because gRPC itself would turn an unreadable response into None."""
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
        """Expect the worker to end and come back; until then, calls (also those in progress) fail as `crashed`."""
        self.crashed = True
        self._crashes += 1

    async def come_back(self, pid: int, timeout: float) -> None:
        """Connect to the restarted worker, which is now process `pid`.

        This opens a new channel, because the old one might wait a second or more before it reconnects.

        Raises:
            TaskError: the worker cannot be reached within `timeout` seconds.
        """
        old = self._channel
        self._connect()
        self.pid = pid
        await old.close(timeout)  # lets calls in progress fail first, because their worker is gone
        await self.ready(timeout)
        self.crashed = False

    @property
    def waits_here(self) -> bool:
        """Whether tasks queue in the client; if so, none can begin without the client's knowledge."""
        return False

    async def ready(self, timeout: float) -> None:
        """Connect, and return once the worker reports that it is ready.

        Raises:
            TaskError: it does not within `timeout` seconds.
        """
        response = await self._called("ServerReady", b"", timeout)
        if not response.ready:
            raise TaskError("refused", f"{self.name} says that it is not ready")

    async def infer(
        self, task: int, model: str, pixels: NDArray[Any], mode: wire.Mode | None, amount: float, timeout: float
    ) -> Reply:
        """Let `model` classify `pixels`, and return the worker's reply.

        Cancelling the asyncio task that awaits this cancels the call; the worker drops it if it is still queued. Calls
        are served in the order in which they reach the worker. Of two calls made within a millisecond, gRPC sometimes
        delivers the second one first.

        Args:
            task: an id for the worker.
            model: the model's name.
            pixels: uint8 or float32 [batch, height, width, channels].
            mode: how `amount` slows the task down; None for no slowdown.
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
        """Return a server's text as one printable line of limited length, for messages and records."""
        text = "".join(sign if sign.isprintable() else " " for sign in text[: 2 * QUOTED])
        text = " ".join(text.split())
        return text if len(text) <= QUOTED else f"{text[:QUOTED]}…"

    async def close(self) -> None:
        """Close the channel; calls in progress are cancelled."""
        await self._channel.close()
