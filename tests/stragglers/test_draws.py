"""Keyed draws are uniform, independent and the same in every version."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from collagebench.stragglers.draws import key, permutation, stream, uniform

numbers = st.integers(0, 2**31)
requests = np.arange(100_000, dtype=np.uint64)


def draws(seed: int = 1, run: int = 0, worker: int = 0, attempt: int = 0, first: int = 0) -> NDArray[np.float64]:
    """Return 100,000 draws whose keys differ only in the request."""
    return uniform(key(seed, "stragglers", run, worker), requests + np.uint64(first), attempt)


def test_splitmix64() -> None:
    """Under the key 1234567 the counters 1, 2, … give the outputs published for SplitMix64 with that seed."""
    published = [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]
    assert [uniform(1234567, i) for i in range(1, 6)] == [((z >> 12) + 0.5) / 2**52 for z in published]


def test_golden() -> None:
    """Keys, draws, streams and permutations are those of every earlier version, so that old runs can be repeated."""
    assert key(0, "stragglers", 0, 0) == 12525969414744833526
    assert key(7, "stragglers", 3, 9) == 15620221402474814186
    assert uniform(key(7, "stragglers", 3, 9), 1000, 2) == 0.5331241460076329
    assert permutation(7, "machines", 3, 0, 10) == (7, 6, 9, 1, 4, 3, 8, 2, 0, 5)
    assert stream(7, "arrivals", 3).integers(0, 1 << 32, 3).tolist() == [1730597254, 2375554839, 1170826689]


@given(st.integers(0, 2**64 - 1), st.lists(st.integers(0, 2**40 - 1), min_size=1), st.integers(0, 2**24 - 1))
def test_array_and_int(k: int, some: list[int], attempt: int) -> None:
    """An array of requests gets the same values as its members one by one, inside the open interval (0, 1)."""
    together = uniform(k, np.array(some, np.uint64), attempt)
    assert together.tolist() == [uniform(k, request, attempt) for request in some]
    assert (together > 0).all()
    assert (together < 1).all()


def unmixed(z: int) -> int:
    """Return the key whose first draw comes from the 64 bits `z`, by inverting the mixing function."""
    mask = (1 << 64) - 1
    for shift, factor in ((31, 0x94D049BB133111EB), (27, 0xBF58476D1CE4E5B9), (30, 1)):
        z ^= z >> shift ^ z >> 2 * shift
        z = z * pow(factor, -1, 1 << 64) & mask
    return z


def test_ends() -> None:
    """The smallest and the largest draw are half a step away from 0 and from 1."""
    assert uniform(unmixed(0), 0) == 2.0**-53
    assert uniform(unmixed((1 << 64) - 1), 0) == 1 - 2.0**-53


def test_uniform() -> None:
    """A million draws over runs, workers, requests and attempts pass the Kolmogorov-Smirnov test (p above 0.001)."""
    places = itertools.product(range(2), range(5), range(1))
    sample = np.sort(np.concatenate([draws(3, run, worker, attempt) for run, worker, attempt in places]))
    n = len(sample)
    assert n == 1_000_000
    steps = np.arange(n + 1) / n
    assert max((steps[1:] - sample).max(), (sample - steps[:-1]).max()) < 1.949 / math.sqrt(n)


def test_uniform_across_keys() -> None:
    """The first draws of 20,000 neighbouring workers pass the same test of uniformity."""
    sample = np.sort([uniform(key(5, "stragglers", 0, worker), 0) for worker in range(20_000)])
    n = len(sample)
    steps = np.arange(n + 1) / n
    assert max((steps[1:] - sample).max(), (sample - steps[:-1]).max()) < 1.949 / math.sqrt(n)


@pytest.mark.parametrize(
    "neighbour",
    [{"seed": 2}, {"run": 1}, {"worker": 1}, {"attempt": 1}, {"attempt": 2}, {"first": 1}, {"first": 2}, {"first": 7}],
    ids=str,
)
def test_neighbours(neighbour: dict[str, int]) -> None:
    """Changing one part of the key slightly gives an independent sample, in values, lower bits and tail."""
    a, b = draws(), draws(**neighbour)
    assert abs(np.corrcoef(a, b)[0, 1]) < 4 / math.sqrt(len(a))
    assert abs(np.corrcoef(a * 2**20 % 1, b * 2**20 % 1)[0, 1]) < 4 / math.sqrt(len(a))
    # The tails, where stragglers are, coincide as often as by chance.
    together = ((a > 0.98) & (b > 0.98)).mean()
    assert abs(together - 0.0004) < 4 * math.sqrt(0.0004 / len(a))


def test_no_repeats() -> None:
    """No two tasks of one worker in one run share a draw, to 53 bits."""
    sample = np.concatenate([draws(attempt=attempt) for attempt in range(5)])
    assert len(np.unique(sample)) == len(sample)


@given(numbers, numbers, numbers, st.integers(1, 200))
def test_permutation(seed: int, run: int, block: int, n: int) -> None:
    """A permutation contains every number below n once."""
    assert sorted(permutation(seed, "any", run, block, n)) == list(range(n))


def test_permutation_fair() -> None:
    """Each number comes first equally often over runs (chi-squared with 9 degrees of freedom, p above 0.001)."""
    firsts = np.bincount([permutation(1, "any", run, 0, 10)[0] for run in range(5000)], minlength=10)
    assert ((firsts - 500) ** 2 / 500).sum() < 27.88


def test_streams_differ() -> None:
    """Streams differ by name, run and seed; asking for one again starts it again."""
    first = stream(1, "arrivals", 0).random(4).tolist()
    assert stream(1, "arrivals", 0).random(4).tolist() == first
    for other in (stream(1, "images", 0), stream(1, "arrivals", 1), stream(2, "arrivals", 0)):
        assert other.random(4).tolist() != first
