"""How requests are gathered into groups, which all schemes with groups do by the same code."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from collagebench.errors import UsageError
from collagebench.schemes import make
from collagebench.schemes.by_hand import ByHand
from collagebench.schemes.groups import Flush, Groups
from collagebench.schemes.protocol import Action, Request, Wake


class Gone(list[tuple[float, list[int]]]):
    """The groups that were sent: when, and the ids of their requests."""

    def send(self, members: Sequence[Request], now: float) -> list[Action]:
        self.append((now, [request.id for request in members]))
        return []


def gather(flush: Flush, flush_after: float | None = None, size: int = 3) -> tuple[Groups, Gone]:
    """Return groups to be gathered, and the list of those that were sent."""
    gone = Gone()
    return Groups(size, flush, flush_after, gone.send), gone


def arrive(groups: Groups, *arrivals: float) -> list[Action]:
    """Let requests arrive, numbered from 0; return the actions."""
    return [action for i, at in enumerate(arrivals) for action in groups.arrived(Request(i, i, at), at)]


def test_wait_lets_full_groups_go_and_the_rest_at_the_end() -> None:
    """Under `wait` a group is sent with its last arrival, without wakes, and the rest when all requests have come."""
    groups, gone = gather("wait")
    assert arrive(groups, 0.0, 0.1, 0.2, 0.3) == []
    assert gone == [(0.2, [0, 1, 2])]
    assert groups.idle(0.4) == []
    groups.finished(0.5)
    groups.finished(0.6)
    assert gone[1:] == [(0.5, [3])]


def test_settled_requests_leave_their_place_free_but_count_as_arrivals() -> None:
    """A request settled before its group is sent is left out, but still counts; a group of only such is not sent."""
    groups, gone = gather("wait")
    requests = [Request(i, i, 0.0) for i in range(6)]
    for request in requests[:2]:
        groups.arrived(request, 0.0)
    groups.settled(requests[1])
    assert requests[0] in groups
    assert requests[1] not in groups
    groups.arrived(requests[2], 0.0)
    assert gone == [(0.0, [0, 2])]
    for request in requests[3:5]:
        groups.arrived(request, 0.0)
        groups.settled(request)
    groups.finished(1.0)
    assert len(gone) == 1


def test_deadline_counts_from_the_first_arrival_and_only_for_its_own_group() -> None:
    """Under `deadline` a partial group is sent at its deadline; the deadline of a group sent full has no effect."""
    groups, gone = gather("deadline", 0.25)
    (wake,) = arrive(groups, 1.0, 1.1)
    assert isinstance(wake, Wake)
    assert wake.at == pytest.approx(1.25)
    groups.woke(wake.token, 1.25)
    assert gone == [(1.25, [0, 1])]
    (of_the_second,) = arrive(groups, 2.0, 2.0, 2.0)
    assert isinstance(of_the_second, Wake)
    arrive(groups, 2.1)
    groups.woke(of_the_second.token, 2.25)
    assert gone[1:] == [(2.0, [0, 1, 2])]


def test_idle_takes_what_is_there_once_the_oldest_is_ripe() -> None:
    """Under `idle` only an idle worker takes a group, of the oldest `size` requests, once the oldest is old enough."""
    groups, gone = gather("idle", 0.2)
    assert arrive(groups, 1.0, 1.1, 1.1, 1.15) == []
    (wake,) = groups.idle(1.15)
    assert isinstance(wake, Wake)
    assert wake.at == pytest.approx(1.2)
    assert groups.idle(1.16) == []  # a wake is pending already
    assert groups.woke(wake.token, 1.2) == []
    groups.idle(1.2)
    assert gone == [(1.2, [0, 1, 2])]
    groups.finished(1.25)
    assert len(gone) == 1
    (again,) = groups.idle(1.25)
    assert isinstance(again, Wake)
    assert again.at == pytest.approx(1.35), "the first wake has come and will not come again"
    groups.idle(1.35)
    assert gone[1:] == [(1.35, [3])]


@pytest.mark.parametrize(
    ("flush", "flush_after"), [("often", None), ("wait", 0.1), ("idle", -0.1), ("deadline", float("nan"))]
)
def test_a_senseless_policy_is_refused(flush: Flush, flush_after: float | None) -> None:
    """An unknown policy, a deadline for `wait`, and an invalid time are refused."""
    with pytest.raises(UsageError, match=r"--flush"):
        gather(flush, flush_after)


GROUPED = {
    "collage": {"grid": 2},
    "backup": {"backup_batch": 4},
    "parity": {"parity_k": 4},
    "approxifer": {"coded_k": 4},
    "nercc": {"coded_k": 4},
}


@pytest.mark.parametrize("name", GROUPED)
@pytest.mark.parametrize(
    ("flush", "expected"),
    [
        ("wait", [(0.3, [0, 1, 2, 3]), (0.5, [4, 5])]),
        ("deadline", [(0.25, [0, 1, 2]), (0.5, [3, 4, 5])]),
        ("idle", [(0.0, [0]), (0.4, [1, 2, 3, 4]), (0.5, [5])]),
    ],
)
def test_every_scheme_of_groups_gathers_by_the_same_rule(
    name: str, flush: str, expected: list[tuple[float, list[int]]]
) -> None:
    """All schemes with groups gather six requests, 0.1 s apart and with slow singles, in the same way.

    The deadline is 0.25 s; a worker is idle at 0, 0.4 and 0.5 s.
    """
    options = {**GROUPED[name], "flush": flush, **({"flush_after": 0.25} if flush == "deadline" else {})}
    driver = ByHand(make(name, options))
    idle_at = {0.0, 0.4, 0.5}

    def idle(role: str) -> bool:
        there = driver.now in idle_at
        idle_at.discard(driver.now)
        return there

    driver.idle = idle
    gone: list[tuple[float, list[int]]] = []

    def look() -> None:
        seen = {tuple(ids) for _, ids in gone}
        for task in driver.ever_sent:
            ids = [request.id for request in task.requests]
            if task.role != "single" and tuple(ids) not in seen:
                seen.add(tuple(ids))
                gone.append((driver.now, ids))

    for i in range(6):
        while driver.wakes and min(driver.wakes)[0] < i / 10:
            driver.wake()
            look()
        driver.arrive(now=i / 10)
        look()
    driver.finish()
    look()
    assert gone == [(pytest.approx(at), ids) for at, ids in expected]
