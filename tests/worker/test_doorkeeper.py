"""Only callers with the token may call a worker that listens on a network, whatever they call."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
import grpc.aio
import pytest

from collagebench.worker import wire
from collagebench.worker.doorkeeper import Doorkeeper, digest
from collagebench.worker.service import Service, handler
from collagebench.worker.station import Station

TOKEN = "tok-6b7de9f0"
CALLS = ("ServerLive", "ServerReady", "ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer", "NoSuchCall")
REFUSED = [
    None,
    (),
    (("authorization", ""),),
    (("authorization", TOKEN),),
    (("authorization", "Bearer "),),
    (("authorization", f"Bearer {TOKEN[:-1]}"),),
    (("authorization", f"Bearer {TOKEN}x"),),
    (("authorization", f"bearer {TOKEN}"),),
    (("authorization", f"Basic {TOKEN}"),),
    (("authorization", f"Bearer {digest(TOKEN)}"),),
    (("token", TOKEN),),
]


def called(*shown: Any, content: bytes = b"", calls: tuple[str, ...] = CALLS) -> set[grpc.StatusCode]:
    """Return the status codes of all calls with each of these metadata."""

    async def main() -> set[grpc.StatusCode]:
        server = grpc.aio.server(interceptors=[Doorkeeper(digest(TOKEN))])
        server.add_generic_rpc_handlers((handler(Service({}, Station())),))
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        found = set()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            for name in calls:
                method = channel.unary_unary(f"/{wire.SERVICE}/{name}")
                for metadata in shown:
                    call = method(content, metadata=metadata, timeout=60)
                    found.add(await call.code())
        await server.stop(None)
        return found

    return asyncio.run(main())


def test_without_the_token_no_call_is_answered() -> None:
    """Without the token every call is refused, even an unknown one; the digest of the token is no token."""
    assert called(*REFUSED) == {grpc.StatusCode.UNAUTHENTICATED}


def test_what_is_sent_without_the_token_is_not_parsed() -> None:
    """Invalid messages without the token are refused for want of the token, so they are not parsed."""
    assert called(None, content=b"\xff" * 100_000) == {grpc.StatusCode.UNAUTHENTICATED}


def test_with_the_token_calls_are_answered() -> None:
    """Calls with the token are answered."""
    assert called((("authorization", f"Bearer {TOKEN}"),), calls=("ServerLive", "ServerReady")) == {grpc.StatusCode.OK}


@pytest.mark.parametrize("word", ["", TOKEN, "x" * 100_000])
def test_a_digest_says_nothing_of_the_token(word: str) -> None:
    """A digest has 64 characters for any token, and does not contain it."""
    assert len(digest(word)) == 64
    assert word == "" or word not in digest(word)
