"""Every straggler model, opened by its name, with valid parameters and with invalid ones."""

from __future__ import annotations

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collagebench.errors import UsageError
from collagebench.stragglers.model import NAMES, PARAMETERS, Stragglers, open_stragglers, parameters_of
from collagebench.stragglers.natural import Natural
from collagebench.stragglers.service import MODES, Mode, service_time

NATURAL = ("stop", "corunner", "throttle", "traffic")
LASTING = [name for name in NAMES if "persistence" in PARAMETERS[name]]
SECONDS = [name for name in NAMES if "straggler_mode" in PARAMETERS[name]]
SHARES = {"structured": "excursion_share", "erasure": "drop_share"}
"""The parameter for the share that is slow, where it has another name."""


@pytest.fixture(scope="module")
def trace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a trace of two machines, one of which is twice as fast."""
    path = tmp_path_factory.mktemp("traces") / "trace.csv"
    values = np.random.default_rng(1).lognormal(-2, 0.5, 400).round(4)
    lines = [f"{i % 2},{value / (1 + i % 2):.4f}" for i, value in enumerate(values)]
    path.write_text("\n".join(("machine,seconds", *lines)))
    return path


def opened(name: str, trace: Path, time_scale: float = 1.0, workers: int = 10, **parameters: Any) -> Stragglers:
    """Return a model; `trace` replays the given trace."""
    return open_stragglers(
        name, 4, workers, time_scale, {**({"trace": trace} if name == "trace" else {}), **parameters}
    )


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("mode", MODES)
def test_every_name(name: str, mode: Mode, trace: Path) -> None:
    """Each name opens a model of that name whose draws average to its mean in every mode, also after pickling."""
    model = opened(name, trace, **({"straggler_mode": mode} if name in SECONDS else {}))
    assert model.name == name
    assert model.mode == mode if name in SECONDS else model.mode in ("add", "floor", "scale")
    if name == "pareto":  # with an infinite variance the mean cannot be tested
        model = opened(name, trace, straggler_mode=mode, shape=3.0)
    draws = np.array([model.draw(run, w, i, 0, 9.0 * i) for run in range(1000) for w in range(10) for i in range(3)])
    runs = draws.reshape(1000, -1).mean(axis=1)
    assert abs(runs.mean() - model.mean) <= 3 * runs.std() / math.sqrt(len(runs)) + 1e-12
    twin = pickle.loads(pickle.dumps(model))
    assert twin.draw(1, 2, 3, 0, 4.0) == model.draw(1, 2, 3, 0, 4.0)


@pytest.mark.parametrize("name", NAMES)
def test_without_is_the_end(name: str, trace: Path) -> None:
    """A model without stragglers keeps name and mode, is no slower on average, and has none left to remove."""
    model = opened(name, trace)
    bound = model.without()
    assert (bound is None) == (name == "none")
    if bound is not None:
        assert (bound.name, bound.mode) == (model.name, model.mode)
        assert bound.mean < model.mean or (bound.mean == model.mean and name in ("erasure", "crash", *NATURAL))
        assert bound.without() is None


@pytest.mark.parametrize("name", LASTING)
def test_every_family_s_slow_periods_can_last(name: str, trace: Path) -> None:
    """With persistence a worker draws from its upper share exactly while it is slow, and the mean stays."""
    share: dict[str, Any] = {SHARES.get(name, "slow_share"): 0.2, **({"shape": 3.0} if name == "pareto" else {})}
    share |= {"request_sigma": 0.01} if name == "structured" else {}
    alone, lasting = (opened(name, trace, persistence=length, **share) for length in (0.0, 2.0))
    assert lasting.mean == pytest.approx(alone.mean)
    runs = []
    for run in range(300):
        slow = np.array([lasting.levels.is_slow(run, 0, 0.5 * i) for i in range(40)])
        draws = np.array([lasting.draw(run, 0, i, 0, 0.5 * i) for i in range(40)])
        assert not slow.any() or slow.all() or draws[slow].min() >= draws[~slow].max()
        runs.append((draws.mean(), slow.mean()))
        assert alone.draw(run, 0, 7, 0, 0.0) == alone.draw(run, 0, 7, 0, 99.0)
    for found, expected in zip(np.transpose(runs), (lasting.mean, 0.2), strict=True):
        assert abs(found.mean() - expected) <= 3 * found.std() / math.sqrt(len(found)) + 1e-12


@pytest.mark.parametrize("name", SECONDS)
def test_the_time_scale_multiplies_seconds(name: str, trace: Path) -> None:
    """A time scale of 0.1 multiplies all seconds by 0.1, and leaves factors and the times of slow periods alone."""
    how = {"persistence": 1.5}
    for mode, factor in (("floor", 0.1), ("add", 0.1), ("scale", 1.0)):
        whole, tenth = (opened(name, trace, scale, straggler_mode=mode, **how) for scale in (1.0, 0.1))
        assert tenth.mean == pytest.approx(whole.mean * factor)
        places = [(run, 3, i, 0, 0.4 * i) for run in range(5) for i in range(30)]
        assert [tenth.draw(*place) for place in places] == pytest.approx(
            [whole.draw(*place) * factor for place in places]
        )


@pytest.mark.parametrize(
    "name", [name for name in SECONDS if name not in ("collage-trace", "collage-machines", "trace")]
)
def test_factors_of_a_family_are_its_seconds_over_a_tenth(name: str, trace: Path) -> None:
    """By default, a draw of 0.1 s in mode floor is the factor 1 in mode scale."""
    seconds, factors = opened(name, trace), opened(name, trace, straggler_mode="scale")
    assert [factors.draw(0, 1, i, 0, 0.0) for i in range(30)] == pytest.approx(
        [seconds.draw(0, 1, i, 0, 0.0) * 10 for i in range(30)]
    )


asks = st.lists(
    st.tuples(st.integers(0, 2), st.integers(0, 9), st.integers(0, 999), st.integers(0, 3), st.floats(0, 100)),
    max_size=20,
)


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None)
@given(mine=asks, others=asks, seed=st.randoms(use_true_random=False))
def test_no_scheme_changes_what_another_draws(
    name: str, mine: list[tuple[int, int, int, int, float]], others: list[Any], seed: Any, trace: Path
) -> None:
    """A scheme's draws do not depend on what other schemes draw, or in which order."""
    parameters = {"persistence": 0.7} if name in LASTING else {}
    alone = opened(name, trace, **parameters)
    expected = {place: alone.draw(*place) for place in mine}
    beside = opened(name, trace, **parameters)
    together = [*mine, *others, *mine]
    seed.shuffle(together)
    drawn = {place: beside.draw(*place) for place in together}
    assert {place: drawn[place] for place in mine} == expected


