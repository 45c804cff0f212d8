"""The table on the terminal."""

from __future__ import annotations

import re
from io import StringIO

import pytest
from rich.console import Console
from synthetic_run import HEADER, cell, lognormal, make_run, request, task

from collagebench.config import Config, as_json
from collagebench.engine.experiment import straggler_facts
from collagebench.report import print_report
from collagebench.report.html import page
from collagebench.report.markdown import markdown
from collagebench.report.parts import as_ms, as_rate, as_seconds, new_table, print_table
from collagebench.report.summary import summarise
from collagebench.report.table import goodput, print_summary, stragglers
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter


class AsciiIO(StringIO):
    """A text file whose encoding is ASCII."""

    encoding = "ascii"


def printed(*directories, width: int = 80, file: StringIO | None = None, details: bool = False, **options) -> str:
    """Return the lines of a report as a terminal of `width` columns shows it."""
    file = file or StringIO()
    console = Console(file=file, width=width, no_color=True)
    print_summary(summarise([load(path) for path in directories], **options), console, details)
    return file.getvalue()


def row(text: str, scheme: str) -> list[str]:
    """Return the cells of a scheme's row."""
    return next(line.split() for line in text.splitlines() if line.split()[:1] == [scheme])


def test_row_of_known_figures(tmp_path):
    """A scheme's row has p50, p99, interval, ratio, accuracy, other sources, work and failures, in this order."""
    latencies = {"none": [[0.1] * 400, [0.1] * 400], "hedge": [[0.05] * 390 + [None] * 10] * 2}
    text = printed(make_run(tmp_path / "run", latencies, source="own"))
    assert row(text, "none") == ["none", "100.0", "100.0", "0.00", "1.00x", "100.0", "%", "0.0", "%", "1.00x", "0"]
    assert row(text, "hedge")[1:5] == ["50.0", "inf", "-", "-"]
    assert row(text, "hedge")[-1] == "20"


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (0.0, "0.00"),
        (1.4e-17, "0.00"),
        (1.234e-8, "1.23e-05"),
        (1.234e-5, "0.0123"),
        (5e-5, "0.0500"),
        (2.7e-4, "0.27"),
        (0.00303, "3.03"),
        (0.1448, "144.8"),
        (1.2345, "1234"),
    ],
)
def test_small_latencies_keep_three_digits(seconds, said):
    """A latency in ms below 0.1 has three digits, but a rounding error is 0; larger ones have two decimals or fewer."""
    assert as_ms(seconds) == said


def test_services_of_microseconds_are_told_apart_in_the_report(tmp_path):
    """The table, the details, rates and the plots show figures of microseconds, and rare events, to three digits."""
    directory = make_run(tmp_path / "run", {"none": [[1.2e-5] * 400] * 2, "fast": [[1.04e-5] * 400] * 2}, lag=0.0)
    text = printed(directory, details=True)
    assert row(text, "fast")[1:3] == ["0.0104", "0.0104"]
    assert "fast p50 ms -0.0016 -0.0016 to -0.0016" in [" ".join(line.split()[:7]) for line in text.splitlines()]
    rare = {"runs": 1, "variant": "none", "goodput_rps": 2.778e-4, "goodput_ci95_rps": [2.766e-4, 2.78e-4]}
    assert goodput({"slo_ms": 1.0, "schemes": [rare]}).endswith("none 0.000278 ± 1.2e-06")
    run = load(directory)
    found = page(summarise([run]), [run], ["run"])
    assert "within 0.0120 ms (none), 0.0104 ms (fast)" in found


def test_little_is_not_shown_as_nothing():
    """Seconds below a tenth and less than one request per second keep their digits."""
    assert [as_seconds(seconds) for seconds in (12.34, 0.125, 0.0123, 0.0, None)] == [
        "12.3",
        "0.1",
        "0.0123",
        "0.0",
        "-",
    ]
    assert [as_rate(rate) for rate in (162.64, 1.0, 0.1149, 0.004)] == ["162.6", "1.0", "0.11", "0.00400"]


def test_an_slo_adds_how_many_answers_are_right_and_in_time(tmp_path):
    """With an SLO, a line in the report and in the Markdown gives the rate of right answers in time."""
    directory = make_run(tmp_path / "run", {"none": [[0.1] * 300 + [0.2] * 100]})
    summary = summarise([load(directory)], slo_ms=150)
    rate = summary["schemes"][0]["goodput_rps"]
    line = f"right answers within 150 ms, per second: none {rate:.2f}"
    assert line in printed(directory, slo_ms=150).splitlines()
    assert line in markdown(summary).splitlines()
    assert "right answers" not in printed(directory)


