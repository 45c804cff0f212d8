"""The page about a run's records: it names every column, and its example gives the figures of the report."""

from __future__ import annotations

import re
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from real_processes import ROOT

from collagebench.config import Config, SchemeConfig
from collagebench.engine.cells import Progress
from collagebench.engine.experiment import simulate
from collagebench.report.summary import summarise
from collagebench.results.checks import OUTCOMES
from collagebench.results.reader import load
from collagebench.results.records import CellRecord, RequestRecord, TaskRecord
from collagebench.terms import SOURCES

FILE = Path(ROOT) / "docs" / "records.md"
if not FILE.exists():
    pytest.skip("an installed package carries no docs", allow_module_level=True)
PAGE = FILE.read_text(encoding="utf-8")


def explained(text: str) -> list[str]:
    """Return the names in the first column of a text's tables, in order."""
    rows = re.findall(r"^\| (`.+?`) \|", text, re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(.+?)`", row)]


@pytest.mark.parametrize(
    ("file", "kind", "also"),
    [("requests", RequestRecord, ()), ("tasks", TaskRecord, OUTCOMES), ("cells", CellRecord, ())],
)
def test_every_column_is_explained(file: str, kind: type[Any], also: tuple[str, ...]) -> None:
    """Each table of the page lists its file's columns in order, and nothing else but the outcomes of tasks."""
    section = PAGE.partition(f"## {file}.csv")[2].partition("\n## ")[0]
    assert explained(section) == [*(field.name for field in fields(kind)), *also]


def test_every_source_is_named() -> None:
    """The row of `source` lists every source that an answer can have."""
    (row,) = re.findall(r"^\| `source` \| (.+) \|$", PAGE, re.MULTILINE)
    assert re.findall(r"`(\w+)`", row) == list(SOURCES)


def test_the_example_gives_the_figures_of_the_report(tmp_path: Path) -> None:
    """The page's pandas example gives the report's p99s and accuracies, also for a run with failed requests."""
    pandas = pytest.importorskip("pandas", reason="needs the test extra")
    schemes = tuple(SchemeConfig(name, name) for name in ("none", "hedge", "collage"))
    erasure = {"stragglers": "erasure", "drop_share": 0.002, "deadline": 1.0, "time_scale": 1.0}
    config = Config(schemes=schemes, runs=2, requests=600, rate=50.0, compute_time=0.002, **erasure)  # type: ignore[arg-type]
    simulate(config, tmp_path / "run", Progress())
    (example,) = re.findall(r"^```python\n(.+?)^```", PAGE, re.MULTILINE | re.DOTALL)
    found: dict[str, Any] = {"print": lambda table: found.update(table=table)}
    exec(example.replace("runs/NAME", str(tmp_path / "run")), found)
    assert isinstance(found["table"], pandas.DataFrame)
    reported = summarise([load(tmp_path / "run")])["schemes"]
    assert any(scheme["failed"] for scheme in reported)
    for scheme in reported:
        row = found["table"].loc[scheme["variant"]]
        assert row["p99"] == pytest.approx(scheme["latency_s"]["p99"], rel=1e-9)
        assert row["accuracy"] == pytest.approx(scheme["accuracy"]["overall"], rel=1e-9)
