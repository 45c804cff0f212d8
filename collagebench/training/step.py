"""One training step: make a batch, compute its loss, and update the weights. On a GPU it is recorded once.

A step of a small network is hundreds of small operations, and a GPU finishes each sooner than Python can launch the
next. So a step is recorded as a CUDA graph, which the GPU replays on its own. All that differs between steps (which
images, their alterations, the rates) is in tensors that are refilled before each step.
"""

from __future__ import annotations

import copy
from collections import deque
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from collagebench.errors import ModelError, first_line
from collagebench.models.architecture import Architecture
from collagebench.models.foreign import Borrowed, Foreign, Preprocessing
from collagebench.models.network import Convolution, Network
from collagebench.training.batches import Batch, Epoch, batch_of
from collagebench.training.losses import loss_of
from collagebench.training.muon import Muon
from collagebench.training.recipe import Recipe

AnyNetwork = TypeVar("AnyNetwork", bound="Network | Foreign")
AHEAD = 8
"""The most replays that may be queued on a GPU; with more, the clock of a training would run ahead of its steps."""
BY_HAND = 3
"""Steps before the recording, in which optimizers make their state and libraries choose their kernels."""


MANY_CLASSES = 10
"""The most classes with which a detection head is trained without gradient clipping."""
STEEPEST = 1.0
"""The most that the gradient's norm may be with more classes: the loss has a term for each, and training would
diverge."""


class Step:
    """Takes training steps of a network, on a CPU or a GPU."""

    def __init__(
        self,
        network: Network | Foreign,
        recipe: Recipe,
        images: Tensor,
        labels: Tensor,
        taught: Tensor | None = None,
        live: list[Network | Foreign] | None = None,
    ) -> None:
        """`images` uint8 [n, h, w, 3] and `labels` int64 [n] may be on another device than `network`.

        `taught` holds the teacher's logits for every view or round, [views, n, classes]; `live` are teachers that are
        asked at every step.
        """
        self.network, self.averaged = network, copy.deepcopy(network) if recipe.ema else network
        self._recipe, self._images, self._labels, self._taught, self._live = recipe, images, labels, taught, live or []
        self.device = next(network.parameters()).device
        on_gpu = self.device.type == "cuda"
        grouped = any(isinstance(layer, nn.Conv2d) and layer.groups > 1 for layer in network.modules())
        self._half = native_bf16(self.device) and (on_gpu or not grouped)
        """Whether arithmetic is bfloat16. A CPU does grouped convolutions in it half as fast, so these stay in
        float32."""
        trunk = network.trunk if recipe.muon and isinstance(network, Network) else ()
        banks = [layer.conv.weight for layer in trunk if isinstance(layer, Convolution)]
        self.muon = (
            Muon(banks, recipe.muon, torch.bfloat16 if native_bf16(self.device) else torch.float32) if banks else None
        )
        learnt = self._learnt = [
            p for p in network.parameters() if p.requires_grad and all(p is not bank for bank in banks)
        ]
        decay = recipe.weight_decay / recipe.bias_rate if recipe.bias_rate > 1 else 0.0
        self.optimizer = torch.optim.SGD(
            [
                {"params": [p for p in learnt if p.ndim > 1], "weight_decay": recipe.weight_decay},
                {"params": [p for p in learnt if p.ndim <= 1], "weight_decay": decay},
            ],
            recipe.rate,
            recipe.momentum,
            nesterov=True,
            fused=on_gpu,
        )
        self.losses = torch.zeros((), device=self.device)
        """The sum of the losses since it was last set to 0."""
        alone = all(recordable(one.architecture) for one in (network, *self._live))
        self._recorded = on_gpu and images.device == self.device and alone
        self._graph: Any = None
        self._by_hand = 0
        self._ends: deque[Any] = deque()
        self._aside = torch.cuda.Stream() if self._recorded else None
        self._numbers = torch.zeros(4, device=self.device)
        """The rates of weights, biases and filter banks, and the decay of the average, for recorded steps."""
        self._epoch: Epoch | None = None
        self._chosen: Tensor | None = None

    def restore(self, optimizer: dict[str, Any], muon: dict[str, Any] | None) -> None:
        """Restore the optimizers' state from a checkpoint."""
        self.optimizer.load_state_dict(optimizer)
        for group in self.optimizer.param_groups:
            group["fused"] = self.device.type == "cuda"
        if self.muon and muon:
            self.muon.load_state_dict(muon)

    def state(self) -> dict[str, Any]:
        """Return the optimizers' state, by the fields of `Checkpoint`."""
        own = self.optimizer.state_dict()
        turning = self.muon.state_dict() if self.muon else None
        for state in (own, turning or {"param_groups": []}):
            for group in state["param_groups"]:
                group["lr"] = float(group["lr"])
        return {"optimizer": own, "muon": turning}

    def begin(self, epoch: Epoch) -> None:
        """Set the random numbers of the epoch whose steps follow."""
        if not self._recorded or self._epoch is None:
            self._epoch = epoch
            return
        self._epoch.alterations.copy_(epoch.alterations)
        self._epoch.which.copy_(epoch.which)

    def take(self, chosen: Tensor, rate: float, decay: float) -> None:
        """Take one step with the images that are `chosen`, one step of `Epoch.chosen`.

        `rate` is the recipe's learning rate at this step, `decay` that of the averaged weights.
        """
        recipe = self._recipe
        numbers = (rate, rate * recipe.bias_rate, rate / recipe.rate * recipe.muon, decay)
        if not self._recorded:
            self._step(chosen, numbers)
            return
        if self._chosen is None:
            self._chosen = torch.empty_like(chosen)
        self._chosen.copy_(chosen)
        for place, number in zip(self._numbers, numbers, strict=True):
            place.fill_(number)
        if self._by_hand < BY_HAND:
            self._by_hand += 1
            self._take_aside(self._chosen)
            return
        if self._graph is None:
            self._graph = torch.cuda.CUDAGraph()
            self.network.zero_grad()
            with torch.cuda.graph(self._graph):  # records only
                self._step(self._chosen, tuple(self._numbers))
        self._graph.replay()
        self._ends.append(torch.cuda.Event())
        self._ends[-1].record()
        if len(self._ends) > AHEAD:
            self._ends.popleft().synchronize()

    def _take_aside(self, chosen: Tensor) -> None:
        """Take a step on a separate stream, as the recording does."""
        assert self._aside is not None
        self._aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self._aside):
            self._step(chosen, tuple(self._numbers))
        torch.cuda.current_stream().wait_stream(self._aside)

    def _step(self, chosen: Tensor, numbers: tuple[Any, ...]) -> None:
        assert self._epoch is not None
        weights, biases = self.optimizer.param_groups
        weights["lr"], biases["lr"], turning, decay = numbers
        if self.muon:
            self.muon.param_groups[0]["lr"] = turning
        network = self.network
        batch = batch_of(self._images, self._labels, network.architecture, self._recipe, self._epoch, chosen)
        with torch.autocast(self.device.type, torch.bfloat16, self._half, cache_enabled=False):
            try:
                logits = network(batch.inputs.to(self.device))
            except (Exception, SystemExit) as error:
                if isinstance(network, Foreign):  # networks raise anything
                    raise ModelError(f"the network fails at {len(batch.inputs)} images ({first_line(error)})") from None
                raise
        if isinstance(network.architecture, Borrowed):
            _see_that_it_classifies(logits, len(batch.inputs), network.architecture.classes)
        detection = network.detect if network.architecture.head == "detection" else None
        loss = loss_of(logits.float(), batch, self._said(batch), self._recipe, detection)
        network.zero_grad()
        try:
            loss.backward()
        except RuntimeError as error:
            if isinstance(network, Foreign):
                raise ModelError(f"torch cannot derive the network's gradients ({first_line(error)})") from None
            raise
        if detection and logits.shape[-1] - 5 > MANY_CLASSES:
            torch.nn.utils.clip_grad_norm_(self._learnt, STEEPEST)
        self.optimizer.step()
        if self.muon:
            self.muon.step()
        if self._recipe.ema:
            move_average(self.averaged, network, decay)
        self.losses += loss.detach()

    def _said(self, batch: Batch) -> Tensor | None:
        """Return the teacher's logits for a batch, float32 [batch, images per input, classes], or None."""
        if self._live:
            with (
                torch.no_grad(),
                torch.autocast(self.device.type, torch.bfloat16, native_bf16(self.device), cache_enabled=False),
            ):
                seen = batch.pixels.flatten(0, 1).to(self.device)
                said = torch.stack([teacher(seen).float() for teacher in self._live]).mean(0)
            return said.unflatten(0, batch.labels.shape)
        return None if self._taught is None else self._taught[batch.views, batch.images].to(self.device).float()


