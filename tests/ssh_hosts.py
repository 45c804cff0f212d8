"""Hosts to reach by SSH: network namespaces with an sshd each, linked to a namespace of the client.

Each host has its own address, host key, and link, which can be cut or slowed down. Each also has its own home and
temporary directory; its processes have them in their environment, which tells to which host a process belongs.
Everything, keys included, is made for the test and removed after it.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from natural_processes import processes, until

ROOT = Path(__file__).parents[1]
PRIVSEP = Path("/run/sshd")
"""sshd needs this empty directory."""
SERVES = ("sshd:", "sshd-session:")
"""How the title of a connection's process begins: before OpenSSH 9.8, and since."""


def missing() -> str | None:
    """Return why such hosts are not possible here; None if they are."""
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
    add = ["ip", "-n", name, "link", "add", "wire0", "type", "veth", "peer", "wire1"]
    wire = subprocess.run(add, capture_output=True)
    subprocess.run(["ip", "netns", "delete", name], check=True)
    if wire.returncode:
        return "network namespaces cannot be connected here"
    return None


class Host:
    """One host."""

    def __init__(self, base: Path, number: int, keys: Path) -> None:
        self.name = f"h{number}"
        self.address = f"10.99.{number}.2"
        self.namespace = f"cb-{os.getpid()}-{number}"
        self.other = f"cb-{os.getpid()}-c"
        """The client's namespace, at the other end of the wire."""
        self.wire = f"cb{number}"
        self.base = base / self.name
        self.home, self.temporary = self.base / "home", self.base / "t"
        for path in (self.home, self.temporary):
            path.mkdir(parents=True)
        self._keys = keys
        self._sshd: subprocess.Popen[bytes] | None = None
        self.bin = self.base / "bin"
        self.bin.mkdir()
        self.plain = {
            "HOME": str(self.home),
            "TMPDIR": str(self.temporary),
            "PATH": f"{self.bin}:/usr/local/bin:/usr/bin:/bin",
        }
        self.environment = dict(self.plain)
        """The environment of a login there."""
        self.settings: list[str] = []
        """Lines for its sshd_config."""
        self._mounts: list[Path] = []
        self._restrained = False

    def run(self, *command: str) -> str:
        """Run a command in its namespace."""
        return _in(self.namespace, *command)

    def start(self) -> None:
        """Start its sshd."""
        config = self.base / "sshd_config"
        set_env = " ".join(f'"{name}={value}"' for name, value in self.environment.items())
        lines = [
            *self.settings,  # sshd takes the first of two lines for an option
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
        ]
        config.write_text("\n".join(lines) + "\n")
        with open(self.base / "sshd.log", "ab") as log:
            self._sshd = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "/usr/sbin/sshd", "-D", "-e", "-f", str(config)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        until(self.listening, "sshd listens")  # connections of the sshd before have its port, too

    def stop(self) -> None:
        """Stop its sshd; its connections stay."""
        if self._sshd is not None:
            self._sshd.terminate()
            self._sshd.wait()
            self._sshd = None

    def restart(self, **environment: str) -> None:
        """Restart its sshd, with these variables added to the plain environment of logins."""
        self.stop()
        self.environment = {**self.plain, **environment}
        self.start()

    @contextlib.contextmanager
    def hanging(self) -> Iterator[None]:
        """Suspend its sshd during the block, while the rest of the host goes on."""
        assert self._sshd is not None
        self._sshd.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self._sshd.send_signal(signal.SIGCONT)

    def cut(self) -> None:
        """Cut its wire."""
        self.run("ip", "link", "set", self.wire, "down")

    def hang_up(self) -> None:
        """End all connections from its side, by killing the sshd of each."""
        for pid in _pids(self.namespace):
            if self._sshd is not None and pid != self._sshd.pid and _command(pid)[0].startswith(SERVES):
                os.kill(pid, 9)

    def slow(self, rate: str) -> None:
        """Limit its wire to `rate` in each direction, in the units of tc."""
        for namespace, wire in ((self.namespace, self.wire), (self.other, f"c{self.name[1:]}")):
            words = f"qdisc add dev {wire} root tbf rate {rate} burst 16kb latency 1s"
            _in(namespace, "tc", *words.split())
        self._restrained = True

    def disk(self, place: Path, options: str) -> None:
        """Mount a file system for this host at `place`, with options for tmpfs."""
        place.mkdir(parents=True, exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "none", str(place)], check=True)
        self._mounts.append(place)
        self.restart()  # as sshd's mount namespace is a copy made at its start

    def command(self, name: str, text: str) -> None:
        """Put a shell script on its PATH."""
        path = self.bin / name
        path.write_text(f"#!/bin/sh\n{text}\n")
        path.chmod(0o755)

    def mend(self) -> None:
        """Undo all changes to the host."""
        self.run("ip", "link", "set", self.wire, "up")
        if self._restrained:
            for namespace, wire in ((self.namespace, self.wire), (self.other, f"c{self.name[1:]}")):
                words = ["tc", "qdisc", "del", "dev", wire, "root"]
                _in(namespace, *words)
            self._restrained = False
        changed = bool(self._mounts)
        self.unmount()
        for path in self.bin.iterdir():
            path.unlink()
        if changed or self._sshd is None or self.environment != self.plain or self.settings:
            self.settings.clear()
            self.restart()

    def unmount(self) -> None:
        """Unmount its disks."""
        while self._mounts:
            subprocess.run(["umount", str(self._mounts.pop())], check=True)

    def listening(self) -> int:
        """Return the number of TCP ports on which something listens there."""
        return _listening(self.namespace)

    def processes(self) -> dict[int, str]:
        """Return the command lines of the processes that logins there started, by process id."""
        return processes(self.temporary)

    def sockets(self) -> list[str]:
        """Return the paths of the Unix sockets that a run made there."""
        table = self.run("cat", "/proc/net/unix").splitlines()
        return [line.split()[-1] for line in table if str(self.base) in line]

    def left(self) -> list[str]:
        """Return what a run has left there: processes, sockets, and files outside the cache or partly copied."""
        cache = self.home / ".cache" / "collagebench"
        files = below(self.temporary)
        files += [path for path in below(self.home) if path.is_file() and (cache not in path.parents)]
        files += [path for path in below(cache) if path.suffix == ".part"]
        return [*map(str, self.processes().items()), *self.sockets(), *map(str, files)]


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
        self._started: list[subprocess.Popen[str]] = []
        for name in ("user", *(host.name for host in self.all)):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(keys / name)], check=True)
        self.know()
        self.config.write_text(
            "".join(f"Host {host.name}\n  HostName {host.address}\n" for host in self.all)
            + f"Host behind*\n  HostName {self.all[-1].address}\n  ProxyJump {self.all[-1].name}\n"
            + f"Host *\n  User root\n  IdentityFile {keys / 'user'}\n  IdentitiesOnly yes\n"
            + f"  UserKnownHostsFile {self.known}\n  GlobalKnownHostsFile /dev/null\n"
        )
        wrapper = base / "bin" / "ssh"  # ssh finds its config by the home in the user database, not by HOME
        wrapper.parent.mkdir()
        wrapper.write_text(f'#!/bin/sh\nexec {shutil.which("ssh")} -F {self.config} "$@"\n')
        wrapper.chmod(0o755)

    def know(self, *names: str) -> None:
        """Give the client the host keys of these hosts only, or of all if none is named."""
        lines = []
        for host in self.all:
            if not names or host.name in names:
                kind, key, *_ = (self.base / "keys" / f"{host.name}.pub").read_text().split()
                lines.append(f"{host.address} {kind} {key}\n")
        self.known.write_text("".join(lines))

    def connect(self) -> None:
        """Make the namespaces and wires, and start every sshd."""
        PRIVSEP.mkdir(mode=0o755, exist_ok=True)
        _ip("netns", "add", self.client)
        _ip("-n", self.client, "link", "set", "lo", "up")
        for host in self.all:
            number = host.name[1:]
            _ip("netns", "add", host.namespace)
            peer = f"c{number} type veth peer {host.wire} netns {host.namespace}"
            _ip("-n", self.client, "link", "add", *peer.split())
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
            host.unmount()
        for namespace in (self.client, *(host.namespace for host in self.all)):
            for pid in _pids(namespace):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, 9)
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
        """Start `collagebench` in the client's namespace."""
        process = subprocess.Popen(
            ["ip", "netns", "exec", self.client, sys.executable, "-m", "collagebench", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment(),
            cwd=directory,
        )
        self._started.append(process)
        return process

    def stop(self) -> None:
        """Kill the processes that a test started and did not wait for."""
        for process in self._started:
            if process.returncode is None:
                process.kill()
                process.communicate()
        self._started.clear()

    def ssh(self, host: Host) -> int:
        """Return the process id of the client's ssh to a host."""
        commands = {pid: _command(pid) for pid in processes(self.temporary)}
        (pid,) = [pid for pid, words in commands.items() if words[0].endswith("/ssh") and {"-S", host.name} <= {*words}]
        return pid

    def listening(self) -> int:
        """Return the number of TCP ports on which something listens in the client's namespace."""
        return _listening(self.client)

    def sockets(self) -> list[Path]:
        """Return the paths of the client's Unix sockets."""
        return [path for path in below(self.temporary) if path.is_socket()]

    def left(self) -> list[str]:
        """Return what ended runs have left on the client and on the hosts."""
        found = [str(item) for item in processes(self.temporary).items()]
        found += map(str, below(self.temporary))
        return [*found, *(item for host in self.all for item in host.left())]


def below(place: Path) -> list[Path]:
    """Return all files and directories below a place, from which some may be removed meanwhile, as rglob forbids."""
    return [Path(parent, name) for parent, directories, files in os.walk(place) for name in (*directories, *files)]


def _pids(namespace: str) -> list[int]:
    """Return the processes in a namespace."""
    found = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True)
    return [int(pid) for pid in found.stdout.split()]


def _listening(namespace: str) -> int:
    """Return the number of TCP ports on which something listens in a namespace."""
    tables = [_in(namespace, "cat", f"/proc/net/{table}").splitlines()[1:] for table in ("tcp", "tcp6")]
    return sum(line.split()[3] == "0A" for table in tables for line in table)


def _command(pid: int) -> list[str]:
    """Return the command line of a process, in words; one empty word if there is no such process."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
    return [""]


def _in(namespace: str, *command: str) -> str:
    """Run a command in a namespace; return its output."""
    words = ["ip", "netns", "exec", namespace, *command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


@contextlib.contextmanager
def hosts(base: Path, count: int = 3) -> Iterator[Hosts]:
    """Run `count` hosts and a client for the block."""
    made = Hosts(base, count)
    try:
        made.connect()
        yield made
    finally:
        made.disconnect()
