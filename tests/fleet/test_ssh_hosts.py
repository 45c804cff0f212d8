"""Workers on three hosts over SSH: a whole run, every fault, and nothing left on any host afterwards.

The hosts are network namespaces with an sshd each (see ssh_hosts.py), so this needs root, sshd and ip. After every
test, no process, socket or file of the run may be left on a host or on the client.
"""

from __future__ import annotations

import contextlib
import csv
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from command_line import finish, wait_for_requests
from natural_processes import until
from ssh_hosts import Host, Hosts, hosts, missing

from collagebench.fleet.ssh.archive import NEEDED
from collagebench.worker.outpost import LEASE

pytestmark = pytest.mark.processes

QUICK = ["--compute", "emulated", "--compute-time", "0.005", "--stragglers", "none", "--scheme", "none", "--runs", "1"]
MIDWAY = ["--workers", 6, "--rate", 60, "--requests", 400, "--runs", 1, "--scheme", "equal", "--stragglers", "none"]
OUTPOST, ARCHIVE = "sys.stdin", ".pyz"
"""Words by which the command lines of outposts, and of forkservers and workers, are found."""
LATE = """
#define _GNU_SOURCE
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && clock == CLOCK_REALTIME) now->tv_sec -= 3 * 3600;
    return failed;
}
int gettimeofday(struct timeval *now, void *zone) {
    struct timespec precise;
    int failed = clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return failed;
}
time_t time(time_t *where) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (where) *where = now.tv_sec;
    return now.tv_sec;
}
"""
"""A wall clock that is three hours late, in C, so that programs in any language read it."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hosts]:
    """Return three hosts that this module shares."""
    if why := missing():
        pytest.skip(why)
    with hosts(tmp_path_factory.mktemp("ssh")) as up:
        yield up


@pytest.fixture
def three(world: Hosts) -> Iterator[Hosts]:
    """Return three hosts; after the test nothing may be left on them, and only sshd may listen there."""
    yield world
    world.stop()
    seconds = LEASE + 5
    until(lambda: not world.left(), f"nothing but {world.left()}, and then that is gone too", seconds)
    for host in world.all:
        host.mend()
        assert host.listening() == 1  # its sshd
    world.know()


def run(three: Hosts, cwd: Path, *options: Any, names: str = "h1 h2 h3") -> subprocess.Popen[str]:
    """Start a run on hosts, into the directory r, with this interpreter unless the options name another."""
    file = cwd / "hosts"
    file.write_text(names.replace(" ", "\n") + "\n")
    python = () if "--remote-python" in options else ("--remote-python", sys.executable)
    words = ["run", "--fleet", "ssh", "--hosts", file, *python, *options, "--out", "r"]
    return three.start(*map(str, words), directory=cwd)


def quick(three: Hosts, cwd: Path, *options: Any, names: str = "h1 h2 h3", workers: int = 6) -> subprocess.Popen[str]:
    """Start a run with emulated inference."""
    return run(three, cwd, *QUICK, "--workers", workers, *options, names=names)


def reasons(cwd: Path) -> Counter[str]:
    """Count the recorded requests by the reason of failure, which is "" for those answered."""
    with (cwd / "r" / "requests.csv").open() as file:
        return Counter(row["reason"] for row in csv.DictReader(file))


def refused(process: subprocess.Popen[str]) -> list[str]:
    """Return the sentences, one a host, with which a run is refused before it begins, with exit code 1."""
    code, out, err = finish(process)
    assert (code, out) == (1, ""), err
    head, *sentences = err[err.index("collagebench: ") :].strip().splitlines()
    assert "cannot be used, so nothing was started:" in head
    return [" ".join(sentence.split()) for sentence in sentences]


def pids(host: Host, word: str) -> list[int]:
    """Return the ids, in order, of processes on a host whose command line has a word."""
    return sorted(pid for pid, words in host.processes().items() if word in words)


def version() -> str:
    """Return the version of this interpreter, which the hosts have, too."""
    return ".".join(map(str, sys.version_info[:3]))


def said(text: str) -> str:
    """Return a text on one line."""
    return " ".join(text.split())


def cache(host: Host) -> dict[str, int]:
    """Return the files in a host's cache, with the time when each was written."""
    place = host.home / ".cache" / "collagebench"
    return {str(path.relative_to(place)): path.stat().st_mtime_ns for path in place.rglob("*.*") if path.is_file()}


