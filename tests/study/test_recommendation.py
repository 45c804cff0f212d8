"""A recommendation from question to answer, on small real simulations."""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from synthetic_run import make_run

from collagebench.config import Config, SchemeConfig
from collagebench.errors import OutputError
from collagebench.report.parts import as_ms
from collagebench.report.recommendation import cautions, print_recommendation, said_points
from collagebench.report.recommendation_page import recommendation_page
from collagebench.report.summary import summarise
from collagebench.results.reader import load
from collagebench.statistics.intervals import half_width
from collagebench.study.candidates import NONE
from collagebench.study.judged import candidate_of
from collagebench.study.points import keep_answer
from collagebench.study.recommend import ANSWER, PAGE, Asked, recommend, save
from collagebench.study.trial import command_of
from collagebench.study.wishes import Candidate, Wishes, status

CONFIG = Config(runs=10, requests=150, compute_time=0.001)
LOADS = ({"utilisation": 0.2}, {"utilisation": 0.4})


def answered(directory: Path, schemes: tuple[str, ...], **wishes: Any) -> dict[str, Any]:
    """Return a copy of the answer about these schemes at two loads."""
    return deepcopy(_answered(directory, schemes, Wishes(**wishes)))


@cache
def _answered(directory: Path, schemes: tuple[str, ...], wishes: Wishes) -> dict[str, Any]:
    """Return the answer, which takes seconds to compute and is therefore cached."""
    return recommend(Asked(CONFIG, LOADS, wishes, schemes), directory)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the directory of all tests' points, so that each is simulated once."""
    return tmp_path_factory.mktemp("study")


def test_stragglers_are_cured_by_what_meets_the_slo_at_the_least_work(directory: Path) -> None:
    """Hedging is chosen: it meets a p99 of 100 ms (no redundancy: 142 ms) for less work than two replicas."""
    answer = answered(directory, ("hedge", "replication"), slo=0.1)
    assert answer["choice"].startswith("hedge")
    chosen = next(one for one in answer["candidates"] if one["variant"] == answer["choice"])
    plain = next(one for one in answer["candidates"] if one["variant"] == "none")
    assert chosen["latency_s"] <= 0.1 < plain["latency_s"]
    assert plain["status"] == "late"
    assert chosen["work"] < 1.3
    assert len(chosen["loads"]) == 2
    assert len(answer["explanation"]) <= 5
    assert "hedgingPolicy" in answer["settings"]["grpc"]


def test_the_fixed_delay_that_is_exported_is_simulated_itself(directory: Path) -> None:
    """The exported fixed delay is simulated at both loads, and gives about the p99 of the running percentile."""
    answer = answered(directory, ("hedge", "replication"), slo=0.1)
    chosen = next(one for one in answer["candidates"] if one["variant"] == answer["choice"])
    found, delay = answer["settings"]["simulated"], answer["settings"]["delay_s"]
    assert found["variant"] == f"hedge after {1e3 * delay:g} ms"
    assert found["options"]["hedge_delay"] == delay
    assert len(found["loads"]) == 2
    assert found["latency_s"] == pytest.approx(chosen["latency_s"], rel=0.3)
    assert found["status"] in ("meets", "perhaps")
    assert "That misses the requirements" not in cautions(answer)
    shown = StringIO()
    print_recommendation(answer, Console(file=shown, width=200))
    assert f"Simulated with it: a p99 of {1e3 * found['latency_s']:.1f} ms" in shown.getvalue()


def test_a_fixed_delay_that_breaks_what_was_asked_for_says_so(directory: Path) -> None:
    """If the fixed delay breaks the requirements, or overloads the fleet, the caution says so."""
    answer = answered(directory, ("hedge", "replication"), slo=0.1)
    answer["settings"]["simulated"]["status"] = "expensive"
    assert "the work. That misses the requirements (too much work)" in cautions(answer)
    answer["settings"]["simulated"] |= {"status": "unsteady", "unsteady": "its queue grew"}
    assert "Simulated with it: an overload. That misses the requirements (unstable)" in cautions(answer)


