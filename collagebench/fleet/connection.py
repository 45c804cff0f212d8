"""A client's connection to one worker: the Open Inference Protocol over gRPC, and what can go wrong with it.

A call ends in one of six ways: a `Reply`, a `TaskError` with one of four reasons, or the cancellation of the asyncio
task that waits for it, which takes the call back:

    lost       the worker is gone, or went before it answered
    crashed    the same, but it was made to crash and comes back
    deadline   no answer came in time; a worker that is stopped, not dead, shows itself in no other way
    refused    the worker answered that it cannot do this
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

import grpc
import grpc.aio
import numpy as np
from numpy.typing import NDArray
from open_inference.grpc import protocol

from collagebench.worker import wire

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

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason: Reason = reason
        self.detail = detail


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
    _common: dict[tuple[str, tuple[int, ...], str], bytes] = field(init=False, repr=False, default_factory=dict)
    """The unchanging part of a request, by model, shape and type of the image."""

    def __post_init__(self) -> None:
        self._connect()

    def _connect(self) -> None:
        options = list({**dict(CHANNEL_OPTIONS), **dict(self.options)}.items())
        if self.credentials is None:
            self._channel = grpc.aio.insecure_channel(self.target, options=options)
        else:
            self._channel = grpc.aio.secure_channel(self.target, self.credentials, options=options)
        self._infer = self._method("ModelInfer")

    def _method(self, name: str) -> Any:
        """Return a call that takes a serialized request."""
        return self._channel.unary_unary(
            f"/{wire.SERVICE}/{name}",
            request_serializer=None,
            response_deserializer=getattr(protocol, f"{name}Response").FromString,
        )

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

    async def ready(self, timeout: float) -> None:
        """Connect, and return once the worker says that it is ready.

        Raises:
            TaskError: it does not say so within `timeout` seconds.
        """
        try:
            response = await self._method("ServerReady")(b"", timeout=timeout, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            raise self._error(error, timeout) from None
        if not response.ready:
            raise TaskError("refused", f"worker {self.index} says that it is not ready")

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
            raise TaskError("lost", f"worker {self.index} is gone: {self.lost}")
        if self.crashed:
            raise TaskError("crashed", f"worker {self.index} was made to crash and is not yet back")
        crashes = self._crashes
        kind = (model, pixels.shape, pixels.dtype.name)
        common = self._common.get(kind)
        if common is None:
            common = self._common[kind] = wire.unchanging(*kind)
        try:
            request = wire.infer_request(common, task, pixels, mode, amount)
            response = await self._infer(request, timeout=timeout, metadata=self.metadata)
        except grpc.aio.AioRpcError as error:
            failure = self._error(error, timeout)
            if failure.reason == "lost" and crashes != self._crashes and self.lost is None:
                failure = TaskError("crashed", f"worker {self.index} was made to crash")
            raise failure from None
        return self._reply(response)

    def _reply(self, response: Any) -> Reply:
        outputs = None
        if response.outputs:
            output = response.outputs[0]
            raw = response.raw_output_contents
            if output.datatype != "FP32":
                raise TaskError("refused", f"worker {self.index} answered with {output.datatype}, not FP32")
            values = np.frombuffer(raw[0], np.float32) if raw else np.array(output.contents.fp32_contents, np.float32)
            outputs = values.reshape(output.shape)
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
        code, details = error.code(), error.details()
        if code is grpc.StatusCode.DEADLINE_EXCEEDED:
            return TaskError("deadline", f"worker {self.index} did not answer within {timeout:g} s")
        if code in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED):
            return TaskError("lost", f"worker {self.index} is gone: {self.lost or details}")
        return TaskError("refused", f"worker {self.index} refused the task: {details} ({code.name})")

    async def close(self) -> None:
        """Hang up; calls that still wait are cancelled."""
        await self._channel.close()
