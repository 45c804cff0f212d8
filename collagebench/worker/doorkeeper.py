"""Access control of a worker that listens on a network: only callers that show the token of the run may call it.

The worker knows only the SHA-256 of the token. So somebody who reads the worker's start order, in transit or later,
cannot call the worker. A token of 256 random bits needs no salt, and cannot be guessed from its hash. The comparison
takes the same time for a wrong token as for the right one.
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
    """Return the SHA-256 of a token, in hexadecimal: all that a worker is told of it."""
    return hashlib.sha256(token.encode()).hexdigest()


class Doorkeeper(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Refuses every call without the token, before its message is parsed."""

    def __init__(self, token_digest: str) -> None:
        """Accept calls whose token has this digest."""
        self._digest = token_digest

        async def refuse(request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, "this worker belongs to a run whose token you lack")

        self._refusal = grpc.unary_unary_rpc_method_handler(refuse)

    async def intercept_service(self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: Any) -> Any:
        """Return the handler of a call: the service's, or one that refuses."""
        shown = dict(handler_call_details.invocation_metadata or ()).get("authorization", "")
        token = shown.removeprefix(SCHEME) if isinstance(shown, str) and shown.startswith(SCHEME) else ""
        if hmac.compare_digest(digest(token), self._digest):
            return await continuation(handler_call_details)
        return self._refusal
