"""Teachers: a single, or several, whose logits for every training image are computed once and kept.

A teacher is a checkpoint, or an exported model with its manifest beside it, such as a classifier trained elsewhere.
Images are shifted anew whenever they are used, but a shift by a few pixels seldom changes what is seen. So the cheapest
teacher sees only each image and its mirror image, and one pass over the data serves all later trainings. A teacher that
sees every shift its student sees teaches better (arXiv 2106.05237) and costs (2 crop + 1)^2 times as much: a minute on
a GPU. One that sees exactly the student's input, including cutouts and mixtures with other images, teaches best. With
rounds it, too, is asked beforehand, once for all students.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from collagebench import zoo
from collagebench.engine.evaluation import session
from collagebench.errors import ModelError, OutputError, UsageError
from collagebench.models.foreign import Foreign
from collagebench.models.network import Network
from collagebench.training.batches import alter, altered
from collagebench.training.checkpoint import Checkpoint, open_checkpoint, put
from collagebench.training.loop import Report, home_of, in_memory
from collagebench.training.recipe import Recipe
from collagebench.training.step import fastest, native_bf16, placed
from collagebench.workload.dataset import HELD_OUT, Dataset, fingerprint
from collagebench.zoo.seen import identity

PIXELS = 500 * 32 * 32
"""Pixels in one call of the teacher."""
PIXELS_ON_GPU = 8 * PIXELS


def single_in(directory: Path, called: str) -> Path | None:
    """Return the single of a dataset in a directory: its checkpoint, else the exported model, else None.

    Raises:
        ModelError: the directory's manifest cannot be read.
    """
    checkpoint, exported = (directory / f"{called}-single{suffix}" for suffix in (".pt", ".onnx"))
    if checkpoint.exists():
        return checkpoint
    listed = zoo.load(directory) if (directory / zoo.MANIFEST).exists() else []
    return exported if any(model.path == exported and model.is_there for model in listed) else None


def singles_for(role: str, named: tuple[Path, ...], directory: Path, called: str) -> tuple[Path, ...]:
    """Return the singles to learn from: those named, else that of a dataset in a directory, if there is one.

    A single learns only from those named. A parity needs one, so the path of a missing one is returned.
    """
    if named or role == "single":
        return named
    own = single_in(directory, called)
    if own is None and role == "parity":
        own = directory / f"{called}-single.pt"
    return (own,) if own else ()


def open_teacher(path: Path, classes: tuple[str, ...], image: tuple[int, int]) -> tuple[Checkpoint | zoo.Model, str]:
    """Read the checkpoint of a single, or find an exported single (.onnx); return it with its sha256.

    That of an exported single is its identity, which does not change if it is exported again.

    Raises:
        ModelError: it is missing or damaged.
        UsageError: it is not a single, or is for other images.
    """
    teacher: Checkpoint | zoo.Model
    if path.suffix == ".onnx":
        teacher = _listed(path)
        role, size, digest = teacher.role, teacher.image[:2], identity(teacher)
    else:
        teacher, digest = open_checkpoint(path)
        role, size = teacher.architecture.role, teacher.architecture.image
    if role != "single":
        raise UsageError(f"{path} is a {role}; name the checkpoint, or the model, of a single with --single")
    if size == image and len(teacher.classes) == len(classes) and teacher.classes != classes:
        one, other = next((a, b) for a, b in zip(teacher.classes, classes, strict=True) if a != b)
        raise UsageError(f"{path} knows a class {one} where the images have {other}; train a single on them first")
    if teacher.classes == classes and size != image and size[0] == size[1]:
        raise UsageError(
            f"{path} takes images of {size[0]}x{size[1]} pixels, but these are {image[0]}x{image[1]}; train with "
            f"--size {size[0]}, or train a single of this size first"
        )
    if teacher.classes != classes or size != image:
        raise UsageError(
            f"{path} knows {len(teacher.classes)} classes at {size} pixels, but the images have {len(classes)} classes "
            f"and {image} pixels; train a single on them first"
        )
    return teacher, digest


def _listed(path: Path) -> zoo.Model:
    """Return an exported model from the manifest beside it."""
    for model in zoo.load(path.parent):
        if model.path == path:
            zoo.verified(model)
            return model
    raise ModelError(f"{path.parent / zoo.MANIFEST} does not list a model {path.name}; `collagebench export` adds it")


def kept_logits(
    teacher: Checkpoint | zoo.Model, sha256: str, dataset: Dataset, directory: Path, recipe: Recipe, report: Report
) -> NDArray[Any]:
    """Return a teacher's logits for all images of a dataset in all views of a recipe: [views, images, classes].

    They are kept in `directory`, in a file named after the teacher, its sha256 and the images' fingerprint. Their dtype
    is float32, or float16 if there are views of every shift.

    Raises:
        DataError: an image cannot be read.
        OutputError: the file cannot be written.
    """
    every = f"-shifts-{recipe.crop}" if recipe.shifts > 1 else ""
    path = directory / f"{teacher.name}-{sha256[:12]}-{(recipe.images or fingerprint(dataset))[:12]}{every}-logits.npy"
    shape = (recipe.views, len(dataset), len(teacher.classes))
    dtype = np.dtype(np.float16 if every else np.float32)
    plain = replace(recipe, cutout=0, mix=0.0, cutmix=0.0, rounds=0)
    return _kept(path, shape, dtype, lambda: _asked(teacher, dataset, np.arange(len(dataset)), _views, plain, report))


def kept_rounds(
    teacher: Checkpoint | zoo.Model, sha256: str, dataset: Dataset, directory: Path, recipe: Recipe, report: Report
) -> NDArray[Any]:
    """Return a teacher's logits for the altered images of each round of a recipe, without the held-out images.

    They are float16 [rounds, images, classes], and are kept in `directory` for all trainings with the same alterations.

    Raises:
        DataError: an image cannot be read.
        OutputError: the file cannot be written.
    """
    used = np.flatnonzero(np.arange(len(dataset)) % HELD_OUT)
    alike = (recipe.seed, recipe.crop, int(recipe.flip), recipe.cutout, recipe.mix, recipe.cutmix, recipe.rounds)
    of = f"{teacher.name}-{sha256[:12]}-{(recipe.images or fingerprint(dataset))[:12]}"
    path = directory / f"{of}-rounds-{'-'.join(map(str, alike))}-logits.npy"
    shape = (recipe.rounds, len(used), len(teacher.classes))
    dtype = np.dtype(np.float16)
    return _kept(path, shape, dtype, lambda: _asked(teacher, dataset, used, _rounds, recipe, report))


def ensemble(said: list[NDArray[Any]]) -> NDArray[Any]:
    """Return the mean of several teachers' logits: an ensemble is right more often than any of its members."""
    if len(said) == 1:
        return said[0]
    means = np.empty_like(said[0])
    for view, answers in enumerate(zip(*said, strict=True)):
        means[view] = np.mean(answers, axis=0, dtype=np.float32)
    return means


