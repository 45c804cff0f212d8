"""Muon: every direction of a filter bank changes by about as much, and no bank grows."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch", reason="needs the train extra")
pytestmark = pytest.mark.train

from collagebench.training.muon import Muon, orthogonal  # noqa: E402

SHAPES = st.tuples(st.integers(2, 48), st.integers(2, 96), st.integers(0, 2**31))
"""Rows, columns and seed of a matrix."""


def spread(rows: int, columns: int, seed: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return an orthogonal factor [rows, columns], and a matrix with that factor and singular values from 0.5 to 1."""
    generator = torch.Generator().manual_seed(seed)
    u, _, v = torch.linalg.svd(torch.randn(rows, columns, generator=generator), full_matrices=False)
    sizes = 0.5 + torch.rand(min(rows, columns), generator=generator) / 2
    return u @ v, u @ torch.diag(sizes) @ v


@settings(max_examples=50, deadline=None)
@given(SHAPES, st.sampled_from([torch.bfloat16, torch.float32]))
def test_what_comes_out_is_almost_orthogonal(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    """Singular values from 0.5 to 1 of the largest become 0.65 to 1.25, in their old directions."""
    factor, matrix = spread(*shape)
    found = orthogonal(matrix, dtype)
    values = torch.linalg.svdvals(found)
    assert float(values.min()) > 0.65
    assert float(values.max()) < 1.25
    alike = float((found * factor).sum() / found.norm() / factor.norm())
    assert alike > 0.95


def test_a_weak_direction_is_turned_as_much_as_a_strong_one() -> None:
    """A direction whose gradient is 15 times weaker takes at least half as large a step as the strong one."""
    values = torch.linalg.svdvals(orthogonal(torch.diag(torch.tensor([15.0, 1.0]))))
    assert float(values.min() / values.max()) > 0.5


@pytest.mark.parametrize("scale", [1e-6, 1e6])
def test_a_step_moves_a_bank_by_its_share_however_large_gradients_are(scale: float) -> None:
    """At a rate of 0.1 a bank is scaled to the root of its number of filters and moved by about a tenth.

    That holds for any size of bank or gradient.
    """
    torch.manual_seed(0)
    bank = torch.nn.Parameter(7 * torch.randn(16, 4, 3, 3))
    before = bank.detach() * (16**0.5 / bank.detach().norm())
    bank.grad = scale * torch.randn(16, 4, 3, 3)
    Muon([bank], 0.1).step()
    moved = (bank.detach() - before).norm() / before.norm()
    assert 0.065 < float(moved) < 0.125


def test_momentum_outlives_a_gradient() -> None:
    """With a gradient of zero a bank moves on along the earlier ones; one without a gradient stays where it is."""
    torch.manual_seed(0)
    banks = [torch.nn.Parameter(torch.randn(8, 2, 3, 3)) for _ in range(2)]
    still = banks[1].detach().clone()
    muon = Muon(banks, 0.1)
    first = torch.randn(8, 2, 3, 3)
    for gradient in (first, torch.zeros_like(first)):
        banks[0].grad = gradient
        before = banks[0].detach() * (8**0.5 / banks[0].detach().norm())
        muon.step()
    assert float(((before - banks[0].detach()) * orthogonal(first.flatten(1)).reshape(first.shape)).sum()) > 0
    assert torch.equal(banks[1], still)


def test_banks_of_one_shape_are_turned_together_as_each_would_be_alone() -> None:
    """Four banks, three of one shape, are optimised together exactly as by four optimizers of one bank each."""
    torch.manual_seed(0)
    shapes = [(8, 4, 3, 3), (6, 4, 3, 3), (8, 4, 3, 3), (8, 4, 3, 3)]
    together = [torch.nn.Parameter(size * torch.randn(shape)) for size, shape in enumerate(shapes, 1)]
    alone = [torch.nn.Parameter(bank.detach().clone()) for bank in together]
    one, each = Muon(together, 0.1, torch.float32), [Muon([bank], 0.1, torch.float32) for bank in alone]
    for _ in range(2):
        for first, second in zip(together, alone, strict=True):
            first.grad = torch.randn_like(first)
            second.grad = first.grad.clone()
        for optimizer in (one, *each):
            optimizer.step()
    for first, second in zip(together, alone, strict=True):
        assert torch.allclose(first, second, atol=1e-5)
    assert not torch.allclose(together[0], together[2], atol=0.1)
