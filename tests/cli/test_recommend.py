"""`recommend` as a user meets it: the question's options, exit codes, and the live validation of an answer."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from command_line import exit_code, said_by
from synthetic_run import lognormal, make_run

pytestmark = pytest.mark.usefixtures("in_threads")
SMALL = ("--runs", 3, "--requests", 60, "--compute-time", 0.001, "--jobs", 1)


@pytest.mark.processes
def test_an_answer_is_validated_on_real_workers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """The first two variants run live; answer and exit code say whether the live run confirms or refutes the choice."""
    question = ("--scheme", "hedge", "--slo", 60, "--slo-quantile", "p50", "--utilisation", 0.5)
    small = ("--runs", 2, "--requests", 40, "--compute-time", 0.001, "--workers", 4)
    asked = (*question, *small, "--validate", "--format", "json", "--out", tmp_path / "a")
    code, out, err = said_by(capsys, "recommend", *asked)
    answer = json.loads(out)
    validation = answer["validation"]
    assert [row["variant"] for row in validation["rows"]] == answer["ranking"][:2]
    assert code == (4 if not validation["valid"] else 3 if validation["refuted"] else 0)
    for word, key in (("Confirmed", "confirmed"), ("Not confirmed", "refuted")):
        assert validation["said"].startswith(word) == validation[key]
    live = json.loads((tmp_path / "a" / validation["directory"] / "run.json").read_text())
    assert live["engine"] == "live"
    assert json.loads((tmp_path / "a" / "answer.json").read_text()) == answer
    assert f"answer: {tmp_path / 'a'}" in err


def test_no_answer_is_an_exit_code_of_its_own(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """If no variant meets the SLO, the exit code is 3 and the nearest one is named."""
    code, out, _ = said_by(
        capsys, "recommend", *SMALL, "--scheme", "hedge", "--slo", 1, "--slo-quantile", "p50", "--out", tmp_path / "a"
    )
    assert code == 3
    assert "Without the SLO of 1 ms, the nearest is" in " ".join(out.split())


def test_several_rates_are_all_judged(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With three rates, the loads are sorted upwards, and every variant has figures at each of them."""
    code, out, _ = said_by(
        capsys, "recommend", *SMALL, "--scheme", "tied", "--rate", "60,20,40", "--slo", 500, "--slo-quantile", "p50",
        "--format", "json", "--out", tmp_path / "a",
    )  # fmt: skip
    assert code == 0
    answer = json.loads(out)
    assert [load["rate"] for load in answer["asked"]["loads"]] == [20, 40, 60]
    assert {len(one["loads"]) for one in answer["candidates"]} == {3}


PROFILE = """
stragglers = "bimodal"

[[scheme]]
name = "none"
variant = "plain"

[[scheme]]
name = "hedge"
variant = "ours"
hedge-delay = [0.03, 0.05]

[[scheme]]
name = "tied"
variant = "in two queues"
"""


@pytest.fixture
def profile(tmp_path: Path) -> Path:
    """Return a profile with schemes."""
    (tmp_path / "p.toml").write_text(PROFILE)
    return tmp_path / "p.toml"


def variants(directory: Path, *, written: bool = True) -> list[str]:
    """Return the variants of an answer, without those that the profile above does not name."""
    answer = json.loads((directory / "answer.json").read_text())
    names = [one["variant"] for one in answer["candidates"]]
    assert len(set(names)) == len(names)
    return [name for name in names if name.startswith(("none", "plain", "ours", "in two")) == written]


def test_schemes_of_a_profile_are_considered(capsys: pytest.CaptureFixture[str], tmp_path: Path, profile: Path) -> None:
    """Beside the usual ones, each as often as its lists say, in the answer and on its page; what is a usual one but for
    its name is there once. With --scheme it is the variants of the schemes that are named."""
    question = (*SMALL, "--profile", profile, "--utilisation", 0.3)
    assert said_by(capsys, "recommend", *question, "--out", tmp_path / "a")[0] == 0
    page = " ".join(re.sub("<[^>]*>", " ", (tmp_path / "a" / "answer.html").read_text()).split())
    own = ["ours hedge-delay=0.03", "ours hedge-delay=0.05", "in two queues"]
    assert variants(tmp_path / "a") == ["none", *(name.replace("hedge-", "") for name in own)]
    assert "tied" not in variants(tmp_path / "a", written=False)
    assert {"hedge p95", "collage 3x3 auto"} <= set(variants(tmp_path / "a", written=False))
    assert all(name in page for name in variants(tmp_path / "a"))
    assert said_by(capsys, "recommend", *question, "--scheme", "tied", "--out", tmp_path / "b")[0] == 0
    assert variants(tmp_path / "b") == ["none", "in two queues"]
    assert variants(tmp_path / "b", written=False) == []


def test_the_slo_of_a_profile_is_met(capsys: pytest.CaptureFixture[str], tmp_path: Path, profile: Path) -> None:
    """A profile's SLO is the question's, unless --slo states another."""
    profile.write_text(f"slo = 1\n{PROFILE}")
    question = (*SMALL, "--profile", profile, "--scheme", "tied", "--slo-quantile", "p50", "--out", tmp_path / "a")
    code, out, _ = said_by(capsys, "recommend", *question)
    assert code == 3
    assert "Without the SLO of 1 ms, the nearest is" in " ".join(out.split())
    assert exit_code("recommend", *question, "--slo", 5000) == 0


