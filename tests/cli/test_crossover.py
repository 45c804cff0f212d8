"""`crossover` as a user meets it: on real simulations, small ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from collagebench.cli import main


def asked(capsys: pytest.CaptureFixture[str], *arguments: Any) -> tuple[int, str, str]:
    """Ask in this process; return exit code, standard output and standard error."""
    with pytest.raises(SystemExit) as end:
        main(["crossover", *map(str, arguments)])
    said = capsys.readouterr()
    assert "Traceback" not in said.err
    return int(end.value.code or 0), said.out, said.err


SMALL = ("--runs", 6, "--requests", 200, "--compute-time", 0.001, "--stragglers", "shifted-exponential")


def test_replication_gives_way_to_no_redundancy_as_the_load_rises(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Two copies halve the mean at a low load and drown the fleet at a high one; between is the crossing."""
    question = ("--scheme", "none,replication", "--metric", "mean", "--from", 0.05, "--to", 0.95, "--tolerance", 0.1)
    code, out, _ = asked(capsys, *SMALL, *question, "--format", "json", "--out", tmp_path / "c")
    answer = json.loads(out)
    (pair,) = answer["pairs"]
    (one,) = pair["crossings"]
    assert code == 0
    assert (one["better_below"], one["better_above"]) == ("replication", "none")
    low, high = one["ci95"]
    assert 0.1 < low <= one["at"] <= high < 0.7
    assert answer["complete"]
    assert json.loads((tmp_path / "c" / "crossover.json").read_text()) == answer
    assert pair["said"].replace("<", "&lt;") in (tmp_path / "c" / "crossover.html").read_text()

    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("*/requests.csv")}
    _, table, _ = asked(capsys, *SMALL, *question, "--out", tmp_path / "c")
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "c").glob("*/requests.csv")}
    assert max(map(len, table.splitlines())) <= 80
    assert "replication is better up to utilisation" in " ".join(table.split())


def test_where_there_is_none_it_says_who_is_better(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """At low loads replication always wins."""
    question = ("--scheme", "none,replication", "--metric", "mean", "--from", 0.05, "--to", 0.15, "--steps", 2)
    _, out, _ = asked(capsys, *SMALL, *question, "--out", tmp_path / "c")
    assert "replication is better than none from utilisation 0.05 to 0.15: no crossover" in " ".join(out.split())


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--scheme", "none"], "a crossover is between two schemes: name another with --scheme"),
        (["--over", "utilization"], "--over names an option that is a number; did you mean 'utilisation'?"),
        (["--over", "dataset"], "--over names an option that is a number"),
        (["--over", "persistence"], "say between which values of --persistence to look, with --from and --to"),
        (["--from", 0.9, "--to", 0.1], "--from must be below --to"),
        (["--metric", "p98"], "--metric must be one of p50, p90, p95, p99, mean, not 'p98'"),
        (["--utilisation", 0.5], "--utilisation is what --from and --to range over: leave it out"),
        (["--tolerance", 5], "--tolerance must be above 0 and below the range, not 5"),
        (["--runs", 2], "a crossover takes 3 runs or more"),
        (["--steps", 1], "--steps must be 2 or more, not 1"),
        (["--from", -1], "--utilisation must be a number above 0, not -1.0"),
    ],
)
def test_a_question_that_makes_no_sense_is_one_sentence(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, arguments: list[Any], said: str
) -> None:
    """Exit code 2, the option by name, and nothing written."""
    code, _, err = asked(capsys, *arguments, "--out", tmp_path / "c")
    assert code == 2
    assert said in " ".join(err.split())
    assert not (tmp_path / "c").exists()
