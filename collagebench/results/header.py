"""The schema of `run.json`: every key that a report reads, with its type.

A value is unknown if its key is missing, or null at the top level. A value of another type, or two that contradict each
other, mean that the file was changed or damaged. It is refused with the name of the key, and no report is made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from collagebench.errors import DataError
from collagebench.kinds import KINDS, shown
from collagebench.ordinary import ordinary
from collagebench.results.directory import SCHEMA
from collagebench.results.seal import OWN, header_checksum

OF_TYPE = {
    **dict.fromkeys(("amount", "positive", "share"), "float"),
    **dict.fromkeys(("count", "seed", "some"), "whole"),
}
"""The kinds of numbers without their ranges."""
EACH = "*"
"""Stands for every key of an object."""

SCHEME = {
    "scheme": "name",
    "variant": "name",
    "about": "text?",
    "code": "text?",
    "allotment": {EACH: "count"},
    "options": "object",
    "settings": "object",
    "models": {EACH: "text"},
}
MODEL = {
    "name": "text",
    "role": "text",
    "grid": "count?",
    "dataset": "text?",
    "classes": "some?",
    "sha256": "text?",
    "macs": "amount?",
    "accuracy": "share?",
    "compute_s": {EACH: "amount"},
}
CONFIG = {
    "schemes": [{"name": "name", "variant": "name", "options": "object"}],
    "workers": "some",
    "fleet": "text",
    "host": [{"address": "text", "workers": "count?"}],
    "remote_python": "text",
    "bootstrap": "truth",
    "endpoint": ["text"],
    **dict.fromkeys(("tls_ca", "tls_cert", "tls_key"), "text?"),
    "pixel_scale": "positive?",
    "ray_address": "text",
    "ray_cpus": "amount",
    "ray_placement": "text",
    "dataset": "text",
    "data": "text?",
    "models": "text?",
    "download": "truth",
    "precision": "text?",
    "arrivals": "text",
    "burst_factor": "positive?",
    "burst_share": "share?",
    "burst_for": "positive?",
    "rate": "positive?",
    "utilisation": "positive?",
    "requests": "some",
    "runs": "some",
    "warmup": "share",
    "stragglers": "text",
    "time_scale": "positive?",
    "straggler_mode": "text?",
    "persistence": "amount?",
    "slow_share": "share?",
    "slow_workers": "count?",
    "slow_factor": "positive?",
    "slow_place": "text?",
    **dict.fromkeys(("base", "shift", "tail", "scale", "shape", "median", "sigma"), "amount?"),
    **dict.fromkeys(("machine_sigma", "request_sigma", "excursion_factor", "slow_machine"), "amount?"),
    **dict.fromkeys(("excursion_share", "slow_machines", "drop_share"), "share?"),
    **dict.fromkeys(("crash_every", "restart_after", "stop_every", "stop_for", "quota", "transfer_mb"), "amount?"),
    **dict.fromkeys(("trace", "replay", "load"), "text?"),
    **dict.fromkeys(("block", "log_length", "transfers"), "count?"),
    "compute": "text",
    "compute_time": "amount?",
    "accuracy": "count",
    "deadline": "positive?",
    "slo_ms": "positive?",
    "seed": "seed",
}
ENVIRONMENT = {
    "captured_utc": "text",
    "cpu": "text?",
    "logical_cores": "count?",
    "affinity_cores": "count?",
    "cpu_quota_cores": "amount?",
    "memory_bytes": "count?",
    "memory_available_bytes": "count?",
    "load_average": ["amount"],
    "kernel": "text?",
    "os": "text?",
    "python": "text?",
    "collagebench": "text?",
    "sources": "text?",
    "packages": {EACH: "text?"},
    "git": {"revision": "text?", "dirty": "truth?"},
}
BOUND = {**dict.fromkeys(("p50", "p90", "p95", "p99", "p999", "mean", "std", "max"), "amount?"), "requests": "count"}
SHAPE: dict[str, Any] = {
    "schema": "some",
    "tool": "text",
    "created_utc": "text",
    "finished_utc": "text",
    "engine": "text?",
    "config": CONFIG,
    "environment": ENVIRONMENT,
    "schemes": [SCHEME],
    "models": [MODEL],
    "hosts": [
        {
            "host": "text",
            "workers": "count",
            **dict.fromkeys(("server", "hostname", "python", "system", "machine"), "text"),
            "cpu": "text?",
            "cores": "count",
            "load": "amount",
            "packages": {EACH: "text?"},
            "clock_offset_s": "number",
        }
    ],
    "stragglers": {
        "name": "text",
        "mean": "amount?",
        "machines": "count?",
        "logs": "count?",
        "time_scale": "positive?",
        "sha256": "text?",
        "parameters": "object",
    },
    "arrivals": {
        **{"count": "count", "rate": "positive", "whole_seconds": "truth", "sha256": "text"},
        "parameters": {EACH: "positive"},
    },
    "service": {"mean_s": "amount?", "utilisation": "amount?", "rate": "amount?", "mode": "text?"},
    "client_priority": "text",
    "stolen_share": "share",
    "files": {EACH: {"bytes": "count", "crc32": "count"}},
    "checksum": "count",
    "status": "text",
    "error": "text?",
    "resumed": [{"at_utc": "text", "tool": "text", "cells_kept": "count", "environment": ENVIRONMENT}],
    "extended": ["count"],
    "events": [{"kind": "text", "message": "text", "at_utc": "text"}],
    "disturbances": [{"scheme": "text", "run": "count", "began": ["object"], "came": ["object"]}],
    "replaced": [
        {"scheme": "text", "run": "count", "dispatch_lag_p99_s": "amount", "p50_s": "amount?", "p99_s": "amount?"}
    ],
    "bound": {**BOUND, "source": "text?", "curve": [["amount?"]]},
}
NULLABLE = ("git", "load_average")
"""An object and a list that may be null if unknown."""
REQUIRED = {"schema": SHAPE, "scheme": SCHEME, "kind": SHAPE["events"][0], "message": SHAPE["events"][0]}
"""Keys that objects of these shapes must have."""


def read_header(path: Path) -> tuple[dict[str, Any], bool]:
    """Read and check the header at `path`; return it, and whether it matches its checksum.

    Raises:
        OSError: it cannot be read.
        DataError: it is not a valid header, or of another schema.
    """
    try:
        text = ordinary(path).read_text(encoding="utf-8")
        header = json.loads(text, parse_constant=_unknown)
        json.dumps(header, ensure_ascii=False).encode()  # fails for a lone surrogate, which could not be printed
        schema = header["schema"]
        newer, older = schema > SCHEMA, schema < SCHEMA
    except (ValueError, KeyError, TypeError, RecursionError):
        raise DataError(
            f"{path} is not the header of a run; the directory may be damaged or another program's"
        ) from None
    if newer:
        raise DataError(
            f"{path} has schema {schema} (written by {header.get('tool', 'a newer version')}), but this version reads "
            f"only up to {SCHEMA}: upgrade collagebench"
        )
    if older:
        raise DataError(f"{path} has schema {schema}, which is no longer read: run the experiment again")
    known: dict[str, Any] = {key: value for key, value in header.items() if value is not None}
    _check(known, SHAPE, path, "")
    _agree(known, path)
    return known, header.get(OWN) == header_checksum(json.loads(text))


def check_config(values: Mapping[str, Any], path: Path) -> None:
    """Check the types of a config's values, by Config field; each may be a list of several.

    Whether a number is within its range is not checked: a sweep also keeps what its experiments refused.

    Raises:
        DataError: a value is of another type.
    """
    for name, value in values.items():
        shape = CONFIG.get(name)
        if shape is not None and value is not None:
            shape = OF_TYPE.get(shape.removesuffix("?"), shape) if isinstance(shape, str) else shape
            several = isinstance(value, list) and isinstance(shape, str)
            if value == [] and several:
                _refuse(path, f"values.{name}", "at least one value", value)
            _check(value, [shape] if several else shape, path, f"values.{name}")


def _unknown(constant: str) -> None:
    """Read NaN and infinity, as in an infinite bound, as None: they are not valid JSON."""


def _check(value: Any, shape: Any, path: Path, key: str) -> None:
    """Check that `value`, found under `key`, has this shape."""
    if isinstance(shape, str):
        kind = shape.removesuffix("?")
        if value is None and kind != shape:
            return
        words, fits = KINDS[kind]
        if not fits(value):
            _refuse(path, key, words, value)
    elif value is None and key.rpartition(".")[2] in NULLABLE:
        return
    elif isinstance(shape, list):
        if not isinstance(value, list):
            _refuse(path, key, "a list", value)
        for place, item in enumerate(value):
            _check(item, shape[0], path, f"{key}[{place}]")
    else:
        if not isinstance(value, dict):
            _refuse(path, key, "an object", value)
        for name, item in value.items():
            if inner := shape.get(name, shape.get(EACH)):
                _check(item, inner, path, f"{key}.{name}" if key else name)
        for name, owner in REQUIRED.items():
            if shape is owner and name not in value:
                raise DataError(f"{path}: {key} has no {name}; the file was changed or is damaged")


def _refuse(path: Path, key: str, words: str, value: Any) -> NoReturn:
    raise DataError(f"{path}: {key} must be {words}, not {shown(value)}; the file was changed or is damaged")


def _agree(header: dict[str, Any], path: Path) -> None:
    """Check that related values of the header agree."""

    def contradicts(what: str) -> NoReturn:
        raise DataError(f"{path} contradicts itself: {what}; the file was changed or is damaged")

    config, service = header.get("config", {}), header.get("service", {})
    schemes = header.get("schemes", [])
    names = [scheme.get("variant", scheme["scheme"]) for scheme in schemes]
    for name, scheme in zip(names, schemes, strict=True):
        if names.count(name) > 1:
            contradicts(f"two schemes are called {name!r}")
        used, workers = sum(scheme.get("allotment", {}).values()), config.get("workers")
        if workers is not None and used > workers:
            contradicts(f"scheme {name!r} has {used} workers of {workers}")
    mean, load, rate = (service.get(key) for key in ("mean_s", "utilisation", "rate"))
    if None not in (mean, load, rate, config.get("workers")):
        expected = rate * mean / config["workers"]
        if not math.isclose(load, expected, rel_tol=0.01):
            contradicts(f"service.utilisation is {load:.4g}, rate x mean_s / workers {expected:.4g}")
    bound = header.get("bound", {})
    known = [bound[name] for name in ("p50", "p90", "p95", "p99", "p999", "max") if bound.get(name) is not None]
    if known != sorted(known):
        contradicts("the quantiles of the bound are not in ascending order")
    curve = bound.get("curve", [])
    points = [(point[0], math.inf if point[1] is None else point[1]) for point in curve if len(point) == 2]
    if len(points) < len(curve) or any(share is None or not 0 <= share <= 1 for share, _ in points):
        contradicts("the bound's curve does not consist of shares and times")
    if points != sorted(points) or [time for _, time in points] != sorted(time for _, time in points):
        contradicts("the bound's curve is not in ascending order")