def test_ten_workers_on_three_hosts(three: Hosts, tmp_path: Path) -> None:
    """Three schemes run on ten workers, without an open port on any host; a second run copies no file again."""
    schemes = ["--scheme", "none", "--scheme", "replication", "--scheme", "collage"]
    load = ["--workers", 10, "--requests", 100, "--runs", 2, "--utilisation", 0.3, "--format", "json"]
    process = run(three, tmp_path, *schemes, *load, names="h1 workers=4,h2,h3".replace(" ", "\t").replace(",", " "))
    wait_for_requests(process, tmp_path)
    assert [host.listening() for host in three.all] == [1, 1, 1]
    assert three.listening() == 0
    sockets = [Path(path) for host in three.all for path in host.sockets()]
    assert {path.parent.stat().st_mode & 0o777 for path in (*sockets, *three.sockets())} == {0o700}
    code, out, err = finish(process)
    report = json.loads(out)
    assert code == (0 if report["valid"] else 4), err
    for scheme in report["schemes"]:
        assert (scheme["requests"], scheme["failed"]) == (2 * 95, 0)
        assert scheme["accuracy"]["overall"] > 0.9
    table = [line.split()[:4] for line in err.splitlines()]
    for name, workers in (("h1", "4"), ("h2", "3"), ("h3", "3")):
        assert [name, workers, version(), "all"] in table
    recorded = json.loads((tmp_path / "r" / "run.json").read_text())["hosts"]
    assert [(host["host"], host["workers"]) for host in recorded] == [("h1", 4), ("h2", 3), ("h3", 3)]
    logs = {path.name for path in (tmp_path / "r" / "workers").iterdir()}
    assert logs == {f"worker-{index}.log" for index in range(10)} | {f"host-h{number}.log" for number in (1, 2, 3)}

    kept = [cache(host) for host in three.all]
    assert sum(name.endswith(".pyz") for files in kept for name in files) == 3
    assert sum(name.endswith(".onnx") for files in kept for name in files) == 4  # one host has the collage model too
    shutil.rmtree(tmp_path / "r")
    code, _, err = finish(run(three, tmp_path, "--workers", 3, "--scheme", "none", "--requests", 40, "--runs", 1))
    assert code in (0, 4), err
    assert [cache(host) for host in three.all] == kept


def test_killed_in_mid_run(three: Hosts, tmp_path: Path) -> None:
    """If a worker, a forkserver and an ssh are killed, each loss is reported, and the other workers go on."""
    process = run(three, tmp_path, *MIDWAY)
    wait_for_requests(process, tmp_path)
    first, second, third = three.all
    os.kill(pids(first, ARCHIVE)[-1], signal.SIGKILL)
    os.kill(pids(second, ARCHIVE)[0], signal.SIGKILL)
    os.kill(three.ssh(third), signal.SIGKILL)
    code, out, err = finish(process)
    assert code == 4, err
    lost = said(out)
    assert "killed by signal 9" in lost
    assert "its forkserver on h2 ended (killed by signal 9)" in lost
    assert "its connection to h3 was lost (our process there was killed, or ssh was: exit status -9)" in lost
    found = reasons(tmp_path)
    assert found.total() == 400
    assert found[""] > 200


