"""The training loop: new random inputs at every step, one seed, a learning rate that rises and falls once.

The optimizer is SGD with Nesterov momentum, or, for filters, Muon. A classifying network is trained on smoothed labels,
and, if it has a teacher, on labels and the teacher's answers (distillation, arXiv 1503.02531); missing images are
ignored. A parity network is trained by the mean squared error to the sum of its teacher's logits over the images
present (ParM, arXiv 1905.00863), and a detection head by the loss of `models.detection`. Arithmetic is bfloat16 where
the processor supports it natively.

After every epoch, or every few, the held-out images are classified, a line is added to a CSV file and the whole state
is saved. On a CPU, a training resumed from there ends with the same weights as one that never stopped, unless it has a
time budget: then the learning rate follows the clock.

A GPU holds all images and the teacher's logits, if they fit, and Python does not wait for it within an epoch. `step`
describes one step, and how a GPU records it.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collagebench.coding.boxes import answers
from collagebench.coding.cells import classes
from collagebench.errors import DataError, ModelError, OutputError, UsageError
from collagebench.models.architecture import Architecture
from collagebench.models.foreign import Borrowed, Foreign
from collagebench.models.network import Network
from collagebench.training.batches import assemble, drawn, steps
from collagebench.training.checkpoint import Checkpoint, made, put, save
from collagebench.training.clock import Clock
from collagebench.training.recipe import Recipe
from collagebench.training.step import Step, fastest, placed
from collagebench.whole import leftovers
from collagebench.workload.dataset import HELD_OUT, Dataset

WHITENED_BY = 5000
"""The most images that a whitening stem is computed from."""
Report = Callable[[int, int, str], None]
"""Called with the steps done, the steps in all, and a line to show."""


def train(
    architecture: Architecture | Borrowed,
    recipe: Recipe,
    dataset: Dataset,
    path: Path,
    resume: Checkpoint | None = None,
    report: Report = lambda done, total, line: None,
    teacher: NDArray[np.float32] | None = None,
    start: dict[str, Tensor] | None = None,
    live: list[Network | Foreign] | None = None,
    rounds: NDArray[np.float16] | None = None,
    before: float = 0.0,
) -> Checkpoint:
    """Train a network on a dataset's training split and return its last checkpoint.

    The checkpoint is saved to `path` after every `recipe.every` epochs, and the log beside it with the suffix `.csv`.

    `teacher` holds a single's logits for every view of every image, [views, images, classes]. If singles are asked
    about the student's inputs instead, they are `live`, or `rounds` holds their mean logits, [rounds, images not held
    out, classes]. `start` holds initial weights, used where their shapes agree. `before` is the number of seconds of
    the time budget that are already used.

    Raises:
        DataError: an image cannot be read, or there are too few.
        ModelError: the training diverged.
        UsageError: no weights of `start` fit although the recipe names it, nothing can be trained, or the time budget
            ends before the first step.
        OutputError: the checkpoint or the log cannot be written.
    """
    begun = time.perf_counter() - before
    torch.set_num_threads(recipe.threads)
    seed_all(recipe.seed)
    device = fastest()

    held_out = np.arange(len(dataset)) % HELD_OUT == 0
    used = np.flatnonzero(~held_out)
    watched = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(held_out))  # so that collages mix classes
    if len(missing := np.setdiff1d(np.arange(len(dataset.classes)), dataset.labels[used])):
        raise DataError(
            f"class {dataset.classes[missing[0]]} has no image left to learn from, because one in {HELD_OUT} of all "
            "images is held out; add images to it"
        )
    pixels, watched_images = in_memory(dataset, used), in_memory(dataset, watched)
    watched_labels = dataset.labels[watched]
    plain = None if teacher is None else teacher[recipe.plain, watched].astype(np.float32)
    said: NDArray[Any] | None = rounds
    if said is None and teacher is not None and not live:
        said = teacher[:, used]
    home = home_of(pixels.nbytes + (0 if said is None else said.nbytes), device)
    images, labels = torch.from_numpy(pixels).to(home), torch.from_numpy(dataset.labels[used]).to(home)
    taught = None if said is None else torch.from_numpy(said).to(home)

    network = made(architecture)
    if isinstance(network, Network) and network.architecture.layers == "whitened":
        network.whiten(torch.from_numpy(pixels[:: -(-len(pixels) // WHITENED_BY)]))
    if start:
        own = network.state_dict()
        fitting = {key: start[key] for key in own if key in start and start[key].shape == own[key].shape}
        if any(value.ndim > 1 for value in fitting.values()):
            network.load_state_dict(own | fitting)
        elif recipe.start:  # not the default start of a parity from its single
            raise UsageError(f"no weights of --start fit a {architecture.name} with these layers; drop it")
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise UsageError(f"the {architecture.name} has no trainable weights; `collagebench export` takes it as it is")
    if isinstance(network, Network) and min(recipe.batch, len(images) // architecture.images) == 1:
        height, width = (side // network.architecture.reduction for side in network.architecture.input[:2])
        if height == width == 1:
            raise UsageError(
                "a step of one input whose features are one pixel has nothing to normalise; use more images and a "
                "larger --batch, or fewer --widths"
            )
    network = placed(network, device)
    live = [placed(one, device).eval() for one in live or []]
    step = Step(network, recipe, images, labels, taught, live)
    per_epoch = steps(len(images), architecture.images, recipe.batch)
    total = recipe.epochs * per_epoch
    first, log, spent = 0, [], 0.0
    if resume:
        try:
            network.load_state_dict(resume.last or resume.network)
            step.averaged.load_state_dict(resume.network)
            step.restore(resume.optimizer, resume.muon)
        except Exception:  # torch raises various exceptions
            raise ModelError(
                f"the state in checkpoint {path} does not fit its network: it is damaged; remove it to train from the "
                "start"
            ) from None
        first, log, spent = resume.epoch, list(resume.log), resume.used
        write_log(log, path.with_suffix(".csv"))
    for left in (*leftovers(path), *leftovers(path.with_suffix(".csv"))):  # of a training that was killed as it saved
        with contextlib.suppress(OSError):
            left.unlink()
    clock = Clock(recipe, spent + time.perf_counter() - begun)

    checkpoint, ours = resume, written(path)
    for epoch in range(first, recipe.epochs):
        if epoch == first and clock.share >= 1:
            if checkpoint is None:
                raise UsageError(
                    f"--minutes {recipe.minutes:g} ended before the first step: reading all images and asking a single "
                    f"about them took {clock.used / 60:.2g} minutes; allow more"
                )
            break
        if epoch == first or epoch % recipe.every == 0:
            since, done = time.perf_counter(), 0
            step.losses.zero_()
        network.train()
        if isinstance(network, Foreign):  # which may draw random numbers, as dropout does
            seed_all(int(np.random.SeedSequence([recipe.seed, epoch]).generate_state(1)[0]))
        of_epoch = drawn(len(images), architecture, recipe, epoch, images.device)
        step.begin(of_epoch)
        for taken, chosen in enumerate(of_epoch.chosen, epoch * per_epoch):
            rate = clock.rate_at(taken, total)
            step.take(chosen, rate, recipe.decay_at(taken))
            done += 1
            right = f", held out {log[-1]['held_out_accuracy']:.1%}" if log else ""
            report(*clock.progress(taken + 1, total), f"epoch {epoch + 1}{clock.of_epochs}{right}")
            if clock.share >= 1:
                break

        over = clock.share >= 1 or epoch + 1 == recipe.epochs
        if (epoch + 1) % recipe.every and not over:
            continue
        loss_sum = step.losses.item()
        if not math.isfinite(loss_sum):
            raise ModelError(
                f"the loss overflowed in epoch {epoch + 1}; train with a smaller --rate"
                + (f", into another --out, or remove {path} and its log first" if path.exists() else "")
            )
        row = {
            "epoch": epoch + 1,
            "seconds": round(time.perf_counter() - since, 2),
            "rate": rate,
            "loss": loss_sum / done,
            "held_out_accuracy": held_out_accuracy(step.averaged, watched_images, watched_labels, plain),
        }
        log.append(row)
        checkpoint = Checkpoint(
            architecture=architecture,
            recipe=recipe,
            classes=dataset.classes,
            epoch=epoch + 1,
            network=on_cpu(step.averaged),
            log=log,
            used=clock.used,
            last=on_cpu(network) if recipe.ema else None,
            **step.state(),
        )
        if written(path) != ours:
            raise OutputError(
                f"another training has written to {path} in the meantime, so it is left as it is; use another --out"
            )
        save(checkpoint, path)
        ours = written(path)
        write_log(log, path.with_suffix(".csv"))
        if over:
            break
    assert checkpoint is not None
    return checkpoint


def seed_all(seed: int) -> None:
    """Seed the random generators that a network may use: torch's, numpy's global one and Python's."""
    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    random.seed(seed)


