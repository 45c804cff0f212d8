"""Muon: an optimizer for filter banks, whose steps are orthogonal matrices and leave a bank's norm unchanged.

Momentum accumulates as in SGD. Then a few steps of a Newton-Schulz iteration bring all singular values of the momentum,
as a matrix [filters, weights of each], close to one, so that a step moves about equally far in every direction (K.
Jordan et al., "Muon: An optimizer for hidden layers in neural networks", 2024; at larger scale arXiv 2502.16982). Each
filter bank is followed by a normalisation, so its norm has no effect and is kept constant. The rate is the length of a
step relative to that norm (as in the fast CIFAR-10 networks of arXiv 2404.00498).
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Coefficients of the polynomial that brings singular values, even small ones, to about 0.7 to 1.2 in a few steps."""
ITERATIONS = 3
MOMENTUM = 0.6
"""Share of the accumulated momentum kept at each step; for all other parameters it is the recipe's."""


class Muon(torch.optim.Optimizer):
    """Optimizer for filter banks [filters, channels, height, width], each followed by a normalisation."""

    def __init__(self, banks: Iterable[Tensor], rate: float, dtype: torch.dtype = torch.bfloat16) -> None:
        """`rate` is relative to a bank's norm; `dtype` is that of the matrix products."""
        super().__init__(banks, {"lr": rate, "momentum": MOMENTUM})
        self._dtype = dtype

    def step(self) -> None:
        """Take one step with Nesterov momentum; banks of the same shape share one batched product."""
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
    """Return approximate orthogonal factors of matrices [..., m, n]: their singular values become 0.7 to 1.2."""
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
