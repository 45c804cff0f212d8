"""The elements of plots: escaped text, scales, curves, and which schemes are beaten by others."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import HEADER, cell, lognormal, make_run, request, task

import collagebench.report
from collagebench.report import parts
from collagebench.report.crossover_page import _difference
from collagebench.report.curves import bound_curve, curves_of, observed, tail
from collagebench.report.frame import looks_in, looks_of, option_title
from collagebench.report.markup import Markup, tag
from collagebench.report.phases import phases, split
from collagebench.report.scales import Scale, linear, logarithmic, of_shares, room_for, shorten
from collagebench.report.summary import summarise
from collagebench.report.tradeoffs import Answer, Offer, against_accuracy, against_work, front
from collagebench.report.whiskers import HEAD, accuracy, by_run, quantiles
from collagebench.results.reader import load
from collagebench.results.writer import RunWriter
from collagebench.schemes import SCHEMES
from collagebench.statistics.quantiles import QUANTILES, rank
from collagebench.stragglers import model


@given(st.text(), st.text())
def test_no_text_becomes_markup(content, attribute):
    """Any text that is put into an element is read back as text, and never as an element."""
    found = ElementTree.fromstring(tag("a", content, title=attribute))
    assert len(found) == 0
    kept = re.sub(r"[^\t\n -\ud7ff\ue000-\U0010ffff]|\x7f", "\N{REPLACEMENT CHARACTER}", content)
    assert (found.text or "") == kept


def test_elements_hold_elements():
    """Nested markup is kept as it is, None adds nothing, and an attribute that is None is left out."""
    inner = tag("b", "x < y", hidden=None, class_="q")
    assert tag("p", [inner, None, 1.25], open=True, stroke_width=2) == (
        '<p open stroke-width="2"><b class="q">x &lt; y</b>1.2</p>'
    )
    assert isinstance(inner, Markup)


@given(
    st.lists(st.floats(1e-6, 1e6), min_size=1, max_size=20),
    st.sampled_from([linear, logarithmic]),
    st.floats(50, 400),
)
def test_scales_hold_their_values_and_have_ticks(values, make, width):
    """Values have places between the scale's ends, in order, and there is at least one tick, with room for each."""
    scale = make(values, 10.0, 10.0 + width)
    places = [scale(value) for value in sorted(values)]
    assert places == sorted(places)
    assert all(10.0 <= place <= 10.0 + width for place in places)
    ticks = scale.ticks()
    assert ticks
    assert all(scale.low <= tick * (1 + 1e-9) and tick <= scale.high * (1 + 1e-9) for tick in ticks)
    assert len(ticks) <= max(2, width / 44) + 1


def test_a_scale_of_one_value_and_of_none():
    """A single value, zeros, infinity or no values at all make a usable scale."""
    for values in ([], [0.0], [3.0, 3.0], [math.inf]):
        for make in (linear, logarithmic):
            assert math.isfinite(make(values, 0.0, 100.0)(1.0))


@given(st.lists(st.floats(0, 1), min_size=1, max_size=5))
def test_a_scale_of_shares_shows_none_beyond_all(values):
    """A scale of shares contains its values, even if all are equal, and has no tick below 0 or above 100 %."""
    scale = of_shares(values, 200, 20)
    assert all(scale.holds(value) for value in values)
    assert all(0 <= tick <= 1 for tick in scale.ticks(28))


