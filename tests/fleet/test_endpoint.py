"""Slots of foreign servers: their answers, their queues, and how every kind of bad server is handled."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from foreign_server import SUMS, Server, certificates, reply, serving
from open_inference.grpc import protocol

from collagebench.errors import CollagebenchError, FleetError, ModelError, UsageError
from collagebench.fleet import CANNOT, Where, WorkerSpec, endpoint
from collagebench.fleet.bearer import Token
from collagebench.fleet.connection import Connection, TaskError
from collagebench.fleet.fleet import Fleet
from collagebench.worker.spec import Disturbance, ModelFile

MODEL = ModelFile("sums", "sums.onnx", "", (4, 4, 3), "uint8", (3,))
PIXELS = np.arange(48, dtype=np.uint8).reshape(1, 4, 4, 3)
SECRET = "tok-3f9a51c07e"
Body = Callable[[Fleet], Awaitable[Any]]


@pytest.fixture
def server() -> Iterator[Server]:
    """Return a server with one model."""
    with serving({"sums": SUMS}) as running:
        yield running


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return the certificates of an authority, a server and a client."""
    return certificates(tmp_path_factory.mktemp("certificates"))


def with_fleet(body: Body, *urls: str, slots: int | None = None, model: ModelFile = MODEL, **asked: Any) -> Any:
    """Return what `body` returns of a fleet of endpoints."""
    where = Where("endpoint", endpoint=urls, **asked)
    specs = [WorkerSpec(index, (model,)) for index in range(slots or len(urls))]

    async def main() -> Any:
        async with endpoint.endpoint_fleet(where, specs, lambda worker, reason: None) as fleet:
            return await body(fleet)

    return asyncio.run(main())


async def nothing(fleet: Fleet) -> None:
    """Do nothing with a fleet that is up."""


def infer(slot: Connection, mode: Any = None, amount: float = 0.0, timeout: float = 10.0) -> Any:
    """Return the coroutine of one call."""
    return slot.infer(1, "sums", PIXELS, mode, amount, timeout)


async def until(condition: Callable[[], bool]) -> None:
    """Return once a condition holds that depends on the server's threads."""
    while not condition():
        await asyncio.sleep(0.001)


def test_the_answer_is_the_models_and_times_are_not_known(server: Server) -> None:
    """The outputs are the model's, and times that the server does not report are None."""

    async def body(fleet: Fleet) -> None:
        (slot,) = fleet
        answer = await infer(slot)
        np.testing.assert_array_equal(answer.outputs, PIXELS.sum(axis=(1, 2), dtype=np.float32))
        assert (answer.queue, answer.compute, answer.injected, answer.service) == (None, None, None, None)
        assert fleet.hosts == [{"host": server.url, "workers": 1, "server": "foreign 7"}]

    with_fleet(body, f"{server.url}/sums")


def test_models_are_called_by_the_servers_names(server: Server) -> None:
    """The path names the model, the metadata name its input and output, and FP32 pixels are scaled."""
    server.models["v1/photos"] = replace(SUMS, image="x", logits="y", datatype="FP32")

    async def body(fleet: Fleet) -> None:
        answer = await infer(*fleet)
        np.testing.assert_allclose(answer.outputs, PIXELS.sum(axis=(1, 2)) / 255, rtol=1e-5)

    with_fleet(body, f"{server.url}/v1/photos", pixel_scale=1 / 255)


def test_inferences_are_timed_at_every_server_that_serves_the_model() -> None:
    """Each server that has a model is timed with it, whichever of its slots hold the model."""
    more = replace(MODEL, name="more")
    with serving({"sums": SUMS, "more": SUMS}) as first, serving({"sums": SUMS, "more": SUMS}) as second:
        specs = [WorkerSpec(index, models) for index, models in enumerate([(MODEL,), (MODEL,), (more,), (more,)])]

        async def main() -> dict[tuple[str, int], float]:
            where = Where("endpoint", endpoint=(first.url, second.url))
            async with endpoint.endpoint_fleet(where, specs, lambda worker, reason: None) as fleet:
                for server in (first, second):
                    server.inferred.clear()
                return await endpoint.times(fleet, [(MODEL, 1), (more, 2)])

        took = asyncio.run(main())
        assert {key for key, seconds in took.items() if seconds > 0} == {("sums", 1), ("more", 2)}
        for server in (first, second):
            assert {call.model_name for call in server.inferred} == {"sums", "more"}


