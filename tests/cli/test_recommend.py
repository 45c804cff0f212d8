"""`recommend` as a user meets it: the question's options, exit codes, and the live validation of an answer."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collagebench.cli import main

SMALL = ("--runs", 3, "--requests", 60, "--compute-time", 0.001, "--jobs", 1)


def asked(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Ask in this process; return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as end:
        main(["recommend", *map(str, arguments)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return int(end.value.code or 0), said.out, said.err


@pytest.mark.processes
def test_an_answer_is_validated_on_real_workers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The first two variants run live; answer and exit code say whether the live run confirms or refutes the choice."""
    question = ("--scheme", "hedge", "--slo", 60, "--slo-quantile", "p50", "--utilisation", 0.5)
    small = ("--runs", 2, "--requests", 40, "--compute-time", 0.001)
    code, out, err = asked(
        capsys, *question, *small, "--workers", 4, "--validate", "--format", "json", "--out", tmp_path / "a"
    )
    answer = json.loads(out)
    validation = answer["validation"]
    assert [row["variant"] for row in validation["rows"]] == answer["ranking"][:2]
    assert code == (4 if not validation["valid"] else 3 if validation["refuted"] else 0)
    for word, key in (("Confirmed", "confirmed"), ("Not confirmed", "refuted")):
        assert validation["said"].startswith(word) == validation[key]
    live = json.loads((tmp_path / "a" / "live" / "run.json").read_text())
    assert live["engine"] == "live"
    assert json.loads((tmp_path / "a" / "answer.json").read_text()) == answer
    assert f"answer: {tmp_path / 'a'}" in err


def test_no_answer_is_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """If no variant meets the SLO, the exit code is 3 and the nearest one is named."""
    code, out, _ = asked(
        capsys, *SMALL, "--scheme", "hedge", "--slo", 1, "--slo-quantile", "p50", "--out", tmp_path / "a"
    )
    assert code == 3
    assert "Without the SLO of 1 ms, the nearest is" in " ".join(out.split())


def test_several_rates_are_all_judged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With three rates, the loads are sorted upwards, and every variant has figures at each of them."""
    code, out, _ = asked(
        capsys, *SMALL, "--scheme", "tied", "--rate", "60,20,40", "--slo", 500, "--slo-quantile", "p50",
        "--format", "json", "--out", tmp_path / "a",
    )  # fmt: skip
    assert code == 0
    answer = json.loads(out)
    assert [load["rate"] for load in answer["asked"]["loads"]] == [20, 40, 60]
    assert {len(one["loads"]) for one in answer["candidates"]} == {3}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rate", "50,50"], "--rate has 50.0 twice"),
        (["--workers", "5,10"], "--workers must have a single value here: only loads may have several"),
        (["--utilisation", 0.5, "--rate", 40], "--rate and --utilisation set the same thing"),
        (["--slo", 0], "--slo must be a number above 0, not 0"),
        (["--slo-quantile", "p98"], "--slo-quantile must be one of"),
        (["--accuracy-floor", 95], "--accuracy-floor is a share from 0 to 1, not 95"),
        (["--scheme", "raid"], "there is no scheme called 'raid'; there are approxifer, "),
        (["--scheme", "hegde"], "there is no scheme called 'hegde'; did you mean 'hedge'?"),
        (
            ["--stragglers", "corunner", "--rate", 50],
            "collagebench: how much corunner slows a worker down is not known beforehand",
        ),
        (["--accuracy", "none"], "--accuracy none leaves unknown what a scheme gets wrong"),
        (["--accuracy", "none", "--accuracy-floor", 0.9], "--accuracy none leaves unknown what a scheme gets wrong"),
        (["--workers", 0], "--workers must be 1 or more"),
        (["--jobs", -1], "-1 is not in the range x>=0"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[Any], said: str
) -> None:
    """Options that make no sense end with exit code 2 and a sentence that names the option; nothing is written."""
    code, _, err = asked(capsys, *arguments, "--out", tmp_path / "a")
    assert code == 2
    assert said in " ".join(err.split())
    assert not (tmp_path / "a").exists()