def test_an_interval_of_goodput_that_ends_at_all_answers_is_not_said_to_be_narrower(tmp_path):
    """If nearly all answers are right in time, ± is the wider side of the interval, which nothing cuts off."""
    shares = ([0.1] * 400, [0.1] * 360 + [0.2] * 40) * 2
    directory = make_run(tmp_path / "run", {"none": list(shares)})
    scheme = summarise([load(directory)], slo_ms=150)["schemes"][0]
    rate, (low, high) = scheme["goodput_rps"], scheme["goodput_ci95_rps"]
    assert rate - low > 1.5 * (high - rate)
    assert f"none {rate:.2f} ± {rate - low:.2g}" in printed(directory, slo_ms=150)
    assert f"none {rate:.2f} +- {rate - low:.2g}" in printed(directory, slo_ms=150, file=AsciiIO())


def test_a_wide_interval_of_goodput_is_a_plain_number():
    """The interval of a goodput of thousands per second is not printed as a power of ten."""
    scheme = {"variant": "none", "runs": 2, "goodput_rps": 4000.0, "goodput_ci95_rps": [3765.0, 4235.0]}
    assert goodput({"slo_ms": 50.0, "schemes": [scheme]}).endswith("none 4000.0 ± 235")


def test_too_few_requests_print_a_lower_bound(tmp_path):
    """If requests are too few for p99, its lower bound is printed."""
    text = printed(make_run(tmp_path / "run", {"none": [[0.1] * 200]}))
    assert row(text, "none")[1:4] == ["100.0", ">=", "100.0"]


@pytest.mark.parametrize("names", [("none", "collage"), ("none", "replication", "collage-deadline-hold-3x3")])
def test_eighty_columns(tmp_path, names):
    """No line is wider than 80 columns, however long the names are."""
    latencies = {name: [*lognormal(1, 3, 200), [None] * 50] for name in names}
    text = printed(make_run(tmp_path / "run", latencies), baseline=names[-1], details=True)
    assert max(len(line) for line in text.splitlines()) <= 80
    assert "…" not in text


def test_details_of_known_figures(tmp_path):
    """The details list each source with its share and accuracy, those that straggled, and the work by outcome."""
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": [{"scheme": "hedge"}]})
    for number in range(8):
        writer.request(request("hedge", number=number, straggled=number == 0, predicted=0 if number == 0 else 3))
        writer.task(task("hedge", number=number, service=0.5))
    writer.request(request("hedge", number=8, source="hedge"))
    writer.task(task("hedge", number=8, service=1.5, outcome="cancelled in service"))
    writer.task(task("hedge", number=9, service=None, outcome="cancelled"))
    writer.cell(cell("hedge", 0, 9))
    writer.close()
    text = printed(tmp_path / "run", details=True)
    lines = [line.split() for line in text.splitlines()]
    assert ["hedge", "own", "88.9", "%", "87.5", "%"] in [line[:6] for line in lines]
    assert ["hedge", "11.1", "%", "100.0", "%"] in [line[:5] for line in lines]
    assert ["(straggled)", "11.1", "%", "0.0", "%"] in [line[:5] for line in lines]
    assert ["hedge", "10", "5.5", "1.5", "1", "1", "(1.5", "s)", "0.0"] in lines


def test_conditions_are_stated(tmp_path):
    """The report states fleet, load, stragglers and compute, and has a row for the bound with its source."""
    bound = {"p50": 0.01, "p99": 0.02, "requests": 1000, "source": "simulated"}
    text = printed(make_run(tmp_path / "run", {"none": lognormal(1, 4, 250)}, header={**HEADER, "bound": bound}))
    words = " ".join(text.split())
    assert "live: 10 workers, 4 runs x 250 requests at 500/s, utilisation 0.50 before redundancy" in words
    assert "stragglers collage-trace x 0.1, images shapes, real compute, seed 0" in words
    assert row(text, "bound")[:3] == ["bound", "10.0", "20.0"]
    assert "no stragglers, no redundancy (simulated)" in words


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (Config(stragglers="bimodal"), "bimodal x 0.2"),
        (Config(stragglers="bimodal", straggler_mode="scale"), "bimodal (straggler-mode scale)"),
        (Config(stragglers="markov", straggler_mode="scale"), "markov (straggler-mode scale)"),
        (Config(stragglers="pareto", straggler_mode="scale"), "pareto (straggler-mode scale)"),
        (Config(stragglers="crash"), "crash x 0.2"),
        (Config(stragglers="fixed"), "fixed"),
        (Config(stragglers="none"), "none"),
        (Config(stragglers="none", base=0.1), "none x 0.2 (base 0.1)"),
    ],
)
def test_a_scale_is_said_of_seconds_only(config, said):
    """The time scale stands behind the stragglers where it multiplies what they draw, and factors are not scaled."""
    facts = straggler_facts(config)
    assert stragglers({"config": as_json(config), "stragglers": facts}) == said