def test_a_slot_has_one_request_on_its_way(server: Server) -> None:
    """A slot sends one request at a time and the others wait in the client; a server named twice has two slots."""

    async def body(fleet: Fleet) -> None:
        before = len(server.inferred)
        server.go_on.clear()
        calls = [asyncio.ensure_future(infer(slot)) for slot in fleet for _ in range(3)]
        await until(lambda: server.at_once == 2)
        server.go_on.set()
        await asyncio.gather(*calls)
        assert server.most_at_once == 2
        assert len(server.inferred) == before + 6

    with_fleet(body, server.url, server.url)


def test_a_request_that_is_taken_back_while_it_waits_is_never_sent(server: Server) -> None:
    """A request cancelled while it waits is never sent; those behind it are, in order."""

    async def body(fleet: Fleet) -> None:
        (slot,) = fleet
        server.go_on.clear()
        calls = [asyncio.ensure_future(slot.infer(n, "sums", PIXELS, None, 0.0, 10)) for n in range(7, 11)]
        await until(lambda: server.at_once == 1)
        calls[1].cancel()
        server.go_on.set()
        await asyncio.gather(*calls, return_exceptions=True)
        assert [request.id for request in server.inferred[-3:]] == ["7", "9", "10"]

    with_fleet(body, server.url)


@pytest.mark.parametrize(("mode", "amount", "least"), [("floor", 0.05, 0.05), ("add", 0.05, 0.05), ("scale", 3, 0)])
def test_slowness_is_injected_here(server: Server, mode: str, amount: float, least: float) -> None:
    """Slowness is injected by the client, which keeps the slot for that time; the server gets no parameters."""

    async def body(fleet: Fleet) -> None:
        (slot,) = fleet
        began = time.perf_counter()
        answers = await asyncio.gather(infer(slot, mode, amount), infer(slot, mode, amount))
        assert time.perf_counter() - began >= 2 * least
        assert all(answer.injected > 0 and answer.service is None for answer in answers)
        assert not server.inferred[-1].parameters

    with_fleet(body, server.url)


def test_such_workers_are_not_disturbed(server: Server) -> None:
    """Workers at a foreign server can be neither disturbed nor crashed."""

    async def body(fleet: Fleet) -> None:
        with pytest.raises(FleetError, match="cannot be stopped"):
            await fleet.disturb(Disturbance("stop", (0,)))
        with pytest.raises(FleetError) as caught:
            fleet.crash(0, 1.0)
        assert str(caught.value) == CANNOT["endpoint"]

    with_fleet(body, server.url)


@pytest.fixture
def down() -> Iterator[list[str]]:
    """Return two addresses at which nothing listens; their ports are held, so that nothing else can."""
    with socket.socket() as first, socket.socket() as second:
        for held in (first, second):
            held.bind(("localhost", 0))
        yield [f"grpc://localhost:{held.getsockname()[1]}" for held in (first, second)]


def refusal(*urls: str, error: type[CollagebenchError], **asked: Any) -> str:
    """Return the message with which a fleet is refused, which must be printable and short."""
    with pytest.raises(error) as caught:
        with_fleet(nothing, *urls, **asked)
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 800
    return text


def test_a_server_that_is_down(server: Server, down: list[str]) -> None:
    """All servers that are down are named in one error, and those that are up are not."""
    text = refusal(server.url, *down, error=FleetError)
    assert text.startswith(f"{down[0]} cannot be reached: ")
    assert text.endswith(f"; also failing: {down[1]}")