def _see_that_it_classifies(found: Any, images: int, classes: int) -> None:
    """Check that a network gives logits in training mode, where its output may differ.

    Raises:
        ModelError: the output is not float [images, classes], or has no gradient.
    """
    if isinstance(found, Tensor) and found.shape == (images, classes) and found.is_floating_point():
        if not found.requires_grad:
            raise ModelError(
                "in training mode the network's logits have no gradient: its forward must use neither torch.no_grad, "
                "torch.inference_mode nor detach"
            )
        return
    kind = tuple(found.shape) if isinstance(found, Tensor) else f"a {type(found).__name__}"
    raise ModelError(
        f"in training mode the network gives {kind} for {images} images; it must give one row of {classes} logits for "
        "each, or an object that has them as .logits"
    )


def recordable(architecture: Architecture | Preprocessing) -> bool:
    """Return whether a step can be recorded: layers are built-in, and inputs are made without the CPU.

    Foreign layers may act differently from step to step.
    """
    ours = isinstance(architecture, Architecture)
    return ours and not architecture.canvas and architecture.code != "concatenation"


def move_average(averaged: nn.Module, network: nn.Module, decay: float | Tensor) -> None:
    """Move averaged weights, and normalisation's running statistics, towards a network's by 1 - `decay`."""
    pairs = list(zip(averaged.state_dict().values(), network.state_dict().values(), strict=True))
    with torch.no_grad():
        own, new = (list(some) for some in zip(*(pair for pair in pairs if pair[0].is_floating_point()), strict=True))
        apart = torch._foreach_sub(new, own)
        torch._foreach_mul_(apart, 1 - decay)
        torch._foreach_add_(own, apart)
        for count, value in pairs:
            if not count.is_floating_point():
                count.copy_(value)


def placed(network: AnyNetwork, device: torch.device) -> AnyNetwork:
    """Move a network to a device, in channels-last format, which is faster, unless a user's code may depend on it."""
    foreign = isinstance(network, Foreign) and getattr(network.architecture, "network", None)
    network.to(device, memory_format=torch.contiguous_format if foreign else torch.channels_last)
    return network


def fastest() -> torch.device:
    """Return the GPU, if there is one, else the CPU.

    cuDNN is set to benchmark its kernels once for each shape, as shapes stay the same.
    """
    torch.backends.cudnn.benchmark = True
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def native_bf16(device: torch.device) -> bool:
    """Return whether a device supports bfloat16 natively; emulated, it would be slower than float32."""
    if device.type == "cuda":
        return True
    return bool(getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)())
