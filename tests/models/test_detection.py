"""The detection head: boxes that the published algorithm decodes, and a loss that is least if they are right."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench.coding.boxes import answers, cell_boxes  # noqa: E402
from collagebench.coding.cells import NO_ANSWER, classes  # noqa: E402
from collagebench.errors import UsageError  # noqa: E402
from collagebench.models import cost  # noqa: E402
from collagebench.models.architecture import Architecture, usual_layers  # noqa: E402
from collagebench.models.detection import ANCHORS  # noqa: E402
from collagebench.models.network import Network  # noqa: E402

CLASSES = 4


def made(grid: int = 3, image: tuple[int, int] = (32, 32)) -> Network:
    """Return an untrained collage network with a detection head, always the same."""
    torch.manual_seed(0)
    return Network(
        Architecture("collage", CLASSES, image, grid, stem=8, stride=2, widths=(8, 16), depths=(1, 0), head="detection")
    )


def perfect(network: Network, labels: np.ndarray) -> torch.Tensor:
    """Return outputs [1, boxes, 5 + classes] that are right for labels [cells], of which -1 is a blank cell."""
    head, size = network.detect, network.architecture.input[:2]
    outputs = torch.full((1, len(head.corners), 5 + CLASSES), -12.0)
    outputs[0, :, :2], outputs[0, :, 2:4] = head.corners, 5.0
    for cell, label in enumerate(labels.tolist()):
        if label >= 0:
            left, top, right, bottom = cell_boxes(network.architecture.grid or 1, size)[cell]
            mine = outputs[0, head.responsible[cell]]
            mine[:4] = torch.tensor([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])
            mine[4] = mine[5 + label] = 12.0
    return outputs


def loss_of(network: Network, outputs: torch.Tensor, labels: np.ndarray) -> float:
    """Return the loss of outputs for cells of these classes."""
    there = torch.from_numpy(labels >= 0)[None]
    wanted = torch.nn.functional.one_hot(torch.from_numpy(labels).clamp(min=0), CLASSES).float()[None]
    return network.detect.loss(outputs, wanted, there).item()


@pytest.mark.parametrize("grid", [2, 3, 4, 5])
def test_every_cell_has_a_box_of_its_own_where_its_middle_lies(grid: int) -> None:
    """Each cell has its own responsible box, at the place that contains the cell's centre."""
    head = made(grid).detect
    assert len(set(head.responsible.tolist())) == grid * grid
    middles = 32 * np.stack(np.divmod(np.arange(grid * grid), grid)[::-1], 1) + 16
    corners = head.corners[head.responsible].numpy()
    assert (corners <= middles).all()
    assert (middles < corners + 8).all()
    assert set((head.responsible % len(ANCHORS)).tolist()) == {1}, "the anchor nearest to a cell's shape"


def test_outputs_are_boxes_in_pixels_around_their_places() -> None:
    """In an untrained network, a box's centre lies in its place and its size is near the anchor's."""
    network = made().eval()
    with torch.no_grad():
        outputs = network(torch.randint(256, (2, 96, 96, 3), dtype=torch.uint8))[0]
    assert outputs.shape == (12 * 12 * len(ANCHORS), 5 + CLASSES)
    offsets = outputs[:, :2] - network.detect.corners
    assert ((offsets > 0) & (offsets < 8)).all()
    ratio = outputs[:, 2:4].reshape(-1, len(ANCHORS), 2) / (32 * torch.tensor(ANCHORS))
    assert ratio.log().abs().max() < 0.5
    assert outputs[:, 4].max() < 0, "at first nothing is there"


def test_right_boxes_are_right_answers_and_cost_nothing() -> None:
    """Boxes exactly on the cells, sure of the right classes, have a loss below 0.01 and decode to the labels."""
    network, labels = made(), np.array([0, 1, 2, 3, 0, 1, 2, -1, -1])
    outputs = perfect(network, labels)
    assert loss_of(network, outputs, labels) < 0.01
    read = classes(answers(outputs.numpy(), 3, (96, 96)))[0]
    assert read.tolist() == [0, 1, 2, 3, 0, 1, 2, NO_ANSWER, NO_ANSWER]


