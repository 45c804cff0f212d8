"""Whether a replay of a recorded fleet matches the fleet: record, run live, replay, and compare p50 and p99.

    python benchmarks/replay.py [--inference 0.02] [--rate 1] [--seconds 120] [--runs 3] [--workers 10]

One of the workers shares its core with a busy loop. `collagebench record` observes the workers. Then the same fleet is
run without redundancy, disturbed again, and finally undisturbed, with the recording as its stragglers. The single model
is made for this benchmark, with random weights and as many convolutions as take the given seconds on one core, because
a worker that computes for a millisecond hardly notices what shares its core. It needs the `train` extra (for `onnx`).

The load should be low (rate x workers x inference well below the number of cores): services that wait for each other's
cores are slow together, which a replay cannot reproduce, because it draws each one independently.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from collagebench import zoo
from collagebench.results.reader import Run, load

CHANNELS = 64


def chain(size: int, classes: int, convolutions: int) -> bytes:
    """Return a model, ONNX: uint8 [batch, size, size, 3] to logits [batch, classes]."""
    draws = np.random.default_rng(0)

    def weights(name: str, *shape: int) -> Any:
        values = draws.normal(size=shape) * (2 / (9 * CHANNELS)) ** 0.5
        return numpy_helper.from_array(values.astype(np.float32), name)

    held = [weights("first", CHANNELS, 3, 3, 3), weights("last", CHANNELS, classes)]
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["float"], ["planes"], perm=[0, 3, 1, 2]),
        helper.make_node("Conv", ["planes", "first"], ["x0"], pads=[1, 1, 1, 1]),
    ]
    for i in range(convolutions):
        held.append(weights(f"w{i}", CHANNELS, CHANNELS, 3, 3))
        nodes.append(helper.make_node("Conv", [f"x{i}", f"w{i}"], [f"y{i}"], pads=[1, 1, 1, 1]))
        nodes.append(helper.make_node("Relu", [f"y{i}"], [f"x{i + 1}"]))
    nodes += [
        helper.make_node("GlobalAveragePool", [f"x{convolutions}"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "last"], ["logits"]),
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, ["batch", size, size, 3])
    logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", classes])
    graph = helper.make_graph(nodes, "chain", [image], [logits], held)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    return bytes(model.SerializeToString())


def inference(model: bytes, size: int) -> float:
    """Return the median seconds of one inference with one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    times = []
    for _ in range(15):
        start = time.perf_counter()
        session.run(["logits"], {"image": np.zeros((1, size, size, 3), np.uint8)})
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def export(directory: Path, seconds: float) -> float:
    """Write a zoo of one single model that takes about `seconds`; return what it takes."""
    single = zoo.find([model for model in zoo.load(zoo.SHIPPED) if model.dataset == "shapes"], "single")
    size, classes = single.image[0], len(single.classes)
    per_convolution = inference(chain(size, classes, 20), size) / 20
    model = chain(size, classes, max(1, round(seconds / per_convolution)))
    (directory / "chain.onnx").write_bytes(model)
    shipped = json.loads((zoo.SHIPPED / "manifest.json").read_text(encoding="utf-8"))
    entry = next(entry for entry in shipped["models"] if entry["name"] == single.name)
    entry |= {"name": "chain", "file": "chain.onnx", "bytes": len(model), "sha256": hashlib.sha256(model).hexdigest()}
    manifest = {**shipped, "models": [entry]}
    (directory / "manifest.json").write_text(json.dumps(manifest), encoding="utf-8")
    return inference(model, size)


def collagebench(*arguments: object) -> None:
    """Run a command, and show its output only if it fails."""
    done = subprocess.run([sys.executable, "-m", "collagebench", *map(str, arguments)], capture_output=True, text=True)
    if done.returncode not in (0, 4):  # 4: a run that says it is not valid; the table below says how far off it is
        sys.exit(done.stderr)


def figures(run: Run) -> dict[str, float]:
    """Return p50 and p99 of services and latencies, in milliseconds."""
    service = run.tasks["service"]
    latency = run.requests["latency"][~run.requests["warmup"]]
    of = {"service": service[np.isfinite(service)], "latency": latency[np.isfinite(latency)]}
    return {f"{name} p{q}": 1e3 * float(np.quantile(v, q / 100)) for name, v in of.items() for q in (50, 99)}


def main() -> None:
    """Record, run, replay, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inference", type=float, default=0.02)
    parser.add_argument("--rate", type=float, default=1.0, help="requests a second for each worker")
    parser.add_argument("--seconds", type=float, default=120.0, help="of the recording, and of all runs together")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--workers", type=int, default=10)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="collagebench-replay-") as made:
        directory = Path(made)
        took = export(directory, asked.inference)
        rate = asked.rate * asked.workers
        print(f"{asked.workers} workers, {asked.rate:g} requests a second each, one inference {took * 1e3:.1f} ms")
        fleet, models = directory / "fleet.json", ("--models", directory)
        disturbed = ("--stragglers", "corunner", "--slow-workers", 1)
        watch = ("--workers", asked.workers, "--rate", asked.rate, "--duration", asked.seconds)
        collagebench("record", *models, *watch, *disturbed, "--out", fleet)
        requests = max(20, round(asked.seconds * rate / asked.runs))
        fleet_load = ("--scheme", "none", "--workers", asked.workers, "--rate", rate)
        amount = ("--requests", requests, "--runs", asked.runs)
        collagebench("run", *models, *fleet_load, *amount, *disturbed, "--out", directory / "live")
        collagebench("run", *models, *fleet_load, *amount, "--stragglers", fleet, "--out", directory / "replay")
        profile = json.loads(fleet.read_text(encoding="utf-8"))
        live, replayed = figures(load(directory / "live")), figures(load(directory / "replay"))
    disturbed_workers = profile["disturbed"]["workers"]
    slow = [machine["worker"] for machine in profile["machines"] if machine["slow_throughout"]]
    print(f"disturbed: worker {disturbed_workers}; found slow throughout: {slow}")
    print("worker p50 ms: " + "  ".join(f"{machine['p50_s'] * 1e3:.1f}" for machine in profile["machines"]))
    print(f"\n{'ms':12s}{'live':>9s}{'replay':>9s}{'ratio':>8s}")
    for name, value in live.items():
        print(f"{name:12s}{value:9.1f}{replayed[name]:9.1f}{replayed[name] / value:8.3f}")


if __name__ == "__main__":
    main()
