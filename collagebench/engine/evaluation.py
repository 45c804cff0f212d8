"""Evaluation of tasks in the client's process: encode the images, run the model, decode the outputs.

Simulated and emulated replies are evaluated here, after the fact unless a scheme asks earlier. A live client uses the
same encoding and decoding around the inference of its workers. A single's output depends only on its image, so each
image is classified once.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding import boxes
from collagebench.coding.cells import NO_ANSWER, classes
from collagebench.engine.known_outputs import digest, keep, kept
from collagebench.engine.router import Job
from collagebench.errors import Interrupted, MissingExtra, ModelError, first_line
from collagebench.onnx_session import ONNX_TYPES, open_session
from collagebench.results.records import NO_CLASS
from collagebench.schemes.faults import ask, breach, brief
from collagebench.schemes.protocol import BATCHED, Request, Scheme, Task
from collagebench.zoo import Model, verified

BATCH = 32
WORTH_KEEPING = 1.0
"""Seconds of computing from which on a command stores the outputs of singles for later commands."""


class Images:
    """The images of a run, in memory, by their index in the dataset."""

    def __init__(self, indices: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
        """`indices` [n] ascending; `pixels` uint8 [n, height, width, 3].

        All schemes share the images, so they are read-only.
        """
        self._place = {int(index): place for place, index in enumerate(indices)}
        self.pixels = pixels.view()
        self.pixels.flags.writeable = False

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """Return one image, uint8 [height, width, 3], without copying it."""
        image: NDArray[np.uint8] = self.pixels[self._place[index]]
        return image


def encode(codec: Scheme, task: Task, model: Model, images: Images) -> NDArray[Any]:
    """Return a task's input to its model, as its scheme encodes it: uint8 or float32 [batch, height, width, 3].

    Raises:
        CollagebenchError: the scheme fails, or its result is not an input of the model.
    """
    made = ask(codec, codec.encode, task, [images[request.image] for request in task.requests], model.input)
    most = len(task.requests) if task.role in BATCHED else codec.batch(task.role)
    if not isinstance(made, np.ndarray):
        raise breach(codec, f"encoded a task as {brief(made)}, which is not an array", codec.encode)
    takes = f"{model.dtype} [{most if most == 1 else f'1 to {most}'}, {', '.join(map(str, model.input))}]"
    if made.dtype != model.dtype or made.ndim != 4 or made.shape[1:] != model.input or not 1 <= len(made) <= most:
        raise breach(
            codec,
            f"encoded a {task.role} task as {made.dtype} {[*made.shape]}, but its model takes {takes}",
            codec.encode,
        )
    return made


def scored(
    codec: Scheme, request: Request, replies: Sequence[tuple[Task, NDArray[np.float32]]]
) -> NDArray[np.floating[Any]]:
    """Return the score of each class for a request, [classes], as its scheme decodes replies.

    Raises:
        CollagebenchError: the scheme fails, or its result is not an array of scores of the model's classes.
    """
    found = ask(codec, codec.decode, request, replies)
    wanted = replies[0][1].shape[1:]
    if not isinstance(found, np.ndarray) or found.dtype.kind != "f" or found.shape != wanted:
        what = f"{found.dtype} {[*found.shape]}" if isinstance(found, np.ndarray) else brief(found)
        raise breach(codec, f"decoded an answer as {what}, but scores are float32 {[*wanted]}", codec.decode)
    return found


def scores(outputs: NDArray[np.float32], model: Model) -> NDArray[np.float32]:
    """Return a model's outputs as scores of classes: [batch, classes], or [batch, cells, classes] for a collage.

    The outputs of a detection head are decoded into boxes; a cell without a box is a row of NaN.
    """
    if model.head != "detection":
        return outputs
    assert model.grid is not None
    return boxes.answers(outputs, model.grid, model.input[:2])


def rows(outputs: NDArray[np.float32], model: Model) -> NDArray[np.float32]:
    """Return a reply's outputs as [rows, classes], read-only; a row is an input of a batch or a cell of a collage."""
    found = scores(outputs, model)
    found = found.reshape(-1, found.shape[-1])
    found.flags.writeable = False  # several decodings share it
    return found


def decode(codec: Scheme, answers: Sequence[tuple[Request, Sequence[Job]]], prior: int) -> list[int | None]:
    """Return the class of each answer, decoded from the outputs of its jobs; `prior` if it has no jobs.

    NO_CLASS means that the models have no answer, and None that it is unknown because a worker computed nothing.
    """
    found: list[int | None] = [None if jobs else prior for _, jobs in answers]
    places, scores = [], []
    for place, (request, jobs) in enumerate(answers):
        replies = [(job.task, job.outputs) for job in jobs if job.outputs is not None]
        if jobs and len(replies) == len(jobs):
            places.append(place)
            scores.append(scored(codec, request, replies))
    if scores:
        for place, answer in zip(places, classes(np.stack(scores)).tolist(), strict=True):
            found[place] = NO_CLASS if answer == NO_ANSWER else answer
    return found