def test_of_too_few_requests_a_quantile_is_only_bounded(tmp_path: Path) -> None:
    """If requests are too few for p99, its lower bound is shown in the table, the sentence and the page."""
    few = replace(CONFIG, runs=2, requests=100)
    answer = recommend(Asked(few, LOADS[:1], Wishes(slo=0.2), ("none",)), tmp_path)
    (one,) = answer["candidates"]
    assert not one["bounded"]
    out = StringIO()
    print_recommendation(answer, Console(file=out, width=80))
    assert f">= {as_ms(one['latency_s'])}" in out.getvalue()
    assert "raise --requests or --runs" in out.getvalue()
    assert "a p99 of at least " in answer["explanation"][0]
    assert "≥ " in recommendation_page(answer, "one")


def test_where_nothing_is_to_be_cured_it_says_so(directory: Path) -> None:
    """If the fleet meets the SLO as it is, no redundancy is recommended."""
    answer = answered(directory, ("hedge", "replication"), slo=0.5)
    assert answer["choice"] == "none"
    assert answer["explanation"][0].startswith("Use no redundancy")
    assert answer["explanation"][1].startswith("Without stragglers, the p99 would be ")
    assert "Without redundancy" not in " ".join(answer["explanation"])
    assert answer["settings"] is None


def test_an_answer_that_never_comes_is_not_right(directory: Path) -> None:
    """If a fifth of the replies is lost, no redundancy is right for at most the rest, and `default` is chosen."""
    config = replace(CONFIG, stragglers="erasure", base=0.15, drop_share=0.2, deadline=1.0)
    loads = ({"utilisation": 0.3},)
    answer = recommend(Asked(config, loads, Wishes(slo=0.1), ("default",)), directory / "lossy")
    plain, guessing = ({one["variant"]: one for one in answer["candidates"]}[name] for name in ("none", "default"))
    assert 0.7 < plain["accuracy"] < 0.87
    assert (plain["lost"], plain["status"]) == (0.0, "late")
    assert guessing["lost"] == pytest.approx(plain["accuracy"] - guessing["accuracy"])
    assert guessing["lost"] < 0.01
    assert answer["choice"] == "default"
    assert f", perhaps {said_points(guessing['lost_at_most'], 0.01)})" in answer["explanation"][0]
    assert guessing["accuracy_at_least"] < guessing["accuracy"] == guessing["loads"][0]["accuracy"]


def test_how_many_requests_fail_is_a_matter_of_chance(tmp_path: Path) -> None:
    """If 0 to 10 % of a run's requests fail, 5 % on average, and the others are right, 93 % are only perhaps right."""
    lost = (0, 10, 20, 30, 40, 0, 10, 20, 30, 40)
    latencies = [[None] * some + [0.01 + 1e-6 * number for number in range(400 - some)] for some in lost]
    wishes = Wishes(quantile="p50", accuracy=0.93)
    one = candidate_of(NONE, [summarise([load(make_run(tmp_path / "run", {"none": latencies}))])], wishes)
    assert one.accuracy == pytest.approx(0.95)
    assert status(one, wishes) == "perhaps"
    assert status(one, replace(wishes, accuracy=0.9)) == "meets"


def test_how_many_more_requests_fail_is_a_matter_of_chance(tmp_path: Path) -> None:
    """If 0 to 2 % of a run's requests fail where none did, a loss of one point on average is only perhaps below 1.5."""
    lost = (0, 2, 4, 6, 8, 0, 2, 4, 6, 8)
    some = [[None] * few + [0.01 + 1e-6 * number for number in range(400 - few)] for few in lost]
    wishes = Wishes(quantile="p50", loss=0.015)
    summary = summarise([load(make_run(tmp_path / "run", {"none": [[0.01] * 400] * 10, "reissue": some}))])
    one = candidate_of(SchemeConfig("reissue", "reissue"), [summary], wishes)
    assert one.lost == pytest.approx(0.01)
    mean = half_width([few / 400 for few in lost])
    assert one.lost_at_most == pytest.approx(0.01 + mean)
    assert status(one, wishes) == "perhaps"
    assert status(one, replace(wishes, loss=0.02)) == "meets"
    same = {"none": some, "reissue": some}  # the same requests fail in both
    summary = summarise([load(make_run(tmp_path / "same", same))])
    equal = candidate_of(SchemeConfig("reissue", "reissue"), [summary], wishes)
    assert (equal.lost, equal.lost_at_most) == (0.0, 0.0)


