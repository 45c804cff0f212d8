"""The training loop: new random collages at every step, one seed, one cycle of the learning rate.

Stochastic gradient descent with Nesterov momentum, label smoothing, and a loss over the filled cells only. Arithmetic
is bfloat16 where the processor has it natively. After each epoch the held-out images are classified, a line is added to
a CSV file and the whole state is saved; a training that resumes from there ends in the same weights as one that never
stopped.
"""

from __future__ import annotations

import csv
import io
import math
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812

from collagebench.errors import DataError, ModelError
from collagebench.models.network import Architecture, Network
from collagebench.training.batches import IGNORED, batches, paste, steps
from collagebench.training.checkpoint import Checkpoint, save, write_whole
from collagebench.training.recipe import HELD_OUT, Recipe
from collagebench.workload.dataset import Dataset

Report = Callable[[int, int, str], None]
"""Told steps done, steps in all, and a line to show."""


def train(
    architecture: Architecture,
    recipe: Recipe,
    dataset: Dataset,
    path: Path,
    resume: Checkpoint | None = None,
    report: Report = lambda done, total, line: None,
) -> Checkpoint:
    """Train a network on a dataset's training split and return its last checkpoint.

    The checkpoint lies at `path` after every epoch, and the log beside it with the suffix `.csv`.

    Raises:
        DataError: an image cannot be read, or there are too few.
        ModelError: the training diverged.
        OutputError: the checkpoint or the log cannot be written.
    """
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    native_bf16 = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)()

    held_out = np.arange(len(dataset)) % HELD_OUT == 0
    used = np.flatnonzero(~held_out)
    watched = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(held_out))  # collages of mixed classes
    labels, watched_labels = dataset.labels[used], dataset.labels[watched]
    try:
        images, watched_images = dataset.load(used), dataset.load(watched)
    except MemoryError:
        size = len(dataset) * float(np.prod(dataset.size)) / 1e9
        raise DataError(f"{len(dataset)} training images need {size:.1f} GB of memory; use fewer or smaller") from None

    network = Network(architecture).to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        network.parameters(), recipe.rate, recipe.momentum, weight_decay=recipe.weight_decay, nesterov=True
    )
    per_epoch = steps(len(images), architecture.cells, recipe.batch)
    total = recipe.epochs * per_epoch
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, recipe.rate, total_steps=total + 1, pct_start=0.2)
    first, log = 0, []
    if resume:
        network.load_state_dict(resume.network)
        optimizer.load_state_dict(resume.optimizer)
        schedule.load_state_dict(resume.schedule)
        first, log = resume.epoch, list(resume.log)

    checkpoint = resume
    for epoch in range(first, recipe.epochs):
        start, losses, right, judged = time.perf_counter(), 0.0, 0, 0
        network.train()
        for step, (x, y) in enumerate(batches(images, labels, architecture.grid, recipe, epoch)):
            target = torch.from_numpy(y).flatten()
            with torch.autocast("cpu", torch.bfloat16, enabled=native_bf16):
                logits = network(torch.from_numpy(x))
            logits = logits.float().reshape(-1, architecture.classes)
            loss = F.cross_entropy(logits, target, ignore_index=IGNORED, label_smoothing=recipe.label_smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            losses += loss.item()
            right += int((logits.argmax(1) == target).sum())
            judged += int((target != IGNORED).sum())
            report(epoch * per_epoch + step + 1, total, f"epoch {epoch + 1}/{recipe.epochs}")

        if not math.isfinite(losses):
            raise ModelError(f"the loss was lost to overflow in epoch {epoch + 1}; train with a smaller --rate")
        row = {
            "epoch": epoch + 1,
            "seconds": round(time.perf_counter() - start, 2),
            "rate": schedule.get_last_lr()[0],
            "loss": losses / per_epoch,
            "accuracy": right / judged,
            "held_out_accuracy": held_out_accuracy(network, watched_images, watched_labels),
        }
        log.append(row)
        checkpoint = Checkpoint(
            architecture=architecture,
            recipe=recipe,
            classes=dataset.classes,
            epoch=epoch + 1,
            network=network.state_dict(),
            optimizer=optimizer.state_dict(),
            schedule=schedule.state_dict(),
            log=log,
        )
        save(checkpoint, path)
        write_log(log, path.with_suffix(".csv"))
        report((epoch + 1) * per_epoch, total, f"held-out accuracy {row['held_out_accuracy']:.3f}")
    assert checkpoint is not None
    return checkpoint


def held_out_accuracy(network: Network, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> float:
    """Return the share of the images that the network classifies rightly, in full collages; NaN without a full one."""
    network.eval()
    grid, cells = network.architecture.grid, network.architecture.cells
    right, judged, step = 0, 0, cells * max(256 // cells, 1)
    for start in range(0, len(images), step):
        x, y = images[start : start + step], labels[start : start + step]
        count = len(x) // cells * cells
        if not count:
            break
        x, y = (paste(x[:count], grid) if grid else x), y[:count]
        with torch.no_grad():
            answers = network(torch.from_numpy(np.ascontiguousarray(x))).reshape(count, -1).argmax(1).numpy()
        right, judged = right + int((answers == y).sum()), judged + count
    return right / judged if judged else float("nan")


def write_log(log: list[dict[str, float]], path: Path) -> None:
    """Write one line for each epoch as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(log[0]))
    writer.writeheader()
    writer.writerows(log)
    write_whole(path, text.getvalue().encode())
