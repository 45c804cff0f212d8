"""Replaying a recorded profile reproduces what was observed, and an invalid file is refused in one sentence."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from collagebench.errors import DataError, UsageError
from collagebench.stragglers.fitting import fit_all
from collagebench.stragglers.model import PARAMETERS, open_stragglers
from collagebench.stragglers.observed import describe, slow_periods
from collagebench.stragglers.persistence import Levels
from collagebench.stragglers.quantiles import PROBABILITIES
from collagebench.stragglers.recommended import recommend
from collagebench.stragglers.recorded import SCHEMA, open_recorded

N = 20_000
EVERY = 0.05


def fleet() -> list[np.ndarray]:
    """Return the service times of two ordinary workers and one that is slow throughout."""
    generator = np.random.default_rng(7)
    return [0.01 * np.exp(generator.normal(0, 0.2, N)) * factor for factor in (1.0, 1.1, 4.0)]


def write(path: Path, service: list[np.ndarray], **changes: Any) -> Path:
    """Write the profile of these times, observed every EVERY seconds."""
    fleet, machines = describe([EVERY * np.arange(len(times)) for times in service], service)
    profile = {"schema": SCHEMA, "probabilities": PROBABILITIES, "fleet": fleet, "machines": machines, **changes}
    path.write_text(json.dumps(profile))
    return path


def sample(stragglers: Any, worker: int, n: int = N, run: int = 0) -> np.ndarray:
    """Return the draws of one worker, one every EVERY seconds."""
    return np.array([stragglers.draw(run, worker, request, 0, EVERY * request) for request in range(n)])


def test_draws_reproduce_the_quantiles_of_each_machine(tmp_path: Path) -> None:
    """Worker i draws as recorded machine i, starting over after the last, and never beyond the observed range."""
    service = fleet()
    stragglers = open_stragglers(str(write(tmp_path / "r.json", service)), 1, 5)
    assert stragglers.mode == "floor"
    for worker in range(5):
        times, draws = service[worker % 3], sample(stragglers, worker)
        assert times.min() * (1 - 1e-6) <= draws.min() < draws.max() <= times.max() * (1 + 1e-6)
        for p in (0.01, 0.1, 0.5, 0.9, 0.99):
            share = (draws <= np.quantile(times, p)).mean()
            assert abs(share - p) <= 4.5 * math.sqrt(p * (1 - p) / N) + 0.002  # quantiles are joined by straight lines
    assert stragglers.mean == pytest.approx(np.mean([*service, *service[:2]]), rel=0.01)
    one = open_stragglers(stragglers.name, 1, 1)
    assert one.mean == pytest.approx(np.mean(service[0]), rel=0.01)


def test_draws_depend_on_names_and_numbers_only(tmp_path: Path) -> None:
    """The same task gets the same draw; another seed, run or attempt gets another one."""
    path = write(tmp_path / "r.json", fleet())
    stragglers = open_recorded(path, 1)
    forwards = sample(stragglers, 0, 50)
    assert (sample(open_recorded(path, 1), 0, 50) == forwards).all()
    assert (sample(open_recorded(path, 2), 0, 50) != forwards).all()
    assert (sample(stragglers, 0, 50, run=1) != forwards).all()
    assert stragglers.draw(0, 0, 3, 1, 0.0) != stragglers.draw(0, 0, 3, 0, 0.0)


def test_the_time_scale_multiplies_seconds(tmp_path: Path) -> None:
    """Half the time scale halves every draw and the mean."""
    path = write(tmp_path / "r.json", fleet())
    whole, half = open_recorded(path, 1), open_recorded(path, 1, time_scale=0.5)
    assert sample(half, 2, 50) == pytest.approx(sample(whole, 2, 50) / 2)
    assert half.mean == pytest.approx(whole.mean / 2)


def test_without_stragglers_no_machine_is_slow(tmp_path: Path) -> None:
    """The slow machine is replaced by one of the others, and no draw exceeds twice the fleet's median."""
    service = fleet()
    service[0][::50] *= 5
    stragglers = open_recorded(write(tmp_path / "r.json", service), 1)
    calm = stragglers.without()
    assert calm is not None
    limit = 2 * np.quantile(np.concatenate(service), 0.5, method="inverted_cdf")
    for worker in range(3):
        assert sample(calm, worker, 2000).max() <= limit * (1 + 1e-6)
    assert {calm.machine(run, 2) for run in range(20)} == {calm.machines[0], calm.machines[1]}
    assert calm.mean < stragglers.mean
    assert calm.without() is None


