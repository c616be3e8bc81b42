"""A network that rewrites pictures before encoding, trained in front of a classifier.

Suzuki et al. 2019 describe an encoder-decoder with bypasses, without details. This one is SegNet, which Palacio et
al. 2018 used: VGG-16's convolutions with batch norm; the decoder unpools with the indices of the poolings.
"""

from __future__ import annotations

import itertools

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from train.networks.network import ModelError, Network
from train.networks.wrapped import Wrapping

CONVOLUTIONS = (2, 2, 3, 3, 3)  #: of each stage; its width is 1, 2, 4, 8, 8 times that of the first
BYPASSES = ("none", "stage", "residual")


def _stage(inputs: int, outputs: int, count: int, inner: int) -> nn.Sequential:
    """``count`` convolutions with batch norm and ReLU; all but the last have ``inner`` channels."""
    widths = [inputs, *[inner] * (count - 1), outputs]
    steps: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        steps += [nn.Conv2d(before, after, 3, padding=1, bias=False), nn.BatchNorm2d(after), nn.ReLU(inplace=True)]
    return nn.Sequential(*steps)


class Transform(nn.Module):
    """Pictures (batch, 3, height, width) of fractions of 255 to pictures, of any size.

    ``bypass``: "stage" adds each encoder stage's output before pooling to the decoder's unpooled tensor;
    "residual" adds the picture to the output, so that it starts as the identity; "none" does neither.
    """

    def __init__(self, bypass: str, width: int):
        super().__init__()
        self.bypass = bypass
        widths = [min(width * 2**stage, width * 8) for stage in range(len(CONVOLUTIONS))]
        ins, outs = [3, *widths[:-1]], [widths[0], *widths[:-1]]
        self.encoder = nn.ModuleList(map(_stage, ins, widths, CONVOLUTIONS, widths))
        self.decoder = nn.ModuleList(map(_stage, widths, outs, CONVOLUTIONS, widths))
        self.last = nn.Conv2d(widths[0], 3, 1)
        if bypass == "residual":
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)  # type: ignore[arg-type]

    def forward(self, pixels: Tensor, decoder_only: bool = False) -> Tensor:
        """The rewritten pictures, not clipped. ``decoder_only``: no gradient reaches the encoder."""
        height, width = pixels.shape[2:]
        unit = 2 ** len(CONVOLUTIONS)
        x = F.pad(pixels, (0, -width % unit, 0, -height % unit), "replicate")
        kept = []
        for stage in self.encoder:
            x = stage(x)
            pooled, places = F.max_pool2d(x, 2, return_indices=True)
            kept.append((x, places))
            x = pooled
        if decoder_only:
            x, kept = x.detach(), [(own.detach(), places) for own, places in kept]
        for stage, (own, places) in zip(reversed(self.decoder), reversed(kept), strict=True):
            x = F.max_unpool2d(x, places, [2, 2], output_size=own.shape[2:])
            x = stage(x + own if self.bypass == "stage" else x)
        x = self.last(x)[..., :height, :width]
        return pixels + x if self.bypass == "residual" else x


class Transformed(nn.Module):
    """A transform and the classifier behind it."""

    def __init__(self, transform: Transform, base: nn.Module):
        super().__init__()
        self.transform, self.base = transform, base


class TransformedNetwork(Network):
    """A network around ``Transformed``; evaluation clips and rounds the rewritten pictures, as storing does."""

    prefix = "base."

    def pixels(self, images: Tensor, decoder_only: bool = False) -> Tensor:
        """The rewritten uint8 pictures (batch, height, width, 3), as NCHW fractions of 255."""
        made = self.net.transform(images.permute(0, 3, 1, 2).float() / 255, decoder_only)
        return made if self.training else (made.clamp(0, 1) * 255).round() / 255

    def classify(self, pixels: Tensor) -> Tensor:
        """Logits, float32 (batch, classes), of rewritten pictures."""
        x = (pixels * 255 - self.mean.view(3, 1, 1)) / self.std.view(3, 1, 1)
        return self.net.base(x).float()

    def forward(self, images: Tensor) -> Tensor:
        """Logits of uint8 pictures (batch, height, width, 3), rewritten first."""
        return self.classify(self.pixels(images))

    @torch.no_grad()
    def rewrite(self, images: Tensor) -> Tensor:
        """The rewritten pictures as uint8 (batch, height, width, 3), for an encoder."""
        return (self.eval().pixels(images) * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous()


class Pretransform(Wrapping):
    """``pretransform``: a classifier behind a transform; ``width`` is 64 in SegNet."""

    def around(self, network: Network, bypass: str = "stage", width: int = 64) -> Network:
        """Raises ModelError for another ``bypass`` or a ``width`` out of 1..512."""
        if bypass not in BYPASSES or not isinstance(width, int) or not 0 < width <= 512:
            raise ModelError(f"a transform with bypass {bypass!r:.40} and width {width!r:.40} cannot be built")
        net = Transformed(Transform(bypass, width), network.net)
        made = TransformedNetwork(net, input_size=network.input_size)
        made.mean, made.std = network.mean.clone(), network.std.clone()
        return made
