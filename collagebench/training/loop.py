"""The training loop: new random inputs at every step, one seed, a learning rate that rises and falls once.

Stochastic gradient descent with Nesterov momentum, or, for filters, Muon. A network that classifies is trained by its
labels, smoothed, and by its teacher's answers where it has a teacher (distillation, arXiv 1503.02531); missing images
count for nothing. A parity network is trained by the mean squared error to the sum of its teacher's logits over the
images that are there (ParM, arXiv 1905.00863); a detection head by the loss of `models.detection`. Arithmetic is
bfloat16 where the processor has it natively. After each epoch, or every few, the held-out images are classified, a
line is added to a CSV file and the whole state is saved; a training that resumes from there ends in the same weights as
one that never stopped, unless it has a time budget: then the learning rate follows the clock.
A GPU holds all images and what the teacher says of them, if they fit, and is not waited for within an epoch.
"""

from __future__ import annotations

import copy
import csv
import io
import math
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
from collagebench.errors import DataError, ModelError, UsageError
from collagebench.models.architecture import Architecture
from collagebench.models.network import Convolution, Network
from collagebench.training.batches import Batch, assemble, batches, steps
from collagebench.training.checkpoint import Checkpoint, save, write_whole
from collagebench.training.clock import Clock
from collagebench.training.losses import loss_of
from collagebench.training.muon import Muon
from collagebench.training.recipe import Recipe
from collagebench.workload.dataset import HELD_OUT, Dataset

WHITENED_BY = 5000
"""How many images a stem is whitened by."""
Report = Callable[[int, int, str], None]
"""Told steps done, steps in all, and a line to show."""


