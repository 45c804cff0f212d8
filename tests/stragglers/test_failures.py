"""Lost replies and crashes are as frequent as asked, and come at the times meant."""

from __future__ import annotations

import math
from itertools import islice, pairwise

import numpy as np
import pytest

from collagebench.stragglers.failures import Crash, Erasure
from collagebench.stragglers.persistence import Levels


@pytest.mark.parametrize("share", [0.0, 0.02, 0.3])
def test_the_share_of_lost_replies(share: float) -> None:
    """Of 200,000 replies the share asked for is lost, within three standard errors."""
    model = Erasure(0.1, Levels(1, share))
    lost = np.array([model.drops(0, i % 10, i, 0, 0.0) for i in range(200_000)])
    assert abs(lost.mean() - share) <= 3 * math.sqrt(share * (1 - share) / len(lost))
    assert (model.without() is None) == (share == 0.0)


def test_losses_that_last_come_in_bursts() -> None:
    """With persistence a worker loses all replies while it is slow and none otherwise, at the same share."""
    model = Erasure(0.1, Levels(2, 0.1, 0.5))
    lost = np.array([[model.drops(run, 0, i, 0, i * 0.05) for i in range(200)] for run in range(200)])
    slow = np.array([[model.levels.is_slow(run, 0, i * 0.05) for i in range(200)] for run in range(200)])
    assert (lost == slow).all()
    shares = lost.mean(axis=1)
    assert abs(shares.mean() - 0.1) < 3 * shares.std() / math.sqrt(len(shares))
    followed = (lost[:, :-1] & lost[:, 1:]).sum() / lost[:, :-1].sum()
    assert followed == pytest.approx(0.1 + 0.9 * math.exp(-0.05 / (0.5 * 0.9)), abs=0.02)


def test_crashes_rise_and_do_not_overlap() -> None:
    """A worker crashes only after it is back from its last crash, and is down for as long as asked."""
    for worker in range(20):
        crashes = list(islice(Crash(0.1, 3, 10.0, 0.5).crashes(0, worker), 100))
        assert crashes[0][0] > 0
        assert all(back - dies == pytest.approx(0.5) for dies, back in crashes)
        assert all(back < dies for (_, back), (dies, _) in pairwise(crashes))


def test_the_time_between_crashes() -> None:
    """The mean of 20,000 times between crashes is as asked, within three standard errors.

    The times are exponential above the restart time, so their standard deviation is the difference.
    """
    model = Crash(0.1, 4, 10.0, 0.5)
    gaps = np.concatenate(
        [np.diff([dies for dies, _ in islice(model.crashes(run, w), 1001)]) for run in range(2) for w in range(10)]
    )
    assert len(gaps) == 20_000
    assert abs(gaps.mean() - 10.0) < 3 * 9.5 / math.sqrt(len(gaps))
    assert gaps.std() == pytest.approx(9.5, rel=0.03)
    assert gaps.min() > 0.5


def test_crashes_are_keyed() -> None:
    """The same worker, run and seed always give the same crashes, and others give others."""
    model = Crash(0.1, 5, 10.0, 0.5)
    mine = list(islice(model.crashes(1, 2), 5))
    assert list(islice(model.crashes(1, 2), 5)) == mine
    for other in (model.crashes(1, 3), model.crashes(2, 2), Crash(0.1, 6, 10.0, 0.5).crashes(1, 2)):
        assert list(islice(other, 5)) != mine


def test_services_take_the_base_with_failures_and_without() -> None:
    """A serving worker takes the base time, with crashes or losses and without."""
    for model in (Crash(0.1, 7, 10.0, 0.5), Erasure(0.1, Levels(7, 0.1))):
        bound = model.without()
        assert bound is not None
        assert model.draw(0, 1, 2, 0, 3.0) == bound.draw(0, 1, 2, 0, 3.0) == model.mean == 0.1
        assert (bound.name, bound.mode, bound.without()) == (model.name, "floor", None)
