"""The network class of ``train``: uint8 pictures in, logits out, with normalisation and description."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from train.feed.data import Batch

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class ModelError(ValueError):
    """A model or its weights do not fit the request; the message says what would."""


class Network(nn.Module):
    """A classifier with its normalisation. ``net`` takes NCHW floats and returns (batch, classes) logits.

    ``mean`` and ``std`` are fractions of 255; ``input_size`` is the side in pixels that ``net`` was made for, if
    it is known. ``description`` says how to rebuild it, and is saved in the metadata of its weights.
    """

    needs_headers: ClassVar[bool] = False  #: whether ``answer`` needs ``batch.headers``
    mean: Tensor  #: of the grey levels, float32 (3,)
    std: Tensor
    net: Any  #: a module; subclasses know more of theirs
    prefix: ClassVar[str] = ""  #: of the layers' names in ``net``, where that is a module around a classifier

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
        return self.net(self.normalised(images)).float()

    def normalised(self, images: Tensor) -> Tensor:
        """Pictures (batch, height, width, 3) in grey levels as ``net`` takes them: NCHW floats."""
        x = (images.float() - self.mean) / self.std
        return x.permute(0, 3, 1, 2)  # this view already is channels_last

    def answer(self, batch: Batch, name: str) -> Tensor:
        """Logits, float32 (batch, classes), of the pictures called ``name`` in a batch."""
        return self(batch.images[name])

    def layer(self, name: str) -> nn.Module:
        """The layer of ``net`` with this dotted name. Raises ModelError with the nearest name."""
        layers = self.layers()
        if name not in layers:
            near = difflib.get_close_matches(name, layers, n=1, cutoff=0.3)
            hint = f"did you mean '{near[0]}'? " if near else ""
            top = ", ".join(layer for layer in layers if "." not in layer)
            raise ModelError(f"the network has no layer '{name}': {hint}It has {top}, and layers inside them")
        return layers[name]

    def layers(self) -> dict[str, nn.Module]:
        """The layers by dotted name."""
        modules = self.net.named_modules()
        return {n.removeprefix(self.prefix): m for n, m in modules if n.startswith(self.prefix) and n}

    @torch.no_grad()
    def stages(self, count: int = 4) -> list[str]:
        """The last ``count`` layers that reduce the resolution, such as a ResNet's four stages.

        Found by one pass over a grey picture; among layers of one size it takes the outermost, then the last.
        """
        found: dict[int, str] = {}

        def note(name: str) -> Callable[[nn.Module, Any, Any], None]:
            def hook(module: nn.Module, inputs: Any, output: Any) -> None:
                if isinstance(output, Tensor) and output.ndim == 4 and min(output.shape[2:]) > 1:
                    before = found.get(output.shape[2])
                    if before is None or name.count(".") <= before.count("."):
                        found[output.shape[2]] = name

            return hook

        training = self.training
        hooks = [layer.register_forward_hook(note(name)) for name, layer in self.layers().items()]
        try:
            side = self.input_size or 224
            self.eval()(torch.full((1, side, side, 3), 128, dtype=torch.uint8, device=self.mean.device))
        finally:
            self.train(training)
            for hook in hooks:
                hook.remove()
        if len(found) < 2:
            raise ModelError(
                f"{type(self.net).__name__} has no layers of decreasing resolution to choose from: name the layers"
            )
        sides = sorted(found)[:count]
        return [found[side] for side in reversed(sides)]

    def taps(self, images: Tensor, layers: Sequence[str], *more: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """``(logits, {layer: its output})`` of one pass; ``more`` are inputs besides the pictures."""
        found: dict[str, Tensor] = {}

        def keep(name: str) -> Callable[[nn.Module, Any, Any], None]:
            return lambda module, inputs, output: found.__setitem__(name, output)

        hooks = [self.layer(name).register_forward_hook(keep(name)) for name in layers]
        try:
            return self(images, *more), found
        finally:
            for hook in hooks:
                hook.remove()

    def last(self, count: int = 1) -> list[tuple[str, nn.Module]]:
        """Names and modules of the last fully connected layers (of convolutions where there are fewer).

        ``last(1)`` is the layer that computes the logits. Raises ModelError when there are fewer.
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


def batch_norms(module: nn.Module) -> list[nn.modules.batchnorm._BatchNorm]:
    """All batch-norm layers."""
    return [found for found in module.modules() if isinstance(found, nn.modules.batchnorm._BatchNorm)]