def test_a_fleet_without_stragglers_has_none_to_take_away(tmp_path: Path) -> None:
    """A fleet in which nothing was slow has no model without stragglers."""
    calm = [np.clip(times, None, 0.019) for times in fleet()[:2]]
    assert open_recorded(write(tmp_path / "r.json", calm), 1).without() is None


def lasting() -> np.ndarray:
    """Return times that are slow for a tenth of the time, in periods of exactly 20 services."""
    times = 0.01 * np.exp(np.random.default_rng(3).normal(0, 0.1, N))
    slow = np.arange(N) % 200 < 20
    times[slow] *= 5
    return times


def test_slow_periods_last_as_recorded(tmp_path: Path) -> None:
    """A replay repeats the recorded share and mean length of slow periods, and the median."""
    recorded = lasting()
    path = write(tmp_path / "r.json", [recorded, 0.01 * np.exp(np.random.default_rng(4).normal(0, 0.1, N))])
    stragglers = open_recorded(path, 1)
    draws = sample(stragglers, 0)
    found = slow_periods(EVERY * np.arange(N), draws > 2 * np.median(recorded))
    assert found.lasts
    # about 100 periods of exponential lengths: standard errors of about 10 % of length and of share
    assert found.mean == pytest.approx(20 * EVERY, rel=0.4)
    assert found.share == pytest.approx(0.1, rel=0.5)
    assert np.median(draws) == pytest.approx(np.median(recorded), rel=0.02)
    alone = open_recorded(path, 1, persistence=0)
    assert not slow_periods(EVERY * np.arange(N), sample(alone, 0) > 0.02).lasts
    with pytest.raises(UsageError, match="no machine in it was slow for only part of the time"):
        open_recorded(write(tmp_path / "calm.json", [recorded.clip(max=0.015)]), 1, persistence=3.0)
    longer = open_recorded(path, 1, time_scale=0.5, persistence=3.0)
    assert [machine.levels.persistence for machine in longer.machines] == [3.0, 0.0]
    assert open_recorded(path, 1, time_scale=0.5).machines[0].levels.persistence == pytest.approx(10 * EVERY, rel=0.1)


@pytest.mark.parametrize(
    ("changed", "persistence"),
    [
        *(({"slow_share": share}, persistence) for share in (0.0, 1.0) for persistence in (None, 3.0)),
        *(({"slow_throughout": True}, persistence) for persistence in (None, 3.0)),
        ({"slow_lasts": False}, None),
    ],
)
def test_who_is_never_or_always_slow_has_no_periods(
    tmp_path: Path, changed: dict[str, float], persistence: float | None
) -> None:
    """A machine that is always or never slow has no slow periods, whatever persistence is asked for.

    Nor has one whose slowness did not last, unless a persistence is asked for.
    """
    path = write(tmp_path / "r.json", [lasting(), lasting()])
    profile = json.loads(path.read_text())
    profile["machines"][0] |= changed
    path.write_text(json.dumps(profile))
    first, second = open_recorded(path, 1, persistence=persistence).machines
    assert first.levels == Levels(1, 0.0, 0.0)
    assert second.levels.persistence > 0


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("slow_share", -0.01, "machines[0].slow_share must be a number from 0 to 1, not -0.01"),
        ("slow_share", 1.01, "machines[0].slow_share must be a number from 0 to 1, not 1.01"),
        ("slow_share", None, "machines[0].slow_share must be a number from 0 to 1, not null"),
        ("slow_period_s", -1.0, "machines[0].slow_period_s must be a number from 0 up, not -1.0"),
        ("slow_period_s", math.inf, "machines[0].slow_period_s must be a number from 0 up, not Infinity"),
        ("slow_lasts", "no", 'machines[0].slow_lasts must be true or false, not "no"'),
        ("slow_throughout", 0, "machines[0].slow_throughout must be true or false, not 0"),
        ("quantiles_s", {}, "machines[0].quantiles_s must be a list, not {}"),
        ("quantiles_s", [1, 2], "machines[0].quantiles_s must be a list of 59 numbers, not [1, 2]"),
    ],
)
def test_damaged_figures_of_a_machine_are_refused(tmp_path: Path, key: str, value: Any, words: str) -> None:
    """A figure of a machine that cannot be is refused with the file, its place, what it must be, and what to do."""
    path = write(tmp_path / "r.json", [lasting()])
    profile = json.loads(path.read_text())
    profile["machines"][0][key] = value
    path.write_text(json.dumps(profile))
    with pytest.raises(DataError) as refused:
        open_recorded(path, 1)
    remedy = "the file was changed or is damaged: restore it, or record it again"
    assert str(refused.value) == f"{path}: {words}; {remedy}"


