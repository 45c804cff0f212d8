"""All measurements of the models of a directory, as plain JSON values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from collagebench.engine.evaluation import session
from collagebench.measurement.accuracy import (
    Sample,
    TooFewImages,
    by_cell,
    decoded,
    encoded,
    right,
    share,
    silent,
    singles,
    together,
    with_blanks,
)
from collagebench.measurement.coded import Code, approxifer, nercc
from collagebench.measurement.latency import interleaved
from collagebench.statistics.accuracy import Share
from collagebench.zoo import Model

BACKUP_BATCH, BACKUP_GRID = 9, 3
"""A backup's batch of nine images is compared with the 3x3 collages."""
Report = Callable[[int, int, str], None]
"""Called with the work done, the work in all, and a line of text."""


def appraise(
    chosen: Sequence[Model], known: Sequence[Model], sample_of: Callable[[Model], Sample], code: Code, report: Report
) -> list[dict[str, Any]]:
    """Return the measurements of each chosen model; `known` are the models it may be compared with or decoded by.

    If there are too few images for a model, it has no accuracy, and `not_evaluated` says why. If they are only too few
    for one group of a code, a coded model has no `coded`.

    Raises:
        ModelError: a model file is missing or damaged.
        DataError: an image cannot be read, or there are too few for every model.
    """
    work = _Work(chosen, known, sample_of, code, report)
    entries = [_accuracy_entry(model, work, code) for model in chosen]
    reasons = [entry["not_evaluated"] for entry in entries]
    if reasons and all(reasons):
        raise TooFewImages(reasons[0])
    _add_latency(entries, chosen, known, sample_of, work)
    return entries


class _Work:
    """The progress, in multiply-accumulate operations, and the singles' logits."""

    def __init__(
        self,
        chosen: Sequence[Model],
        known: Sequence[Model],
        sample_of: Callable[[Model], Sample],
        code: Code,
        report: Report,
    ) -> None:
        self.sample_of = sample_of
        self._known = known
        self._report = report
        self._said: dict[str, Any] = {}
        self._done = 0
        self._total = round(sum(model.macs * len(sample_of(model).labels) * _passes(model, code) for model in chosen))

    def advance(self, model: Model) -> Callable[[int], None]:
        def by(inputs: int) -> None:
            self._done = min(self._done + inputs * model.macs, self._total)
            self._report(self._done, self._total, model.name)

        return by

    def timing(self, done: float) -> None:
        self._report(round(self._total * done), self._total, "latency")

    def said(self, model: Model, runner: Any = None) -> Any:
        """Return a model's logits for all images of its sample, computed once."""
        if model.name not in self._said:
            runner = runner or session(model, threads=0)
            self._said[model.name] = singles(runner, model, self.sample_of(model), self.advance(model))
        return self._said[model.name]

    def single_of(self, model: Model) -> Model | None:
        return single_of(model, self._known)


def single_of(model: Model, known: Sequence[Model]) -> Model | None:
    """Return the single of the same dataset, the float32 one if there are several, or None."""
    singles = [other for other in known if other.role == "single" and other.dataset == model.dataset]
    return min(singles, key=lambda other: (other.precision != "float32", other.name), default=None)


def _passes(model: Model, code: Code) -> float:
    """Return the number of inputs that a model gets per image."""
    if model.role == "collage":
        once_more = 1 / together(model) if model.head == "detection" else 0
        return 1 + sum(1 / filled for filled in range(1, together(model))) + once_more
    return 1 + 2 * code.shares / code.k if model.role == "coded" else 1 / together(model)


def _accuracy_entry(model: Model, work: _Work, code: Code) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": model.name,
        "role": model.role,
        "grid": model.grid,
        "head": model.head,
        "k": model.k,
        "code": model.code,
        "precision": model.precision,
        "dataset": model.dataset,
        "parameters": model.parameters,
        "macs": model.macs,
        "bytes": model.bytes,
        "sha256": model.sha256,
        "manifest_accuracy": model.accuracy,
        "manifest_accuracy_images": model.accuracy_images,
        "accuracy": None,
        "by_cell": None,
        "by_blanks": None,
        "no_answer": None,
        "coded": None,
        "not_evaluated": None,
    }
    try:
        return entry | _accuracy(model, work, code)
    except TooFewImages as error:
        return entry | {"not_evaluated": str(error)}