def test_long_names_are_broken_behind_a_hyphen(tmp_path):
    """In 80 columns a long name wraps, between words or after a hyphen."""
    name = "collage collage-workers=2"
    text = printed(make_run(tmp_path / "run", {"none": lognormal(1, 4, 250), name: lognormal(2, 4, 250)}))
    lines = [line.rstrip() for line in text.splitlines()]
    assert max(map(len, lines)) <= 80
    assert {"collage-", "workers=2"} <= {line.split(" ")[0] for line in lines}


def test_a_word_is_broken_only_where_the_table_is_too_wide(tmp_path):
    """A long word of a name is whole on a wide terminal, and on a narrow one as far as there is room for it."""
    names = ["none", "hedge-idle hedge-delay=p90", "adaptive-replication-of-quiet-times"]
    directory = make_run(tmp_path / "run", {name: lognormal(1, 4, 250) for name in names})
    wide = [line.split("  ")[0] for line in printed(directory, width=120).splitlines()]
    assert set(names) <= set(wide)
    narrow = printed(directory).splitlines()
    assert max(map(len, narrow)) <= 80
    assert any(line.split() == ["hedge-delay=p90"] for line in narrow)
    assert any(line.startswith("adaptive- ") for line in narrow)


@pytest.mark.parametrize("width", [40, 50, 60, 66, 80])
def test_a_narrow_terminal_keeps_names_and_drops_columns(tmp_path, width):
    """However narrow the terminal, every scheme and its p99 are shown, and the columns that are left out are named."""
    latencies = {"none": lognormal(1, 4, 250), "replication": lognormal(2, 4, 250)}
    text = printed(make_run(tmp_path / "run", latencies), width=width)
    assert row(text, "replication")[:1] == ["replication"]
    header = next(line for line in text.splitlines() if line.startswith("scheme"))
    assert "p99 ms" in header
    assert ("too narrow for ±" in text) == (width < 70)
    assert max(map(len, text.splitlines())) <= width
    meant = {line.split("  ")[0] for line in text.splitlines() if "answers that did not come from" in line}
    assert meant == ({"not own"} if "not own" in header else set())


@pytest.mark.parametrize("width", range(26, 34))
def test_a_table_that_just_fits_is_no_wider_than_the_terminal(width):
    """A table shrinks to the terminal's width, down to 28 columns, with older versions of rich too."""
    table = new_table("scheme", "p99 ms", "verdict")
    table.columns[0].no_wrap = True
    table.add_row("replication", "75.3", "too much work")
    out = StringIO()
    assert print_table(table, Console(file=out, width=width)) == []
    assert max(len(line) for line in out.getvalue().splitlines()) == max(min(width, 34), 28)


@pytest.mark.parametrize("width", [20, 40, 60, 72])
def test_no_figure_is_cut_on_a_narrow_terminal(tmp_path, width):
    """Every row of the details is printed whole on a narrow terminal, even where it is wider than the terminal."""
    latencies = {"none": lognormal(1, 4, 250), "replication": lognormal(2, 4, 250)}
    run = make_run(tmp_path / "run", latencies)
    wide, narrow = (printed(run, width=columns, details=True) for columns in (120, width))
    rows = [line.split() for line in narrow.splitlines()]
    start = next(i for i, line in enumerate(wide.splitlines()) if line.startswith("scheme") and "figure" in line)
    figures = [line.split() for line in wide.splitlines()[start:] if line.startswith(("none ", "replication "))]
    assert len(figures) > 6
    assert all(row in rows for row in figures)


