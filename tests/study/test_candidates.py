"""The candidates of a recommendation: all can be made, have names of their own, or say why they cannot run."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collagebench import zoo
from collagebench.config import Config, SchemeConfig
from collagebench.errors import ModelError, UsageError
from collagebench.schemes import SCHEMES, make
from collagebench.study.candidates import candidates, possible

SHAPES = next(model.classes for model in zoo.load() if model.dataset == "shapes")


@given(st.integers(1, 2000), st.none() | st.floats(1e-3, 10))
def test_every_candidate_makes_a_scheme_and_has_a_name_of_its_own(workers: int, slo: float | None) -> None:
    """Whatever fleet and SLO, every candidate makes a scheme, and one config takes them all under different names."""
    found = candidates(workers, slo)
    for one in found:
        make(one.name, dict(one.options))
    Config(schemes=tuple(found))
    assert found[0].name == "none"


def test_every_scheme_is_considered() -> None:
    """All schemes are considered but `equal`, which is no redundancy here, and `default` without an SLO."""
    assert {one.name for one in candidates(10, 0.2)} == set(SCHEMES) - {"equal"}
    assert {one.name for one in candidates(10)} == set(SCHEMES) - {"equal", "default"}


def test_what_is_asked_for_is_considered() -> None:
    """Only schemes asked for are considered, with the settings to choose from or else their defaults.

    `default` is refused without an SLO.
    """
    found = candidates(10, None, ("tied", "equal", "parity"))
    assert {one.name for one in found} == {"tied", "equal", "parity"}
    assert [one.variant for one in found if one.name == "equal"] == ["equal"]
    with pytest.raises(UsageError, match="needs --slo"):
        candidates(10, None, ("default",))
    assert [one.name for one in candidates(10, 0.2, ("default",))] == ["default"]


def own(name: str, variant: str, **options: Any) -> SchemeConfig:
    """Return a variant of the user's own."""
    return SchemeConfig(name, variant, tuple(sorted(options.items())))


def test_variants_of_ones_own_are_considered_as_well() -> None:
    """They keep their names: what the usual ones have already stands there once, whether or not a default is given,
    and a usual one that is called like another of one's own is renamed."""
    same = [own("hedge", "ours"), own("collage", "mosaics", grid=3, collage_workers=1)]
    called_alike = [own("hedge", "hedge p90", hedge_delay=0.05), own("tied", "hedge p90 as usual")]
    usual, found = candidates(10), candidates(10, own=[*same, *called_alike])
    assert found[0] == usual[0]
    assert found[-4:] == [*same, *called_alike]
    left = {one.variant for one in usual} - {one.variant for one in found}
    assert left == {"hedge p95", "collage 3x3 auto", "tied"}
    renamed = next(one for one in found if one.variant == "hedge p90 as usual as usual")
    assert dict(renamed.options) == {"hedge_delay": "p90"}
    assert len(found) == len(usual) + 1
    Config(schemes=tuple(found))


def test_variants_of_ones_own_stand_beside_what_is_asked_for() -> None:
    """Of a scheme without usual settings its defaults do, unless they are the same; one that needs an SLO for its usual
    settings needs none for one's own."""
    late, early = own("default", "late", default_after=0.5), own("default", "early", default_after=0.05)
    assert candidates(10, None, ("default",), [late, early]) == [late, early]
    assert [one.variant for one in candidates(10, 0.2, ("default",), [late])] == ["default", "late"]
    (plain,) = candidates(10, None, ("equal",), [own("equal", "all of them")])
    assert plain.variant == "all of them"


def test_all_of_them_can_run_on_the_shipped_models() -> None:
    """With ten workers and the bundled shapes, every candidate can run."""
    able, left = possible(candidates(10, 0.2), Config(), SHAPES)
    assert not left
    assert len(able) == len(candidates(10, 0.2))


def test_a_fleet_too_small_leaves_out_what_needs_more() -> None:
    """One worker is too few for copies, collages, backups and parities, which are left out with the reason."""
    able, left = possible(candidates(1), Config(workers=1), SHAPES)
    assert {one.name for one in able} & {"hedge", "collage", "backup", "parity"} == set()
    assert "hedging needs at least 2 workers" in next(one.why for one in left if one.variant == "hedge p95")


def test_without_a_model_for_single_images_there_is_nothing_to_recommend() -> None:
    """Classes that no model knows are an error instead of an empty recommendation."""
    with pytest.raises(ModelError):
        possible(candidates(10), Config(), ("no", "such", "classes"))
