"""A worker's orders survive the way to it."""

from __future__ import annotations

import json

from collagebench.worker.spec import ModelFile, WorkerSpec, from_json, to_json


def test_a_spec_comes_back_from_json_as_it_was() -> None:
    """Written, sent as text and read, a spec equals itself."""
    spec = WorkerSpec(3, (ModelFile("a", "/models/ä.onnx", "00", (32, 32, 3)), ModelFile("b", "b", "11", (96, 96, 3))))
    assert from_json(json.loads(json.dumps(to_json(spec)))) == spec