def test_labels_of_long_latencies_are_whole_and_apart(tmp_path):
    """Labels of latencies of minutes, and of shares of many requests, fit beside their plots and do not touch."""
    latencies = {"none": lognormal(0, 2, 1000, 100.0), "hedge": lognormal(1, 2, 1000, 900.0)}
    run = load(make_run(tmp_path / "run", latencies))
    one = summarise([run])
    for place, scheme in enumerate(one["schemes"]):
        scheme["cost"]["executed_s_per_request"] = 150.0 + 100 * place
    looks = looks_in([one])
    drawn = [
        tail("tail", [replace(found, requests=10**6) for found in curves_of(run, looks)]),
        against_work("work", one, looks),
        quantiles("quantiles", one, looks),
        phases("phases", one, looks),
    ]
    for plot in drawn:
        ticks = [found for found in ElementTree.fromstring(plot).iter("text") if found.get("class") == "tick"]
        spans: list[tuple[float, float, float]] = []
        for found in ticks:
            share = {"end": 1.0, "middle": 0.5}.get(found.get("text-anchor"), 0.0)
            width = 6.7 * len(found.text)
            start = float(found.get("x")) - share * width
            spans.append((float(found.get("y")), start, start + width))
        assert all(start >= -1 and end <= 361 for _, start, end in spans), plot
        assert all(one[0] != other[0] or one[2] < other[1] for one, other in pairwise(sorted(spans))), plot


def test_shorten_keeps_what_fits():
    """A text that fits is not cut; a longer one keeps its beginning and its end, where names of runs differ."""
    assert shorten("none", 60) == "none"
    assert shorten("20261128-192756-run", 69) == "202…56-run"
    assert shorten("collage 2x2 auto on 2", 120) == "col…2x2 auto on 2"
    assert [shorten("a long name", room) for room in (0, 21, 28)] == ["…e", "a…e", "a …e"]
    assert Scale(0.0, 1.0, 0.0, 100.0)(0.5) == 50.0


def test_wide_characters_have_the_room_of_two():
    """A Chinese or Japanese name is cut earlier than a Latin one of as many characters, as its characters are wider."""
    assert shorten("複製する方式", 83) == "複製する方式"
    assert shorten("複製する方式の名前が長い場合", 92) == "複製す…い場合"
    assert room_for(["複製"], 110) == room_for(["copy"], 110)


@pytest.fixture(scope="module")
def curve(tmp_path_factory):
    """Return 20,000 latencies and their curve."""
    latencies = np.random.default_rng(3).lognormal(-4, 0.6, 20_000)
    run = load(make_run(tmp_path_factory.mktemp("curve") / "run", {"none": [latencies.tolist()]}))
    return np.sort(latencies), observed("none", "s0", run.requests)


def test_curves_are_exact_at_the_tail(curve):
    """A curve keeps the 100 slowest values exactly, and has at most 400 points in all."""
    ordered, found = curve
    assert found.seconds[-100:] == pytest.approx(ordered[-100:].tolist(), rel=1e-9)
    assert found.shares[-100:] == pytest.approx([(rank + 1) / 20_000 for rank in range(19_900, 20_000)])
    assert len(found.seconds) <= 400


def test_curves_are_exact_where_reports_name_a_quantile(curve):
    """Every quantile of the tables can be read off a curve exactly."""
    ordered, found = curve
    for q in QUANTILES.values():
        assert found.at(q) == pytest.approx(ordered[rank(20_000, q) - 1], rel=1e-9)


def test_curves_are_near_everywhere(curve):
    """Thinning moves the distribution nowhere by more than 0.7 % of the requests."""
    ordered, found = curve
    kept = np.searchsorted(found.seconds, ordered, side="right")
    thinned = np.concatenate(([0.0], found.shares))[kept]
    assert np.abs(thinned - np.arange(1, 20_001) / 20_000).max() <= 0.007


def test_a_curve_that_fails_ends_below_one(tmp_path):
    """A curve ends at the share of requests that were answered; without any answer there is no curve."""
    run = load(make_run(tmp_path / "run", {"none": [[0.01] * 9 + [None]]}))
    found = observed("none", "s0", run.requests)
    assert (found.shares[-1], found.at(0.9), found.at(0.95)) == (0.9, 0.01, math.inf)
    assert re.search(r'H[\d.]+" class="curve', tail("t", [found]))
    assert observed("none", "s0", load(make_run(tmp_path / "all", {"none": [[None] * 3]})).requests) is None


