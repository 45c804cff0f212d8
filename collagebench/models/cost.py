"""The cost of an inference: multiply-accumulate operations and parameters, counted while one is run."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import FlopCounterMode

from collagebench.models.given import given_in


def count_macs(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Count the multiply-accumulates of all convolutions and matrix products on one uint8 input of `shape`.

    Those of attention are included. Normalisation, activations and additions are not: a fused kernel does them almost
    for free.
    """
    if found := given_in(network):
        given, preprocessing = found
        return given.macs(preprocessing.fed)
    with sdpa_kernel(SDPBackend.MATH), FlopCounterMode(display=False) as counted:
        _infer(network, shape)
    return int(counted.get_total_flops()) // 2


def count_parameters(network: nn.Module, shape: tuple[int, int, int]) -> int:
    """Count the parameters used for one uint8 input of `shape`: weights, biases, scales and shifts.

    A head that only training uses is not counted, as an exported file does not contain it.
    """
    if found := given_in(network):
        return found[0].parameters_held()
    with _Met() as met:
        _infer(network, shape)
    return sum(parameter.numel() for parameter in network.parameters() if id(parameter) in met.ids)


def _infer(network: nn.Module, shape: tuple[int, int, int]) -> None:
    training, fast, fused = network.training, torch.backends.mha.get_fastpath_enabled(), torch.backends.mkldnn.enabled
    torch.backends.mha.set_fastpath_enabled(False)  # fused operations are not counted
    torch.backends.mkldnn.enabled = False  # nor is an LSTM of oneDNN
    try:
        with torch.no_grad():
            network.eval()(torch.zeros((1, *shape), dtype=torch.uint8))
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
        torch.backends.mkldnn.enabled = fused
        network.train(training)


class _Met(TorchDispatchMode):
    """Collects the ids of the tensors that are inputs of operations."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.ids |= {id(one) for one in tree_leaves((args, kwargs)) if isinstance(one, torch.Tensor)}
        return func(*args, **(kwargs or {}))
