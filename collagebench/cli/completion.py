"""What a shell offers behind an option: names of schemes, profiles and stragglers, of a list the last one."""

from __future__ import annotations

from collections.abc import Iterable

import click
from click.shell_completion import CompletionItem

from collagebench.paths import profiles_dir
from collagebench.schemes import SCHEMES
from collagebench.stragglers.causes import NATURAL
from collagebench.stragglers.model import NAMES

LIVE = ("run", "record")
"""The verbs that can disturb workers."""


def complete_schemes(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the schemes whose names begin like what stands behind the last comma."""
    return _listed(SCHEMES, incomplete)


def complete_stragglers(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the stragglers that the command knows, or else files: recorded profiles."""
    if context.info_name == "record":
        return _begun(("none", *NATURAL), incomplete)
    names = [name for name in NAMES if name not in NATURAL or context.info_name in LIVE]
    return [_files(incomplete), *_listed(names, incomplete)]


def complete_profiles(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the shipped profiles, or else files."""
    names = sorted(path.stem for path in profiles_dir().glob("*.toml"))
    return [_files(incomplete), *_begun(names, incomplete)]


def _begun(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in names if name.startswith(incomplete)]


def _listed(names: Iterable[str], incomplete: str) -> list[CompletionItem]:
    before, comma, begun = incomplete.rpartition(",")
    there = before.split(",")
    return [CompletionItem(f"{before}{comma}{name}") for name in names if name.startswith(begun) and name not in there]


def _files(incomplete: str) -> CompletionItem:
    """Return what makes a shell offer files; bash does so where no name follows, and forgets names before it."""
    return CompletionItem(incomplete, type="file")