def test_curves_that_cover_each_other_are_named(tmp_path):
    """A sentence names the schemes whose curves are the same, as only the last is seen; there is none if all differ."""
    rows = {"none": lognormal(1, 2, 250), "equal": lognormal(1, 2, 250), "hedge": lognormal(2, 2, 250)}
    for names, said in ((["none", "equal", "hedge"], "none and equal coincide."), (["none", "hedge"], None)):
        run = load(make_run(tmp_path / f"{len(names)}", {name: rows[name] for name in names}))
        drawn = ElementTree.fromstring(tail("k", curves_of(run, looks_of({name: name for name in names}))))
        assert drawn.findtext("p") == said


def test_the_slo_is_named_above_the_plot():
    """The name of the line at the SLO is above the plot, where no dot and no line covers it, and below its title."""
    schemes = [
        {
            "variant": name, "latency_s": {"p99": p99}, "accuracy": {"overall": 0.9}, "runs": 1,
            "cost": {"executed_s_per_request": 0.03}, "relative": {"executed": 1.0},
        }
        for name, p99 in (("a", 0.05), ("b", 0.08))
    ]  # fmt: skip
    plot = against_accuracy("k", {"slo_ms": 70, "schemes": schemes}, looks_of({"a": "a", "b": "b"}))
    (name,) = [text for text in ElementTree.fromstring(plot).iter("text") if text.text == "SLO"]
    (line,) = [path for path in ElementTree.fromstring(plot).iter("path") if path.get("class") == "guide"]
    assert 11 + 14 < float(name.get("y")) < float(re.search(r" ([\d.]+)V", line.get("d"))[1])


def test_the_bound_is_drawn_through_its_curve():
    """The bound's curve has the points of the header whose time is known; without any it is not drawn."""
    assert bound_curve({"curve": [[0.1, 0.005], [0.2, 0.006], [0.9, None]]}).seconds == [0.005, 0.006]
    assert bound_curve({"curve": []}) is bound_curve({}) is None


def test_front_of_three_figures():
    """A scheme is beaten only by one that is nowhere worse and somewhere better; an unknown figure beats none."""
    fast = Offer("fast", "", latency=1.0, accuracy=0.9, work=2.0)
    right = Offer("right", "", latency=2.0, accuracy=0.95, work=2.0)
    worse = Offer("worse", "", latency=2.0, accuracy=0.9, work=2.0)
    same = Offer("same", "", latency=1.0, accuracy=0.9, work=2.0)
    unknown = Offer("unknown", "", latency=1.0, accuracy=None, work=2.0)
    assert front([fast, right, worse, same, unknown]) == [fast, right, same, unknown]
    assert not unknown.beats(right)


def test_an_answer_is_ringed_and_few_have_labels():
    """Among many schemes, the chosen one has a ring and is drawn last, and only those pointed out are labelled."""
    names = [f"collage {size}x{size} auto on 2" for size in range(2, 16)]
    schemes = [
        {
            "variant": name, "latency_s": {"p99": 0.05 + 0.01 * place}, "accuracy": {"overall": 0.9 + 0.001 * place},
            "cost": {"executed_s_per_request": 0.03}, "relative": {"executed": 1.0}, "runs": 1,
        }
        for place, name in enumerate(names)
    ]  # fmt: skip
    looks = looks_of(dict.fromkeys(names, "collage"))
    plot = against_accuracy("k", {"slo_ms": None, "schemes": schemes}, looks, answer=Answer(names[3], names[2:4]))
    drawn = ElementTree.fromstring(plot)
    labels = [text.text for text in drawn.iter("text") if text.get("class") == "label"]
    assert sorted(labels) == sorted(names[2:4])
    (ringed,) = [group for group in drawn.iter("g") if any(one.get("class") == "ring" for one in group)]
    assert ringed is list(drawn.iter("g"))[-1]
    assert list(drawn.iter("g"))[-2].findtext("title").startswith(f"{names[2]}: "), (
        "no other dot covers one with a name"
    )
    assert ringed.find("title").text.startswith(f"{names[3]}: p99 80.0 ms")
    assert f"Ringed: {names[3]}." in "".join(drawn.itertext())


