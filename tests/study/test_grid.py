"""Options with several values: the cells and variants that they make, in whatever order."""

from __future__ import annotations

import re
from math import prod

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench.config import SchemeConfig
from collagebench.errors import UsageError
from collagebench.study.grid import MOST_CELLS, MOST_VARIANTS, axes_of, combinations, several, variants

numbers = st.lists(st.floats(0.001, 100, allow_nan=False), min_size=1, max_size=5, unique=True).map(tuple)
names = st.lists(st.sampled_from(["pareto", "bimodal", "markov", "/a/b.json", "/c/b.json"]), min_size=1, unique=True)
asked = st.fixed_dictionaries(
    {},
    optional={
        "utilisation": numbers,
        "persistence": numbers,
        "stragglers": names.map(tuple),
        "seed": st.integers(0, 9),
    },
)


@given(asked)
def test_there_is_a_cell_for_every_combination_with_a_name_of_its_own(values: dict[str, object]) -> None:
    """There is a cell for every combination of values, and each has a name of its own that is valid for a directory."""
    axes = axes_of(values)
    cells = list(combinations(axes))
    assert len(cells) == prod(len(axis.values) for axis in axes)
    assert len({name for name, _ in cells}) == len(cells)
    assert all(re.fullmatch(r"[A-Za-z0-9._+=,-]*", name) for name, _ in cells)
    assert {axis.name for axis in axes} == {name for name, value in values.items() if isinstance(value, tuple)}
    assert len({tuple(sorted(chosen.items())) for _, chosen in cells}) == len(cells)


@given(asked, st.randoms())
def test_the_order_of_a_list_changes_nothing(values: dict[str, object], chance: object) -> None:
    """The same values in another order make the same cells under the same names."""
    shuffled = {}
    for name, value in values.items():
        several_ = list(value) if isinstance(value, tuple) else value
        if isinstance(several_, list):
            chance.shuffle(several_)  # type: ignore[attr-defined]
        shuffled[name] = tuple(several_) if isinstance(several_, list) else several_
    assert dict(combinations(axes_of(values))) == dict(combinations(axes_of(shuffled)))


@given(st.lists(st.integers(2, 9), min_size=1, max_size=4, unique=True), numbers)
def test_lists_of_a_scheme_make_variants_of_it(grids: list[int], holds: tuple[float, ...]) -> None:
    """Lists in a scheme's options make a variant for each combination, named by what differs."""
    scheme = SchemeConfig("collage", "mine", (("flush", "idle"), ("grid", tuple(grids)), ("hold", holds)))
    found = variants(scheme)
    assert len(found) == len(grids) * len(holds)
    assert len({one.variant for one in found}) == len(found)
    assert all(one.variant.startswith("mine grid=") for one in found)
    assert {(dict(one.options)["grid"], dict(one.options)["hold"]) for one in found} == {
        (grid, hold) for grid in grids for hold in holds
    }
    assert {dict(one.options)["flush"] for one in found} == {"idle"}


def test_a_scheme_without_lists_stays_as_it_is() -> None:
    """A scheme without lists stays as it is, with its name."""
    scheme = SchemeConfig("collage", "collage", (("grid", 3),))
    assert variants(scheme) == [scheme]


def test_senseless_lists_are_refused() -> None:
    """An empty list, a repeated value, and more than 1,000 experiments are refused."""
    with pytest.raises(UsageError, match="rate is an empty list"):
        several([], "rate")
    with pytest.raises(UsageError, match=r"rate has 1\.0 twice"):
        several([1.0, 2.0, 1.0], "rate")
    with pytest.raises(UsageError, match=r"workers has 1\.0 twice"):
        several([1, "1", 1.0], "workers")
    many = tuple(float(value) for value in range(1, MOST_CELLS))
    with pytest.raises(UsageError, match=r"make .* experiments, but at most 1,000 are possible: shorten a list"):
        axes_of({"rate": many, "persistence": (0.0, 1.0)})


def test_lists_are_taken_as_they_are() -> None:
    """A list keeps its order, but numbers on a grid's axis are sorted, so that its cells come in order."""
    assert several([2.0, 1.0, 3.0], "rate") == (2.0, 1.0, 3.0)
    (axis,) = axes_of({"utilisation": (0.5, 0.1, 0.3)})
    assert axis.values == (0.1, 0.3, 0.5)
    (axis,) = axes_of({"stragglers": ("pareto", "bimodal")})
    assert axis.values == ("pareto", "bimodal")


def test_a_list_of_a_million_values_is_checked_in_linear_time() -> None:
    """A million values, which pairwise comparisons would take days for, are seen to be distinct."""
    assert len(several(range(1_000_000), "seed")) == 1_000_000


def test_as_many_variants_as_are_allowed_are_made() -> None:
    """The largest allowed number of variants is made, with options sorted by name; one more is refused."""
    scheme = SchemeConfig("collage", "mine", (("zoom", 1), ("hold", tuple(range(MOST_VARIANTS)))))
    found = variants(scheme)
    assert len(found) == MOST_VARIANTS
    assert found[5].options == (("hold", 5), ("zoom", 1))
    with pytest.raises(UsageError, match="variants"):
        variants(SchemeConfig("collage", "mine", (("hold", tuple(range(MOST_VARIANTS + 1))),)))