@pytest.mark.parametrize(
    ("change", "cost_of_it"),
    [
        ((0, 8.0), 1.0),
        ((1, -4.0), 0.25),
        ((4, -12.0), 12.0),
        ((5, -12.0), 12.0),
        ((6, 12.0), 12.0),
    ],
)
def test_each_mistake_costs_what_its_term_says(change: tuple[int, float], cost_of_it: float) -> None:
    """With one object, a centre off by one place costs 1; a missed object, a missed class and a wrong one cost 12."""
    network, labels = made(), np.array([0] + 8 * [-1])
    outputs = perfect(network, labels)
    place, value = change
    mine = outputs[0, network.detect.responsible[0]]
    mine[place] = mine[place] + value if place < 4 else value
    assert loss_of(network, outputs, labels) == pytest.approx(cost_of_it, abs=0.02)


def test_a_size_off_by_e_costs_one() -> None:
    """A width too large by a factor of e costs 1: the size term is the square of the logarithm."""
    network, labels = made(), np.array([0] + 8 * [-1])
    outputs = perfect(network, labels)
    outputs[0, network.detect.responsible[0], 2] *= np.e
    assert loss_of(network, outputs, labels) == pytest.approx(1.0, abs=0.02)


def test_a_box_that_should_hold_nothing_is_told_so_unless_it_fits_an_object() -> None:
    """A sure box costs 12 in a blank cell or beside an object, and nothing if it fits an object of another box."""
    network, labels = made(), np.array([0] + 8 * [-1])
    outputs = perfect(network, labels)
    blank = outputs.clone()
    blank[0, network.detect.responsible[8], 4] = 12.0
    assert loss_of(network, blank, labels) == pytest.approx(12.0, abs=0.02)
    other = network.detect.responsible[0] + 1
    near = outputs.clone()
    near[0, other, :5] = torch.tensor([16.0, 16.0, 32.0, 32.0, 12.0])
    assert loss_of(network, near, labels) < 0.01
    near[0, other, 0] = 24.0
    assert loss_of(network, near, labels) == pytest.approx(12.0, abs=0.02)


def test_the_head_costs_hardly_more_than_a_grid() -> None:
    """A 3x3 collage of the usual layers takes at most 2 % more multiplications with boxes than with a grid."""
    grid, boxes = (
        cost.count_macs(
            Network(Architecture("collage", 10, (32, 32), 3, head=head, **usual_layers("collage", 3))), size
        )
        for head, size in (("grid", (96, 96, 3)), ("detection", (96, 96, 3)))
    )
    assert grid < boxes < 1.02 * grid


def test_heads_are_named_and_only_for_collages() -> None:
    """A collage's head is a grid by default, another is in its name; unknown heads and heads of singles are refused."""
    assert made().architecture.name == "collage-3x3-detection"
    assert Architecture("collage", 2, (32, 32), 3).head == "grid"
    assert Architecture("collage", 2, (32, 32), 3).name == "collage-3x3"
    with pytest.raises(UsageError, match="unknown head 'eyes'"):
        Architecture("collage", 2, (32, 32), 3, head="eyes")
    with pytest.raises(UsageError, match="drop --head"):
        Architecture("single", 2, (32, 32), head="grid")


def test_what_is_not_there_may_have_any_size() -> None:
    """Boxes of size 0 or infinity in blank cells change neither the loss nor the gradients."""
    network, labels = made(), np.array([0] + 8 * [-1])
    outputs = perfect(network, labels)
    wanted = loss_of(network, outputs, labels)
    outputs[0, network.detect.responsible[1], 2:4] = 0.0
    outputs[0, network.detect.responsible[2], 2:4] = float("inf")
    outputs.requires_grad_(True)
    there = torch.from_numpy(labels >= 0)[None]
    loss = network.detect.loss(outputs, torch.eye(CLASSES)[torch.from_numpy(labels).clamp(min=0)][None], there)
    assert loss.item() == pytest.approx(wanted, abs=1e-4)
    loss.backward()
    assert outputs.grad is not None
    assert not outputs.grad[0, network.detect.responsible[1:3], 2:4].any()
