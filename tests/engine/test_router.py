"""The router, compared with a plain search, and its queues."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from collagebench.engine.router import Job, Router
from collagebench.schemes.protocol import Request, Task


def job(worker: int) -> Job:
    """Return a job on a worker."""
    return Job(Task(0, "single", (Request(0, 0, 0.0),), 0), worker, 0.0, 0.0, 0.0)


@given(
    st.integers(1, 8),
    st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.booleans(), st.integers(0, 7)), max_size=60),
)
def test_pick_is_the_least_loaded_worker_outside_avoid(workers: int, steps: list[tuple[float, bool, int]]) -> None:
    """The picked worker has the fewest jobs of those outside `avoid`, whatever was put and taken before."""
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


def test_a_lost_reply_keeps_its_worker_loaded_until_it_is_given_up() -> None:
    """A worker whose reply was lost serves its next job, but counts as loaded until the lost job is given up."""
    router = Router({"single": range(2)})
    lost, behind = job(0), job(0)
    router.put(lost)
    router.put(behind)
    assert router.served_unheard(lost) is behind
    assert router.in_hand == 1
    assert router.take(behind) is None
    other = job(1)
    router.put(other)
    assert not router.idle("single")
    assert router.in_hand == 1
    router.give_up(lost)
    router.give_up(lost)
    assert router.idle("single")
    assert router.pick("single", (), 0.9) == router.pick("single", (), 0.1) == 0


def test_a_worker_that_comes_back_has_nothing_in_hand() -> None:
    """A worker that comes back has no jobs, and giving up one from before its loss changes nothing."""
    router = Router({"single": range(1)})
    lost = job(0)
    router.put(lost)
    router.served_unheard(lost)
    assert router.lose(0) == []
    router.restore(0)
    assert router.idle("single")
    router.give_up(lost)
    assert router.pick("single", (), 0.5) == 0


def loaded(workers: int, busy: set[int], others_first: bool = False) -> Router:
    """Return a router whose workers `busy` have a job each; `others_first`: the others had one before."""
    router = Router({"single": range(workers)})
    if others_first:
        for worker in set(range(workers)) - busy:
            before = job(worker)
            router.put(before)
            router.take(before)
    for worker in busy:
        router.put(job(worker))
    return router


@pytest.mark.parametrize(("workers", "idle"), [(4, 4), (10, 3), (10, 1), (200, 60), (200, 3)])
def test_each_of_the_equals_is_as_likely(workers: int, idle: int) -> None:
    """Each of the least loaded workers outside `avoid` is picked equally often, whether they are many or few."""
    random = np.random.default_rng(7)
    free = sorted(int(worker) for worker in random.permutation(workers)[:idle])
    router = loaded(workers, set(range(workers)) - set(free))
    avoid = set(free[1:2])
    ties = random.random(20_000)
    counts = np.bincount([router.pick("single", avoid, tie) or 0 for tie in ties], minlength=workers)
    equals = [worker for worker in free if worker not in avoid]
    assert counts.sum() == counts[equals].sum()
    assert stats.chisquare(counts[equals]).pvalue > 1e-4 or len(equals) == 1


@given(st.integers(2, 40), st.data())
def test_which_of_the_equals_is_picked_does_not_hang_on_what_was_before(workers: int, data: st.DataObject) -> None:
    """Two fleets with the same idle workers pick the same worker, in whatever order the workers became idle."""
    busy = data.draw(st.sets(st.integers(0, workers - 1), max_size=workers - 1))
    ties = data.draw(st.lists(st.floats(0, 1, exclude_max=True), min_size=20, max_size=20))
    one, other = loaded(workers, busy), loaded(workers, busy, others_first=True)
    assert [one.pick("single", (), tie) for tie in ties] == [other.pick("single", (), tie) for tie in ties]


@given(st.integers(2, 40), st.integers(0, 2**16))
def test_one_busy_worker_more_changes_only_what_it_would_have_got(workers: int, seed: int) -> None:
    """If one more worker is busy, only the tasks that it would have got go to other workers."""
    random = np.random.default_rng(seed)
    order = [int(worker) for worker in random.permutation(workers)]
    busy, more = set(order[1 : random.integers(1, workers)]), order[0]
    one, other = loaded(workers, busy), loaded(workers, busy | {more})
    for tie in random.random(50):
        picked = one.pick("single", (), tie)
        assert other.pick("single", (), tie) == picked or picked == more


def test_a_worker_serves_in_the_order_of_coming() -> None:
    """A worker's first job is in service; when it is taken, the next one is."""
    router = Router({"single": [7]})
    jobs = [job(7) for _ in range(3)]
    assert [router.put(j) for j in jobs] == [True, False, False]
    assert router.take(jobs[1]) is None
    assert router.take(jobs[0]) is jobs[2]
    assert router.in_service(jobs[2])
    assert router.take(jobs[0]) is None
    assert router.in_hand == 1


def test_a_lost_worker_is_picked_no_more_and_hands_over_its_jobs() -> None:
    """Losing a worker returns its jobs, and the worker is not picked any more."""
    router = Router({"single": [0, 1]})
    held = job(0)
    router.put(held)
    assert router.lose(0) == [held]
    assert router.lose(0) == []
    assert {router.pick("single", (), tie / 10) for tie in range(10)} == {1}
    assert router.take(held) is None
    assert router.in_hand == 0
