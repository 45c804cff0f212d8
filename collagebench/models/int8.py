"""Static quantisation with onnxruntime's tool: weights and activations as eight-bit integers.

Each channel of a weight has its own scale. The scales of the activations come from calibration: their least and largest
values on some training inputs. The file contains pairs of QuantizeLinear and DequantizeLinear, which onnxruntime
replaces by integer kernels when it loads the file. Activations are unsigned and weights signed, the combination that
processors have instructions for.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import onnx
from google.protobuf.message import DecodeError
from numpy.typing import NDArray

from collagebench.errors import OutputError, first_line


def to_int8(model: onnx.ModelProto, inputs: Sequence[NDArray[Any]], kept: Sequence[str] = ()) -> onnx.ModelProto:
    """Return the model quantised to int8, calibrated on `inputs`, each a batch [batch, height, width, 3].

    The nodes named in `kept` stay in float32.

    Raises:
        OutputError: there is no room for temporary files.
    """
    from onnxruntime import quantization

    class Batches(quantization.CalibrationDataReader):
        """The calibration inputs, as the tool reads them."""

        def __init__(self) -> None:
            self._batches: Iterator[NDArray[Any]] = iter(inputs)

        def get_next(self) -> dict[str, NDArray[Any]] | None:
            """Return the next batch, or None after the last."""
            batch = next(self._batches, None)
            return None if batch is None else {"image": batch}

    before = logging.root.level
    logging.root.setLevel(logging.ERROR)  # it advises a preprocessing step that the session makes superfluous
    try:
        with tempfile.TemporaryDirectory() as directory:
            source, target = Path(directory) / "float32.onnx", Path(directory) / "int8.onnx"
            onnx.save(model, source)
            quantization.quantize_static(
                source,
                target,
                Batches(),
                quant_format=quantization.QuantFormat.QDQ,
                activation_type=quantization.QuantType.QUInt8,
                weight_type=quantization.QuantType.QInt8,
                per_channel=True,
                nodes_to_exclude=list(kept),
            )
            small = onnx.load(target)
    except (OSError, DecodeError) as error:
        where = f"{tempfile.gettempdir()} has no room for the temporary files of quantisation"
        raise OutputError(f"{where} ({first_line(error)}); make room there, or set TMPDIR") from None
    finally:
        logging.root.setLevel(before)
    small.ClearField("metadata_props")
    small.graph.ClearField("value_info")
    onnx.checker.check_model(small, full_check=True)
    return small
