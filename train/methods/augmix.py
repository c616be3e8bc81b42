"""AugMix (Hendrycks et al. 2020, arXiv 1912.02781): the same answer for a picture and two mixes of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from train.methods.base import Defaults, Losses, Method, Scalar
from train.methods.reads import CLEAN, Reads
from train.options import option

if TYPE_CHECKING:
    from torch import Tensor, nn

    from train.feed.data import Batch


class AugMix(Method):
    """Cross-entropy on clean crops, and the same answer for two mixes of each (AugMix, Hendrycks et al. 2020).

    L = CE(f(x), y) + weight · JS(f(x), f(a), f(b)), in one pass; a and b mix chains of torchvision's operations
    (posterise, equalise, rotate, shear, translate, …), none of which is a codec. It sees no distorted column.
    """

    title = "AugMix"
    counts_everywhere = True
    may_start_fresh = True
    example = "--arch resnet50 --weights imagenet --out runs/augmix"

    @dataclass(frozen=True)
    class Options:
        column: str = option(CLEAN, help="The pictures to train on.")
        weight: float = option(12.0, minimum=0, help="Of the divergence; 12 is the article's.")
        severity: int = option(3, minimum=1, maximum=10, help="Of the operations.")

    @property
    def trained_on(self) -> str | None:
        return None

    def settings(self) -> dict[str, Scalar]:
        return {"column": self.options.column, **super().settings()}

    def reads(self) -> Reads:
        return Reads((self.options.column,))

    def defaults(self) -> Defaults:
        return Defaults(lr=1e-5, batch=128, epochs=10)

    def losses(self, model: nn.Module, batch: Batch) -> Losses:
        import torch

        images = batch.images[self.options.column]
        if not self.options.weight or not model.training:
            logits = model(images)
            ce = self.cross_entropy(model, logits, batch.labels)
            return {"loss": ce, "ce": ce}, logits
        every = model(torch.cat([images, self.mixed(images), self.mixed(images)]))
        logits = every.chunk(3)[0]
        ce = self.cross_entropy(model, logits, batch.labels)
        js = jensen_shannon(every.chunk(3))
        return {"loss": ce + self.options.weight * js, "ce": ce, "js": js}, logits

    def mixed(self, images: Tensor) -> Tensor:
        """A random mix for each uint8 picture of (batch, height, width, 3)."""
        import torch
        from torchvision.transforms.v2 import AugMix as Mix

        mix = Mix(severity=self.options.severity)
        return torch.stack([mix(picture) for picture in images.permute(0, 3, 1, 2)]).permute(0, 2, 3, 1)


def jensen_shannon(logits: Sequence[Tensor]) -> Tensor:
    """Mean over the batch of the Jensen-Shannon divergence of several (batch, classes) logits, in nats."""
    import torch

    log_probs = torch.stack([own.log_softmax(1) for own in logits])
    probs = log_probs.exp()
    middle = probs.mean(0).clamp(1e-7, 1).log()
    return (probs * (log_probs - middle)).sum(2).mean()
