"""Notes that differ only in their numbers and in the scheme or cell that they are about are merged into one."""

from __future__ import annotations

from pathlib import Path

import pytest
from swept import swept
from synthetic_run import lognormal, make_run

from collagebench.report.alike import across, gathered, of_cells, of_schemes
from collagebench.report.markdown import markdown
from collagebench.report.summary import summarise
from collagebench.report.sweep import summarise_sweep
from collagebench.results.reader import load

NAMES = ["none", "parity k=2", "parity k=4"]
FAILED = "of 300 requests failed and count as infinitely slow; the reason column of requests.csv says why."


def test_texts_that_differ_in_numbers_alone_are_one() -> None:
    """Texts that differ only in numbers become one, with the range of each number, in order of first occurrence."""
    found = gathered(
        [("a", "busy 95 % of 1,000 s, by 1.5x."), ("b", "other"), ("c", "busy 100 % of 1,000 s, by 0.25x.")]
    )
    assert found == [(["a", "c"], "busy 95 to 100 % of 1,000 s, by 0.25 to 1.5x."), (["b"], "other")]


def test_a_comma_behind_a_number_is_none_of_it() -> None:
    """A comma belongs to a number only if it separates thousands."""
    found = gathered([("a", "(none 90, hedge 1,200)"), ("b", "(none 120, hedge 900)")])
    assert found == [(["a", "b"], "(none 90 to 120, hedge 900 to 1,200)")]


def test_what_is_about_nobody_is_left_as_it_is() -> None:
    """Two notes about the whole run are not merged, although they differ only in a number."""
    assert gathered([("", "h was silent for 3 s"), ("", "h was silent for 4 s")]) == [
        ([""], "h was silent for 3 s"),
        ([""], "h was silent for 4 s"),
    ]


def test_a_number_that_is_a_name_makes_a_difference() -> None:
    """Texts are not merged if the number that differs is that of a worker, run, model, setting, version or address."""
    for text in ("worker {} died", "lost in run {}", "see collage-{}x3", "at k={} it is", "by v1.{}", "10.{}.0.2 is"):
        assert len(gathered([("a", text.format(3)), ("b", text.format(4))])) == 2


def test_several_schemes_are_named_together() -> None:
    """A note that several schemes share names each of them in full; a note of one scheme or none stays as it is."""
    said = ["the disk was slow", "none: 3 failed", "parity k=2: 5 failed", "parity k=4: no run", "none: too late"]
    assert of_schemes(said, NAMES) == [
        "the disk was slow",
        "each of none and parity k=2: 3 to 5 failed",
        "parity k=4: no run",
        "none: too late",
    ]


def test_what_several_experiments_say_is_said_once_and_of_each_scheme() -> None:
    """A note that several cells share is given once, with its cells, and notes of different schemes are not merged."""
    said = [("1", "none: 3 failed"), ("1", "few runs: 2"), ("2", "none: 5 failed"), ("2", "few runs: 2")]
    assert across([*said, ("2", "parity k=2: 1 failed")], NAMES) == [
        (["1", "2"], "none: 3 to 5 failed"),
        (["1", "2"], "few runs: 2"),
        (["2"], "parity k=2: 1 failed"),
    ]


def failing(count: int) -> list[list[float | None]]:
    """Return one run of 300 requests, `count` of which fail."""
    return [[*lognormal(1, 1, 300 - count)[0], *[None] * count]]


def test_a_report_says_it_once(tmp_path: Path) -> None:
    """The Markdown merges a note of two schemes into one; the JSON object keeps one for each scheme."""
    found = summarise([load(make_run(tmp_path / "run", {"none": failing(3), "hedge": failing(2)}))])
    assert sum(FAILED in text for text in found["warnings"]) == 2
    assert f"- note: each of none and hedge: 2 to 3 {FAILED}" in markdown(found)


def test_a_cell_that_says_it_twice_is_one_cell() -> None:
    """Two notes of one cell and scheme, say about two hosts, are merged, and their cell is named once."""
    said = [("a", "none: host x was silent for 3 s"), ("a", "none: host x was silent for 4 s")]
    assert of_cells(said, NAMES) == [(["a"], "none: host x was silent for 3 to 4 s")]


def test_schemes_that_say_it_in_the_same_cells_have_one_range() -> None:
    """A note of two schemes in the same cells gives the least and the largest number over both, and each name once."""
    said = [("a", "none: 50 failed"), ("a", "parity k=2: 2 failed"), ("b", "none: 209 failed"), ("b", "few runs: 2")]
    assert of_cells([*said, ("b", "parity k=2: 48 failed"), ("a", "few runs: 3")], NAMES) == [
        (["a", "b"], "each of none and parity k=2: 2 to 209 failed"),
        (["b", "a"], "few runs: 2 to 3"),
    ]


@pytest.mark.parametrize(
    ("fail", "said"),
    [
        ({1: 4, 2: 3, 3: 5, 4: 3}, ""),
        ({1: 4, 2: 3, 3: 5}, "utilisation=0.1 to 0.3: "),
        ({1: 4, 2: 3, 4: 5}, "utilisation=0.1, 0.2, 0.4: "),
        ({1: 5, 2: 3}, "utilisation=0.1, 0.2: "),
    ],
)
def test_a_sweep_says_it_once_and_where(tmp_path: Path, fail: dict[int, int], said: str) -> None:
    """The report of a sweep gives a repeated note once, with its cells, or without any if it is about all of them."""
    loads = [0.1, 0.2, 0.3, 0.4]
    swept(tmp_path / "s", {"utilisation": loads}, {f"utilisation={load}": {"none": 0.02} for load in loads})
    for place, count in fail.items():
        _again(tmp_path / "s" / f"utilisation={loads[place - 1]}", count)
    notes = [text for text in summarise_sweep(tmp_path / "s")["warnings"] if FAILED in text]
    assert notes == [f"{said}none: 3 to {max(fail.values())} {FAILED}"]


def _again(directory: Path, count: int) -> None:
    """Rewrite a cell so that `count` of its requests fail."""
    config = load(directory).config
    for file in directory.iterdir():
        file.unlink()
    make_run(directory, {"none": failing(count)}, header={"config": {**config, "runs": 1}, "engine": "simulated"})


def test_cells_of_two_axes_are_named_along_one(tmp_path: Path) -> None:
    """In a sweep of two axes a note lists its cells along one axis, for each value of the other."""
    axes = {"stragglers": ["pareto", "fixed"], "utilisation": [0.1, 0.2, 0.3]}
    names = [f"stragglers={kind},utilisation={load}" for kind in axes["stragglers"] for load in axes["utilisation"]]
    swept(tmp_path / "s", axes, {name: {"none": 0.02} for name in names})
    for name in (*names[:3], names[4]):
        _again(tmp_path / "s" / name, 3)
    notes = [text for text in summarise_sweep(tmp_path / "s")["warnings"] if FAILED in text]
    where = "stragglers=pareto with utilisation=0.1 to 0.3; stragglers=fixed with utilisation=0.2"
    assert notes == [f"{where}: none: 3 {FAILED}"]