def test_cut_in_mid_run(three: Hosts, tmp_path: Path) -> None:
    """If an outpost is killed, a connection closed and a link cut, the run ends, also on the host behind the cut."""
    process = run(three, tmp_path, *MIDWAY)
    wait_for_requests(process, tmp_path)
    first, second, third = three.all
    os.kill(pids(first, OUTPOST)[0], signal.SIGKILL)
    second.hang_up()
    third.cut()
    code, out, err = finish(process)
    assert code == 4, err
    lost = said(out)
    assert "its connection to h1 was lost" in lost
    # ssh notices that the other end is gone when it reads or when it writes, whichever comes first.
    ways = r"Connection to 10\.99\.2\.2 closed by remote host|.*Broken pipe|.*Connection reset by peer"
    assert re.search(rf"its connection to h2 was lost \(({ways})\)", lost), lost
    assert "its connection to h3 was lost (Timeout, server 10.99.3.2 not responding)" in lost, lost
    assert reasons(tmp_path).total() == 400
    until(lambda: not third.left(), f"{third.left()} gone, link or no link", LEASE + 5)


def test_a_host_that_does_not_confirm_its_end(three: Hosts, tmp_path: Path) -> None:
    """A note names a host that does not confirm its end, here because its outpost is stopped."""
    process = quick(three, tmp_path, "--requests", 120, "--rate", 60)
    wait_for_requests(process, tmp_path)
    (outpost,) = pids(three.all[1], OUTPOST)
    os.kill(outpost, signal.SIGSTOP)
    try:
        code, _, err = finish(process)
        assert code in (0, 4), err
        notes = [line for line in err.splitlines() if "did not confirm" in line]
        assert notes == [
            "note: h2 did not confirm that none of our processes is left there: `pgrep -f collagebench` shows any"
        ]
    finally:
        with contextlib.suppress(ProcessLookupError):  # the system continues a stopped process whose parent is gone
            os.kill(outpost, signal.SIGCONT)


def test_a_slow_link(three: Hosts, tmp_path: Path) -> None:
    """If a host's link is too slow, the run still ends, and late requests are recorded as `deadline` or `lost`."""
    process = run(three, tmp_path, *MIDWAY, "--deadline", 1)
    wait_for_requests(process, tmp_path)
    three.all[2].slow("64kbit")
    code, _, err = finish(process)
    assert code in (0, 4), err
    found = reasons(tmp_path)
    assert found.total() == 400
    assert set(found) <= {"", "deadline", "lost"}
    with (tmp_path / "r" / "tasks.csv").open() as file:
        took = {(int(row["worker"]) % 3, float(row["ended"]) - float(row["sent"])) for row in csv.DictReader(file)}
    assert max(seconds for place, seconds in took if place == 2) > 0.1  # worker i is on host i mod 3


def test_hosts_that_ssh_does_not_reach(three: Hosts, tmp_path: Path) -> None:
    """An unknown host, one whose key has changed and one that is down are reported together, each with what to do."""
    _, second, third = three.all
    three.know("h3")
    changed = (three.base / "keys" / "h1.pub").read_text().split()[:2]
    with three.known.open("a") as known:
        known.write(f"{second.address} {' '.join(changed)}\n")
    third.cut()
    unknown, mismatch, away = refused(quick(three, tmp_path))
    assert unknown.startswith("h1: the host key of 10.99.1.2 is not known here: connect once by hand with `ssh h1`,")
    assert mismatch.startswith(f"h2: its host key is not the one in {three.known}:2:")
    remedy = f'remove the old key with `ssh-keygen -f "{three.known}" -R "10.99.2.2"`'
    assert remedy in mismatch.replace("'", '"')  # newer versions of ssh quote the names otherwise
    assert away.startswith("h3: it cannot be reached (ssh: connect to host 10.99.3.2 port 22: ")
    assert away.endswith("check that `ssh h3` works")


def test_logins_that_fail(three: Hosts, tmp_path: Path) -> None:
    """A refused login, a host without the interpreter and one without an sshd are reported, each with what to do."""
    first, _, third = three.all
    first.settings.append("AuthorizedKeysFile none")
    first.restart()
    third.stop()
    for host in (first, third):
        host.command("python9", f'exec {sys.executable} "$@"')
    login, python, nobody = refused(quick(three, tmp_path, "--remote-python", "python9"))
    assert login.startswith("h1: it refuses the login (publickey")
    assert "put your key there with `ssh-copy-id h1`" in login
    assert python.startswith("h2: there is no python9: install Python 3.10 or newer there, or name another")
    assert nobody.startswith("h3: it cannot be reached (ssh: connect to host 10.99.3.2 port 22: Connection refused)")


