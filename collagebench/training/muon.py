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
    """Turn filter banks, parameters [filters, ...] of which each is followed by a normalisation."""

    def __init__(self, banks: Iterable[Tensor], rate: float, dtype: torch.dtype = torch.bfloat16) -> None:
        """`rate` is relative to a bank's size, and so has no unit; `dtype` is what matrices are multiplied in."""
        super().__init__(banks, {"lr": rate, "momentum": MOMENTUM})
        self._dtype = dtype

    def step(self) -> None:
        """Take one step along Nesterov's momentum of the gradients."""
        with torch.no_grad():
            for group in self.param_groups:
                for bank in group["params"]:
                    if bank.grad is not None:
                        self._turn(bank, group["lr"], group["momentum"])

    def _turn(self, bank: Tensor, rate: float, momentum: float) -> None:
        state = self.state[bank]
        if not state:
            state["gathered"] = torch.zeros_like(bank)
        gathered = state["gathered"].mul_(momentum).add_(bank.grad)
        turn = orthogonal(bank.grad.add(gathered, alpha=momentum).flatten(1), self._dtype)
        bank.mul_(len(bank) ** 0.5 / bank.norm())
        bank.sub_(turn.reshape(bank.shape), alpha=rate)


def orthogonal(matrix: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Return about the orthogonal factor of a matrix [m, n]: its singular values become 0.7 to 1.2."""
    x = matrix.to(dtype)
    x = x / (x.norm() + 1e-7)
    tall = len(x) > x.shape[1]
    if tall:
        x = x.T
    first, third, fifth = COEFFICIENTS
    for _ in range(ITERATIONS):
        square = x @ x.T
        x = first * x + (third * square + fifth * square @ square) @ x
    return (x.T if tall else x).to(matrix.dtype)
