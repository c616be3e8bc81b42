"""Precision: training may use less; results and teachers are computed in float32."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

RESULTS = "float32"  #: what is recorded beside results


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Compute in float32, without autocast and TF32, whatever the surrounding settings.

    bfloat16 has 8 bits of mantissa: logits tie, and a tie counts against the network.
    """
    matmul, convolution = torch.get_float32_matmul_precision(), torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution
