"""The networks: what goes in, what comes out, what they cost, and what cannot be built."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench.errors import UsageError  # noqa: E402
from collagebench.models import cost  # noqa: E402
from collagebench.models.network import Architecture, Network  # noqa: E402


def made(grid: int | None = None, width: int = 8, stride: int = 4) -> Network:
    """Return an untrained network for 32x32 images of ten classes, the same every time."""
    torch.manual_seed(0)
    role = "collage" if grid else "single"
    return Network(Architecture(role, 10, (32, 32), grid, width=width, stride=stride)).eval()


@pytest.mark.parametrize("grid", [2, 3, 4, 5])
def test_a_collage_answers_every_cell(grid: int) -> None:
    """A collage network takes grid x grid images side by side and gives each cell its logits."""
    network = made(grid)
    assert network.architecture.input == (32 * grid, 32 * grid, 3)
    logits = network(torch.zeros((2, 32 * grid, 32 * grid, 3), dtype=torch.uint8))
    assert logits.shape == (2, grid * grid, 10)
    assert logits.dtype == torch.float32


def test_a_single_answers_one_image() -> None:
    """A single network gives one vector of logits for each image."""
    assert made()(torch.zeros((5, 32, 32, 3), dtype=torch.uint8)).shape == (5, 10)


@pytest.mark.parametrize("cell", range(9))
def test_cells_are_in_row_major_order(cell: int) -> None:
    """Changing the image at row k // grid and column k % grid changes the answer of cell k most."""
    network = made(3)
    black = torch.zeros((1, 96, 96, 3), dtype=torch.uint8)
    lit = black.clone()
    row, column = divmod(cell, 3)
    noise = np.random.default_rng(0).integers(256, size=(32, 32, 3), dtype=np.uint8)
    lit[0, 32 * row : 32 * row + 32, 32 * column : 32 * column + 32] = torch.from_numpy(noise)
    with torch.no_grad():
        change = (network(lit) - network(black)).abs().sum(-1)[0]
    assert int(change.argmax()) == cell


def test_macs_are_those_counted_by_hand() -> None:
    """A convolution costs outputs x inputs x kernel area at each place, a linear layer inputs x outputs."""
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 8, 3, 2, 1), torch.nn.ReLU(), torch.nn.Flatten())
    head = torch.nn.Linear(8 * 16, 10)

    class Small(torch.nn.Module):
        """One strided convolution over 8x8 pixels and a classifier."""

        def __init__(self) -> None:
            super().__init__()
            self.layers, self.head = layers, head

        def forward(self, image: torch.Tensor) -> torch.Tensor:
            """Classify uint8 [batch, 8, 8, 3]."""
            return self.head(self.layers(image.permute(0, 3, 1, 2).float()))

    small = Small().train()
    assert cost.count_macs(small, (8, 8, 3)) == 4 * 4 * 8 * 3 * 9 + 8 * 16 * 10
    assert cost.count_parameters(small) == 3 * 9 * 8 + 8 + 8 * 16 * 10 + 10
    assert small.training, "counting leaves the network as it was"


def test_a_collage_of_stem_stride_grid_costs_what_its_single_costs() -> None:
    """The trunk of a 4x4 collage behind a stem of stride 4 costs what a single's does on one image."""
    single, collage = made(stride=1), made(4)
    trunk = cost.count_macs(single, (32, 32, 3)) - 1024 * 8 * 27
    assert cost.count_macs(collage, (128, 128, 3)) - 1024 * 8 * 3 * 81 == pytest.approx(trunk, rel=0.01)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"role": "parity"}, "unknown role 'parity'"),
        ({"role": "collage"}, "use --grid"),
        ({"role": "collage", "grid": 6}, "2 to 5 cells"),
        ({"role": "single", "grid": 3}, "drop --grid"),
        ({"role": "single", "classes": 1}, "at least two classes"),
        ({"role": "single", "width": 0}, "a width"),
        ({"role": "single", "image": (30, 32)}, "30x32 images do not divide by 4"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, object], words: str) -> None:
    """An architecture that makes no sense is a usage error that says what to change."""
    with pytest.raises(UsageError, match=words):
        Architecture(**{"classes": 10, "image": (32, 32), **arguments})
