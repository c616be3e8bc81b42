"""The network that all of ``train`` works with: uint8 pictures in, logits out, everything about itself with it."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ModelError(ValueError):
    """A model or its weights are not what was asked for; the message says what would be."""


class Network(nn.Module):
    """A classifier with its normalisation. ``net`` takes NCHW floats and returns (batch, classes) logits.

    ``mean`` and ``std`` are fractions of 255; ``input_size`` is the side in pixels that ``net`` was made for, if
    it is known. ``description`` says how to build it again; it stands in the metadata of its weights.
    """

    def __init__(
        self, net: nn.Module, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD,
        input_size: int | None = None,
    ):  # fmt: skip
        super().__init__()
        self.net = net.to(memory_format=torch.channels_last)
        self.input_size = input_size
        self.description: dict[str, Any] = {}
        self.register_buffer("mean", torch.tensor(mean) * 255, persistent=False)
        self.register_buffer("std", torch.tensor(std) * 255, persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Logits, float32 (batch, classes), of pictures (batch, height, width, 3) in grey levels 0..255."""
        x = (images.float() - self.mean) / self.std
        return self.net(x.permute(0, 3, 1, 2)).float()  # the permuted view is channels_last as it stands

    def layer(self, name: str) -> nn.Module:
        """The layer of ``net`` with this dotted name. Raises ModelError with the nearest name."""
        layers = dict(self.net.named_modules())
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=1, cutoff=0.3)
            hint = f"did you mean '{near[0]}'?" if near else f"it begins with {', '.join(list(layers)[1:6])}, …"
            raise ModelError(f"the network has no layer '{name}': {hint}")
        return layers[name]

    def taps(self, images: Tensor, layers: Sequence[str]) -> tuple[Tensor, dict[str, Tensor]]:
        """``(logits, {layer: its output})`` of one pass."""
        found: dict[str, Tensor] = {}

        def keep(name: str):
            return lambda module, inputs, output: found.__setitem__(name, output)

        hooks = [self.layer(name).register_forward_hook(keep(name)) for name in layers]
        try:
            return self(images), found
        finally:
            for hook in hooks:
                hook.remove()

    def last(self, count: int = 1) -> list[tuple[str, nn.Module]]:
        """Names and modules of the last fully connected layers (of convolutions where there are fewer).

        ``last(1)`` is the layer that the classes come from. Raises ModelError when there are not so many.
        """
        modules = list(self.net.named_modules())
        linear = [pair for pair in modules if isinstance(pair[1], nn.Linear)]
        if len(linear) < count:
            linear = [pair for pair in modules if isinstance(pair[1], nn.Linear | nn.Conv2d)]
        if len(linear) < count:
            raise ModelError(f"{type(self.net).__name__} has {len(linear)} layers with weights, not {count}")
        return linear[-count:]

    def head(self) -> list[str]:
        """Names in ``net``'s state dict of the last layer's parameters, whose shapes depend on the classes."""
        try:
            ((name, module),) = self.last(1)
        except ModelError:
            return []
        return [parameter for parameter, _ in module.named_parameters(name)]


def batch_norms(module: nn.Module) -> list[nn.Module]:
    """All batch-norm layers."""
    return [found for found in module.modules() if isinstance(found, nn.modules.batchnorm._BatchNorm)]
