"""The single as a teacher: its logits of every training image, computed once and kept.

An image is shifted anew whenever it is used, and its teacher would have to see each shift. It is asked only about the
image as it is and about its mirror image: a shift by a few pixels seldom changes what is seen, and one pass over the
data serves all trainings that follow.
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from collagebench.errors import UsageError
from collagebench.models.network import Network
from collagebench.training.checkpoint import Checkpoint, open_checkpoint, write_whole
from collagebench.training.loop import Report, in_memory, native_bf16
from collagebench.workload.dataset import Dataset

PIXELS = 500 * 32 * 32
"""Pixels that go through the teacher at once."""


def open_teacher(path: Path, classes: tuple[str, ...], image: tuple[int, int]) -> tuple[Checkpoint, str]:
    """Read the checkpoint of a single and return it with its sha256.

    Raises:
        ModelError: there is none, or it is damaged.
        UsageError: it is no single, or one for other images.
    """
    teacher, digest = open_checkpoint(path)
    if teacher.architecture.role != "single":
        raise UsageError(f"{path} is a {teacher.architecture.role}; name the checkpoint of a single with --single")
    if teacher.classes != classes or teacher.architecture.image != image:
        raise UsageError(
            f"{path} knows {len(teacher.classes)} classes of {teacher.architecture.image} pixels, the images are of "
            f"{len(classes)} classes and {image} pixels; train a single on them first"
        )
    return teacher, digest


def kept_logits(
    teacher: Checkpoint, sha256: str, dataset: Dataset, directory: Path, threads: int, report: Report
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
    logits = all_logits(teacher.restored(), in_memory(dataset, np.arange(len(dataset))), report)
    buffer = io.BytesIO()
    np.save(buffer, logits)
    write_whole(path, buffer.getvalue())
    return logits


def all_logits(network: Network, images: NDArray[np.uint8], report: Report) -> NDArray[np.float32]:
    """Return a network's logits of images [n, height, width, 3] and of their mirror images: [2, n, classes]."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    network = network.to(device, memory_format=torch.channels_last)
    logits = np.empty((2, len(images), network.architecture.classes), np.float32)
    with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=native_bf16(device)):
        step = max(PIXELS // (images.shape[1] * images.shape[2]), 1)
        for start in range(0, len(images), step):
            part = images[start : start + step]
            for side, seen in enumerate((part, part[:, :, ::-1])):
                answers = network(torch.from_numpy(np.ascontiguousarray(seen)).to(device))
                logits[side, start : start + step] = answers.float().cpu().numpy()
            report(start, len(images), "asking the teacher")
    return logits