@pytest.mark.parametrize("setting", ["AllowStreamLocalForwarding no", "DisableForwarding yes"])
def test_an_sshd_that_forwards_no_sockets(three: Hosts, tmp_path: Path, setting: str) -> None:
    """An sshd that does not forward sockets is named, with the line to set in its configuration."""
    second = three.all[1]
    second.settings.append(setting)
    second.restart()
    code, out, err = finish(quick(three, tmp_path))
    assert (code, out) == (1, "")
    assert said(err).endswith(
        "collagebench: h2: sshd there does not forward Unix sockets; set AllowStreamLocalForwarding yes (and "
        "no DisableForwarding) in its sshd_config"
    )


def test_an_ssh_with_few_open_files(three: Hosts, tmp_path: Path) -> None:
    """If ssh cannot open enough files, the last line of the error says so and how to allow more."""
    ssh = three.base / "bin" / "ssh"
    usual = ssh.read_text()
    ssh.write_text(usual.replace("exec ", "ulimit -n 12; exec "))
    try:
        code, out, err = finish(quick(three, tmp_path, names="h1", workers=12))
    finally:
        ssh.write_text(usual)
    assert (code, out) == (1, "")
    assert err.strip().splitlines()[-1] == (
        "collagebench: host h1: ssh does not forward its sockets (socket: Too many open files): allow more open files, "
        "as with `ulimit -n 4096`"
    )


def test_many_hosts_behind_one(three: Hosts, tmp_path: Path) -> None:
    """So few logins are made at once that a jump host with MaxStartups 18 drops none of 24."""
    third = three.all[2]
    third.settings.append("MaxStartups 18:100:18")  # each login there makes another, from there to itself
    third.restart()
    names = [f"behind{number}" for number in range(24)]
    options = ["--remote-python", "python9"]
    failures = refused(quick(three, tmp_path, *options, names=" ".join(names), workers=len(names)))
    assert [failure.partition(":")[2][:22] for failure in failures] == [" there is no python9: "] * len(names)


def test_interpreters_that_will_not_do(three: Hosts, tmp_path: Path) -> None:
    """An interpreter of another architecture, one that is too old and one without the packages are each refused."""
    first, second, third = three.all
    foreign = bytearray(Path(shutil.which("true") or "/bin/true").read_bytes())
    foreign[18:20] = (0xF3).to_bytes(2, "little")  # RISC-V
    (first.bin / "python9").write_bytes(foreign)
    (first.bin / "python9").chmod(0o755)
    old = "exec(sys.argv[1])"
    second.command("python9", f"exec {sys.executable} -c 'import sys; sys.version_info = (3, 8, 10); {old}' \"$2\"")
    bare(third)
    machine, version, packages = refused(quick(three, tmp_path, "--remote-python", "python9"))
    assert machine.startswith("h1: python9 cannot be executed there")
    assert "check that it is a program for that machine" in machine
    assert version == (
        "h2: its python9 is Python 3.8.10, but 3.10 or newer is needed: name another with --remote-python"
    )
    assert "bare/bin/python lacks grpcio>=1.76, numpy>=" in packages
    assert "install that there, add --bootstrap, or name another interpreter with --remote-python" in packages


def test_a_host_that_talks_nonsense(three: Hosts, tmp_path: Path) -> None:
    """A host that sends nonsense, such as escape codes, is refused, and nothing that it sent is shown."""
    facts = json.dumps({"facts": {"python": "\033[31m", "missing": ["../x"]}})
    for host, answer in zip(three.all, ("ready?", '["ready"]', facts), strict=True):
        host.command(
            "python9", f"echo collagebench 3.12.0; echo '{{\"ready\": true}}'; echo '{answer}'; cat >/dev/null"
        )
    failures = refused(quick(three, tmp_path, "--remote-python", "python9"))
    assert failures == [f"h{number}: it sent something that is not from our program" for number in (1, 2, 3)]