def test_a_profile_that_was_changed_is_answered_from_the_same_directory(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, profile: Path
) -> None:
    """A variant whose options are others now is simulated anew, though its name stays; the others are not."""
    question = (*SMALL, "--profile", profile, "--utilisation", 0.3, "--scheme", "hedge,tied", "--out", tmp_path / "a")

    def ask() -> dict[Path, int]:
        assert said_by(capsys, "recommend", *question)[0] == 0
        return {path.parent: path.stat().st_mtime_ns for path in (tmp_path / "a").glob("*/requests.csv")}

    profile.write_text(PROFILE.replace("[0.03, 0.05]", "0.03"))
    before = ask()
    profile.write_text(PROFILE.replace("[0.03, 0.05]", "0.05"))
    after = ask()
    assert before.items() <= after.items()
    assert {path.name[:5] for path in set(after) - set(before)} == {"ours-"}


GUESS = """
stragglers = "bimodal"

[[scheme]]
name = "default"
variant = "a guess"
default-after = 0.03
"""
GUESSED = ("--scheme", "default", "--accuracy-loss", 1, "--utilisation", 0.2, "--format", "json")
"""Without an SLO there is no usual variant of this scheme, and none is as slow."""


def test_the_command_tries_a_variant_of_the_profile(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, profile: Path
) -> None:
    """What is printed is understood, and simulates the same scheme with the same options on the same stragglers."""
    profile.write_text(GUESS)
    small = ("--runs", 10, "--requests", 150, "--compute-time", 0.001)
    code, out, _ = said_by(capsys, "recommend", "--profile", profile, *GUESSED, *small, "--out", tmp_path / "a")
    answer = json.loads(out)
    assert (code, answer["choice"]) == (0, "a guess")
    short = ("--runs", "1", "--requests", "20", "--out", str(tmp_path / "r"))
    assert exit_code("simulate", *shlex.split(answer["command"]), *short) == 0
    run = json.loads((tmp_path / "r" / "run.json").read_text())
    assert run["config"]["stragglers"] == "bimodal"
    assert (run["schemes"][0]["scheme"], run["schemes"][0]["options"]) == ("default", {"default_after": 0.03})


@pytest.mark.processes
def test_a_variant_of_the_profile_is_validated_on_real_workers(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, profile: Path
) -> None:
    """By its own name, which may be long, and with its options; the same command again finds that run."""
    profile.write_text(GUESS.replace("a guess", "guess default-after=0.03"))
    small = ("--runs", 3, "--requests", 40, "--compute-time", 0.001, "--workers", 4, "--slo-quantile", "p50")
    question = ("--profile", profile, *GUESSED[:-2], *small, "--validate", "--out", tmp_path / "a")
    for _ in range(2):
        code, out, _ = said_by(capsys, "recommend", *question, "--format", "json")
        answer = json.loads(out)
        assert code in (0, 3, 4)
        assert {row["variant"] for row in answer["validation"]["rows"]} == {"none", "guess default-after=0.03"}
    live = json.loads((tmp_path / "a" / answer["validation"]["directory"] / "run.json").read_text())
    assert [(one["variant"], one["options"]) for one in live["schemes"]] == [
        ("none", {}),
        ("guess default-after=0.03", {"default_after": 0.03}),
    ]
    shown = said_by(capsys, "recommend", *question)[1]
    table = shown.split("requests/s:\n")[1].split("\n\n")[0].splitlines()
    assert any(line.startswith("guess ") for line in table)
    assert max(map(len, table)) <= 80


def test_a_hedge_that_a_profile_fits_to_a_run_is_considered(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, profile: Path
) -> None:
    """With the delay and the probability that the fit gives, which no document for a proxy can say."""
    make_run(tmp_path / "log", {"none": lognormal(1, 4, 200)})
    profile.write_text('[[scheme]]\nname = "hedge"\nhedge-delay = "fit"\nhedge-log = "log"\nhedge-budget = 0.1\n')
    question = (*SMALL, "--profile", profile, "--utilisation", 0.3, "--scheme", "hedge", "--out", tmp_path / "a")
    assert said_by(capsys, "recommend", *question)[0] == 0
    answer = json.loads((tmp_path / "a" / "answer.json").read_text())
    fitted = next(one for one in answer["candidates"] if one["variant"] == "hedge")
    assert fitted["options"].keys() == {"hedge_delay", "hedge_probability"}


@pytest.mark.parametrize(
    ("tables", "said"),
    [
        ('name = "hedge"\nhedge-dely = 1', "p.toml, line 3: scheme hedge has no option 'hedge-dely'"),
        ('name = "hedge"\nreplicas = 1', "p.toml, line 3: scheme hedge has no option 'replicas'"),
        ('name = "raid"', "p.toml, line 2: there is no scheme called 'raid'"),
        ('name = "tied"\nvariant = "none"', "p.toml, line 3: two schemes are called 'none'"),
        ('name = "tied"\n[[scheme]]\nname = "tied"', "p.toml, line 4: two schemes are called 'tied'"),
        (
            'name = "hedge"\nhedge-delay = "fit"\nhedge-budget = 0.1\nhedge-log = "gone"',
            "gone is not a run directory",
        ),
    ],
)
def test_a_table_that_makes_no_sense_is_one_sentence_with_its_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, profile: Path, tables: str, said: str
) -> None:
    """As where it is simulated, and nothing is written; with --scheme, tables of other schemes do not matter."""
    profile.write_text(f"[[scheme]]\n{tables}\n")
    code, _, err = said_by(capsys, "recommend", *SMALL, "--profile", profile, "--out", tmp_path / "a")
    assert code == 2
    assert said in " ".join(err.split())
    assert not (tmp_path / "a").exists()
    assert exit_code("recommend", *SMALL, "--profile", profile, "--scheme", "equal", "--out", tmp_path / "a") == 0


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
    code, _, err = said_by(capsys, "recommend", *arguments, "--out", tmp_path / "a")
    assert code == 2
    assert said in " ".join(err.split())
    assert not (tmp_path / "a").exists()
