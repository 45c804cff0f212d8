"""The Open Inference Protocol (version 2, over gRPC) for one worker's models.

Any client of the protocol is answered; only ours uses the parameters of `wire.py`. A model takes one input, `image`
(UINT8 [batch, height, width, channels]; FP32 if it takes coded images), and gives one output, `logits`
(FP32 [batch, …]). Tensors travel as raw bytes, or as typed contents if the request did.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any, Literal, cast

import grpc
import numpy as np
from numpy.typing import NDArray
from open_inference.grpc import protocol

from collagebench import __version__
from collagebench.stragglers.service import MODES, Mode
from collagebench.worker import wire
from collagebench.worker.inference import Hosted
from collagebench.worker.station import Served, Station, Work

VERSION = "1"
"""The only version of every model."""


class RequestError(Exception):
    """A request that cannot be served: a gRPC status and a message."""

    def __init__(self, status: Literal["NOT_FOUND", "INVALID_ARGUMENT"], sentence: str) -> None:
        super().__init__(sentence)
        self.code = getattr(grpc.StatusCode, status)


class Service:
    """The six calls of the protocol."""

    def __init__(self, models: Mapping[str, Hosted], station: Station) -> None:
        self._models = models
        self._station = station

    async def server_live(self, request: Any, context: Any) -> Any:
        """Whether the worker answers at all."""
        return protocol.ServerLiveResponse(live=True)

    async def server_ready(self, request: Any, context: Any) -> Any:
        """Whether every model is ready; a worker does not listen before that."""
        return protocol.ServerReadyResponse(ready=True)

    async def model_ready(self, request: Any, context: Any) -> Any:
        """Whether this model is served."""
        ready = request.name in self._models and request.version in ("", VERSION)
        return protocol.ModelReadyResponse(ready=ready)

    async def server_metadata(self, request: Any, context: Any) -> Any:
        """Name and version of the server."""
        return protocol.ServerMetadataResponse(name="collagebench", version=__version__)

    async def model_metadata(self, request: Any, context: Any) -> Any:
        """Names, types and shapes of a model's input and output; -1 is a free dimension."""
        try:
            model = self._model(request.name, request.version)
        except RequestError as error:
            await context.abort(error.code, str(error))
        tensor = protocol.ModelMetadataResponse.TensorMetadata
        batch = -1 if model.batch is None else model.batch
        outputs = []
        if model.output is not None:
            outputs.append(tensor(name=wire.OUTPUT, datatype="FP32", shape=[batch, *model.output]))
        return protocol.ModelMetadataResponse(
            name=model.name,
            versions=[VERSION],
            platform="emulated" if model.infer is None else "onnxruntime_onnx",
            inputs=[tensor(name=wire.INPUT, datatype=wire.DATATYPES[model.dtype], shape=[batch, *model.input])],
            outputs=outputs,
        )

    async def model_infer(self, request: Any, context: Any) -> Any:
        """Queue one inference and answer when its service time is over."""
        arrived = time.perf_counter()
        try:
            model = self._model(request.model_name, request.model_version)
            mode, amount = _injection(request)
            work = Work(model.infer, _pixels(request, model), mode, amount)
        except RequestError as error:
            await context.abort(error.code, str(error))
        try:
            served = await self._station.serve(work, arrived)
        except Exception as error:
            await context.abort(grpc.StatusCode.INTERNAL, f"inference of {model.name!r} failed: {error}")
        return _response(request, served)

    def _model(self, name: str, version: str) -> Hosted:
        model = self._models.get(name)
        if model is None:
            names = ", ".join(self._models) or "none"
            raise RequestError("NOT_FOUND", f"there is no model {name!r} here; the models are: {names}")
        if version not in ("", VERSION):
            raise RequestError("NOT_FOUND", f"model {name!r} has no version {version!r}, only {VERSION!r}")
        return model


def handler(service: Service) -> Any:
    """Return the generic handler through which a gRPC server calls `service`."""
    calls = {
        "ServerLive": service.server_live,
        "ServerReady": service.server_ready,
        "ModelReady": service.model_ready,
        "ServerMetadata": service.server_metadata,
        "ModelMetadata": service.model_metadata,
        "ModelInfer": service.model_infer,
    }
    methods = {
        name: grpc.unary_unary_rpc_method_handler(
            call,
            request_deserializer=getattr(protocol, f"{name}Request").FromString,
            response_serializer=getattr(protocol, f"{name}Response").SerializeToString,
        )
        for name, call in calls.items()
    }
    return grpc.method_handlers_generic_handler(wire.SERVICE, methods)


