"""Muon: an optimizer for filter banks that turns them, all directions alike, and leaves their size as it is.

Momentum is gathered as in SGD; then all singular values of what was gathered, as a matrix [filters, weights of each],
are brought near one by a few steps of a Newton-Schulz iteration, so that a step moves along every direction by about as
much (K. Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; on a larger scale arXiv
2502.16982). A normalisation follows each filter bank, so its size does not count, and is held: the rate is the share of
its size that a bank is moved by in one step (as in the fast CIFAR-10 networks of arXiv 2404.00498).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the polynomial that brings singular values from nearly 0 up into about 0.7 to 1.2 within few steps."""
ITERATIONS = 3
MOMENTUM = 0.6
"""Share of what was gathered that is kept at each step; that of all other parameters is the recipe's."""


class Muon(torch.optim.Optimizer):
    """Turn filter banks, parameters [filters, channels, height, width] of which each is followed by a normalisation."""

    def __init__(self, banks: Iterable[Tensor], rate: float, dtype: torch.dtype = torch.bfloat16) -> None:
        """`rate` is relative to a bank's size, and so has no unit; `dtype` is what matrices are multiplied in."""
        super().__init__(banks, {"lr": rate, "momentum": MOMENTUM})
        self._dtype = dtype

    def step(self) -> None:
        """Take one step along Nesterov's momentum of the gradients: banks of one shape together, as one product."""
        with torch.no_grad():
            for group in self.param_groups:
                alike: dict[torch.Size, list[tuple[Tensor, Tensor]]] = {}
                for bank in group["params"]:
                    if bank.grad is not None:
                        alike.setdefault(bank.shape, []).append((bank, bank.grad))
                for pairs in alike.values():
                    banks, gradients = (list(some) for some in zip(*pairs, strict=True))
                    self._turn(banks, gradients, group["lr"], group["momentum"])

    def _turn(self, banks: list[Tensor], gradients: list[Tensor], rate: float | Tensor, momentum: float) -> None:
        for bank in banks:
            if not self.state[bank]:
                self.state[bank]["gathered"] = torch.zeros_like(bank)
        gathered = [self.state[bank]["gathered"] for bank in banks]
        torch._foreach_mul_(gathered, momentum)
        torch._foreach_add_(gathered, gradients)
        ahead = torch.stack(torch._foreach_add(gradients, gathered, alpha=momentum))
        turns = orthogonal(ahead.flatten(2), self._dtype).reshape(ahead.shape)
        sized = torch.stack(banks)
        sized *= len(banks[0]) ** 0.5 / sized.flatten(1).norm(dim=1)[:, None, None, None, None]
        torch._foreach_copy_(banks, list((sized - turns * rate).unbind()))


def orthogonal(matrices: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Return about the orthogonal factors of matrices [..., m, n]: their singular values become 0.7 to 1.2."""
    x = matrices.to(dtype)
    x = x / (x.norm(dim=(-2, -1), keepdim=True) + 1e-7)
    tall = x.shape[-2] > x.shape[-1]
    if tall:
        x = x.mT
    first, third, fifth = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.mT
        x = first * x + (third * square + fifth * square @ square) @ x
    return (x.mT if tall else x).to(matrices.dtype)