def test_service_is_split_into_inference_and_injection():
    """Service is split into inference and injected delay, so nothing counts twice; unknown phases are left out."""
    means = {"group": 0.5, "encode": None, "queue": 1.0, "service": 3.0, "injected": 2.0}
    assert split(means) == {"group": 0.5, "queue": 1.0, "inference": 1.0, "injected": 2.0}


NO_PHASES = ("group", "encode", "queue", "service", "injected", "transport", "decode", "hold")


def test_a_long_name_ends_before_its_bar(tmp_path):
    """The plot of phases shortens a name that is too long for its margin, and leaves a gap before the bars."""
    long, fits = "hedge-idle hedge-delay=p50", "hedge delay=p90"
    one = summarise([load(make_run(tmp_path / "run", dict.fromkeys((long, fits), lognormal(1, 2, 100))))])
    plot = ElementTree.fromstring(phases("x", one, looks_in([one])))
    bars = min(float(found.get("x")) for found in plot.iter("rect") if float(found.get("height")) > 10)
    names = [found.text for found in plot.iter("text") if found.get("class") == "label"]
    assert names == ["hed…dge-delay=p50", fits]
    assert max(7.4 * len(name) for name in names) < bars, "bold digits and letters"


def test_answers_without_phases_are_left_out_of_the_bars_in_words(tmp_path):
    """The plot of phases says how many default answers, which have none, are not in a scheme's bar."""
    writer = RunWriter(tmp_path / "run", {**HEADER, "schemes": [{"scheme": "default", "variant": "default"}]})
    for number in range(8):
        late = {"source": "default", "task": None, **dict.fromkeys(NO_PHASES)} if number % 4 == 3 else {}
        writer.request(request(scheme="default", number=number, **late))
        writer.task(task(scheme="default", number=number))
    writer.cell(cell(scheme="default", requests=8))
    writer.finish("done")
    writer.close()
    one = summarise([load(tmp_path / "run")])
    words = "".join(ElementTree.fromstring(phases("x", one, looks_in([one]))).itertext())
    assert "without default answers, which have no phases (25.0 % of those of default)." in words


def test_a_scheme_has_the_same_colour_on_every_page():
    """A scheme looks the same beside any others, and no two schemes share both shape and colour."""
    few = looks_of({"replication": "replication", "collage": "collage"})
    many = looks_of({"none": "none", "replication": "replication", "hedge": "hedge", "collage": "collage"})
    assert few["collage"] == many["collage"]
    assert few["replication"] == many["replication"]
    every = looks_of({f"{scheme} {number}": scheme for scheme in SCHEMES for number in range(2)})
    assert len({look.number for look in every.values()}) == len(every)
    assert every["collage 0"] == many["collage"]
    own = list(looks_of({scheme: scheme for scheme in SCHEMES}).values())
    assert len({(look.number % 8, look.shape) for look in own}) == len(SCHEMES)


def test_no_scheme_is_drawn_like_the_bound():
    """Only the bound is dotted: every dash pattern of a scheme has a long stroke, on pages and in pictures alike."""
    files = Path(collagebench.report.__file__).parent
    found = []
    for file, name in (("page.css", "--dash"), ("picture.css", "stroke-dasharray")):
        rules = (files / file).read_text(encoding="utf-8")
        dashes = {
            of: list(map(float, dash.split())) for of, dash in re.findall(rf"\.(d\d) {{ {name}: ([\d. ]+);", rules)
        }
        (bound,) = re.findall(rf"\.bound {{[^}}]*{name}: ([\d. ]+);", rules)
        assert max(map(float, bound.split()[::2])) < 2
        assert all(max(dash[::2]) >= 4 for dash in dashes.values())
        assert len({tuple(dash) for dash in dashes.values()}) == len(dashes) == 5
        found.append(dashes)
    assert found[0] == found[1]


