"""Networks defined elsewhere: torchvision's classifiers by name, and any others by import path.

They are exported as trained elsewhere, or trained here, from their own weights or from scratch. Such networks take
normalised images [batch, 3, height, width], but a fleet sends pixels, uint8 [batch, height, width, 3]. So the
preprocessing becomes part of the graph, before the network: resizing the shorter side, cropping the centre, and
normalising the colours, each only if requested.
"""

from __future__ import annotations

import contextlib
import io
import math
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from collagebench.errors import MissingExtra, ModelError, UsageError, first_line
from collagebench.import_path import imported
from collagebench.models.architecture import described


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """The preprocessing of a network. It also serves as the `architecture` of a `Foreign`, and describes its input."""

    image: tuple[int, int]
    """Height and width of the images sent to the model, in pixels."""
    resize: int | None = None
    """Resize the shorter side to this many pixels, antialiased; None to keep the size."""
    crop: int | None = None
    """Crop a square of this many pixels along a side from the centre; None for no crop."""
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Subtracted from each colour, on a scale of 0 to 1; the result is divided by `std`."""
    std: tuple[float, float, float] = (1.0, 1.0, 1.0)
    interpolation: str = "bilinear"
    """How to resize, `bilinear` or `bicubic`."""
    dtype: str = "uint8"

    def __post_init__(self) -> None:
        if any(side is not None and side < 1 for side in (*self.image, self.resize, self.crop)):
            raise UsageError("--size, --resize and --crop must be numbers of pixels from 1 up")
        if len(self.std) != 3 or not all(0 < value < math.inf for value in self.std):
            raise UsageError(f"--std must be three numbers above 0, not {self.std}")
        if len(self.mean) != 3 or not all(math.isfinite(value) for value in self.mean):
            raise UsageError(f"--mean must be three numbers, such as 0.5, not {self.mean}")
        if max(self.mean) > 1:
            raise UsageError(
                f"--mean and --std are on a scale of 0 to 1, but --mean is {self.mean}: divide them by 255"
            )
        if self.interpolation not in ("bilinear", "bicubic"):
            raise UsageError(f"images are resized in a bilinear or bicubic way, not {self.interpolation!r}")
        if self.crop and self.crop > min(self.resized):
            raise UsageError(
                f"--crop {self.crop} is larger than images of {self.resized} pixels; use a larger --resize"
            )

    @property
    def resized(self) -> tuple[int, int]:
        """Height and width after resizing, rounded down as in torchvision."""
        if self.resize is None:
            return self.image
        height, width = self.image
        shorter = min(height, width)
        return self.resize * height // shorter, self.resize * width // shorter

    @property
    def fed(self) -> tuple[int, int]:
        """Height and width of what the network takes, after all preprocessing."""
        return (self.crop, self.crop) if self.crop else self.resized

    @property
    def input(self) -> tuple[int, int, int]:
        """Height, width and channels of the images sent to the model."""
        return (*self.image, 3)

    @property
    def head(self) -> None:
        """Always None, like `grid`, `canvas`, `k` and `code`: such a network is neither a collage nor a parity."""
        return None

    grid = canvas = k = code = head

    @property
    def images(self) -> int:
        """Always 1, like `added`: an input is one image."""
        return 1

    added = images

    def as_dict(self) -> dict[str, Any]:
        """Return the fields as JSON values."""
        return described(self)


@dataclass(frozen=True, slots=True)
class Borrowed(Preprocessing):
    """The architecture of a network that is defined elsewhere and trained here."""

    role: str = "single"
    """`single` or `backup`, or `coded`, which is a trained single that takes float32."""
    classes: int = 0
    torchvision: str | None = None
    """The name of a torchvision classifier; None if `network` holds an import path instead."""
    network: str | None = None

    def __post_init__(self) -> None:
        Preprocessing.__post_init__(self)
        if self.role not in ("single", "backup", "coded"):
            raise UsageError(
                f"a {self.role} has its own layers: --torchvision and --network are for a single or a backup; drop them"
            )
        object.__setattr__(self, "dtype", "float32" if self.role == "coded" else "uint8")

    @property
    def name(self) -> str:
        """Its name among the models of one dataset."""
        return self.role

    @property
    def source(self) -> str:
        """The torchvision name or import path of the network."""
        return str(self.torchvision or self.network)

    def made(self) -> Foreign:
        """Return the untrained network, initialised from torch's global random generator.

        Raises:
            MissingExtra: torchvision is not installed.
            ModelError: the network cannot be made, or cannot take such images.
            UsageError: there is no such network, or it has another number of classes.
        """
        if self.torchvision:
            network = from_torchvision(self.torchvision, "none", self.classes)[0]
        else:
            network = from_path(self.source)
        foreign = Foreign(network, self)
        for key, value in foreign.network.state_dict().items():
            if not isinstance(value, Tensor):
                raise ModelError(
                    f"{self.source} has a {type(value).__name__} among its weights ({key}); let it keep only tensors, "
                    "without get_extra_state"
                )
        if (logits := logits_of(foreign.network, self)) != self.classes:
            raise UsageError(
                f"{self.source} has {logits} classes, but the images have {self.classes}; let it make a network for "
                "these"
            )
        return foreign


class Foreign(nn.Module):
    """A network with its preprocessing in front."""

    mean: Tensor
    std: Tensor
    picked: Tensor

    def __init__(self, network: nn.Module, architecture: Preprocessing, picked: Sequence[int] | None = None) -> None:
        """Wrap a network; if `picked` is given, only those logits are returned, in this order."""
        super().__init__()
        self.network, self.architecture = network, architecture
        self.picks = picked is not None
        self.register_buffer("mean", torch.tensor(architecture.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(architecture.std).view(3, 1, 1), persistent=False)
        self.register_buffer("picked", torch.tensor(picked or [0]), persistent=False)

    def forward(self, image: Tensor) -> Tensor:
        """Classify pixels [batch, height, width, 3] of 0 to 255: float32 [batch, classes]."""
        a = self.architecture
        x = image.permute(0, 3, 1, 2).contiguous().float() / 255  # contiguous, as some networks call view
        if a.resized != a.image:
            bicubic = a.interpolation == "bicubic"
            # Bicubic resizing overshoots. Pillow resizes the width first, and cuts off what overshoots each time.
            for size in ((a.image[0], a.resized[1]), a.resized) if bicubic else (a.resized,):
                x = F.interpolate(x, size, mode=a.interpolation, antialias=True, align_corners=False)
                x = x.clamp(0, 1) if bicubic else x
        if a.crop:
            top, left = (round((side - a.crop) / 2) for side in a.resized)  # halves to the even number, as torchvision
            x = x[:, :, top : top + a.crop, left : left + a.crop]
        found = self.network((x - self.mean) / self.std)
        logits: Tensor = getattr(found, "logits", found)  # some also return auxiliary logits in training
        logits = logits[:, self.picked] if self.picks else logits
        return logits.float() if isinstance(logits, Tensor) else logits  # `logits_of` refuses others


def from_torchvision(
    name: str, weights: str, classes: int
) -> tuple[nn.Module, dict[str, Any], tuple[str, ...], str | None]:
    """Return torchvision's classifier `name`, and the preprocessing, categories and name of its weights.

    `weights` is `default`, which downloads them unless they are cached, or `none` for a random network of `classes`
    classes.

    Raises:
        MissingExtra: torchvision is not installed.
        UsageError: torchvision has no such classifier.
        ModelError: the weights cannot be obtained.
    """
    try:
        from torchvision import models
    except ImportError:
        raise MissingExtra("--torchvision needs torchvision: pip install 'collagebench[train]'") from None
    warnings.filterwarnings("ignore", category=FutureWarning, module="torchvision")  # from some initialisers
    if name not in models.list_models(module=models):
        raise UsageError(
            f"torchvision has no classifier called {name!r}; it has resnet18 and mobilenet_v3_small, for example"
        )
    if weights == "none":
        return models.get_model(name, weights=None, num_classes=classes), {}, (), None
    chosen = models.get_model_weights(name)["DEFAULT"]
    try:
        with contextlib.redirect_stdout(io.StringIO()):  # drop the announcement; stderr shows the progress
            network = models.get_model(name, weights=chosen)
    except (OSError, RuntimeError) as error:
        raise ModelError(f"the weights of {name} cannot be obtained from {chosen.url} ({first_line(error)})") from None
    steps = chosen.transforms()
    before = {
        "resize": int(steps.resize_size[0]),
        "crop": int(steps.crop_size[0]),
        "mean": tuple(steps.mean),
        "std": tuple(steps.std),
        "interpolation": steps.interpolation.value,
    }
    return network, before, tuple(chosen.meta["categories"]), str(chosen)


def from_path(path: str) -> nn.Module:
    """Return the network that the callable at `package.module:function` makes; the current directory is searched, too.

    Raises:
        UsageError: there is no such callable.
        CollagebenchError: its module fails when it is imported.
        ModelError: it fails, or does not return a network.
    """
    module, _, function = path.partition(":")
    if not (module and function):
        raise UsageError(f"--network {path!r} does not name a callable; write package.module:function")
    make = imported(path, f"--network {path}")
    try:
        with contextlib.redirect_stdout(sys.stderr):  # as while its module is imported
            network = make()
    except (Exception, SystemExit) as error:
        raise ModelError(f"--network {path} failed when called without arguments ({first_line(error)})") from None
    if not isinstance(network, nn.Module):
        raise ModelError(f"--network {path} made a {type(network).__name__}, not a torch.nn.Module")
    try:
        network.state_dict()
    except Exception as error:
        raise ModelError(
            f"--network {path} made a module whose weights cannot be read ({first_line(error)}); its __init__ must "
            "begin with super().__init__()"
        ) from None
    return network


def logits_of(network: nn.Module, architecture: Preprocessing) -> int:
    """Return the number of logits that a network gives for one image.

    Raises:
        ModelError: it fails on such an image, or gives something else.
    """
    try:
        with torch.no_grad():
            logits = Foreign(network, architecture).eval()(torch.zeros((2, *architecture.input), dtype=torch.uint8))
    except (Exception, SystemExit) as error:  # networks raise anything
        height, width = architecture.fed
        raise ModelError(
            f"the network cannot take images of {height}x{width} pixels ({first_line(error)}); if it takes "
            "another size, name that with --resize"
        ) from None
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 2:
        kind = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        raise ModelError(f"for 2 images the network gives {kind}, not one row of logits for each")
    return int(logits.shape[1])
