"""Logs of arrivals and bursts as a user meets them: --arrivals, in every verb that takes it."""

from __future__ import annotations

import csv
import hashlib
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from command_line import exit_code, said_by

SMALL = ("--runs", 3, "--requests", 60, "--compute-time", 0.001, "--scheme", "none")


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """Return a log of 500 arrivals in bursts, 25 a second on average."""
    gaps = np.where(np.arange(499) % 50 < 40, 0.01, 0.16)
    np.savetxt(tmp_path / "day.csv", np.cumsum(np.append(100, gaps)), header="arrival", comments="")
    return tmp_path / "day.csv"


def simulated(capsys: pytest.CaptureFixture[str], out: Path, *more: object) -> dict[str, object]:
    """Simulate, and return the report as JSON; the run is valid."""
    code, said, err = said_by(capsys, "simulate", *SMALL, *more, "--out", out, "--format", "json")
    assert (code, err.count("\n")) == (0, 1)
    found: dict[str, object] = json.loads(said)
    return found


def gaps_of(directory: Path) -> tuple[float, float]:
    """Return the only two gaps that there are between arrivals within the runs of a directory, in seconds."""
    with (directory / "requests.csv").open() as file:
        rows = sorted((int(row["run"]), float(row["arrival"])) for row in csv.DictReader(file))
    gaps = np.array([after[1] - before[1] for before, after in pairwise(rows) if before[0] == after[0]])
    short, long = gaps[gaps < gaps.mean()], gaps[gaps >= gaps.mean()]
    assert max(np.ptp(short), np.ptp(long)) < 1e-6
    return float(short.mean()), float(long.mean())