def test_a_scheme_that_is_not_plotted_is_named_with_the_reason(tmp_path):
    """Below a plot stand the schemes whose p99 is infinite, those with too few requests, and those without accuracy."""
    latencies = {"none": [[0.02] * 250] * 2, "b": [[0.02] * 250] * 2, "fails": [[0.02] * 200 + [None] * 50] * 2}
    one = summarise(
        [load(make_run(tmp_path / "run", {**latencies, "few": [[0.02] * 250] * 2, "unseen": latencies["b"]}))]
    )
    *_, few, unseen = one["schemes"]
    few["latency_s"]["p99"] = None
    unseen["accuracy"]["overall"] = None
    said = "".join(ElementTree.fromstring(against_accuracy("k", one, looks_in([one]))).itertext())
    assert (
        "Not shown, as their p99 is infinite: fails. Not shown, as their p99 is unknown: few. "
        "Not shown, as their accuracy is unknown: unseen."
    ) in said


def test_of_many_schemes_a_beaten_one_has_its_name_where_there_is_room():
    """Among many schemes, those on the front are labelled, and so is a beaten one with room around it."""
    points = [*((0.05 + 0.01 * place, 0.9 + 0.005 * place) for place in range(11)), (0.3, 0.8)]
    names = [*(f"f{place}" for place in range(11)), "alone"]
    schemes = [
        {
            "variant": name, "latency_s": {"p99": p99}, "accuracy": {"overall": accuracy},
            "cost": {"executed_s_per_request": 0.03}, "relative": {"executed": 1.0}, "runs": 1,
        }
        for name, (p99, accuracy) in zip(names, points, strict=True)
    ]  # fmt: skip
    drawn = ElementTree.fromstring(
        against_accuracy("k", {"slo_ms": None, "schemes": schemes}, looks_of(dict.fromkeys(names, "n")))
    )
    labels = {text.text for text in drawn.iter("text") if text.get("class") == "label"}
    assert {"f0", "f10", "alone"} <= labels


def test_times_are_those_of_the_stragglers():
    """The report shows in seconds the same options that the straggler models scale as seconds."""
    assert parts.TIMES == model.TIMES


def test_the_axis_of_an_option_has_its_unit_and_says_where_it_is_logarithmic():
    """An axis has its option's unit, none for shares and factors, and says if it is logarithmic."""
    plain, wide = linear([0, 2], 0, 100), logarithmic([1, 100], 0, 100)
    assert option_title("persistence", plain, {}) == "persistence in s"
    assert option_title("stop-for", plain, {"straggler_mode": None}) == "stop-for in s"
    assert option_title("slow-machine", plain, {"straggler_mode": "floor"}) == "slow-machine in s"
    assert option_title("slow-machine", plain, {"straggler_mode": "scale"}) == "slow-machine"
    assert option_title("rate", wide, {}) == "rate in requests/s (log scale)"
    assert option_title("slow-share", wide, {}) == "slow-share (log scale)"
    assert option_title("utilisation", plain, {}) == "utilisation"


def share(name: str, right: float) -> dict[str, object]:
    """Return the accuracy in a summary of a scheme with two sources."""
    found = {"overall": right, "ci95": [right - 0.01, right], "by_source": {"own": right, "hedge": 0.9}}
    by_source = {"own": [right - 0.01, right], "hedge": [0.89, 0.91]}
    straggled = {"straggled": None, "straggled_answers": 0, "answers": 9, "ci95_by_source": by_source}
    return {"variant": name, "accuracy": {**found, **straggled}, "sources": {"own": 0.9, "hedge": 0.1}}


