"""Receptive fields, to compare with a codec's blocks of 8x8 (Ghosh et al. 2018, Fig. 1c)."""

from __future__ import annotations

import torch
from torch import nn

from train.networks.network import ModelError, Network

SEEING = (nn.Conv2d, nn.MaxPool2d, nn.AvgPool2d)


@torch.no_grad()
def receptive_field(network: Network, layer: str | None = None) -> int:
    """Side in pixels of the receptive field of ``layer`` (default: the first max-pooling).

    R = 1 + Σ (kernel - 1) · dilation · product of the strides before, over the convolutions and poolings in the
    order in which they run: exact up to where a network branches. Raises ModelError when there is no such layer.
    """
    layers = network.layers().values()
    pooling = (module for module in layers if isinstance(module, nn.MaxPool2d))
    wanted = network.layer(layer) if layer else next(pooling, None)
    if wanted is None:
        first = network.stages()[0]
        raise ModelError(f"{type(network.net).__name__} has no max-pooling: name a layer, as {first}")
    field, jump, done = 1, 1, False

    def see(module: nn.Module, inputs: object, output: object) -> None:
        nonlocal field, jump, done
        if isinstance(module, SEEING) and not done:
            kernel, stride = _side(module.kernel_size), _side(module.stride)
            dilation = _side(getattr(module, "dilation", 1))
            field += (kernel - 1) * dilation * jump
            jump *= stride
        done = done or module is wanted

    hooks = [module.register_forward_hook(see) for module in layers]
    training, side = network.training, network.input_size or 224
    try:
        network.eval()(torch.zeros(1, side, side, 3, dtype=torch.uint8, device=network.mean.device))
    finally:
        network.train(training)
        for hook in hooks:
            hook.remove()
    return field


def _side(value: int | tuple[int, ...]) -> int:
    return value if isinstance(value, int) else value[0]
