"""What an inference costs: multiply-accumulate operations and parameters, counted on the layers as they run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn


def count_macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Count the multiply-accumulates of all convolutions and linear layers on one uint8 input of `shape`.

    Normalisation, activations and additions are left out: they multiply nothing that a fused kernel would not hide.
    """
    macs = 0

    def count(layer: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        nonlocal macs
        if isinstance(layer, nn.Conv2d):
            macs += output.numel() * layer.in_channels // layer.groups * layer.kernel_size[0] * layer.kernel_size[1]
        elif isinstance(layer, nn.Linear):
            macs += output.numel() * layer.in_features

    hooks = [layer.register_forward_hook(count) for layer in network.modules()]
    training = network.training
    try:
        with torch.no_grad():
            network.eval()(torch.zeros((1, *shape), dtype=torch.uint8))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return macs


def count_parameters(network: nn.Module) -> int:
    """Count the trained numbers: weights, biases and the scale and shift of each normalisation."""
    return sum(parameter.numel() for parameter in network.parameters())
