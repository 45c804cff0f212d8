"""A worker's orders are sent as JSON without loss, and checked."""

from __future__ import annotations

import json
from typing import Any

import pytest

from collagebench.errors import UsageError
from collagebench.worker.spec import Disturbance, ModelFile, WorkerSpec, from_json, to_json


def test_a_spec_comes_back_from_json_as_it_was() -> None:
    """A spec that is written as JSON and read again equals itself."""
    spec = WorkerSpec(3, (ModelFile("a", "/models/ä.onnx", "00", (32, 32, 3)), ModelFile("b", "b", "11", (96, 96, 3))))
    assert from_json(json.loads(json.dumps(to_json(spec)))) == spec


@pytest.mark.parametrize("name", ["stop_every", "stop_for", "period_ms", "transfers", "transfer_mb", "quota"])
@pytest.mark.parametrize("value", [0, -1.0, float("inf"), float("nan")])
def test_how_much_a_worker_is_disturbed_is_a_number_above_0(name: str, value: float) -> None:
    """A parameter of a disturbance that is 0, negative, infinite or not a number is refused by name."""
    with pytest.raises(UsageError, match=rf"{name} is {value} for the disturbance stop; it must be above 0"):
        Disturbance("stop", (0,), **{name: value})


@pytest.mark.parametrize(("changed", "name"), [({"kind": "quake"}, "kind"), ({"load": "disk"}, "load")])
def test_a_disturbance_that_nobody_knows_is_refused(changed: dict[str, Any], name: str) -> None:
    """An unknown kind or load is refused with the known ones."""
    with pytest.raises(UsageError, match=rf"{name} of a disturbance is '(quake|disk)'; it must be \w+ or \w+"):
        Disturbance(**{"kind": "stop", "workers": (0,), **changed})
