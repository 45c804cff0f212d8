"""What is said to the system's ssh: argument lists, and the one line that the shell of a remote host has to read.

ssh is the user's own, with the user's ~/.ssh/config, agent, keys, jump hosts and known hosts. What an option says here
the config cannot unsay: no host is trusted that is not known, nothing is asked, nothing is forwarded but what we name,
no terminal, and no command but ours. A host is what `hosts` lets pass; it stands behind `--`.

The connection is its own master (`ControlMaster`) with its socket in a private directory, so that the workers' sockets
can be forwarded once their names are known, and so that no other connection of the user's has a part in it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from collagebench.errors import FleetError
from collagebench.hosts import Host

ALIVE_EVERY = 2
"""Seconds of silence after which ssh asks whether the host is there,"""
ALIVE_TIMES = 3
"""and how often in vain before the connection is lost."""
CONNECT_WITHIN = 10

OPTIONS = (
    "BatchMode=yes",
    "StrictHostKeyChecking=yes",
    "UpdateHostKeys=no",
    f"ConnectTimeout={CONNECT_WITHIN}",
    "ConnectionAttempts=1",
    f"ServerAliveInterval={ALIVE_EVERY}",
    f"ServerAliveCountMax={ALIVE_TIMES}",
    "ControlMaster=yes",
    "ControlPersist=no",
    "ClearAllForwardings=yes",
    "ForwardAgent=no",
    "ForwardX11=no",
    "Tunnel=no",
    "GatewayPorts=no",
    "StreamLocalBindMask=0177",
    "PermitLocalCommand=no",
    "RemoteCommand=none",
    "RequestTTY=no",
    "LogLevel=INFO",
)

BOOT = (
    'import sys; sys.path = [p for p in sys.path if p]; print("\\ncollagebench %d.%d.%d" % sys.version_info[:3]); '
    'sys.stdout.flush(); f = getattr(sys.stdin, "buffer", sys.stdin); exec(f.read(int(f.readline())))'
)
"""Says the version, then runs the program that comes in, its length on a line before it; in any Python since 2.6."""
HELLO = re.compile(rb"collagebench (\d+)\.(\d+)\.(\d+)\s*")
FORWARDABLE = re.compile(r"/[A-Za-z0-9_./+=@-]+")
"""Paths of sockets that mean nothing else to ssh."""


def connect(host: Host, control: str, python: str) -> list[str]:
    """Return the arguments that connect to a host and start its interpreter `python` on `BOOT`.

    Args:
        host: where to.
        control: path for the master's socket.
        python: a path or a name there; `~/` at its beginning is the user's home there.
    """
    user, name, port = host.parts()
    options = [word for option in OPTIONS for word in ("-o", option)]
    login = ["-l", user] if user else []
    door = ["-p", str(port)] if port else []
    return ["ssh", "-T", *options, *login, *door, "-S", control, "--", name, remote_line(python)]


def remote_line(python: str) -> str:
    """Return the line for the remote shell, whichever it is; every character of `python` but a leading ~/ is literal.

    >>> remote_line("~/my venv/bin/python")[:33]
    "exec ~/'my venv/bin/python' -c 'i"
    """
    home, rest = ("~/", python[2:]) if python.startswith("~/") else ("", python)
    return f"exec {home}{shlex.quote(rest)} -c {shlex.quote(BOOT)}"


def forward(control: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return the arguments that have a master forward Unix sockets, given as local and remote paths.

    The user's config has no part in this: the master knows everything that it says of the host.

    Raises:
        FleetError: a path could be read as something else, such as a port.
    """
    for path in (path for pair in pairs for path in pair):
        if not FORWARDABLE.fullmatch(path):
            raise FleetError(
                f"ssh cannot forward the socket {path!r}: set TMPDIR, here and on the hosts, to a path of letters, "
                "digits and ./_+=@- only"
            )
    forwards = [word for local, remote in pairs for word in ("-L", f"{local}:{remote}")]
    return ["ssh", "-F", "/dev/null", "-S", control, "-O", "forward", *forwards, "--", "master"]