def test_fixed() -> None:
    """In each run exactly `slow_workers` workers are slow, at every request; over runs all are equally often."""
    model = open_stragglers("fixed", seed=4, workers=8, parameters={"slow_workers": 2, "slow_factor": 3.0})
    factors = np.array([[model.draw(run, worker, 5, 0, 0.0) for worker in range(8)] for run in range(2000)])
    assert set(factors.ravel()) == {1.0, 3.0}
    assert ((factors == 3.0).sum(axis=1) == 2).all()
    assert factors.mean() == model.mean == 1.5
    turns = (factors == 3.0).mean(axis=0)
    assert np.abs(turns - 0.25).max() < 4 * math.sqrt(0.25 * 0.75 / 2000)
    assert {model.draw(0, 3, request, attempt, 0.0) for request in range(20) for attempt in range(3)} == {factors[0, 3]}


def test_nobody_slow() -> None:
    """Stragglers without slow workers, with a factor of 1, or with a share of 0, count as no stragglers."""
    assert open_stragglers("fixed", 4, 8, parameters={"slow_workers": 0}).without() is None
    assert open_stragglers("fixed", 4, 8, parameters={"slow_factor": 1.0}).without() is None
    assert open_stragglers("bimodal", 4, 8, parameters={"slow_factor": 1.0}).without() is None
    assert open_stragglers("bimodal", 4, 8, parameters={"slow_share": 0.0}).without() is None
    assert open_stragglers("stop", 4, 8, parameters={"slow_workers": 0}).without() is None


def test_services_between_stops_last_as_long_as_is_said() -> None:
    """Workers that are stopped serve for the scaled base time at least, and so do those of the fleet without stops."""
    model = open_stragglers("stop", 4, 8, 0.2, {"base": 0.1})
    calm = model.without()
    assert calm is not None
    for fleet in (model, calm):
        assert (fleet.mode, fleet.mean, fleet.draw(3, 2, 1, 0, 9.0)) == ("floor", 0.1 * 0.2, 0.1 * 0.2)
    assert "base" not in model.parameters  # it does not say how workers are disturbed
    with pytest.raises(UsageError, match="base is not a parameter of the stragglers corunner"):
        open_stragglers("corunner", 4, 8, parameters={"base": 0.1})


def test_natural() -> None:
    """A natural model gives its parameters and the disturbed workers of each run; over runs all are equally often."""
    model = open_stragglers("stop", 4, 8, parameters={"slow_workers": 2, "stop_for": 0.5})
    assert isinstance(model, Natural)
    assert (model.kind, model.parameters) == ("stop", {"stop_every": 2.0, "stop_for": 0.5})
    chosen = [model.workers_of(run) for run in range(2000)]
    assert all(a < b for a, b in chosen)
    turns = np.bincount(np.ravel(chosen), minlength=8) / 2000
    assert np.abs(turns - 0.25).max() < 4 * math.sqrt(0.25 * 0.75 / 2000)
    assert model.workers_of(7) == open_stragglers("stop", 4, 8, parameters={"slow_workers": 2}).workers_of(7)