def test_few_answers_that_agree_do_not_show_that_a_collage_loses_none(tmp_path: Path) -> None:
    """With 10 equal answers of each run a collage only perhaps loses nothing, while replication uses the same model."""
    few = replace(CONFIG, accuracy=10)
    answer = recommend(Asked(few, LOADS[:1], Wishes(slo=0.1, loss=0.002), ("collage", "replication")), tmp_path)
    equal = {(one["scheme"], one["status"]) for one in answer["candidates"][1:] if one["lost"] == 0.0}
    assert equal == {("replication", "meets"), ("collage", "perhaps")}
    (cheaper,) = [line for line in answer["explanation"] if "perhaps good enough: collage" in line]
    assert "100.0 % right (+0.0 points, perhaps -" in cheaper


def test_where_nothing_will_do_it_names_the_nearest(directory: Path) -> None:
    """If no scheme meets an SLO of 1 ms, the nearest is named instead."""
    answer = answered(directory, ("hedge", "replication"), slo=0.001)
    assert answer["choice"] is None
    assert answer["ranking"] == []
    assert answer["near_misses"].keys() == {"slo"}
    assert answer["explanation"][0].startswith(
        "No scheme meets all the requirements. Without the SLO of 1 ms, the nearest is "
    )


def test_the_budget_is_named_where_it_is_in_the_way(directory: Path) -> None:
    """If the budget rules out every scheme, the answer names the nearest without the budget and without the SLO."""
    answer = answered(directory, ("replication",), slo=0.1, budget=0.01)
    budget, slo, *_ = answer["explanation"]
    assert budget.startswith(
        "No scheme meets all the requirements. Without the budget of 1 % extra work, the nearest is "
    )
    assert slo.startswith("Without the SLO of 100 ms, the nearest is no redundancy: ")


def test_the_command_tries_the_choice_on_the_fleet_that_was_asked_about() -> None:
    """The command has every option that is not the default, so that `simulate` answers the same question."""
    config = replace(CONFIG, workers=6, stragglers="bimodal", slow_factor=20.0, seed=5, data=Path("some where"))
    choice = Candidate("hedge p90", "hedge", {"hedge_delay": "p90"}, ())
    asked = Asked(config, ({"rate": 7.0}, {"rate": 50.0}), Wishes())
    command = command_of(choice, asked.highest, 50.0, Path())
    timed = replace(config, compute_time=0.2, rate=None)
    assert "--rate 12.5 " in command_of(choice, timed, 12.5, Path()), "of real workers"
    assert shlex.split(command) == [
        *("--scheme", "hedge", "--hedge-delay", "p90", "--workers", "6", "--data", "some where", "--rate", "50"),
        *("--stragglers", "bimodal", "--slow-factor", "20", "--seed", "5"),
    ]


def test_a_fixed_delay_of_ones_own_is_what_proxies_get(directory: Path) -> None:
    """It is not simulated a second time, and is not said to be a percentile."""
    own = SchemeConfig("hedge", "mine", (("hedge_delay", 0.05),))
    answer = recommend(Asked(CONFIG, LOADS, Wishes(slo=0.12), ("none",), (own,)), directory)
    assert answer["choice"] == answer["settings"]["simulated"]["variant"] == "mine"
    assert '"0.05s"' in answer["settings"]["grpc"]
    assert "It takes only fixed delays, as Envoy does: this one is the choice's. Send copies" in cautions(answer)
    assert not list(directory.glob("hedge-after-50-ms*"))


def test_what_a_variant_of_ones_own_lacks_is_said_by_its_name(tmp_path: Path) -> None:
    """One without a model is left out with the reason, and not called by the first word of its name."""
    own = SchemeConfig("collage", "my mosaics", (("grid", 15),))
    answer = recommend(Asked(replace(CONFIG, runs=2), LOADS[:1], Wishes(slo=0.5), ("none",), (own,)), tmp_path)
    assert answer["explanation"][-1].endswith("Not considered, for lack of a model or of workers: my mosaics.")
    (left,) = answer["not_considered"]
    assert "collage" in left["why"]
    assert f"<b>my mosaics</b>: {left['why']}" in recommendation_page(answer, "t")


def test_settings_and_command_are_printed_as_they_are(directory: Path) -> None:
    """Settings and command are printed without line breaks of their own, however narrow the terminal."""
    answer = answered(directory, ("hedge", "replication"), slo=0.1)
    assert answer["choice"].startswith("hedge")
    file = StringIO()
    print_recommendation(answer, Console(file=file, width=40, no_color=True))
    for text in (*filter(None, (answer["settings"][key] for key in ("grpc", "envoy"))), answer["command"]):
        assert text in file.getvalue()


