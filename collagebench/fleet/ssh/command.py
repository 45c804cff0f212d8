"""Command lines for the system's ssh, and the one line that the shell of a remote host runs.

ssh is the user's own, with the user's ~/.ssh/config, agent, keys, jump hosts and known hosts. The options given here
override the config: unknown hosts are refused, nothing is asked, only the sockets named here are forwarded, and there
is no terminal and no other command. Only hosts that `hosts` accepts are used, and they follow `--`.

The connection is its own master (`ControlMaster`), with its socket in a private directory. So the workers' sockets can
be forwarded once their names are known, and the connection is not shared with others of the user.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

from collagebench.errors import FleetError
from collagebench.hosts import Host

ALIVE_EVERY = 2
"""Seconds of silence after which ssh checks whether the host is still there,"""
ALIVE_TIMES = 3
"""and unanswered checks after which the connection is lost."""
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
"""Prints the version, then reads a program from standard input, after a line with its length, and runs it.

Works in any Python since 2.6.
"""
HELLO = re.compile(rb"collagebench (\d+)\.(\d+)\.(\d+)\s*")
FORWARDABLE = re.compile(r"/[A-Za-z0-9_./+=@-]+")
"""Socket paths without characters that are special to ssh."""


def connect(host: Host, control: str, python: str) -> list[str]:
    """Return the arguments that connect to a host and start its interpreter `python` on `BOOT`.

    Args:
        host: the host.
        control: path for the master's socket.
        python: a path or a name on the host; `~/` at its beginning is the user's home there.
    """
    user, name, port = host.parts()
    options = [word for option in OPTIONS for word in ("-o", option)]
    login = ["-l", user] if user else []
    door = ["-p", str(port)] if port else []
    return ["ssh", "-T", *options, *login, *door, "-S", control, "--", name, remote_line(python)]


def remote_line(python: str) -> str:
    """Return the line for the remote shell, of whatever kind; all of `python` but a leading ~/ is taken literally.

    >>> remote_line("~/my venv/bin/python")[:33]
    "exec ~/'my venv/bin/python' -c 'i"
    """
    home, rest = ("~/", python[2:]) if python.startswith("~/") else ("", python)
    return f"exec {home}{shlex.quote(rest)} -c {shlex.quote(BOOT)}"


def forward(control: str, pairs: Sequence[tuple[str, str]]) -> list[str]:
    """Return the arguments that tell a master to forward Unix sockets, given as pairs of local and remote paths.

    The user's config is not read, because the master has already read it.

    Raises:
        FleetError: ssh could take a path for something else, such as a port.
    """
    for path in (path for pair in pairs for path in pair):
        if not FORWARDABLE.fullmatch(path):
            raise FleetError(
                f"ssh cannot forward the socket {path!r}: set TMPDIR, here and on the hosts, to a path of letters, "
                "digits and ./_+=@- only"
            )
    forwards = [word for local, remote in pairs for word in ("-L", f"{local}:{remote}")]
    return ["ssh", "-F", "/dev/null", "-S", control, "-O", "forward", *forwards, "--", "master"]