def test_disks_that_are_full(three: Hosts, tmp_path: Path) -> None:
    """A full disk for the cache, a full one for sockets and a read-only one are refused, each with what to do."""
    first, second, third = three.all
    for host in three.all:
        shutil.rmtree(host.home / ".cache", ignore_errors=True)
    first.disk(first.home / ".cache", "size=4m")
    second.disk(second.temporary, "size=64k")
    third.disk(third.home / ".cache", "ro")
    small, full, readonly = refused(quick(three, tmp_path))
    assert small == f"h1: 17 MB are needed in {first.home}/.cache/collagebench, but 4 MB are free"
    assert full == f"h2: the disk of {second.temporary} is full: free some space, or set TMPDIR to another place"
    assert readonly.startswith(f"h3: nothing can be kept there: {third.home}/.cache cannot be written to; set XDG_")


def test_a_disk_that_fills_up(three: Hosts, tmp_path: Path) -> None:
    """A disk that fills up while a file is copied to it is reported with the system's reason."""
    first = three.all[0]
    shutil.rmtree(first.home / ".cache", ignore_errors=True)
    first.disk(first.home / ".cache", "size=64m,nr_inodes=3")  # room, but not for another file
    (failure,) = refused(quick(three, tmp_path))
    assert "bytes cannot be kept in" in failure
    assert failure.endswith("(No space left on device)")