def test_equal_times_and_few_of_them_can_be_replayed(tmp_path: Path) -> None:
    """A worker with equal service times, and one with only two, can be replayed."""
    path = write(tmp_path / "r.json", [np.full(50, 0.01), np.array([0.01, 0.011])])
    stragglers = open_recorded(path, 1)
    assert sample(stragglers, 0, 20) == pytest.approx(0.01)
    assert 0.01 <= sample(stragglers, 1, 20).min() < sample(stragglers, 1, 20).max() <= 0.011


def test_a_worker_without_a_service_is_left_out(tmp_path: Path) -> None:
    """A worker that was lost before it served anything is left out of the replay."""
    path = write(tmp_path / "r.json", [np.empty(0), np.full(50, 0.01)])
    assert len(open_recorded(path, 1).machines) == 1


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read"),
        ("{", "holds no recorded stragglers (line 1 is not JSON)"),
        ("[" * 100_000, "holds no recorded stragglers (its brackets are nested too deeply)"),
        ('{"schema": %s}' % ("9" * 5000), "holds no recorded stragglers (a number in it has thousands of digits)"),
        ('"\\ud800"', "holds no recorded stragglers (its text is not valid Unicode)"),
        ("[]", "it is something else"),
        ('{"schema": 1}', "it is something else"),
        ('{"schema": 2, "machines": [], "fleet": {}, "probabilities": []}', "upgrade collagebench"),
        ('{"schema": 1, "machines": [], "fleet": {}, "probabilities": []}', "probabilities must be shares"),
        ('{"schema": 1, "machines": [], "fleet": {}, "probabilities": [0, 1]}', "fleet.slow_above_s must be a number"),
        ('{"schema": 1, "machines": [], "fleet": {"slow_above_s": 1}, "probabilities": [0, 1]}', "no worker"),
        ('{"schema": 1, "machines": 3, "fleet": {"slow_above_s": 1}, "probabilities": [0, 1]}', "machines must be"),
    ],
)
def test_a_file_that_is_no_profile_is_one_sentence(tmp_path: Path, text: str | None, words: str) -> None:
    """A missing, damaged, foreign or newer file is refused in one sentence that names it."""
    path = tmp_path / "r.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(DataError) as error:
        open_recorded(path, 1)
    assert words in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)


def test_what_never_ends_is_not_read() -> None:
    """A device in the place of a profile is refused before it is read."""
    with pytest.raises(DataError, match=r"/dev/null cannot be read \(it is not a regular file\)"):
        open_recorded("/dev/null", 1)


@pytest.mark.parametrize("quantile", [0, 1, 30, 58])
@pytest.mark.parametrize("value", [-1.0, math.inf, math.nan, "x", None, 10**400])
def test_damaged_quantiles_are_refused(tmp_path: Path, quantile: int, value: Any) -> None:
    """A quantile that is not a time, or is out of order, is refused."""
    path = write(tmp_path / "r.json", [times[:100] for times in fleet()])
    profile = json.loads(path.read_text())
    profile["machines"][0]["quantiles_s"][quantile] = value
    path.write_text(json.dumps(profile))
    with pytest.raises(DataError, match=r"machines\[0\].quantiles_s\[\d+\] must be a number above 0, and not less"):
        open_recorded(path, 1)


@pytest.mark.parametrize("value", [math.nan, 2.0, -0.5])
def test_damaged_probabilities_are_refused(tmp_path: Path, value: float) -> None:
    """A probability that is invalid or out of order is refused before anything is drawn."""
    path = write(tmp_path / "r.json", [times[:100] for times in fleet()])
    profile = json.loads(path.read_text())
    profile["probabilities"][20] = value
    path.write_text(json.dumps(profile))
    with pytest.raises(DataError, match=r"probabilities\[20\] must be a number from 0 to 1, and not less"):
        open_recorded(path, 1)


@pytest.mark.parametrize(("scale", "slower"), [(1e-323, 1), (1e308, 1e4)])
def test_a_time_scale_that_leaves_no_times_is_refused(tmp_path: Path, scale: float, slower: float) -> None:
    """A time scale that makes all times zero or infinite is refused."""
    path = write(tmp_path / "r.json", [slower * times for times in fleet()])
    with pytest.raises(DataError, match=r"r\.json times \S+ \(--time-scale\) gives times too large or too small"):
        open_recorded(path, 1, scale)


