"""The report of a sweep in every format: who is the fastest where, what is missing, what makes it INVALID."""

from __future__ import annotations

import csv
import json
import re
import shutil
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from swept import swept
from synthetic_run import HEADER, change_header, lognormal, make_run
from test_schema import PUBLISHED, strict

from collagebench.errors import UsageError
from collagebench.report import print_report
from collagebench.report.along import P99, along
from collagebench.report.expression import parse
from collagebench.report.frame import looks_in
from collagebench.report.summary import failing
from collagebench.report.sweep import _fastest, apply_gates, findings, slices, summarise_sweep
from collagebench.report.sweep_page import sweep_page
from collagebench.report.sweep_table import GOODPUT, grids
from collagebench.report.sweep_table import P99 as P99_MS

jsonschema = pytest.importorskip("jsonschema", reason="needs the test extra")

LOADS: dict[str, list[Any]] = {"utilisation": [0.2, 0.5, 0.8]}
CROSSING = {
    "utilisation=0.2": {"none": 0.02, "hedge": 0.01, "collage 3x3": 0.015},
    "utilisation=0.5": {"none": 0.02, "hedge": 0.012, "collage 3x3": 0.012},
    "utilisation=0.8": {"none": 0.02, "hedge": 0.03, "collage 3x3": 0.015},
}


@pytest.fixture(scope="module")
def crossing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sweep in which hedging is the fastest at the lowest load and the collage at the highest."""
    return swept(tmp_path_factory.mktemp("sweep") / "s", LOADS, CROSSING)


def said(capsys: pytest.CaptureFixture[str], directory: Path, form: str = "table", **options: Any) -> tuple[int, str]:
    """Report a sweep; return the exit code and what was printed."""
    code = print_report([directory], form, **options)
    return code, capsys.readouterr().out


def test_the_fastest_of_each_cell_and_what_changes(crossing: Path) -> None:
    """Each cell marks its fastest schemes, also several not told apart, and one sentence follows them."""
    found = summarise_sweep(crossing)
    assert [sorted(cell["fastest"]) for cell in found["cells"]] == [
        ["hedge"],
        ["collage 3x3", "hedge"],
        ["collage 3x3"],
    ]
    assert found["findings"] == [
        "lowest p99: hedge at utilisation 0.2; collage 3x3 or hedge (not told apart) at utilisation 0.5; "
        "collage 3x3 at utilisation 0.8"
    ]
    assert found["valid"]


def test_the_table_has_a_row_a_value_and_marks_the_best(capsys: pytest.CaptureFixture[str], crossing: Path) -> None:
    """The table shows p99 and marks the fastest, in 80 columns; --details adds interval, accuracy and work."""
    code, text = said(capsys, crossing)
    assert code == 0
    rows = [line.split() for line in text.splitlines() if line[:3] in ("0.2", "0.5", "0.8")]
    assert [[cell.endswith("*") for cell in row[1:]] for row in rows] == [
        [False, True, False],
        [False, True, True],
        [False, False, True],
    ]
    assert max(map(len, text.splitlines())) <= 80
    _, more = said(capsys, crossing, details=True)
    for title in ("p99 interval ms", "accuracy", "work"):
        assert title not in text.splitlines()
        assert title in more.splitlines()


@pytest.mark.parametrize("schemes", [1, 5, 12])
def test_any_number_of_schemes_fits_into_80_columns(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, schemes: int
) -> None:
    """Long names wrap, many columns are split into several tables, and no scheme is lost."""
    names = [f"collage grid={number} hold=0.0{number}" for number in range(schemes)]
    swept(tmp_path / "s", {"workers": [10]}, {"workers=10": dict.fromkeys(names, 0.02)})
    _, text = said(capsys, tmp_path / "s")
    assert max(map(len, text.splitlines())) <= 80
    assert sum(line.count("hold=0.0") for line in text.split("VALID")[0].splitlines()) == schemes


def test_a_word_of_a_name_is_broken_only_where_it_is_long(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Column heads wrap between words, and a word of more than 14 characters also after a hyphen."""
    names = {"hold=0.1 hedge-idle": 0.02, "parity concatenation-of-eight": 0.02, "approxifer k=2": 0.02}
    swept(tmp_path / "s", {"workers": [10]}, {"workers=10": names})
    _, text = said(capsys, tmp_path / "s")
    head = text.split("p99 ms\n")[1].split("─")[0]
    for word in ("hold=0.1", "hedge-idle", "parity", "concatenation-", "of-eight", "approxifer", "k=2"):
        assert word in head.split(), head


