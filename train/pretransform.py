"""``pre:FILE``: a trained transform as a step of a chain. PyTorch is imported for the first picture."""

from __future__ import annotations

import functools
import hashlib
import json
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from distort.codecs.base import Filter

META = "codecproof"  #: key in the header of a weights file, as train.networks.weights writes it


class Pre(Filter):
    name = "pre"
    parameter = None
    file = "weights"
    meaning = "a transform trained by 'train pretransform', applied before an encoder"
    example = "pre:runs/pre/best.safetensors"
    title = "Pre-transformed"
    colour = ("#a0522d", "#d99a76")
    marker = "*"

    def __init__(self, value: float | None = None, options: tuple[str, ...] = (), file: str | None = None):
        super().__init__(value, options, file)
        if find_spec("torch") is None:
            raise ValueError("pre needs PyTorch: pip install 'codecproof[train]'")
        if file is None or _kind(file) != "pretransform":
            raise ValueError(f"{file} is not a transform: 'train pretransform' makes one")

    def settings(self) -> dict[str, Any]:
        return {"sha256": _sha256(self.path)}

    def versions(self) -> dict[str, str]:
        return {"torch": version("torch")}

    def apply(self, rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        import torch

        picture = torch.from_numpy(np.ascontiguousarray(rgb)[None].copy())
        return _network(self.path).rewrite(picture)[0].numpy()


def _kind(file: str) -> str | None:
    """The kind of network named in a .safetensors file's metadata; None without metadata."""
    try:
        with Path(file).open("rb") as opened:
            header = json.loads(opened.read(min(int.from_bytes(opened.read(8), "little"), 1 << 24)))
        return json.loads(header["__metadata__"][META])["network"]["kind"]
    except (ValueError, KeyError, TypeError):
        return None


@functools.cache
def _sha256(file: str) -> str:
    return hashlib.sha256(Path(file).read_bytes()).hexdigest()


@functools.cache
def _network(file: str) -> Any:
    import torch

    from train.networks.models import load_checkpoint

    torch.set_num_threads(1)  # a step runs on one thread, like every codec
    return load_checkpoint(file).network.eval()
