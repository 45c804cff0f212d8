"""The networks: inputs, outputs, costs, and what cannot be built."""

from __future__ import annotations

import json

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench.errors import UsageError  # noqa: E402
from collagebench.models import cost  # noqa: E402
from collagebench.models.architecture import Architecture, fields_of, usual_canvas, usual_layers  # noqa: E402
from collagebench.models.network import CellMaxima, Network  # noqa: E402


def made(role: str = "single", **fields: object) -> Network:
    """Return an untrained network for 32x32 images of ten classes, the same every time."""
    torch.manual_seed(0)
    layers = {"stem": 8, "stride": 2, "widths": (8, 16), "depths": (1, 0)}
    image = fields.pop("image", (32, 32))
    return Network(Architecture(role, 10, image, **{**layers, **fields})).eval()


@pytest.mark.parametrize("grid", [2, 3, 4, 5, 6])
def test_a_collage_answers_every_cell(grid: int) -> None:
    """A collage network takes grid x grid images side by side and gives each cell its logits."""
    network = made("collage", grid=grid)
    assert network.architecture.input == (32 * grid, 32 * grid, 3)
    logits = network(torch.zeros((2, 32 * grid, 32 * grid, 3), dtype=torch.uint8))
    assert logits.shape == (2, grid * grid, 10)
    assert logits.dtype == torch.float32


@pytest.mark.parametrize(("grid", "size"), [(3, (13, 13)), (2, (7, 5)), (5, (13, 11)), (4, (4, 9))])
def test_cells_that_share_features_take_each_that_lies_in_them(grid: int, size: tuple[int, int]) -> None:
    """The maxima over cells equal adaptive max pooling, also if cells share features."""
    x = torch.from_numpy(np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32))
    assert torch.equal(CellMaxima(size, grid)(x), torch.nn.functional.adaptive_max_pool2d(x, grid))


def test_a_collage_may_be_smaller_than_its_images_side_by_side() -> None:
    """A collage's input may be a smaller canvas, whose cells share features; for 224-pixel images 416x416 is usual."""
    network = made("collage", grid=3, image=(48, 48), canvas=(104, 88))
    assert network.architecture.input == (104, 88, 3)
    assert network.architecture.image == (48, 48)
    assert network(torch.zeros((2, 104, 88, 3), dtype=torch.uint8)).shape == (2, 9, 10)
    assert usual_canvas((224, 224)) == (416, 416)
    assert usual_canvas((32, 32)) is None
    large = Architecture("collage", 10, (224, 224), 3, canvas=(416, 416), **usual_layers("collage", 3, (224, 224)))
    assert Architecture(**fields_of(json.loads(json.dumps(large.as_dict())))) == large


def test_large_images_have_layers_of_their_own() -> None:
    """For 224x224 images, a 3x3 collage costs as much as a single and as nine backup images, to within 10 %."""
    image = (224, 224)
    costs = {
        role: cost.count_macs(Network(Architecture(role, 100, image, **fields, **usual_layers(role, 3, image))), size)
        for role, fields, size in (
            ("single", {}, (*image, 3)),
            ("backup", {}, (*image, 3)),
            ("collage", {"grid": 3, "canvas": (416, 416)}, (416, 416, 3)),
        )
    }
    assert costs["collage"] == pytest.approx(costs["single"], rel=0.1)
    assert 9 * costs["backup"] == pytest.approx(costs["collage"], rel=0.1)


def test_a_single_answers_one_image() -> None:
    """A single network gives one vector of logits for each image."""
    assert made()(torch.zeros((5, 32, 32, 3), dtype=torch.uint8)).shape == (5, 10)


@pytest.mark.parametrize("cell", range(9))
def test_cells_are_in_row_major_order(cell: int) -> None:
    """Changing the middle of the image at row k // grid and column k % grid changes the answer of cell k alone."""
    network = made("collage", grid=3)
    black = torch.zeros((1, 96, 96, 3), dtype=torch.uint8)
    lit = black.clone()
    row, column = divmod(cell, 3)
    noise = np.random.default_rng(0).integers(256, size=(4, 4, 3), dtype=np.uint8)
    lit[0, 32 * row + 14 : 32 * row + 18, 32 * column + 14 : 32 * column + 18] = torch.from_numpy(noise)
    with torch.no_grad():
        change = (network(lit) - network(black)).abs().sum(-1)[0]
    assert change.nonzero().flatten().tolist() == [cell]


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
    assert cost.count_parameters(small, (8, 8, 3)) == 3 * 9 * 8 + 8 + 8 * 16 * 10 + 10
    assert small.training, "counting leaves the network as it was"


