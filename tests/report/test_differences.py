"""The line below a comparison of runs that says in which settings the runs differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from synthetic_run import HEADER, lognormal, make_run
from test_html import Reader, page
from test_table import printed

from collagebench.config import Config
from collagebench.report.differences import differing
from collagebench.report.markdown import markdown
from collagebench.report.summary import summarise
from collagebench.results.reader import Run, load

SINGLE = {"name": "one", "role": "single", "grid": None, "sha256": "a" * 64}


def made(directory: Path, model: dict[str, Any] = SINGLE, delay: str = "p95", **changes: Any) -> Run:
    """Return a run with changes to its config and this hedge delay."""
    hedge = {"scheme": "hedge", "variant": "hedge", "options": {}, "settings": {"hedge_delay": delay}}
    config = {**HEADER["config"], "runs": 4, "requests": 100, **changes}
    header = {"config": config, "models": [model], "schemes": [hedge], "service": None}
    return load(make_run(directory, {"hedge": lognormal(1, 4, 100)}, header=header))


def test_what_can_matter_is_said_of_every_run(tmp_path: Path) -> None:
    """Every format lists differing options with their values, a scheme's options under its name, and models by role."""
    one = made(tmp_path / "one")
    other = made(tmp_path / "other", {**SINGLE, "name": "b", "sha256": "b" * 64}, "p90", workers=20, deadline=5.0)
    found = summarise([one, other])
    assert {each["option"]: each["values"] for each in found["differences"]} == {
        "workers": [10, 20],
        "deadline": [Config().deadline, 5.0],
        "model of single": ["a" * 64, "b" * 64],
        "hedge hedge-delay": ["p95", "p90"],
    }
    said = "he runs differ in: workers 10 / 20, deadline 10 / 5, model of single, hedge hedge-delay p95 / p90"
    assert f"t{said}" in " ".join(printed(one.directory, other.directory).split())
    assert f"T{said}." in " ".join(Reader(page(found, [one, other], ["one", "other"])).texts)
    assert f"T{said}." in markdown(found)


def own(directory: Path, code: str | None, variant: str = "Quiet") -> Run:
    """Return a run of a scheme of one's own, whose files have that digest."""
    quiet = {"scheme": "quiet:Quiet", "variant": variant, "options": {}, "settings": {}}
    header = {"schemes": [quiet if code is None else {**quiet, "code": code}]}
    return load(make_run(directory, {variant: lognormal(1, 4, 100)}, header=header))


def test_a_scheme_that_was_changed_between_runs_is_named(tmp_path: Path) -> None:
    """By its variant, not by its digests; a run of a version that kept none, or without the variant, is no other."""
    one, other = own(tmp_path / "one", "a" * 64), own(tmp_path / "other", "b" * 64)
    found = summarise([one, other, own(tmp_path / "unknown", None)])["differences"]
    assert found == [{"option": "code of Quiet", "values": ["a" * 64, "b" * 64, None]}]
    assert "the runs differ in: code of Quiet\n" in printed(one.directory, other.directory)
    alike = own(tmp_path / "alike", "a" * 64), own(tmp_path / "else", "c" * 64, "Loud")
    assert summarise([one, *alike])["differences"] == []


def test_runs_that_are_alike_have_no_such_line(tmp_path: Path) -> None:
    """What cannot matter is not listed: names of models, an SLO, and a default that was given explicitly."""
    one = made(tmp_path / "one")
    other = made(tmp_path / "other", {**SINGLE, "name": "b"}, slo_ms=50.0, accuracy=3)
    told = made(tmp_path / "told", deadline=Config().deadline)
    assert summarise([one, other, told])["differences"] == []
    assert "differ in" not in printed(one.directory, other.directory)


def test_the_rounding_of_a_load_is_no_difference(tmp_path: Path) -> None:
    """Two utilisations that differ only by rounding are not listed as a difference."""
    runs = [
        load(
            make_run(
                tmp_path / str(number),
                {"none": lognormal(1, 4, 100)},
                header={"service": {"mean_s": 0.01, "utilisation": used, "rate": 350.0}},
            )
        )
        for number, used in enumerate((0.35, 0.3499999999999999))
    ]
    assert summarise(runs)["differences"] == []


def test_of_many_differences_some_are_said(tmp_path: Path) -> None:
    """Six differences are listed, then the number of further ones; a long value is left out."""
    changes = {"workers": 30, "rate": 9.0, "time_scale": 0.3, "deadline": 1.0, "seed": 3, "persistence": 1.5}
    one, other = made(tmp_path / "one"), made(tmp_path / "other", **changes, block=7, dataset="long " * 9)
    found = summarise([one, other])["differences"]
    assert len(found) == 8
    assert differing(found).startswith("the runs differ in: workers 10 / 30, dataset, rate - / 9, ")
    assert differing(found).endswith(", and 2 more")
    assert differing([]) == ""


@pytest.mark.parametrize(("length", "shown"), [(20, True), (21, False)])
def test_values_are_shown_where_they_are_short(length: int, shown: bool) -> None:
    """Values are shown if they have at most 40 characters together; otherwise only the option is named."""
    values = ["a" * 20, "b" * length]
    said = differing([{"option": "trace", "values": values}])
    assert said == "the runs differ in: trace" + shown * f" {values[0]} / {values[1]}"
