"""A recommendation from question to answer, on real simulations, small ones."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from collagebench.config import Config
from collagebench.errors import OutputError
from collagebench.report.recommendation import print_recommendation
from collagebench.study.recommend import ANSWER, PAGE, Asked, recommend, save
from collagebench.study.wishes import Wishes

CONFIG = Config(runs=4, requests=150, compute_time=0.001)
LOADS = ({"utilisation": 0.2}, {"utilisation": 0.4})


def answered(directory: Path, schemes: tuple[str, ...], **wishes: Any) -> dict[str, Any]:
    """Return the answer about some schemes at two loads."""
    return recommend(Asked(CONFIG, LOADS, Wishes(**wishes), schemes), directory)


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the points of all tests are kept, so that each is simulated once."""
    return tmp_path_factory.mktemp("study")


def test_stragglers_are_cured_by_what_meets_the_slo_at_the_least_work(directory: Path) -> None:
    """Hedging meets a p99 of 100 ms that no redundancy (142 ms) breaks; two replicas would cost twice the work."""
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


def test_where_nothing_is_to_be_cured_it_says_so(directory: Path) -> None:
    """An SLO that the fleet meets as it is costs nothing."""
    answer = answered(directory, ("hedge", "replication"), slo=0.5)
    assert answer["choice"] == "none"
    assert answer["explanation"][0].startswith("Use no redundancy")
    assert answer["settings"] is None


def test_an_answer_that_never_comes_is_not_right(directory: Path) -> None:
    """Where a fifth of the replies are lost, no redundancy is right about at most the others; a guess beats nothing."""
    config = replace(CONFIG, stragglers="erasure", base=0.15, drop_share=0.2, deadline=1.0)
    loads = ({"utilisation": 0.3},)
    answer = recommend(Asked(config, loads, Wishes(slo=0.1), ("default",)), directory / "lossy")
    plain, guessing = ({one["variant"]: one for one in answer["candidates"]}[name] for name in ("none", "default"))
    assert 0.7 < plain["accuracy"] < 0.87
    assert (plain["lost"], plain["status"]) == (0.0, "late")
    assert guessing["lost"] == pytest.approx(plain["accuracy"] - guessing["accuracy"])
    assert guessing["lost"] < 0.01
    assert answer["choice"] == "default"


def test_where_nothing_will_do_it_names_the_nearest(directory: Path) -> None:
    """No scheme answers faster than a service takes."""
    answer = answered(directory, ("hedge", "replication"), slo=0.001)
    assert answer["choice"] is None
    assert answer["ranking"] == []
    assert answer["closest"] is not None
    assert answer["explanation"][0].startswith("Nothing meets the SLO of 1 ms")


def test_what_was_simulated_is_not_simulated_again(directory: Path) -> None:
    """Another question about the same fleet reads the records that are there, but for what depends on the SLO."""

    def ask(slo: float, load: float) -> dict[Path, int]:
        asked = Asked(replace(CONFIG, slo_ms=1e3 * slo), ({"utilisation": load},), Wishes(slo), ("hedge", "default"))
        recommend(asked, directory)
        return {path.parent: path.stat().st_mtime_ns for path in directory.glob("*/requests.csv")}

    before, after = ask(0.1, 0.4), ask(0.2, 0.4)
    assert before.items() <= after.items()
    assert {path.name for path in set(after) - set(before)} == {"default-0.19-utilisation-0.4"}
    assert after.items() <= ask(0.2, 0.3).items()


def test_the_answer_is_kept_as_json_and_as_a_page_that_loads_nothing(directory: Path) -> None:
    """Both name the choice; the JSON has no number that JSON does not know, the page no address."""
    answer = answered(directory, ("hedge",), slo=0.1)
    save(answer, directory)
    assert json.loads((directory / ANSWER).read_text()) == answer
    page = (directory / PAGE).read_text()
    assert answer["explanation"][0] in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    assert "https://" not in page


def test_an_answer_that_cannot_be_kept_is_one_sentence(directory: Path) -> None:
    """The place and the reason."""
    with pytest.raises(OutputError, match=r"the answer cannot be written to .*nowhere"):
        save(answered(directory, ("hedge",), slo=0.1), directory / "nowhere")


def test_the_table_fits_80_columns(directory: Path) -> None:
    """The longest names and an overload included, in a terminal that knows no more than ASCII as well."""
    overload = ({"utilisation": 0.9},)
    schemes = ("hedge", "replication", "collage")
    answer = recommend(Asked(replace(CONFIG, requests=600), overload, Wishes(0.1, budget=0.01), schemes), directory)
    assert "unsteady" in {one["status"] for one in answer["candidates"]}
    for encoding in ("utf-8", "ascii"):
        place = directory / f"table-{encoding}"
        with place.open("w", encoding=encoding, errors="strict") as file:
            print_recommendation(answer, Console(file=file, width=80))
        lines = place.read_text(encoding=encoding).splitlines()
        assert max(map(len, lines)) <= 80
