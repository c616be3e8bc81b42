"""Networks that wrap another one: their common base, and their inputs from the bitstream's header."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from distort import codecs
from distort.codecs.headers import Header
from train.networks.kinds import Kind
from train.networks.network import Network


class Wrapping(Kind):
    """A kind whose name is the ``--arch`` of the network inside."""

    wraps = True

    @abstractmethod
    def around(self, network: Network, *args: Any, **parameters: Any) -> Network:
        """The new network; ``network`` and its weights become part of it. Raises ModelError."""

    def build(self, name: str, classes: int, **parameters: Any) -> Network:
        """Wrap a network with fresh weights."""
        from train.networks import models  # which imports this module's neighbours by name

        return self.around(models.build(name, classes), **parameters)

    def imagenet(self, name: str) -> Mapping[str, Tensor]:
        """There are none: it wraps no network yet."""
        return super().imagenet(name)


class Told(Network):
    """A network whose second input is each picture's quality, from the header of its bitstream.

    ``net`` takes (NCHW floats, float32 (batch,) or None): a fraction of the codec's range, 1 is best, NaN unknown.
    With None it computes the same as the wrapped network.
    """

    needs_headers = True
    prefix = "base."

    def __init__(self, net: nn.Module, inside: Network):
        super().__init__(net, [0.0] * 3, [1.0] * 3, inside.input_size)
        self.mean, self.std = inside.mean.clone(), inside.std.clone()

    def forward(self, images: Tensor, told: Tensor | None = None) -> Tensor:
        """Logits, as Network's, given the quality of each picture."""
        return self.net(self.normalised(images), told).float()

    def answer(self, batch: Any, name: str) -> Tensor:
        """The logits of pictures with their headers; clean crops have none."""
        return self(batch.images[name], self.told(batch.headers[name]))

    def told(self, headers: Sequence[Header]) -> Tensor:
        """The second argument of ``forward`` for bitstreams with these headers."""
        return torch.tensor([quality(header) for header in headers], device=self.mean.device)


def quality(header: Header) -> float:
    """VALUE as a fraction of its codec's range: 1 is the best, NaN unknown.

    On a log scale for codecs that ask for one. The encoding is ours; Wan et al. 2020 do not give theirs.
    """
    if header.value is None:
        return math.nan
    step = codecs.load(header.codec)
    low, high, value = step.low, step.high, min(max(header.value, step.low), step.high)
    fraction = math.log(value / low) / math.log(high / low) if step.log_scale else (value - low) / (high - low)
    return fraction if step.higher_is_better else 1 - fraction