def test_what_was_simulated_is_not_simulated_again(tmp_path: Path) -> None:
    """Another question about the same fleet reuses the records, except what depends on the answer."""

    def ask(slo: float, load: float) -> dict[Path, int]:
        config = replace(CONFIG, slo_ms=1e3 * slo, runs=3)
        recommend(Asked(config, ({"utilisation": load},), Wishes(slo), ("hedge", "default")), tmp_path)
        return {path.parent: path.stat().st_mtime_ns for path in tmp_path.glob("*/requests.csv")}

    before, after = ask(0.1, 0.4), ask(0.2, 0.4)
    assert before.items() <= after.items()
    new = {path.name for path in set(after) - set(before) if not path.name.startswith("hedge-after-")}
    assert new == {"default-0.19-utilisation-0.4"}
    assert after.items() <= ask(0.2, 0.3).items()


def test_two_hedges_of_one_fixed_delay_have_records_of_their_own(tmp_path: Path) -> None:
    """If hedges with and without a budget are chosen in turn and lead to one delay, both questions are answered."""
    config = replace(CONFIG, stragglers="bimodal")
    found = []
    for budget in (None, 0.037):
        wishes = Wishes(slo=0.19, quantile="p95", loss=1.0, budget=budget)
        found.append(recommend(Asked(config, ({"utilisation": 0.3},), wishes, ("hedge",)), tmp_path))
    assert [answer["choice"] for answer in found] == ["hedge p90", "hedge p90 5 %"]
    simulated = [answer["settings"]["simulated"] for answer in found]
    assert [one["variant"] for one in simulated] == ["hedge after 24 ms"] * 2
    assert [one["options"].get("hedge_budget") for one in simulated] == [None, 0.05]


def test_the_answer_is_kept_as_json_and_as_a_page_that_loads_nothing(directory: Path) -> None:
    """The answer is saved as JSON and as a page that loads nothing."""
    answer = answered(directory, ("hedge", "replication"), slo=0.1)
    save(answer, directory)
    assert json.loads((directory / ANSWER).read_text()) == answer
    page = (directory / PAGE).read_text()
    assert answer["explanation"][0] in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page
    assert "chosen (front)" in page


def test_an_answer_that_cannot_be_kept_is_one_sentence(directory: Path) -> None:
    """An answer that cannot be written is an error in one sentence with the path."""
    with pytest.raises(OutputError, match=r"the answer cannot be written to .*nowhere"):
        save(answered(directory, ("hedge", "replication"), slo=0.1), directory / "nowhere")


@pytest.mark.parametrize(("make", "why"), [(os.mkdir, "Is a directory"), (os.mkfifo, "it is not a regular file")])
def test_what_stands_in_place_of_the_answer_is_named(tmp_path: Path, make: Callable[[Path], None], why: str) -> None:
    """A directory or a pipe in place of the answer is refused at once, with what to do."""
    make(tmp_path / "answer.json")
    said = rf"answer\.json \({why}\): mend that and repeat the command; what was simulated is kept$"
    with pytest.raises(OutputError, match=said):
        keep_answer({}, "", tmp_path, ("answer.json", "answer.html"))


def test_the_table_fits_80_columns(directory: Path) -> None:
    """The table fits into 80 columns, with long names and an overload, in UTF-8 and in ASCII."""
    overload = ({"utilisation": 0.9},)
    schemes = ("replication", "collage")
    config = replace(CONFIG, requests=400, runs=3)
    answer = recommend(Asked(config, overload, Wishes(0.1, budget=0.01), schemes), directory)
    assert "unsteady" in {one["status"] for one in answer["candidates"]}
    for encoding in ("utf-8", "ascii"):
        place = directory / f"table-{encoding}"
        with place.open("w", encoding=encoding, errors="strict") as file:
            print_recommendation(answer, Console(file=file, width=80))
        lines = place.read_text(encoding=encoding).splitlines()
        assert max(map(len, lines)) <= 80
        named = {one["variant"] for one in answer["candidates"]}
        assert any(f" {name}* " in line or f" {name}  " in line for line in lines for name in named if len(name) > 20)


def test_whatever_a_sentence_names_has_a_row(directory: Path) -> None:
    """A variant that the explanation names is in the table, even if it would otherwise be one of those left out."""
    answer = answered(directory, ("hedge", "replication"), slo=0.1)

    def rows() -> str:
        printed = StringIO()
        print_recommendation(answer, Console(file=printed, width=100))
        return printed.getvalue().split("─\n")[1].split("\n\n")[0]

    hidden = next(one["variant"] for one in answer["candidates"] if one["variant"] not in rows())
    answer["explanation"].append(f"Cheaper, but ruled out: {hidden} (1.02x the work) is too slow.")
    assert hidden in rows()


