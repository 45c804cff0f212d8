"""Who may call a worker that listens on a network: whoever shows the token of the run, and nobody else.

The worker itself does not know the token but its SHA-256, so that whoever reads what the worker was told, on its way or
later, cannot call it. A token of 256 random bits needs no salt, and cannot be guessed from its hash. The comparison
takes as long for a wrong token as for the right one.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio

SCHEME = "Bearer "


def digest(token: str) -> str:
    """Return what a worker is told of a token."""
    return hashlib.sha256(token.encode()).hexdigest()


class Doorkeeper(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Answers every call without the token itself, before its message is parsed."""

    def __init__(self, token_digest: str) -> None:
        """Let those in whose token has this digest."""
        self._digest = token_digest

        async def refuse(request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this worker belongs to a run whose token you lack")

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Return what handles a call."""
        shown = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")
        token = shown.removeprefix(SCHEME) if isinstance(shown, str) and shown.startswith(SCHEME) else ""
        if hmac.compare_digest(digest(token), self._digest):
            return await continuation(handler_call_details)
        return self._refusal