def session(model: Model, threads: int = 1) -> Any:
    """Return an ONNX Runtime session of a model, checked against its manifest.

    Raises:
        ModelError: the file is missing or damaged, ONNX Runtime cannot run it, or its shapes are not the manifest's.
    """
    content = verified(model)
    try:
        runner = open_session(content, threads)
    except MissingExtra:
        raise
    except Exception as error:
        raise ModelError(f"model file {model.path} cannot be loaded: {first_line(error)}") from None
    for tensors, wanted in (
        (runner.get_inputs(), ("image", ONNX_TYPES[model.dtype], [*model.input])),
        (runner.get_outputs(), ("logits", "tensor(float)", [*model.output])),
    ):
        found = [(tensor.name, tensor.type, [n for n in tensor.shape[1:] if isinstance(n, int)]) for tensor in tensors]
        if found != [wanted]:
            raise ModelError(f"model file {model.path} has {found} where its manifest says {wanted}: export it again")
    return runner


class Evaluator:
    """Computes the outputs of jobs whose workers did not compute."""

    def __init__(self, images: Images, threads: int = 0) -> None:
        """Evaluate on `threads` threads, 0 for one per core."""
        self._images = images
        self._threads = threads
        self._sessions: dict[str, Any] = {}
        self._known: dict[tuple[str, int], NDArray[np.float32]] = {}
        """The output of a single model for an image, [1, classes], by model and image."""
        self._kept: dict[str, dict[bytes, NDArray[np.float32]]] = {}
        """Outputs stored by earlier commands, by model and the image's digest."""
        self._new: dict[str, tuple[Model, dict[bytes, NDArray[np.float32]]]] = {}
        """Outputs that were computed because they were not stored, by model."""
        self._seconds = 0.0
        """Time spent on computing these."""
        self._stopped = False

    def evaluate(self, codec: Scheme, models: Mapping[str, Model], jobs: Sequence[Job]) -> None:
        """Set the `outputs` of each job, from the model of its role, `models[role]`."""
        for role, model in models.items():
            mine = [job for job in jobs if job.task.role == role]
            if role == "single":
                self._singles(model, [job for job in mine if self._is_plain(codec, job.task, model)])
                mine = [job for job in mine if job.outputs is None]
            for start in range(0, len(mine), BATCH):
                batch = mine[start : start + BATCH]
                inputs = [encode(codec, job.task, model, self._images) for job in batch]
                logits = self._infer(model, np.concatenate(inputs))
                places = np.cumsum([len(part) for part in inputs])[:-1]
                for job, part in zip(batch, np.split(logits, places), strict=True):
                    job.outputs = rows(part, model)

    def stop(self) -> None:
        """Let `evaluate`, which may run in another thread, raise Interrupted before its next batch."""
        self._stopped = True

    def keep(self) -> None:
        """Store the outputs computed since the last time for later commands, if they took long enough."""
        if self._seconds >= WORTH_KEEPING:
            for model, outputs in self._new.values():
                if outputs:
                    keep(model, outputs)
                    outputs.clear()
            self._seconds = 0.0

    def _is_plain(self, codec: Scheme, task: Task, model: Model) -> bool:
        """Return whether the input is the task's one image, unchanged, so that its output can be reused."""
        if len(task.requests) > 1:
            return False
        if type(codec).encode is Scheme.encode:
            return True
        image, pixels = self._images[task.requests[0].image], encode(codec, task, model, self._images)
        return np.array_equal(pixels, image[np.newaxis])

    def classify(self, model: Model, wanted: Collection[int]) -> None:
        """Compute the outputs of a single for images, by their index, as far as they are not known yet."""
        new = sorted(image for image in wanted if (model.name, image) not in self._known)
        if new and model.name not in self._kept:
            self._kept[model.name], self._new[model.name] = kept(model), (model, {})
        unknown = []
        for image in new:
            known = self._kept[model.name].get(digest(self._images[image]))
            if known is None:
                unknown.append(image)
            else:
                self._known[model.name, image] = known
        began = time.perf_counter()
        for start in range(0, len(unknown), BATCH):
            batch = unknown[start : start + BATCH]
            logits = self._infer(model, np.stack([self._images[image] for image in batch]))
            for image, answer in zip(batch, np.split(rows(logits, model), len(batch)), strict=True):
                self._known[model.name, image] = answer
                self._new[model.name][1][digest(self._images[image])] = answer
        self._seconds += time.perf_counter() - began

    def _singles(self, model: Model, jobs: Sequence[Job]) -> None:
        self.classify(model, {job.task.requests[0].image for job in jobs})
        for job in jobs:
            job.outputs = self._known[model.name, job.task.requests[0].image]

    def _infer(self, model: Model, inputs: NDArray[Any]) -> NDArray[np.float32]:
        if self._stopped:
            raise Interrupted("interrupted")
        if model.name not in self._sessions:
            self._sessions[model.name] = session(model, self._threads)
        logits: NDArray[np.float32] = self._sessions[model.name].run(["logits"], {"image": inputs})[0]
        return logits
