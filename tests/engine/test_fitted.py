"""Options fitted to a recorded run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from synthetic_run import make_run

from collagebench.config import SchemeConfig
from collagebench.engine.fitted import resolve_fits
from collagebench.errors import UsageError
from collagebench.schemes import make

FAST_AND_SLOW = np.repeat([1.0, 10.0], [950, 50]).tolist()
"""Latencies for which, with a budget of 5 %, it is best to hedge every request still open after 1 s."""


def hedge(**options: object) -> SchemeConfig:
    """Return the config of a hedge that is to be fitted, with changes."""
    chosen = {"hedge_delay": "fit", "hedge_budget": 0.05, **options}
    return SchemeConfig("hedge", "fitted", tuple((name, value) for name, value in chosen.items() if value is not None))


def test_fit_becomes_numbers_of_the_run_without_redundancy(tmp_path: Path) -> None:
    """Delay and probability are fitted to the scheme `none` of the log; log and budget are no longer options."""
    log = make_run(tmp_path / "run", {"hedge": [[5.0] * 1000], "none": [FAST_AND_SLOW]})
    fitted = resolve_fits(hedge(hedge_log=str(log)))
    assert (fitted.name, fitted.variant) == ("hedge", "fitted")
    assert dict(fitted.options) == {"hedge_delay": 1.0, "hedge_probability": 1.0}
    make("hedge", dict(fitted.options))
    assert resolve_fits(fitted) == fitted


def test_a_log_without_none_gives_its_first_scheme(tmp_path: Path) -> None:
    """If the log has no scheme `none`, its first scheme is used."""
    log = make_run(tmp_path / "run", {"equal": [FAST_AND_SLOW], "hedge": [[5.0] * 1000]})
    assert dict(resolve_fits(hedge(hedge_log=str(log))).options)["hedge_delay"] == 1.0


def test_failed_requests_of_the_log_are_slower_than_any(tmp_path: Path) -> None:
    """A failed request of the log counts as slower than all others, so it is among those to hedge."""
    log = make_run(tmp_path / "run", {"none": [[1.0] * 950 + [None] * 50]})
    options = dict(resolve_fits(hedge(hedge_log=str(log))).options)
    assert (options["hedge_delay"], options["hedge_probability"]) == (1.0, 1.0)


def test_the_warm_up_of_the_log_does_not_count(tmp_path: Path) -> None:
    """The log's warm-up is ignored: a log of nothing else has 0 latencies."""
    log = make_run(tmp_path / "run", {"none": [FAST_AND_SLOW]}, warmup=True)
    with pytest.raises(UsageError, match="0 latencies"):
        resolve_fits(hedge(hedge_log=str(log)))


def test_a_scheme_that_asks_for_no_fit_is_left_alone() -> None:
    """A scheme whose delay is not `fit` is returned unchanged."""
    for scheme in (hedge(hedge_delay="p95"), SchemeConfig("none", "none")):
        assert resolve_fits(scheme) is scheme


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({}, "--hedge-log"),
        ({"hedge_log": "nowhere"}, "not a run directory"),
        ({"hedge_log": 5}, "--hedge-log"),
        ({"hedge_log": "short"}, "takes at least 500"),
        ({"hedge_log": "lost"}, "100.0% of the requests"),
        ({"hedge_log": "long", "hedge_budget": None}, "--hedge-budget"),
        ({"hedge_log": "long", "hedge_budget": 7}, "--hedge-budget"),
        ({"hedge_log": "long", "hedge_budget": "much"}, "hedge-budget"),
        ({"hedge_log": "long", "hedge_probability": 0.5}, "--hedge-probability"),
        ({"hedge_log": "long", "hedge_delay": "p95"}, "only with --hedge-delay fit"),
    ],
)
def test_a_fit_that_cannot_be_made_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], sentence: str
) -> None:
    """A log or budget that is missing or unfit, or an option that contradicts the fit, raises a UsageError about it."""
    monkeypatch.chdir(tmp_path)
    make_run(Path("short"), {"none": [FAST_AND_SLOW[:499]]})
    make_run(Path("lost"), {"none": [[None] * 1000]})
    make_run(Path("long"), {"none": [FAST_AND_SLOW]})
    with pytest.raises(UsageError, match=sentence):
        resolve_fits(hedge(**changes))


def test_only_hedge_can_be_fitted() -> None:
    """A fit for another scheme than hedge, here hedge-idle, raises a UsageError."""
    with pytest.raises(UsageError, match="for the scheme hedge"):
        resolve_fits(SchemeConfig("hedge-idle", "hedge-idle", (("hedge_delay", "fit"),)))
