"""Models are checked before they serve."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from real_processes import SUMS

from collagebench.errors import ModelError
from collagebench.worker.inference import emulated, load
from collagebench.worker.spec import ModelFile


def test_a_loaded_model_answers_and_names_what_it_loaded() -> None:
    """A loaded model gives one row for each image, and its hash is that of the file."""
    model = load(SUMS)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), np.uint8)
    assert model.infer is not None
    np.testing.assert_array_equal(model.infer(pixels), pixels.sum(axis=(1, 2), dtype=np.float32))
    assert model.sha256 == hashlib.sha256(Path(SUMS.path).read_bytes()).hexdigest()
    assert (model.batch, model.output) == (None, (3,))


def test_an_emulated_model_needs_no_file() -> None:
    """An emulated model has an input shape and computes nothing."""
    model = emulated(ModelFile("m", "/nowhere.onnx", "", (8, 8, 3)))
    assert (model.input, model.infer, model.sha256) == ((8, 8, 3), None, None)


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    """A missing model is refused with its path and the reason."""
    path = str(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match=r"none\.onnx cannot be read \(No such file or directory\)"):
        load(replace(SUMS, path=path))


@pytest.mark.parametrize("keep", [0, 1, 60, 187])
def test_a_truncated_model_is_one_sentence(tmp_path: Path, keep: int) -> None:
    """A truncated or empty model is refused in one sentence."""
    path = tmp_path / "cut.onnx"
    path.write_bytes(Path(SUMS.path).read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"cut\.onnx .*export it again") as caught:
        load(replace(SUMS, path=str(path)))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_model_at_all_is_one_sentence() -> None:
    """A Python file is refused as a model."""
    with pytest.raises(ModelError, match="is not a complete ONNX model"):
        load(replace(SUMS, path=__file__))


def test_a_model_for_another_image_size_is_refused() -> None:
    """A model for images of another shape is refused, with both shapes."""
    with pytest.raises(ModelError, match=r"takes images of shape \['batch', 4, 4, 3\], not \[batch, 8, 8, 3\]"):
        load(replace(SUMS, input=(8, 8, 3)))


def test_a_model_with_another_input_is_refused() -> None:
    """A model with other names of input or output is refused, with its names and the required ones."""
    path = Path(__file__).with_name("misnamed.onnx")
    with pytest.raises(ModelError, match="takes `x` and gives `logits`; it must take `image` and give `logits`"):
        load(ModelFile("m", str(path), "", (4, 4, 3)))
