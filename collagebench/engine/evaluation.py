"""What a model answers to the images of a task: encode, infer, decode, in the client's own process.

Simulated and emulated replies are evaluated here after the event; a live client uses the same encoding and decoding
around its workers' inference. A single's answer depends on its image alone, so each image is classified once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from collagebench.coding.cells import classes
from collagebench.coding.mosaic import mosaic
from collagebench.engine.router import Job
from collagebench.errors import ModelError
from collagebench.schemes.protocol import Task
from collagebench.zoo import Model, verified

BATCH = 32


class Images:
    """The images that a run needs, in memory, by their index in the dataset."""

    def __init__(self, indices: NDArray[np.int64], pixels: NDArray[np.uint8]) -> None:
        """`indices` [n] ascending; `pixels` uint8 [n, height, width, 3]."""
        self._place = {int(index): place for place, index in enumerate(indices)}
        self.pixels = pixels

    def __getitem__(self, index: int) -> NDArray[np.uint8]:
        """One image, uint8 [height, width, 3], not a copy."""
        image: NDArray[np.uint8] = self.pixels[self._place[index]]
        return image


def encode(task: Task, model: Model, images: Images) -> NDArray[np.uint8]:
    """Return a task's input to its model, its image or the collage of its group: uint8 [1, height, width, 3]."""
    if model.grid is None:
        return images[task.requests[0].image][np.newaxis]
    height, width, _ = model.input
    cells = [images[request.image] for request in task.requests]
    return mosaic(cells, model.grid, (height, width))[np.newaxis]


def decode(task: Task, model: Model, logits: NDArray[np.float32]) -> list[int]:
    """Return the class answered for each request of a task, -1 for none.

    `logits` is float32 [1, classes] from a single, [1, cells, classes] from a collage.
    """
    cells = logits if model.grid is None else logits[0, : len(task.requests)]
    answers: list[int] = classes(cells).tolist()
    return answers


def session(model: Model, threads: int = 1) -> Any:
    """Return an ONNX Runtime session of a model, checked against its manifest.

    Raises:
        ModelError: the file is missing, damaged, not a model ONNX Runtime can run, or not of the manifest's shape.
    """
    import onnxruntime  # heavy: only where models really run

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 3
    content = verified(model)
    try:
        runner = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own exceptions share no base below Exception
        raise ModelError(f"model file {model.path} cannot be loaded: {str(error).splitlines()[0]}") from None
    answers = [len(model.classes)] if model.grid is None else [model.grid**2, len(model.classes)]
    for tensors, name, shape in (
        (runner.get_inputs(), "image", [*model.input]),
        (runner.get_outputs(), "logits", answers),
    ):
        found = [(tensor.name, [size for size in tensor.shape[1:] if isinstance(size, int)]) for tensor in tensors]
        if found != [(name, shape)]:
            raise ModelError(
                f"model file {model.path} has {found} where its manifest says {name} {shape}: export it again"
            )
    return runner


class Evaluator:
    """Sets the predictions of jobs whose workers did not compute."""

    def __init__(self, images: Images) -> None:
        self._images = images
        self._sessions: dict[str, Any] = {}
        self._known: dict[tuple[str, int], int] = {}
        """The class a single model gives an image, by (model, image)."""

    def evaluate(self, models: Mapping[str, Model], jobs: Sequence[Job]) -> None:
        """Set `predicted` of each job, its role's model being `models[role]`."""
        for role, model in models.items():
            mine = [job for job in jobs if job.task.role == role]
            if not mine:
                continue
            if model.grid is None:
                self._singles(model, mine)
            else:
                for start in range(0, len(mine), BATCH):
                    batch = mine[start : start + BATCH]
                    inputs = np.concatenate([encode(job.task, model, self._images) for job in batch])
                    for job, logits in zip(batch, self._infer(model, inputs), strict=True):
                        job.predicted = decode(job.task, model, logits[np.newaxis])

    def _singles(self, model: Model, jobs: Sequence[Job]) -> None:
        wanted = {job.task.requests[0].image for job in jobs}
        new = sorted(image for image in wanted if (model.name, image) not in self._known)
        for start in range(0, len(new), BATCH):
            batch = new[start : start + BATCH]
            answers = classes(self._infer(model, np.stack([self._images[image] for image in batch])))
            self._known.update(((model.name, image), int(answer)) for image, answer in zip(batch, answers, strict=True))
        for job in jobs:
            job.predicted = [self._known[model.name, job.task.requests[0].image]]

    def _infer(self, model: Model, inputs: NDArray[np.uint8]) -> NDArray[np.float32]:
        if model.name not in self._sessions:
            self._sessions[model.name] = session(model, threads=0)
        logits: NDArray[np.float32] = self._sessions[model.name].run(["logits"], {"image": inputs})[0]
        return logits