def test_every_slice_of_two_axes_is_shown(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """With two axes, each has a table for every value of the other; findings run along the numeric axis only."""
    axes = {"seed": [1, 2], "stragglers": ["pareto", "fixed"]}
    names = [f"seed={seed},stragglers={kind}" for seed in (1, 2) for kind in ("pareto", "fixed")]
    swept(tmp_path / "s", axes, {name: {"none": 0.02, "hedge": 0.01} for name in names})
    _, text = said(capsys, tmp_path / "s")
    titles = [line for line in text.splitlines() if line.startswith("p99 ms")]
    assert titles == [f"p99 ms, {where}" for where in ("stragglers pareto", "stragglers fixed", "seed 1", "seed 2")]
    assert summarise_sweep(tmp_path / "s")["findings"] == [
        "stragglers pareto, lowest p99: hedge from seed 1 to 2",
        "stragglers fixed, lowest p99: hedge from seed 1 to 2",
    ]


def test_stragglers_of_a_sweep_are_named_in_full(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """An axis of stragglers names all of them with their time scale and the parameters that were given to each."""
    kinds = {"fixed": {"slow_workers": 2}, "erasure": {}, "markov": {"slow_share": 0.1}, "pareto": {}, "none": {}}
    swept(tmp_path / "s", {"stragglers": [*kinds]}, {f"stragglers={kind}": {"none": 0.02} for kind in kinds})
    for kind, given in kinds.items():
        cell, scale = tmp_path / "s" / f"stragglers={kind}", 0.5 if kind == "markov" else 1.0
        facts = {"name": kind, "time_scale": scale, "parameters": {**given, "straggler_mode": "floor"}}
        change_header(cell, stragglers=facts, config={**json.loads((cell / "run.json").read_text())["config"], **given})
    _, text = said(capsys, tmp_path / "s")
    assert " ".join(text.split()).startswith(
        "simulated sweep of stragglers fixed (slow-workers 2), erasure, markov x 0.5 (slow-share 0.1), pareto, none, 5"
    )


def test_json_is_as_published(crossing: Path, tmp_path: Path) -> None:
    """The JSON of finished and unfinished sweeps holds everything that the schema requires, and nothing else."""
    swept(tmp_path / "s", LOADS, CROSSING, status="interrupted", missing=["utilisation=0.8"])
    for directory in (crossing, tmp_path / "s"):
        found = summarise_sweep(directory)
        apply_gates(found, [parse("hedge.p99 > 0.001")])
        found = json.loads(json.dumps(found, allow_nan=False))
        jsonschema.Draft202012Validator(PUBLISHED).validate(found)
        jsonschema.Draft202012Validator(strict(PUBLISHED)).validate(found)


def test_csv_is_long(capsys: pytest.CaptureFixture[str], crossing: Path) -> None:
    """The CSV has a row for each scheme of each cell, and the values of the axes come first."""
    _, text = said(capsys, crossing, "csv")
    assert text.startswith("axis_utilisation,")
    rows = list(csv.DictReader(StringIO(text)))
    assert [(row["axis_utilisation"], row["variant"]) for row in rows] == [
        (load, scheme) for load in ("0.2", "0.5", "0.8") for scheme in ("none", "hedge", "collage 3x3")
    ]
    assert float(rows[1]["latency_p99_s"]) > 0.01
    assert {row["unstable"] for row in rows} == {"false"}


def test_markdown_and_page_show_every_cell(capsys: pytest.CaptureFixture[str], crossing: Path) -> None:
    """The p99 of every scheme and cell is in the Markdown and on the page, and the page loads nothing."""
    _, text = said(capsys, crossing, "markdown")
    assert "| utilisation | none | hedge | collage 3x3 |" in text
    _, page = said(capsys, crossing, "html")
    assert page.count("<figure") == 3
    assert "http" not in page.replace("http://www.w3.org", "")
    for cell in summarise_sweep(crossing)["cells"]:
        for scheme in cell["schemes"]:
            figure = f"{scheme['latency_s']['p99'] * 1e3:.1f}"
            assert figure in text
            assert figure in page


def test_a_cell_that_is_missing_makes_it_invalid(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A sweep with a missing cell exits with 4, shows the cell as a dash, and says how to continue."""
    swept(tmp_path / "s", LOADS, CROSSING, status="interrupted", missing=["utilisation=0.5"])
    code, text = said(capsys, tmp_path / "s")
    assert code == 4
    assert "1 of 3 cells are not done: continue with --resume (utilisation=0.5)" in " ".join(text.split())
    assert [line.split()[1] for line in text.splitlines() if line.startswith("0.5")] == ["-"]


def test_a_cell_that_cannot_be_trusted_makes_it_invalid(tmp_path: Path) -> None:
    """An interrupted cell makes the sweep INVALID, and is named with the reason."""
    swept(tmp_path / "s", LOADS, CROSSING)
    change_header(tmp_path / "s" / "utilisation=0.8", status="interrupted")
    found = summarise_sweep(tmp_path / "s")
    assert not found["valid"]
    assert found["reasons"][0].startswith("utilisation=0.8: the run was interrupted")


def test_a_scheme_that_cannot_bear_a_load_is_a_finding(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A scheme that cannot sustain a cell's load is a finding, not the fastest there, and fails gates on latency."""
    directory = swept(tmp_path / "s", LOADS, CROSSING)
    found = summarise_sweep(directory)
    last = found["cells"][-1]
    assert last["schemes"][2]["unstable"] == []
    for scheme in last["schemes"][1:]:
        scheme["unstable"] = [f"{scheme['variant']}: its queue was still growing at the end"]
    assert findings(found)[1:] == [
        "hedge cannot sustain the load at utilisation 0.8",
        "collage 3x3 cannot sustain the load at utilisation 0.8",
    ]
    assert last["fastest"] == ["collage 3x3"]
    assert _fastest(last) == ["none"]
    assert apply_gates(found, [parse("hedge.p99 > 10")])
    outcomes = found["gates"]
    assert [outcome["failed"] for outcome in outcomes] == [False, False, True]
    assert "cannot sustain the load" in outcomes[2]["reason"]


def test_only_the_scheme_that_cannot_bear_a_load_is_not_valid_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """In the CSV and the JSON of a sweep, the figures of the other schemes in a cell are valid."""
    directory = swept(tmp_path / "s", LOADS, CROSSING)
    cell = directory / "utilisation=0.8"
    header = json.loads((cell / "run.json").read_text())
    shutil.rmtree(cell)
    latencies = {
        "none": [[0.02] * 300] * 4,
        "hedge": [[0.01] * 20 + [None] * 280] * 4,
        "collage 3x3": [[0.02] * 300] * 4,
    }
    make_run(cell, latencies, header={name: header[name] for name in ("config", "engine")})
    code, text = said(capsys, directory, "csv")
    assert code == 0
    last = [row for row in csv.DictReader(StringIO(text)) if row["axis_utilisation"] == "0.8"]
    assert [(row["valid"], row["unstable"]) for row in last] == [
        ("true", "false"),
        ("false", "true"),
        ("true", "false"),
    ]
    found = summarise_sweep(directory)["cells"][-1]
    assert (found["valid"], found["reasons"]) == (True, [])
    assert len(found["schemes"][1]["unstable"]) == 1
    assert said(capsys, cell, "csv")[0] == 4, "by itself, the run is INVALID"
    change_header(cell, status="interrupted")
    rows = [*csv.DictReader(StringIO(said(capsys, directory, "csv")[1]))]
    assert [row["valid"] for row in rows] == ["true"] * 6 + ["false"] * 3


def test_gates_hold_in_every_cell(capsys: pytest.CaptureFixture[str], crossing: Path) -> None:
    """A gate that fails in any cell makes the exit code 3, and the cell is named."""
    assert said(capsys, crossing, fail_if=[parse("none.p99 > 10")])[0] == 0
    code, text = said(capsys, crossing, fail_if=[parse("hedge.p99 > none.p99")])
    assert code == 3
    assert "gate FAILED: utilisation=0.8: hedge.p99 > none.p99" in " ".join(text.split())
    assert " ".join(text.split()).count("gate passed: utilisation=") == 2


def test_lost_replies_are_no_overload():
    """A scheme that only loses most of its replies is said to fail most requests, not to be overloaded."""
    lost = {"unstable": ["none: 300 of 500 requests failed"], "failed": 300, "requests": 500}
    assert failing(lost) == "fails most of its requests"
    assert failing({**lost, "unstable": [*lost["unstable"], "none: its queue grew"]}) == "cannot sustain the load"
    assert failing({"unstable": ["none: its queue grew"], "failed": 3, "requests": 500}) == "cannot sustain the load"
    assert failing({"unstable": [], "failed": 0, "requests": 500}) is None


def test_what_a_sweep_has_not_is_refused(crossing: Path) -> None:
    """Reporting a sweep together with a run, as a trace, or with a scheme that it does not have is refused."""
    with pytest.raises(UsageError, match="reported alone"):
        print_report([crossing, crossing / "utilisation=0.2"])
    with pytest.raises(UsageError, match="name one of its cells"):
        print_report([crossing], "trace")
    with pytest.raises(UsageError, match="no scheme 'equal'"):
        print_report([crossing], baseline="equal")
    with pytest.raises(UsageError, match="equal"):
        print_report([crossing], fail_if=[parse("equal.p99 > 1")])


def test_the_page_says_where_no_difference_is_shown(capsys: pytest.CaptureFixture[str], crossing: Path) -> None:
    """The page marks every ratio of p99 that chance may explain; an unstable scheme has no ratio."""
    schemes = [scheme for cell in summarise_sweep(crossing)["cells"] for scheme in cell["schemes"]]
    compared = [scheme["versus"]["p99"]["real"] for scheme in schemes if scheme["versus"] and not scheme["unstable"]]
    assert {*compared} == {True, False}
    page = said(capsys, crossing, "html")[1]
    assert "no difference shown: the ratio" in page
    assert "half the 95 %" not in page, "it has both ends"
    tables = page.count("<h3>Figures")
    assert page.count("<small>no difference shown</small>") == compared.count(False) * tables


def test_an_slo_adds_a_table_of_answers_in_time(capsys: pytest.CaptureFixture[str], crossing: Path) -> None:
    """With an SLO every format gives the right answers in time per second; without one none mentions them."""
    for form in ("table", "markdown", "html"):
        assert "right in time" not in said(capsys, crossing, form)[1]
        code, text = said(capsys, crossing, form, slo_ms=25.0)
        assert code == 0
        assert "right in time" in text
    found = summarise_sweep(crossing, slo_ms=25.0)["cells"][0]["schemes"][0]["goodput_rps"]
    assert f"{found:.1f}" in text


def test_work_is_said_to_be_that_of_the_baseline(capsys: pytest.CaptureFixture[str], crossing: Path) -> None:
    """Work and p99 are relative to the scheme of --baseline, not to the first scheme."""
    _, text = said(capsys, crossing, details=True, baseline="hedge")
    assert "worker time spent / that of hedge" in text
    assert "p99 / hedge" in said(capsys, crossing, "html", baseline="hedge")[1]


def test_a_scheme_that_cannot_bear_a_load_has_no_goodput_there(crossing: Path) -> None:
    """The table of right answers in time says that a scheme is unstable, as that of the p99 does, on the page too."""
    found = summarise_sweep(crossing, slo_ms=25.0)
    found["cells"][-1]["schemes"][1]["unstable"] = ["hedge: its queue was still growing at the end"]
    for figure in (P99_MS, GOODPUT):
        (grid,) = grids(found, found["axes"][0], figure)
        assert [row[2].strip() == "unstable" for row in grid.rows] == [False, False, True]
    assert sweep_page({**found, "gates": []}, "s").count(">unstable</td>") == 2


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a sweep of two axes, in which hedging is slower than none at the high persistence."""
    cells = {
        f"utilisation={load},persistence={lasts}": {"none": 0.02, "hedge": 0.01 if lasts < 100 else 0.03}
        for load in (0.2, 0.5)
        for lasts in (1, 100)
    }
    return swept(tmp_path_factory.mktemp("plane") / "s", {"utilisation": [0.2, 0.5], "persistence": [1, 100]}, cells)


def test_a_page_of_two_axes_begins_with_who_is_the_fastest_where(
    capsys: pytest.CaptureFixture[str], plane: Path, crossing: Path
) -> None:
    """A page of two axes begins with one table of the fastest schemes, and folds the figures along the second axis."""
    page = said(capsys, plane, "html")[1]
    table = page.split("<h2>The lowest p99</h2>", 1)[1].split("</table>", 1)[0]
    assert re.findall(r'scope="col"[^>]*>([^<]*)<', table) == ["utilisation", "persistence 1", "persistence 100"]
    assert re.findall(r"</i>([a-z]+)</div>", table) == ["hedge", "none"] * 2
    assert page.index("The lowest p99") < page.index("<figure")
    assert page.count("<summary>The same figures along") == 1
    assert "The lowest p99" not in said(capsys, crossing, "html")[1]


def test_of_schemes_that_are_not_told_apart_the_lowest_figure_comes_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """The table of the fastest schemes orders those not told apart by p99, as only the first may fit."""
    lasts = [*range(1, 7)]
    cells = {f"utilisation=0.2,persistence={value}": {"hedge": 0.01, "none": 0.01} for value in lasts}
    directory = swept(tmp_path / "s", {"utilisation": [0.2], "persistence": lasts}, cells)
    table = said(capsys, directory, "html")[1].split("<h2>The lowest p99</h2>", 1)[1].split("</table>", 1)[0]
    shown = [re.findall(r"</i>([a-z]+)</div>", cell) for cell in table.split("<td")[1:]]
    for names, cell in zip(shown, summarise_sweep(directory)["cells"], strict=True):
        p99 = {scheme["variant"]: scheme["latency_s"]["p99"] for scheme in cell["schemes"]}
        assert names == sorted(cell["fastest"], key=lambda name: p99[name])
    assert ["none", "hedge"] in shown


def test_a_long_axis_says_that_it_is_logarithmic(capsys: pytest.CaptureFixture[str], plane: Path) -> None:
    """An axis from 1 to 100 is titled as logarithmic, with the unit of its option."""
    page = said(capsys, plane, "html")[1]
    assert ">persistence in s (log scale)</text>" in page
    assert ">utilisation</text>" in page


def test_intervals_of_many_schemes_are_bars(tmp_path: Path, capsys: pytest.CaptureFixture[str], crossing: Path) -> None:
    """Intervals of seven schemes are bars, because as many bands would hide each other; those of three are bands."""
    names = {f"s{place}": 0.01 + 0.001 * place for place in range(7)}
    many = swept(tmp_path / "s", {"utilisation": [0.2, 0.5]}, {f"utilisation={load}": names for load in (0.2, 0.5)})
    page = said(capsys, many, "html")[1]
    assert 'class="spread"' not in page
    assert "Bars: 95 % intervals." in page
    page = said(capsys, crossing, "html")[1]
    assert 'class="spread"' in page
    assert "Bands: 95 % intervals." in page


def p99_plot(found: Any) -> str:
    """Return the plot of p99 of a summarised sweep of one axis."""
    (part,) = slices(found, found["axes"][0])
    looks = looks_in(found["cells"])
    return str(along("k", part, list(looks), looks, P99))


def test_an_interval_without_an_upper_end_leaves_the_plot_at_the_top(crossing: Path) -> None:
    """A p99 whose interval ends at infinity has a line to an arrow at the top, and the note says why."""
    found = summarise_sweep(crossing)
    note = "A dot below an arrow: so many requests failed that its interval has no upper end."
    assert note not in p99_plot(found)
    found["cells"][1]["schemes"][1]["tail"]["quantiles"]["p99"]["ends_s"][1] = None
    plot = p99_plot(found)
    assert note in plot
    assert len(re.findall(r'd="M[\d. ]+V24.0M[\d. ]+l4 -6l4 6"', plot)) == 1
    assert len(re.findall(r"hedge, utilisation 0.5: [\d.]+ ms, 95 % interval [\d.]+ ms to inf ms</title>", plot)) == 1


def test_a_scheme_whose_p99_becomes_infinite_leaves_the_plot_at_the_top(crossing: Path) -> None:
    """Where a p99 is infinite, as too many requests fail, its line goes to an arrow at the top; the note says why."""
    found = summarise_sweep(crossing)
    note = "or so many requests fail that its p99 is infinite."
    assert note not in p99_plot(found)
    scheme = found["cells"][2]["schemes"][1]
    scheme["latency_s"]["p99"], scheme["infinite"] = None, ["p99"]
    plot = p99_plot(found)
    assert note in plot
    assert re.search(r'0.8: infinite</title><path class="whisker" d="M[\d. ]+l4 -6l4 6">', plot)
    lines = re.findall(r'<path d="(M[^"]+)" class="curve"><title>([^<]+)', plot)
    assert [name for line, name in lines if line.endswith(" 24.0")] == ["hedge"]


def test_names_have_rows_and_no_lines_between_them(tmp_path: Path) -> None:
    """Along an axis of names, each is written out above a row for every scheme and the bound; one that is unstable or
    infinite says so in its row, which has no mark; where all are, the axis has no ticks."""
    names = ["shifted-exponential", "collage-machines", "pareto"]
    medians = {"none": 0.02, "hedge": 0.01}
    found = summarise_sweep(swept(tmp_path / "s", {"stragglers": names}, {f"stragglers={n}": medians for n in names}))
    found["cells"][1]["schemes"][0]["unstable"] = ["queues grow"]
    last = found["cells"][2]["schemes"][1]
    last["latency_s"]["p99"], last["infinite"] = None, ["p99"]
    plot = p99_plot(found)
    written = [said for said in re.findall("<text[^>]*>([^<]+)", plot) if not said.isdigit()]
    assert written == [
        "p99 in ms (log scale)", names[0], "none", "hedge", names[1], "none", "unstable", "hedge", names[2], "none",
        "hedge", "infinite",
    ]  # fmt: skip
    assert "curve" not in plot
    assert len(re.findall('class="mark"', plot)) == 4
    assert "Lines: 95 % intervals." in plot
    assert "no upper end" not in plot
    ticks = [said for said in re.findall("<text[^>]*>([^<]+)", plot) if said.isdigit()]
    assert len(ticks) >= 2
    found["cells"][0]["schemes"][0]["tail"]["quantiles"]["p99"]["ends_s"][1] = None
    assert "An arrow: so many requests failed that an interval has no upper end." in p99_plot(found)
    for cell in found["cells"]:
        for scheme in cell["schemes"]:
            scheme["unstable"] = ["queues grow"]
    assert not [said for said in re.findall("<text[^>]*>([^<]+)", p99_plot(found)) if said.isdigit()]


def test_where_no_p99_is_finite_all_say_so(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """Where every p99 is infinite, the plot is there without ticks, and table, finding and page say why; no star is."""
    medians = {f"drop-share={share}": {"none": 0.02, "hedge": 0.02} for share in (0.1, 0.2)}
    swept(tmp_path / "s", {"drop_share": [0.1, 0.2]}, medians)
    for place, name in enumerate(medians):
        shutil.rmtree(tmp_path / "s" / name)
        rows = {scheme: [[*lognormal(place, 1, 270)[0], *[None] * 30]] * 4 for scheme in ("none", "hedge")}
        config = {**HEADER["config"], "drop_share": 0.1 * (place + 1), "runs": 4, "requests": 300}
        make_run(tmp_path / "s" / name, rows, header={"config": config, "engine": "simulated"})
    _, table = said(capsys, tmp_path / "s")
    assert "no scheme has a finite p99 from drop-share 0.1 to 0.2: too many requests fail" in " ".join(table.split())
    assert "inf      infinite: too many requests failed" in table
    assert "the lowest p99" not in table
    _, page = said(capsys, tmp_path / "s", "html")
    assert page.count("<td>infinite<small>too many failed</small></td>") == 4
    plot = p99_plot(summarise_sweep(tmp_path / "s"))
    assert "none and hedge coincide. A line that leaves at the top" in plot
    assert re.findall('class="tick"[^>]*>([^<]+)', plot) == ["0.1", "0.2"]