def test_a_host_that_is_not_known() -> None:
    """A host name that does not resolve is reported as unreachable."""
    assert "grpc://no-such-host.invalid:1 cannot be reached" in refusal(
        "grpc://no-such-host.invalid:1", error=FleetError
    )


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give servers only 0.3 s to say what they serve."""
    monkeypatch.setattr(endpoint, "REACH_WITHIN", 0.3)


@pytest.mark.usefixtures("impatient")
def test_a_server_that_accepts_and_says_nothing() -> None:
    """A server that accepts connections but does not answer is refused after the deadline."""
    with socket.create_server(("localhost", 0)) as silent:
        url = f"grpc://localhost:{silent.getsockname()[1]}"
        assert refusal(url, error=FleetError) == f"{url} did not answer within 0.3 s"


def test_what_speaks_another_protocol() -> None:
    """A server of HTTP/1.1 cannot be reached; one of gRPC without the service is said not to speak the protocol."""
    with socket.create_server(("localhost", 0)) as web:

        def answer() -> None:
            with contextlib.suppress(OSError):
                while True:
                    with web.accept()[0] as caller:
                        caller.recv(1000)
                        caller.sendall(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        text = refusal(f"grpc://localhost:{web.getsockname()[1]}", error=FleetError)
        web.shutdown(socket.SHUT_RDWR)
        thread.join()
    assert "cannot be reached" in text
    other = grpc.server(ThreadPoolExecutor(1))
    port = other.add_insecure_port("localhost:0")
    other.start()
    try:
        text = refusal(f"grpc://localhost:{port}", error=FleetError)
    finally:
        other.stop(0).wait()
    assert "does not speak the Open Inference Protocol" in text


def garbage(content: bytes, context: Any) -> bytes:
    """Answer with bytes that are no message."""
    return b"\xff\xff\xff\xff no message"


def oversized(content: bytes, context: Any) -> bytes:
    """Answer with more bytes than are accepted."""
    return bytes(endpoint.MOST_BYTES + 1)


@pytest.mark.parametrize(
    ("call", "instead", "error", "why"),
    [
        ("ServerMetadata", garbage, FleetError, "bytes that are not a ServerMetadataResponse"),
        ("ServerMetadata", oversized, FleetError, "RESOURCE_EXHAUSTED"),
        ("ModelReady", lambda content, context: protocol.ModelReadyResponse(ready=False), ModelError, "not ready"),
        ("ModelReady", garbage, ModelError, "bytes that are not a ModelReadyResponse"),
        ("ModelMetadata", garbage, ModelError, "bytes that are not a ModelMetadataResponse"),
        ("ModelMetadata", lambda content, context: b"", ModelError, "does not say what it takes and gives"),
        ("ModelInfer", garbage, ModelError, "bytes that are not a ModelInferResponse"),
        ("ModelInfer", oversized, ModelError, "RESOURCE_EXHAUSTED"),
        ("ModelInfer", lambda content, context: reply(np.zeros((1, 4), np.float32)), ModelError, r"shape \[1, 4\]"),
        (
            "ModelInfer",
            lambda content, context: context.abort(grpc.StatusCode.INTERNAL, "\x1b[2J\n" + "no \n" * 5000),
            ModelError,
            "refused the task",
        ),
    ],
)
def test_a_server_that_talks_nonsense(
    server: Server, call: str, instead: Any, error: type[CollagebenchError], why: str
) -> None:
    """A server that sends nonsense is refused before the run, in one printable sentence that names it."""
    server.instead[call] = instead
    text = refusal(server.url, error=error)
    assert server.url in text
    assert re.search(why, text)


def test_a_model_that_is_not_there(server: Server) -> None:
    """A model that the server lacks is named as the server would call it."""
    assert "does not serve model 'absent'" in refusal(f"{server.url}/absent", error=ModelError)


def test_another_model_is_refused_by_its_metadata(server: Server) -> None:
    """A model whose metadata has another input shape is refused before any image is sent."""
    text = refusal(server.url, model=replace(MODEL, input=(8, 8, 3)), error=ModelError)
    assert "takes 'image' of shape [-1, 4, 4, 3]; sums takes [-1, 8, 8, 3]" in text
    assert not server.inferred


@pytest.mark.parametrize(
    ("instead", "reason", "lost"),
    [
        (garbage, "refused", False),
        (oversized, "refused", False),
        (lambda content, context: reply(np.full((1, 3), np.nan, np.float32)), "refused", False),
        (lambda content, context: context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "busy"), "refused", False),
        (lambda content, context: context.abort(grpc.StatusCode.UNAVAILABLE, "overloaded"), "refused", False),
        (lambda content, context: time.sleep(0.5) or b"", "deadline", True),
    ],
)
def test_a_bad_reply_fails_its_request_and_a_missing_one_loses_the_slot(
    server: Server, instead: Any, reason: str, lost: bool
) -> None:
    """A bad reply fails only its request, as refused; after a missed deadline the slot is lost."""

    async def body(fleet: Fleet) -> None:
        (slot,) = fleet
        server.instead["ModelInfer"] = instead
        with pytest.raises(TaskError) as caught:
            await infer(slot, timeout=0.2 if reason == "deadline" else 10)
        assert caught.value.reason == reason
        server.instead.clear()
        if lost:
            with pytest.raises(TaskError, match=r"lost: worker 0 at grpc://localhost.* is gone"):
                await infer(slot)
        else:
            assert (await infer(slot)).outputs is not None

    with_fleet(body, server.url)


def test_a_server_that_goes(server: Server) -> None:
    """When a server stops, all its slots are lost, with the requests in progress and those that wait."""

    async def body(fleet: Fleet) -> None:
        server.go_on.clear()
        calls = [asyncio.ensure_future(infer(slot)) for slot in fleet for _ in range(2)]
        await until(lambda: server.at_once == 2)
        await asyncio.to_thread(server.stop)
        errors = await asyncio.gather(*calls, return_exceptions=True)
        assert [getattr(error, "reason", error) for error in errors] == ["lost"] * 4

    with_fleet(body, server.url, slots=2)


def test_a_token_goes_with_every_call() -> None:
    """A server that requires a token accepts every call with the right one."""
    with serving({"sums": SUMS}, SECRET) as server:
        with_fleet(lambda fleet: infer(*fleet), server.url, token=Token(SECRET))


@pytest.mark.parametrize(("token", "why"), [(None, "requires a token"), (Token("other-token"), "rejects the token")])
def test_a_bad_token_is_refused_and_not_repeated(token: Token | None, why: str) -> None:
    """A missing or wrong token is refused, without repeating it, although the server quotes it."""
    with serving({"sums": SUMS}, SECRET) as server:
        text = refusal(server.url, token=token, error=FleetError)
    assert why in text
    assert "--token-file" in text
    assert "other-token" not in text


def test_a_token_never_travels_in_the_open() -> None:
    """A token for another host without TLS raises a UsageError, before anything is connected."""
    text = refusal("grpcs://127.0.0.1:1", "grpc://192.0.2.1:1/x", token=Token(SECRET), error=UsageError)
    assert "the token would travel to grpc://192.0.2.1:1 in the clear, where anybody" in text
    assert SECRET not in text


def test_tls(certified: dict[str, Path]) -> None:
    """A server is trusted only if --tls-ca signed its certificate and the certificate has its host name."""
    key, chain = certified["server-key"].read_bytes(), certified["server"].read_bytes()
    credentials = grpc.ssl_server_credentials([(key, chain)])
    with serving({"sums": SUMS}, SECRET, credentials) as server:
        secure = f"grpcs://localhost:{server.port}"
        with_fleet(lambda fleet: infer(*fleet), secure, tls_ca=certified["ca"], token=Token(SECRET))
        refused = refusal(server.url, tls_ca=certified["ca"], token=Token(SECRET), error=UsageError)
        assert f"--tls-ca has no effect on {server.url}, which is not encrypted" in refused
        for url, ca, said in (
            (secure, None, "name the authority that signed it with --tls-ca"),  # which is none of the system's
            (secure, certified["client"], "name the authority that signed it with --tls-ca"),  # nor another certificate
            (f"grpcs://127.0.0.1:{server.port}", certified["ca"], "use the host name that the certificate has"),
            (server.url, None, "whether it needs TLS (grpcs://)"),
        ):
            refused = refusal(url, tls_ca=ca, token=Token(SECRET), error=FleetError)
            assert f"{url} cannot be reached" in refused
            assert said in refused
        assert len(server.inferred) == 2, "of the one that trusts it"


def test_tls_where_the_server_has_none(server: Server) -> None:
    """A grpcs:// address of a server without TLS is refused; nothing is sent unencrypted."""
    assert "it does not speak TLS" in refusal(f"grpcs://localhost:{server.port}", error=FleetError)
    assert not server.inferred


