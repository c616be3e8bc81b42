"""Networks with some features switched off (DeepCloak, arXiv 1702.06763)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.networks.network import ModelError, Network
from train.networks.wrapped import Wrapping


class Mask(nn.Module):
    """``base`` whose last layer sees its input times ``mask``, zeros and ones, float32 (features,)."""

    def __init__(self, base: nn.Module, last: str, features: int):
        super().__init__()
        self.base, self.last = base, last
        self.mask: Tensor
        self.register_buffer("mask", torch.ones(features))

    def forward(self, x: Tensor) -> Tensor:
        """Logits (batch, classes) of NCHW floats."""
        return self.seen(x)[0]

    def seen(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """``(logits, features)``: the last layer's input before the mask, (batch, features)."""
        found: list[Tensor] = []

        def cloak(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
            found.append(inputs[0])
            return (inputs[0] * self.mask.to(inputs[0].dtype), *inputs[1:])

        hook = self.base.get_submodule(self.last).register_forward_pre_hook(cloak)
        try:
            return self.base(x), found[0]
        finally:
            hook.remove()


class MaskedNetwork(Network):
    """A network around ``Mask``; layers keep the names of the wrapped network."""

    prefix = "base."


class Masked(Wrapping):
    """``masked``: a network whose last layer's input is masked; at first nothing is."""

    def around(self, network: Network) -> Network:
        """Raises ModelError when the network does not end in a fully connected layer."""
        ((name, layer),) = network.last(1)
        if not isinstance(layer, nn.Linear):
            raise ModelError("a mask needs a network that ends in a fully connected layer")
        made = MaskedNetwork(Mask(network.net, name, layer.in_features), input_size=network.input_size)
        made.mean, made.std = network.mean.clone(), network.std.clone()
        return made