def test_a_log_is_replayed_at_its_own_rate(log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Without --rate and --utilisation, requests have the very gaps of the log; report and run.json say which."""
    found = simulated(capsys, tmp_path / "r", "--arrivals", log)
    assert found["rate"] == pytest.approx(499 / (399 * 0.01 + 100 * 0.16), rel=0.02)
    assert gaps_of(tmp_path / "r") == pytest.approx((0.01, 0.16), rel=1e-5)
    facts = json.loads((tmp_path / "r" / "run.json").read_text())["arrivals"]
    assert facts == found["arrivals"]
    assert (facts["count"], facts["whole_seconds"]) == (500, False)
    _, shown, _ = said_by(capsys, "report", tmp_path / "r")
    assert f"at {found['rate']:.2f}/s in the pattern of day.csv, utilisation" in " ".join(shown.split())


def test_even_arrivals_are_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A report says that arrivals were evenly spaced, and nothing of the usual ones, which are at random."""
    for arrivals, said in (("constant", "/s evenly spaced, utilisation"), ("poisson", "/s, utilisation")):
        assert exit_code("simulate", *SMALL, "--arrivals", arrivals, "--out", tmp_path / arrivals) == 0
        assert said in " ".join(capsys.readouterr().out.split())


def test_a_load_stretches_the_log(log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With --rate or --utilisation the gaps keep their proportions at that load."""
    found = simulated(capsys, tmp_path / "rate", "--arrivals", log, "--rate", 50)
    assert found["rate"] == 50
    short, long = gaps_of(tmp_path / "rate")
    assert long / short == pytest.approx(16, rel=1e-3)
    assert short == pytest.approx(0.01 * 499 / (399 * 0.01 + 100 * 0.16) / 50, rel=0.02)
    used = simulated(capsys, tmp_path / "used", "--arrivals", log, "--utilisation", 0.25)
    assert used["schemes"][0]["utilisation"] == pytest.approx(0.25)  # type: ignore[index]
    short, long = gaps_of(tmp_path / "used")
    assert long / short == pytest.approx(16, rel=1e-3)


def test_a_profile_names_the_log_beside_it(log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A profile names a log relative to itself; a typed load replaces the log's rate, and a missing log has a line."""
    profile = tmp_path / "p.toml"
    profile.write_text("runs = 3\narrivals = 'day.csv'\n[[scheme]]\nname = 'none'\n")
    few = ("simulate", "--profile", profile, "--requests", 60, "--compute-time", 0.001, "--format", "json")
    code, said, _ = said_by(capsys, *few, "--out", tmp_path / "r")
    assert (code, json.loads(said)["config"]["arrivals"]) == (0, str(log))
    assert gaps_of(tmp_path / "r") == pytest.approx((0.01, 0.16), rel=1e-5)
    code, said, _ = said_by(capsys, *few, "--rate", 30, "--out", tmp_path / "other")
    assert (code, json.loads(said)["rate"]) == (0, 30)
    log.unlink()
    code, _, err = said_by(capsys, *few, "--out", tmp_path / "none")
    assert (code, f"p.toml, line 2: arrivals names {log}, which does not exist" in err) == (2, True)


def test_arrivals_can_be_swept(log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`--arrivals poisson,FILE` compares the same load at random and in the pattern of the log."""
    axes = ("--arrivals", f"poisson,{log}", "--rate", 25)
    assert exit_code("simulate", *SMALL, *axes, "--out", tmp_path / "s") == 0
    capsys.readouterr()
    _, shown, _ = said_by(capsys, "report", tmp_path / "s")
    assert "sweep of arrivals poisson, day" in " ".join(shown.split())
    assert [line.split()[0] for line in shown.splitlines() if line.startswith(("poisson", "day"))] == ["poisson", "day"]
    cells = [json.loads(path.read_text()) for path in sorted((tmp_path / "s").glob("*/run.json"))]
    assert sorted(cell["config"]["rate"] for cell in cells) == [25, 25]
    assert sum("arrivals" in cell and cell["arrivals"] is not None for cell in cells) == 1


def test_a_sweep_of_a_changed_log_is_not_resumed(log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A sweep over logs at their own rates is not resumed after one changed, and it is said which, not another rate."""
    (tmp_path / "other.csv").write_text("1\n2.5\n3\n")
    axes = ("--arrivals", f"{log},{tmp_path / 'other.csv'}")
    assert exit_code("simulate", *SMALL, *axes, "--out", tmp_path / "s") == 0
    log.write_text("1\n2.5\n4\n")
    capsys.readouterr()
    code, said, err = said_by(capsys, "simulate", "--resume", "--out", tmp_path / "s")
    assert (code, said, f"the arrivals' file ({log}) has changed since" in err) == (2, "", True)


def test_a_sweep_gives_a_log_and_poisson_one_load(
    log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Poisson arrivals at the usual utilisation are not swept beside a log at its own rate; logs alone are."""
    code, _, err = said_by(capsys, "simulate", *SMALL, "--arrivals", f"poisson,{log}", "--out", tmp_path / "s")
    sentence = "day.csv has a rate of its own, and poisson arrivals have none: give both one load with --rate or --util"
    assert (code, sentence in err, (tmp_path / "s").exists()) == (2, True, False)
    (tmp_path / "other.csv").write_text("1\n2.5\n3\n")
    logs = f"{log},{tmp_path / 'other.csv'}"
    assert exit_code("simulate", *SMALL, "--arrivals", logs, "--out", tmp_path / "s") == 0


def test_a_sweep_of_loads_says_whose_arrivals_they_have(
    log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A sweep over --utilisation names the log above its table, though there is no one rate to name."""
    axes = ("--arrivals", log, "--utilisation", "0.2,0.3")
    assert exit_code("simulate", *SMALL, *axes, "--out", tmp_path / "s") == 0
    capsys.readouterr()
    _, shown, _ = said_by(capsys, "report", tmp_path / "s")
    assert "3 runs x 60 requests, arrivals in the pattern of day.csv, stragglers" in " ".join(shown.split())


def test_runs_with_another_load_than_the_log_are_noted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """If the replayed parts have another mean load than the log, as with an outlier a year later, a note says so."""
    np.savetxt(tmp_path / "year.csv", [*np.arange(500) / 10, 3e7], header="time", comments="")
    found = simulated(capsys, tmp_path / "r", "--arrivals", tmp_path / "year.csv")
    (note,) = [text for text in found["warnings"] if "year.csv" in text]  # type: ignore[attr-defined]
    assert note == (
        "the requests of a run came within 5.9 s, not within 3,540,000 s as at the mean load of year.csv: raise "
        "--requests, so that a run covers more of it."
    )


def test_runs_that_met_hardly_a_burst_are_noted(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """If the runs are over before the first burst, a note says that they were less busy than was asked for."""
    rare = ("--arrivals", "bursts", "--burst-share", 0.01, "--burst-factor", 400, "--burst-for", 50, "--rate", 20)
    found = simulated(capsys, tmp_path / "r", *rare)
    (note,) = [text for text in found["warnings"] if "mean load" in text]  # type: ignore[attr-defined]
    assert note.startswith("the requests of a run came within ")
    assert note.endswith(
        " s, not within 3 s as at the mean load: raise --requests, so that runs have their share of bursts."
    )


def test_a_recommendation_is_for_the_load_of_the_log(
    log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """`recommend --arrivals FILE` asks about the log's own rate, and says whose pattern it was."""
    few = ("--requests", 300, "--runs", 3, "--compute-time", 0.001, "--scheme", "hedge-idle", "--accuracy-loss", 1)
    code, said, _ = said_by(capsys, "recommend", "--arrivals", log, *few, "--out", tmp_path / "a")
    assert code == 0
    assert "25.15 requests/s in the pattern of day.csv (utilisation" in " ".join(said.split())


@pytest.mark.parametrize("verb", ["recommend", "crossover"])
def test_kept_simulations_of_another_log_are_not_mixed_in(
    log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, verb: str
) -> None:
    """A study repeated with the same --out after its log changed, at the same loads, is refused in one sentence.

    Its answer tells by a digest of which log it was.
    """
    few = ("--requests", 140, "--runs", 3, "--compute-time", 0.001, "--scheme", "none", "--scheme", "hedge-idle")
    load = ("--rate", 25) if verb == "recommend" else ("--over", "utilisation")
    command = (verb, "--arrivals", log, *few, *load, "--out", tmp_path / "a")
    assert exit_code(*command, "--format", "json") in (0, 3)
    answer = json.loads(capsys.readouterr().out)
    facts = answer.get("asked", answer)["arrivals"]
    assert facts["sha256"] == hashlib.sha256(log.read_bytes()).hexdigest()
    log.write_text("1\n2.5\n3\n")
    code, said, err = said_by(capsys, *command)
    assert (code, said, f"the arrivals' file ({log}) has changed since" in err) == (2, "", True)


def test_whole_seconds_are_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A log in whole seconds is replayed with a note that requests were placed within their seconds."""
    (tmp_path / "web.txt").write_text("\n".join(str(second // 20) for second in range(400)))
    found = simulated(capsys, tmp_path / "r", "--arrivals", tmp_path / "web.txt")
    (note,) = [text for text in found["warnings"] if "web.txt" in text]  # type: ignore[attr-defined]
    assert note.startswith("web.txt has whole seconds only, so requests were placed at random within their seconds")


def test_runs_with_other_logs_differ_in_their_arrivals(
    log: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A comparison of two runs names the arrivals if the logs have other contents, and not if only the name differs."""
    (tmp_path / "same.csv").write_bytes(log.read_bytes())
    (tmp_path / "other.csv").write_text("1\n2.5\n3\n")
    for name in ("day", "same", "other"):
        simulated(capsys, tmp_path / name, "--arrivals", tmp_path / f"{name}.csv", "--rate", 25)
    for name, differs in (("same", False), ("other", True)):
        _, shown, _ = said_by(capsys, "report", tmp_path / "day", tmp_path / name)
        assert ("the runs differ in: arrivals" in shown) is differs


BURSTS = ("--arrivals", "bursts", "--rate", 25)


def test_bursts_and_what_was_given_of_them_are_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A report names the parameters of bursts that were given, as for stragglers; run.json has all of them."""
    found = simulated(capsys, tmp_path / "r", *BURSTS, "--burst-factor", 9)
    facts = json.loads((tmp_path / "r" / "run.json").read_text())["arrivals"]
    assert facts == found["arrivals"] == {"parameters": {"burst_factor": 9.0, "burst_share": 0.2, "burst_for": 2.0}}
    _, shown, _ = said_by(capsys, "report", tmp_path / "r")
    assert "at 25/s in bursts (burst-factor 9), utilisation" in " ".join(shown.split())


def test_bursts_of_a_profile_give_way_to_other_arrivals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A profile describes bursts; arrivals that are typed replace them together with their parameters."""
    profile = tmp_path / "p.toml"
    profile.write_text("arrivals = 'bursts'\nburst-for = 0.5\nburst-share = 0.1\nrate = 25\n")
    found = simulated(capsys, tmp_path / "r", "--profile", profile)
    assert found["arrivals"] == {"parameters": {"burst_factor": 5.0, "burst_share": 0.1, "burst_for": 0.5}}
    other = simulated(capsys, tmp_path / "other", "--profile", profile, "--arrivals", "poisson")
    assert (other["arrivals"], other["config"]["burst_for"]) == (None, None)  # type: ignore[index]


@pytest.mark.parametrize(
    ("field", "swept", "typed", "whose"),
    [
        ("arrivals", "arrivals = 'bursts'\nburst-factor = [2, 4]", "poisson", "bursts"),
        ("stragglers", "stragglers = 'markov'\npersistence = [0, 1]", "none", "markov"),
    ],
)
def test_an_axis_of_a_profile_goes_with_what_has_it(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, field: str, swept: str, typed: str, whose: str
) -> None:
    """Typed arrivals or stragglers replace those of a profile with their axes, and make no rows of the same figures.

    Beside others that do have the option, such a row is refused, as it is if the axis is typed.
    """
    profile = tmp_path / "p.toml"
    profile.write_text(f"{swept}\nrate = 25\n")
    command = ("simulate", *SMALL, "--profile", profile, f"--{field}")
    code, said, _ = said_by(capsys, *command, typed, "--out", tmp_path / "r")
    assert (code, "sweep" in said, (tmp_path / "r" / "run.json").exists()) == (0, False, True)
    code, _, err = said_by(capsys, *command, f"{typed},{whose}", "--out", tmp_path / "s")
    assert (code, f"has no effect with --{field} {typed}, only with " in err) == (2, True)
    assert not (tmp_path / "s").exists()


def test_bursts_that_are_the_same_make_no_difference(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A comparison names a factor that differs, but not one that is typed in one run and the default of the other."""
    for name, options in (("usual", ()), ("typed", ("--burst-factor", 5)), ("other", ("--burst-factor", 6))):
        simulated(capsys, tmp_path / name, *BURSTS, *options)
    for name, differs in (("typed", False), ("other", True)):
        _, shown, _ = said_by(capsys, "report", tmp_path / "usual", tmp_path / name)
        assert ("the runs differ" in shown, "the runs differ in: burst-factor 5 / 6" in shown) == (differs, differs)


def test_bursts_can_be_swept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A sweep over arrivals gives the options of bursts to those alone; one over a factor has a row for each."""
    both = ("--arrivals", "poisson,bursts", "--rate", 25, "--burst-for", 3)
    assert exit_code("simulate", *SMALL, *both, "--out", tmp_path / "both") == 0
    cells = {path.parent.name: json.loads(path.read_text()) for path in (tmp_path / "both").glob("*/run.json")}
    assert {name: cell["config"]["burst_for"] for name, cell in cells.items()} == {
        "arrivals=poisson": None,
        "arrivals=bursts": 3.0,
    }
    assert "sweep of arrivals poisson, bursts (burst-for 3), 2 cells" in " ".join(capsys.readouterr().out.split())
    several = ("--arrivals", "bursts", "--rate", 25, "--burst-factor", "1,4")
    code, said, _ = said_by(capsys, "simulate", *SMALL, *several, "--out", tmp_path / "several")
    assert (code, [line.split()[0] for line in said.splitlines() if line[:2] in ("1 ", "4 ")]) == (0, ["1", "4"])


def test_studies_of_bursts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A crossover is searched over a parameter of bursts; a recommendation's command has them, for real workers."""
    few = ("--requests", 140, "--runs", 3, "--compute-time", 0.001, "--scheme", "none", "--scheme", "hedge-idle")
    over = ("--over", "burst-factor", "--from", 1, "--to", 6, "--steps", 2, "--tolerance", 4, "--burst-share", 0.3)
    code, said, _ = said_by(capsys, "crossover", *few, *BURSTS, *over, "--out", tmp_path / "c")
    assert (code, "arrivals in bursts (burst-share 0.3), 2 values x" in " ".join(said.split())) == (0, True)
    wish = ("--burst-factor", 3, "--accuracy-loss", 1, "--format", "json", "--out", tmp_path / "a")
    code, said, _ = said_by(capsys, "recommend", *few, *BURSTS, *wish)
    answer = json.loads(said)
    assert (code, answer["asked"]["arrivals"]["parameters"]["burst_factor"]) == (0, 3.0)
    assert "--arrivals bursts --burst-factor 3" in answer["command"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--burst-factor", 3), "--burst-factor has no effect with --arrivals poisson, only with bursts"),
        (
            ("--arrivals", "poisson,bursts", "--burst-share", "0.1,0.2"),
            "--burst-share has no effect with --arrivals poisson, only with bursts",
        ),
        (
            ("--arrivals", "bursts", "--burst-share", 2),
            "--burst-share must be a share of the time from 1e-06 to below 1",
        ),
        (
            ("--arrivals", "bursts", "--rate", 1, "--burst-for", 0.1),
            "a burst of 0.1 s has less than one request at 2.78",
        ),
    ],
)
def test_bursts_that_make_no_sense(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, options: tuple[object, ...], sentence: str
) -> None:
    """An option of bursts without bursts, or out of its range, ends a command before anything is written."""
    code, _, err = said_by(capsys, "simulate", *SMALL, *options, "--out", tmp_path / "r")
    assert (code, sentence in err, (tmp_path / "r").exists()) == (2, True, False)


def test_a_run_that_was_begun_with_other_bursts_is_not_resumed(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """A resumed run has the bursts with which it was begun, and refuses others."""
    begun = simulated(capsys, tmp_path / "r", *BURSTS, "--burst-for", 3)
    code, said, err = said_by(capsys, "simulate", "--resume", "--out", tmp_path / "r", "--burst-for", 4)
    assert (code, said, "--burst-for" in err) == (2, "", True)
    assert exit_code("simulate", "--resume", "--runs", 4, "--out", tmp_path / "r") == 0
    capsys.readouterr()
    _, said, _ = said_by(capsys, "report", tmp_path / "r", "--format", "json")
    assert json.loads(said)["arrivals"] == begun["arrivals"]


def test_real_workers_serve_bursts(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """`run` sends requests to real workers at the times that `simulate` has for the same bursts."""
    few = ("--runs", 1, "--requests", 40, "--workers", 2, "--arrivals", "bursts", "--rate", 60, "--burst-factor", 20)
    quick = ("--scheme", "none", "--stragglers", "none", "--warmup", 0)
    assert exit_code("run", *few, *quick, "--out", tmp_path / "live") in (0, 4)
    assert exit_code("simulate", *few, *quick, "--compute-time", 0.001, "--out", tmp_path / "simulated") == 0
    live, simulated = (
        [float(row["arrival"]) for row in csv.DictReader((tmp_path / name / "requests.csv").read_text().splitlines())]
        for name in ("live", "simulated")
    )
    assert sorted(live) == pytest.approx(sorted(simulated), abs=1e-6)


@pytest.mark.parametrize(
    ("verb", "arrivals", "code", "sentence"),
    [
        ("simulate", "gone.csv", 1, "gone.csv cannot be read (No such file or directory)"),
        ("simulate", "closed", 2, "there is no closed loop, in which a late answer delays the next request"),
        ("simulate", "poison", 2, "there are no arrivals called 'poison'; did you mean 'poisson'?"),
        ("run", "./words.txt", 1, "words.txt is 'now', but must be a time: seconds, below 1e+11, or a date such as"),
        ("record", "./words.txt", 2, "--arrivals must be poisson or constant, not './words.txt'"),
    ],
)
def test_what_is_no_log_is_one_sentence(
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verb: str,
    arrivals: str,
    code: int,
    sentence: str,
) -> None:
    """Arrivals that are neither a name nor a log end a command before anything is started, in one sentence."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("now\nthen\n")
    ended, _, err = said_by(capsys, verb, "--arrivals", arrivals, "--out", "r")
    assert (ended, sentence in err, err.count("\n")) == (code, True, 1)
    assert not (tmp_path / "r").exists()
