"""The residual mapping block of Wan et al. 2020: it repairs features, given the quality."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from train.networks.network import ModelError, Network
from train.networks.wrapped import Told, Wrapping


class Repaired(nn.Module):
    """``base`` with F + R([F; quality]) in place of the output F of one of its layers.

    R is conv3x3-BN-ReLU twice and a conv3x3 that starts at zero, so the block starts as the identity. Pictures of
    unknown quality (NaN: clean crops) bypass the block.
    """

    def __init__(self, base: nn.Module, layer: str, channels: int):
        super().__init__()
        self.base, self.layer = base, layer
        steps: list[nn.Module] = []
        for width in (channels + 1, channels):
            convolution = nn.Conv2d(width, channels, 3, padding=1, bias=False)
            steps += [convolution, nn.BatchNorm2d(channels), nn.ReLU()]
        last = nn.Conv2d(channels, channels, 3, padding=1)
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.block = nn.Sequential(*steps, last)

    def forward(self, x: Tensor, told: Tensor | None = None) -> Tensor:
        """Logits (batch, classes) of NCHW floats; ``told``: quality of each picture, see ``Told``."""
        if told is None or told.isnan().all():
            return self.base(x)
        known = told.isfinite()

        def repair(module: nn.Module, inputs: object, features: Tensor) -> Tensor:
            own = features[known]
            plane = told[known].to(own.dtype).view(-1, 1, 1, 1).expand(-1, 1, *own.shape[2:])
            repaired = features.clone()
            repaired[known] = own + self.block(torch.cat([own, plane], 1)).to(own.dtype)
            return repaired

        # Before other hooks: taps on this layer get the repaired features, as the next layers do.
        hook = self.base.get_submodule(self.layer).register_forward_hook(repair, prepend=True)
        try:
            return self.base(x)
        finally:
            hook.remove()


class ResidualMapping(Wrapping):
    """``rmb``: a network with a residual mapping block after ``layer`` (default: its first stage)."""

    def around(self, network: Network, layer: str | None = None) -> Network:
        """Raises ModelError when the network has no ``layer``, or its output is no feature map."""
        layer = layer if isinstance(layer, str) else network.stages()[0]
        network.layer(layer)
        side = network.input_size or 224
        grey = torch.full((1, side, side, 3), 128, dtype=torch.uint8, device=network.mean.device)
        training = network.training
        with torch.no_grad():
            _, found = network.eval().taps(grey, [layer])
        network.train(training)
        if found[layer].ndim != 4:
            raise ModelError(f"layer '{layer}' does not output feature maps, as a residual mapping block needs")
        block = Repaired(network.net, layer, found[layer].shape[1])
        return Told(block, network)