@pytest.mark.parametrize(("schemes", "plots"), [(0, 0), (1, 1), (8, 1), (9, 2), (17, 2), (18, 3), (90, 3)])
def test_many_schemes_have_their_accuracy_side_by_side(schemes, plots):
    """The accuracy of many schemes is split into plots of one scale and similar height, in the schemes' order."""
    names = [f"scheme {place}" for place in range(schemes)]
    one = {"schemes": [share(name, 0.9 + 0.001 * place) for place, name in enumerate(names)]}
    found = [ElementTree.fromstring(plot) for plot in accuracy("k", one, looks_of(dict.fromkeys(names, "n")))]
    assert len(found) == plots
    texts = [[text.text for text in plot.iter("text")] for plot in found]
    assert [name for part in texts for name in part if name in names] == names
    assert all(part.count("own") == part.count("hedge") == sum(name in names for name in part) for part in texts)
    ticks = [[(text.get("x"), text.text) for text in plot.iter("text") if text.get("text-anchor")] for plot in found]
    assert len({tuple(tick for tick in part if tick[1].isdigit()) for part in ticks}) == min(plots, 1)
    heights = [float(str(plot.find("svg").get("viewBox")).split()[-1]) for plot in found]
    assert max(heights, default=0) - min(heights, default=0) <= 49
    assert len({plot.get("id") for plot in found}) == plots
    assert [("Straggled: requests" in "".join(plot.itertext())) for plot in found] == [False] * (plots - 1) + [True] * (
        plots > 0
    )


def test_an_interval_without_an_upper_end_is_an_arrow(tmp_path):
    """A p99 whose interval ends at infinity has an arrow and a sentence about it, unlike one whose interval ends."""
    rows = {"lossy": lognormal(1, 4, 300), "whole": lognormal(2, 4, 300)}
    rows["lossy"][3][:6] = [None] * 6
    one = summarise([load(make_run(tmp_path / "run", rows))])
    looks = looks_in([one])
    for plot in (quantiles("k", one, looks), by_run("k", [{**one, "name": "run"}], list(rows), looks)):
        drawn = ElementTree.fromstring(plot)
        lines = [(group.findtext("title"), group.find("path[@class='whisker']")) for group in drawn.iter("g")]
        arrows = [said for said, line in lines if line is not None and HEAD in line.get("d")]
        assert [said.split(":")[0] for said in arrows] == ["lossy p99"]
        assert arrows[0].endswith(" to inf")
        assert "A full mark with an arrow: so many requests failed" in "".join(drawn.itertext())


def test_an_infinite_quantile_has_no_mark_and_a_sentence(tmp_path):
    """A p99 that is infinite has no mark, and the note says why; its description does not call it unknown."""
    rows = {"fails": [[0.02] * 200 + [None] * 50] * 2, "whole": [[0.02] * 250] * 2}
    for names, there in ((["whole"], False), (list(rows), True)):
        directory = make_run(tmp_path / f"{there}", {name: rows[name] for name in names})
        one = summarise([load(directory)])
        said = "".join(ElementTree.fromstring(quantiles("k", one, looks_in([one]))).itertext())
        assert ("No mark: so many requests failed that it is infinite." in said) == there
        assert ("fails p99: infinite" in said) == there


def stable(name: str) -> dict[str, object]:
    """Return a scheme's part of a point of a crossover's answer."""
    return {"variant": name, "value_s": 0.01, "ci95_s": None, "infinite": False, "unstable": False}


def test_the_line_at_zero_is_drawn_over_the_range_of_a_crossing():
    """In a plot of differences the shaded range is below the line at zero, to which the caption refers, not above."""
    ends = ((0.1, 0.002, [0.001, 0.003], 1), (0.8, -0.002, [-0.003, -0.001], -1))
    differences = [
        {"value": value, "difference_s": by, "ci95_s": ci95, "verdict": verdict, "ratio": None}
        for value, by, ci95, verdict in ends
    ]
    crossing = {"at": 0.4, "ci95": [0.3, 0.5]}
    pair = {"first": "a", "second": "b", "differences": differences, "crossings": [crossing], "said": "a, then b"}
    axis = {"over": "utilisation", "from": 0.1, "to": 0.8, "log": False}
    points = [{"value": value, "schemes": [stable("a"), stable("b")]} for value, *_ in ends]
    drawn = ElementTree.fromstring(_difference({**axis, "metric": "p99", "config": {}, "points": points}, pair, 0))
    classes = [part.get("class") for part in drawn.find("svg")]
    assert classes.count("band") == 1
    assert classes.count("axis") == 2
    assert classes.index("band") < classes.index("axis")
