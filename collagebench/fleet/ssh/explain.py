"""Turn the messages of ssh and the remote shell about a failed connection into a sentence that says what to do."""

from __future__ import annotations

import re
import shlex

from collagebench.hosts import Host
from collagebench.worker.outpost import LEASE

FAILED = 255
"""The exit status of ssh if it fails itself; any other comes from the remote command."""
LONGEST = 500
"""Most characters of a host's text to quote."""
NOT_FOUND, NOT_EXECUTABLE = 127, 126

UNKNOWN = re.compile(r"No (\S+) host key is known for (\S+) and you have requested strict checking")
OFFENDING = re.compile(r"Offending \S+ key in (.+)")
REMOVAL = re.compile(r"^\s*(ssh-keygen -f .+)$", re.MULTILINE)
DENIED = re.compile(r"Permission denied \(([^)]*)\)")
LISTENER = re.compile(r"^unix_listener: (.+?)\s*$", re.MULTILINE)
TALK = re.compile(
    r"^(channel \d+: open failed|debug\d:|Warning: Permanently added|@|\*\*|Authorized uses only)", re.IGNORECASE
)
"""Lines that never tell why something failed."""


def explain(host: Host, code: int | None, said: str, python: str) -> str:
    """Return a sentence, without the host's name, on why a connection to `host` failed and what to do.

    Args:
        host: the host.
        code: the exit status of ssh; None if it still runs.
        said: standard error of ssh and the remote shell.
        python: the interpreter to start there.
    """
    by_hand = shlex.join(["ssh", *by_hand_arguments(host)])
    if "REMOTE HOST IDENTIFICATION HAS CHANGED" in said or "POSSIBLE DNS SPOOFING" in said:
        place = OFFENDING.search(said)
        remove = REMOVAL.search(said)
        known = place[1].strip() if place else "your known_hosts"
        how = f"`{remove[1].strip()}`" if remove else f"ssh-keygen -R {shlex.quote(host.parts()[1])}"
        return (
            f"its host key is not the one in {known}: unless you know why it has changed, somebody may be intercepting "
            f"the connection; if you do, remove the old key with {how} and connect once by hand with `{by_hand}`"
        )
    if unknown := UNKNOWN.search(said):
        return (
            f"the host key of {unknown[2]} is not known here: connect once by hand with `{by_hand}`, compare the "
            f"{unknown[1]} fingerprint that it shows with the host's, and accept it"
        )
    if "Host key verification failed" in said:
        return f"its host key could not be verified: connect once by hand with `{by_hand}`"
    if denied := DENIED.search(said):
        return (
            f"it refuses the login ({denied[1]}): no password can be typed here, so put your key there with "
            f"`ssh-copy-id {shlex.join(by_hand_arguments(host))}`, or load it into the agent with ssh-add"
        )
    last = _last(said)
    if code == NOT_FOUND or "not found" in last or "No such file or directory" in last:
        return f"there is no {python}: install Python 3.10 or newer there, or name another with --remote-python"
    if code == NOT_EXECUTABLE:
        return (
            f"{python} cannot be executed there ({last}): check that it is a program for that machine, or name another "
            "with --remote-python"
        )
    if code == FAILED:
        many = "; if it does, an sshd on the way limits the number of logins: raise its MaxStartups"
        return f"it cannot be reached ({last}): check that `{by_hand}` works{many if dropped(code, said) else ''}"
    if code is None:
        return f"it did not answer in time: check that `{by_hand}` works"
    return f"{python} ended there with exit status {code} ({last})"


def dropped(code: int, said: str) -> bool:
    """Whether a login was closed unanswered, as by an sshd with many others at once, which another try may survive."""
    return code == FAILED and (_last(said).startswith("Connection closed by") or "kex_exchange_identification" in said)


def by_hand_arguments(host: Host) -> list[str]:
    """Return the arguments with which a user runs ssh to connect to the host by hand."""
    user, name, port = host.parts()
    return [*(["-p", str(port)] if port else []), f"{user}@{name}" if user else name]


def lost(host: str, code: int, said: str, paused: float) -> str:
    """Return why an established connection was lost: because this client paused, or for the reason that ssh gives.

    `paused` is the number of seconds for which this client recently sent no sign of life.
    """
    if paused > LEASE:
        return f"this client did not run for {paused:.0f} s, so {host} gave up on it"
    return _last(said, f"our process there was killed, or ssh was: exit status {code}")


def unforwarded(said: str) -> str:
    """Return why ssh does not forward sockets and, if known, what to do; ssh repeats the reason for each socket."""
    why = LISTENER.search(said)
    more = ": allow more open files, as with `ulimit -n 4096`" if why and "Too many open files" in why[1] else ""
    return f"ssh does not forward its sockets ({plain(why[1]) if why else _last(said)}){more}"


def plain(said: str) -> str:
    """Return a host's text shortened and without control characters, safe to print on a terminal."""
    return "".join(sign if sign.isprintable() else " " for sign in said[:LONGEST])


def _last(said: str, otherwise: str = "ssh did not say why") -> str:
    """Return the last line that may tell the reason."""
    lines = [line.strip().rstrip(".") for line in said.splitlines()]
    telling = [line for line in lines if line and not TALK.match(line)]
    return plain(telling[-1]) if telling else otherwise
