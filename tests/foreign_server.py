"""A foreign server of the Open Inference Protocol, in the test's process.

It reports no times and ignores parameters, as Triton and MLServer do; a test may make it hold, spoil or refuse replies.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import numpy as np
from numpy.typing import NDArray
from open_inference.grpc import protocol

from collagebench import zoo

SERVICE = "inference.GRPCInferenceService"
NUMPY = {"UINT8": np.uint8, "FP32": np.float32}


@dataclass
class Model:
    """A model as a server serves it; shapes have a first axis of -1, for batches."""

    classify: Callable[[NDArray[Any]], NDArray[np.float32]]
    input: tuple[int, ...]
    output: tuple[int, ...]
    image: str = "image"
    logits: str = "logits"
    datatype: str = "UINT8"


def sums(pixels: NDArray[Any]) -> NDArray[np.float32]:
    """Return the channel sums [n, 3] of images [n, h, w, 3]."""
    return pixels.sum(axis=(1, 2), dtype=np.float32)


SUMS = Model(sums, (-1, 4, 4, 3), (-1, 3))


def shapes(*roles: str) -> dict[str, Model]:
    """Return the shipped models for shapes of these roles (a collage of 3x3), under the manifest's names."""
    import onnxruntime

    found = {}
    for model in zoo.load():
        if (
            model.dataset == "shapes"
            and model.role in roles
            and (model.grid, model.head) in ((None, None), (3, "grid"))
        ):
            session = onnxruntime.InferenceSession(str(model.path), providers=["CPUExecutionProvider"])
            found[model.name] = Model(
                lambda pixels, session=session: session.run(["logits"], {"image": pixels})[0],
                (-1, *model.input),
                (-1, *model.output),
            )
    return found


@dataclass
class Server:
    """A running server; a test can change at any time how it answers a call."""

    models: dict[str, Model]
    token: str | None = None
    port: int = 0
    instead: dict[str, Callable[[bytes, Any], Any]] = field(default_factory=dict)
    """Functions that answer calls instead of the server, by the call's name, with bytes or a message."""
    go_on: threading.Event = field(default_factory=threading.Event)
    """Inferences wait until it is set."""
    inferred: list[Any] = field(default_factory=list)
    """Every request for an inference."""
    at_once: int = 0
    most_at_once: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)
    grpc: Any = None

    @property
    def url(self) -> str:
        """Its address."""
        return f"grpc://localhost:{self.port}"

    def stop(self) -> None:
        """Stop at once."""
        self.grpc.stop(None)  # which cancels the calls in progress
        self.go_on.set()

    def called(self, name: str, content: bytes, context: Any) -> bytes:
        """Answer one call."""
        if self.token is not None:
            shown = dict(context.invocation_metadata()).get("authorization")
            if shown != f"Bearer {self.token}":
                context.abort(grpc.StatusCode.UNAUTHENTICATED, f"not the token: {shown}")
        answer = self.instead.get(name, getattr(self, name))(content, context)
        return answer if isinstance(answer, bytes) else answer.SerializeToString()

    def ServerMetadata(self, content: bytes, context: Any) -> Any:  # noqa: N802 - the protocol's name
        """Return the server's name and version."""
        return protocol.ServerMetadataResponse(name="foreign", version="7")

    def ModelReady(self, content: bytes, context: Any) -> Any:  # noqa: N802
        """Say whether the server has a model."""
        return protocol.ModelReadyResponse(ready=protocol.ModelReadyRequest.FromString(content).name in self.models)

    def ModelMetadata(self, content: bytes, context: Any) -> Any:  # noqa: N802
        """Describe a model."""
        name = protocol.ModelMetadataRequest.FromString(content).name
        model, tensor = self.models[name], protocol.ModelMetadataResponse.TensorMetadata
        return protocol.ModelMetadataResponse(
            name=name,
            inputs=[tensor(name=model.image, datatype=model.datatype, shape=model.input)],
            outputs=[tensor(name=model.logits, datatype="FP32", shape=model.output)],
        )

    def ModelInfer(self, content: bytes, context: Any) -> Any:  # noqa: N802
        """Classify images, once `go_on` is set."""
        request = protocol.ModelInferRequest.FromString(content)
        model = self.models[request.model_name]
        (image,) = request.inputs
        assert (image.name, image.datatype) == (model.image, model.datatype)
        assert [output.name for output in request.outputs] == [model.logits]
        with self.lock:
            self.inferred.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            self.go_on.wait()
            pixels = np.frombuffer(request.raw_input_contents[0], NUMPY[image.datatype]).reshape(tuple(image.shape))
            return reply(model.classify(pixels), model.logits)
        finally:
            with self.lock:
                self.at_once -= 1


def reply(values: NDArray[np.float32], name: str = "logits", datatype: str = "FP32") -> Any:
    """Return a response with these values."""
    response = protocol.ModelInferResponse(raw_output_contents=[values.tobytes()])
    response.outputs.add(name=name, datatype=datatype, shape=values.shape)
    return response


@contextlib.contextmanager
def serving(
    models: Mapping[str, Model], token: str | None = None, credentials: Any = None, port: int = 0
) -> Iterator[Server]:
    """Run a server on the loopback interface, with TLS where there are credentials."""
    server = Server(dict(models), token)
    server.go_on.set()
    names = ("ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer")
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            lambda content, context, name=name: server.called(name, content, context)
        )
        for name in names
    }
    server.grpc = grpc.server(
        ThreadPoolExecutor(16),
        (grpc.method_handlers_generic_handler(SERVICE, handlers),),
        options=[("grpc.so_reuseport", 0)],
    )
    at = f"localhost:{port}"
    server.port = (
        server.grpc.add_insecure_port(at) if credentials is None else server.grpc.add_secure_port(at, credentials)
    )
    server.grpc.start()
    try:
        yield server
    finally:
        server.stop()


def certificates(directory: Path) -> dict[str, Path]:
    """Make a certificate authority, and certificates that it signs of a server called localhost and of a client.

    Returns the files, by name: `ca`, and `server`, `client` with their `-key`. Needs the program openssl.
    """
    import subprocess

    def openssl(*arguments: Any) -> None:
        subprocess.run(["openssl", *map(str, arguments)], check=True, capture_output=True, timeout=30)

    files = {
        name: directory / f"{name}.pem" for name in ("ca", "ca-key", "server", "server-key", "client", "client-key")
    }
    new = ("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", 2)
    openssl(*new, "-subj", "/CN=authority", "-keyout", files["ca-key"], "-out", files["ca"])
    for name in ("server", "client"):
        openssl(
            *new,
            *(
                "-subj",
                f"/CN={name}",
                "-addext",
                "subjectAltName=DNS:localhost",
                "-addext",
                "basicConstraints=CA:FALSE",
            ),
            *("-CA", files["ca"], "-CAkey", files["ca-key"], "-keyout", files[f"{name}-key"], "-out", files[name]),
        )
    return files
