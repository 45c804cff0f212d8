"""Weights in torch files from any source: read without executing code from the file, and loaded into a network."""

from __future__ import annotations

import hashlib
import io
import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from collagebench.errors import ModelError
from collagebench.models.architecture import fields_of
from collagebench.ordinary import ordinary

PARALLEL = "module."
"""Prefix of weight names that were saved from within torch's DistributedDataParallel or DataParallel."""
COMPILED = "_orig_mod."
"""Occurs in weight names that were saved from a network, or part of one, compiled by `torch.compile`."""


def quietly_loaded(file: io.BytesIO) -> Any:
    """Return the content of a torch file, if it is only data. torch's warnings are suppressed.

    Raises:
        Exception: whatever torch's unpickler raises.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.load(file, map_location="cpu", weights_only=True)


def weights_in(path: Path) -> tuple[dict[str, Tensor], str]:
    """Return the state dict in a file, also under `state_dict`, `model_state_dict` or `model`, and the file's sha256.

    In a checkpoint of a `Foreign`, the names become those of the wrapped network.

    Raises:
        ModelError: the file cannot be read, or holds no weights.
    """
    found, digest = _content(path)
    if isinstance(found, dict) and "schema" in found and isinstance(found.get("network"), dict):
        found = {str(key).removeprefix("network."): value for key, value in found["network"].items()}
    for key in ("state_dict", "model_state_dict", "model"):
        if isinstance(found, dict) and isinstance(found.get(key), dict):
            found = found[key]
    if not isinstance(found, dict) or not found or not all(map(_is_weight, found, found.values())):
        raise ModelError(f"checkpoint {path} holds no state dict; save one with torch.save(network.state_dict(), FILE)")
    return found, digest


def preprocessing_in(path: Path) -> tuple[dict[str, Any], tuple[Any, ...]]:
    """Return the `image` size and preprocessing of a checkpoint of a `Foreign`, and its classes.

    Both are empty for any other file.

    Raises:
        ModelError: the file cannot be read.
    """
    found, _ = _content(path)
    trained = found.get("architecture") if isinstance(found, dict) and "schema" in found else None
    if not isinstance(trained, dict) or "resize" not in trained:
        return {}, ()
    classes = found.get("classes")
    before = ("image", "resize", "crop", "mean", "std", "interpolation")
    fields = {key: trained[key] for key in before if key in trained}
    return fields_of(fields), classes if isinstance(classes, tuple) else ()


def _content(path: Path) -> tuple[Any, str]:
    """Return what a torch file holds, and its sha256."""
    try:
        content = ordinary(path).read_bytes()
        found = quietly_loaded(io.BytesIO(content))
    except OSError as error:
        raise ModelError(f"checkpoint {path} cannot be read ({error.strerror})") from None
    except Exception:  # torch's unpickler raises various exceptions
        raise ModelError(f"checkpoint {path} is damaged, or holds more than weights; save a state dict") from None
    return found, hashlib.sha256(content).hexdigest()


def _is_weight(name: Any, value: Any) -> bool:
    return isinstance(name, str) and isinstance(value, Tensor)


def bare(name: str) -> str:
    """Return the name of a weight without what torch's wrappers add to it."""
    return name.replace(COMPILED, "").removeprefix(PARALLEL)


def fill(network: nn.Module, path: Path) -> str:
    """Load the weights of a file, found by `weights_in`, into a network; return the file's sha256.

    Raises:
        ModelError: the file cannot be read, holds no weights, or another network's; the message names the first weight
            that differs.
    """
    found, digest = weights_in(path)
    own = network.state_dict()
    found = {key if key in own else bare(key): value for key, value in found.items()}
    for key, value in own.items():
        if key not in found:
            raise ModelError(f"checkpoint {path} is of another architecture: it lacks {key}")
        if found[key].shape != value.shape:
            raise ModelError(
                f"checkpoint {path} is of another architecture: {key} is {tuple(found[key].shape)} there and "
                f"{tuple(value.shape)} in the network"
            )
    for key in found:
        if key not in own:
            raise ModelError(f"checkpoint {path} is of another architecture: the network has no {key}")
    network.load_state_dict(found)
    return digest