def lessons(
    teachers: Sequence[tuple[Checkpoint | zoo.Model, str]],
    role: str,
    images: Dataset,
    directory: Path,
    recipe: Recipe,
    report: Report,
) -> tuple[NDArray[Any] | None, list[Network | Foreign] | None, NDArray[Any] | None]:
    """Return what teachers teach, as `train` takes it: `teacher`, `live` and `rounds`; raises what `kept_logits` does.

    `teachers` are opened, each before its sha256. What they are asked beforehand is kept in `directory`.
    """
    if not teachers:
        return None, None, None
    taught, live, rounds = None, None, None
    if recipe.rounds:
        rounds = ensemble([kept_rounds(*teacher, images, directory, recipe, report) for teacher in teachers])
    elif recipe.teacher_sees == "inputs":
        live = [teacher.restored() for teacher, _ in teachers if isinstance(teacher, Checkpoint)]
    if recipe.teacher_sees != "inputs" or role == "parity":
        taught = ensemble([kept_logits(*teacher, images, directory, recipe, report) for teacher in teachers])
    return taught, live, rounds


def _kept(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], make: Callable[[], Iterator[NDArray[Any]]]
) -> NDArray[Any]:
    """Return the array in a file; if it is not there, stack what `make` yields and save that."""
    if path.exists() and not path.is_file():  # what the teacher says could not be saved
        raise OutputError(f"{path} is not a regular file: remove it, so that a teacher's logits can be kept there")
    try:
        with path.open("rb") as file:
            kept = np.lib.format.read_array(file, allow_pickle=False)
        if kept.shape == shape and kept.dtype == dtype:
            return np.asarray(kept)
    except Exception:  # missing or damaged, for which NumPy raises anything: made again
        pass
    logits = np.empty(shape, dtype)
    for view, answers in enumerate(make()):
        logits[view] = answers
    buffer = io.BytesIO()
    np.save(buffer, logits)
    put(path, buffer.getvalue())
    return logits


