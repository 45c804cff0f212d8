"""The bearer token that a server may require: where it comes from, how it is sent, and how it is kept secret.

It comes from a file or the environment. It never comes from the command line, which every user of the machine can read,
nor from a profile, which somebody else may have written. It is sent as `authorization: Bearer …` with each call, over
TLS or within this machine. It is in no config, record or log: if a server's error message contains it, it is masked.
"""

from __future__ import annotations

import os
import select
from dataclasses import dataclass, field
from pathlib import Path

from collagebench.errors import UsageError

VARIABLE = "COLLAGEBENCH_TOKEN"
MOST_BYTES = 8192
"""Most bytes of a token file; servers accept no longer headers."""
PATIENCE = 2.0
"""Seconds within which a program must have opened a named pipe to write the token to it."""


@dataclass(frozen=True, slots=True)
class Token:
    """A secret, which its repr does not show."""

    value: str = field(repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """The gRPC metadata to send with every call."""
        return (("authorization", f"Bearer {self.value}"),)

    def hidden_in(self, text: str) -> str:
        """Return `text` with the token masked."""
        return text.replace(self.value, "…")


def take_token(file: Path | None, wanted: bool) -> Token | None:
    """Return the token in `file`, or else that in the environment; None if there is none, or none is `wanted`.

    The variable is removed from the environment in any case, so that no child process inherits it.

    Raises:
        UsageError: the file cannot be read, or does not hold a token.
    """
    text = os.environ.pop(VARIABLE, None)
    if not wanted:
        return None
    where = f"the environment's {VARIABLE}"
    if file is not None:
        where = f"--token-file {file}"
        try:
            # It may be a pipe, as in --token-file <(pass show token). Opening one that nobody writes to must not hang.
            with open(file, "rb", opener=lambda path, flags: os.open(path, flags | os.O_NONBLOCK)) as opened:
                select.select([opened], [], [], PATIENCE)
                os.set_blocking(opened.fileno(), True)
                content = opened.read(MOST_BYTES + 1)
        except OSError as error:
            raise UsageError(f"{where} cannot be read ({error.strerror})") from None
        if len(content) > MOST_BYTES:
            raise UsageError(f"{where} is longer than {MOST_BYTES} bytes, so it is not a token")
        text = content.decode(errors="replace")
    if text is None:
        return None
    text = text.strip()
    if not text or not text.isascii() or not text.isprintable() or " " in text:
        raise UsageError(f"{where} holds no token: it must be one word of printable ASCII characters")
    return Token(text)