def test_a_default_may_be_named() -> None:
    """Giving None or the default is the same as not giving a parameter."""
    assert open_stragglers("pareto", 1, 4, parameters={"shape": None}) == open_stragglers("pareto", 1, 4)
    for name in NAMES:
        if name != "trace":
            assert open_stragglers(name, 1, 4, parameters=parameters_of(name)) == open_stragglers(name, 1, 4)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            {"name": "typo"},
            "'typo'; give the path of a file that `collagebench record` wrote, or one of bimodal, collage-machines",
        ),
        ({"name": "paretto"}, "did you mean 'pareto'"),
        ({"seed": -1}, "seed"),
        ({"workers": 0}, "at least 1 worker"),
        ({"time_scale": 0.0}, "time scale"),
        ({"time_scale": math.nan}, "time scale"),
        ({"time_scale": math.inf}, "time scale"),
        ({"name": "none", "parameters": {"shape": 2.0}}, "--shape is not a parameter of the stragglers none"),
        ({"parameters": {"slow_share": 0.1}}, "--slow-share .* fixed; it takes --slow-workers, --slow-factor"),
        ({"name": "trace"}, "give --trace"),
        (
            {"name": "trace", "parameters": {"trace": "x", "replay": "block", "persistence": 1.0}},
            "--persistence has no effect",
        ),
    ],
    ids=str,
)
def test_nonsense(arguments: dict[str, object], words: str) -> None:
    """An invalid name or number is a usage error that says what is valid."""
    with pytest.raises(UsageError, match=words) as error:
        open_stragglers(**{"name": "fixed", "seed": 1, "workers": 10, **arguments})
    assert "\n" not in str(error.value)


WRONG: dict[str, tuple[Any, ...]] = {
    "slow_workers": (11, -1, 0.5, True),
    "slow_factor": (0.5, math.nan, math.inf, "2"),
    "slow_share": (-0.1, 1.0, math.nan),
    "excursion_share": (1.0,),
    "slow_machines": (-0.1,),
    "drop_share": (1.0, 2.0),
    "persistence": (-1.0, math.inf, math.nan),
    "straggler_mode": ("fast", ""),
    "slow_place": ("middle",),
    "replay": ("random",),
    "load": ("disk",),
    "shift": (-0.1, math.inf),
    "tail": (0.0, -1.0),
    "scale": (0.0,),
    "median": (0.0,),
    "base": (0.0, 1e7),
    "slow_machine": (0.0,),
    "shape": (1.0, 0.5, math.inf),
    "sigma": (-0.1, 11.0),
    "machine_sigma": (-1.0,),
    "request_sigma": (math.nan,),
    "excursion_factor": (0.9,),
    "crash_every": (0.0, 0.5, math.inf),
    "restart_after": (-1.0, 10.0),
    "block": (0, 1.5),
    "log_length": (0,),
    "stop_every": (0.0,),
    "stop_for": (0.0,),
    "quota": (0.0, 1.1),
    "transfers": (0, 1.5),
    "transfer_mb": (0.0,),
}


@pytest.mark.parametrize("name", sorted({key for known in PARAMETERS.values() for key in known} - {"trace"}))
def test_every_parameter_is_checked(name: str, trace: Path) -> None:
    """Each parameter refuses invalid values in one sentence, with its option and the value."""
    for family in NAMES:
        for value in WRONG[name] if name in PARAMETERS[family] else ():
            with pytest.raises(UsageError) as error:
                opened(family, trace, **{name: value})
            assert str(error.value).startswith(f"--{name.replace('_', '-')} must be") or name == "restart_after"
            assert str(value) in str(error.value)
            assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("mode", "amount", "seconds"),
    [("floor", 0.5, 0.5), ("floor", 0.1, 0.2), ("add", 0.5, 0.7), ("add", 0.0, 0.2), ("scale", 3.0, 0.6)],
)
def test_service_time(mode: Mode, amount: float, seconds: float) -> None:
    """For a computation of 0.2 s, a floor is a minimum, an addition is added, and a factor multiplies."""
    assert service_time(mode, 0.2, amount) == pytest.approx(seconds)


@pytest.mark.parametrize("mode", MODES)
def test_never_faster(mode: Mode) -> None:
    """No draw makes a service shorter than its computation."""
    for amount in (-1.0, 0.0, 0.1, 0.99):
        assert service_time(mode, 0.2, amount) >= 0.2