def _asked(
    teacher: Checkpoint | zoo.Model,
    dataset: Dataset,
    indices: NDArray[np.int64],
    ways: Callable[[tuple[int, int, int], Recipe], Iterator[NDArray[np.int64]]],
    recipe: Recipe,
    report: Report,
) -> Iterator[NDArray[np.float32]]:
    """Yield a teacher's logits for images of a dataset, [images, classes], for each of a recipe's alterations."""
    torch.set_num_threads(recipe.threads)
    device = fastest()
    pixels = in_memory(dataset, indices)
    images = torch.from_numpy(pixels).to(home_of(pixels.nbytes, device))
    ask = (
        _network(teacher.restored(), device)
        if isinstance(teacher, Checkpoint)
        else _file(session(teacher, recipe.threads))
    )
    fields = teacher.architecture.as_dict() if isinstance(teacher, Checkpoint) else teacher.recipe
    height, width = images.shape[1:3]
    larger = max((fields.get("resize") or 0) / min(height, width), 1.0)  # its own resizing may enlarge images
    step = max(int((PIXELS_ON_GPU if device.type == "cuda" else PIXELS) / (height * width * larger**2)), 1)
    count, total = 0, (recipe.rounds or recipe.views) * len(images)
    for drawn in ways((len(images), *images.shape[1:3]), recipe):
        alterations = torch.from_numpy(drawn).to(images.device)
        answers = []
        for some in torch.arange(len(images), device=images.device).split(step):
            answers.append(ask(altered(images, some, alterations, recipe).to(device)))
            count += len(some)
            report(count, total, "asking the teacher")
        yield np.concatenate(answers)


def _views(shape: tuple[int, int, int], recipe: Recipe) -> Iterator[NDArray[np.int64]]:
    """Yield the alterations of each view of a recipe, in the order of `Recipe.view`, the same for all images."""
    middle = recipe.crop if recipe.shifts == 1 else 0
    for mirrored, row, column in np.ndindex(2, recipe.shifts, recipe.shifts):
        alike = np.array([middle + row, middle + column, mirrored, 0, 0, 256, *[0] * 5])
        yield np.repeat(alike[:, None], shape[0], 1)


def _rounds(shape: tuple[int, int, int], recipe: Recipe) -> Iterator[NDArray[np.int64]]:
    """Yield the alterations of each round of a recipe."""
    images, height, width = shape
    return (alter(images, (height, width), recipe, number) for number in range(recipe.rounds))


def _network(network: Network | Foreign, device: torch.device) -> Callable[[Tensor], NDArray[np.float32]]:
    """Return a function from images [n, height, width, 3] to a network's logits [n, classes]."""
    network = placed(network, device)

    def ask(seen: Tensor) -> NDArray[np.float32]:
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=native_bf16(device)):
            answers: NDArray[np.float32] = network(seen).float().cpu().numpy()
        return answers

    return ask


def _file(runner: Any) -> Callable[[Tensor], NDArray[np.float32]]:
    """Return the same function for an ONNX session."""

    def ask(seen: Tensor) -> NDArray[np.float32]:
        answers: NDArray[np.float32] = runner.run(["logits"], {"image": seen.cpu().numpy()})[0]
        return answers

    return ask
