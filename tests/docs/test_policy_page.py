"""The page about collage policies: its tables and curves show what was measured, and its options exist."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from real_processes import ROOT

from collagebench.cli.options import SECTIONS
from collagebench.config import Config
from collagebench.engine.cells import Progress
from collagebench.engine.experiment import simulate
from collagebench.paths import profiles_dir
from collagebench.read_profile import read_profile
from collagebench.report.summary import summarise
from collagebench.results.reader import load

DOCS = Path(ROOT) / "docs"
if not DOCS.exists():
    pytest.skip("an installed package carries no docs", allow_module_level=True)
sys.path.insert(0, str(DOCS))
from policies import BEST, CURVES, DATA, JUDGED, SCENARIOS, SHOWN, curves, loads_of, page, read  # noqa: E402

PAGE = (DOCS / "collage-policy.md").read_text(encoding="utf-8")


def test_the_tables_and_the_curves_are_those_of_the_measurements() -> None:
    """Generating the page's tables and the picture again gives the committed files."""
    assert page(PAGE) == PAGE, "run: python docs/policies.py"
    assert (DATA / "curves.svg").read_text(encoding="utf-8") == curves(), "run: python docs/policies.py"


def test_the_measurements_are_of_the_profiles() -> None:
    """In every scenario and at every load, the profile's variants and the bound were measured, and nothing else."""
    for name, profile in (("result", "collage-result"), ("policies", "collage-policies")):
        cells = read(name)
        variants = {scheme.variant for scheme in read_profile(profiles_dir() / f"{profile}.toml").values["schemes"]}
        for scenario in {where for where, _, _ in cells}:
            for at in loads_of(cells, scenario):
                measured = {scheme for where, scheme, load in cells if (where, load) == (scenario, at)}
                assert measured - {BEST} == variants | {"bound"}
    assert {where for where, _, _ in read("result")} == set(SCENARIOS)


@pytest.mark.parametrize("scheme", ["auto all", "two all"])
def test_the_measurements_are_those_of_this_version(tmp_path: Path, scheme: str) -> None:
    """A cell of a policy that uses every answer, simulated again, has the same p99 to the last digit.

    The latencies of such a policy do not depend on what the collages answer, so no images need to be classified.
    """
    values = read_profile(profiles_dir() / "collage-result.toml").values
    chosen = next(one for one in values["schemes"] if one.variant == scheme)
    given = {name: value for name, value in values.items() if name != "schemes"}
    given |= {"utilisation": 0.1, "compute_time": 0.002, "accuracy": 0}
    simulate(Config(schemes=(chosen,), **given), tmp_path / "run", Progress())
    (found,) = summarise([load(tmp_path / "run")])["schemes"]
    assert f"{found['latency_s']['p99']:.5f}" == read("result")["iid", scheme, "0.1"]["p99_s"]


def test_what_is_shown_was_measured() -> None:
    """Every variant that the tables, the target and the curves show was measured."""
    names = {scheme for _, scheme, _ in read("result")}
    assert {*SHOWN, *JUDGED, *CURVES} <= names


def test_the_picture_speaks_for_itself() -> None:
    """The picture is below 20 kB, describes itself in words, and has a light and a dark style."""
    svg = (DATA / "curves.svg").read_text(encoding="utf-8")
    assert len(svg.encode()) < 20_000
    names = {"svg": "http://www.w3.org/2000/svg"}
    root = ET.fromstring(svg)
    assert "p99" in root.findtext("svg:title", "", names)
    description = root.findtext("svg:desc", "", names)
    assert all(told in description for told in SCENARIOS.values())
    assert "prefers-color-scheme:dark" in root.findtext("svg:style", "", names)


def test_options_and_profiles_that_are_named_exist() -> None:
    """Every option on the page belongs to the command line or to a benchmark, and every profile exists."""
    known = {
        flag.lstrip("-")
        for options in SECTIONS.values()
        for add in options
        for flag in add(lambda: None).__click_params__[0].opts
    }
    assert set(re.findall(r"--([a-z][a-z-]+)", PAGE)) - known <= {"csv"}
    for profile in re.findall(r"--profile ([a-z-]+)", PAGE):
        assert (profiles_dir() / f"{profile}.toml").exists()


def test_the_summary_is_of_the_tables() -> None:
    """The summary's ranges are those of the tables' rows of `auto` up to half load, on both fleets."""
    summary = PAGE.split("## In short")[1].split("\n- ")[0]
    rows = re.findall(r"^\|.*x \|.*$", summary, re.MULTILINE)
    said = [[float(each) for each in re.findall(r"-?\d\.\d\d", row)] for row in rows]
    expected = []
    for fleet in ("iid", "slow single"):
        for row in ("**collage `auto`**", "**`auto`, two workers**"):
            ranges = []
            for table in (f"<!-- table: {fleet} -->", f"<!-- table: accuracy, {fleet} -->"):
                (line,) = [one for one in PAGE.split(table)[1].split("<!-- end")[0].splitlines() if f"| {row} |" in one]
                shown = [float(cell) for cell in line.split("|")[2:7]]  # loads of 0.1 to 0.5
                ranges += [min(shown), max(shown)]
            expected.append(ranges)
    assert said == expected
