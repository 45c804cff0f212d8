"""What an inference costs: multiply-accumulate operations and parameters, counted as they are computed."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode


def count_macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Count the multiply-accumulates of all convolutions and matrix products on one uint8 input of `shape`.

    Those of attention are among them. Normalisation, activations and additions are left out: they multiply nothing that
    a fused kernel would not hide.
    """
    training, fast = network.training, torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)  # what is fused is not counted
    try:
        with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
            network.eval()(torch.zeros((1, *shape), dtype=torch.uint8))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        network.train(training)
    return int(counted.get_total_flops()) // 2


def count_parameters(network: nn.Module) -> int:
    """Count the trained numbers: weights, biases and the scale and shift of each normalisation."""
    return sum(parameter.numel() for parameter in network.parameters())
