"""The single as a teacher: its logits of every training image, computed once and kept.

It is a checkpoint, or an exported model with its manifest beside it, such as a classifier that was trained elsewhere.
An image is shifted anew whenever it is used, and its teacher would have to see each shift. It is asked only about the
image as it is and about its mirror image: a shift by a few pixels seldom changes what is seen, and one pass over the
data serves all trainings that follow.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from collagebench import zoo
from collagebench.engine.evaluation import session
from collagebench.errors import ModelError, UsageError
from collagebench.models.network import Network
from collagebench.training.checkpoint import Checkpoint, open_checkpoint, write_whole
from collagebench.training.loop import Report, in_memory, native_bf16
from collagebench.workload.dataset import Dataset

PIXELS = 500 * 32 * 32
"""Pixels that go through the teacher at once."""


def open_teacher(path: Path, classes: tuple[str, ...], image: tuple[int, int]) -> tuple[Checkpoint | zoo.Model, str]:
    """Read the checkpoint of a single, or find an exported one (.onnx), and return it with the file's sha256.

    Raises:
        ModelError: there is none, or it is damaged.
        UsageError: it is no single, or one for other images.
    """
    teacher: Checkpoint | zoo.Model
    if path.suffix == ".onnx":
        teacher = _listed(path)
        role, size, digest = teacher.role, teacher.image[:2], teacher.sha256
    else:
        teacher, digest = open_checkpoint(path)
        role, size = teacher.architecture.role, teacher.architecture.image
    if role != "single":
        raise UsageError(f"{path} is a {role}; name the checkpoint, or the model, of a single with --single")
    if teacher.classes != classes or size != image:
        raise UsageError(
            f"{path} knows {len(teacher.classes)} classes of {size} pixels, the images are of {len(classes)} classes "
            f"and {image} pixels; train a single on them first"
        )
    return teacher, digest


def _listed(path: Path) -> zoo.Model:
    """Return an exported model as the manifest beside it has it."""
    for model in zoo.load(path.parent):
        if model.path == path:
            zoo.verified(model)
            return model
    raise ModelError(f"{path.parent / zoo.MANIFEST} lists no model {path.name}; `collagebench export` adds it")


def kept_logits(
    teacher: Checkpoint | zoo.Model, sha256: str, dataset: Dataset, directory: Path, threads: int, report: Report
) -> NDArray[np.float32]:
    """Return a teacher's logits of all images of a dataset and of their mirror images: [2, images, classes].

    They are kept in `directory`, in a file with the teacher's name and the beginning of its sha256.

    Raises:
        DataError: an image cannot be read.
        OutputError: the file cannot be written.
    """
    path = directory / f"{teacher.name}-{sha256[:12]}-logits.npy"
    shape = (2, len(dataset), len(teacher.classes))
    try:
        kept = np.load(path, allow_pickle=False)
        if kept.shape == shape and kept.dtype == np.float32:
            return np.asarray(kept, np.float32)
    except (OSError, ValueError):
        pass  # not there, or cut: made again
    torch.set_num_threads(threads)
    images = in_memory(dataset, np.arange(len(dataset)))
    if isinstance(teacher, Checkpoint):
        logits = all_logits(teacher.restored(), images, report)
    else:
        logits = all_answers(session(teacher, threads), images, len(teacher.classes), report)
    buffer = io.BytesIO()
    np.save(buffer, logits)
    write_whole(path, buffer.getvalue())
    return logits


def all_logits(network: Network, images: NDArray[np.uint8], report: Report) -> NDArray[np.float32]:
    """Return a network's logits of images [n, height, width, 3] and of their mirror images: [2, n, classes]."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device, memory_format=torch.channels_last)

    def ask(seen: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = network(torch.from_numpy(seen).to(device)).float().cpu().numpy()
        return answers

    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=native_bf16(device)):
        return _asked(ask, images, network.architecture.classes, report)


def all_answers(runner: Any, images: NDArray[np.uint8], classes: int, report: Report) -> NDArray[np.float32]:
    """Return what the ONNX session of a single says of images, as `all_logits` does."""

    def ask(seen: NDArray[np.uint8]) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = runner.run(["logits"], {"image": seen})[0]
        return answers

    return _asked(ask, images, classes, report)


def _asked(
    ask: Callable[[NDArray[np.uint8]], NDArray[np.float32]], images: NDArray[np.uint8], classes: int, report: Report
) -> NDArray[np.float32]:
    logits = np.empty((2, len(images), classes), np.float32)
    step = max(PIXELS // (images.shape[1] * images.shape[2]), 1)
    for start in range(0, len(images), step):
        part = images[start : start + step]
        for side, seen in enumerate((part, part[:, :, ::-1])):
            logits[side, start : start + step] = ask(np.ascontiguousarray(seen))
        report(start, len(images), "asking the teacher")
    return logits
