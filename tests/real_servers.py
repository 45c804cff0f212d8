"""Real inference servers, MLServer and Triton, that serve the shipped models.

Each is installed from PyPI into an environment of its own. As these have a few hundred megabytes each, they are kept,
in `$COLLAGEBENCH_SERVERS` (`~/.cache/collagebench/servers`).
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest

from collagebench import zoo

KEPT = Path(os.environ.get("COLLAGEBENCH_SERVERS", "~/.cache/collagebench/servers")).expanduser()
UP_WITHIN = 60.0

MLSERVER = """
    import onnxruntime
    from mlserver import MLModel
    from mlserver.codecs import NumpyCodec
    from mlserver.types import InferenceResponse


    class Onnx(MLModel):
        async def load(self) -> bool:
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            self.session = onnxruntime.InferenceSession(
                self.settings.parameters.uri, options, providers=["CPUExecutionProvider"]
            )
            return True

        async def predict(self, payload):
            image = NumpyCodec.decode_input(payload.inputs[0])
            logits = self.session.run(["logits"], {"image": image})[0]
            return InferenceResponse(model_name=self.name, outputs=[NumpyCodec.encode_output("logits", logits)])
"""

TRITON = """
    import json

    import onnxruntime
    import triton_python_backend_utils as pb_utils


    class TritonPythonModel:
        def initialize(self, args):
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            path = json.loads(args["model_config"])["parameters"]["onnx"]["string_value"]
            self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])

        def execute(self, requests):
            responses = []
            for request in requests:
                image = pb_utils.get_input_tensor_by_name(request, "image").as_numpy()
                logits = self.session.run(["logits"], {"image": image})[0]
                responses.append(pb_utils.InferenceResponse([pb_utils.Tensor("logits", logits)]))
            return responses
"""


@dataclass(frozen=True)
class Running:
    """A server that is up."""

    port: int
    process: subprocess.Popen[bytes]

    @property
    def url(self) -> str:
        """Its address."""
        return f"grpc://localhost:{self.port}"

    def kill(self) -> None:
        """Kill it and all processes that it started."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)


def environment(name: str, packages: Sequence[str]) -> Path:
    """Return the interpreter of an environment with these packages, making it first if there is none."""
    python = KEPT / name / "bin" / "python"
    done = KEPT / name / "done"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(KEPT / name)], check=True)
        install = [str(python), "-m", "pip", "install", "--quiet", *packages]
        if subprocess.run(install, check=False).returncode:
            pytest.skip(f"{', '.join(packages)} could not be installed")
        done.touch()
    return python


@contextlib.contextmanager
def mlserver(directory: Path) -> Iterator[Running]:
    """Run MLServer with a small runtime for ONNX models."""
    python = environment("mlserver", ["mlserver==1.7.1", "onnxruntime"])
    (directory / "onnx_runtime.py").write_text(textwrap.dedent(MLSERVER))
    for model in _models():
        settings = {
            "name": model.name,
            "implementation": "onnx_runtime.Onnx",
            "parameters": {"uri": str(model.path)},
            "inputs": [{"name": "image", "datatype": "UINT8", "shape": [-1, *model.input]}],
            "outputs": [{"name": "logits", "datatype": "FP32", "shape": [-1, *model.output]}],
        }
        (directory / model.name).mkdir()
        (directory / model.name / "model-settings.json").write_text(json.dumps(settings))
    port, http = _ports(2)
    settings = {"host": "127.0.0.1", "grpc_port": port, "http_port": http, "metrics_endpoint": None}
    (directory / "settings.json").write_text(json.dumps({**settings, "parallel_workers": 0, "debug": False}))
    with _running([python.with_name("mlserver"), "start", "."], directory, port, PYTHONPATH=".") as up:
        yield up


@contextlib.contextmanager
def triton(directory: Path) -> Iterator[Running]:
    """Run Triton from the wheel of PyTriton, on the CPU, with its Python backend."""
    python = environment("triton", ["nvidia-pytriton==0.7.0", "onnxruntime"])
    ask = "import sys, sysconfig as s; print(s.get_path('purelib'), s.get_config_var('LIBDIR'), s.get_python_version())"
    packages, libraries, version = subprocess.check_output([python, "-c", ask], text=True).split()
    server = Path(packages) / "pytriton" / "tritonserver"
    backend = directory / "backends" / "python"
    backend.mkdir(parents=True)
    for file in (*(server / "backends" / "python").glob("*.*"), *(server / "python_backend_stubs" / version).iterdir()):
        (backend / file.name).symlink_to(file)
    for model in _models():
        place = directory / "models" / model.name
        (place / "1").mkdir(parents=True)
        (place / "1" / "model.py").write_text(textwrap.dedent(TRITON))
        (place / "config.pbtxt").write_text(
            'backend: "python"\nmax_batch_size: 16\ninstance_group [ { kind: KIND_CPU count: 1 } ]\n'
            f'input [ {{ name: "image" data_type: TYPE_UINT8 dims: {list(model.input)} }} ]\n'
            f'output [ {{ name: "logits" data_type: TYPE_FP32 dims: {list(model.output)} }} ]\n'
            f'parameters [ {{ key: "onnx" value: {{ string_value: "{model.path}" }} }} ]\n'
        )
    port, http = _ports(2)
    command = [
        *(server / "bin" / "tritonserver", "--model-repository", "models", "--backend-directory", "backends"),
        *("--grpc-address", "127.0.0.1", "--grpc-port", port, "--http-address", "127.0.0.1", "--http-port", http),
        *("--allow-metrics", "false", "--disable-auto-complete-config"),
    ]
    path = f"{python.parent}:{os.environ['PATH']}"  # the backend finds its packages by it
    with _running(command, directory, port, PATH=path, LD_LIBRARY_PATH=libraries) as up:
        yield up


def _models() -> list[zoo.Model]:
    found = [model for model in zoo.load() if model.dataset == "shapes"]
    return [zoo.find(found, "single"), zoo.find(found, "collage", grid=3, head="grid")]


def _ports(count: int) -> list[int]:
    with contextlib.ExitStack() as held:
        sockets = [held.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [int(each.getsockname()[1]) for each in sockets]


@contextlib.contextmanager
def _running(command: Sequence[Any], directory: Path, port: int, **variables: str) -> Iterator[Running]:
    """Run a server in a process group of its own until the block ends."""
    with open(directory / "server.log", "wb") as log:
        process = subprocess.Popen(
            list(map(str, command)),
            cwd=directory,
            env={**os.environ, **variables},
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        running = Running(port, process)
        try:
            _wait(running, directory / "server.log")
            yield running
        finally:
            running.kill()
            process.wait()


def _wait(running: Running, log: Path) -> None:
    """Return once a server accepts gRPC connections; fail after `UP_WITHIN` seconds."""
    until = time.monotonic() + UP_WITHIN
    with grpc.insecure_channel(f"localhost:{running.port}") as channel:
        while running.process.poll() is None and time.monotonic() < until:
            with contextlib.suppress(grpc.FutureTimeoutError):
                grpc.channel_ready_future(channel).result(0.5)
                return
    pytest.fail(f"the server did not start: {log.read_text()[-2000:]}")
