"""A training step: the one recorded on a GPU moves weights like the one executed directly."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from quick_training import LAYERS  # noqa: E402
from tones import Tones  # noqa: E402

from collagebench.models.architecture import Architecture  # noqa: E402
from collagebench.models.network import Network  # noqa: E402
from collagebench.training import checkpoint as checkpoints  # noqa: E402
from collagebench.training import step as steps  # noqa: E402
from collagebench.training.loop import train  # noqa: E402
from collagebench.training.recipe import Recipe  # noqa: E402

ROLES = {
    "single": {},
    "collage": {"grid": 2},
    "detection": {"grid": 2, "head": "detection"},
    "parity": {"k": 2, "code": "addition"},
}
on_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")


@on_gpu
@pytest.mark.parametrize("role", ROLES)
def test_a_recorded_step_moves_weights_as_one_by_hand(
    role: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Losses and weights of a recorded step and a direct one agree, with all options and after a resume."""
    fields = ROLES[role]
    architecture = Architecture("collage" if "grid" in fields else role, 2, (8, 8), **fields, **LAYERS)
    recipe = Recipe(
        "tones", epochs=4, batch=8, rate=0.1, muon=0.05, ema=0.9, crop=1, cutout=3, mix=0.3, cutmix=0.3, blanks=0.5,
        rounds=3, teacher="0" * 64, teacher_sees="inputs",
    )  # fmt: skip
    rng = np.random.default_rng(1)
    rounds = rng.normal(size=(3, 588, 2)).astype(np.float16)
    plain = rng.normal(size=(recipe.views, 600, 2)).astype(np.float32)
    ends = {}
    for recorded in (False, True):
        path = tmp_path / f"{recorded}.pt"
        replay, replays = torch.cuda.CUDAGraph.replay, []
        monkeypatch.setattr(torch.cuda.CUDAGraph, "replay", lambda g, r=replay, n=replays: (n.append(g), r(g))[1])
        if not recorded:
            monkeypatch.setattr(steps, "recordable", lambda _: False)
        first = train(architecture, replace(recipe, epochs=2), Tones(), path, teacher=plain, rounds=rounds)
        assert first.optimizer["param_groups"][0]["fused"]
        resumed = replace(checkpoints.load(path), recipe=recipe)
        ends[recorded] = train(architecture, recipe, Tones(), path, resumed, teacher=plain, rounds=rounds)
        monkeypatch.undo()
        assert bool(replays) == recorded
    by_hand, recorded_end = ends[False], ends[True]
    assert [row["loss"] for row in recorded_end.log] == pytest.approx([row["loss"] for row in by_hand.log], rel=0.05)
    for key, value in by_hand.network.items():
        if value.ndim > 1:
            apart = (recorded_end.network[key] - value).norm() / value.norm()
            assert apart < 0.1, (key, float(apart))


def test_pictures_that_the_processor_must_make_are_not_recorded() -> None:
    """Steps with scaled-down collages or concatenations, which are made on the CPU, cannot be recorded; others can."""
    large = Architecture("collage", 2, (64, 64), 2, canvas=(64, 64), **LAYERS)
    beside = Architecture("parity", 2, (8, 8), k=2, code="concatenation", **LAYERS)
    added = Architecture("parity", 2, (8, 8), k=2, code="addition", **LAYERS)
    assert [steps.recordable(one) for one in (large, beside, added)] == [False, False, True]


def test_the_state_of_a_step_holds_numbers_only() -> None:
    """A checkpoint has learning rates as plain numbers, so that it can be read without a GPU."""
    step = steps.Step(
        Network(Architecture("single", 2, (8, 8), **LAYERS)),
        Recipe("tones", muon=0.1),
        torch.zeros(8, 8, 8, 3),
        torch.zeros(8),
    )
    for group in step.optimizer.param_groups:
        group["lr"] = torch.tensor(0.5)
    state = step.state()
    groups = state["optimizer"]["param_groups"] + state["muon"]["param_groups"]
    assert [type(group["lr"]) for group in groups] == [float, float, float]
    assert groups[0]["lr"] == 0.5
