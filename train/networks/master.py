"""The quality predictor of Ghosh et al. 2018: three convolutions and three fully connected layers."""

from __future__ import annotations

from typing import Any

from torch import nn

from train.networks.kinds import Kind
from train.networks.network import Network


class Master(Kind):
    """``master``: a small network for the kind of degradation. The article gives no layer sizes."""

    def build(self, name: str, classes: int, **parameters: Any) -> Network:
        """5x5/32, 3x3/64, 3x3/128, each with ReLU and 2x2 maximum; 7x7 average; 256, 128, ``classes``."""
        steps: list[nn.Module] = []
        for size, inputs, outputs in ((5, 3, 32), (3, 32, 64), (3, 64, 128)):
            steps += [nn.Conv2d(inputs, outputs, size, padding=size // 2), nn.ReLU(), nn.MaxPool2d(2)]
        head = [nn.Linear(128 * 49, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, classes)]
        return Network(nn.Sequential(*steps, nn.AdaptiveAvgPool2d(7), nn.Flatten(), *head))
