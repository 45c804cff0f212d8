"""The token that a server may ask for: where it comes from, how it travels, and where it never goes.

It comes from a file or from the environment, never from the command line, which every user of the machine can read, nor
from a profile, which somebody else may have written. It travels as `authorization: Bearer …` with each call, over TLS
or inside this machine. It is in no config, record or log: a server that quotes it in an error is not quoted.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

from collagebench.errors import UsageError

VARIABLE = "COLLAGEBENCH_TOKEN"
MOST_BYTES = 8192
"""No longer than the headers that servers accept; a file that is longer is no token."""


@dataclass(frozen=True, slots=True)
class Token:
    """A secret, which does not show itself."""

    value: str = field(repr=False)

    @property
    def metadata(self) -> tuple[tuple[str, str], ...]:
        """What goes with every call."""
        return (("authorization", f"Bearer {self.value}"),)

    def hidden_in(self, text: str) -> str:
        """Return `text` without the token."""
        return text.replace(self.value, "…")


def take_token(file: Path | None, wanted: bool) -> Token | None:
    """Return the token in `file`, or else the environment's; None where none is `wanted`.

    It is taken out of the environment either way, so that no child inherits it.

    Raises:
        UsageError: the file cannot be read, or there is no token in it.
    """
    text = os.environ.pop(VARIABLE, None)
    if not wanted:
        return None
    where = f"the environment's {VARIABLE}"
    if file is not None:
        where = f"--token-file {file}"
        try:
            with file.open("rb") as opened:
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
