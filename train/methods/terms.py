"""Terms that losses are made of."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def divergence(target: Tensor, student: Tensor) -> Tensor:
    """Mean over the batch of KL(target ‖ student), both (batch, classes) log-probabilities."""
    return F.kl_div(student, target, reduction="batchmean", log_target=True)


def add_noise(images: Tensor, sigma: float, truncated: bool = False) -> Tensor:
    """White Gaussian noise on uint8 pictures (batch, height, width, 3), per pixel and channel, clipped; uint8.

    ``sigma`` is a fraction of 255. ``truncated`` does as the reference code: a fraction of 256, and the cast
    back to integers drops the fraction, which darkens by half a grey level.
    """
    noise = torch.randn(images.shape, device=images.device) * (sigma * (256 if truncated else 255))
    noisy = images + noise
    return (noisy.clamp(0, 255) if truncated else noisy.round().clamp(0, 255)).to(torch.uint8)
