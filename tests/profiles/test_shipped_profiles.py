"""The bundled profiles: each can be planned and simulated, and is what its name says."""

from __future__ import annotations

import json

import numpy as np
import pytest
from click.testing import CliRunner

from collagebench.cli import cli
from collagebench.cli.resolve import resolve, resolve_grid
from collagebench.engine.plan import make_plan
from collagebench.errors import UsageError
from collagebench.paths import profiles_dir
from collagebench.read_profile import read_profile
from collagebench.stragglers.failures import Crash, Erasure
from collagebench.stragglers.natural import Natural

NAMES = sorted(path.stem for path in profiles_dir().glob("*.toml"))
SMALL = {"requests": 60, "runs": 1, "compute_time": 0.0002}
ANNOUNCED = {
    "burst-sweep", "collage-policies", "collage-result", "crashes", "every-scheme", "heavy-pareto", "lasting-markov",
    "load-sweep", "lost-replies", "machines-slow-collage", "machines-slow-nowhere", "machines-slow-single", "natural",
    "paper", "paper-16+1", "paper-25+1", "parm-k2", "parm-k3", "parm-k4", "persistence-sweep", "quick", "tail-at-scale",
}  # fmt: skip


def options(name):
    """Return the options of a small version of a profile."""
    return {"profile": name, **SMALL}


def test_all_that_are_announced_are_there():
    """The bundled profiles are exactly those listed here."""
    assert set(NAMES) == ANNOUNCED


@pytest.mark.parametrize("name", NAMES)
def test_each_is_described_and_planned(name):
    """A profile has a description of 41 to 199 characters and schemes, and a plan has models and workers for each."""
    profile = read_profile(profiles_dir() / f"{name}.toml")
    assert 40 < len(profile.description) < 200
    assert profile.description.endswith((".", "?"))
    assert profile.values["schemes"]
    config = resolve_grid(options(name)).cells[0].config
    plan = make_plan(config)
    assert [variant.name for variant in plan.variants] == [scheme.variant for scheme in config.schemes]
    assert {scheme.name for scheme in config.schemes} == {scheme.name for scheme in profile.values["schemes"]}
    for variant in plan.variants:
        assert variant.models.keys() == variant.workers.keys()
        assert sum(map(len, variant.workers.values())) <= plan.config.workers


@pytest.mark.parametrize("name", NAMES)
def test_each_answers_every_request(name, tmp_path):
    """A small simulation answers every request; a profile of natural stragglers is refused with its line.

    If replies or workers are lost, requests of `none` may fail.
    """
    chosen = options(name)
    typed = [text for key, value in chosen.items() for text in (f"--{key.replace('_', '-')}", str(value))]
    done = CliRunner().invoke(cli, ["simulate", *typed, "--out", str(tmp_path / "out"), "--format", "json"])
    grid = resolve_grid(chosen)
    stragglers = make_plan(grid.cells[0].config).stragglers
    if isinstance(stragglers, Natural):
        assert isinstance(done.exception, UsageError)
        assert f"profile {profiles_dir() / name}.toml, line " in str(done.exception)
        return
    assert done.exception is None or isinstance(done.exception, SystemExit), done.output
    summary = json.loads(done.stdout)
    cells = summary["cells"] if grid.axes else [summary]
    assert len(cells) == len(grid.cells)
    assert {len(cell["schemes"]) for cell in cells} == {len(grid.cells[0].config.schemes)}
    for scheme in (scheme for cell in cells for scheme in cell["schemes"]):
        assert (scheme["runs"], scheme["requests"]) == (1, 57)
        may_fail = isinstance(stragglers, (Crash, Erasure)) and scheme["scheme"] == "none"
        assert scheme["failed"] == 0 or may_fail


@pytest.mark.parametrize(("name", "grid"), [("paper", 3), ("paper-16+1", 4), ("paper-25+1", 5)])
def test_the_papers_fleets(name, grid):
    """The paper's fleets have one collage worker, and as many singles as the collage has cells."""
    plan = make_plan(resolve(options(name)))
    collages = [variant for variant in plan.variants if variant.config.name == "collage"]
    assert collages
    for variant in collages:
        assert {role: len(workers) for role, workers in variant.workers.items()} == {"single": grid**2, "collage": 1}
        assert variant.models["collage"].grid == grid
    assert plan.stragglers.mean == pytest.approx(0.154, abs=0.001)


@pytest.mark.parametrize("k", [2, 3, 4])
def test_parms_fleets(k):
    """ParM's fleets have 12 singles and 12 / k parities; `equal` has as many workers, and `none` has 12."""
    plan = make_plan(resolve({"profile": f"parm-k{k}", **SMALL}))
    fleets = {variant.name: {r: len(w) for r, w in variant.workers.items()} for variant in plan.variants}
    assert fleets["parity add"] == {"single": 12, "parity": 12 // k}
    assert fleets["equal"] == {"single": 12 + 12 // k}
    assert fleets["none"] == {"single": 12}


@pytest.mark.parametrize(("name", "role"), [("single", "single"), ("collage", "collage"), ("nowhere", None)])
def test_who_has_the_slow_machine(name, role):
    """The slow machine is a single, the collage worker or none, as the profile's name says."""
    plan = make_plan(resolve({"profile": f"machines-slow-{name}", **SMALL}))
    workers = next(variant.workers for variant in plan.variants if variant.config.name == "collage")
    for run in range(5):
        means = {
            worker: np.mean([plan.stragglers.draw(run, worker, request, 0, 0.0) for request in range(50)])
            for worker in range(plan.config.workers)
        }
        slow = [worker for worker, mean in means.items() if mean > 0.4 * 0.2]
        assert slow == (
            [] if role is None else [{"single": workers["single"][0], "collage": workers["collage"][0]}[role]]
        )


def test_the_tail_at_scale():
    """Tasks take 10 ms or 1 s, and 1 to 3 % of them take 1 s."""
    stragglers = make_plan(resolve({"profile": "tail-at-scale", **SMALL})).stragglers
    draws = [stragglers.draw(0, 0, request, 0, 0.0) for request in range(5000)]
    assert {round(draw, 6) for draw in draws} == {0.01, 1.0}
    assert 0.01 < np.mean(np.array(draws) > 0.5) < 0.03


def test_quick_is_quick():
    """The profile `quick` sends its requests within 10 to 25 s."""
    plan = make_plan(resolve({"profile": "quick"}))
    seconds = len(plan.variants) * sum(workload.arrivals[-1] for workload in plan.workloads)
    assert 10 < seconds < 25