def _injection(request: Any) -> tuple[Mode | None, float]:
    """Return the mode and amount of the slowness that a request asks for; None and 0 if it asks for none."""
    parameters = request.parameters
    if wire.MODE not in parameters:
        return None, 0.0
    mode = parameters[wire.MODE].string_param
    if mode not in MODES:
        raise RequestError(
            "INVALID_ARGUMENT", f"parameter {wire.MODE} is {mode!r}; it must be one of {', '.join(MODES)}"
        )
    kind = parameters[wire.AMOUNT].WhichOneof("parameter_choice") if wire.AMOUNT in parameters else None
    amount = parameters[wire.AMOUNT].double_param if kind == "double_param" else math.nan
    if not 0.0 <= amount < math.inf:
        raise RequestError("INVALID_ARGUMENT", f"parameter {wire.AMOUNT} must be a finite double_param, 0 or more")
    return cast(Mode, mode), amount


def _pixels(request: Any, model: Hosted) -> NDArray[Any] | None:
    """Return the images of a request, [batch, height, width, channels] of the model's type; raw bytes are not copied.

    An emulated model computes nothing, so a request to it may omit the input; the result is then None.
    """
    if model.infer is None and not request.inputs:
        return None
    if [tensor.name for tensor in request.inputs] != [wire.INPUT]:
        names = ", ".join(repr(tensor.name) for tensor in request.inputs) or "none"
        raise RequestError(
            "INVALID_ARGUMENT", f"model {model.name!r} takes one input, {wire.INPUT!r}; the request has: {names}"
        )
    for output in request.outputs:
        if output.name != wire.OUTPUT:
            raise RequestError("INVALID_ARGUMENT", f"model {model.name!r} gives {wire.OUTPUT!r}, not {output.name!r}")
    tensor = request.inputs[0]
    datatype = wire.DATATYPES[model.dtype]
    if tensor.datatype != datatype:
        raise RequestError("INVALID_ARGUMENT", f"input {wire.INPUT!r} must be {datatype}, not {tensor.datatype!r}")
    shape = tuple(tensor.shape)
    batch = shape[0] if shape else 0
    if shape[1:] != model.input or batch < 1 or model.batch not in (None, batch):
        wanted = [-1 if model.batch is None else model.batch, *model.input]
        raise RequestError("INVALID_ARGUMENT", f"input {wire.INPUT!r} must have shape {wanted}, not {list(shape)}")
    values = _values(request, tensor, model.dtype)
    if values.size != math.prod(shape):
        raise RequestError(
            "INVALID_ARGUMENT",
            f"input {wire.INPUT!r} of shape {list(shape)} needs {math.prod(shape)} values, not {values.size}",
        )
    return values.reshape(shape)


def _values(request: Any, tensor: Any, dtype: str) -> NDArray[Any]:
    """Return the values of a request's input as a flat array."""
    raw = request.raw_input_contents
    typed = "uint_contents" if dtype == "uint8" else "fp32_contents"
    if len(raw) == 1 and not tensor.HasField("contents"):
        if len(raw[0]) % np.dtype(dtype).itemsize:
            raise RequestError(
                "INVALID_ARGUMENT", f"input {wire.INPUT!r} has {len(raw[0])} bytes, not a whole number of values"
            )
        return np.frombuffer(raw[0], dtype)
    if raw or not tensor.HasField("contents"):
        raise RequestError(
            "INVALID_ARGUMENT", f"input {wire.INPUT!r} must come either as one raw_input_contents or as {typed}"
        )
    if dtype == "float32":
        return np.asarray(tensor.contents.fp32_contents, np.float32)
    values = np.asarray(tensor.contents.uint_contents, np.uint32)
    if values.size and values.max() > 255:
        raise RequestError("INVALID_ARGUMENT", f"input {wire.INPUT!r} is UINT8 but holds {values.max()}")
    return values.astype(np.uint8)


def _response(request: Any, served: Served) -> Any:
    response = protocol.ModelInferResponse(model_name=request.model_name, model_version=VERSION, id=request.id)
    parameters = response.parameters
    parameters[wire.QUEUE].double_param = served.queue
    parameters[wire.COMPUTE].double_param = served.compute
    parameters[wire.INJECTED].double_param = served.injected
    parameters[wire.SERVICE_TIME].double_param = served.service
    if served.outputs is not None:
        output = response.outputs.add(name=wire.OUTPUT, datatype="FP32", shape=served.outputs.shape)
        if request.raw_input_contents:
            response.raw_output_contents.append(served.outputs.tobytes())
        else:
            output.contents.fp32_contents.extend(served.outputs.ravel())
    return response