def test_a_batch_for_the_backup_costs_what_one_collage_costs() -> None:
    """Nine images through a network cost exactly the multiplications of one 3x3 collage through the same layers."""
    one, nine = made("backup"), made("collage", grid=3)
    assert 9 * cost.count_macs(one, (32, 32, 3)) == cost.count_macs(nine, (96, 96, 3))


@pytest.mark.parametrize(
    ("fields", "dtype", "images"),
    [
        ({"role": "parity", "k": 2, "code": "addition"}, torch.float32, 2),
        ({"role": "parity", "k": 4, "code": "concatenation"}, torch.uint8, 4),
        ({"role": "coded"}, torch.float32, 1),
        ({"role": "backup"}, torch.uint8, 1),
    ],
)
def test_other_roles_take_one_input_of_the_images_size(
    fields: dict[str, object], dtype: torch.dtype, images: int
) -> None:
    """Parity, coded and backup networks take one input of an image's size and give one vector of logits."""
    network = made(**fields)
    assert getattr(torch, network.architecture.dtype) == dtype
    assert network.architecture.images == images
    assert network(torch.ones((5, 32, 32, 3), dtype=dtype)).shape == (5, 10)


def test_the_stem_of_an_addition_sees_the_sum_of_what_the_singles_would_see() -> None:
    """With a single's weights, the first convolution's output for a sum of images is the sum of its outputs."""
    single, parity = made(), made("parity", k=3, code="addition")
    parity.load_state_dict(single.state_dict())
    images = torch.from_numpy(np.random.default_rng(0).integers(256, size=(3, 32, 32, 3), dtype=np.uint8))
    seen: list[torch.Tensor] = []
    for network in (single, parity):
        network.stem[0].register_forward_hook(lambda layer, inputs, output: seen.append(output))
    with torch.no_grad():
        single(images)
        parity(images.float().sum(0, keepdim=True))
    assert torch.allclose(seen[0].sum(0), seen[1][0], atol=1e-4)


def test_an_architecture_survives_json() -> None:
    """An architecture written as JSON and read again is the same."""
    architecture = made("parity", k=4, code="concatenation").architecture
    assert Architecture(**fields_of(json.loads(json.dumps(architecture.as_dict())))) == architecture
    assert architecture.name == "parity-k4-concatenation"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"role": "oracle"}, "unknown role 'oracle'"),
        ({"role": "collage"}, "use --grid"),
        ({"role": "collage", "grid": 17}, "2 to 16 cells"),
        ({"role": "single", "grid": 3}, "drop --grid"),
        ({"role": "backup", "k": 2}, "drop --k"),
        ({"role": "parity", "k": 2, "code": "xor"}, "unknown code 'xor'"),
        ({"role": "parity", "k": 9, "code": "addition"}, "2 to 8 images"),
        ({"role": "parity", "k": 3, "code": "concatenation"}, "use --code addition"),
        ({"role": "single", "classes": 1}, "at least two classes, but the images have 1"),
        ({"role": "single", "stem": 0}, "--stem must be from 1 to 16384, not 0"),
        ({"role": "single", "widths": (8, 10**9)}, "--widths must be from 1 to 16384, not 8,1000000000"),
        ({"role": "single", "widths": (8, 8, 8)}, "3 widths and 2 depths"),
        (
            {"role": "single", "image": (30, 32)},
            r"30x32 images are not divisible by 4 \(.*stages\); resize .* with --size 28,",
        ),
        (
            {"role": "collage", "grid": 2, "image": (3, 32)},
            "cells would not coincide with whole features; .* --size 4,",
        ),
        ({"role": "single", "canvas": (32, 32)}, "drop --input"),
        ({"role": "collage", "grid": 3, "canvas": (50, 50)}, "choose another --input"),
        ({"role": "collage", "grid": 5, "canvas": (16, 16)}, "less than that for each of 5 cells"),
    ],
)
def test_what_cannot_be_built_is_refused(arguments: dict[str, object], words: str) -> None:
    """An architecture that makes no sense raises a UsageError that says what to change."""
    with pytest.raises(UsageError, match=words):
        Architecture(**{"classes": 10, "image": (32, 32), **arguments})


@pytest.mark.parametrize("image", [(225, 300), (65, 90), (300, 71), (20, 17)])
def test_the_size_that_is_named_fits(image: tuple[int, int]) -> None:
    """For images of an indivisible size, the error names a --size for which the usual layers can be built."""
    with pytest.raises(UsageError, match="are not divisible") as refused:
        Architecture("single", 10, image, **usual_layers("single", None, image))
    side = int(str(refused.value).partition("--size ")[2].partition(",")[0])
    assert side <= min(image)
    Architecture("single", 10, (side, side), **usual_layers("single", None, (side, side)))
