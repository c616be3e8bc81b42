"""Arithmetic: training may be fast; results and teachers are float32 all through."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

RESULTS = "float32"  #: what is recorded beside results


@contextmanager
def exact(device: torch.device) -> Iterator[None]:
    """Compute in float32, without autocast and without TF32, whatever is set outside.

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