def test_a_persistence_that_makes_no_sense_is_refused(tmp_path: Path) -> None:
    """A persistence that is negative, infinite or not a number is refused."""
    path = write(tmp_path / "r.json", fleet())
    for persistence in (-1.0, math.nan, math.inf):
        with pytest.raises(UsageError, match="--persistence"):
            open_stragglers(str(path), 1, 3, parameters={"persistence": persistence})


def recommended(*service: np.ndarray) -> dict[str, Any]:
    """Return what is recommended for these times."""
    fleet, machines = describe([EVERY * np.arange(len(times)) for times in service], list(service))
    return recommend(fit_all(list(service)), fleet, machines, PARAMETERS)


def test_a_family_is_recommended_where_it_fits() -> None:
    """Lognormal times of similar machines give the lognormal family, with options that draw the same median."""
    generator = np.random.default_rng(5)
    found = recommended(*(0.02 * np.exp(generator.normal(0, 0.3, 5000)) for _ in range(4)))
    options = dict(found["options"])
    assert (found["stragglers"], options.pop("stragglers"), options.pop("time_scale")) == ("lognormal", "lognormal", 1)
    drawn = open_stragglers("lognormal", 1, 4, 1.0, options)
    assert np.median(sample(drawn, 0, 5000)) == pytest.approx(0.02, rel=0.03)


def test_a_machine_that_is_slow_throughout_is_to_be_replayed() -> None:
    """If some machines are slow throughout, a replay is recommended, however well a family fits."""
    found = recommended(*fleet()[:2], *fleet())
    assert (found["stragglers"], found["options"]) == ("recorded", None)
    assert found["because"].startswith("worker 4 is slow throughout (median 3.")
    several = recommended(*fleet()[:2], *fleet()[:2], *fleet(), 1.5 * fleet()[2])
    assert several["because"].startswith("workers 6, 7 are slow throughout (median up to 5.")


def test_where_no_family_fits_the_quantiles_are_to_be_replayed() -> None:
    """For times in three clusters, which no family fits, a replay is recommended, with that reason."""
    generator = np.random.default_rng(6)
    heaps = generator.choice([0.01, 0.0143, 0.019], 6000) * np.exp(generator.normal(0, 0.005, 6000))
    found = recommended(heaps)
    assert found["stragglers"] == "recorded"
    assert "no family that can be drawn" in found["because"]


def test_a_family_without_a_mean_is_not_recommended() -> None:
    """A Pareto fit of shape 0.8 is not recommended, because it has no mean and cannot be drawn; one of 1.5 is."""
    times = 0.01 * (1 + np.random.default_rng(8).pareto(0.8, 6000))
    fits = fit_all([times])
    assert (fits[0].family, fits[0].ks < 0.02) == ("pareto", True)
    assert recommended(times)["stragglers"] != "pareto"
    assert recommended(0.01 * (1 + np.random.default_rng(8).pareto(1.5, 6000)))["stragglers"] == "pareto"


def test_lasting_slowness_is_in_the_options() -> None:
    """A bimodal fleet with lasting slow periods is recommended with their length."""
    found = recommended(lasting(), lasting()[::-1].copy())
    assert found["stragglers"] == "bimodal"
    assert found["options"]["slow_share"] == pytest.approx(0.1, rel=0.05)
    assert found["options"]["persistence"] == pytest.approx(20 * EVERY, rel=0.1)
    drawn = open_stragglers(
        "bimodal", 1, 2, 1.0, {k: v for k, v in found["options"].items() if k in PARAMETERS["bimodal"]}
    )
    assert slow_periods(EVERY * np.arange(N), sample(drawn, 0) > 0.02).lasts


def test_lasting_slowness_of_a_family_without_a_slow_part_has_its_share_as_well() -> None:
    """For lognormal times with lasting slow periods, the options have their share and their length."""
    generator = np.random.default_rng(9)
    times = 0.02 * np.exp(generator.normal(0, 0.8, N))
    slow = times > 2 * np.median(times)
    runs = np.split(times[slow], range(20, int(slow.sum()), 20))
    calm = np.array_split(times[~slow], len(runs))
    found = recommended(np.concatenate([part for pair in zip(calm, runs, strict=True) for part in pair]))
    assert found["stragglers"] == "lognormal"
    assert found["options"]["slow_share"] == pytest.approx(slow.mean(), rel=0.01)
    assert found["options"]["persistence"] == pytest.approx(20 * EVERY, rel=0.02)
