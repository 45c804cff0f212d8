"""The router against a plain search, and the queues it keeps."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from collagebench.engine.router import Job, Router
from collagebench.schemes.protocol import Request, Task


def job(worker: int) -> Job:
    """A job on a worker."""
    return Job(Task(0, "single", (Request(0, 0, 0.0),), 0), worker, 0.0, 0.0, 0.0)


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(0, 7)), max_size=60),
)
def test_pick_is_the_least_loaded_worker_outside_avoid(workers: int, steps: list[tuple[float, bool, int]]) -> None:
    """Whatever was put and taken before, the picked worker has no more in hand than any other that may be picked."""
    router = Router({"single": range(workers)})
    in_hand: list[Job] = []
    for tie, take, which in steps:
        if take and in_hand:
            taken = in_hand.pop(which % len(in_hand))
            behind = [job for job in in_hand if job.worker == taken.worker]
            follows = behind[0] if behind and router.in_service(taken) else None
            assert router.take(taken) is follows
            continue
        avoid = {which}
        worker = router.pick("single", avoid, tie)
        loads = {w: sum(j.worker == w for j in in_hand) for w in range(workers) if w not in avoid}
        if not loads:
            assert worker is None
            continue
        assert worker is not None
        assert loads[worker] == min(loads.values())
        in_hand.append(job(worker))
        router.put(in_hand[-1])
        assert router.in_hand == len(in_hand)
        assert router.idle("single") == any(all(j.worker != w for j in in_hand) for w in range(workers))


def test_ties_are_broken_by_the_number_alone_over_all_equals() -> None:
    """Each of the equally loaded workers is picked by an equal share of the tie numbers."""
    router = Router({"single": range(4)})
    assert [router.pick("single", (), tie) for tie in (0.0, 0.3, 0.6, 0.99)] == [0, 1, 2, 3]


def test_a_worker_serves_in_the_order_of_coming() -> None:
    """The first job in a worker's hand is in service; when it is taken the next one is."""
    router = Router({"single": [7]})
    jobs = [job(7) for _ in range(3)]
    assert [router.put(j) for j in jobs] == [True, False, False]
    assert router.take(jobs[1]) is None
    assert router.take(jobs[0]) is jobs[2]
    assert router.in_service(jobs[2])
    assert router.take(jobs[0]) is None
    assert router.in_hand == 1


def test_a_lost_worker_is_picked_no_more_and_hands_over_its_jobs() -> None:
    """Losing a worker returns what it had in hand, and neither its role nor its queue knows it afterwards."""
    router = Router({"single": [0, 1]})
    held = job(0)
    router.put(held)
    assert router.lose(0) == [held]
    assert router.lose(0) == []
    assert {router.pick("single", (), tie / 10) for tie in range(10)} == {1}
    assert router.take(held) is None
    assert router.in_hand == 0