def _accuracy(model: Model, work: _Work, code: Code) -> dict[str, Any]:
    """Return the measurements of a model other than its latency.

    Raises:
        TooFewImages: the images do not fill one input.
    """
    sample, advance, entry = work.sample_of(model), work.advance(model), dict[str, Any]()
    runner = session(model, threads=0)
    if model.role == "collage":
        full = by_cell(runner, model, sample, advance)
        blank = [with_blanks(runner, model, sample, blanks, advance) for blanks in range(1, together(model))]
        # Every image was classified in every cell. These answers are correlated, so the interval counts images.
        overall = Share(float(full.mean()) * len(full), len(full))
        entry["accuracy"] = as_json(overall)
        entry["by_cell"] = [as_json(share(full[:, cell])) for cell in range(together(model))]
        entry["by_blanks"] = [as_json(each) for each in (overall, *map(share, blank))]
        if model.head == "detection":
            entry["no_answer"] = as_json(share(silent(runner, model, sample, advance)))
    elif model.role == "parity":
        single = work.single_of(model)
        if single is not None:
            entry["accuracy"] = as_json(share(decoded(runner, model, sample, work.said(single), advance)))
    else:
        entry["accuracy"] = as_json(share(right(work.said(model, runner), sample.labels)))
    if model.role == "coded":
        try:
            entry["coded"] = {
                "k": code.k,
                "s": code.s,
                "approxifer": as_json(approxifer(runner, sample, code, advance)),
                "nercc": as_json(nercc(runner, sample, code, advance)),
                "smooth_encode": code.smooth_encode,
                "smooth_decode": code.smooth_decode,
            }
        except TooFewImages as error:  # for one group
            entry["not_evaluated"] = str(error)
    return entry


def _add_latency(
    entries: Sequence[dict[str, Any]],
    chosen: Sequence[Model],
    known: Sequence[Model],
    sample_of: Callable[[Model], Sample],
    work: _Work,
) -> None:
    """Time the models and those they are compared with, and add the results to the entries."""
    backed = {model.dataset for model in chosen if model.role == "backup"}
    rivals = [model for model in known if model.grid == BACKUP_GRID and model.dataset in backed]
    bases = [single for model in chosen if (single := single_of(model, known))]
    to_time = {model.name: model for model in (*chosen, *bases, *rivals)}
    runs: dict[str, tuple[Any, Any]] = {}
    for name, model in to_time.items():
        sample, runner = sample_of(model), session(model)
        images = list(sample.pixels[: together(model)])
        one = encoded(model, images)[np.newaxis]
        runs[name] = runner, one
        if model.role == "backup":
            runs[_batch_of(name)] = runner, np.repeat(one, BACKUP_BATCH, axis=0)
    times = interleaved(runs, work.timing)
    medians = {name: float(np.median(timed.processor)) for name, timed in times.items()}
    by_clock = {name: float(np.median(timed.wall)) for name, timed in times.items()}

    def ratio(name: str, base: Model | None) -> float | None:
        return medians[name] / medians[base.name] if base else None

    for entry, model in zip(entries, chosen, strict=True):
        entry["latency_s"] = medians[model.name]
        entry["latency_by_clock_s"] = by_clock[model.name]
        entry["latency_ratio"] = ratio(model.name, single_of(model, known))
        entry["batch"] = None
        if model.role == "backup":
            batch = _batch_of(model.name)
            entry["batch"] = {
                "images": BACKUP_BATCH,
                "latency_s": medians[batch],
                "latency_by_clock_s": by_clock[batch],
                "latency_ratio": ratio(batch, single_of(model, known)),
                "collages": {
                    rival.name: medians[batch] / medians[rival.name]
                    for rival in rivals
                    if (rival.dataset, rival.precision) == (model.dataset, model.precision)
                },
            }


def _batch_of(name: str) -> str:
    return f"{name}, batch of {BACKUP_BATCH}"


def as_json(accuracy: Share) -> dict[str, Any]:
    """Return a share and its interval, both null without images, and the number of images."""
    return {"value": accuracy.value, "ci95": accuracy.ci95, "images": accuracy.of}