def train(
    architecture: Architecture,
    recipe: Recipe,
    dataset: Dataset,
    path: Path,
    resume: Checkpoint | None = None,
    report: Report = lambda done, total, line: None,
    teacher: NDArray[np.float32] | None = None,
    start: dict[str, Tensor] | None = None,
    live: Network | None = None,
    rounds: NDArray[np.float16] | None = None,
) -> Checkpoint:
    """Train a network on a dataset's training split and return its last checkpoint.

    The checkpoint lies at `path` after every epoch, or every `recipe.every`, and the log beside it with the suffix
    `.csv`. `teacher` is a single's logits of every view of every image, [views, images, classes]; where the single is
    asked about inputs, it is `live`, or has been asked, and `rounds` are its logits, [rounds, images not held out,
    classes]. `start` holds weights to begin with, used where their shapes agree.

    Raises:
        DataError: an image cannot be read, or there are too few.
        ModelError: the training diverged.
        UsageError: no weights of `start` fit.
        OutputError: the checkpoint or the log cannot be written.
    """
    torch.set_num_threads(recipe.threads)
    torch.manual_seed(recipe.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")

    held_out = np.arange(len(dataset)) % HELD_OUT == 0
    used = np.flatnonzero(~held_out)
    watched = np.random.default_rng(recipe.seed).permutation(np.flatnonzero(held_out))  # collages of mixed classes
    pixels, watched_images = in_memory(dataset, used), in_memory(dataset, watched)
    watched_labels = dataset.labels[watched]
    home = home_of(pixels.nbytes, device)
    images, labels = torch.from_numpy(pixels).to(home), torch.from_numpy(dataset.labels[used]).to(home)
    plain = None if teacher is None else teacher[recipe.plain, watched].astype(np.float32)
    said: NDArray[Any] | None = rounds
    if said is None and teacher is not None and not live:
        said = teacher[:, used]
    taught = None if said is None else torch.from_numpy(said).to(home)

    network = Network(architecture)
    if architecture.layers == "whitened":
        network.whiten(torch.from_numpy(pixels[:: max(len(pixels) // WHITENED_BY, 1)]))
    if start:
        own = network.state_dict()
        fitting = {key: start[key] for key in own if key in start and start[key].shape == own[key].shape}
        if not any(value.ndim > 1 for value in fitting.values()):
            raise UsageError(f"no weights of --start fit a {architecture.name} of these layers; drop it")
        network.load_state_dict(own | fitting)
    network = network.to(device, memory_format=torch.channels_last)
    if live:
        live = live.to(device, memory_format=torch.channels_last).eval()
    banks = [layer.conv.weight for layer in network.trunk if isinstance(layer, Convolution)] if recipe.muon else []
    muon = Muon(banks, recipe.muon, torch.bfloat16 if native_bf16(device) else torch.float32) if banks else None
    learnt = [p for p in network.parameters() if p.requires_grad and all(p is not bank for bank in banks)]
    decay = recipe.weight_decay / recipe.bias_rate if recipe.bias_rate > 1 else 0.0
    optimizer = torch.optim.SGD(
        [
            {"params": [p for p in learnt if p.ndim > 1], "weight_decay": recipe.weight_decay},
            {"params": [p for p in learnt if p.ndim == 1], "weight_decay": decay},
        ],
        recipe.rate,
        recipe.momentum,
        nesterov=True,
    )
    per_epoch = steps(len(images), architecture.images, recipe.batch)
    total = recipe.epochs * per_epoch
    first, log, clock = 0, [], Clock(recipe)
    detection = network.detect if architecture.head == "detection" else None
    averaged = copy.deepcopy(network) if recipe.ema else network
    if resume:
        network.load_state_dict(resume.last or resume.network)
        averaged.load_state_dict(resume.network)
        optimizer.load_state_dict(resume.optimizer)
        if muon and resume.muon:
            muon.load_state_dict(resume.muon)
        first, log, clock = resume.epoch, list(resume.log), Clock(recipe, resume.used)

    checkpoint = resume
    for epoch in range(first, recipe.epochs):
        if epoch == first and clock.share >= 1:
            break
        if epoch == first or epoch % recipe.every == 0:
            begun, losses, done = time.perf_counter(), torch.zeros((), device=device), 0
        network.train()
        for step, batch in enumerate(batches(images, labels, architecture, recipe, epoch), epoch * per_epoch):
            weights, biases = optimizer.param_groups
            weights["lr"] = rate = clock.rate_at(step, total)
            biases["lr"] = weights["lr"] * recipe.bias_rate
            if muon:
                muon.param_groups[0]["lr"] = rate / recipe.rate * recipe.muon
            with torch.autocast(device.type, torch.bfloat16, enabled=native_bf16(device)):
                logits = network(batch.inputs.to(device))
            loss = loss_of(logits.float(), batch, what_is_said(batch, taught, live, device), recipe, detection)
            network.zero_grad()
            loss.backward()
            optimizer.step()
            if muon:
                muon.step()
            if recipe.ema:
                move_average(averaged, network, recipe.decay_at(step))
            losses, done = losses + loss.detach(), done + 1
            report(*clock.progress(step + 1, total), f"epoch {epoch + 1}{clock.of_epochs}")
            if clock.share >= 1:
                break

        over = clock.share >= 1 or epoch + 1 == recipe.epochs
        if (epoch + 1) % recipe.every and not over:
            continue
        loss_sum = losses.item()
        if not math.isfinite(loss_sum):
            raise ModelError(f"the loss was lost to overflow in epoch {epoch + 1}; train with a smaller --rate")
        row = {
            "epoch": epoch + 1,
            "seconds": round(time.perf_counter() - begun, 2),
            "rate": rate,
            "loss": loss_sum / done,
            "held_out_accuracy": held_out_accuracy(averaged, watched_images, watched_labels, plain),
        }
        log.append(row)
        checkpoint = Checkpoint(
            architecture=architecture,
            recipe=recipe,
            classes=dataset.classes,
            epoch=epoch + 1,
            network=on_cpu(averaged),
            optimizer=optimizer.state_dict(),
            log=log,
            used=clock.used,
            last=on_cpu(network) if recipe.ema else None,
            muon=muon.state_dict() if muon else None,
        )
        save(checkpoint, path)
        write_log(log, path.with_suffix(".csv"))
        report(*clock.progress((epoch + 1) * per_epoch, total), f"held-out accuracy {row['held_out_accuracy']:.3f}")
        if over:
            break
    assert checkpoint is not None
    return checkpoint


def what_is_said(batch: Batch, taught: Tensor | None, live: Network | None, device: torch.device) -> Tensor | None:
    """Return the teacher's logits of each image of a batch, float32 [batch, images an input, classes]; None without."""
    if live:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=native_bf16(device)):
            said: Tensor = live(batch.pixels.flatten(0, 1).to(device))
        return said.float().unflatten(0, batch.labels.shape)
    return None if taught is None else taught[batch.views, batch.images].to(device).float()


def move_average(averaged: Network, network: Network, decay: float) -> None:
    """Move averaged weights, and the averages that normalisation keeps, towards a network's by 1 - `decay`."""
    pairs = list(zip(averaged.state_dict().values(), network.state_dict().values(), strict=True))
    with torch.no_grad():
        own, new = zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True)
        torch._foreach_lerp_(own, new, 1 - decay)
        for count, value in pairs:
            if not count.is_floating_point():
                count.copy_(value)


def on_cpu(network: Network) -> dict[str, Tensor]:
    """Return a copy of a network's weights in ordinary memory."""
    return {key: value.detach().cpu().clone() for key, value in network.state_dict().items()}


def native_bf16(device: torch.device) -> bool:
    """Return whether bfloat16 is fast on a device: emulated, it would be slower than float32."""
    if device.type == "cuda":
        return True
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())


def home_of(size: int, device: torch.device) -> torch.device:
    """Return where so many bytes of images live while a network on `device` is trained: there, if that leaves space."""
    if device.type == "cuda" and size > torch.cuda.mem_get_info()[0] / 2:
        return torch.device("cpu")
    return device


def in_memory(dataset: Dataset, indices: NDArray[np.int64]) -> NDArray[np.uint8]:
    """Return images of a dataset.

    Raises:
        DataError: an image cannot be read, or they do not fit in memory.
    """
    try:
        return dataset.load(indices)
    except MemoryError:
        size = len(dataset) * float(np.prod(dataset.size)) / 1e9
        raise DataError(f"{len(dataset)} training images need {size:.1f} GB of memory; use fewer or smaller") from None


def held_out_accuracy(
    network: Network, images: NDArray[np.uint8], labels: NDArray[np.int64], teacher: NDArray[np.float32] | None = None
) -> float:
    """Return the share of the images that the network classifies rightly, in full inputs; NaN without a full one.

    Of a parity network it is the share of the images that are classified rightly by what it answers less the logits of
    all others, `teacher` [images, classes].
    """
    network.eval()
    architecture = network.architecture
    together = architecture.images
    device = next(network.parameters()).device
    right, judged, step = 0, 0, together * max(256 // together, 1)
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
    """Write one line for each epoch as CSV, whole or not at all."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(log[0]))
    writer.writeheader()
    writer.writerows(log)
    write_whole(path, text.getvalue().encode())
