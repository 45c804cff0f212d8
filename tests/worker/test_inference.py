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
    """It gives one row per image, and the hash is that of the file's content."""
    model = load(SUMS)
    pixels = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 3), np.uint8)
    assert model.infer is not None
    np.testing.assert_array_equal(model.infer(pixels), pixels.sum(axis=(1, 2), dtype=np.float32))
    assert model.sha256 == hashlib.sha256(Path(SUMS.path).read_bytes()).hexdigest()
    assert (model.batch, model.output) == (None, (3,))


def test_an_emulated_model_needs_no_file() -> None:
    """It knows its input and computes nothing."""
    model = emulated(ModelFile("m", "/nowhere.onnx", "", (8, 8, 3)))
    assert (model.input, model.infer, model.sha256) == ((8, 8, 3), None, None)


def test_a_missing_model_is_one_sentence(tmp_path: Path) -> None:
    """It names the file and says that it is not there."""
    path = str(tmp_path / "none.onnx")
    with pytest.raises(ModelError, match=r"none\.onnx cannot be read \(No such file or directory\)"):
        load(replace(SUMS, path=path))


@pytest.mark.parametrize("keep", [0, 1, 60, 187])
def test_a_truncated_model_is_one_sentence(tmp_path: Path, keep: int) -> None:
    """Wherever it was cut, and even when nothing is left of it."""
    path = tmp_path / "cut.onnx"
    path.write_bytes(Path(SUMS.path).read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"cut\.onnx .*export it again") as caught:
        load(replace(SUMS, path=str(path)))
    assert "\n" not in str(caught.value)


def test_a_file_that_is_no_model_at_all_is_one_sentence() -> None:
    """A Python file is not an ONNX model."""
    with pytest.raises(ModelError, match="is not a complete ONNX model"):
        load(replace(SUMS, path=__file__))


def test_a_model_for_another_image_size_is_refused() -> None:
    """The shape it takes and the shape that was expected are both named."""
    with pytest.raises(ModelError, match=r"takes images of shape \['batch', 4, 4, 3\], not \[batch, 8, 8, 3\]"):
        load(replace(SUMS, input=(8, 8, 3)))


def test_a_model_with_another_input_is_refused() -> None:
    """Its own names and the required ones are both named."""
    path = Path(__file__).with_name("misnamed.onnx")
    with pytest.raises(ModelError, match="takes `x` and gives `logits`; it must take `image` and give `logits`"):
        load(ModelFile("m", str(path), "", (4, 4, 3)))