def test_verdict_and_reasons(tmp_path):
    """A sound run is VALID; an unsound one is INVALID, followed by every reason."""
    sound = printed(make_run(tmp_path / "sound", {"none": lognormal(1, 4, 250)}))
    broken = printed(make_run(tmp_path / "broken", {"none": lognormal(1, 4, 250)}, status="interrupted", lag=1.0))
    assert "VALID" in sound.splitlines()
    assert "INVALID" in broken.splitlines()
    assert broken.count("  because ") == 2


def test_nothing_complete_prints_the_reason_and_no_table(tmp_path):
    """Without any complete run the report says INVALID and has no table."""
    text = printed(make_run(tmp_path / "run", {"none": []}))
    assert "p50" not in text
    assert "INVALID" in text


def test_text_from_elsewhere_is_not_markup(tmp_path):
    """Brackets in a name are printed, not interpreted as markup."""
    assert "[red]" in printed(make_run(tmp_path / "run", {"[red]": [[0.1] * 10]}))


def test_ascii_terminal(tmp_path):
    """A terminal that only takes ASCII gets only ASCII."""
    text = printed(make_run(tmp_path / "run", {"none": lognormal(1, 4, 250)}), file=AsciiIO())
    assert text.isascii()
    assert "+-" in text


def test_runs_side_by_side(tmp_path):
    """Two runs give two tables and one comparison with the ratio of the second to the first."""
    live = make_run(tmp_path / "live", {"none": lognormal(1, 4, 250)})
    simulated = make_run(tmp_path / "simulated", {"none": lognormal(1, 4, 250, median=0.03)})
    text = printed(live, simulated)
    assert text.count("VALID") == 2
    table, said = text[text.index("comparison") :].split("\n\n")[-2:]
    assert table.split()[-1] == "1.50x"
    assert " ".join(said.split()) == (
        "ratio: to the first run; ~ where no difference of more than 5 % is shown (Welch's t test over the runs, "
        "with Holm's correction, and the ratio's interval)"
    )
    again = make_run(tmp_path / "again", {"none": lognormal(2, 4, 250)})
    assert "~" in printed(live, again).split("\n\n")[-2]


def test_a_comparison_tells_infinite_from_unknown(tmp_path):
    """Where several runs are compared, a p99 is `inf` if too many requests failed, and a dash if there are too few."""
    names = ("sound", "failing", "few")
    shapes = ([[0.02] * 400] * 2, [[0.02] * 350 + [None] * 50] * 2, [[0.02] * 20] * 2)
    runs = [load(make_run(tmp_path / name, {"none": latencies})) for name, latencies in zip(names, shapes, strict=True)]
    summary = summarise(runs)
    in_words = printed(*(tmp_path / name for name in names)).split("comparison")[-1]
    in_markdown = markdown(summary).split("| scheme | run ")[1]
    for text in (in_words, in_markdown, page(summary, runs, names).split("Runs compared")[1]):
        words = re.sub("<[^>]*>|[|]", " ", text).split()
        found = [words[words.index(name) + 1 :][:4] for name in names]
        assert [row[:1] + row[2:] for row in found] == [
            ["20.0", "20.0", "1.00x"],
            ["20.0", "inf", "-"],
            ["20.0", "-", "-"],
        ]


@pytest.mark.parametrize("columns", ["0", "1", "19"])
def test_a_console_that_does_not_know_its_width_prints_a_table(tmp_path, monkeypatch, capsys, columns):
    """A terminal that claims to have fewer than 20 columns, as in some containers, gets the table of 80 columns."""
    run = make_run(tmp_path / "run", {"none": lognormal(1, 4, 250)})
    texts = []
    for width in (columns, "80"):
        monkeypatch.setenv("COLUMNS", width)
        assert print_report([run], "table") == 0
        texts.append(capsys.readouterr().out)
    assert texts[0] == texts[1]
    assert "none" in [line.split(" ")[0] for line in texts[0].splitlines()]


def test_names_that_look_like_markup_are_printed_as_they_are(tmp_path, capsys):
    """Names that look like tags or emoji codes of rich are printed unchanged."""
    run = make_run(tmp_path / "run", {"x[/b] y": lognormal(1, 4, 250), "hedge [p95] :smile:": lognormal(2, 4, 250)})
    print_report([run], "table", details=True)
    text = capsys.readouterr().out
    assert "x[/b] y" in text
    assert "hedge [p95]" in text
    assert ":smile:" in text
