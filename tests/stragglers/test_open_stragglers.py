"""Every straggler model by its name, with the numbers that make sense and without those that don't."""

from __future__ import annotations

import math
import pickle

import numpy as np
import pytest

from collagebench.errors import UsageError
from collagebench.stragglers.model import NAMES, open_stragglers
from collagebench.stragglers.service import MODES, Mode, service_time


@pytest.mark.parametrize("name", NAMES)
def test_every_name(name: str) -> None:
    """Each name opens a model of that name whose draws average to its mean, live or after a pickle."""
    model = open_stragglers(name, seed=4, workers=10)
    assert model.name == name
    assert model.mode in MODES
    draws = np.array([model.draw(run, w, i, 0, 0.0) for run in range(1000) for w in range(10) for i in range(3)])
    runs = draws.reshape(1000, -1).mean(axis=1)
    assert abs(runs.mean() - model.mean) <= 3 * runs.std() / math.sqrt(len(runs)) + 1e-12
    twin = pickle.loads(pickle.dumps(model))
    assert twin.draw(1, 2, 3, 0, 0.0) == model.draw(1, 2, 3, 0, 0.0)


@pytest.mark.parametrize("name", NAMES)
def test_without_is_the_end(name: str) -> None:
    """A fleet without stragglers has none to take away, keeps its name and its mode, and is no slower on average."""
    model = open_stragglers(name, seed=4, workers=10)
    bound = model.without()
    assert (bound is None) == (name == "none")
    if bound is not None:
        assert (bound.name, bound.mode) == (model.name, model.mode)
        assert bound.mean < model.mean
        assert bound.without() is None


def test_fixed() -> None:
    """In each run just `slow_workers` workers are slow, at every request; over runs each worker is as often."""
    model = open_stragglers("fixed", seed=4, workers=8, parameters={"slow_workers": 2, "slow_factor": 3.0})
    factors = np.array([[model.draw(run, worker, 5, 0, 0.0) for worker in range(8)] for run in range(2000)])
    assert set(factors.ravel()) == {1.0, 3.0}
    assert ((factors == 3.0).sum(axis=1) == 2).all()
    assert factors.mean() == model.mean == 1.5
    turns = (factors == 3.0).mean(axis=0)
    assert np.abs(turns - 0.25).max() < 4 * math.sqrt(0.25 * 0.75 / 2000)
    assert {model.draw(0, 3, request, attempt, 0.0) for request in range(20) for attempt in range(3)} == {factors[0, 3]}


def test_nobody_slow() -> None:
    """Fixed stragglers of whom there are none, or who are no slower, are no stragglers."""
    assert open_stragglers("fixed", seed=4, workers=8, parameters={"slow_workers": 0}).without() is None
    assert open_stragglers("fixed", seed=4, workers=8, parameters={"slow_factor": 1.0}).without() is None


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"name": "typo"}, "'typo'; there are none, fixed, collage-trace, collage-machines"),
        ({"seed": -1}, "seed"),
        ({"workers": 0}, "at least 1 worker"),
        ({"time_scale": 0.0}, "time scale"),
        ({"time_scale": math.nan}, "time scale"),
        ({"time_scale": math.inf}, "time scale"),
        ({"parameters": {"slow_workers": 11}}, "0 to 10"),
        ({"parameters": {"slow_workers": -1}}, "0 to 10"),
        ({"parameters": {"slow_factor": 0.5}}, "1 or more"),
        ({"parameters": {"slow_factor": math.nan}}, "1 or more"),
    ],
    ids=str,
)
def test_nonsense(arguments: dict[str, object], words: str) -> None:
    """A name or a number that makes no sense is a mistake of usage, and the message says what would."""
    with pytest.raises(UsageError, match=words):
        open_stragglers(**{"name": "fixed", "seed": 1, "workers": 10, **arguments})


@pytest.mark.parametrize(
    ("mode", "amount", "seconds"),
    [("floor", 0.5, 0.5), ("floor", 0.1, 0.2), ("add", 0.5, 0.7), ("add", 0.0, 0.2), ("scale", 3.0, 0.6)],
)
def test_service_time(mode: Mode, amount: float, seconds: float) -> None:
    """A floor is a least time, an addition comes on top, a factor multiplies: of a computation of 0.2 s."""
    assert service_time(mode, 0.2, amount) == pytest.approx(seconds)


@pytest.mark.parametrize("mode", MODES)
def test_never_faster(mode: Mode) -> None:
    """No draw makes a service shorter than its computation."""
    for amount in (-1.0, 0.0, 0.1, 0.99):
        assert service_time(mode, 0.2, amount) >= 0.2
