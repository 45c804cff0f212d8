"""A worker inside another program's process answers only callers with its certificate and the token."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
from real_processes import ROOT, SPEC, SUMS

from collagebench.fleet.bearer import Token
from collagebench.fleet.connection import Connection, TaskError
from collagebench.fleet.ray import connection_to
from collagebench.worker import wire
from collagebench.worker.certificate import NAME
from collagebench.worker.doorkeeper import digest
from collagebench.worker.spec import WorkerSpec, to_json

pytest.importorskip("cryptography", reason="the ray extra makes certificates with it")
pytestmark = pytest.mark.processes

TOKEN = Token("tok-0d1c97aa")
PIXELS = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
PROGRAM = """
import json, sys
from pathlib import Path
from collagebench.worker.guest import Guest
order = json.loads(sys.stdin.readline())
contents = [Path(model["path"]).read_bytes() for model in order["spec"]["models"]]
guest = Guest()
report = guest.started(order, "127.0.0.1", contents)
report["certificate"] = report.get("certificate", b"").decode()
print(json.dumps(report), flush=True)
sys.stdin.readline()
"""


class Started:
    """A guest's process and its report."""

    def __init__(self, spec: WorkerSpec, compute: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", PROGRAM],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PYTHONPATH": ROOT},
            text=True,
        )
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        order = {"spec": to_json(spec), "compute": compute, "digest": digest(TOKEN.value)}
        self.process.stdin.write(json.dumps(order) + "\n")
        self.process.stdin.flush()
        report = json.loads(self.process.stdout.readline())
        self.report = {**report, "node": "127.0.0.1", "certificate": report["certificate"].encode()}

    def end(self) -> str:
        """Kill the process; return what it printed after its report, and its errors."""
        self.process.kill()
        return "".join(self.process.communicate())


@pytest.fixture(scope="module")
def guest() -> Iterator[Started]:
    """Return a guest that computes."""
    started = Started(SPEC, "real")
    yield started
    started.end()


def with_connection(connect: Any, body: Any) -> Any:
    """Open a connection, and return what `body` returns for it."""

    async def main() -> Any:
        connection: Connection = connect()
        try:
            return await body(connection)
        finally:
            await connection.close()

    return asyncio.run(main())


def test_it_computes_and_reports_its_times(guest: Started) -> None:
    """A guest computes and reports times like any worker, and its models' digests are those of what it was sent."""

    async def body(connection: Connection) -> None:
        await connection.ready(10)
        reply = await connection.infer(1, "sums", PIXELS, "floor", 0.01, 10)
        np.testing.assert_array_equal(reply.outputs, PIXELS.sum(axis=(1, 2), dtype=np.float32))
        assert reply.service >= 0.01

    with_connection(lambda: connection_to(SPEC, guest.report, TOKEN), body)
    assert guest.report["sha256"] == {"sums": SUMS.sha256, "again": SUMS.sha256}


def refusal(report: dict[str, Any], token: Token = TOKEN) -> str | None:
    """Return the gRPC status with which a call fails."""

    async def body(connection: Connection) -> str | None:
        with pytest.raises(TaskError) as caught:
            await connection.infer(1, "sums", PIXELS, None, 0.0, 60)
        return caught.value.status

    status: str | None = with_connection(lambda: connection_to(SPEC, report, token), body)
    return status


def test_another_token_is_refused(guest: Started) -> None:
    """A call with another token ends with UNAUTHENTICATED."""
    assert refusal(guest.report, Token("tok-another")) == "UNAUTHENTICATED"


def test_another_certificate_is_not_trusted(guest: Started) -> None:
    """A client with another worker's certificate cannot connect, because anybody might be answering."""
    other = Started(SPEC, "emulated")
    try:
        assert other.report["certificate"] != guest.report["certificate"]
        assert refusal({**guest.report, "certificate": other.report["certificate"]}) == "UNAVAILABLE"
    finally:
        other.end()


def test_nothing_is_served_unencrypted(guest: Started) -> None:
    """A call without TLS gets no answer, even with the token."""

    async def main() -> grpc.StatusCode:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{guest.report['port']}") as channel:
            call = channel.unary_unary(f"/{wire.SERVICE}/ServerLive")(b"", metadata=TOKEN.metadata, timeout=60)
            code: grpc.StatusCode = await call.code()
            return code

    assert asyncio.run(main()) is grpc.StatusCode.UNAVAILABLE


def nonsense(guest: Started) -> list[grpc.StatusCode]:
    """Return the status codes of an invalid message with the token, and of a valid one after it."""

    async def main() -> list[grpc.StatusCode]:
        credentials = grpc.ssl_channel_credentials(guest.report["certificate"])
        options = [("grpc.ssl_target_name_override", NAME)]
        async with grpc.aio.secure_channel(f"127.0.0.1:{guest.report['port']}", credentials, options) as channel:
            codes = []
            for name, content in (("ModelInfer", b"\xff" * 1000), ("ServerLive", b"")):
                call = channel.unary_unary(f"/{wire.SERVICE}/{name}")(content, metadata=TOKEN.metadata, timeout=60)
                codes.append(await call.code())
            return codes

    return asyncio.run(main())


def test_what_is_no_message_does_not_end_it(guest: Started) -> None:
    """An invalid message with the token fails by itself, and the worker serves on."""
    refused, after = nonsense(guest)
    assert refused is not grpc.StatusCode.OK
    assert after is grpc.StatusCode.OK


def test_the_token_is_nowhere_in_its_process() -> None:
    """The token of its calls is not in a guest's command line, environment or output, even after bad calls."""
    guest = Started(SPEC, "emulated")
    try:
        nonsense(guest)
        refusal(guest.report, Token(f"{TOKEN.value}-longer"))
        place = Path(f"/proc/{guest.process.pid}")
        shown = [(place / name).read_bytes() for name in ("cmdline", "environ")]
    finally:
        log = guest.end()
    assert all(TOKEN.value.encode() not in content for content in shown)
    assert TOKEN.value not in log


@pytest.mark.parametrize(
    ("spec", "kind", "why"),
    [
        (WorkerSpec(0, (replace(SUMS, path=__file__),)), "model", "is not a complete ONNX model"),
        (WorkerSpec(0, (replace(SUMS, input=(8, 8, 3)),)), "model", "takes images of shape"),
    ],
)
def test_a_bad_model_is_reported(spec: WorkerSpec, kind: str, why: str) -> None:
    """A model that cannot be used is reported in a sentence."""
    started = Started(spec, "real")
    started.end()
    assert (started.report["event"], started.report["kind"]) == ("failed", kind)
    assert why in started.report["message"]
