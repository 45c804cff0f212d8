"""Hosts to reach by SSH: network namespaces with a wire each to a namespace of the client, and an sshd in each.

They are as real as hosts on one machine can be: addresses, wires that can be cut or slowed down, host keys and a login
of their own. Each has a home and a temporary directory of its own, which its processes have in their environment, so
that what belongs to a host can be told. Everything is made for the test and goes with it; keys are thrown away.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from natural_processes import processes, until

ROOT = Path(__file__).parents[1]
PRIVSEP = Path("/run/sshd")
"""Where sshd wants an empty directory."""


def missing() -> str | None:
    """Return why there can be no such hosts here; None if there can."""
    if os.geteuid() != 0:
        return "network namespaces and sshd need root"
    lacking = [name for name in ("ip", "ssh", "ssh-keygen") if shutil.which(name) is None]
    if not Path("/usr/sbin/sshd").exists():
        lacking.append("sshd")
    if lacking:
        return f"needs {', '.join(lacking)}"
    name = f"cb-{os.getpid()}-try"
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode:
        return "network namespaces cannot be made here"
    subprocess.run(["ip", "netns", "delete", name], check=True)
    return None


class Host:
    """One of them."""

    def __init__(self, base: Path, number: int, keys: Path) -> None:
        self.name = f"h{number}"
        self.address = f"10.99.{number}.2"
        self.namespace = f"cb-{os.getpid()}-{number}"
        self.wire = f"cb{number}"
        self.base = base / self.name
        self.home, self.temporary = self.base / "home", self.base / "t"
        for path in (self.home, self.temporary):
            path.mkdir(parents=True)
        self._keys = keys
        self._sshd: subprocess.Popen[bytes] | None = None
        self.environment = {"HOME": str(self.home), "TMPDIR": str(self.temporary)}
        self.settings: list[str] = []
        """Lines for its sshd_config."""

    def run(self, *command: str) -> str:
        """Run a command in its namespace."""
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, *command], check=True, capture_output=True, text=True
        ).stdout

    def start(self) -> None:
        """Start its sshd."""
        config = self.base / "sshd_config"
        set_env = " ".join(f"{name}={value}" for name, value in self.environment.items())
        lines = [
            "Port 22",
            f"ListenAddress {self.address}",
            f"HostKey {self._keys / self.name}",
            f"AuthorizedKeysFile {self._keys / 'user.pub'}",
            "PermitRootLogin yes",
            "PasswordAuthentication no",
            "StrictModes no",
            "UsePAM no",
            "PidFile none",
            f"SetEnv {set_env}",
            *self.settings,
        ]
        config.write_text("\n".join(lines) + "\n")
        self._sshd = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, "/usr/sbin/sshd", "-D", "-e", "-f", str(config)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=open(self.base / "sshd.log", "ab"),  # noqa: SIM115 - the process keeps it
        )
        until(lambda: ":0016 " in self.run("cat", "/proc/net/tcp"), "sshd listens")

    def stop(self) -> None:
        """Stop its sshd; its connections stay."""
        if self._sshd is not None:
            self._sshd.terminate()
            self._sshd.wait()
            self._sshd = None

    def restart(self) -> None:
        """Start its sshd again, with other settings or another environment."""
        self.stop()
        self.start()

    def cut(self) -> None:
        """Cut its wire."""
        self.run("ip", "link", "set", self.wire, "down")

    def mend(self) -> None:
        """Mend its wire."""
        self.run("ip", "link", "set", self.wire, "up")

    def slow(self, rate: str | None) -> None:
        """Let its wire carry no more than this to the client; None: as much as it can."""
        if rate is None:
            self.run("tc", "qdisc", "del", "dev", self.wire, "root")
        else:
            self.run(
                "tc", "qdisc", "add", "dev", self.wire, "root", "tbf", "rate", rate, "burst", "16kb", "latency", "1s"
            )

    def listening(self) -> int:
        """Return on how many TCP ports something listens there."""
        tables = [self.run("cat", f"/proc/net/{table}").splitlines()[1:] for table in ("tcp", "tcp6")]
        return sum(line.split()[3] == "0A" for table in tables for line in table)

    def processes(self) -> dict[int, str]:
        """Return those that a login there has started."""
        return processes(self.temporary)

    def left(self) -> list[str]:
        """Return what of ours is there that should not be: processes, and files outside the cache or half copied."""
        cache = self.home / ".cache" / "collagebench"
        files = list(self.temporary.rglob("*"))
        files += [path for path in self.home.rglob("*") if path.is_file() and (cache not in path.parents)]
        files += list(cache.rglob("*.part"))
        own = {self.home / ".bashrc"}
        return [*map(str, self.processes().items()), *(str(path) for path in files if path not in own)]


class Hosts:
    """The hosts, and the machine that reaches them."""

    def __init__(self, base: Path, count: int) -> None:
        self.base = base
        keys = base / "keys"
        keys.mkdir()
        self.all = [Host(base, number, keys) for number in range(1, count + 1)]
        self.client = f"cb-{os.getpid()}-c"
        self.config = base / "ssh_config"
        self.known = base / "known_hosts"
        self.temporary = base / "client"
        self.temporary.mkdir()
        for name in ("user", *(host.name for host in self.all)):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
        self.know()
        self.config.write_text(
            "".join(f"Host {host.name}\n  HostName {host.address}\n" for host in self.all)
            + f"Host *\n  User root\n  IdentityFile {keys / 'user'}\n  IdentitiesOnly yes\n"
            + f"  UserKnownHostsFile {self.known}\n  GlobalKnownHostsFile /dev/null\n"
        )
        wrapper = base / "bin" / "ssh"  # ssh takes its config from the home in the user database, not from HOME
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.config} "$@"\n')
        wrapper.chmod(0o755)

    def know(self, *names: str) -> None:
        """Let the client know the host keys of some hosts, of all if none is named."""
        lines = []
        for host in self.all:
            if not names or host.name in names:
                kind, key, *_ = (self.base / "keys" / f"{host.name}.pub").read_text().split()
                lines.append(f"{host.address} {kind} {key}\n")
        self.known.write_text("".join(lines))

    def connect(self) -> None:
        """Make the namespaces and the wires, and start every sshd."""
        PRIVSEP.mkdir(mode=0o755, exist_ok=True)
        _ip("netns", "add", self.client)
        _ip("-n", self.client, "link", "set", "lo", "up")
        for host in self.all:
            number = host.name[1:]
            _ip("netns", "add", host.namespace)
            _ip(
                "-n",
                self.client,
                "link",
                "add",
                f"c{number}",
                "type",
                "veth",
                "peer",
                host.wire,
                "netns",
                host.namespace,
            )
            for namespace, wire, address in (
                (self.client, f"c{number}", f"10.99.{number}.1/24"),
                (host.namespace, host.wire, f"{host.address}/24"),
            ):
                _ip("-n", namespace, "address", "add", address, "dev", wire)
                _ip("-n", namespace, "link", "set", wire, "up")
            _ip("-n", host.namespace, "link", "set", "lo", "up")
        for host in self.all:
            host.start()

    def disconnect(self) -> None:
        """Stop and remove everything."""
        for host in self.all:
            host.stop()
        for namespace in (self.client, *(host.namespace for host in self.all)):
            pids = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True).stdout.split()
            for pid in pids:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)
            subprocess.run(["ip", "netns", "delete", namespace], capture_output=True)

    def environment(self) -> dict[str, str]:
        """Return the client's environment."""
        return {
            **os.environ,
            "PATH": f"{self.base / 'bin'}:{os.environ['PATH']}",
            "PYTHONPATH": str(ROOT),
            "TMPDIR": str(self.temporary),
        }

    def start(self, *arguments: str, directory: Path | None = None) -> subprocess.Popen[str]:
        """Start `collagebench` with some arguments, as the client."""
        return subprocess.Popen(
            ["ip", "netns", "exec", self.client, sys.executable, "-m", "collagebench", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
            cwd=directory,
        )

    def left(self) -> list[str]:
        """Return what is left anywhere of runs that have ended."""
        found = [str(item) for item in processes(self.temporary).items()]
        found += [str(path) for path in self.temporary.rglob("*")]
        return [*found, *(item for host in self.all for item in host.left())]


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def hosts(base: Path, count: int = 3) -> Iterator[Hosts]:
    """Have some hosts."""
    made = Hosts(base, count)
    try:
        made.connect()
        yield made
    finally:
        made.disconnect()
