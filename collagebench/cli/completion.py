"""Shell completion of option values: schemes, profiles, stragglers and arrivals.

In a comma-separated list, the last value is completed.
"""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from collagebench.paths import profiles_dir
from collagebench.schemes import SCHEMES
from collagebench.stragglers.causes import NATURAL
from collagebench.stragglers.model import NAMES
from collagebench.workload.arrivals import KINDS

LIVE = ("run", "record")
"""The verbs that can disturb workers."""


def complete_schemes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the schemes whose names begin with the text after the last comma."""
    return _listed(SCHEMES, incomplete)


def complete_stragglers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the stragglers that the command knows, and files (recorded profiles) unless it is `record`."""
    if context.info_name == "record":
        return _begun(("none", *NATURAL), incomplete)
    names = [name for name in NAMES if name not in NATURAL or context.info_name in LIVE]
    return [_files(incomplete), *_listed(names, incomplete)]


def complete_arrivals(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the kinds of arrivals, and files (logs of arrivals)."""
    return [_files(incomplete), *_listed(KINDS, incomplete)]


def complete_profiles(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the bundled profiles, and files."""
    names = sorted(path.stem for path in profiles_dir().glob("*.toml"))
    return [_files(incomplete), *_begun(names, incomplete)]


def _begun(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _listed(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    before, comma, begun = incomplete.rpartition(",")
    there = before.split(",")
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(begun) and name not in there]


def _files(incomplete: str) -> CompletionItem:
    """Return the item that makes a shell offer files.

    In bash, names before this item are lost, and files are offered only if no name follows.
    """
    return CompletionItem(incomplete, type="file")
