"""The verdict on a recommendation after a live run: confirmed, refuted, or neither."""

from __future__ import annotations

from math import inf
from pathlib import Path
from typing import Any

import pytest

from collagebench.config import Config
from collagebench.engine import experiment
from collagebench.engine.cells import Progress
from collagebench.errors import DataError, OutputError
from collagebench.report.recommendation import as_least
from collagebench.report.summary import summarise
from collagebench.results.reader import load
from collagebench.study.recommend import Asked
from collagebench.study.validated import _is_better, _said, validate
from collagebench.study.wishes import Candidate, Figures, Wishes


def live(name: str, high: float, latency: float = 0.08, work: float = 1.0, low: float = 0.07) -> Candidate:
    """Return a scheme's live figures: its p99 with the ends of its interval, and all answers right."""
    return Candidate(name, name, {}, (Figures(latency, low, high, 1.0, 0.0, work, accuracy_low=1.0, lost_high=0.004),))


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        (live("hedge", 0.09), "Confirmed: live, hedge meets the requirements."),
        (
            live("hedge", 0.12),
            "Neither confirmed nor refuted: live, hedge had a p99 of 80 ms (at most 120 ms), 100.0 % right "
            "(+0.0 points, perhaps -0.4), 1.00x the work, which perhaps meets the requirements; more --runs would "
            "tell.",
        ),
        (live("hedge", 0.2, latency=0.11), "Not confirmed: live, hedge did not meet the requirements."),
        (live("hedge", inf, latency=0.11), "Not confirmed: live, hedge did not meet the requirements."),
        (live("none", 0.09), "Confirmed: live, no redundancy meets the requirements."),
        (live("none", 0.2, latency=0.11), "Not confirmed: live, no redundancy did not meet the requirements."),
    ],
)
def test_what_only_perhaps_meets_the_wishes_is_neither_confirmed_nor_refuted(choice: Candidate, said: str) -> None:
    """A p99 below the SLO whose interval reaches beyond it neither confirms nor refutes, and the figures are given."""
    assert _said(choice, None, better=False, valid=True, wishes=Wishes(slo=0.1)) == said
    assert _said(choice, None, better=False, valid=False, wishes=Wishes(slo=0.1)).startswith("The live run is INVALID")


def test_a_runner_up_that_only_perhaps_meets_the_wishes_is_not_better() -> None:
    """A cheaper runner-up is better only if it surely meets the SLO."""
    choice = live("hedge", 0.09, work=1.1)
    assert _is_better(live("tied", 0.095), choice, Wishes(slo=0.1))
    assert not _is_better(live("tied", 0.12), choice, Wishes(slo=0.1))


def test_with_an_slo_a_runner_up_is_better_that_costs_clearly_less() -> None:
    """With an SLO, a runner-up is better if it meets it with at least 0.02 less work, even if it is slower."""
    choice = live("hedge", 0.09, work=1.1)
    assert not _is_better(live("tied", 0.095, work=1.09), choice, Wishes(slo=0.1))
    assert _is_better(live("tied", 0.095, work=1.07, latency=0.094, low=0.09), choice, Wishes(slo=0.1))
    assert not _is_better(live("tied", 0.095, work=0.9), live("none", 0.09), Wishes(slo=0.1))  # none is simpler


def test_without_an_slo_a_runner_up_is_better_that_is_clearly_faster() -> None:
    """Without an SLO, a runner-up is better if it is more than 5 % faster and the intervals do not overlap."""
    choice = live("hedge", 0.11, latency=0.1, low=0.095)
    assert _is_better(live("tied", 0.094, latency=0.09, work=2.0), choice, Wishes())
    assert not _is_better(live("tied", 0.095, latency=0.09, work=0.5), choice, Wishes())
    assert not _is_better(live("tied", 0.0945, latency=0.0955, work=0.5), choice, Wishes())