@pytest.mark.parametrize(("width", "left_out"), [(66, ["the bars"]), (50, ["the bars", "points"])])
def test_what_a_narrow_terminal_has_no_room_for_is_left_out(directory: Path, width: int, left_out: list[str]) -> None:
    """A narrow terminal leaves out bars and columns before it breaks a name, and says which."""
    answer = answered(directory, ("hedge", "replication"), slo=0.1)
    wide, narrow = StringIO(), StringIO()
    print_recommendation(answer, Console(file=wide, width=100))
    print_recommendation(answer, Console(file=narrow, width=width))
    said = narrow.getvalue()
    rows, table = (text.split("─\n")[1].split("\n\n")[0].splitlines() for text in (wide.getvalue(), said))
    assert [line[:12] for line in rows] == [line[:12] for line in table[:-1]]
    assert table[-1] == f"too narrow for {', '.join(left_out)}"
    assert max(map(len, table)) <= width
    assert ("right answers compared with no redundancy" in said) == ("points" not in left_out)
    assert "the SLO\n" not in said


def test_a_command_that_may_be_invalid_says_so(tmp_path: Path) -> None:
    """A command whose services are too short for a live client is printed with that warning."""
    for seconds, told in ((0.0004, True), (0.02, False)):
        config = replace(CONFIG, stragglers="none", compute_time=seconds, runs=3)
        answer = recommend(Asked(config, ({"rate": 50.0},), Wishes(), ("none",)), tmp_path / str(told))
        file = StringIO()
        print_recommendation(answer, Console(file=file, width=80))
        said = "(may be INVALID: services of 0.4 ms are too short for a live client)"
        assert (said in file.getvalue().split("Try it: collagebench run ")[1]) == told


def test_what_was_asked_is_repeated_as_it_was_asked(directory: Path) -> None:
    """Limits are repeated with all their digits, and a single variant is compared with no other."""
    answer = answered(directory, ("none",), slo=0.9999, loss=0.0125, budget=10.0)
    shown = StringIO()
    print_recommendation(answer, Console(file=shown, width=80))
    text = " ".join(shown.getvalue().split())
    assert "p99 below 999.9 ms, at most 1.25 points lost, at most 1000 % extra work" in text
    assert "against an SLO of 999.9 ms" in text
    assert "No other scheme was asked about (--scheme). Of 1 variant: 1" in text


def test_the_page_has_the_interval_of_every_load(directory: Path) -> None:
    """The end that a verdict counts is on the page, also where it is not at the load with the highest quantile."""
    answer = answered(directory, ("replication",), quantile="p50")
    page = recommendation_page(answer, "t")
    for one in answer["candidates"]:
        for ends in (at["ci95_s"] for at in one["loads"]):
            assert f"<small>{as_ms(ends[0])} to {as_ms(ends[1])}</small>" in page


def test_a_variant_whose_latency_is_infinite_is_named_so(directory: Path) -> None:
    """Below the plots stands that the latency of a variant is infinite, where so many of its requests fail."""
    answer = answered(directory, ("none", "replication", "tied"))
    infinite = next(one for one in answer["candidates"] if one["variant"] == "none")
    assert "p99 is infinite" not in recommendation_page(answer, "t")
    infinite["latency_s"] = None
    assert "Not shown, as their p99 is infinite: none." in recommendation_page(answer, "t")


def test_options_in_the_sentences_of_the_page_are_code(directory: Path) -> None:
    """An option in a sentence or a note is marked as code, so that no line breaks inside it."""
    answer = answered(directory, ("none",))
    page = recommendation_page({**answer, "warnings": ["too few: raise --requests or --runs."]}, "t")
    assert "No other scheme was asked about (<code>--scheme</code>)" in page
    assert "raise <code>--requests</code> or <code>--runs</code>." in page


def test_the_page_says_which_quantile_it_shows(directory: Path) -> None:
    """Plots of p50 are titled p50, and nothing on the page says p99."""
    page = recommendation_page(answered(directory, ("replication",), quantile="p50"), "t")
    assert "p50 against accuracy" in page
    assert "p99" not in page.split("<main", 1)[1].split("The question", 1)[0]