def test_a_server_that_asks_who_calls(certified: dict[str, Path]) -> None:
    """A server that requires client certificates accepts --tls-cert with --tls-key, and nothing without."""
    key, chain = certified["server-key"].read_bytes(), certified["server"].read_bytes()
    credentials = grpc.ssl_server_credentials([(key, chain)], certified["ca"].read_bytes(), True)
    own = {"tls_cert": certified["client"], "tls_key": certified["client-key"]}
    with serving({"sums": SUMS}, None, credentials) as server:
        secure = f"grpcs://localhost:{server.port}"
        with_fleet(lambda fleet: infer(*fleet), secure, tls_ca=certified["ca"], **own)
        assert "or a client certificate (--tls-cert)" in refusal(secure, tls_ca=certified["ca"], error=FleetError)


def test_what_is_wrong_with_certificates_is_said_by_name(certified: dict[str, Path], tmp_path: Path) -> None:
    """Missing, damaged or mismatched certificates raise UsageErrors that say which; gRPC would only fail to connect."""
    broken = tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for asked, why in (
        ({"tls_ca": tmp_path / "absent"}, "--tls-ca .*absent cannot be read"),
        ({"tls_ca": certified["ca-key"]}, "holds no PEM certificate"),
        ({"tls_ca": broken}, "holds a damaged certificate"),
        ({"tls_cert": certified["client"]}, "belong together"),
        ({"tls_cert": certified["client"], "tls_key": certified["server-key"]}, "do not match"),
    ):
        with pytest.raises(UsageError, match=why):
            with_fleet(nothing, "grpcs://localhost:1", **asked)