SIMULATED = {"hedge": 0.02, "replication": 0.03}
"""The simulated latency of each scheme at the highest load, in the answer that is validated."""


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use simulated instead of real workers, so that figures are the same each time."""
    monkeypatch.setattr(experiment, "run", experiment.simulate)


def validated(
    directory: Path, slo: float, *ranking: str, utilisation: float = 0.3, quantile: str = "p50"
) -> dict[str, Any]:
    """Return the validation of an answer with this ranking."""
    config = Config(
        runs=5, requests=80 if quantile == "p50" else 40, compute="emulated", compute_time=0.001, slo_ms=1e3 * slo
    )
    options = {"hedge": {"hedge_delay": "p90"}, "replication": {"replicas": 2}}
    candidates = [
        {
            "variant": name,
            "scheme": name,
            "options": options[name],
            "loads": [{"latency_s": 9.0}, {"latency_s": SIMULATED[name], "bounded": quantile == "p50"}],
        }
        for name in options
    ]
    answer = {
        "choice": ranking[0],
        "ranking": list(ranking),
        "candidates": candidates,
        "asked": {"loads": [{"rate": 1.0}, {"rate": 5.0}]},
    }
    loads = ({"utilisation": 0.1}, {"utilisation": utilisation})
    return validate(Asked(config, loads, Wishes(slo=slo, loss=1.0, quantile=quantile)), answer, directory, Progress())


@pytest.mark.usefixtures("simulated")
def test_what_is_only_a_lower_bound_is_marked(tmp_path: Path) -> None:
    """With too few requests for a p99, the live figure is a lower bound, which the table of the validation marks."""
    found = validated(tmp_path, 1.0, "hedge", quantile="p99")
    (row,) = found["rows"]
    assert (row["simulated_bounded"], row["live_bounded"]) == (False, False)
    assert as_least({**row, "live_s": 0.0646}, "live", ">= ") == ">= 64.6"
    (known,) = validated(tmp_path / "known", 1.0, "hedge")["rows"]
    assert (known["live_bounded"], as_least({**known, "live_s": 0.05}, "live", ">= ")) == (True, "50.0")


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize(
    ("ranking", "slo", "utilisation", "came", "said"),
    [
        (("hedge",), 1.0, 0.3, (True, False), "Confirmed: live, hedge meets the requirements."),
        (("hedge", "replication"), 1.0, 0.3, (True, False), "and replication is not better by more than noise."),
        (("replication", "hedge"), 1.0, 0.3, (False, True), "Not confirmed: live, hedge was better than replication."),
        (("hedge", "replication"), 1e-3, 0.3, (False, True), "hedge did not meet the requirements."),
        (("hedge", "replication"), 1e-3, 0.97, (False, False), "it neither confirms nor refutes the choice."),
    ],
)
def test_a_validation_holds_the_choice_against_the_next(
    tmp_path: Path, ranking: tuple[str, ...], slo: float, utilisation: float, came: tuple[bool, bool], said: str
) -> None:
    """A choice is confirmed if it meets the SLO and the next is not better, else refuted; an INVALID run does neither.

    Rows have the figures simulated at the highest load beside the live ones, and a finished run is reused.
    """
    found = validated(tmp_path, slo, *ranking, utilisation=utilisation)
    assert (found["confirmed"], found["refuted"]) == came
    assert found["said"].endswith(said)
    assert found["valid"] == (utilisation < 0.9)
    of_run = {one["variant"]: one for one in summarise([load(tmp_path / found["directory"])])["schemes"]}
    for row in found["rows"]:
        assert row["live_s"] == of_run[row["variant"]]["latency_s"]["p50"]
        assert row["live_ci95_s"] == of_run[row["variant"]]["ci95_s"]["p50"]
    rows = [(row["variant"], row["simulated_s"]) for row in found["rows"]]
    assert rows == [(name, SIMULATED[name]) for name in ranking]
    assert validated(tmp_path, slo, *ranking, utilisation=utilisation) == found


@pytest.mark.usefixtures("simulated")
def test_another_question_is_validated_in_the_same_directory(tmp_path: Path) -> None:
    """Another SLO is judged by the live run that is there; another choice gets a live run of its own."""
    first, other_slo = validated(tmp_path, 1.0, "hedge"), validated(tmp_path, 1e-3, "hedge")
    assert (first["confirmed"], other_slo["refuted"]) == (True, True)
    assert first["directory"] == other_slo["directory"]
    assert validated(tmp_path, 1.0, "replication")["directory"] != first["directory"]


@pytest.mark.usefixtures("simulated")
@pytest.mark.parametrize("name", ["run.json", "requests.csv"])
def test_a_damaged_live_run_says_what_to_remove(tmp_path: Path, name: str) -> None:
    """If a file of the live run is missing, the validation is refused with the directory to remove."""
    live = tmp_path / validated(tmp_path, 1.0, "hedge")["directory"]
    (live / name).unlink()
    with pytest.raises((DataError, OutputError)) as refused:
        validated(tmp_path, 1.0, "hedge")
    assert str(refused.value).endswith(f"; remove {live}, so that it is run again")