@pytest.fixture(scope="module")
def late(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a library that, preloaded, makes a program's wall clock three hours late."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler")
    directory = tmp_path_factory.mktemp("late")
    (directory / "late.c").write_text(LATE)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", directory / "late.so", directory / "late.c"], check=True)
    return directory / "late.so"


def test_a_clock_that_is_off(three: Hosts, tmp_path: Path, late: Path) -> None:
    """If a host's clock is 3 h late, a note says so, the offset is recorded, and the latencies are as usual."""
    three.all[1].restart(LD_PRELOAD=str(late))
    code, out, err = finish(quick(three, tmp_path, "--requests", 60, "--rate", 60, "--format", "json"))
    assert code in (0, 4), err
    assert "note: h2: its clock is -3 h off: no figure depends on it, but its logs' times do" in err
    assert reasons(tmp_path) == {"": 60}
    (scheme,) = json.loads(out)["schemes"]
    assert 0.005 < scheme["latency_s"]["p50"] < 1
    offsets = [host["clock_offset_s"] for host in json.loads((tmp_path / "r" / "run.json").read_text())["hosts"]]
    assert [round(offset / 3600) for offset in offsets] == [0, -3, 0]


def test_two_runs_at_once(three: Hosts, tmp_path: Path) -> None:
    """Two runs that begin with empty caches can share hosts, and each answers all its requests."""
    for host in three.all:
        shutil.rmtree(host.home / ".cache", ignore_errors=True)
    places = [tmp_path / name for name in "ab"]
    for place in places:
        place.mkdir()
    both = [quick(three, place, "--requests", 60, "--rate", 30) for place in places]
    for process, place in zip(both, places, strict=True):
        code, _, err = finish(process)
        assert code in (0, 4), err
        assert reasons(place) == {"": 60}


def looking(three: Hosts) -> bool:
    """Return whether a login on some host has started a process."""
    return any(host.processes() for host in three.all)


def starting(three: Hosts) -> bool:
    """Return whether a forkserver has been started."""
    return any(pids(host, ARCHIVE) for host in three.all)


def serving(three: Hosts) -> bool:
    """Return whether workers listen on every host."""
    return all(host.sockets() for host in three.all)


@pytest.mark.parametrize("moment", [looking, starting, serving])
def test_ctrl_c(three: Hosts, tmp_path: Path, moment: Callable[[Hosts], bool]) -> None:
    """Ctrl-C ends a run with 130, while hosts are checked, while forkservers start and while workers serve."""
    process = quick(three, tmp_path, "--requests", 6000, "--rate", 20)
    until(lambda: moment(three), moment.__name__)
    process.send_signal(signal.SIGINT)
    code, _, err = finish(process)
    assert code == 130, err


def test_a_client_that_is_killed(three: Hosts, tmp_path: Path) -> None:
    """If the client is killed, everything on the hosts ends, also behind a jump host."""
    process = quick(three, tmp_path, "--requests", 6000, "--rate", 60, names="h1 h2 behind")
    until(lambda: serving(three), "workers listen")
    process.kill()
    process.communicate()


def test_a_python_without_pip(three: Hosts, tmp_path: Path) -> None:
    """If --bootstrap cannot make an environment, the error says what to install, and the log has venv's message."""
    first, *_ = three.all
    bare(first)
    said = "The virtual environment was not created successfully because ensurepip is not\\navailable."
    (tmp_path / "sitecustomize.py").write_text(  # says what Debian's venv does
        f"import os, sys\nif 'venv' in sys.orig_argv:\n    print('{said}', flush=True)\n    os._exit(1)\n"
    )
    first.restart(PYTHONPATH=str(tmp_path))
    (failure,) = refused(quick(three, tmp_path, "--remote-python", "python9", "--bootstrap", names="h1"))
    assert failure == (
        "h1: no environment can be created there: `python -m venv` failed: that Python has no pip; install "
        "python3-venv there (Debian, Ubuntu), or uv"
    )
    assert "because ensurepip is not\navailable." in (tmp_path / "r" / "workers" / "host-h1.log").read_text()


@pytest.mark.slow
def test_a_host_that_hangs(three: Hosts, tmp_path: Path) -> None:
    """A host that accepts the connection and says nothing is refused as timed out."""
    with three.all[1].hanging():
        (failure,) = refused(quick(three, tmp_path))
    assert failure == (
        "h2: it cannot be reached (Connection to 10.99.2.2 port 22 timed out): check that `ssh h2` works"
    )


@pytest.mark.slow
def test_a_client_that_stands_still(three: Hosts, tmp_path: Path) -> None:
    """A client that is stopped for longer than the lease loses its host, and reports for how long it did not run."""
    process = run(three, tmp_path, *MIDWAY, "--requests", 2000, names="h1")
    wait_for_requests(process, tmp_path)
    process.send_signal(signal.SIGSTOP)
    until(lambda: not three.all[0].processes(), "the host gives the client up", LEASE + 5)
    process.send_signal(signal.SIGCONT)
    code, out, err = finish(process)
    assert code == 4, err
    assert re.search(r"connection to h1 was lost \(this client did not run for 1\d s, so h1 gave up on it\)", said(out))


@pytest.mark.slow
def test_bootstrap(three: Hosts, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    """With --bootstrap, an interpreter without packages gets one environment, which a second run uses again."""
    first, *_ = three.all
    wheels = tmp_path_factory.mktemp("wheels")
    wanted = [f"{name}>={least}" for name, least in NEEDED.items()]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--dest", str(wheels), *wanted]
    if subprocess.run(pip, check=False).returncode:
        pytest.skip(f"{', '.join(wanted)} cannot be fetched here")
    bare(first)
    first.restart(PIP_NO_INDEX="1", PIP_FIND_LINKS=str(wheels))
    options = ["--remote-python", "python9", "--requests", 60, "--rate", 60, "--bootstrap"]
    code, _, err = finish(quick(three, tmp_path, *options, names="h1"))
    assert code in (0, 4), err
    assert reasons(tmp_path) == {"": 60}
    assert ["h1", "6", version(), "4", "lack"] in [line.split()[:5] for line in err.splitlines()]
    environments = [name for name in cache(first) if name.endswith("pyvenv.cfg")]
    assert len(environments) == 1
    shutil.rmtree(tmp_path / "r")
    code, _, err = finish(quick(three, tmp_path, *options, names="h1"))
    assert code in (0, 4), err
    assert ["h1", "6", version(), "all"] in [line.split()[:4] for line in err.splitlines()]


def bare(host: Host) -> None:
    """Give a host a `python9` with only the standard library."""
    place = host.base / "bare"
    if not place.exists():
        subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(place)], check=True)
    host.command("python9", f'exec {place}/bin/python "$@"')
