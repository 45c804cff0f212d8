"""A profile: the values of an experiment from a TOML file, and the line of a value that an error is about.

Errors in the form of a profile are found when it is read (see `read_profile`). Errors in a value are mostly found by
the code that uses it, which knows nothing of files. It names the option, and `located` adds the file and the line.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from collagebench.config import option
from collagebench.errors import UsageError
from collagebench.stragglers.model import is_path
from collagebench.toml_lines import Way, line_of
from collagebench.workload.arrivals import is_log

NAME_OR_PATH: Mapping[str, Callable[[str], bool]] = {"stragglers": is_path, "arrivals": is_log}
"""The strings that are a name or the path of a file, and how to tell."""


@dataclass(frozen=True, slots=True)
class Profile:
    """The values of a profile, and their lines in the file."""

    path: Path
    description: str
    values: Mapping[str, Any]
    """By Config field; lists are tuples."""
    lines: Mapping[Way, int]
    """The line of each key; keys are spelled with dashes."""

    def at(self, *way: str | int) -> str:
        """Return the file and the line of the key at `way`, as the beginning of a message about it."""
        return at_line(self.path, line_of(self.lines, *way))

    def place(self, sentence: str, given: Collection[str], scheme: int | None = None) -> str | None:
        """Return where the profile has the value that an error message is about; None if it is not from there.

        `given` are the options, by field, that the command line overrides. `scheme` is the number of the [[scheme]]
        table that the message is about, if it is about one.
        """
        if scheme is None:
            table: Way = ()
            said = {option(name): value for name, value in self.values.items() if name != "schemes"}
        else:
            table, own = ("scheme", scheme), self.values["schemes"][scheme]
            said = {**{option(name): value for name, value in own.options}, "name": own.name, "variant": own.variant}
        typed = {option(name) for name in given}
        for before in ("--", "") if table else ("--",):
            key = _mentioned(sentence, {*said, *typed}, before)
            if key is not None:
                return None if key in typed else self.at(*table, key)
        for key, value in said.items():
            texts = [text for text in (value if isinstance(value, tuple) else (value,)) if isinstance(text, str)]
            if key not in typed and any(repr(text) in sentence for text in texts):
                return self.at(*table, key)
        if table:
            return self.at(*table)
        schemes = () if "schemes" in given else self.values.get("schemes", ())
        for number in reversed(range(len(schemes))):
            name, variant = schemes[number].name, repr(schemes[number].variant) in sentence
            path = ":" in name and _mentioned(sentence, (name,), "") is not None  # messages do not quote import paths
            for key, is_it in (("variant", variant), ("name", variant or path or repr(name) in sentence)):
                if is_it and ("scheme", number, key) in self.lines:
                    return self.at("scheme", number, key)
        return None


@contextmanager
def located(profile: Profile | None, given: Collection[str], scheme: int | None = None) -> Iterator[None]:
    """Add file and line to a UsageError about a value of `profile`; see `Profile.place`."""
    try:
        yield
    except UsageError as error:
        place = profile.place(str(error), given, scheme) if profile else None
        if place is None:
            raise
        raise UsageError(f"{place}: {error}") from None


def check_files(profile: Profile, given: Collection[str]) -> None:
    """Check that the files exist that a profile names and the command line does not override.

    Raises:
        UsageError: one does not; the message names the profile, the line and the missing file.
    """
    for name, value in profile.values.items():
        downloaded = name == "data" and profile.values.get("download")
        for one in value if isinstance(value, tuple) and name in NAME_OR_PATH else (value,):
            is_file = isinstance(one, Path) or (name in NAME_OR_PATH and NAME_OR_PATH[name](one))
            if is_file and not downloaded and name not in given and not Path(one).exists():
                raise UsageError(f"{profile.at(option(name))}: {option(name)} names {one}, which does not exist")
    for number, scheme in enumerate(profile.values.get("schemes", ())):
        log = dict(scheme.options).get("hedge_log")
        if isinstance(log, str) and not {"schemes", "hedge_log"} & set(given) and not Path(log).exists():
            raise UsageError(
                f"{profile.at('scheme', number, 'hedge-log')}: hedge-log names {log}, which does not exist"
            )


def _mentioned(sentence: str, keys: Collection[str], before: str) -> str | None:
    """Return the first of the keys that a message names with the prefix `before`."""
    found = {key: re.search(rf"(?<![\w-]){before}{re.escape(key)}(?![\w-])", sentence) for key in keys}
    return min((match.start(), key) for key, match in found.items() if match)[1] if any(found.values()) else None


def at_line(path: Path, line: int | None) -> str:
    """Return the file, and the line if it is known, as the beginning of a message."""
    return f"profile {path}, line {line}" if line else f"profile {path}"
