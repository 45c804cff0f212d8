"""Natural stragglers disturb workers as they say, and calm undoes it."""

from __future__ import annotations

import math
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from natural_processes import (
    FAST,
    PATIENCE,
    affinities,
    group,
    groups,
    nothing_left,
    own_load,
    permitted,
    processes,
    state,
    until,
)
from real_processes import SOON, SPEC, Driven, Watched, driven

from collagebench.stragglers import draws

pytestmark = [
    pytest.mark.processes,
    pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="asks /proc what became of processes"),
]
KINDS = list(FAST)


@pytest.fixture(autouse=True)
def temporary(temporary: Path) -> Iterator[Path]:
    """Return the temporary directory of a test, and check that no process or group is left after it."""
    yield temporary
    nothing_left(temporary)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Driven]:
    """Return a forkserver."""
    with driven("emulated", tmp_path) as server:
        yield server


@pytest.fixture
def own_tool(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use the built-in load."""
    own_load(monkeypatch)


def disturbed(server: Driven, kind: str, *workers: int, **parameters: Any) -> list[dict[str, Any]]:
    """Disturb workers and return what was started."""
    server.order(disturb={"kind": kind, "workers": workers, **parameters})
    event = server.hear()
    assert event["event"] == "disturbed", event
    assert [item["worker"] for item in event["what"]] == list(workers)
    assert {item["kind"] for item in event["what"]} == {kind}
    return event["what"]


def calmed(server: Driven) -> list[dict[str, Any]]:
    """Calm the workers and return the results of the disturbance."""
    server.order(calm=True)
    event = server.hear()
    assert event["event"] == "calm", event
    return event["what"]


def test_a_stopped_worker_stops_and_goes_on(server: Driven) -> None:
    """A worker is stopped again and again for as long as asked until it is calmed, and no other worker stops."""
    victim, other = server.started(2)
    disturbed(server, "stop", 0, stop_every=0.05, stop_for=0.03)
    for _ in range(3):
        until(lambda: state(victim) == "T", "the worker stops")
        assert state(other) != "T"
        until(lambda: state(victim) != "T", "the worker goes on")
    [result] = calmed(server)
    assert state(victim) not in ("T", "")
    assert len(result["stops"]) >= 3
    assert all(seconds >= 0.03 for _, seconds in result["stops"][:-1])
    assert result["seconds"] >= result["stopped_s"] >= result["asked_s"] >= 0.03 * (len(result["stops"]) - 1)


def test_calm_ends_a_stop_that_is_under_way(server: Driven) -> None:
    """Calm ends a stop at once, however long it was meant to last."""
    [pid] = server.started(1)
    disturbed(server, "stop", 0, **FAST["stop"])
    until(lambda: state(pid) == "T", "the worker stops")
    [result] = calmed(server)
    assert state(pid) not in ("T", "")
    [(_, seconds)] = result["stops"]
    assert seconds == pytest.approx(result["asked_s"], abs=1e-6)
    assert result["asked_s"] == result["stopped_s"]


@pytest.mark.parametrize("run", [0, 1])
def test_stops_come_when_their_seed_run_and_worker_say(server: Driven, run: int) -> None:
    """Each stop begins at or just after the time drawn for seed, run and worker, and workers have different times."""
    pids = server.started(3)
    disturbed(server, "stop", 0, 2, seed=5, run=run, stop_every=0.1, stop_for=0.02)
    for pid in (pids[0], pids[2]):
        for _ in range(4):
            until(lambda pid=pid: state(pid) == "T", "the worker stops")
            until(lambda pid=pid: state(pid) != "T", "the worker goes on")

    def planned(worker: int, count: int) -> list[float]:
        key = draws.key(5, "stop", run, worker)
        gaps = [-0.1 * math.log(draws.uniform(key, stop)) for stop in range(count)]
        return [sum(gaps[: stop + 1]) + 0.02 * stop for stop in range(count)]

    for result in calmed(server):
        begins = [begin for begin, _ in result["stops"]]
        assert len(begins) >= 4
        late = [begin - plan for begin, plan in zip(begins, planned(result["worker"], len(begins)), strict=True)]
        assert min(late) >= 0
        assert min(late[len(late) // 2 :]) < 0.05  # of the later ones: load delays some of them, a drift all
    assert planned(0, 4) != planned(2, 4)


@pytest.mark.parametrize("load", ["cpu", "cache", "memory"])
def test_a_co_runner_shares_the_workers_core(own_tool: None, server: Driven, load: str) -> None:
    """All threads of the worker are pinned to one core, the load runs on it too, and calm undoes both."""
    _, victim = server.started(2)
    free = affinities(victim)
    [what] = disturbed(server, "corunner", 1, load=load)
    assert (what["tool"], what["load"]) == ("collagebench", load)
    assert affinities(victim) == affinities(what["pid"]) == {frozenset({what["core"]})}
    before = cpu_time(what["pid"])
    until(lambda: cpu_time(what["pid"]) > before + 0.1, "the load takes CPU time")
    watched = Watched([what["pid"]])
    [result] = calmed(server)
    assert not watched.left_after(0)
    assert affinities(victim) == free
    assert result["seconds"] > 0
    assert "ended" not in result


def cpu_time(pid: int) -> float:
    """Return the CPU time in seconds of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(shutil.which("stress-ng") is None, reason="stress-ng is not installed")
@pytest.mark.parametrize(("load", "stressor"), [("cpu", "cpu"), ("cache", "cache"), ("memory", "stream")])
def test_stress_ng_is_the_co_runner_where_it_is_installed(server: Driven, load: str, stressor: str) -> None:
    """stress-ng runs one stressor of the load's kind on the worker's core, and leaves no process after calm."""
    [victim] = server.started(1)
    [what] = disturbed(server, "corunner", 0, load=load)
    assert what["tool"] == "stress-ng"

    def stressors() -> list[int]:
        return [pid for pid in group(what["pid"]) if f"stress-ng-{stressor}" in name(pid)]

    until(stressors, "the stressor begins")
    [running] = stressors()
    assert affinities(victim) == affinities(running) == {frozenset({what["core"]})}
    watched = Watched([what["pid"], running])
    assert "ended" not in calmed(server)[0]
    assert not watched.left_after(SOON)  # it holds nothing any more, but may still be exiting


def name(pid: int) -> str:
    """Return a process's command line and name."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_text() + Path(f"/proc/{pid}/comm").read_text()
    except OSError:
        return ""


@pytest.mark.parametrize("just_now", [False, True])
def test_a_co_runner_that_ends_unasked_is_told(own_tool: None, server: Driven, just_now: bool) -> None:
    """If the load is killed, the result of the disturbance says so, and calm still frees the worker.

    So it is if the forkserver reads of both at once, and of the order to calm first.
    """
    [victim] = server.started(1)
    free = affinities(victim)
    [what] = disturbed(server, "corunner", 0)
    watched = Watched([what["pid"]])
    if just_now:
        server.process.send_signal(signal.SIGSTOP)
        server.order(calm=True)
    os.kill(what["pid"], signal.SIGKILL)
    assert not watched.left_after(SOON)
    if just_now:
        server.process.send_signal(signal.SIGCONT)
    else:
        server.order(calm=True)
    [result] = server.hear()["what"]
    assert result["ended"] == "its helper ended: killed by signal 9"
    assert affinities(victim) == free


def test_a_throttled_worker_has_a_quota(server: Driven) -> None:
    """A throttled worker is in its own group with the quota asked for; calm moves it back and removes the group."""
    permitted("throttle")
    victim, other = server.started(2)
    home = Path(f"/proc/{victim}/cgroup").read_text()
    [what] = disturbed(server, "throttle", 0, quota=0.25, period_ms=10.0)
    group = Path(what["group"])
    if what["tool"] == "cgroup v1":
        assert (group / "cpu.cfs_period_us").read_text() == "10000\n"
        assert (group / "cpu.cfs_quota_us").read_text() == "2500\n"
    else:
        assert (group / "cpu.max").read_text() == "2500 10000\n"
    assert (group / "cgroup.procs").read_text() == f"{victim}\n"
    assert Path(f"/proc/{other}/cgroup").read_text() == home
    [result] = calmed(server)
    assert not group.exists()
    assert Path(f"/proc/{victim}/cgroup").read_text() == home
    assert result["periods"] >= result["exhausted_periods"] >= 0


def test_traffic_moves_bytes_over_loopback(server: Driven) -> None:
    """Traffic moves at least as many bytes over loopback as it reports, by a process that may run on any core."""
    [victim] = server.started(1)

    def loopback() -> int:
        [line] = [line for line in Path("/proc/net/dev").read_text().splitlines() if line.strip().startswith("lo:")]
        return int(line.split(":")[1].split()[0])

    before = loopback()
    [what] = disturbed(server, "traffic", 0, transfers=3, transfer_mb=2.0)
    assert (what["transfers"], what["transfer_mb"], what["over"]) == (3, 2.0, "loopback")
    assert affinities(what["pid"]) == affinities(victim)
    until(lambda: loopback() > before + 50e6, "50 MB are moved")
    watched = Watched([what["pid"]])
    [result] = calmed(server)
    assert not watched.left_after(0)
    assert result["moved_bytes"] > 6e6  # more than one transfer each
    assert loopback() - before >= result["moved_bytes"]


def test_the_next_disturbance_replaces_the_last(own_tool: None, server: Driven) -> None:
    """A new disturbance replaces the last one, of which neither load nor pinning is left."""
    first, second = server.started(2)
    free = affinities(first)
    [what] = disturbed(server, "corunner", 0)
    watched = Watched([what["pid"]])
    disturbed(server, "stop", 1, **FAST["stop"])
    assert not watched.left_after(0)
    assert affinities(first) == free
    until(lambda: state(second) == "T", "the other worker stops")
    assert state(first) != "T"
    assert [result["worker"] for result in calmed(server)] == [1]


@pytest.mark.parametrize("kind", KINDS)
def test_a_disturbance_ends_with_its_worker(temporary: Path, own_tool: None, server: Driven, kind: str) -> None:
    """When a disturbed worker is killed, its load and group go too, and the other worker stays disturbed."""
    permitted(kind)
    pids = server.started(2)
    what = disturbed(server, kind, 0, 1, **FAST[kind])
    with_both = len(processes(temporary))
    os.kill(pids[0], signal.SIGKILL)
    assert server.hear() == {"worker": 0, "event": "exited", "status": "killed by signal 9"}
    helped = kind in ("corunner", "traffic")
    until(lambda: len(processes(temporary)) == with_both - 1 - helped, "what disturbed the worker ends")
    if kind == "throttle":
        assert [str(group) for group in groups(temporary)] == [what[1]["group"]]
    ended, other = calmed(server)
    assert (ended["worker"], ended["ended"]) == (0, "the worker ended")
    assert (other["worker"], "ended" in other) == (1, False)


@pytest.mark.parametrize("kind", KINDS)
def test_a_disturbed_worker_drains(own_tool: None, server: Driven, kind: str) -> None:
    """On a drain a disturbed worker is calmed first, so that it stops by itself and is not killed."""
    permitted(kind)
    [pid] = server.started(1)
    disturbed(server, kind, 0, **FAST[kind])
    if kind == "stop":
        until(lambda: state(pid) == "T", "the worker stops")
    server.order(drain=10.0)
    assert server.hear() == {"worker": 0, "event": "exited", "status": "exit status 0"}
    assert server.process.wait(PATIENCE) == 0


def test_a_worker_that_does_not_run_is_not_disturbed(server: Driven) -> None:
    """Disturbing a worker that does not run is refused, and the previous disturbance has ended as well."""
    [pid] = server.started(1)
    disturbed(server, "stop", 0, **FAST["stop"])
    until(lambda: state(pid) == "T", "the worker stops")
    server.order(disturb={"kind": "stop", "workers": [0, 4]})
    assert server.hear() == {
        "event": "refused",
        "message": "worker 4 cannot be disturbed by stop: it is not running",
    }
    assert state(pid) not in ("T", "")
    assert calmed(server) == []


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({"kind": "corunner", "load": "disk"}, "load of a disturbance is 'disk'; it must be cpu or cache or memory"),
        ({"kind": "quake"}, "kind of a disturbance is 'quake'; it must be stop or corunner or throttle or traffic"),
        ({"kind": "stop", "stop_for": -1.0}, "stop_for is -1.0 for the disturbance stop; it must be above 0"),
    ],
)
def test_a_disturbance_that_makes_no_sense_is_one_sentence(server: Driven, order: dict[str, Any], message: str) -> None:
    """An invalid disturbance is refused with the value and what it may be."""
    server.started(1)
    server.order(disturb={"workers": [0], **order})
    assert server.hear() == {"event": "refused", "message": message}


def test_a_crashed_worker_comes_back_on_its_socket(server: Driven) -> None:
    """A crashed worker comes back as another process on the same socket, and can crash again."""
    assert server.hear()["event"] == "up"
    server.start(SPEC)
    first = server.hear()
    pids = [first["pid"]]
    for _ in range(2):
        server.order(crash={"worker": 0, "restart_after": 0.02})
        assert server.hear() == {"worker": 0, "event": "crashed"}
        back = server.hear()
        assert (back["event"], back["again"], back["socket"]) == ("ready", True, first["socket"])
        assert Path(back["socket"]).is_socket()
        pids.append(back["pid"])
    assert len(set(pids)) == 3


def test_a_crashed_worker_stays_away_when_all_have_to_go(server: Driven) -> None:
    """A drain does not wait for a crashed worker that would be started again an hour later."""
    server.started(2)
    server.order(crash={"worker": 0, "restart_after": 3600.0})
    assert server.hear() == {"worker": 0, "event": "crashed"}
    server.order(drain=5.0)
    assert server.hear()["worker"] == 1
    assert server.process.wait(PATIENCE) == 0