def written(path: Path) -> tuple[int, int] | None:
    """Return the file's inode and modification time, which change with every `save`; None if it does not exist."""
    try:
        found = path.stat()
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def on_cpu(network: Network | Foreign) -> dict[str, Tensor]:
    """Return a copy of a network's weights in ordinary memory."""
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def home_of(size: int, device: torch.device) -> torch.device:
    """Return where to keep `size` bytes of images while training on `device`: there, if enough memory remains."""
    if device.type == "cuda" and size > torch.cuda.mem_get_info()[0] / 2:
        return torch.device("cpu")
    return device


def in_memory(dataset: Dataset, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Load images of a dataset.

    Raises:
        DataError: an image cannot be read, or they do not fit in memory.
    """
    try:
        return dataset.load(indices)
    except MemoryError:
        size = len(dataset) * float(np.prod(dataset.size)) / 1e9
        raise DataError(f"{len(dataset)} training images need {size:.1f} GB of memory; use fewer or smaller") from None


def held_out_accuracy(
    network: Network | Foreign,
    images: NDArray[np.uint8],
    labels: NDArray[np.int64],
    teacher: NDArray[np.float32] | None = None,
) -> float:
    """Return the share of the images that are classified correctly, in full inputs; NaN without a full input.

    For a parity network, each image is classified by the network's output minus the logits of the other images,
    `teacher` [images, classes].
    """
    network.eval()
    architecture = network.architecture
    together = architecture.images
    device = next(network.parameters()).device
    at_once = 256 if isinstance(architecture, Architecture) else 32  # foreign layers may be large
    right, judged, step = 0, 0, together * max(at_once // together, 1)
    for start in range(0, len(images), step):
        x, y = images[start : start + step], labels[start : start + step]
        count = len(x) // together * together
        if not count:
            break
        inputs = assemble(torch.from_numpy(x[:count]), architecture)
        with torch.no_grad():
            logits = network(inputs.to(device)).cpu().numpy()
        if architecture.k:
            assert teacher is not None
            own = teacher[start : start + count].reshape(-1, together, logits.shape[-1])
            logits = logits[:, None] - own.sum(1, keepdims=True) + own
        if architecture.head == "detection":
            logits = answers(logits, architecture.grid or 1, architecture.input[:2])
        right += int((classes(logits.reshape(count, -1)) == y[:count]).sum())
        judged += count
    return right / judged if judged else float("nan")


def write_log(log: list[dict[str, float]], path: Path) -> None:
    """Write the log as CSV, one line for each row, atomically."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(log[0]))
    writer.writeheader()
    writer.writerows(log)
    put(path, text.getvalue().encode())
